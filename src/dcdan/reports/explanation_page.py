"""The page of ``dcdan explain``: one HTML file without scripts, with a table behind every picture.

It is built as a tree of elements, so every text is escaped when it is written, and needs no package beyond the core.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.core.sanitize import encodable, inert
from dcdan.explanation.action_map import Reason, Reasons
from dcdan.explanation.explainer import FAITHFUL_MAPS, Explained, Explainer, FaceExplanation
from dcdan.explanation.occlusion import GRID
from dcdan.explanation.words import HARDLY, PARTS, shown, title
from dcdan.facial_actions import facial_action
from dcdan.images.inputs import Picture
from dcdan.images.status import Status
from dcdan.reports.page import RESPONSIBLE_USE, data_uri, percent

STYLE = Path(__file__).with_name("explanation_page.css")

SHOWN_SIDE = 352
"""Side of the embedded pictures in pixels: sharp at the size of the page on screens of double density."""

FOR, AGAINST = (240, 120, 40), (40, 120, 240)
"""Colours (R, G, B) laid over what speaks for the answer and against it."""

_OPAQUE = 0.65
_JPEG_QUALITY = 88

MAP_WORDS = {
    "occlusion": "Occlusion: orange where covering the face costs the answer, blue where it helps it.",
    "grad-cam": "Grad-CAM of the last map.",
    "integrated-gradients": "Integrated gradients, smoothed: orange for the answer, blue against it.",
    "spatial-attention": "Attention that each place receives in the spatial block; not specific to the answer.",
    "channel-attention": "What the channel block adds at each place; not specific to the answer.",
}


def explanation_page(explainer: Explainer, explained: Sequence[Explained], notes: Sequence[str]) -> str:
    """Return the page.

    Args:
        explainer: the model.
        explained: pictures and frames with their explanations, in order.
        notes: sentences about the whole, such as those of :meth:`Explainer.notes`.

    Returns:
        HTML.
    """
    root = Element("html", lang="en")
    head = SubElement(root, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    SubElement(head, "meta", name="generator", content="dcdan")
    _text(head, "title", "dcdan: why these expressions")
    SubElement(head, "style").text = STYLE.read_text(encoding="utf-8")
    main = SubElement(SubElement(root, "body"), "main")
    faces = [face for each in explained for face in each.faces]
    info = explainer.recogniser.info
    _text(main, "h1", "Why these expressions")
    _text(
        main,
        "p",
        f"{len(faces)} face{'s' if len(faces) != 1 else ''}, model {info.name}. "
        "Left and right are those of the picture.",
        "lead",
    )
    for note in notes:
        _text(main, "p", note)
    for face in faces:
        _face(SubElement(main, "section"), face)
    if missing := [each for each in explained if not each.faces]:
        _without(SubElement(main, "section"), missing)
    _how_to_read(SubElement(main, "section"), explainer)
    use = SubElement(main, "section")
    _text(use, "h2", "Responsible use")
    _list(use, RESPONSIBLE_USE)
    made_by = f"dcdan {version('dcdan')}, onnxruntime {version('onnxruntime')}, model {info.name}"
    _text(SubElement(main, "footer"), "p", f"{made_by} ({explainer.recogniser.provenance['model_sha256'][:12]})")
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _face(section: Element, face: FaceExplanation) -> None:
    _text(section, "h2", title(face.result))
    grid = SubElement(section, "div", {"class": "face"})
    pictures = SubElement(grid, "div", {"class": "pictures"})
    answer = str(face.result.expression)
    _figure(pictures, face.pixels, "The face as the network sees it.", f"Aligned face, answer {answer}")
    for name, values in face.maps.items():
        words = MAP_WORDS.get(name, name)
        if name not in FAITHFUL_MAPS:
            words += " It has not passed the test of faithfulness."
        _figure(pictures, overlay(face.pixels, values), words, f"{name} map over the face; the table has its numbers")
    words_of = SubElement(grid, "div")
    _list(words_of, face.sentences)
    if face.reasons is not None:
        _actions(words_of, face.reasons)
    _probabilities(words_of, face)
    for name, values in face.maps.items():
        cells = face.occlusion if name == "occlusion" and face.occlusion is not None else _cells(values)
        _map_table(words_of, name, cells)


def _actions(parent: Element, found: Reasons) -> None:
    rows: list[tuple[str, Reason]] = [(f"for {found.answer}", each) for each in found.supporting]
    rows += [(f"against {found.answer}", each) for each in found.opposing]
    if found.against_rival is not None:
        rows.append((f"against {found.rival}", found.against_rival))
    if rows:
        head = ("speaks", "facial action", "now", "usual", "logit")
        table = _table(_scroll(parent, "Actions that speak for and against"), "Actions, the strongest first", head)
    for side, reason in rows:
        row = SubElement(table, "tr")
        SubElement(row, "th", scope="row").text = side
        unit = facial_action(reason.action).unit
        words = facial_action(reason.action).active if reason.activation >= HARDLY else shown(reason)
        _text(row, "td", f"{words} ({unit})" if unit else words)
        _text(row, "td", f"{reason.activation:.2f}", "number")
        _text(row, "td", f"{reason.usual:.2f}", "number")
        _text(row, "td", f"{reason.contribution:+.2f}", "number")
    details = _details(parent, "All facial actions of this face")
    table = _table(details, "Activation, 0 to 1, both sides together", ("action", "unit", "activation"))
    for name, value in found.activations.items():
        row = SubElement(table, "tr")
        SubElement(row, "th", scope="row").text = name
        _text(row, "td", facial_action(name).unit or "none")
        _text(row, "td", f"{value:.2f}", "number")


def _probabilities(parent: Element, face: FaceExplanation) -> None:
    details = _details(parent, "Probabilities of all expressions")
    table = _table(details, "Calibrated probabilities", ("expression", "probability", ""))
    for name, value in sorted(face.result.probabilities.items(), key=lambda pair: -pair[1]):
        row = SubElement(table, "tr")
        SubElement(row, "th", scope="row").text = name
        _text(row, "td", percent(value, 1), "number")
        _bar(SubElement(row, "td"), value)


def _map_table(parent: Element, name: str, cells: NDArray[np.floating]) -> None:
    what = "fall of the answer's log-odds when the cell is covered" if name == "occlusion" else "mean of each cell"
    details = _details(parent, f"Numbers of the {name} map")
    scroll = _scroll(details, f"Numbers of the {name} map")
    named = cells.shape == (GRID, GRID)
    columns = ("place", *(f"column {n + 1}" for n in range(cells.shape[1])))
    table = _table(scroll, f"{name}: {what}", columns)
    for number, line in enumerate(cells.tolist()):
        row = SubElement(table, "tr")
        SubElement(row, "th", scope="row").text = f"row {number + 1}" + (f" ({PARTS[number][2]})" if named else "")
        for value in line:
            _text(row, "td", f"{value:+.2f}", "number")


def _without(section: Element, missing: Sequence[Explained]) -> None:
    _text(section, "h2", "Not explained")
    table = _table(_scroll(section, "Not explained"), "Inputs without a face", ("input", "reason"))
    for each in missing:
        picture: Picture = each.source.picture
        time = "" if each.source.time is None else f" at {each.source.time:.2f} s"
        row = SubElement(table, "tr")
        SubElement(row, "th", scope="row").text = _safe(picture.path + time)
        reason = "no face was found" if each.status is Status.NO_FACE else each.status.value.replace("_", " ")
        _text(row, "td", picture.reason or reason)


def _how_to_read(section: Element, explainer: Explainer) -> None:
    _text(section, "h2", "How to read this")
    found = [
        "Occlusion covers each part of the face in turn and asks the network again. A part that costs the answer much "
        "is one that the network uses; it is no proof of why the person looks like this.",
    ]
    if explainer.action_map is not None:
        found += [
            "Facial actions are the network's own estimates of what another model measures, named after ARKit and, "
            "where there is one, the action unit of FACS. They are no coding by a trained person.",
            "The logit of an action is what it adds to the expression in a sparse linear map from actions to "
            "expressions, compared with a face of usual activations. The map imitates the network; where both "
            "disagree, the words explain the map's view and say so.",
        ]
    _list(section, found)


def overlay(face: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay a map over a face: orange where it is above 0, blue where it is below, transparent at 0.

    Args:
        face: ``(S, S, 3) uint8``.
        values: ``(S, S)``; the largest magnitude gets the full colour.

    Returns:
        ``(S, S, 3) uint8``.

    Example:
        >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0.0, 2.0]]))[0].tolist()
        [[0, 0, 0], [156, 78, 26]]
    """
    grey = np.repeat(face.mean(2, keepdims=True), 3, axis=2)
    most = float(np.abs(values).max())
    alpha = _OPAQUE * np.abs(values[..., None]) / most if most > 0 else np.zeros((*values.shape, 1))
    colour = np.where(values[..., None] > 0, np.array(FOR, float), np.array(AGAINST, float))
    mixed: NDArray[np.uint8] = np.round(grey * (1 - alpha) + colour * alpha).astype(np.uint8)
    return mixed


