"""The reliability diagram is a picture of the right bins."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from dcdan.metrics.calibration import binned
from dcdan.plots.reliability import bins_of, reliability_png
from dcdan.training.calibration import calibrated


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_bars_are_as_high_as_the_answers_are_right() -> None:
    confidence = np.linspace(0.05, 0.95, 50)
    right, wrong = (_pixels(reliability_png(binned(confidence, np.full(50, value)))) for value in (True, False))
    blue = [((picture - (0x1D, 0x4E, 0x89)) ** 2).sum(2) < 30 for picture in (right, wrong)]
    assert min(right.shape[:2]) > 500
    assert blue[0].mean() > 0.2
    assert blue[1].mean() < 0.01


def test_the_line_of_before_and_titles_are_drawn_without_a_warning() -> None:
    bins = binned([0.5, 0.9, 1.0], [1, 0, 1])
    plain = reliability_png(bins, title="t", subtitle="s")
    assert plain.startswith(b"\x89PNG")
    assert reliability_png(bins, binned([0.2], [1]), title="t", subtitle="s") != plain


def test_without_answers_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no answer"):
        reliability_png(binned([], []))


def test_bins_come_back_from_json() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 80)
    found = calibrated(p, p.argmax(1), 0.9)
    metadata = json.loads(json.dumps(found.for_run()))
    assert found.before is not None
    back = bins_of(metadata["before"])
    assert back.faces.tolist() == found.before.faces.tolist()
    np.testing.assert_allclose(back.accuracy, found.before.accuracy, atol=1e-6)
    assert back.error == pytest.approx(found.before.error, abs=1e-6)


def test_bars_are_the_accuracies_and_gaps_of_their_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overconfident and underconfident bins, by hand: left end, height, and where each bar starts."""
    drawn: list[tuple[list[float], list[float], list[float], str]] = []
    real = Axes.bar

    def bar(self: Axes, x: Any, height: Any, width: Any = 0.8, bottom: Any = 0, **options: Any) -> Any:
        shape = np.shape(height)
        starts = np.broadcast_to(bottom, shape)
        drawn.append((list(np.broadcast_to(x, shape)), list(height), list(starts), options.get("label", "")))
        return real(self, x, height, width, bottom, **options)

    monkeypatch.setattr(Axes, "bar", bar)
    # 15 bins: .9 is in the fourteenth, half of it correct; .3 in the fifth, all of it correct.
    reliability_png(binned([0.9, 0.9, 0.3], [1, 0, 1]))
    both, more, less, faces = drawn
    assert both[0] == pytest.approx([4 / 15, 13 / 15])
    assert both[1] == pytest.approx([0.3, 0.5])
    assert (more[1], more[2]) == (pytest.approx([0.7, 0.0]), pytest.approx([0.3, 0.5]))
    assert (less[1], less[2]) == (pytest.approx([0.0, 0.4]), pytest.approx([0.3, 0.5]))
    assert [int(count) for count in faces[1]] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]
