"""FERPlus: the three readings of ten votes, the layout, damaged rows; on the real data where they are."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.readers.ferplus import majority, plain_argmax, probability
from dcdan.datasets.spec import open_reader, parse_spec, recognised
from dcdan.expressions import EXPRESSIONS, canonical
from dcdan.packs import build
from dcdan.packs.build import build_pack
from drawn_data import write_ferplus
from released_layouts import FERPLUS_FOLDERS, faces_of, write_pixels, write_split_folders, write_votes

NEUTRAL, HAPPY, SURPRISE, SAD, ANGER, DISGUST, FEAR, CONTEMPT, UNKNOWN, NOT_A_FACE = range(10)


def votes(**counts: int) -> list[int]:
    """Ten votes by column name: votes(neutral=6, fear=4)."""
    names = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf")
    return [counts.get(name, 0) for name in names]


def released_probability(raw: list[float]) -> int:
    """The loop of the authors' released code for "probability", one row at a time; -1 for what it calls unknown."""
    raw = [0.0 if value < 1.5 else float(value) for value in raw]
    total = sum(raw)
    taken = [0.0] * 10
    part, count, valid = 0.0, 0, True
    while part < 0.75 * total and count < 3 and valid:
        highest = max(raw)
        for i in range(10):
            if raw[i] == highest:
                taken[i] = highest
                raw[i] = 0.0
                part += taken[i]
                count += 1
                if i >= 8:
                    valid = False
                    if sum(taken) > highest:
                        taken[i] = 0.0
                        count -= 1
                    break
    if sum(taken) <= 0.5 * total or count > 3:
        return -1
    return int(np.argmax(taken))


def test_majority_drops_single_votes_before_it_counts() -> None:
    table = np.array(
        [
            votes(neutral=5, happiness=1, surprise=1, sadness=1, anger=1, disgust=1),
            votes(neutral=5, happiness=5),
            votes(fear=6, unknown=4),
            votes(nf=10),
            votes(neutral=4, happiness=3, sadness=3),
            [1] * 10,
        ]
    )
    assert majority(table).tolist() == [NEUTRAL, -1, FEAR, NOT_A_FACE, -1, -1]


def test_argmax_keeps_single_votes_and_takes_the_first_of_a_tie() -> None:
    table = np.array([votes(neutral=5, happiness=5), votes(fear=1), votes(unknown=4, contempt=3, anger=3)])
    assert plain_argmax(table).tolist() == [NEUTRAL, FEAR, UNKNOWN]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=8))
def test_probability_equals_the_released_loop(table: list[list[int]]) -> None:
    assert probability(np.array(table)).tolist() == [released_probability(list(row)) for row in table]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    rows = [
        ("Training", "fer0000000.png", votes(happiness=7, neutral=3)),
        ("Training", "fer0000001.png", votes(contempt=8, neutral=2)),
        ("Training", "", votes(nf=10)),
        ("PublicTest", "fer0000002.png", votes(anger=6, disgust=3, fear=1)),
        ("PrivateTest", "fer0000003.png", votes(neutral=5, sadness=5)),
        ("PrivateTest", "fer0000004.png", votes(unknown=9, neutral=1)),
        ("PrivateTest", "fer0000005.png", votes(sadness=9, neutral=1)),
    ]
    return write_ferplus(tmp_path / "FERPlus", rows)


def test_labels_votes_splits_and_what_is_left_out(small: Path) -> None:
    reader = open_reader(parse_spec(f"ferplus:{small}"))
    samples = list(reader.selected())
    assert [(sample.path, reader.classes[sample.label], sample.split) for sample in samples] == [
        ("FER2013Train/fer0000000.png", "happiness", "train"),
        ("FER2013Train/fer0000001.png", "contempt", "train"),
        ("FER2013Valid/fer0000002.png", "anger", "validation"),
        ("FER2013Test/fer0000005.png", "sadness", "test"),
    ]
    assert reader.skipped == {"no image name": 1, "no majority": 1, "unknown or not a face": 1}
    anger = dict(zip(EXPRESSIONS, samples[2].votes or (), strict=True))
    assert anger["anger"] == pytest.approx(2 / 3)
    assert anger["disgust"] == pytest.approx(1 / 3)
    assert anger["fear"] == 0
    assert reader.load(samples[0]).shape == (48, 48, 3)


def test_contempt_can_be_left_out(small: Path) -> None:
    reader = open_reader(parse_spec(f"ferplus:{small}?contempt=no"))
    samples = list(reader.selected())
    assert reader.classes == EXPRESSIONS[:-1]
    assert len(samples) == 3
    assert reader.skipped["contempt"] == 1
    assert all(len(sample.votes or ()) == 7 and sum(sample.votes or ()) == pytest.approx(1) for sample in samples)


