"""What a plan expands to, and which changes give a cell or a source stage another checksum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dcdan.benchmark.cell import check_same
from dcdan.benchmark.plan import Cell, Plan, PlanDomain, cells_of
from dcdan.benchmark.revision import PlanContext, code_of, code_revision, start_weights
from dcdan.core.errors import UsageError
from dcdan.inference.resolver import bundled_models
from dcdan.training.settings import RunSettings

SEVEN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def plan(**changes: Any) -> Plan:
    """Two sources that are targets too, one more target, two methods."""
    values: dict[str, Any] = {
        "title": "x",
        "seeds": [0],
        "settings": {"pretrained": "no"},
        "sources": [{"name": "A", "data": "packs/a"}, {"name": "B", "data": "packs/b"}],
        "targets": [
            {"name": "A", "data": "packs/a"},
            {"name": "B", "data": "packs/b"},
            {"name": "C", "data": "packs/c"},
        ],
        "methods": [
            {"key": "source-only", "name": "Source-only", "settings": {"method": "source_only"}},
            {"key": "dcdan", "name": "DCD-DAN", "settings": {"method": "dcdan"}},
        ],
    }
    return Plan.model_validate(values | changes)


def pairs(found: Plan) -> set[tuple[str, str]]:
    return {(cell.source.name, cell.target.name) for cell in cells_of(found)}


def one(found: Plan, key: str = "dcdan", context: PlanContext | None = None) -> Cell:
    """The cell of a row on the pair A, B."""
    wanted = ("A", "B", key)
    return next(c for c in cells_of(found, context) if (c.source.name, c.target.name, c.entry.key) == wanted)


def test_a_source_is_not_its_own_target() -> None:
    """F9: of two sources and three targets there are four pairs, also where one pack has two names."""
    assert pairs(plan()) == {("A", "B"), ("A", "C"), ("B", "A"), ("B", "C")}
    renamed = plan(targets=[{"name": "A again", "data": "packs/a"}, {"name": "C", "data": "packs/c"}])
    assert pairs(renamed) == {("A", "C"), ("B", "A again"), ("B", "C")}
    moved = plan(targets=[{"name": "A", "data": "copies/a"}, {"name": "C", "data": "packs/c"}])
    assert pairs(moved) == {("A", "C"), ("B", "A"), ("B", "C")}
    shifted = plan(targets=[{"name": "A, blurred", "data": "packs/a?shift=blur&severity=3"}])
    assert pairs(shifted) == {("A", "A, blurred"), ("B", "A, blurred")}


def test_a_source_may_name_its_targets() -> None:
    """F9: per-source targets; a name that is none, and a source without a target, are refused."""
    sources = [{"name": "A", "data": "packs/a", "targets": ["C"]}, {"name": "B", "data": "packs/b"}]
    assert pairs(plan(sources=sources)) == {("A", "C"), ("B", "A"), ("B", "C")}
    for targets, words in ((["D"], "names a target 'D'"), (["A"], "no target beside itself")):
        with pytest.raises(ValidationError, match=words):
            plan(sources=[{"name": "A", "data": "packs/a", "targets": targets}])


def test_a_row_may_run_on_some_targets_only() -> None:
    rows = [
        {"key": "all", "name": "All", "settings": {"method": "adabn"}},
        {"key": "some", "name": "Some", "settings": {"method": "adabn"}, "targets": ["C"]},
    ]
    found = {(cell.entry.key, cell.source.name, cell.target.name) for cell in cells_of(plan(methods=rows))}
    assert {each for each in found if each[0] == "some"} == {("some", "A", "C"), ("some", "B", "C")}
    assert len(found) == 4 + 2


def test_two_rows_of_one_name_are_refused() -> None:
    """F12: one key has one printed name, and one name one key."""
    rows = [{"key": key, "name": "DGL", "settings": {"method": "dgl"}} for key in ("dgl", "dgl-2")]
    with pytest.raises(ValidationError, match="'dgl' and 'dgl-2' have the same name"):
        plan(methods=rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"teacher": 0.99},
        {"final": "student"},
        {"size": 48},
        {"seed": 3},
        {"precision": "bf16"},
        {"mirror": True},
        {"network": {"width": 64}},
        {"adaptation": {"lr": 0.02}},
        {"options": {"threshold_floor": 0.7}},
        {"pretrained": bundled_models()[0]},
    ],
)
def test_settings_that_change_a_result_change_the_digest(settings: dict[str, Any]) -> None:
    """F7: the teacher among them."""
    before = one(plan())
    method = {"key": "dcdan", "name": "DCD-DAN", "settings": {"method": "dcdan", **settings}}
    changed = plan(methods=[method], seeds=[settings.get("seed", 0)])
    assert one(changed).digest != before.digest
    assert one(plan()).digest == before.digest


def test_start_weights_count_by_their_checksum(tmp_path: Path) -> None:
    """F7: another model under the same name is another start."""
    run = tmp_path / "start"
    run.mkdir()
    found = []
    for checksum in ("a" * 64, "b" * 64, "a" * 64):
        (run / "model.json").write_text(json.dumps({"files": {"model.safetensors": checksum}}))
        assert start_weights(RunSettings(pretrained=str(run))) == {"pretrained": checksum}
        cell = one(plan(settings={"pretrained": str(run)}))
        found.append((cell.digest, cell.stage.folder))
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    assert start_weights(RunSettings(pretrained="no")) == {}
    (run / "model.json").write_text("{}")
    assert start_weights(RunSettings(pretrained=str(run))) == {}


def test_data_count_by_their_checksum() -> None:
    """F7: other faces in the same folder change the cells; of the source also the stage."""
    context = [
        PlanContext(checksums={"packs/a": a, "packs/b": b}) for a, b in (("1", "2"), ("1", "3"), ("4", "2"), ("1", "2"))
    ]
    cells = [one(plan(), context=each) for each in context]
    assert len({cell.digest for cell in cells}) == 3
    assert cells[0].digest == cells[3].digest
    assert cells[0].stage.folder == cells[1].stage.folder != cells[2].stage.folder


def test_stages_are_shared_where_the_common_classes_are_the_same() -> None:
    """F8: targets of 7 and 8 classes have 7 in common with a source of 7: one stage, not two."""
    context = PlanContext({"packs/a": SEVEN, "packs/b": SEVEN, "packs/c": (*SEVEN, "contempt")})
    stages = {c.target.name: c.stage.folder for c in cells_of(plan(), context) if c.source.name == "A"}
    assert stages["B"] == stages["C"]
    fewer = PlanContext({"packs/a": SEVEN, "packs/b": SEVEN, "packs/c": SEVEN[:5]})
    stages = {c.target.name: c.stage.folder for c in cells_of(plan(), fewer) if c.source.name == "A"}
    assert stages["B"] != stages["C"]


def test_a_stage_with_a_teacher_of_its_own_depends_on_it() -> None:
    """F7: AGLRLS and the like own their stage; plain ones have no teacher in it."""
    from dcdan.methods.base import methods

    owning = [name for name, kind in methods().items() if kind.owns_source_stage and kind.uses_teacher]
    for name in [*owning, "dcdan"]:
        rows = [[{"key": "m", "name": "M", "settings": {"method": name, "teacher": t}}] for t in (0.99, 0.9)]
        first, second = (one(plan(methods=each), "m").stage.folder for each in rows)
        assert (first != second) == (name in owning)


def test_precision_is_fixed_for_a_table() -> None:
    """F10: not by stopwatch."""
    assert one(plan()).settings.precision == "fp32"
    assert one(plan(settings={"pretrained": "no", "precision": "bf16"})).settings.precision == "bf16"


def test_the_revision_follows_the_code_and_not_its_prose(tmp_path: Path) -> None:
    """F7: a changed constant is another revision, a rewritten docstring is not."""
    (tmp_path / "methods").mkdir()
    file = tmp_path / "methods" / "m.py"
    source = '"""A."""\nX = 1\n"""About X."""\n\n\ndef f(x: int) -> int:\n    """Add."""\n    return x + X  # one\n'
    file.write_text(source)
    first = code_revision(tmp_path)
    for text, same in (
        (source.replace("Add.", "Add one.").replace("# one", "# 1").replace("About", "On"), True),
        (source.replace("X = 1", "X = 2"), False),
        (source.replace("x + X", "x - X"), False),
    ):
        file.write_text(text)
        code_revision.cache_clear()
        assert (code_revision(tmp_path) == first) is same
    assert code_of("class A:\n    'Doc.'\n") == "class A:\n    pass"
    code_revision.cache_clear()
    assert len(code_revision()) == 10


def test_cells_of_other_code_are_refused_unless_asked_for() -> None:
    """F7: stale cells are not reused in silence."""
    cell = one(plan(), context=PlanContext(code="now"))
    file = Path("cells.parquet")
    for report, words in (
        ({"plan": cell.digest, "code": "then"}, r"another revision of the code \(then, now now\)"),
        ({"plan": cell.digest}, r"another revision of the code \(not recorded"),
        ({"plan": "other", "code": "now"}, "other settings, data or start weights"),
    ):
        with pytest.raises(UsageError, match=words):
            check_same(cell, [report], file)
        if report.get("plan") == cell.digest:
            check_same(cell, [report], file, any_revision=True)
    check_same(cell, [{"plan": cell.digest, "code": "now"}], file)


@pytest.mark.parametrize(
    ("data", "test", "split", "transductive"),
    [
        ("packs/jaffe", "", "all", True),
        ("packs/lfw", "", "test", False),
        ("packs/lfw?limit=4000", "packs/lfw", "test", False),
        ("packs/jaffe?limit=50", "packs/jaffe", "all", True),
        ("packs/lfw?split=train", "packs/lfw?split=test", "test", False),
        ("packs/a", "packs/b", "all", False),
    ],
)
def test_transductive_is_tested_on_what_was_adapted_to(data: str, test: str, split: str, transductive: bool) -> None:
    """F13: protocol, rule 3."""
    assert PlanDomain(name="x", data=data, test=test).is_transductive(split) is transductive
