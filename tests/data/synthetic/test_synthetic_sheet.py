"""The contact sheet has every expression and domain, and is the same each time."""

from __future__ import annotations

import numpy as np

from dcdan.data.synthetic.sheet import contact_sheet


def test_layout_and_reproducibility() -> None:
    sheet = contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=1)
    assert sheet.shape == (2 * 48, 48 + 2 * 48 + 6 + 2 * 48, 3)
    assert sheet.dtype == np.uint8
    assert np.array_equal(sheet, contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=1))
    assert not np.array_equal(sheet, contact_sheet(expressions=("happiness", "anger"), columns=2, size=48, seed=2))


def test_one_domain_alone() -> None:
    sheet = contact_sheet(("street",), expressions=("fear",), columns=3, size=48)
    assert sheet.shape == (48, 48 + 3 * 48, 3)
    assert np.ptp(sheet[:, 48:].astype(int), axis=-1).mean() > 10