def test_all_keeps_every_face_with_a_vote_for_an_expression(small: Path) -> None:
    reader = open_reader(parse_spec(f"ferplus:{small}?votes=all"))
    samples = list(reader.selected())
    assert [(reader.classes[sample.label], dict(sample.values)) for sample in samples] == [
        ("happiness", {"expression_votes": 10}),
        ("contempt", {"expression_votes": 10}),
        ("anger", {"expression_votes": 10}),
        ("neutral", {"expression_votes": 10}),
        ("neutral", {"expression_votes": 1}),
        ("sadness", {"expression_votes": 10}),
    ]
    assert reader.skipped == {"no image name": 1}
    # Single votes count, unlike in majority: .6, .3 and .1.
    assert dict(zip(EXPRESSIONS, samples[2].votes or (), strict=True)) == pytest.approx(
        {**dict.fromkeys(EXPRESSIONS, 0), "anger": 0.6, "disgust": 0.3, "fear": 0.1}
    )
    # Nine of ten said unknown: the one vote for an expression has all the weight.
    assert dict(zip(EXPRESSIONS, samples[4].votes or (), strict=True))["neutral"] == 1
    assert reader.official() == {}


def test_all_without_contempt_uses_the_other_votes(small: Path) -> None:
    samples = list(open_reader(parse_spec(f"ferplus:{small}?votes=all&contempt=no")).selected())
    assert len(samples) == 6
    assert EXPRESSIONS[samples[1].label] == "neutral"
    assert samples[1].values == {"expression_votes": 2}
    assert samples[1].votes == tuple(float(name == "neutral") for name in EXPRESSIONS[:7])


def test_all_leaves_out_a_face_that_nobody_called_an_expression(tmp_path: Path) -> None:
    rows = [("Training", "a.png", votes(unknown=4, nf=6)), ("Training", "b.png", votes(unknown=9, fear=1))]
    reader = open_reader(parse_spec(f"ferplus:{write_ferplus(tmp_path, rows)}?votes=all"))
    assert [sample.path for sample in reader.selected()] == ["FER2013Train/b.png"]
    assert reader.skipped == {"no vote for an expression": 1}
    pack = build_pack(reader, tmp_path / "out", size=48, align="none", workers=1, progress=False)
    assert pack.values["expression_votes"].tolist() == [1]


def test_a_split_alone(small: Path) -> None:
    reader = open_reader(parse_spec(f"ferplus:{small}?split=test&votes=argmax"))
    assert [sample.path for sample in reader.selected()] == [
        "FER2013Test/fer0000003.png",
        "FER2013Test/fer0000005.png",
    ]


@pytest.mark.parametrize("below", ["", "data", ".."])
def test_the_path_may_be_the_folder_its_data_or_its_parent(small: Path, below: str) -> None:
    reader = open_reader(parse_spec(f"ferplus:{small.parent if below == '..' else small / below}"))
    assert reader.load(next(reader.selected())).shape == (48, 48, 3)


def test_damaged_rows_are_named_by_line_and_the_rest_is_read(small: Path) -> None:
    table = small / "fer2013new.csv"
    lines = table.read_text().splitlines()
    lines[2:2] = [
        "Training,fer0000009.png,1,2,3",
        "Training,fer0000009.png,x,0,0,0,0,0,0,0,0,0",
        "Elsewhere,fer0000009.png,10,0,0,0,0,0,0,0,0,0",
        "Training,../../secret.png,10,0,0,0,0,0,0,0,0,0",
        "Training,fer0000009.png,-3,0,0,0,0,0,0,0,0,0",
    ]
    table.write_text("\n".join(lines))
    reader = open_reader(parse_spec(f"ferplus:{small}"))
    assert len(list(reader.selected())) == 4
    assert reader.skipped["damaged rows"] == 5
    assert [note.split(":")[0] for note in reader.notes] == [
        f"line {number} of fer2013new.csv was left out" for number in range(3, 8)
    ]


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=200), place=st.integers(1, 7))
def test_any_bytes_between_the_rows_cost_no_more_than_rows(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    root = tmp_path_factory.mktemp("noise")
    (root / "data" / "FER2013Train").mkdir(parents=True)
    good = [f"Training,fer{index:07d}.png,10,0,0,0,0,0,0,0,0,0".encode() for index in range(8)]
    head = b"Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    # A quote would open a field that swallows the rows after it, which is what CSV says.
    lines = [head, *good[:place], noise.replace(b'"', b"'"), *good[place:]]
    (root / "fer2013new.csv").write_bytes(b"\n".join(lines))
    reader = open_reader(parse_spec(f"ferplus:{root}"))
    found = [sample.path for sample in reader.selected()]
    assert set(found) >= {f"FER2013Train/fer{index:07d}.png" for index in range(8)}


def test_a_wrong_folder_is_told_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DataError, match=r"needs fer2013new.csv or .* in '.*'; found: holiday"):
        open_reader(parse_spec(f"ferplus:{tmp_path}"))
    (tmp_path / "fer2013new.csv").write_text("Usage\n")
    with pytest.raises(DataError, match=r"needs data/FER2013Train or fer2013.csv in"):
        open_reader(parse_spec(f"ferplus:{tmp_path}"))


