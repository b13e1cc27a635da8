"""The worked example "Add a data set" of docs/datasets.md is a reader that works."""

from __future__ import annotations

import re
import types
from collections import Counter
from pathlib import Path

import pytest

from dcdan.core.errors import DataError
from dcdan.datasets import registry
from dcdan.datasets.spec import open_reader, parse_spec
from drawn_data import write_picture

PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(registry.readers())
    monkeypatch.setattr(registry, "_REGISTRY", known)
    section = PAGE.read_text(encoding="utf-8").split("## Add a data set")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), types.ModuleType("smiles").__dict__)
    assert "smiles" in known


@pytest.mark.usefixtures("example")
def test_the_documented_reader_reads_its_set(tmp_path: Path) -> None:
    for name in ("anna_03_happy", "bob_01_angry", "bob_02_neutral", "holiday"):
        write_picture(tmp_path / "faces" / f"{name}.png")
    reader = open_reader(parse_spec(str(tmp_path)))
    assert (reader.name, reader.layout) == ("smiles", "as released")
    samples = list(reader.selected())
    assert [(reader.classes[sample.label], sample.subject) for sample in samples] == [
        ("happiness", "anna"),
        ("anger", "bob"),
        ("neutral", "bob"),
    ]
    assert reader.skipped == {"picture whose name is not like anna_03_happy.png": 1}
    assert sum(reader.official()[""].values()) == 480
    assert reader.load(samples[0]).shape == (24, 24, 3)
    folded = open_reader(parse_spec(f"smiles:{tmp_path}?folds=2"))
    assert Counter(sample.split for sample in folded.selected()) in ({"train": 2, "test": 1}, {"train": 1, "test": 2})


@pytest.mark.usefixtures("example")
def test_the_documented_reader_refuses_another_folder(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"Smiles needs faces/NAME_NUMBER_WORD.png in '.*'; found: cats"):
        open_reader(parse_spec(f"smiles:{tmp_path}"))


def test_every_reader_has_a_section_and_a_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in registry.readers():
        assert f"`{name}`" in text
    long = [line for line in text.splitlines() if len(line) > 106 and not line.startswith(("|", "!"))]
    assert long == []
