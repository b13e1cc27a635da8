"""Fingerprints: the signs that a naive transform gives, and what changes them little or not at all.

Inspection: what is kept of each picture, in order, by one process or several.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from dcdan.audit import inspection
from dcdan.audit.duplicates import DISTANCE, FINE
from dcdan.audit.inspection import (
    PRINT,
    STATUSES,
    distance,
    fingerprints,
    inspect,
    listing,
    mirrored,
    samples_at,
    squeezed,
)
from dcdan.datasets.manifest import Manifest
from dcdan.datasets.reader import ReaderOptions
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.status import Status
from textured import FOUR, Published, brighter, stored_again, texture, write

SEEDS = st.integers(0, 2**32 - 1)


def words(*pictures: np.ndarray) -> np.ndarray:
    return fingerprints(np.stack([squeezed(picture) for picture in pictures]))[0]


def apart(first: np.ndarray, second: np.ndarray) -> list[int]:
    return distance(*words(first, second)).tolist()


def test_the_bits_are_the_signs_of_a_naive_transform() -> None:
    square = squeezed(texture(3))
    coefficients = dctn(square.astype(np.float64), norm="ortho")
    coarse = fine = coarse_bits = fine_bits = 0
    for down in range(1, 12):
        for across in range(1, 12):
            bit = int(coefficients[down, across] > 0)
            if down <= 8 and across <= 8:
                coarse, coarse_bits = coarse | bit << coarse_bits, coarse_bits + 1
            else:
                fine, fine_bits = fine | bit << fine_bits, fine_bits + 1
    assert (coarse_bits, fine_bits) == (inspection.BITS, inspection.FINE_BITS) == (64, 57)
    assert fingerprints(square[None])[0].tolist() == [[coarse, fine]]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(60, 95), st.floats(0.6, 1.15), st.floats(0, 20), st.integers(48, 200))
def test_a_copy_is_near(seed: int, quality: int, gain: float, lift: float, side: int) -> None:
    picture = texture(seed)
    resized = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
    for copy in (stored_again(picture, quality), brighter(picture, gain, lift), resized):
        coarse, fine = apart(picture, copy)
        assert coarse <= DISTANCE
        assert fine <= FINE


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_another_picture_is_far(first: int, second: int) -> None:
    coarse, _ = apart(texture(first), texture(second))
    assert coarse > DISTANCE or first == second


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(20, 100), st.integers(20, 100))
def test_a_mirrored_word_is_the_word_of_the_mirrored_picture(seed: int, height: int, width: int) -> None:
    picture = texture(seed, 100)[:height, :width]
    plain, turned = words(picture, np.ascontiguousarray(picture[:, ::-1]))
    assert distance(mirrored(plain), turned).sum() <= 1  # a coefficient may be zero but for rounding
    np.testing.assert_array_equal(mirrored(mirrored(plain)), plain)
    assert distance(plain, turned)[0] > DISTANCE


def test_light_from_one_side_and_a_border_above_change_nothing() -> None:
    picture = texture(8).astype(np.float64)
    side_light = np.linspace(0, 50, picture.shape[1])[None, :, None]
    assert apart(picture.astype(np.uint8), (picture + side_light).astype(np.uint8))[0] <= 2


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_plain_pictures_are_called_plain(slope: float) -> None:
    rng = np.random.default_rng(1)
    ramp = np.round(60 + slope * np.arange(64)[None, :] + rng.integers(0, 2, (64, 64)))
    _, plain = fingerprints(
        np.stack([squeezed(ramp.astype(np.uint8)), squeezed(texture(1)), squeezed(texture(1) // 16)])
    )
    assert plain.tolist() == [True, False, False]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1))
def test_distances_are_those_of_the_bits(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    expected = [bin(one ^ two).count("1") for one, two in pairs]
    assert distance(first, second).tolist() == expected


def test_distances_are_the_same_with_an_older_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.random.default_rng(0).integers(0, 2**64, (2, 50, 2), np.uint64)
    expected = distance(first, second)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(distance(first, second), expected)


def test_a_listing_keeps_split_and_label_of_every_sample(tmp_path: Path) -> None:
    reader = Published(tmp_path, ["test-fear-0", "train-none-1", "train-odd-2", "test-happiness-3"])
    listed = listing(reader)
    assert [listed.splits[code] for code in listed.split_codes] == ["test", "train", "test"]
    assert listed.labels.tolist() == [FOUR.index("fear"), -1, FOUR.index("happiness")]
    assert reader.skipped == {"damaged rows": 1}
    assert [sample.path for sample in samples_at(reader, np.array([2, 0])).values()] == [
        "test-fear-0",
        "test-happiness-3",
    ]


def test_broken_pictures_have_their_status_and_no_print(tmp_path: Path) -> None:
    write(tmp_path / "train-fear-0.png", texture(0))
    whole = write(tmp_path / "train-fear-1.jpg", texture(1)).read_bytes()
    (tmp_path / "train-fear-1.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "train-fear-2.png").write_bytes(b"")
    (tmp_path / "train-fear-4.png").write_bytes(b"no picture at all")
    names = ["train-fear-0.png", "train-fear-1.jpg", "train-fear-2.png", "train-fear-3.png", "train-fear-4.png"]
    prints = inspect(Published(tmp_path, names), 5, progress=False)
    statuses = [STATUSES[code] for code in prints["status"]]
    assert statuses == [Status.OK, Status.UNREADABLE, Status.EMPTY, Status.MISSING, Status.NOT_AN_IMAGE]
    assert prints.dtype == PRINT
    assert (prints["content"] == 0).tolist() == [False, True, True, True, True]


def test_equal_pixels_have_equal_content_whatever_the_file(tmp_path: Path) -> None:
    for name, picture in (
        ("a.png", texture(1)),
        ("b.bmp", texture(1)),
        ("c.png", texture(1)[:-1]),
        ("d.png", texture(2)),
    ):
        write(tmp_path / f"train-fear-{name}", picture)
    names = sorted(path.name for path in tmp_path.iterdir())
    content = inspect(Published(tmp_path, names), 4, progress=False)["content"].tolist()
    assert content[0] == content[1]
    assert len(set(content)) == 3


def test_the_box_of_a_sample_is_what_is_seen(tmp_path: Path) -> None:
    scene = np.concatenate([texture(1, 64), texture(2, 64)], axis=1)
    write(tmp_path / "scene.png", scene)
    write(tmp_path / "face.png", texture(2, 64))
    rows = "path,x0,y0,x1,y1\nscene.png,0,0,64,64\nscene.png,64,0,128,64\nface.png,,,,\n"
    (tmp_path / "faces.csv").write_text(rows)
    reader = open_reader(parse_spec(f"manifest:{tmp_path / 'faces.csv'}"))
    assert isinstance(reader, Manifest)
    prints = inspect(reader, 3, progress=False)
    assert prints["content"][1] == prints["content"][2] != prints["content"][0]
    assert distance(prints["words"][1], prints["words"][2]).tolist() == [0, 0]


@pytest.mark.parametrize("count", [1100])
def test_processes_give_what_one_gives(tmp_path: Path, count: int) -> None:
    for number in range(8):
        write(tmp_path / f"train-fear-{number}.png", texture(number, 32))
    names = [f"train-fear-{number % 9}.png" for number in range(count)]
    reader = Published(tmp_path, names)
    assert reader.options == ReaderOptions()
    one, two = (inspect(reader, count, workers=workers, progress=False) for workers in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one["status"] != 0).sum() == sum(number % 9 == 8 for number in range(count))


def test_grey_is_weighted_as_red_green_and_blue() -> None:
    """T: red, green and blue in the order of the picture, by the weights of ITU-R BT.601."""
    for channel, grey in enumerate((59.8, 117.4, 22.8)):
        picture = np.zeros((40, 40, 3), np.uint8)
        picture[..., channel] = 200
        np.testing.assert_allclose(squeezed(picture), grey, atol=0.6)
