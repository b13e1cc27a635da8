"""Oulu-CASIA: 80 people act six expressions before a visible-light and a near infrared camera (Zhao et al., IVC 2011).

Layouts that are read:
    `PreProcess_Img/{VL,NI}_Acropped/{Strong,Weak,Dark}/P###/{Anger,...}/NNN.jpeg`, also `VL_Acropped` directly or below
    `Oulu_CASIA_NIR_VIS/`. A sequence runs from neutral to the apex. `OriginalImg/` is not read.

Codes:
    The folder names Anger, Disgust, Fear, Happiness, Sadness, Surprise.

Splits and counts:
    None was released; `folds` and `fold` make one by subject. Each of the six conditions has 80 sequences of each
    expression, times the option `frames`. Every sample has its subject, so hold-outs keep a person on one side.

Licence:
    By signed agreement with the University of Oulu; research only, not to be redistributed.

Unverified:
    Written from the description and from published code, without the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from dcdan.datasets.folds import FoldedReader
from dcdan.datasets.layout import below, folders_in, names_in, pictures_below, some_names, wrong_layout
from dcdan.datasets.reader import ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.datasets.sequences import SequenceOptions, chosen_frames, without_neutral
from dcdan.expressions import EXPRESSIONS, canonical
from dcdan.images.discover import is_picture_name

_SIX = without_neutral(EXPRESSIONS[:7])
_PEOPLE = 80
_PERSON = re.compile(r"P\d{3}", re.IGNORECASE)
_MODALITIES = ("VL", "NI")
_LIGHTS = ("Strong", "Weak", "Dark")
_INNER = (
    "PreProcess_Img",
    "Oulu_CASIA_NIR_VIS/PreProcess_Img",
    "Oulu_CASIA_NIR_VIS",
    "Oulu-CASIA/PreProcess_Img",
    "Oulu-CASIA",
    "Oulu_CASIA/PreProcess_Img",
    "Oulu_CASIA",
)


class OuluCASIAOptions(SequenceOptions):
    """Options of the reader: one of the six conditions, and the frames of a sequence."""

    neutral: bool = Field(False, description="read the first frame as neutral")
    modality: Literal["VL", "NI"] = Field("VL", description="visible light or near infrared")
    light: Literal["strong", "weak", "dark"] = Field("strong", description="how bright the room was")


@register
class OuluCASIA(FoldedReader):
    """The reader of Oulu-CASIA; see the module for layouts, splits and licence.

    Example:
        `dcdan pack 'oulu_casia:/data/Oulu?light=weak' --out packs/oulu-weak`
    """

    name = "oulu_casia"
    title = "Oulu-CASIA"
    licence = "by signed agreement with the University of Oulu; research only, not to be redistributed"
    extent = "480 sequences of 80 subjects in each of 6 conditions, 6 expressions"
    obtain = "ask the Center for Machine Vision and Signal Analysis, University of Oulu, for the licence agreement"
    Options = OuluCASIAOptions
    cropped = True
    options: OuluCASIAOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.classes = EXPRESSIONS[:7] if self.options.neutral else _SIX
        way = f"{self.options.modality}_Acropped/{self.options.light.capitalize()}"
        places = [place for root in _roots(self.folder) if (place := below(root, way)) is not None and place.is_dir()]
        if not places:
            raise wrong_layout(self.title, f"PreProcess_Img/{way}", next(iter(_roots(self.folder)), self.folder))
        self._people = places[0]
        self.root = places[0].parent.parent
        self.layout = _layout(self.root)

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        roots = _roots(folder)
        return _layout(roots[0]) if roots else None

    def published(self) -> Mapping[str, int]:
        """Return the published counts of the whole set; see :meth:`FoldedReader.published`.

        Returns:
            class -> images.
        """
        counts = dict.fromkeys(_SIX, _PEOPLE * self.options.frames)
        return counts | ({"neutral": _PEOPLE * len(_SIX)} if self.options.neutral else {})

    def unsplit(self) -> Iterator[Sample]:
        """Yield every sample, without a split.

        Yields:
            The samples, with labels and subjects.
        """
        for person in folders_in(self._people, self.skip):
            if _PERSON.fullmatch(person.name) is None:
                self.skip(f"folder '{person.name}' is no person", pictures_below(person, self))
                continue
            for sequence in folders_in(person, self.skip):
                expression = canonical(sequence.name)
                if expression not in _SIX:
                    self.skip(f"folder '{sequence.name}' is none of the six", pictures_below(sequence, self))
                    continue
                for frame, neutral in chosen_frames(self._frames(sequence), self.options.frames, self.options.neutral):
                    label = self.classes.index("neutral" if neutral else expression)
                    name = frame.relative_to(self.folder).as_posix()
                    yield Sample(name, label, subject=person.name.upper())

    def _frames(self, sequence: Path) -> list[Path]:
        """Return the frames of a sequence in the order of their numbers."""
        names = [name for name in names_in(sequence, self.skip) if is_picture_name(name)]
        frames = [name for name in names if Path(name).stem.isdecimal()]
        self.skip("picture that is no numbered frame", len(names) - len(frames))
        self.skip("sequence without frames", not frames)
        return [sequence / name for name in sorted(frames, key=lambda name: int(Path(name).stem))]


def _roots(given: Path) -> list[Path]:
    """Return the folders that hold `VL_Acropped` or `NI_Acropped` with people in some light."""
    inside = (below(given, way) for way in _INNER)
    places = [given, *(place for place in inside if place is not None)]
    return [place for place in places if any(_people(place, modality) for modality in _MODALITIES)]


def _layout(root: Path) -> str:
    """Return the name of the layout."""
    return " and ".join(f"{modality}_Acropped" for modality in _MODALITIES if _people(root, modality))


def _people(place: Path, modality: str) -> bool:
    """Return whether a modality has folders of people."""
    lights = (below(place, f"{modality}_Acropped/{light}") for light in _LIGHTS)
    return any(_PERSON.fullmatch(name) for light in lights if light is not None for name in some_names(light))
