"""FERPlus: the three readings of ten votes, the layout, damaged rows; on the real data where they are."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from drawn_data import write_ferplus
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.data.ferplus import majority, plain_argmax, probability
from dcdan.data.spec import open_reader, parse_spec
from dcdan.errors import DataError, UsageError
from dcdan.expressions import EXPRESSIONS

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
    with pytest.raises(DataError, match=r"looked for fer2013new.csv in '.*' and found holiday"):
        open_reader(parse_spec(f"ferplus:{tmp_path}"))
    (tmp_path / "fer2013new.csv").write_text("Usage\n")
    with pytest.raises(DataError, match=r"looked for data/FER2013Train in"):
        open_reader(parse_spec(f"ferplus:{tmp_path}"))


def test_a_table_of_other_columns_is_refused(small: Path) -> None:
    (small / "fer2013new.csv").write_text("image,label\na.png,fear\n")
    with pytest.raises(DataError, match="should begin with the columns Usage"):
        list(open_reader(parse_spec(f"ferplus:{small}")).selected())


def test_an_unknown_way_to_count_votes_names_the_known(small: Path) -> None:
    with pytest.raises(
        UsageError, match=r"votes=majorty of ferplus .*'majority', 'argmax' or 'probability'.*mean 'maj"
    ):
        open_reader(parse_spec(f"ferplus:{small}?votes=majorty"))


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
    found = Counter(sample.split for sample in open_reader(parse_spec(f"ferplus:{REAL}{query}")).selected())
    assert (found["train"], found["validation"], found["test"]) == counts
