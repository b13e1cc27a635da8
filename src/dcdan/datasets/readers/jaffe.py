"""JAFFE: portraits of ten Japanese women who pose seven expressions (Lyons et al., FG 1998).

Layouts that are read:
    `KA.AN1.39.tiff`: subject, expression and take, serial number; flat or in class folders, in the folder itself or in
    `jaffe/`, `jaffedbase/` or `jaffeimages/jaffe/`; also `.jpg`, `.png`, `.tiff.bmp`. The name gives the label,
    whatever the folder.

Codes and counts:
    AN anger 30, DI disgust 29, FE fear 32, HA happiness 31, NE neutral 30, SA sadness 31, SU surprise 30; 213 in all.

Splits:
    None was released. The options `folds` and `fold` make one by subject. Every sample has its subject, so hold-outs
    keep a person on one side.

Licence:
    Non-commercial research only; not to be redistributed.

Unverified:
    Written from the description and from names in published code, without the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dcdan.datasets.folds import FoldedReader
from dcdan.datasets.layout import below, expressions_in, picture_names, wrong_layout
from dcdan.datasets.reader import ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.expressions import EXPRESSIONS, canonical
from dcdan.images.discover import find_pictures

_INNER = ("jaffe", "jaffedbase", "jaffeimages/jaffe", "jaffedbase/jaffe", "jaffeimages")
_SUBJECTS = frozenset({"KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"})
_CODES = {"AN": 30, "DI": 29, "FE": 32, "HA": 31, "NE": 30, "SA": 31, "SU": 30}
# Some copies were converted and have two endings, such as .tiff.bmp.
_NAME = re.compile(r"([A-Z]{2})\.([A-Z]{2})(\d)\.(\d{1,3})((\.[A-Z]{3,4})+)", re.IGNORECASE)


@dataclass(frozen=True)
class Portrait:
    """The parts of a picture's name.

    Attributes:
        subject: two letters.
        expression: a canonical expression.
        take: number of the take of this expression.
        serial: number of the picture, without leading zeros.
    """

    subject: str
    expression: str
    take: str
    serial: str


def portrait(name: str) -> Portrait | None:
    """Parse the name of a file.

    Args:
        name: the name.

    Returns:
        Its parts, or None where it is not a name of JAFFE.

    Example:
        >>> portrait("KA.AN1.39.tiff.bmp")
        Portrait(subject='KA', expression='anger', take='1', serial='39')
    """
    match = _NAME.fullmatch(name)
    if match is None or match[2].upper() not in _CODES:
        return None
    return Portrait(match[1].upper(), canonical(match[2]) or "", match[3], str(int(match[4])))


@register
class JAFFE(FoldedReader):
    """The reader of JAFFE; see the module for layouts, codes and licence. The take is the group `take`.

    Example:
        `dcdan pack 'jaffe:/data/JAFFE?folds=5&fold=0' --out packs/jaffe-0`
    """

    name = "jaffe"
    title = "JAFFE"
    licence = "non-commercial research only; not to be redistributed"
    extent = "213 grey portraits of 256 x 256, 10 subjects, 7 expressions"
    obtain = "zenodo.org/records/3451524, after agreeing to its terms"
    channels = 1
    classes = EXPRESSIONS[:7]

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        found = _found(self.folder)
        if found is None:
            raise wrong_layout(self.title, "pictures with names such as KA.AN1.39.tiff", self.folder)
        self.root, self.layout = found

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        found = _found(folder)
        return None if found is None else found[1]

    def published(self) -> Mapping[str, int]:
        """Return the published counts of the whole set; see :meth:`FoldedReader.published`.

        Returns:
            class -> images.
        """
        return {canonical(code) or "": count for code, count in _CODES.items()}

    def unsplit(self) -> Iterator[Sample]:
        """Yield every sample, without a split.

        Yields:
            The samples, with labels and subjects.
        """
        seen: set[Portrait] = set()
        for path in find_pictures(self.folder, self.skip):
            parsed = portrait(path.name)
            if parsed is None:
                self.skip("picture whose name is not like KA.AN1.39.tiff")
            elif parsed in seen:
                self.skip("second copy of a picture")
            else:
                seen.add(parsed)
                name = path.relative_to(self.folder).as_posix()
                label = self.classes.index(parsed.expression)
                yield Sample(name, label, subject=parsed.subject, groups={"take": parsed.take})


def _found(given: Path) -> tuple[Path, str] | None:
    """Return the folder and its layout, by some names of pictures in it or in its class folders."""
    inside = (below(given, way) for way in _INNER)
    for place in (given, *(folder for folder in inside if folder is not None)):
        if _holds(place):
            return place, "flat"
        if any(_holds(child) for child in expressions_in(place).values()):
            return place, "class folders"
    return None


def _holds(folder: Path) -> bool:
    """Return whether a folder contains pictures of JAFFE."""
    portraits = [portrait(name) for name in picture_names(folder)]
    return any(one is not None and one.subject in _SUBJECTS for one in portraits)
