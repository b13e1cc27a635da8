"""Reading ``model.json`` and checking the files beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dcdan.core.errors import ModelError
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.model_card import (
    Calibration,
    ModelInfo,
    content_checksum,
    read_model_info,
    verified,
    write_model_info,
)
from dcdan.inference.recogniser import load
from tiny_model import write_run


def test_what_was_written_is_read(run: Path) -> None:
    info = read_model_info(run)
    assert info.classes == EXPRESSIONS
    assert (info.face.size, info.face.align, info.face.channels) == (32, "none", "rgb")
    written = json.loads((run / "model.json").read_text())
    dumped = info.model_dump(by_alias=True, mode="json")
    new = {"class_prior": [], "actions": [], "action_correlations": [], "correction": None, "checksum": ""}
    new["face"] = {**written["face"], "contrast": False}
    assert dumped == written | new


def test_what_is_written_is_read_again(run: Path, tmp_path: Path) -> None:
    info = read_model_info(run).model_copy(update={"actions": ("AU12",), "class_prior": (0.125,) * 8})
    (tmp_path / "copy").mkdir()
    write_model_info(tmp_path / "copy", info)
    found = read_model_info(tmp_path / "copy")
    assert len(found.checksum) == 64
    assert found.model_copy(update={"checksum": ""}) == info


def unsure_halved(content: dict[str, Any]) -> None:
    content["calibration"]["unsure_below"] /= 2


def letter_changed(content: dict[str, Any]) -> None:
    content["classes"][0] = "surprisf"


def order_changed(content: dict[str, Any]) -> None:
    content["classes"] = [*content["classes"][1:], content["classes"][0]]


def key_added(content: dict[str, Any]) -> None:
    content["licence"] = "anything goes"


@pytest.mark.parametrize("change", [unsure_halved, letter_changed, order_changed, key_added])
def test_changed_content_is_refused(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """S5: the content of model.json is covered by its checksum; a file from before it still opens."""
    write_model_info(run, read_model_info(run))
    content = json.loads((run / "model.json").read_text())
    change(content)
    (run / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="was changed after it was written"):
        load(run)
    del content["checksum"]
    (run / "model.json").write_text(json.dumps(content))
    assert read_model_info(run).checksum == ""


def test_the_checksum_is_that_of_the_sorted_json() -> None:
    assert content_checksum({"b": [1, 2], "a": 0.5, "checksum": "x"}) == sha256(b'{"a":0.5,"b":[1,2]}').hexdigest()


def test_a_description_from_before_the_calibration_is_read(run: Path) -> None:
    content = json.loads((run / "model.json").read_text())
    del content["calibration"]
    (run / "model.json").write_text(json.dumps(content))
    assert read_model_info(run).calibration == Calibration()


def test_it_cannot_be_changed(run: Path) -> None:
    with pytest.raises(ValidationError):
        read_model_info(run).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 2}, "schema 2 and this dcdan reads 1"),
        ({"schema": None}, "has no 'schema'"),
        ({"classes": ["fear"]}, "classes"),
        ({"classes": ["fear"] * 8}, "a class is named twice"),
        ({"classes": ["=cmd()", *EXPRESSIONS[1:]]}, "classes.0"),
        ({"thresholds": [0.5]}, "1 thresholds for 8 classes"),
        ({"face": {"size": 32, "align": "dlib"}}, "face.align"),
        ({"temperature": 0}, "temperature"),
        ({"calibration": {"unsure_below": 1.5}}, "calibration.unsure_below"),
        ({"calibration": {"conformal": {"0.9": -1}}}, "calibration.conformal"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"class_prior": [0.5]}, "1 shares in class_prior for 8 classes"),
        ({"actions": ["AU12", "AU12"]}, "an action is named twice"),
        ({"actions": ["=cmd()"]}, "actions.0"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model_info(write_run(tmp_path / "run", **changes))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        read_model_info(tmp_path / "nix")
    with pytest.raises(ModelError, match=r"has no model\.json"):
        read_model_info(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]"])
def test_damaged_json_is_a_sentence(run: Path, content: bytes) -> None:
    (run / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be read|is not a model description"):
        read_model_info(run)


def test_checksums_are_compared(run: Path) -> None:
    info = read_model_info(run)
    assert verified(run, info) == run / "model.onnx"
    content = bytearray((run / "model.onnx").read_bytes())
    content[-1] ^= 1
    (run / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="damaged or was replaced"):
        verified(run, info)
    (run / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"has no model\.onnx"):
        verified(run, info)


def test_a_file_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", files={})
    with pytest.raises(ModelError, match="does not list"):
        verified(run, read_model_info(run))


def test_the_alias_is_not_needed_in_python(run: Path) -> None:
    content = json.loads((run / "model.json").read_text())
    content["schema_version"] = content.pop("schema")
    assert ModelInfo.model_validate(content) == read_model_info(run)