def _cells(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of a map in each cell of the grid."""
    rows = np.array_split(np.arange(len(values)), GRID)
    return np.array([[values[np.ix_(r, c)].mean() for c in rows] for r in rows])


def _figure(parent: Element, pixels: NDArray[np.uint8], caption: str, alternative: str) -> None:
    figure = SubElement(parent, "figure")
    large = cv2.resize(pixels, (SHOWN_SIDE, SHOWN_SIDE), interpolation=cv2.INTER_CUBIC)
    _, content = cv2.imencode(".jpg", large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    SubElement(figure, "img", src=data_uri(content.tobytes(), "image/jpeg"), alt=alternative, loading="lazy")
    _text(figure, "figcaption", caption)


def _table(parent: Element, caption: str, columns: Iterable[str]) -> Element:
    table = SubElement(parent, "table")
    _text(table, "caption", caption)
    row = SubElement(SubElement(table, "thead"), "tr")
    for name in columns:
        SubElement(row, "th" if name else "td", {"scope": "col"} if name else {}).text = name
    return SubElement(table, "tbody")


def _scroll(parent: Element, label: str) -> Element:
    """Return a box that scrolls a wide table sideways, also by keyboard."""
    return SubElement(parent, "div", {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": label})


def _bar(cell: Element, share: float) -> None:
    SubElement(cell, "span", {"class": "bar", "style": f"width: {6 * share:.2f}rem"})


def _details(parent: Element, summary: str) -> Element:
    details = SubElement(parent, "details")
    _text(details, "summary", summary)
    return details


def _list(parent: Element, sentences: Iterable[str]) -> None:
    items = SubElement(parent, "ul")
    for sentence in sentences:
        _text(items, "li", sentence)


def _text(parent: Element, tag: str, text: str, kind: str = "") -> Element:
    element = SubElement(parent, tag, {"class": kind} if kind else {})
    element.text = _safe(text)
    return element


def _safe(text: str) -> str:
    return inert(encodable(text))
