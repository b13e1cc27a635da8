"""What all readers share: the registry, splits, limits; and that nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import DataError
from dcdan.datasets.reader import Reader, ReaderOptions, Sample, draw, take
from dcdan.datasets.registry import readers
from dcdan.expressions import EXPRESSIONS


class Numbered(Reader):
    """Ten samples, the even ones for training."""

    name = "numbered"
    title = "Numbered"
    licence = "none"

    def samples(self) -> Iterator[Sample]:
        self.skip("odd weather")
        for number in range(10):
            yield Sample(str(number), split="train" if number % 2 == 0 else "test")


def paths(**options: object) -> list[str]:
    return [sample.path for sample in Numbered(None, ReaderOptions.model_validate(options)).selected()]


def test_every_reader_says_what_it_is() -> None:
    found = readers()
    assert {"ferplus", "lfw_expressions", "folder", "class_folders", "manifest", "synthetic"} <= found.keys()
    for name, reader in found.items():
        assert reader.name == name
        assert reader.title
        assert reader.licence
        assert set(reader.Options.model_fields) >= {"split", "limit", "seed"}
        assert set(reader.classes) <= set(EXPRESSIONS)


def test_a_split_and_a_limit_choose_samples() -> None:
    assert paths() == list("0123456789")
    assert paths(split="test") == list("13579")
    some = paths(limit=4)
    assert len(some) == 4
    assert some == sorted(some)
    assert paths(limit=4, seed=1) != some
    assert paths(limit=4) == some
    assert paths(limit=99) == list("0123456789")
    assert set(paths(split="train", limit=2)) < set("02468")


def test_what_is_skipped_is_counted_once_however_often_it_is_read() -> None:
    reader = Numbered(None, ReaderOptions())
    list(reader.selected())
    list(reader.selected())
    assert reader.skipped == {"odd weather": 1}


def test_a_split_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="has no split 'dev'; its splits are: test, train"):
        paths(split="dev")


def test_take_and_draw_agree_and_are_fair() -> None:
    samples = [Sample(str(number)) for number in range(50)]
    counts = np.zeros(50)
    for seed in range(200):
        taken = [int(sample.path) for sample in take(iter(samples), 10, seed)]
        assert taken == draw(np.arange(50), 10, seed).tolist()
        counts[taken] += 1
    # 200 draws of probability 0.2: mean 40, deviation 5.7; six deviations leave no doubt.
    assert counts.sum() == 2000
    assert counts.min() > 40 - 34
    assert counts.max() < 40 + 34


def test_the_registry_imports_neither_torch_nor_arrow() -> None:
    code = (
        "import sys; from dcdan.datasets.registry import readers; readers(); import dcdan.packs.build;"
        "print(sorted({'torch', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"
