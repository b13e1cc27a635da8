"""What a user names, as inputs."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from dcdan.images.inputs import InputKind, find_inputs


def test_folders_are_walked_for_pictures_and_videos(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.MP4", "deep/c.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(find_inputs([str(tmp_path)]))
    assert [(each.kind, str(each.name)) for each in found] == [
        (InputKind.VIDEO, "a.MP4"),
        (InputKind.PICTURE, "b.jpg"),
        (InputKind.PICTURE, str(PurePath("deep/c.png"))),
    ]
    assert [each.path for each in found] == [str(tmp_path / str(each.name)) for each in found]


def test_what_is_named_is_taken_by_its_name(tmp_path: Path) -> None:
    found = list(find_inputs(["camera:0", "nix.txt", "nix.mov", str(tmp_path)]))
    assert [each.kind for each in found] == [InputKind.CAMERA, InputKind.PICTURE, InputKind.VIDEO, InputKind.PICTURE]
    assert [each.empty for each in found] == [False, False, False, True]
    assert found[0].name == PurePath("camera-0")


def test_no_two_inputs_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one/x", "two/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(b"x")
    paths = ["one/x", "two/x", "two/x/a.jpg", "A.jpg", "a.jpg", "a-2.jpg", "."]
    monkeypatch.chdir(tmp_path)
    names = [str(each.name) for each in find_inputs(paths)]
    assert len({name.lower() for name in names}) == len(names) == 8
    assert names[:2] == [str(PurePath("x/a.jpg")), str(PurePath("x-2/a.jpg"))]


def test_a_mark_changes_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    first = [each.mark() for each in find_inputs([str(tmp_path)])]
    assert first == [each.mark() for each in find_inputs([str(tmp_path)])]
    (tmp_path / "a.jpg").write_bytes(b"xy")
    second = [each.mark() for each in find_inputs([str(tmp_path)])]
    (tmp_path / "a.jpg").unlink()
    assert first != second
    assert next(find_inputs(["nix\0.jpg"])).mark() != next(find_inputs(["nix.jpg"])).mark()
    assert next(find_inputs([os.fsdecode(b"\xff.jpg")])).mark()
