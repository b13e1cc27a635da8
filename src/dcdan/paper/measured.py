"""The rows that folders of results hold, each over its seeds, with the interval of its accuracy.

Three layouts are read, at any depth: ``cells.parquet`` of ``dcdan benchmark``, and the same cells as files, either in
a folder for each (``CELL/scores.json`` and ``CELL/run.json``) or side by side (``CELL.scores.json``).
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcdan.benchmark.cells import RUN, SCORES, holds_cells, read_cells
from dcdan.core.errors import DataError
from dcdan.core.limits import read_json
from dcdan.metrics.intervals import Interval, wilson

TRUNKS: dict[str, str] = {"resnet50": "ResNet-50", "mobilenetv2_100": "MobileNet-V2"}
"""The paper's trunks by their names in timm; other widths are other trunks."""
DATA_SETS: dict[str, str] = {
    "ferplus": "FERPlus",
    "rafdb": "RAF-DB",
    "affectnet": "AffectNet",
    "expw": "ExpW",
    "sfew": "SFEW 2.0",
    "sfew2": "SFEW 2.0",
    "sfew20": "SFEW 2.0",
    "jaffe": "JAFFE",
}
"""The paper's data sets by what readers and plans call them, in small letters and digits."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One row of a results table on one test set, over its seeds.

    Attributes:
        folder: folder of the results.
        row: name of the row in its table.
        source: labelled data set of the training: its name in the paper where it is one of the paper's sets, else its
            spec.
        target: unlabelled data set of the adaptation, named likewise.
        tested: data set that was scored, named likewise.
        test: name of the test set in the plan.
        split: split that was scored.
        trunk: name of the trunk in the paper where it is one of the paper's, else in timm.
        size: side of the faces, pixels; None where it was not recorded.
        seeds: the seeds, in ascending order.
        images: number of faces that were scored with each seed.
        accuracies: accuracy with each seed, 0..1.
    """

    folder: str
    row: str
    source: str
    target: str
    tested: str
    test: str
    split: str
    trunk: str
    size: int | None
    seeds: tuple[int, ...]
    images: int
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the seeds, 0..1."""
        return statistics.fmean(self.accuracies)

    @property
    def sd(self) -> float | None:
        """Standard deviation (n - 1) of the accuracy over the seeds; None for one seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def interval(self) -> Interval:
        """95 % Wilson interval of the mean accuracy over the number of faces, 0..1.

        All seeds are scored on the same faces, so more seeds do not count as more faces.
        """
        return wilson(round(self.accuracy * self.images), self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes and statistics as plain JSON types."""
        metadata = {name: getattr(self, name) for name in self.__slots__}
        lists = {"seeds": list(self.seeds), "accuracies": list(self.accuracies)}
        return metadata | lists | {"accuracy": self.accuracy, "sd": self.sd, "accuracy_95": list(self.interval)}


def read_results(folders: Sequence[Path]) -> tuple[MeasuredRow, ...]:
    """Read the rows that folders of results hold. A score that is there twice counts once.

    Args:
        folders: the folders, each with everything below it. Parquet files of other tables are left out.

    Returns:
        One row for each method, pair of data sets, trunk and settings, in the order of the files.

    Raises:
        DataError: when a folder is missing or holds no scores, when a file cannot be read, or when one row has two
            different scores for a seed.
    """
    groups: dict[tuple[Any, ...], dict[int, float]] = {}
    seen: set[str] = set()
    for folder in folders:
        for file, place, scores, metadata in _cells(folder):
            for score in scores:
                content = hashlib.sha256(json.dumps([score, metadata], sort_keys=True).encode()).hexdigest()
                if content not in seen:
                    seen.add(content)
                    _add(groups, place, score, metadata, file)
    return tuple(_row(key, by_seed) for key, by_seed in groups.items())


def data_set_of(*names: str) -> str | None:
    """Return the paper's name of the data set that a spec or name stands for.

    Args:
        names: specs or names of one data set; the first that is one of the paper's sets decides.

    Returns:
        A value of :data:`DATA_SETS`; None for another data set, and for one that a spec corrupts (``?shift=blur``).

    Example:
        >>> data_set_of("raf_db:basic?split=test"), data_set_of("packs/a", "RAF-DB")
        ('RAF-DB', 'RAF-DB')
        >>> data_set_of("ferplus:x?shift=blur") is None
        True
    """
    if any(re.search(r"[?&]shift=", name) for name in names):
        return None
    words = (re.sub(r"[^a-z0-9]", "", name.partition(":")[0].lower()) for name in names)
    return next((DATA_SETS[word] for word in words if word in DATA_SETS), None)


def _cells(folder: Path) -> Iterator[tuple[Path, str, Sequence[Any], Any]]:
    """Yield the cells below a folder: file, folder of the whole table, scores, and ``run.json`` or {}."""
    if not folder.is_dir():
        raise DataError(f"There is no folder '{folder}': give one that holds the results of a benchmark.")
    tables = [file for file in sorted(folder.rglob("*.parquet")) if file.is_file() and holds_cells(file)]
    files = sorted(
        path for path in folder.rglob(f"*{SCORES}") if path.name == SCORES or path.name.endswith("." + SCORES)
    )
    if not files and not tables:
        raise DataError(f"'{folder}' holds no cells.parquet or {SCORES}: give the folder of a benchmark's results.")
    for table in tables:
        for cell in read_cells(table, answers=False):
            yield table, str(table.parent), cell.reports, cell.run or {}
    for file in files:
        run = file.with_name(file.name.removesuffix(SCORES) + RUN)
        yield file, _table_folder(file), _scores(file), _load(run) if run.is_file() else {}


def _load(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        raise DataError(f"'{path}' cannot be read as JSON: run its benchmark again, or remove it.") from None


def _scores(path: Path) -> list[Any]:
    found = _load(path)
    if not isinstance(found, list):
        raise _no_scores(path)
    return found


def _no_scores(path: Path) -> DataError:
    return DataError(f"'{path}' is no list of scores of this dcdan: run its benchmark again, or remove it.")


def _table_folder(scores: Path) -> str:
    """Return the folder of the whole table: cells have folders of their own, or share it with a name before the dot."""
    return str(scores.parent.parent if scores.name == SCORES else scores.parent)


def _add(groups: dict[tuple[Any, ...], dict[int, float]], folder: str, score: Any, run: Any, file: Path) -> None:
    """File a score under what makes a row: everything but the seed."""
    try:
        settings = dict(run.get("settings", {}))
        settings.pop("seed", None)
        source, target = run.get("source", {}).get("spec", ""), run.get("target", {}).get("spec", "")
        key = (
            folder,
            str(score["row"]),
            data_set_of(source, score.get("source", "")) or source or score.get("source", "?"),
            data_set_of(target, score.get("target", "")) or target or score.get("target", "?"),
            _tested(score, run),
            str(score["test"]),
            str(score["split"]),
            _trunk(settings.get("network", {}).get("trunk") or score.get("trunk", "?")),
            settings.get("size"),
            int(score["images"]),
            json.dumps(settings, sort_keys=True),
        )
        seed, accuracy = int(score["seed"]), float(score["accuracy"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"'{file}' is no list of scores of this dcdan: run its benchmark again, or remove it."
        ) from None
    if groups.setdefault(key, {}).setdefault(seed, accuracy) != accuracy:
        raise DataError(f"'{folder}' has two different scores of '{key[1]}' at seed {seed}: remove the wrong one.")


def _tested(score: dict[str, Any], run: dict[str, Any]) -> str:
    """Return the data set that was scored; a pack is known by the checksum of its faces, whatever its path."""
    faces = score.get("provenance", {}).get("faces_sha256")
    for side in ("target", "source"):
        domain = run.get(side, {})
        if faces and faces == domain.get("sha256", {}).get("faces.npy") and "shift=" not in score["data"]:
            return data_set_of(domain["spec"], score.get(side, "")) or str(domain["spec"])
    return data_set_of(score["data"], score["test"]) or str(score["data"])


def _trunk(name: str) -> str:
    return TRUNKS.get(name.partition(".")[0], name)


def _row(key: tuple[Any, ...], by_seed: dict[int, float]) -> MeasuredRow:
    names = ("folder", "row", "source", "target", "tested", "test", "split", "trunk", "size", "images")
    seeds = tuple(sorted(by_seed))
    metadata = dict(zip(names, key[:-1], strict=True))
    return MeasuredRow(**metadata, seeds=seeds, accuracies=tuple(by_seed[seed] for seed in seeds))
