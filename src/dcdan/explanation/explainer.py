"""Explain the answers of a model: facial actions in words, and maps of where it looks.

What is needed for the default, occlusion, runs without torch. Maps from inside the network need its weights and
``dcdan[train]``; see :mod:`dcdan.explanation.network_maps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, UsageError, unknown
from dcdan.explanation.action_map import ActionMap, Reason, Reasons, read_action_map, reasons
from dcdan.explanation.occlusion import enlarged, occlusion_maps
from dcdan.explanation.sources import Source
from dcdan.explanation.words import action_sentences, place_sentence, region_sentence
from dcdan.faces.extract import Alignment
from dcdan.facial_actions import facial_action
from dcdan.images.inputs import Picture, PictureSource, read_picture
from dcdan.images.remote import is_url
from dcdan.images.status import Status
from dcdan.inference.model_card import Precision
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.resolver import resolve_model
from dcdan.inference.table import FaceResult

MapName = Literal["occlusion", "grad-cam", "integrated-gradients", "spatial-attention", "channel-attention"]
MAPS: tuple[MapName, ...] = (
    "occlusion",
    "grad-cam",
    "integrated-gradients",
    "spatial-attention",
    "channel-attention",
)
"""Kinds of maps; all but the first need ``dcdan[train]``."""

DEFAULT_MAPS: tuple[MapName, ...] = ("occlusion",)
"""Maps that are made when none is asked for: of those that need no torch, the ones that beat both baselines."""

FAITHFUL_MAPS: tuple[MapName, ...] = ("occlusion",)
"""Maps that beat a random and a centred one in deletion and in insertion (docs/results/explain)."""


@dataclass(frozen=True, slots=True)
class FaceExplanation:
    """Why one face got its answer.

    Attributes:
        result: the answer, as of ``recognise``.
        pixels: ``(S, S, 3) uint8`` the aligned face as the network sees it.
        reasons: what its facial actions say; None for a model without facial actions or without their map.
        occlusion: ``(G, G) float32`` fall of the answer's log-odds when a cell is covered; None when not asked for.
        maps: kind -> ``(S, S) float32``, of all maps that were asked for, larger where more important.
    """

    result: FaceResult
    pixels: NDArray[np.uint8]
    reasons: Reasons | None = None
    occlusion: NDArray[np.float32] | None = None
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """The explanation in words: actions, where they disagree with the network, places, regions."""
        found = [] if self.reasons is None else action_sentences(self.reasons)
        if self.occlusion is not None:
            found.append(place_sentence(self.occlusion, str(self.result.expression)))
        found.append(region_sentence(self.result.region_weights))
        return [sentence for sentence in found if sentence]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values; maps are given as grids, not in the size of the face."""
        out = self.result.to_dict(actions=())
        out["sentences"] = self.sentences
        out["reasons"] = None
        if self.reasons is not None:
            found = self.reasons
            rival = found.against_rival
            out["reasons"] = {
                "answer": found.answer,
                "by_actions": found.by_actions,
                "agrees": found.agrees,
                "for": [_reason(each) for each in found.supporting],
                "against": [_reason(each) for each in found.opposing],
                "rival": found.rival,
                "against_rival": None if rival is None else _reason(rival),
                "actions": {name: round(value, 4) for name, value in found.activations.items()},
            }
        out["occlusion"] = None if self.occlusion is None else np.round(self.occlusion, 4).astype(float).tolist()
        return out


def _reason(reason: Reason) -> dict[str, Any]:
    action = facial_action(reason.action)
    return {
        "action": reason.action,
        "unit": action.unit or None,
        "words": action.active,
        "activation": round(reason.activation, 4),
        "usual": round(reason.usual, 4),
        "contribution": round(reason.contribution, 4),
    }


MapMaker = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.float32]]
"""Faces ``(N, S, S, 3) uint8`` and classes ``(N,)`` -> maps ``(N, S, S) float32``."""


