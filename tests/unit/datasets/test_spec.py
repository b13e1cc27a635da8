"""Specs: the grammar, the round trip, the reader that a bare path wants, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.spec import Spec, open_reader, parse_spec, view_options
from drawn_data import write_classes, write_picture

words = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_]{1,12}", fullmatch=True)


@given(names, words, st.dictionaries(words.filter(bool), words, max_size=4))
def test_text_and_parse_are_inverse_with_a_reader(reader: str, path: str, options: dict[str, str]) -> None:
    spec = Spec(reader, path, options)
    assert parse_spec(spec.text) == spec


@given(words.filter(bool).map(lambda word: f"./{word}"), st.dictionaries(words.filter(bool), words, max_size=4))
def test_text_and_parse_are_inverse_without_a_reader(path: str, options: dict[str, str]) -> None:
    spec = Spec(None, path, options)
    assert parse_spec(spec.text) == spec


@given(words)
def test_any_text_parses_or_is_refused_in_a_sentence(text: str) -> None:
    try:
        parse_spec(text)
    except UsageError as error:
        assert str(error).endswith(".")  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("ferplus:/data/FERPlus", Spec("ferplus", "/data/FERPlus", {})),
        ("ferplus:x?split=train&votes=majority", Spec("ferplus", "x", {"split": "train", "votes": "majority"})),
        ("synthetic:street?n=2000", Spec("synthetic", "street", {"n": "2000"})),
        ("./my photos", Spec(None, "./my photos", {})),
        ("what?.d?limit=3", Spec(None, "what?.d", {"limit": "3"})),
        ("what?.d?", Spec(None, "what?.d", {})),
        ("C:\\faces", Spec(None, "C:\\faces", {})),
        ("/a:b/c", Spec(None, "/a:b/c", {})),
    ],
)
def test_examples(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no data"),
        ("?split=train", "names no data"),
        ("x?split", "'split' in 'x.split' is no option: write"),
        ("x?split=a&split=b", "'split' is given twice"),
    ],
)
def test_what_is_no_spec(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_spec(text)


def test_mistakes_are_answered_with_the_nearest_spelling(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown reader 'ferpluss'. Did you mean 'ferplus'"):
        open_reader(parse_spec(f"ferpluss:{tmp_path}"))
    with pytest.raises(UsageError, match=r"Unknown option of folder 'spilt'. Did you mean 'split'"):
        open_reader(parse_spec(f"folder:{tmp_path}?spilt=train"))
    with pytest.raises(UsageError, match=r"limit=many of folder is not valid: input should be a valid integer"):
        open_reader(parse_spec(f"folder:{tmp_path}?limit=many"))
    with pytest.raises(UsageError, match=r"Unknown option of a pack 'spit'. Did you mean 'split'"):
        view_options({"spit": "test"})
    with pytest.raises(UsageError, match=r"write ferplus:PATH"):
        open_reader(parse_spec("ferplus"))
    with pytest.raises(UsageError, match=r"write ferplus:PATH"):
        open_reader(parse_spec("ferplus:"))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        open_reader(parse_spec(str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match=r"There is nothing at '.*nowhere': give FERPlus a path that exists"):
        open_reader(parse_spec(f"ferplus:{tmp_path / 'nowhere'}"))


def test_a_folder_whose_name_has_a_colon_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "trip:rome" / "a.png")
    monkeypatch.chdir(tmp_path)
    reader = open_reader(parse_spec("trip:rome"))
    assert [sample.path for sample in reader.selected()] == ["a.png"]


def test_a_bare_folder_is_looked_into(tmp_path: Path) -> None:
    classes = write_classes(tmp_path / "classes", {"Happy": 1, "suprise": 1, "notes": 0})
    assert open_reader(parse_spec(str(classes))).name == "class_folders"
    mixed = write_classes(tmp_path / "mixed", {"happy": 1, "sad": 1, "holiday": 1})
    assert open_reader(parse_spec(str(mixed))).name == "folder"
    single = write_classes(tmp_path / "single", {"happy": 1})
    assert open_reader(parse_spec(str(single))).name == "folder"


def test_class_folders_below_folders_for_splits_are_seen_too(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_classes(tmp_path / "mine" / split, {"happy": 1, "sad": 1})
    assert open_reader(parse_spec(str(tmp_path / "mine"))).name == "class_folders"
    write_classes(tmp_path / "mine" / "train", {"holidays": 1})
    assert open_reader(parse_spec(str(tmp_path / "mine"))).name == "folder"


def test_a_bare_file_is_a_manifest_or_refused(tmp_path: Path) -> None:
    table = tmp_path / "faces.csv"
    table.write_text("path\na.png\n")
    assert open_reader(parse_spec(str(table))).name == "manifest"
    with pytest.raises(DataError, match="is a file and no manifest"):
        open_reader(parse_spec(str(write_picture(tmp_path / "a.png"))))


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match=r"^The options of synthetic do not go together: test_share and validation_sh"):
        open_reader(parse_spec("synthetic:street?test_share=0.6&validation_share=0.5"))
