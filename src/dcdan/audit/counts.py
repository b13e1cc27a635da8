"""How many images a data set has of each split and class, beside the published numbers."""

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
    """Images read of a class in a split, or of a whole split (class "all"); `official` is None where none is known."""

    split: str
    name: str
    read: int
    official: int | None

    @property
    def difference(self) -> int:
        """Images more (positive) or fewer than published; 0 where nothing is published."""
        return 0 if self.official is None else self.read - self.official


def class_of(reader: Reader, sample: Sample) -> str:
    """Return the name of a sample's class, "" when it has no label."""
    return reader.classes[sample.label] if sample.label >= 0 else ""


def counted(pairs: Iterable[tuple[str, str]], classes: Sequence[str]) -> SplitCounts:
    """Return the counts of (split, class) pairs: splits in their usual order, every class of `classes` in each."""
    found = Counter(pairs)
    splits = ordered_splits({split for split, _ in found})
    return {
        split: {name: found[split, name] for name in (*classes, "") if name or found[split, name]} for split in splits
    }


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """Return train, validation, test, then all others by name."""
    return sorted(splits, key=lambda split: (_SPLIT_ORDER.get(split, len(_SPLIT_ORDER)), split))


def official_counts(reader: Reader) -> Mapping[str, Mapping[str, int]]:
    """Return the published numbers that the reader's options leave comparable: one split of them, or none at all."""
    if reader.options.limit is not None:
        return {}
    published = reader.official()
    chosen = reader.options.split
    return published if chosen is None else {split: counts for split, counts in published.items() if split == chosen}


def compared(counts: SplitCounts, official: Mapping[str, Mapping[str, int]]) -> list[CountLine]:
    """Return a line for every class and the whole of every split, read or published.

    Numbers that are published for the whole set, under the split "", are held against the images of all splits.
    """
    if "" in official and counts and "" not in counts:
        counts = {**counts, "": _whole(counts)}
    return [line for split in ordered_splits({*counts, *official}) for line in _split_lines(split, counts, official)]


def _whole(counts: SplitCounts) -> dict[str, int]:
    names = dict.fromkeys(name for split in counts.values() for name in split)
    return {name: sum(split.get(name, 0) for split in counts.values()) for name in names}


def _split_lines(split: str, counts: SplitCounts, official: Mapping[str, Mapping[str, int]]) -> Iterator[CountLine]:
    read, published = counts.get(split, {}), official.get(split)
    by_class = {name: number for name, number in (published or {}).items() if name}
    for name in dict.fromkeys((*read, *by_class)):
        # A set that publishes some classes of a split says that it has no image of the others.
        yield CountLine(split, name, read.get(name, 0), by_class.get(name, 0) if by_class else None)
    total = None if published is None else published.get("", sum(by_class.values()))
    yield CountLine(split, TOTAL, sum(read.values()), total)
