"""What a plan is spread out into, and what makes two cells or stages the same."""

from __future__ import annotations

from typing import Any

import pytest

from dcdan.benchmark import plan as module
from dcdan.benchmark.plan import Cell, Plan, cells_of
from dcdan.methods.dcdan import DCDAN

SEVEN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def cells(classes: dict[str, tuple[str, ...]] | None = None, **values: Any) -> list[Cell]:
    """Return the cells of a small plan, with other values."""
    plan = {
        "title": "A plan",
        "sources": [{"name": "A", "data": "packs/a"}],
        "targets": [{"name": "B", "data": "packs/b"}],
        "seeds": [0],
        "settings": {"pretrained": "no"},
        "methods": [{"key": "ours", "name": "Ours", "settings": {"method": "dcdan"}}],
        **values,
    }
    return list(cells_of(Plan.model_validate(plan), classes or {}))


def test_the_code_and_the_teacher_are_part_of_a_cells_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """F7. Cells of other code or of another teacher are not reused; nor are stages."""

    def digests(**values: Any) -> tuple[str, str]:
        (cell,) = cells(**values)
        return cell.digest, cell.stage.folder

    before, other = digests(), digests(settings={"pretrained": "no", "teacher": 0.5})
    assert other[0] != before[0]
    assert other[1] == before[1], "the common source stage has no teacher"
    monkeypatch.setattr(DCDAN, "revision", DCDAN.revision + 1)
    assert digests()[0] != before[0]
    monkeypatch.undo()
    monkeypatch.setattr(module, "TRAINING_REVISION", module.TRAINING_REVISION + 1)
    assert not set(digests()) & set(before)


def test_a_stage_with_a_teacher_depends_on_it() -> None:
    """F7. EfficientFace learns from its teacher in the source stage."""
    rows = [{"key": "row", "name": "Row", "settings": {"method": "efficientface"}}]
    folders = {
        cells(methods=rows, settings={"pretrained": "no", "teacher": teacher})[0].stage.folder
        for teacher in (0.9, 0.99)
    }
    assert len(folders) == 2


def test_a_stage_depends_on_the_classes_in_common() -> None:
    """F8. Two targets, one with a class more that the source does not have: one source stage."""
    targets = [{"name": "B", "data": "packs/b"}, {"name": "C", "data": "packs/c"}]
    known = {"packs/a": SEVEN, "packs/b": SEVEN, "packs/c": (*SEVEN, "contempt")}
    assert len({cell.stage.folder for cell in cells(known, targets=targets)}) == 1
    fewer = {**known, "packs/c": SEVEN[:5]}
    assert len({cell.stage.folder for cell in cells(fewer, targets=targets)}) == 2


def test_a_source_is_adapted_to_its_own_targets_and_never_to_itself() -> None:
    """F9."""
    sources = [{"name": "A", "data": "packs/a", "targets": ["B"]}, {"name": "B", "data": "packs/b?split=train"}]
    targets = [{"name": name, "data": f"packs/{name.lower()}"} for name in "ABC"]
    found = [(cell.source.name, cell.target.name) for cell in cells(sources=sources, targets=targets)]
    assert found == [("A", "B"), ("B", "A"), ("B", "C")]
    with pytest.raises(ValueError, match="the source 'A' names a target 'D' that the plan does not have"):
        cells(sources=[{**sources[0], "targets": ["D"]}], targets=targets)


@pytest.mark.parametrize(("given", "runs"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_the_precision_of_a_table_is_fixed(given: str, runs: str) -> None:
    """F10. Not decided by a stopwatch in each cell."""
    (cell,) = cells(settings={"pretrained": "no", "precision": given})
    assert cell.settings.precision == cell.stage.settings.precision == runs
