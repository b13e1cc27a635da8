"""ExpW: faces in scenes of the internet, given by boxes (Zhang, Luo, Loy & Tang, IJCV 2018).

Layouts that are read:
    `label/label.lst` with `image/origin/*.jpg`, also below `data/`, or `label.lst` with `origin/`. Each of the eight
    fields of a row: image name, face id, box as top, left, right, bottom, confidence of the box, code. Each row is a
    face, cropped from its scene.

Codes:
    0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral.

Splits and counts:
    None was released. The project's rule: SHA-256 of the image name modulo 100, below 80 train, below 90 validation,
    else test, so that all faces of a scene are in one split. 91,793 faces in all; counts of the classes in `OFFICIAL`.

Licence:
    Research only, not to be redistributed; the photographs belong to their owners.

Unverified:
    Written from the description of the release and from published code, without the pictures. No subject is known, so
    one person may be in several scenes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.core.limits import refuse_device
from dcdan.datasets.folds import hashed_percent
from dcdan.datasets.layout import below, inside, names_in, wrong_layout
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, lines_of
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS

CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
OFFICIAL = (3671, 3995, 1088, 30537, 10559, 7060, 34883)
_LABELS = ("data/label/label.lst", "label/label.lst", "label.lst")
_SCENES = ("data/image/origin", "image/origin", "data/origin", "origin")
_VOLUMES = ("data/image", "image", "data", ".")
_FIELDS = 8
_HEAD_BYTES = 4096


class ExpWFace(NamedTuple):
    """One row of `label.lst`.

    Attributes:
        image: name of the scene.
        number: the face id.
        box: x0, y0, x1, y1 in pixels of the scene.
        confidence: of the box, by the authors' detector.
        code: index into `CODES`.
    """

    image: str
    number: int
    box: tuple[float, float, float, float]
    confidence: float
    code: int


def read_face(text: str) -> ExpWFace:
    """Parse a row of `label.lst`.

    Args:
        text: the row.

    Returns:
        The face.

    Raises:
        ValueError: the row is damaged.

    Example:
        >>> read_face("angry_asian_37.jpg 0 90 212 347 225 61.9 6").box
        (212.0, 90.0, 347.0, 225.0)
    """
    cells = re.split(r"[ \t]+", text.strip())
    if len(cells) != _FIELDS:
        raise ValueError(f"{len(cells)} fields instead of {_FIELDS}")
    top, left, right, bottom, confidence = map(float, cells[2:7])
    if not all(map(math.isfinite, (top, left, right, bottom, confidence))):
        raise ValueError("box or confidence is not finite")
    if left >= right or top >= bottom:
        raise ValueError("the box has no area")
    code = int(cells[7])
    if not 0 <= code < len(CODES):
        raise ValueError(f"label {code} is none of 0 to {len(CODES) - 1}")
    return ExpWFace(inside(cells[0]), int(cells[1]), (left, top, right, bottom), confidence, code)


def split_of(image: str) -> str:
    """Return the split of a scene: SHA-256 of its name modulo 100, below 80 train, below 90 validation, else test.

    Args:
        image: name of the scene.

    Returns:
        "train", "validation" or "test".

    Example:
        >>> split_of("angry_asian_37.jpg"), split_of("happy_man_2.jpg")
        ('validation', 'train')
    """
    percent = hashed_percent(image)
    return "train" if percent < 80 else "validation" if percent < 90 else "test"


class ExpWOptions(ReaderOptions):
    """Options of the reader. The split is the project's rule."""

    split: Literal["train", "validation", "test"] | None = None
    confidence: float = Field(0.0, ge=0, allow_inf_nan=False, description="leave out boxes of less confidence")


@register
class ExpW(Reader):
    """The reader of ExpW; see the module for layouts, codes, splits and licence.

    Example:
        `dcdan pack expw:/data/ExpW --out packs/expw`
    """

    name = "expw"
    title = "ExpW"
    extent = "91,793 faces in scenes of any size, seven expressions, very uneven"
    obtain = (
        "Free for research: mmlab.ie.cuhk.edu.hk/projects/socialrelation, or the Kaggle copy; unpack the scenes with "
        "`7z x origin.7z.001` and give the folder that holds label/ and image/ (or label.lst and origin/)."
    )
    licence = "research only, not to be redistributed; the photographs belong to their owners"
    Options = ExpWOptions
    classes = EXPRESSIONS[:7]
    layout = "as released"
    split_rule = (
        "SHA-256(image name) mod 100: below 80 train, below 90 validation, else test (the project's; none was released)"
    )
    options: ExpWOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        table = _first(self.folder, _LABELS)
        if table is None:
            raise wrong_layout(self.title, " or ".join(_LABELS[1:]), self.folder)
        self.table = table
        scenes = _first(self.folder, _SCENES)
        if scenes is None:
            raise self._no_scenes()
        # The volumes contain a folder `origin`, and are often unpacked in another of that name.
        nested = scenes / "origin"
        self._scenes = (nested if nested.is_dir() else scenes).relative_to(self.folder).as_posix()

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        table = _first(folder, _LABELS)
        return cls.layout if table is not None and _is_label_file(table) else None

    def official(self) -> dict[str, dict[str, int]]:
        """Return the published counts of the whole set.

        Returns:
            The counts under the split ""; {} for a part of the set.
        """
        if self.options.split is not None or self.options.confidence > 0:
            return {}
        return {"": dict(zip(CODES, OFFICIAL, strict=True))}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        least = self.options.confidence
        seen: set[str] = set()
        for face in self._faces():
            key = f"{face.number} {face.image}"
            if key in seen:
                self.skip("repeated face")
                continue
            seen.add(key)
            if face.confidence < least:
                self.skip(f"confidence below {least:g}")
                continue
            label = self.classes.index(CODES[face.code])
            yield Sample(f"{self._scenes}/{face.image}", label, split=split_of(face.image), box=face.box)

    def _faces(self) -> Iterator[ExpWFace]:
        """Yield the faces of the good rows; damaged rows are reported with their line."""
        for line, text in enumerate(lines_of(self.table), 1):
            if not text.strip():
                continue
            try:
                face = read_face(text)
            except ValueError as reason:
                self.damaged(self.table, line, reason)
                continue
            yield face

    def _no_scenes(self) -> DataError:
        """Return the error for missing or packed scenes."""
        for way in _VOLUMES:
            place = self.folder if way == "." else below(self.folder, way)
            volumes = [] if place is None else [name for name in names_in(place) if name.startswith("origin.7z")]
            if volumes:
                rename = "rename origin.7z.001.001 to origin.7z.001, then " if "origin.7z.001.001" in volumes else ""
                return DataError(
                    f"ExpW's scenes in '{place}' are still packed: {rename}run `7z x origin.7z.001` in that folder, "
                    f"with all eight volumes in it, and repeat the command."
                )
        return wrong_layout(self.title, "image/origin or origin (the scenes)", self.folder)


def _first(folder: Path, ways: tuple[str, ...]) -> Path | None:
    """Return the first of some paths that exists below a folder, or None."""
    places = (below(folder, way) for way in ways)
    return next((place for place in places if place is not None), None)


def _is_label_file(table: Path) -> bool:
    """Return whether one of the first rows of a file is a face."""
    try:
        refuse_device(table)
        with table.open(encoding="utf-8-sig", errors="replace") as file:
            rows = file.read(_HEAD_BYTES).splitlines()
    except (OSError, ValueError):
        return False
    for row in rows:
        try:
            read_face(row)
        except ValueError:
            continue
        return True
    return False
