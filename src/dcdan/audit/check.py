"""The check of a data set: counts against the published ones, broken pictures, duplicate images, leaks between sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dcdan.audit.counts import class_of, compared, counted, official_counts, ordered_splits
from dcdan.audit.duplicates import (
    DISTANCE,
    DUPLICATE_KINDS,
    FARTHEST,
    Duplicates,
    duplicates_between,
    duplicates_within,
    groups,
)
from dcdan.audit.inspection import STATUSES, InspectionListing, inspect, listing, samples_at
from dcdan.audit.report import CheckReport, Duplicate, Failure
from dcdan.core.errors import UsageError
from dcdan.datasets.listing import nothing_selected
from dcdan.datasets.reader import Reader, Sample
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.status import Status


def check(
    data: str | Reader,
    *,
    against: str | Reader | None = None,
    distance: int = DISTANCE,
    quick: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> CheckReport:
    """Check a data set: count its images, decode every picture, and search for duplicates.

    Args:
        data: a spec (`reader:path?option=value`), a folder, or a reader.
        against: a second data set. Images of the first that have a duplicate in it are reported as leaks.
        distance: bits of 64 in which the fingerprints of near duplicates may differ, 0 to 16.
        quick: count only. No picture is opened, so broken and duplicate images are not reported.
        workers: processes, None for one per core.
        progress: show a bar on stderr when that is a terminal.

    Returns:
        The findings. Findings are not errors: nothing is raised for a broken picture.

    Raises:
        UsageError: the distance is out of range, an option is unknown, or `quick` and `against` are both given.
        DataError: a spec names nothing, or a reader selects no sample.
    """
    if not 0 <= distance <= FARTHEST:
        raise UsageError(f"A distance of {distance} bits is not possible: choose from 0 to {FARTHEST}.")
    if quick and against is not None:
        raise UsageError("A quick check opens no picture, so it compares none: leave out quick or against.")
    reader, spec = _opened(data)
    other, other_spec = _opened(against) if against is not None else (None, "")
    listed = _listed(reader)
    official = official_counts(reader)
    pairs = zip(listed.split_codes.tolist(), listed.labels.tolist(), strict=True)
    named = ((listed.splits[code], reader.classes[label] if label >= 0 else "") for code, label in pairs)
    report = CheckReport(
        spec=spec,
        reader=reader.name,
        title=reader.title,
        layout=reader.layout,
        split_rule=reader.split_rule,
        images=len(listed),
        lines=tuple(compared(counted(named, reader.classes), official)),
        published=bool(official),
        skipped=dict(sorted(reader.skipped.items())),
        notes=tuple(reader.notes),
        warnings=tuple(dict.fromkeys(reader.warnings)),
    )
    if quick:
        return report
    prints = inspect(reader, len(listed), workers=workers, progress=progress)
    report = _with_pictures(report, reader, listed, prints, distance)
    if other is None:
        return report
    others = inspect(other, len(_listed(other)), workers=workers, progress=progress)
    return _with_other(report, reader, prints, other, others, other_spec)


def _opened(data: str | Reader) -> tuple[Reader, str]:
    """Return a reader and its spec."""
    return (data, data.name) if isinstance(data, Reader) else (open_reader(parse_spec(data)), data)


def _listed(reader: Reader) -> InspectionListing:
    """List a data set that must not be empty."""
    listed = listing(reader)
    if not len(listed):
        raise nothing_selected(reader, "check")
    return listed


def _with_pictures(
    report: CheckReport, reader: Reader, listed: InspectionListing, prints: np.ndarray, distance: int
) -> CheckReport:
    """Add the findings about pictures and duplicates."""
    duplicates = duplicates_within(prints, distance)
    roots = groups(duplicates, len(prints))
    broken = np.flatnonzero(prints["status"] != STATUSES.index(Status.OK))
    plain = np.flatnonzero(prints["plain"] & (prints["status"] == STATUSES.index(Status.OK)))
    samples = samples_at(reader, np.concatenate([broken, plain, duplicates.first, duplicates.second]))
    failures = [_failure(reader, samples[place], STATUSES[prints["status"][place]]) for place in broken.tolist()]
    statuses = Counter(STATUSES[code] for code in prints["status"].tolist())
    return report.with_pictures(
        statuses={str(status): number for status, number in statuses.most_common()},
        failures=tuple(failures),
        plain=tuple(samples[place].path for place in plain.tolist()),
        distance=distance,
        duplicates=tuple(_named(duplicates, reader, samples, reader, samples, roots)),
        cut_short=duplicates.cut_short,
        duplicated=duplicated_images(roots, listed),
    )


def _with_other(
    report: CheckReport, reader: Reader, prints: np.ndarray, other: Reader, others: np.ndarray, spec: str
) -> CheckReport:
    """Add the findings of the comparison with another set."""
    assert report.distance is not None
    duplicates = duplicates_between(prints, others, report.distance)
    mine, theirs = samples_at(reader, duplicates.first), samples_at(other, duplicates.second)
    return report.with_other(
        against=spec,
        against_images=len(others),
        leaks=tuple(_named(duplicates, reader, mine, other, theirs, None)),
        leaked=len(np.unique(duplicates.first)),
        cut_short=duplicates.cut_short,
    )


def duplicated_images(roots: np.ndarray, listed: InspectionListing) -> dict[str, dict[str, int]]:
    """Count the images of each split that have a duplicate in each split.

    Args:
        roots: `(N,)` the group of duplicates that each image is in, as `duplicates.groups` returns it.
        listed: the splits of the N images.

    Returns:
        split -> other split -> images of the first with a duplicate in the other. An image counts within its own split
        when that holds another image of its group.
    """
    _, which = np.unique(roots, return_inverse=True)
    members = np.zeros((which.max(initial=-1) + 1, len(listed.splits)), np.int64)
    np.add.at(members, (which, listed.split_codes), 1)
    code = {split: place for place, split in enumerate(listed.splits)}
    names = ordered_splits(listed.splits)
    return {
        split: {other: int(members[members[:, code[other]] > (split == other), code[split]].sum()) for other in names}
        for split in names
    }


def _failure(reader: Reader, sample: Sample, status: Status) -> Failure:
    """Describe a picture that could not be decoded."""
    return Failure(sample.path, sample.split, class_of(reader, sample), str(status))


def _named(
    duplicates: Duplicates,
    reader: Reader,
    samples: dict[int, Sample],
    other: Reader,
    others: dict[int, Sample],
    roots: np.ndarray | None,
) -> Iterator[Duplicate]:
    """Yield duplicates with paths, splits and labels."""
    columns = (duplicates.first, duplicates.second, duplicates.kinds, duplicates.distances)
    numbers: dict[int, int] = {}
    for first, second, kind, apart in zip(*(column.tolist() for column in columns), strict=True):
        one, two = samples[first], others[second]
        group = None if roots is None else numbers.setdefault(int(roots[first]), len(numbers) + 1)
        yield Duplicate(
            kind=DUPLICATE_KINDS[kind],
            distance=apart,
            group=group,
            path=one.path,
            split=one.split,
            label=class_of(reader, one),
            other_path=two.path,
            other_split=two.split,
            other_label=class_of(other, two),
        )
