"""Folders and label files that a reader cannot open: counted or answered with a sentence, never passed over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcdan.core.errors import DataError
from dcdan.datasets.layout import UNLISTED, folders_in, header, names_in
from dcdan.datasets.readers.affectnet import read_numbers
from dcdan.datasets.readers.rafdb import Annotations
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.cache import cache_key
from drawn_data import write_classes, write_picture
from released_layouts import FER_FOLDERS, write_ckplus, write_oulu, write_split_folders


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """A set of folders that refuse to be listed, as without permission (which root always has)."""
    folders: set[Path] = set()
    scandir, listdir = os.scandir, os.listdir

    def refuse(path: object) -> None:
        if Path(str(path)) in folders:
            raise PermissionError(13, "Permission denied", str(path))

    def scan(path: str = ".") -> Iterator[os.DirEntry[str]]:
        refuse(path)
        return scandir(path)

    def names(path: str = ".") -> list[str]:
        refuse(path)
        return listdir(path)

    monkeypatch.setattr("os.scandir", scan)
    monkeypatch.setattr("os.listdir", names)
    return folders


def test_only_what_is_there_and_cannot_be_listed_is_reported(tmp_path: Path, forbid: set[Path]) -> None:
    """S4."""
    reasons: list[str] = []
    assert names_in(tmp_path / "nothing", reasons.append) == []
    (tmp_path / "file").touch()
    assert names_in(tmp_path / "file", reasons.append) == []
    assert reasons == []
    forbid.add(tmp_path)
    assert folders_in(tmp_path, reasons.append) == []
    assert reasons == [UNLISTED]


def test_class_folders_count_a_folder_that_cannot_be_listed(tmp_path: Path, forbid: set[Path]) -> None:
    """S4: one class of three is closed, or a folder inside it; then the split itself."""
    root = write_classes(tmp_path, {"happy": 1, "sad": 1, "fear": 1})
    write_picture(root / "sad" / "deep" / "a.png")
    forbid.update({root / "happy", root / "sad" / "deep"})
    reader = open_reader(parse_spec(f"class_folders:{root}"))
    assert [sample.path for sample in reader.selected()] == ["fear/0000.png", "sad/0000.png"]
    assert reader.skipped == {UNLISTED: 2}
    forbid.add(root)
    with pytest.raises(DataError, match="should have one folder per expression"):
        open_reader(parse_spec(f"class_folders:{root}"))
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\)"):
        list(open_reader(parse_spec(f"folder:{root}")).selected())


@pytest.mark.parametrize(
    ("closed", "write"),
    [
        ("train/happy", lambda root: write_split_folders(root, ("train", "test"), FER_FOLDERS)),
        ("cohn-kanade-images/S010/002", write_ckplus),
        ("Emotion/S010/002", write_ckplus),
        ("VL_Acropped/Strong/P051/Fear", write_oulu),
    ],
)
def test_published_sets_count_a_folder_that_cannot_be_listed(
    tmp_path: Path, forbid: set[Path], closed: str, write: object
) -> None:
    """S4: without the count these pictures would be missing without a word."""
    assert callable(write)
    write(tmp_path)
    reader = open_reader(parse_spec(str(tmp_path)))
    whole = len(list(reader.selected()))
    forbid.add(tmp_path / closed)
    assert len(list(reader.selected())) < whole
    assert reader.skipped[UNLISTED] == 1


def test_a_path_without_permission_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: `exists()` of a path below a closed folder raises."""

    def closed(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\): check its permissions"):
        open_reader(parse_spec(f"folder:{tmp_path}"))


def test_pipes_in_place_of_label_files_are_not_opened(tmp_path: Path) -> None:
    """S17: the opening of a pipe would wait for ever."""
    home = tmp_path / "basic" / "Annotation" / "manual"
    home.mkdir(parents=True)
    for path in (home / "a_manu_attri.txt", tmp_path / "a_exp.npy", tmp_path / "a.png"):
        os.mkfifo(path)
    annotations = Annotations(tmp_path / "basic")
    assert annotations.attributes("a") is None
    assert annotations.damaged == 1
    with pytest.raises(ValueError, match="a pipe or a device"):
        read_numbers(tmp_path / "a_exp.npy")
    assert header(tmp_path / "a.png") is None


@pytest.mark.parametrize("spec", ["ferplus:{}", "lfw_expressions:{}", "rafdb:{}", "expw:{}"])
def test_a_pipe_in_place_of_a_table_is_a_sentence(tmp_path: Path, spec: str) -> None:
    """S17."""
    pipes = {
        "ferplus:{}": ("fer2013new.csv", "data/FER2013Train"),
        "lfw_expressions:{}": ("data/legend.csv", "images"),
        "rafdb:{}": ("basic/EmoLabel/list_patition_label.txt", "basic/Image/aligned"),
        "expw:{}": ("label/label.lst", "image/origin"),
    }
    table, pictures = pipes[spec]
    (tmp_path / table).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / pictures).mkdir(parents=True)
    os.mkfifo(tmp_path / table)
    with pytest.raises(DataError, match=r"pipe or a device|needs"):
        list(open_reader(parse_spec(spec.format(tmp_path))).selected())


def test_the_cache_knows_deep_folders_and_long_paths(tmp_path: Path) -> None:
    """S18: 1,500 nested folders are more than Python's recursion; their path is longer than the system takes."""
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    before = cache_key(open_reader(parse_spec(f"folder:{root}")), 16, "none")
    here = Path.cwd()
    try:
        os.chdir(root)
        for _ in range(1500):
            Path("deeper").mkdir()
            os.chdir("deeper")
        Path("a.png").touch()
    finally:
        os.chdir(here)
    try:
        assert cache_key(open_reader(parse_spec(f"folder:{root}")), 16, "none") != before
    finally:
        # Python's own rmtree, with which pytest clears up, is recursive.
        subprocess.run(["rm", "-rf", str(root / "deeper")], check=True)
