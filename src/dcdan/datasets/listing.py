"""The samples that a build packs: all that a reader selects, or one shard, in chunks of one length."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.reader import Reader, Sample

T = TypeVar("T")

CHUNK = 128
_KEPT_SAMPLES = 4096
_REASONS_SHOWN = 5

Part = tuple[int, int]
"""Which shard of how many, counted from 1."""


@dataclass(frozen=True)
class Listing:
    """The samples to pack.

    Attributes:
        chunks: lists of CHUNK samples, the last one shorter.
        count: samples in the chunks.
        total: samples of the whole data set.
        digest: a hash of all samples of the data set.
        skipped: reason -> samples that the reader left out.
        remarks: the reader's warnings and notes.
    """

    chunks: Iterator[list[Sample]]
    count: int
    total: int
    digest: str
    skipped: dict[str, int]
    remarks: tuple[str, ...]


def listed(reader: Reader, part: Part | None = None) -> Listing:
    """List what a reader selects, or one shard of it; a long list is read twice instead of being stored.

    Args:
        reader: the data set.
        part: the shard and the number of shards. Shards are runs of whole chunks, so that together, in order, they have
            the chunks of the whole.

    Returns:
        The listing.
    """
    digest = hashlib.blake2b(digest_size=16)
    kept: list[list[Sample]] = []
    total = 0
    for chunk in chunks(reader.selected(), CHUNK):
        total += len(chunk)
        digest.update(chunk_key(chunk).encode("ascii"))
        if total <= _KEPT_SAMPLES:
            kept.append(chunk)
    # A second reading resets the reader's counts, and that of a shard stops early.
    skipped, remarks = dict(sorted(reader.skipped.items())), (*reader.warnings, *reader.notes)
    listing = iter(kept) if total <= _KEPT_SAMPLES else chunks(reader.selected(), CHUNK)
    first, last = _range(-(-total // CHUNK), part or (1, 1))
    count = min(last * CHUNK, total) - min(first * CHUNK, total)
    if part is not None:
        listing = itertools.islice(listing, first, last)
    return Listing(listing, count, total, digest.hexdigest(), skipped, remarks)


def nothing_selected(reader: Reader, purpose: str) -> DataError:
    """Return the error for a reader that selected no sample, with what it left out and why.

    Args:
        reader: a reader whose samples were read to the end.
        purpose: the verb of the intended use, such as "pack".

    Returns:
        The error, to be raised.
    """
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reader.skipped.items()))
    text = f"{reader.title} gave nothing to {purpose}" + (f" (left out: {counts})" if counts else "")
    reasons = "; ".join(reader.notes[:_REASONS_SHOWN])
    return DataError(f"{text}: {reasons}." if reasons else f"{text}.")


def chunk_key(samples: Sequence[Sample]) -> str:
    """Return a hash of a chunk's samples, by which a resumed build detects changes.

    Args:
        samples: the chunk.

    Returns:
        32 hexadecimal digits.
    """
    return hashlib.blake2b(repr(samples).encode(), digest_size=16).hexdigest()


def parse_part(text: str) -> Part:
    """Parse a shard as written on the command line.

    Args:
        text: `i/n`.

    Returns:
        The shard i, from 1, and the number of shards n.

    Raises:
        UsageError: the text is not a shard.

    Example:
        >>> parse_part("2/8")
        (2, 8)
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if not match:
        raise UsageError(f"'{text}' is no shard: write i/n, such as 2/8 for the second of eight.")
    return checked_part((int(match[1]), int(match[2])))


def checked_part(part: Part) -> Part:
    """Check a shard.

    Args:
        part: the shard and the number of shards.

    Returns:
        The same.

    Raises:
        UsageError: the shard is not between 1 and the number of shards.
    """
    number, count = part
    if not 1 <= number <= count:
        raise UsageError(f"There is no shard {number} of {count}: they are counted from 1/{count} to {count}/{count}.")
    return part


def _range(chunks: int, part: Part) -> tuple[int, int]:
    """Return the first chunk of a part and the one after its last: parts differ by one chunk at most."""
    number, count = part
    return (number - 1) * chunks // count, number * chunks // count


def chunks(samples: Iterator[T], length: int) -> Iterator[list[T]]:
    """Yield items in lists of one length, the last one shorter.

    Args:
        samples: the items.
        length: the length of a list.

    Yields:
        The lists.

    Example:
        >>> list(chunks(iter("abcde"), 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    while chunk := list(itertools.islice(samples, length)):
        yield chunk
