"""CK+: posed expressions filmed from the neutral face to the apex (Lucey et al., CVPR workshops 2010), and CK+48.

Layouts that are read:
    sequences: `cohn-kanade-images/S###/###/S###_###_########.png` with `Emotion/S###/###/*_emotion.txt`; also
    `extended-cohn-kanade-images/` and `Emotion_labels/`, as the archives unpack. The first frame is neutral, and the
    last `frames` show the expression; sequences without a label are counted as left out.
    CK+48: `{anger,contempt,disgust,fear,happy,sadness,surprise}/S###_###_########.png`, a copy on Kaggle with the last
    three frames of each labelled sequence as grey crops of 48 x 48.

Codes:
    A label file holds one number written as a float: 0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happiness,
    6 sadness, 7 surprise.

Splits and counts:
    None was released; `folds` and `fold` make one by subject. 327 labelled sequences: anger 45, contempt 18, disgust
    59, fear 25, happiness 69, sadness 28, surprise 83. Every sample has its subject, so hold-outs keep a person on one
    side.

Licence:
    By signed agreement with its authors; research only, not to be redistributed.

Unverified:
    Written from the description and from published code, without the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dcdan.core.errors import UsageError
from dcdan.core.limits import read_text
from dcdan.datasets.folds import FoldedReader
from dcdan.datasets.layout import (
    below,
    expressions_in,
    folders_in,
    labelled_pictures,
    names_in,
    picture_names,
    some_names,
    wrong_layout,
)
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.datasets.sequences import SequenceOptions, chosen_frames, without_neutral
from dcdan.expressions import EXPRESSIONS
from dcdan.images.discover import is_picture_name

_CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_ENDING = "_emotion.txt"


def read_labels(folder: Path, reader: Reader) -> dict[tuple[str, str], str]:
    """Read the labels `S###/###/*_emotion.txt` below a folder.

    Args:
        folder: the folder `Emotion`.
        reader: damaged rows are reported to it, and sequences with two different labels counted.

    Returns:
        (subject, sequence) -> expression.
    """
    labels: dict[tuple[str, str], str] = {}
    for subject in folders_in(folder, reader.skip):
        for sequence in folders_in(subject, reader.skip):
            files = [name for name in names_in(sequence, reader.skip) if name.lower().endswith(_ENDING)]
            found = {label for name in files for label in _read(sequence / name, reader)}
            if len(found) == 1:
                labels[subject.name.upper(), sequence.name] = found.pop()
            elif found:
                reader.skip("sequence with two different labels")
    return labels


def code(text: str) -> str:
    """Return the expression of a code such as `3.0000000e+00`.

    Args:
        text: the content of a label file.

    Returns:
        The expression.

    Raises:
        ValueError: it is none of 0 to 7.

    Example:
        >>> code("  3.0000000e+00")
        'disgust'
    """
    number = float(text)
    if not number.is_integer() or not 0 <= number < len(_CODES):
        raise ValueError(f"'{text.strip()}' is none of the codes 0 to {len(_CODES) - 1}")
    return _CODES[int(number)]


def _read(file: Path, reader: Reader) -> set[str]:
    """Read the labels of a file and report damaged rows."""
    labels: set[str] = set()
    try:
        lines = read_text(file).removeprefix("\ufeff").splitlines()
    except (OSError, ValueError) as error:
        reader.damaged(file, None, error)
        return labels
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in rows:
        try:
            labels.add(code(line))
        except ValueError as reason:
            reader.damaged(file, number, reason)
    if not rows:
        reader.damaged(file, None, "it is empty")
    return labels


_IMAGES = (
    "cohn-kanade-images",
    "extended-cohn-kanade-images/cohn-kanade-images",
    "extended-cohn-kanade-images",
)
_LABELS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")
_INNER = ("CK+", "CKplus", "CK+48", "ck/CK+48", "CK")
_FRAME = re.compile(r"(S\d{3})_\d{3}_\d{8}\.[a-z]{3,4}", re.IGNORECASE)
_SUBJECT = re.compile(r"S\d{3}", re.IGNORECASE)
_SEQUENCES = {
    "anger": 45,
    "contempt": 18,
    "disgust": 59,
    "fear": 25,
    "happiness": 69,
    "sadness": 28,
    "surprise": 83,
}
_COPY_FRAMES = 3


@register
class CKPlus(FoldedReader):
    """The reader of CK+ and CK+48; see the module for layouts, codes, splits and licence.

    Example:
        `dcdan pack 'ckplus:/data/CK+?frames=1&neutral=no' --out packs/ckplus`
    """

    name = "ckplus"
    title = "CK+"
    licence = "by signed agreement with its authors; research only, not to be redistributed"
    extent = "593 sequences of 123 subjects, 327 labelled, 7 expressions and neutral"
    obtain = "ask jeffcohn.net/Resources for the agreement; CK+48 is on Kaggle"
    Options = SequenceOptions
    classes = EXPRESSIONS
    options: SequenceOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        places = _places(self.folder)
        sequences = next((found for place in places if (found := _sequences(place))), None)
        copy = next((place for place in places if _holds_copy(place)), None)
        self._labels: Path | None = None
        if sequences is not None:
            self.root, self._images, self._labels = sequences
            self.layout = "sequences"
            self.classes = EXPRESSIONS if self.options.neutral else without_neutral()
        elif copy is not None:
            chosen = sorted({"frames", "neutral"} & self.options.model_fields_set)
            if chosen:
                raise UsageError(
                    f"CK+48 in '{copy}' has three frames of each sequence and no neutral ones: leave out {chosen[0]}."
                )
            self.root = self._images = copy
            self.layout = "CK+48"
            self.classes = without_neutral()
            self.cropped, self.channels = True, 1
        else:
            wanted = "cohn-kanade-images and Emotion, or the folders of CK+48"
            raise wrong_layout(self.title, wanted, self.folder)

    @classmethod
    def recognise(cls, folder: Path) -> str | None:
        """Detect the data set in a folder; see :meth:`Reader.recognise`.

        Args:
            folder: any folder.

        Returns:
            The name of the layout, or None.
        """
        places = _places(folder)
        if any(_sequences(place) for place in places):
            return "sequences"
        return "CK+48" if any(_holds_copy(place) for place in places) else None

    def published(self) -> Mapping[str, int]:
        """Return the published counts of the whole set; see :meth:`FoldedReader.published`.

        Returns:
            class -> images.
        """
        frames = _COPY_FRAMES if self._labels is None else self.options.frames
        # The shortest sequences have few more frames, so the counts for more than three are not known.
        if frames > _COPY_FRAMES:
            return {}
        counts = {name: count * frames for name, count in _SEQUENCES.items()}
        neutral = self._labels is not None and self.options.neutral
        return counts | ({"neutral": sum(_SEQUENCES.values())} if neutral else {})

    def unsplit(self) -> Iterator[Sample]:
        """Yield every sample, without a split.

        Yields:
            The samples, with labels and subjects.
        """
        yield from self._of_copy() if self._labels is None else self._of_sequences(self._labels)

    def _of_sequences(self, emotion: Path) -> Iterator[Sample]:
        """Yield the samples of all labelled sequences."""
        labels = read_labels(emotion, self)
        for subject in folders_in(self._images, self.skip):
            for sequence in folders_in(subject, self.skip):
                label = labels.pop((subject.name.upper(), sequence.name), None)
                if label is None:
                    self.skip("sequence without label")
                elif label not in self.classes:
                    self.skip(f"sequence labelled {label}")
                else:
                    yield from self._of_sequence(sequence, subject.name.upper(), label)
        self.skip("label without sequence", len(labels))

    def _of_sequence(self, sequence: Path, subject: str, expression: str) -> Iterator[Sample]:
        """Yield the chosen frames of a sequence."""
        names = [name for name in names_in(sequence, self.skip) if is_picture_name(name)]
        # Numbers of eight digits: in the order of their names they are in the order of time.
        frames = [name for name in names if _FRAME.fullmatch(name)]
        self.skip("picture that is no numbered frame", len(names) - len(frames))
        self.skip("labelled sequence without frames", not frames)
        for name, neutral in chosen_frames(frames, self.options.frames, self.options.neutral):
            path = (sequence / name).relative_to(self.folder).as_posix()
            yield Sample(path, self.classes.index("neutral" if neutral else expression), subject=subject)

    def _of_copy(self) -> Iterator[Sample]:
        """Yield the samples of CK+48."""
        for path, expression in labelled_pictures(self._images, self):
            match = _FRAME.fullmatch(path.name)
            if match is None:
                self.skip("picture whose name is not like S010_004_00000017.png")
            else:
                name = path.relative_to(self.folder).as_posix()
                yield Sample(name, self.classes.index(expression), subject=match[1].upper())


def _places(given: Path) -> list[Path]:
    """Return the folders in which the data may be."""
    inside = (below(given, way) for way in _INNER)
    return [given, *(place for place in inside if place is not None)]


def _sequences(place: Path) -> tuple[Path, Path, Path] | None:
    """Return the root, the folder of the sequences and the folder of the labels, or None."""
    images, labels = (_first_with_subjects(place, ways) for ways in (_IMAGES, _LABELS))
    return None if images is None or labels is None else (place, images, labels)


def _first_with_subjects(place: Path, ways: tuple[str, ...]) -> Path | None:
    """Return the first folder that contains folders of subjects."""
    found = (below(place, way) for way in ways)
    return next((way for way in found if way and any(_SUBJECT.fullmatch(name) for name in some_names(way))), None)


def _holds_copy(place: Path) -> bool:
    """Return whether a folder contains CK+48."""
    folders = list(expressions_in(place).values())
    named = [any(_FRAME.fullmatch(name) for name in picture_names(folder)) for folder in folders]
    return sum(named) >= 2