class Explainer:
    """A model with what explains its answers; created by :func:`load_explainer`.

    Attributes:
        recogniser: the model.
        action_map: its map from actions to expressions; None where it has none.
        maps: the maps to make.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        action_map: ActionMap | None,
        maps: Sequence[MapName] = DEFAULT_MAPS,
        makers: dict[str, MapMaker] | None = None,
    ) -> None:
        self.recogniser = recogniser
        self.action_map = action_map
        self.maps = tuple(dict.fromkeys(maps))
        self._makers = makers or {}

    def answer(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the model's probabilities ``(N, K)`` for faces ``(N, S, S, 3) uint8``."""
        return self.recogniser.recognise_faces(faces).probabilities

    def explain(self, pictures: Sequence[Picture]) -> list[list[FaceExplanation]]:
        """Explain the faces of pictures.

        Args:
            pictures: decoded pictures; one without pixels has no faces.

        Returns:
            One list a picture, the largest face first.
        """
        found = self.recogniser.faces(pictures)
        flat = [
            (picture.path, n, face) for picture, own in zip(pictures, found, strict=True) for n, face in enumerate(own)
        ]
        results = self.recogniser.face_results(flat)
        size = self.recogniser.info.face.size
        pixels = np.stack([face.pixels for *_, face in flat]) if flat else np.zeros((0, size, size, 3), np.uint8)
        explained = iter(self.explain_faces(results, pixels))
        return [[next(explained) for _ in own] for own in found]

    def explain_faces(self, results: Sequence[FaceResult], faces: NDArray[np.uint8]) -> list[FaceExplanation]:
        """Explain answers to aligned faces.

        Args:
            results: N results with an expression.
            faces: ``(N, S, S, 3) uint8``.

        Returns:
            N explanations.
        """
        if not results:
            return []
        classes = self.recogniser.classes
        chosen = np.array([classes.index(str(result.expression)) for result in results], np.int64)
        outputs = self.recogniser.recognise_faces(faces)
        why: list[Reasons | None] = [None] * len(results)
        if self.action_map is not None and outputs.actions is not None:
            given = np.array([[result.probabilities[name] for name in classes] for result in results])
            why = list(reasons(self.action_map, outputs.actions, self.recogniser.info.actions, given, chosen))
        grids = self.occlusion_grids(faces, chosen, outputs.probabilities) if "occlusion" in self.maps else None
        made = {
            name: enlarged(grids, faces.shape[1])
            if grids is not None and name == "occlusion"
            else self._makers[name](faces, chosen)
            for name in self.maps
        }
        return [
            FaceExplanation(
                result,
                faces[row],
                why[row],
                None if grids is None else grids[row],
                {name: maps[row] for name, maps in made.items()},
            )
            for row, result in enumerate(results)
        ]

    def occlusion_grids(
        self, faces: NDArray[np.uint8], chosen: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the occlusion maps ``(N, G, G)`` of faces with the classes ``(N,)`` and probabilities ``(N, K)``."""
        of_chosen = np.take_along_axis(probabilities, chosen[:, None], 1)[:, 0]
        return occlusion_maps(self.answer, faces, chosen, of_chosen)

    def maps_of(
        self, name: MapName, faces: NDArray[np.uint8], chosen: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the maps ``(N, S, S)`` of one kind; the arguments are those of :meth:`occlusion_grids`."""
        if name == "occlusion":
            return enlarged(self.occlusion_grids(faces, chosen, probabilities), faces.shape[1])
        return self._makers[name](faces, chosen)

    def notes(self) -> list[str]:
        """Return what the reader of an explanation must know of this model: what is missing, how far words carry."""
        if self.action_map is not None:
            return [
                f"The map from actions to expressions gives the network's answer for"
                f" {100 * self.action_map.agreement:.0f} % of held-out faces."
            ]
        info = self.recogniser.info
        if not info.actions:
            return [f"The model '{info.name}' does not estimate facial actions: only where it looks can be shown."]
        return [
            f"The model '{info.name}' has no map from facial actions to expressions"
            " (experiments/explain/actions.py makes it): only where it looks can be shown."
        ]


OPTIONS: tuple[str, ...] = ("maps", "threads", "align", "cropped", "max_faces", "precision", "device")
"""Options of :func:`load_explainer` besides the model."""


def load_explainer(
    model: str | Path | None = None,
    *,
    maps: Sequence[str] = DEFAULT_MAPS,
    threads: int | None = None,
    align: Alignment | None = None,
    cropped: bool = False,
    max_faces: int | None = None,
    precision: Precision | None = None,
    device: str = "auto",
) -> Explainer:
    """Load a model and what explains its answers.

    Args:
        model: as for :func:`dcdan.load`.
        maps: kinds of maps, of ``MAPS``; none for words alone.
        threads: as for :func:`dcdan.load`, as are the others.
        align: alignment.
        cropped: whether each picture is a crop of one face.
        max_faces: most faces per picture, the largest.
        precision: ``fp32`` or ``int8``.
        device: where the network runs.

    Returns:
        The explainer.

    Raises:
        UsageError: a map is unknown.
        ModelError: the model or its map of actions is missing or damaged.
        MissingExtraError: a map needs torch, which is not installed.

    Example:
        >>> load_explainer(threads=1).maps
        ('occlusion',)
    """
    chosen: list[MapName] = []
    for name in maps:
        if name not in MAPS:
            raise unknown("map", name, MAPS)
        chosen.append(name)
    folder = resolve_model(model).folder
    recogniser = load(
        model, threads=threads, align=align, cropped=cropped, max_faces=max_faces, precision=precision, device=device
    )
    action_map = read_action_map(folder, recogniser.info)
    makers: dict[str, MapMaker] = {}
    if inside := [name for name in chosen if name != "occlusion"]:
        makers = _from_inside(folder, inside, threads)
    return Explainer(recogniser, action_map, chosen, makers)


@overload
def explain(
    image: PictureSource, model: str | Path | Explainer | None = None, **options: Any
) -> list[FaceExplanation]: ...
@overload
def explain(
    image: list[PictureSource], model: str | Path | Explainer | None = None, **options: Any
) -> list[list[FaceExplanation]]: ...
def explain(
    image: PictureSource | list[PictureSource], model: str | Path | Explainer | None = None, **options: Any
) -> list[FaceExplanation] | list[list[FaceExplanation]]:
    """Say why the faces of a picture get their expressions.

    Args:
        image: a picture as for :meth:`dcdan.Recogniser.recognise`, or a list of pictures.
        model: as for :func:`dcdan.load`, or what :func:`load_explainer` returned, which spares loading it again.
        **options: options of :func:`load_explainer`, such as ``maps=("occlusion", "grad-cam")`` or ``cropped=True``.

    Returns:
        One explanation a face, the largest face first; empty for a picture without a face or one that cannot be read.
        For a list, one such list a picture.

    Raises:
        DataError: an array has another type or shape, or a folder is given.
        UsageError: an option is unknown, or is given together with an explainer.

    Example:
        >>> import dcdan
        >>> dcdan.explain(np.zeros((64, 64, 3), np.uint8), threads=1)
        []
    """
    if isinstance(model, Explainer):
        if options:
            raise UsageError(f"'{min(options)}' is an option of load_explainer: give it there.")
        explainer = model
    else:
        if unknown_options := options.keys() - OPTIONS:
            raise unknown("option", min(unknown_options), OPTIONS)
        explainer = load_explainer(model, **options)
    given = image if isinstance(image, list) else [image]
    for each in given:
        if isinstance(each, str | Path) and not is_url(str(each)) and Path(each).is_dir():
            raise DataError(
                f"'{each}' is a folder, and explain() takes pictures: give their paths, or run `dcdan explain`."
            )
    found = [explainer.explain([read_picture(each)])[0] for each in given]
    return found if isinstance(image, list) else found[0]


def _from_inside(folder: Path, names: Sequence[str], threads: int | None) -> dict[str, MapMaker]:
    try:
        from dcdan.explanation.network_maps import makers
    except ModuleNotFoundError as error:
        from dcdan.core.extras import missing_extra

        raise missing_extra(error) or error from error
    return makers(folder, names, threads)


@dataclass(frozen=True, slots=True)
class Explained:
    """A picture or frame and its explanations.

    Attributes:
        source: the picture.
        faces: its explanations, the largest face first.
        status: OK, or why there is none.
    """

    source: Source
    faces: list[FaceExplanation]
    status: Status


def explain_sources(explainer: Explainer, given: Iterable[Source], most: int) -> Iterator[Explained]:
    """Explain pictures and frames one after the other, until enough faces are explained.

    Args:
        explainer: the model.
        given: pictures and frames.
        most: at most so many faces; the last picture is cut.

    Yields:
        Each picture with its explanations.

    Raises:
        UsageError: ``most`` is below 1.
    """
    if most < 1:
        raise UsageError(f"The number of faces must be at least 1, not {most}.")
    left = most
    for source in given:
        (found,) = explainer.explain([source.picture])
        status = source.picture.status if source.picture.pixels is None else Status.OK if found else Status.NO_FACE
        found = [
            replace(each, result=replace(each.result, frame=source.frame, time=source.time)) for each in found[:left]
        ]
        left -= len(found)
        yield Explained(source, found, status)
        if not left:
            return
