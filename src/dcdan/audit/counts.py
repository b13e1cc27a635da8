"""Images of each split and class, and their difference from the published numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dcdan.datasets.reader import Reader, Sample

# Split -> class -> images; the class "" are images without a label.
SplitCounts = dict[str, dict[str, int]]
_SPLIT_ORDER = {"train": 0, "validation": 1, "test": 2}
TOTAL = "all"


@dataclass(frozen=True, slots=True)
class CountLine:
    """The number of images of one class in one split.

    Attributes:
        split: the split, "" for a set without splits.
        name: the class, "all" for the whole split, "" for images without a label.
        read: images that the reader selected.
        official: the published number, None where none is known.
    """

    split: str
    name: str
    read: int
    official: int | None

    @property
    def difference(self) -> int:
        """Images read minus images published; 0 where nothing is published."""
        return 0 if self.official is None else self.read - self.official


def class_of(reader: Reader, sample: Sample) -> str:
    """Return the class name of a sample.

    Args:
        reader: the data set.
        sample: a sample of it.

    Returns:
        The name, "" without a label.
    """
    return reader.classes[sample.label] if sample.label >= 0 else ""


def counted(pairs: Iterable[tuple[str, str]], classes: Sequence[str]) -> SplitCounts:
    """Count (split, class) pairs.

    Args:
        pairs: the split and the class of each image, "" for none.
        classes: the classes that every split lists, with 0 where it has no image of one.

    Returns:
        split -> class -> images, splits in the order train, validation, test, others.

    Example:
        >>> counted([("test", "fear"), ("train", "fear"), ("train", "")], ["fear", "anger"])
        {'train': {'fear': 1, 'anger': 0, '': 1}, 'test': {'fear': 1, 'anger': 0}}
    """
    found = Counter(pairs)
    splits = ordered_splits({split for split, _ in found})
    return {
        split: {name: found[split, name] for name in (*classes, "") if name or found[split, name]} for split in splits
    }


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """Sort splits in the order train, validation, test, then all others by name.

    Args:
        splits: names of splits.

    Returns:
        The sorted names.

    Example:
        >>> ordered_splits(["test", "extra", "train"])
        ['train', 'test', 'extra']
    """
    return sorted(splits, key=lambda split: (_SPLIT_ORDER.get(split, len(_SPLIT_ORDER)), split))


def official_counts(reader: Reader) -> Mapping[str, Mapping[str, int]]:
    """Return the published numbers that can be compared with what a reader selects.

    Args:
        reader: the data set. With the option `limit` nothing can be compared, with `split` only that split.

    Returns:
        split -> class -> images.
    """
    if reader.options.limit is not None:
        return {}
    published = reader.official()
    chosen = reader.options.split
    return published if chosen is None else {split: counts for split, counts in published.items() if split == chosen}


def compared(counts: SplitCounts, official: Mapping[str, Mapping[str, int]]) -> list[CountLine]:
    """Compare counts with the published numbers.

    Args:
        counts: split -> class -> images read.
        official: split -> class -> images published. The split "" stands for the whole set, the class "" for a whole
            split of which no classes are published.

    Returns:
        A line for every class and for the whole of every split, read or published.
    """
    if "" in official and counts and "" not in counts:
        counts = {**counts, "": _whole(counts)}
    return [line for split in ordered_splits({*counts, *official}) for line in _split_lines(split, counts, official)]


def _whole(counts: SplitCounts) -> dict[str, int]:
    """Return the counts of all splits together."""
    names = dict.fromkeys(name for split in counts.values() for name in split)
    return {name: sum(split.get(name, 0) for split in counts.values()) for name in names}


def _split_lines(split: str, counts: SplitCounts, official: Mapping[str, Mapping[str, int]]) -> Iterator[CountLine]:
    """Yield the lines of one split."""
    read, published = counts.get(split, {}), official.get(split)
    by_class = {name: number for name, number in (published or {}).items() if name}
    for name in dict.fromkeys((*read, *by_class)):
        # Where some classes of a split are published, the others have no image.
        yield CountLine(split, name, read.get(name, 0), by_class.get(name, 0) if by_class else None)
    total = None if published is None else published.get("", sum(by_class.values()))
    yield CountLine(split, TOTAL, sum(read.values()), total)
