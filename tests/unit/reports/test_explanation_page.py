"""The page of explanations: nothing from outside, everything escaped, text beside every picture."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from acting_model import write_acting
from dcdan.explanation.explainer import explain_sources, load_explainer
from dcdan.explanation.sources import Source
from dcdan.images.inputs import Picture
from dcdan.images.status import Status
from dcdan.reports.explanation_page import AGAINST, FOR, explanation_page, overlay
from tiny_model import coloured

HOSTILE = '<script>alert(1)</script>"&\x1b[2J\u202egnp.jpg'


class Reader(HTMLParser):
    """Collects the tags and the text of a page, and checks that what is opened is closed."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def page(tmp_path: Path) -> str:
    explainer = load_explainer(write_acting(tmp_path / "run"), threads=1)
    given = [
        Source(Picture(HOSTILE, coloured(4))),
        Source(Picture("talk.mp4", coloured(2)), 12, 0.4),
        Source(Picture("gone<b>.png", None, Status.MISSING, "there is <no> file")),
    ]
    return explanation_page(explainer, list(explain_sources(explainer, given, 10)), ["A note & more."])


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_names_are_escaped(page: str) -> None:
    found = read(page)
    assert [tag for tag, _ in found.tags if tag in ("script", "b", "no")] == []
    assert "<script>alert(1)</script>" in found.text
    assert "gone<b>.png" in found.text
    assert "there is <no> file" in found.text
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_nothing_comes_from_outside(page: str) -> None:
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    for tag, values in read(page).tags:
        assert not any(name.startswith("on") for name in values), tag
        assert tag not in ("link", "iframe", "object")
        if tag == "img":
            assert str(values["src"]).startswith("data:image/jpeg;base64,")


def test_pictures_have_words_and_numbers(page: str) -> None:
    found = read(page)
    pictures = [values for tag, values in found.tags if tag == "img"]
    assert len(pictures) == 4, "a face and its map, twice"
    assert all(values["alt"] for values in pictures)
    assert [tag for tag, _ in found.tags].count("figcaption") == 4
    assert [tag for tag, _ in found.tags].count("h1") == 1
    assert found.text.count("Numbers of the occlusion map") == 2
    assert dict(found.tags)["html"] == {"lang": "en"}
    for words in ("A note & more.", "talk.mp4 at 0.40 s, face 1", "AU12", "Responsible use", "Not explained"):
        assert words in found.text, words
    content = base64.b64decode(str(pictures[0]["src"]).partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture[100, 100, ::-1].tolist() == pytest.approx(coloured(4)[0, 0].tolist(), abs=6)


def test_both_schemes_and_print_are_styled(page: str) -> None:
    for words in ("prefers-color-scheme: dark", "@media print", "max-width: 54rem"):
        assert words in page


def test_the_overlay_mixes_by_magnitude() -> None:
    face = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    values = np.random.default_rng(1).normal(size=(6, 6))
    found = overlay(face, values)
    for y in range(6):
        for x in range(6):
            alpha = 0.65 * abs(values[y, x]) / np.abs(values).max()
            colour = np.array(FOR if values[y, x] > 0 else AGAINST)
            wanted = face[y, x].mean() * (1 - alpha) + colour * alpha
            np.testing.assert_allclose(found[y, x], wanted, atol=1)
    np.testing.assert_array_equal(overlay(face, np.zeros((6, 6)))[..., 0], np.round(face.mean(2)))
