"""Is a data set whole, and does it leak: counts beside the published ones, broken pictures, doubled images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dcdan.audit.counts import class_of, compared, counted, official_counts, ordered_splits
from dcdan.audit.duplicates import DISTANCE, DUPLICATE_KINDS, FARTHEST, Doubles, doubles_between, doubles_within, groups
from dcdan.audit.inspection import STATUSES, InspectionListing, inspect, listing, samples_at
from dcdan.audit.report import CheckReport, Double, Failure
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
    """Check a data set.

    Args:
        data: a spec (``reader:path?option=value``), a folder, or a reader.
        against: another one, whose doubles among the images of the first are reported too.
        distance: bits of 64 in which the fingerprints of near doubles may differ, 0 to 16 (see ``data/doubles.py``).
        quick: only count; no picture is opened, so nothing is said of broken and doubled ones.
        workers: processes, None for one per core. progress: show a bar on stderr when that is a terminal.

    Raises:
        UsageError, DataError: for a spec that names nothing, nothing to check, or a distance out of range.
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
    return (data, data.name) if isinstance(data, Reader) else (open_reader(parse_spec(data)), data)


def _listed(reader: Reader) -> InspectionListing:
    listed = listing(reader)
    if not len(listed):
        raise nothing_selected(reader, "check")
    return listed


def _with_pictures(
    report: CheckReport, reader: Reader, listed: InspectionListing, prints: np.ndarray, distance: int
) -> CheckReport:
    doubles = doubles_within(prints, distance)
    roots = groups(doubles, len(prints))
    broken = np.flatnonzero(prints["status"] != STATUSES.index(Status.OK))
    plain = np.flatnonzero(prints["plain"] & (prints["status"] == STATUSES.index(Status.OK)))
    samples = samples_at(reader, np.concatenate([broken, plain, doubles.first, doubles.second]))
    failures = [_failure(reader, samples[place], STATUSES[prints["status"][place]]) for place in broken.tolist()]
    statuses = Counter(STATUSES[code] for code in prints["status"].tolist())
    return report.with_pictures(
        statuses={str(status): number for status, number in statuses.most_common()},
        failures=tuple(failures),
        plain=tuple(samples[place].path for place in plain.tolist()),
        distance=distance,
        doubles=tuple(_named(doubles, reader, samples, reader, samples, roots)),
        cut_short=doubles.cut_short,
        doubled=doubled_images(roots, listed),
    )


def _with_other(
    report: CheckReport, reader: Reader, prints: np.ndarray, other: Reader, others: np.ndarray, spec: str
) -> CheckReport:
    assert report.distance is not None
    doubles = doubles_between(prints, others, report.distance)
    mine, theirs = samples_at(reader, doubles.first), samples_at(other, doubles.second)
    return report.with_other(
        against=spec,
        against_images=len(others),
        leaks=tuple(_named(doubles, reader, mine, other, theirs, None)),
        leaked=len(np.unique(doubles.first)),
        cut_short=doubles.cut_short,
    )


def doubled_images(roots: np.ndarray, listed: InspectionListing) -> dict[str, dict[str, int]]:
    """Return split -> other split -> images of the first that have a double in the other (or once more in the first).

    roots: (N,) the group of doubles that each image is in, as `doubles.groups` gives it.
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
    return Failure(sample.path, sample.split, class_of(reader, sample), str(status))


def _named(
    doubles: Doubles,
    reader: Reader,
    samples: dict[int, Sample],
    other: Reader,
    others: dict[int, Sample],
    roots: np.ndarray | None,
) -> Iterator[Double]:
    columns = (doubles.first, doubles.second, doubles.kinds, doubles.distances)
    numbers: dict[int, int] = {}
    for first, second, kind, apart in zip(*(column.tolist() for column in columns), strict=True):
        one, two = samples[first], others[second]
        group = None if roots is None else numbers.setdefault(int(roots[first]), len(numbers) + 1)
        yield Double(
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
