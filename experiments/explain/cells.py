"""The raw values of docs/results/explain: one Parquet file, one row for each face and action or map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

CELLS = "cells.parquet"
ACTION, MAP = "action", "map"


def replace_rows(folder: Path, kind: str, names: Sequence[str], first: np.ndarray, second: np.ndarray) -> None:
    """Replace the rows of one kind in ``cells.parquet`` and keep those of the other.

    Args:
        folder: docs/results/explain or another folder.
        kind: ``action``: ``first`` is the model's estimate, ``second`` the teacher's score (its square root);
            ``map``: the areas under the deletion and the insertion curve.
        names: A actions or maps.
        first: (N, A) of N faces.
        second: (N, A).
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    count = len(first)
    new = pa.table(
        {
            "kind": pa.array([kind] * first.size).dictionary_encode(),
            "face": pa.array(np.tile(np.arange(count, dtype=np.int32), len(names))),
            "name": pa.array(np.repeat(np.array(names), count).tolist()).dictionary_encode(),
            "first": pa.array(np.asarray(first, np.float32).T.ravel()),
            "second": pa.array(np.asarray(second, np.float32).T.ravel()),
        }
    )
    path = folder / CELLS
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        old = pq.read_table(path)
        new = pa.concat_tables(
            [old.filter(pc.not_equal(old["kind"].cast(pa.string()), kind)), new]
        ).unify_dictionaries()
    pq.write_table(new, path, compression="zstd", use_dictionary=True)


def read_rows(folder: Path, kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return name -> (first, second), each ``(N,)`` in the order of the faces."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / CELLS).to_pydict()
    kinds, names = np.array(table["kind"]), np.array(table["name"])
    faces = np.array(table["face"])
    first, second = np.array(table["first"], np.float64), np.array(table["second"], np.float64)
    found = {}
    for name in dict.fromkeys(names[kinds == kind].tolist()):
        rows = np.flatnonzero((kinds == kind) & (names == name))
        rows = rows[np.argsort(faces[rows])]
        found[name] = first[rows], second[rows]
    return found
