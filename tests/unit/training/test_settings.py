"""Settings: where they come from, which wins, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import ValidationError

from dcdan.core.errors import UsageError
from dcdan.methods.dcdan import DCDANSettings
from dcdan.training.settings import (
    PRETRAINED_STAGES,
    RunSettings,
    fields_at,
    for_pretrained,
    parse_value,
    read_settings,
)


def written(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "settings.toml").write_text(tomli_w.dumps(values))
    return folder / "settings.toml"


def test_assignments_win_over_names_and_names_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, {"seed": 1, "size": 48, "method": "dann", "source": {"lr": 0.3, "batch": 9}})
    settings = read_settings(file, ["source.lr=0.1", "size=64"], seed=2, size=80, source__batch=7, preset=None)
    assert (settings.seed, settings.size, settings.method) == (2, 64, "dann")
    assert (settings.source.lr, settings.source.batch) == (0.1, 7)
    assert settings.preset == "default"


def test_the_later_of_two_assignments_wins() -> None:
    assert read_settings(None, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize("stage", ["source", "adaptation"])
def test_a_stage_given_in_part_keeps_its_other_defaults(stage: str, tmp_path: Path) -> None:
    plain = getattr(RunSettings(), stage).model_dump()
    for settings in (
        read_settings(None, [f"{stage}.batch=17"]),
        read_settings(None, [], **{f"{stage}__batch": 17}),
        read_settings(written(tmp_path, {stage: {"batch": 17}}), []),
        RunSettings(**{stage: {"batch": 17}}),
    ):
        assert getattr(settings, stage).model_dump() == plain | {"batch": 17}


def test_settings_do_not_change() -> None:
    settings = RunSettings()
    for part, name in (
        (settings, "seed"),
        (settings.source, "lr"),
        (settings.network, "width"),
        (settings.augment, "flip"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.05", 0.05),
        ("1e-3", 1e-3),
        ("7", 7),
        ("true", True),
        ("[1.0, 0.5]", [1.0, 0.5]),
        ('"quoted"', "quoted"),
        ("resnet50", "resnet50"),
        (".05", ".05"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_values_are_read_as_toml_or_else_as_text(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_values_reach_their_settings() -> None:
    settings = read_settings(
        None,
        [
            "network.trunk = resnet50",
            "source.lr=.05",
            "fuse_activation=true",
            "options.classification.weights=[1, 0, 0]",
            "options.lambda_global=0.3",
        ],
    )
    assert settings.network.trunk == "resnet50"
    assert settings.source.lr == 0.05
    assert settings.fuse_activation
    method = settings.method_settings()
    assert isinstance(method, DCDANSettings)
    assert method.lambda_global == 0.3
    assert method.classification.weights == (1.0, 0.0, 0.0)
    assert method.classification.label_smoothing == DCDANSettings().classification.label_smoothing


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("sede=1", ["There is no setting 'sede'.", "Did you mean 'seed'?", "Known: adaptation, align,"]),
        ("source.lrr=1", ["There is no setting 'source.lrr'.", "Did you mean 'lr'?", "weight_decay"]),
        ("network.trunc=x", ["'network.trunc'", "Did you mean 'trunk'?"]),
        ("augment.flipp=1", ["'augment.flipp'", "Did you mean 'flip'?"]),
        ("options.lambda_globl=1", ["'options.lambda_globl'", "Did you mean 'lambda_global'?"]),
        ("options.classification.label_smooting=0", ["'options.classification.label_smooting'", "'label_smoothing'"]),
        ("source.optimiser=adam", ["'source.optimiser' cannot be 'adam'", "'sgd' or 'adamw'", "Did you mean 'adamw'?"]),
        ("preset=papr", ["'preset' cannot be 'papr'", "'default' or 'paper'", "Did you mean 'paper'?"]),
        ("method=dan", ["Unknown method 'dan'", "Did you mean 'dann'?", "adabn, adda", "source_only"]),
        ("size=50", ["'size' cannot be 50", "multiple of 16"]),
        ("size=16", ["'size' cannot be 16", "32"]),
        ("seed=-1", ["'seed' cannot be -1"]),
        ("seed=1.5", ["'seed' cannot be 1.5"]),
        ("source.lr=fast", ["'source.lr' cannot be 'fast'", "number"]),
        ("source.epochs=inf", ["'source.epochs' cannot be inf"]),
        ("source.batch=1", ["'source.batch' cannot be 1"]),
        ("source=1", ["'source' cannot be 1"]),
        ("seed.x=1", ["'seed' cannot be {'x': 1}"]),
        ("network.condensation=3", ["'network.condensation' cannot be 3", "1, 2 or 4"]),
        ("seed", ["'seed' is no setting", "--set key=value"]),
        ("=1", ["is no setting", "--set key=value"]),
    ],
)
def test_what_is_wrong_is_told_in_one_line(assignment: str, told: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(None, [assignment])
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(part in sentence for part in told), sentence


def test_a_setting_under_a_single_value_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, {"network": 3})
    for given in ({"network__trunk": "resnet50"}, {}):
        with pytest.raises(UsageError, match=r"'network\.trunk' cannot be set, because 'network'"):
            read_settings(file, [] if given else ["network.trunk=resnet50"], **given)


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"seed = 1\nseed = 2\n", None])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.toml' cannot be read"):
        read_settings(file, [])


def test_the_paper_preset_has_no_teacher_and_counts_every_label() -> None:
    for settings in (
        read_settings(None, [], preset="paper"),
        read_settings(None, ["preset=paper"]),
        RunSettings(preset="paper"),
    ):
        assert (settings.teacher, settings.final) == (0, "student")
        method = settings.method_settings()
        assert isinstance(method, DCDANSettings)
        assert (method.pseudo_labels, method.conditional, method.prior) == ("all", "none", "none")
        assert (method.lambda_global, method.lambda_local) == (1, 1)


def test_what_is_said_wins_over_the_preset() -> None:
    settings = read_settings(None, ["preset=paper", "options.lambda_global=0.2", "teacher=0.9"])
    method = settings.method_settings()
    assert isinstance(method, DCDANSettings)
    assert (method.lambda_global, method.lambda_local) == (0.2, 1)
    assert (settings.teacher, settings.final) == (0.9, "student")


def test_the_preset_touches_no_other_method() -> None:
    method = read_settings(None, ["preset=paper"], method="dann").method_settings()
    assert method == type(method)()


@pytest.mark.parametrize("assignments", [[], ["preset=paper"], ["method=dann", "options.weight=0.5"]])
def test_settings_written_out_whole_are_read_back(assignments: list[str], tmp_path: Path) -> None:
    settings = read_settings(None, assignments)
    whole = settings.whole()
    assert whole["options"].keys() == type(settings.method_settings()).model_fields.keys()
    file = written(tmp_path, {"data": {"source": "a", "target": "b", "start": ""}, **whole})
    again = read_settings(file, [])
    assert again.whole() == whole
    assert again.method_settings() == settings.method_settings()


def test_a_pretrained_trunk_is_trained_gently_unless_told_otherwise() -> None:
    gentle = for_pretrained(read_settings(None, ["source.lr=0.5", "source.epochs=3"]))
    expected = PRETRAINED_STAGES["source"]
    assert (gentle.source.lr, gentle.source.epochs) == (0.5, 3)
    assert (gentle.source.head_ratio, gentle.source.schedule) == (expected["head_ratio"], expected["schedule"])
    assert gentle.adaptation.lr == PRETRAINED_STAGES["adaptation"]["lr"]


def test_a_given_value_that_equals_the_default_is_kept(tmp_path: Path) -> None:
    """F6. Of a pretrained trunk: given means given, by option, by file, and by the config.toml of a run."""
    plain = RunSettings().source.lr
    assert for_pretrained(read_settings(None, [f"source.lr={plain}"])).source.lr == plain
    assert for_pretrained(read_settings(None, [], source__lr=plain)).source.lr == plain
    assert for_pretrained(read_settings(written(tmp_path, {"source": {"lr": plain}}), [])).source.lr == plain
    assert for_pretrained(RunSettings()).source.lr == PRETRAINED_STAGES["source"]["lr"] != plain
    ran = for_pretrained(read_settings(None, ["source.lr=0.08"]))
    again = read_settings(written(tmp_path, ran.whole()), [])
    assert for_pretrained(again).whole() == again.whole() == ran.whole()


def test_settings_without_a_value_are_left_out_of_the_file(tmp_path: Path) -> None:
    assert "minutes" not in RunSettings().whole()
    assert read_settings(written(tmp_path, {"minutes": 2}), []).whole()["minutes"] == 2


def test_fields_of_nested_settings_are_found() -> None:
    assert "trunk" in fields_at(RunSettings, ["network"])
    assert fields_at(RunSettings, ["seed"]) == fields_at(RunSettings, [])
