"""`dcdan pack`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.cli.main import run
from drawn_data import file_bytes, write_classes, write_picture


def pack(*arguments: object) -> int:
    return run(["pack", *map(str, arguments)])


def test_a_summary_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1, "fear": 0})
    assert pack(root, "--out", tmp_path / "out", "--size", 32, "--align", "none") == 0
    printed = capsys.readouterr()
    assert "3 colour faces of 32 pixels" in printed.out
    assert "happiness 2" in printed.out
    assert "warning: no sample of: fear" in printed.out
    assert printed.err == ""


def test_a_folder_without_a_reader_is_told_what_it_was_found_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["KA.AN1.39.tiff", "KA.HA1.29.tiff", "KL.SU2.5.tiff"]
    for number, name in enumerate(names):
        write_picture(tmp_path / "data" / "jaffe" / name, number, channels=1)
    out = tmp_path / "pack"
    assert run(["pack", str(tmp_path / "data"), "--out", str(out), "--align", "none", "--size", "32"]) == 0
    told = capsys.readouterr()
    assert "is JAFFE, flat (reader jaffe)." in told.err
    assert "JAFFE (flat): 3 grey faces" in told.out
    assert json.loads((out / "pack.json").read_text())["layout"] == "flat"


def test_json_is_pack_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "pack.json").read_text())


def test_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ("ferpluss:in", 2, "Did you mean 'ferplus'"),
        ("folder:in?limits=3", 2, "Did you mean 'limit'"),
        ("nowhere", 3, "There is no folder"),
        ("empty", 3, "is empty"),
        ("ferplus:in", 3, "needs fer2013new.csv"),
    ],
)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spec: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    (tmp_path / "empty").mkdir()
    assert pack(spec, "--out", "out") == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_an_out_that_exists_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    for expected, extra in ((0, ()), (6, ()), (0, ("--force",))):
        assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet", *extra) == expected
    assert "--force" in capsys.readouterr().err


def test_shards_are_packed_and_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 200, "sad": 100}, side=6)
    common = ("--size", 16, "--align", "none", "--workers", 1)
    assert pack(root, "--out", tmp_path / "whole", "--quiet", *common) == 0
    for number in (1, 2):
        assert pack(root, "--out", tmp_path / f"s{number}", "--shard", f"{number}/2", *common) == 0
    assert "A folder of expressions, shard 2 of 2: 172 colour faces" in capsys.readouterr().out
    assert pack("--merge", tmp_path / "s2", tmp_path / "s1", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "300 colour faces of 16 pixels" in printed.out
    assert printed.err == ""
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "out"], "There is nothing to pack: name a spec or a folder, or --merge and the shards."),
        (["--merge", "--out", "out"], "There is nothing to merge: name the folders of the shards"),
        (["in"], "The pack needs a folder: give --out DIR."),
        (["in", "in", "--out", "out"], "One data set at a time is packed, not 2: to join shards, add --merge."),
        (["--merge", "a", "--out", "out", "--size", "112"], "--size does not go with --merge"),
        (["--merge", "a", "--out", "out", "--align", "auto"], "--align does not go with --merge"),
        (["--merge", "a", "--out", "out", "--workers", "2"], "--workers does not go with --merge"),
        (["--merge", "a", "--out", "out", "--shard", "1/2"], "--shard does not go with --merge"),
        (["in", "--out", "out", "--shard", "3/2"], "There is no shard 3 of 2"),
        (["in", "--out", "out", "--shard", "half"], "'half' is no shard: write i/n"),
    ],
)
def test_commands_that_do_not_go_together(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    assert pack(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_strict_ends_with_code_3_after_the_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """U12. A picture that cannot be read is a row of the pack; with --strict the exit code is 3."""
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert pack(root, "--out", tmp_path / "whole", "--align", "none", "--quiet", "--strict") == 0
    (root / "sad" / "broken.png").write_bytes(b"no picture")
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet", "--strict") == 3
    assert "1 pictures gave no face (--strict), 'sad/broken.png' first" in capsys.readouterr().err
    assert (tmp_path / "out" / "pack.json").exists()


def test_a_limit_is_an_option_of_the_spec(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 3, "sad": 3})
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet", "--limit", "2") == 0
    assert json.loads((tmp_path / "out" / "pack.json").read_text())["counts"]["faces"] == 2
