"""`dcdan.shift` and `dcdan shift`: what was changed in the pictures is what is named."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import dcdan
from dcdan.cli.main import run as main
from dcdan.core.errors import DataError, UsageError
from dcdan.domain_shift.measure import evenly, measure
from dcdan.packs.build import pack_for
from tiny_model import write_run

COUNT = 45


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_run(tmp_path / "model", size=32, align="none"))


def pictures(folder: Path, seed: int, *, scale: float = 1.0, blur: float = 0.0, grey: bool = False) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(COUNT):
        side = int(rng.integers(60, 90))
        texture = rng.normal(0, 40, (side, side, 3)) + rng.uniform(90, 150, (1, 1, 3))
        picture = np.clip(scale * texture, 0, 255).astype(np.uint8)
        if blur:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        if grey:
            picture = np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


@pytest.mark.parametrize(
    ("change", "name", "word"),
    [({"scale": 0.4}, "brightness", "darker"), ({"grey": True}, "colour", "less often in colour")],
)
def test_the_largest_difference_is_the_planted_one(
    model: str, tmp_path: Path, change: dict[str, float], name: str, word: str
) -> None:
    one, two = pictures(tmp_path / "Bilder aus München", 0), pictures(tmp_path / "b", 1, **change)  # type: ignore[arg-type]
    found = dcdan.shift(one, two, model=model)
    assert found.faces == (COUNT, COUNT)
    assert found.largest is not None
    assert found.largest.name in (name, "contrast")
    by_name = {each.name: each for each in found.differences}
    assert by_name[name].found
    assert by_name[name].delta < -0.95
    assert by_name["size"].p_value > 0.05
    if found.largest.name == name:
        assert word in found.sentence()
    assert set(found.missing) == {"yaw", "roll"}
    assert found.feature_mmd is not None
    assert (found.feature_mmd.p_value < 0.05) == (name == "brightness")
    assert (found.a_distance > 1.5) == (name == "brightness")


def test_blur_lowers_sharpness_and_two_like_sets_do_not_differ(model: str, tmp_path: Path) -> None:
    one, two = pictures(tmp_path / "a", 0), pictures(tmp_path / "b", 1)
    same = dcdan.shift(one, two, model=model)
    assert same.largest is None
    assert same.sentence() == "No measured property of the faces differs by more than chance."
    assert same.feature_mmd is not None
    assert same.feature_mmd.p_value > 0.05
    blurred = dcdan.shift(one, pictures(tmp_path / "c", 2, blur=3), model=model)
    sharp = next(each for each in blurred.differences if each.name == "sharpness")
    assert sharp.delta == -1.0


def test_a_pack_is_measured_like_its_pictures(model: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "a", 0)
    pack = pack_for(f"folder:{folder}", 32, align="none", cache=tmp_path / "cache", progress=False, labelled=False)
    one, classes = measure(str(folder), model=model)
    two, _ = measure(str(pack.folder), model=model)
    assert len(classes) == 8
    assert sorted(one.measurements["size"]) == sorted(two.measurements["size"])
    assert np.sort(one.measurements["brightness"]) == pytest.approx(np.sort(two.measurements["brightness"]))
    assert one.counts.tolist() == two.counts.tolist()


def test_a_limit_takes_evenly_spaced_inputs(model: str, tmp_path: Path) -> None:
    found, _ = measure(str(pictures(tmp_path / "a", 0)), model=model, limit=10)
    assert len(found) == 10
    assert evenly(100, 3).tolist() == [0, 33, 66]


def test_inputs_that_cannot_be_compared_get_a_sentence(model: str, tmp_path: Path) -> None:
    one, empty = pictures(tmp_path / "a", 0), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="has no face to compare"):
        dcdan.shift(one, empty, model=model)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(DataError, match=r"has no face to compare \(1 "):
        dcdan.shift(tmp_path / "broken.jpg", one, model=model)
    finder = str(write_run(tmp_path / "finder", size=32, align="mtcnn"))
    with pytest.raises(DataError, match=r"has no face to compare \(3 no_face\)"):
        dcdan.shift(one, one, model=finder, limit=3)
    with pytest.raises(UsageError, match="is a camera"):
        dcdan.shift(one, "camera:0", model=model)


def test_the_command_prints_draws_and_protects(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, out = pictures(tmp_path / "a", 0), pictures(tmp_path / "b", 1, scale=0.4), tmp_path / "out"
    arguments = ["shift", str(one), str(two), "--model", model, "--out", str(out)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "The largest difference is" in captured.out
    assert "shift.png and shift.json written" in captured.err
    assert (out / "shift.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "shift.json").read_text())
    assert content["measurements"]["brightness"]["cliffs_delta"] < -0.9
    assert content["class_shares"]["of"] == "answers of the model"
    assert main(arguments) == 6
    assert main([*arguments, "--force", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == content
    assert main(["shift", str(one), str(tmp_path / "nowhere"), "--model", model]) == 3


def test_without_matplotlib_the_figures_are_written(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    one, out = pictures(tmp_path / "a", 0), tmp_path / "out"
    assert main(["shift", str(one), str(one), "--model", model, "--out", str(out), "--limit", "6"]) == 0
    assert "shift.png needs matplotlib and is left out" in capsys.readouterr().err
    assert [each.name for each in out.iterdir()] == ["shift.json"]
