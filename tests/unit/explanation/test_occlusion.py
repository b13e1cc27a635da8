"""Occlusion maps against loops, and on networks that are known to look at one place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dcdan.explanation.occlusion import enlarged, log_odds, occluded, occlusion_maps


def faces(count: int, side: int = 20) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(("grid", "window"), [(5, 1.5), (4, 1.0), (2, 2.0)])
def test_cells_are_covered_one_at_a_time(grid: int, window: float) -> None:
    some = faces(2)
    found = occluded(some, grid, window)
    for n in range(2):
        mean = [round(float(some[n, ..., c].astype(float).mean())) for c in range(3)]
        for cell in range(grid * grid):
            row, column = divmod(cell, grid)
            wanted = some[n].copy()
            for y in range(20):
                for x in range(20):
                    inside = all(
                        abs((place + 0.5) - (at + 0.5) * 20 / grid) < window * 20 / grid / 2
                        for place, at in ((y, row), (x, column))
                    )
                    if inside:
                        wanted[y, x] = mean
            np.testing.assert_array_equal(found[n, cell], wanted)


def looks_at(rows: slice, columns: slice) -> object:
    """A network whose first probability is the brightness of one place, between .1 and .9."""

    def answer(given: NDArray[np.uint8]) -> NDArray[np.float32]:
        p = 0.1 + 0.8 * given[:, rows, columns].astype(np.float32).mean((1, 2, 3)) / 255
        return np.stack([p, 1 - p], 1)

    return answer


def test_the_place_that_matters_is_found_with_its_sign() -> None:
    face = np.zeros((1, 20, 20, 3), np.uint8)
    face[0, 8:12, 12:16] = 255
    answer = looks_at(slice(8, 12), slice(12, 16))
    whole = answer(face)  # type: ignore[operator]
    for chosen, sign in ((0, 1), (1, -1)):
        (found,) = occlusion_maps(answer, face, np.array([chosen]), whole[:, chosen], 5, 1.0)  # type: ignore[arg-type]
        assert np.unravel_index(np.abs(found).argmax(), (5, 5)) == (2, 3)
        assert np.sign(found[2, 3]) == sign
        assert np.abs(np.delete(found.ravel(), 13)).max() < 1e-5
    covered = 0.1 + 0.8 * round(face.mean()) / 255
    assert occlusion_maps(answer, face, np.array([0]), whole[:, 0], 5, 1.0)[0, 2, 3] == pytest.approx(  # type: ignore[arg-type]
        np.log(0.9 / 0.1) - np.log(covered / (1 - covered)), abs=1e-4
    )


def test_faces_are_explained_alone_or_together_alike() -> None:
    some, answer = faces(7), looks_at(slice(0, 10), slice(5, 20))
    chosen = np.array([0, 1, 0, 1, 1, 0, 0])
    whole = np.take_along_axis(answer(some), chosen[:, None], 1)[:, 0]  # type: ignore[operator]
    together = occlusion_maps(answer, some, chosen, whole)  # type: ignore[arg-type]
    for n in range(7):
        one = slice(n, n + 1)
        alone = occlusion_maps(answer, some[one], chosen[one], whole[one])  # type: ignore[arg-type]
        np.testing.assert_allclose(together[one], alone, atol=1e-6)


def test_log_odds_stay_finite() -> None:
    found = log_odds(np.array([0.0, 0.5, 1.0], np.float32))
    assert np.isfinite(found).all()
    assert found[1] == pytest.approx(0)
    assert found[0] == pytest.approx(-found[2])


def test_maps_are_enlarged_between_the_centres_of_their_cells() -> None:
    cells = np.random.default_rng(2).random((3, 5, 5)).astype(np.float32)
    found = enlarged(cells, 25)
    np.testing.assert_allclose(found[:, 2::5, 2::5], cells, atol=1e-6)
    np.testing.assert_allclose(found[:, 2, 3], 0.8 * cells[:, 0, 0] + 0.2 * cells[:, 0, 1], atol=1e-6)
    assert enlarged(cells[:0], 25).shape == (0, 25, 25)
