"""Optimal assignment of rows to columns at the least total cost, to match the faces of successive frames.

Shortest augmenting paths with dual variables (Jonker and Volgenant, Computing 38, 1987; rectangular form of Crouse,
IEEE Transactions on Aerospace and Electronic Systems 52(4), 2016), with one vectorised step per visited column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]


def assign(costs: npt.ArrayLike) -> tuple[Indices, Indices]:
    """Pair rows with columns at the least total cost; every element of the shorter side is paired.

    Args:
        costs: ``(m, n)`` finite costs; m or n may be 0.

    Returns:
        ``(k,)`` row indices in ascending order and their ``(k,)`` column indices, with k = min(m, n).

    Raises:
        ValueError: ``costs`` is not a finite matrix.

    Example:
        >>> rows, columns = assign([[4, 1], [2, 0]])
        >>> rows.tolist(), columns.tolist()
        ([0, 1], [1, 0])
    """
    matrix = np.asarray(costs, np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"costs must be a finite matrix, not of shape {matrix.shape}")
    if matrix.shape[0] <= matrix.shape[1]:
        return np.arange(len(matrix)), _columns_of_rows(matrix)
    rows = _columns_of_rows(matrix.T)
    order = np.argsort(rows)
    return rows[order], order


def assign_within(costs: npt.ArrayLike, limit: float) -> tuple[Indices, Indices]:
    """Pair rows with columns at the least total cost, where leaving a row and a column unpaired costs ``limit``.

    Args:
        costs: ``(m, n)`` costs; infinity forbids a pair.
        limit: Every pair costs less than this.

    Returns:
        ``(k,)`` row indices in ascending order and their ``(k,)`` column indices, with k <= min(m, n).

    Example:
        >>> rows, columns = assign_within([[0.2, 0.9], [0.8, 3.0]], 1.0)
        >>> rows.tolist(), columns.tolist()
        ([0], [0])
    """
    capped = np.minimum(np.asarray(costs, np.float64), limit)
    rows, columns = assign(capped)
    paired = capped[rows, columns] < limit
    return rows[paired], columns[paired]


def _columns_of_rows(costs: Costs) -> Indices:
    """Return the column of each row of an (m, n) matrix with m <= n."""
    m, n = costs.shape
    row_of, column_of = np.full(n, -1, np.int64), np.full(m, -1, np.int64)
    row_price, column_price = np.zeros(m), np.zeros(n)
    for start in range(m):
        reach = np.full(n, np.inf)  # length of the shortest path from `start` to each column
        before = np.full(n, -1, np.int64)  # the row from which that path enters the column
        open_columns: npt.NDArray[np.bool_] = np.ones(n, np.bool_)
        visited, row, length, end = [start], start, 0.0, -1
        while end < 0:
            through = length + costs[row] - row_price[row] - column_price
            shorter = open_columns & (through < reach)
            reach[shorter], before[shorter] = through[shorter], row
            column = int(np.argmin(np.where(open_columns, reach, np.inf)))
            length = float(reach[column])
            open_columns[column] = False
            row = int(row_of[column])
            if row < 0:
                end = column
            else:
                visited.append(row)
        others = np.array(visited[1:], np.int64)
        row_price[start] += length
        row_price[others] += length - reach[column_of[others]]
        closed = ~open_columns
        column_price[closed] -= length - reach[closed]
        while end >= 0:
            row = int(before[end])
            row_of[end] = row
            column_of[row], end = end, column_of[row]
            if row == start:
                break
    return column_of