def test_a_table_of_other_columns_is_refused(small: Path) -> None:
    (small / "fer2013new.csv").write_text("image,label\na.png,fear\n")
    with pytest.raises(DataError, match="should begin with the columns Usage"):
        list(open_reader(parse_spec(f"ferplus:{small}")).selected())


def test_an_unknown_way_to_count_votes_names_the_known(small: Path) -> None:
    with pytest.raises(
        UsageError, match=r"votes=majorty of ferplus .*'majority', 'argmax', 'probability' or 'all'.*mean 'maj"
    ):
        open_reader(parse_spec(f"ferplus:{small}?votes=majorty"))


def three_rows() -> tuple[list[tuple[str, str, list[int]]], list[tuple[int, str]]]:
    """Rows of the table of votes and of fer2013.csv; the names do not count the rows, as in the release."""
    voted = [
        ("Training", "fer0000000.png", votes(happiness=7, neutral=3)),
        ("Training", "", votes(nf=10)),
        ("PublicTest", "fer0000001.png", votes(anger=6, disgust=3, fear=1)),
        ("PrivateTest", "fer0000002.png", votes(sadness=9, neutral=1)),
    ]
    return voted, [(6, usage) for usage, _, _ in voted]


@pytest.mark.parametrize("place", ["", "data", "fer2013"])
def test_pictures_from_the_csv_are_found_by_the_row(tmp_path: Path, place: str) -> None:
    voted, pixels = three_rows()
    write_votes(tmp_path / "FERPlus" / "fer2013new.csv", voted)
    write_pixels(tmp_path / "FERPlus" / place / "fer2013.csv", pixels)
    # What a clone of the authors' repository has before its script is run.
    (tmp_path / "FERPlus" / "data" / "FER2013Train").mkdir(parents=True)
    (tmp_path / "FERPlus" / "data" / "FER2013Train" / "label.csv").touch()
    for given_folder in (tmp_path, tmp_path / "FERPlus"):
        assert recognised(given_folder) == {"ferplus": "fer2013.csv"}
    reader = open_reader(parse_spec(str(tmp_path)))
    samples = list(reader.selected())
    assert [(sample.path, reader.classes[sample.label], sample.split) for sample in samples] == [
        ("fer2013.csv#0000000", "happiness", "train"),
        ("fer2013.csv#0000002", "anger", "validation"),
        ("fer2013.csv#0000003", "sadness", "test"),
    ]
    assert reader.skipped == {"no image name": 1}
    for sample, seed in zip(samples, (0, 2, 3), strict=True):
        np.testing.assert_array_equal(reader.load(sample)[..., 0], faces_of([seed])[0])


def test_the_csv_and_the_files_give_the_same_pack(tmp_path: Path) -> None:
    voted, pixels = three_rows()
    files = write_ferplus(tmp_path / "files", voted)
    write_votes(tmp_path / "csv" / "fer2013new.csv", voted)
    write_pixels(tmp_path / "csv" / "fer2013.csv", pixels)
    packs = [
        build_pack(open_reader(parse_spec(str(root))), root / "out", size=48, align="none", workers=1, progress=False)
        for root in (files, tmp_path / "csv")
    ]
    np.testing.assert_array_equal(packs[0].faces, packs[1].faces)
    np.testing.assert_array_equal(packs[0].labels, packs[1].labels)
    assert packs[0].splits.tolist() == packs[1].splits.tolist() == ["train", "validation", "test"]


def test_two_workers_read_the_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CHUNK", 4)
    write_votes(tmp_path / "fer2013new.csv", [("Training", f"fer{i:07d}.png", votes(fear=10)) for i in range(36)])
    write_pixels(tmp_path / "fer2013.csv", [(2, "Training")] * 36)
    reader = open_reader(parse_spec(str(tmp_path)))
    pack = build_pack(reader, tmp_path / "out", size=48, align="none", workers=2, progress=False)
    np.testing.assert_array_equal(pack.faces, faces_of(range(36)))


