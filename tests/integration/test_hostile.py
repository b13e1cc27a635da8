"""Hostile files meet the program: each is refused in one sentence with its exit code, or accepted without harm."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcdan.cli import main
from dcdan.core.errors import DataError, ModelError
from dcdan.core.limits import DEEPEST, read_json, read_text, read_toml, text_lines, within
from dcdan.core.sanitize import inert, no_formula
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.decode import UndecodableImage, decode
from dcdan.inference.model_card import read_model_info
from dcdan.inference.session import read_graph
from hostile_files import HOSTILE, NASTY, UNPICKLED, Good, Hostile, good_files

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return good_files(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("each", HOSTILE, ids=lambda each: f"{each.kind}: {each.name}")
def test_it_does_no_harm(
    each: Hostile, good: Good, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))
    for name in ("DCDAN_OFFLINE", "HF_HUB_OFFLINE"):  # --offline sets them for good; here they are put back
        monkeypatch.setenv(name, "0")
    (tmp_path / "here").mkdir()
    code = main.run(each.make(good, tmp_path / "here"))
    out, err = capsys.readouterr()
    assert (code, each.says in out + err) == (each.code, True), out + err
    assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    assert code == 0 or len(err.splitlines()) == 1
    assert not UNPICKLED.exists()


def test_names_that_are_formulas_are_none_in_a_table(
    good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "=cmd|calc.png"
    (tmp_path / name).write_bytes(good.picture.read_bytes())
    command = ["predict", name, "--model", str(good.run), "--out", "rows.csv", "--quiet"]
    assert main.run(command) == 0
    with Path("rows.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["path"] == f"'{name}"


@pytest.mark.parametrize("text", ["=1", "+a", "-a", "@a", "\ta", "\ra", "\na", "-1-cmd", "1=2", "-0.5", "+3", "1e-3"])
def test_a_cell_is_no_formula(text: str) -> None:
    harmless = text in ("1=2", "-0.5", "+3", "1e-3")
    assert no_formula(text) == (text if harmless else f"'{text}")


@given(st.text())
def test_no_text_drives_a_terminal(text: str) -> None:
    shown = inert(text + NASTY)
    assert all(letter in "\n\t" or letter.isprintable() or letter.isspace() for letter in shown)
    assert inert(shown) == shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


# --- parsers: whatever the bytes, they answer or raise their own error


@FEW
@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"])
)
def test_a_picture_of_any_bytes(content: bytes, head: bytes) -> None:
    try:
        pixels = decode(head + content)
    except UndecodableImage:
        return
    assert pixels.shape[2] == 3


VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@FEW
@given(key=st.sampled_from(["classes", "face", "files", "thresholds", "temperature", "schema"]), value=VALUE)
def test_a_model_description_of_any_values(good: Good, tmp_path: Path, key: str, value: object) -> None:
    content = json.loads((good.run / "model.json").read_text()) | {key: value}
    (tmp_path / "model.json").write_text(json.dumps(content))
    try:
        read_model_info(tmp_path)
    except ModelError:
        return


@FEW
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_a_graph_of_any_bytes(good: Good, tmp_path: Path, content: bytes, place: int) -> None:
    whole = (good.run / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[:place] + content + whole[place + len(content) :])
    try:
        read_graph(tmp_path / "model.onnx")
    except ModelError:
        return


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40), max_size=8)


@FEW
@given(LINES)
def test_a_manifest_of_any_text(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "m.csv").write_text("path,label,x0\n" + "\n".join(lines), encoding="utf-8")
    try:
        samples = list(open_reader(parse_spec(f"manifest:{tmp_path / 'm.csv'}")).selected())
    except DataError:
        return
    assert all(within(tmp_path, tmp_path / sample.path) for sample in samples)


@FEW
@given(st.binary(max_size=200))
def test_small_files_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    for read in (read_json, read_toml):
        try:
            read(tmp_path / "a")
        except ValueError:
            continue
    list(text_lines(tmp_path / "a"))


def test_bounds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("[" * DEEPEST + "]" * DEEPEST)
    assert read_json(path)
    path.write_text("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        read_json(path)
    path.write_text("x" * 11)
    assert read_text(path, 11) == "x" * 11
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_text(path, 10)
    path.write_bytes(b"a\0\r\n" + b"b" * (1 << 20))
    lines = text_lines(path)
    assert next(lines) == "a\0\r\n"
    with pytest.raises(ValueError, match="a line is longer"):
        next(lines)
