"""Names in order, with and without a temporary file."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.images import name_order
from dcdan.images.name_order import in_order

# What os.scandir gives for bytes that are no UTF-8 is a surrogate, which must come back as it was.
NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff\n"), min_size=1
).filter(lambda name: name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == name)


@given(st.lists(NAMES, max_size=40), st.integers(1, 9), st.integers(1, 40))
def test_the_order_is_that_of_sorted(names: list[str], run: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name_order, "_RUN", run)
        patch.setattr(name_order, "_BLOCK", block)
        assert list(in_order(names)) == sorted(names)


def test_without_room_for_a_file_memory_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError("no usable temporary folder")

    monkeypatch.setattr(name_order, "_RUN", 2)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert list(in_order("edcba")) == list("abcde")