def test_damaged_rows_of_votes_do_not_move_the_pictures_of_the_others(tmp_path: Path) -> None:
    voted, pixels = three_rows()
    table = write_votes(tmp_path / "fer2013new.csv", voted)
    write_pixels(tmp_path / "fer2013.csv", [*pixels[:3], (6, "Training")])
    lines = table.read_text().splitlines()
    lines[1] = "Training,fer0000000.png,x,y"
    lines[2:2] = [""]
    table.write_text("\n".join(lines))
    reader = open_reader(parse_spec(str(tmp_path)))
    assert [sample.path for sample in reader.selected()] == ["fer2013.csv#0000002"]
    assert [note.split(":")[0] for note in reader.notes] == [
        f"line {number} of fer2013new.csv was left out" for number in (2, 6)
    ]
    assert reader.notes[1].endswith("usage 'PrivateTest', in fer2013.csv 'Training'")


def test_tables_of_different_length_are_refused(tmp_path: Path) -> None:
    voted, pixels = three_rows()
    write_votes(tmp_path / "fer2013new.csv", voted)
    write_pixels(tmp_path / "fer2013.csv", pixels[:-1])
    with pytest.raises(DataError, match=r"fer2013.csv' has 3 rows and '.*fer2013new.csv' 4: .* get both files again"):
        list(open_reader(parse_spec(str(tmp_path))).selected())


def test_the_folders_of_the_copy_have_labels_and_no_votes(tmp_path: Path) -> None:
    root = write_split_folders(tmp_path / "archive", ("train", "test", "validation"), FERPLUS_FOLDERS)
    reader = open_reader(parse_spec(str(root)))
    assert (reader.name, reader.layout) == ("ferplus", "folders of the Kaggle copy")
    samples = list(reader.selected())
    assert Counter(sample.split for sample in samples) == {"train": 8, "validation": 8, "test": 8}
    assert {sample.path.split("/")[1]: reader.classes[sample.label] for sample in samples} == dict(
        zip(FERPLUS_FOLDERS, map(canonical, FERPLUS_FOLDERS), strict=True)
    )
    assert all(sample.votes is None for sample in samples)
    assert reader.official() == {}
    assert "the labels are the uploader's" in reader.warnings[0]
    without = open_reader(parse_spec(f"{root}?contempt=no"))
    assert len(list(without.selected())) == 21
    assert without.skipped == {"contempt": 3}
    with pytest.raises(UsageError, match=r"votes=argmax is not possible with the folders .* get fer2013new.csv"):
        open_reader(parse_spec(f"{root}?votes=argmax"))
    pack = build_pack(reader, tmp_path / "out", size=16, align="none", workers=1, progress=False)
    assert any("uploader" in warning for warning in pack.info.warnings)


def test_folders_without_the_spelling_of_the_copy_are_none(tmp_path: Path) -> None:
    spelt = [name.replace("suprise", "surprise") for name in FERPLUS_FOLDERS]
    assert recognised(write_split_folders(tmp_path, ("train", "test", "validation"), spelt)) == {}


def test_the_published_numbers_follow_the_options(small: Path) -> None:
    def totals(query: str) -> list[int]:
        return [counts[""] for counts in open_reader(parse_spec(f"{small}{query}")).official().values()]

    assert totals("") == [25060, 3199, 3153]
    assert totals("?contempt=no") == [24941, 3186, 3137]
    assert totals("?votes=argmax") == [28389, 3553, 3546]
    assert totals("?votes=probability") == [27956, 3505, 3505]
    assert totals("?votes=argmax&contempt=no") == []


REAL = os.environ.get("DCDAN_FERPLUS", "")


@pytest.mark.skipif(not REAL, reason="DCDAN_FERPLUS does not name the real data")
@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("", (25060, 3199, 3153)),
        ("?contempt=no", (24941, 3186, 3137)),
        ("?votes=argmax", (28389, 3553, 3546)),
        ("?votes=probability", (27956, 3505, 3505)),
    ],
)
def test_the_published_numbers_of_images(query: str, counts: tuple[int, int, int]) -> None:
    reader = open_reader(parse_spec(f"{REAL}{query}"))
    assert (reader.name, reader.layout) == ("ferplus", "PNG files")
    found = Counter(sample.split for sample in reader.selected())
    assert (found["train"], found["validation"], found["test"]) == counts
    assert {split: row[""] for split, row in reader.official().items()} == dict(found)
    assert sum(found.values()) + sum(reader.skipped.values()) == 35887
    assert reader.skipped["no image name"] == 173
