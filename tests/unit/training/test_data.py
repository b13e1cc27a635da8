"""Which faces and labels training sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dcdan.core.errors import DataError
from dcdan.packs.pack import HiddenLabelsError, Pack
from dcdan.training.data import (
    Source,
    StackedFaces,
    Target,
    check_target,
    in_colour,
    merged,
    mismatch,
    named_sources,
    source_of,
    source_specs,
    sources_of,
    stratified_holdout,
    target_of,
    to_float,
)
from tiny_training import listed

CLASSES = ("fear", "happiness", "neutral")


def source(folder: Path, rows: list[tuple[str, str]], target: tuple[str, ...] = (), **view: Any) -> Source:
    """Pack the rows, open them in a view, and read them as a source."""
    listed(folder / "pack", CLASSES, rows)
    return source_of(Pack.open(folder / "pack", **view), target, soft_votes=False)


def split(name: str, *labels: str) -> list[tuple[str, str]]:
    return [(label, name) for label in labels]


TRAIN = split("train", "fear", "happiness", "neutral", "fear", "happiness")
VALIDATION = split("validation", "neutral", "happiness", "fear")
TEST = split("test", "fear", "neutral")


def test_splits_and_labels_are_those_of_the_pack(tmp_path: Path) -> None:
    found = source(tmp_path, TEST + TRAIN + [("", "train")] + VALIDATION)
    assert found.classes == CLASSES
    assert found.train.tolist() == [2, 3, 4, 5, 6]
    assert found.validation.tolist() == [8, 9, 10]
    assert found.hard.tolist() == [0, 2, 0, 1, 2, 0, 1, -1, 2, 1, 0]
    assert found.left_out == 1
    assert found.counts.tolist() == [2, 2, 1]
    expected = np.zeros((11, 3))
    expected[np.arange(11)[found.hard >= 0], found.hard[found.hard >= 0]] = 1
    assert (found.labels.numpy() == expected).all()
    assert found.labels.dtype == torch.float32


def test_only_common_classes_are_kept_and_the_others_counted(tmp_path: Path) -> None:
    found = source(tmp_path, TRAIN + VALIDATION, ("neutral", "sadness", "fear"))
    assert found.classes == ("fear", "neutral")
    assert found.left_out == 3
    assert found.train.tolist() == [0, 2, 3]
    assert found.validation.tolist() == [5, 7]
    assert found.hard.tolist() == [0, -1, 1, 0, -1, 1, -1, 0]
    assert found.labels[[1, 4]].sum() == 0
    assert found.labels.shape == (8, 2)


def test_votes_are_shared_out_among_the_common_classes(tmp_path: Path) -> None:
    votes = [(0.5, 0.3, 0.2), (0.0, 0.6, 0.4), (0.1, 0.1, 0.8), None, (0.0, 0.9, 0.1), (0.0, 0.0, 1.0), None, None]
    listed(tmp_path / "pack", CLASSES, TRAIN + VALIDATION, votes=votes)
    pack = Pack.open(tmp_path / "pack")
    found = source_of(pack, ("fear", "neutral"), True)
    np.testing.assert_allclose(found.labels[0].numpy(), [5 / 7, 2 / 7], rtol=1e-6)
    np.testing.assert_allclose(found.labels[2].numpy(), [1 / 9, 8 / 9], rtol=1e-6)
    # Without votes a face has its label; of another class it has nothing, whatever its votes.
    assert found.labels[3].tolist() == [1, 0]
    assert found.labels[1].tolist() == [0, 0]
    used = np.concatenate([found.train, found.validation])
    np.testing.assert_allclose(found.labels[used].sum(1).numpy(), 1, rtol=1e-6)
    hard = source_of(pack, ("fear", "neutral"), False)
    assert set(hard.labels.unique().tolist()) == {0.0, 1.0}


def test_a_source_without_labels_is_refused(tmp_path: Path) -> None:
    listed(tmp_path / "none", (), [("", "train")] * 4)
    listed(tmp_path / "empty", CLASSES, [("", "train")] * 4)
    for name in ("none", "empty"):
        with pytest.raises(DataError, match=r"has no labels; give a labelled data set as --source"):
            source_of(Pack.open(tmp_path / name), (), True)


@pytest.mark.parametrize("target", [("sadness", "anger"), ("sadness", "fear")])
def test_fewer_than_two_common_classes_are_refused(tmp_path: Path, target: tuple[str, ...]) -> None:
    with pytest.raises(
        DataError, match="share too few classes: the source has fear, happiness, neutral, the target sadness"
    ):
        source(tmp_path, TRAIN, target)


def test_a_class_without_a_training_face_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no training face of neutral; add some"):
        source(tmp_path, split("train", "fear", "happiness", "fear") + split("validation", "neutral"))


def test_a_class_that_is_not_common_needs_no_face(tmp_path: Path) -> None:
    assert source(tmp_path, split("train", *("fear", "happiness") * 4), ("fear", "happiness")).classes == CLASSES[:2]


def test_without_a_split_a_tenth_is_held_out(tmp_path: Path) -> None:
    labels = ["fear"] * 40 + ["happiness"] * 21 + ["neutral"]
    found = source(tmp_path, split("", *labels))
    assert not set(found.train) & set(found.validation)
    assert sorted([*found.train, *found.validation]) == list(range(62))
    assert np.bincount(found.hard[found.validation], minlength=3).tolist() == [4, 2, 0]
    assert found.counts.tolist() == [36, 19, 1]


def test_a_person_is_never_on_both_sides_of_the_hold_out(tmp_path: Path) -> None:
    """D1. Ten people with faces of every class: whole people are held out, and the run says so."""
    labels = list(CLASSES) * 20
    people = [f"person {index // 6}" for index in range(60)]
    listed(tmp_path / "pack", CLASSES, split("", *labels), subject=people)
    found = source_of(Pack.open(tmp_path / "pack"), (), soft_votes=False)
    sides = [{people[row] for row in rows} for rows in (found.train, found.validation)]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert sorted([*found.train, *found.validation]) == list(range(60))
    assert found.held_out_by == "subject"


def test_films_are_held_out_whole_and_a_split_of_the_set_is_taken(tmp_path: Path) -> None:
    """D1. Where people are unknown a film is a group; where the set has its own validation split, that counts."""
    labels = list(CLASSES) * 20
    films = [{"movie": f"film {index // 6}"} for index in range(60)]
    listed(tmp_path / "pack", CLASSES, split("", *labels), groups=films)
    found = source_of(Pack.open(tmp_path / "pack"), (), soft_votes=False)
    assert not {films[r]["movie"] for r in found.train} & {films[r]["movie"] for r in found.validation}
    assert found.held_out_by == "movie"
    assert source(tmp_path / "other", TRAIN + VALIDATION).held_out_by == "split"
    assert source(tmp_path / "plain", split("", *labels)).held_out_by == "face"


def test_one_person_alone_is_split_by_faces(tmp_path: Path) -> None:
    listed(tmp_path / "pack", CLASSES, split("", *(list(CLASSES) * 20)), subject=["ann"] * 60)
    found = source_of(Pack.open(tmp_path / "pack"), (), soft_votes=False)
    assert (len(found.validation), found.held_out_by) == (6, "face")


def test_classes_that_only_one_side_has_are_told_in_one_line(tmp_path: Path) -> None:
    """D4. Which classes, and how many faces."""
    found = source(tmp_path, TRAIN + VALIDATION + TEST, ("neutral", "sadness", "fear"))
    assert mismatch(found, ("neutral", "sadness", "fear")) == (
        "The target has no happiness (3 source faces left out); "
        "the source has no sadness, which no face will be called."
    )
    same = source(tmp_path / "same", TRAIN + VALIDATION)
    assert mismatch(same, ()) == mismatch(same, CLASSES) == ""


def test_a_target_of_ten_faces_is_refused_with_the_number_that_is_needed() -> None:
    """D6. It was called a collapse before."""
    faces = np.zeros((40, 8, 8), np.uint8)
    with pytest.raises(DataError, match=r"'photos' has 31 faces, too few to adapt to: DANN needs at least 32; add"):
        check_target(Target(faces, np.arange(31)), "photos", "DANN")
    check_target(Target(faces, np.arange(32)), "photos", "DANN")


def test_faces_of_the_test_split_are_not_trained_on(tmp_path: Path) -> None:
    found = source(tmp_path, TEST + split("train", *("fear", "happiness", "neutral") * 4))
    assert not {0, 1} & {*found.train.tolist(), *found.validation.tolist()}


def test_without_a_training_split_validation_faces_stay_out_of_training(tmp_path: Path) -> None:
    found = source(tmp_path, VALIDATION + split("", "fear", "happiness", "neutral"))
    assert found.validation.tolist() == [0, 1, 2]
    assert found.train.tolist() == [3, 4, 5]


def test_a_split_named_in_the_spec_is_what_is_trained_on(tmp_path: Path) -> None:
    rows = TRAIN + split("test", *("fear", "happiness", "neutral") * 3)
    found = source(tmp_path, rows, split="test")
    assert sorted([*found.train, *found.validation]) == list(range(5, 14))
    target = target_of(Pack.open(tmp_path / "pack", labelled=False, split="test"))
    assert target.train.tolist() == list(range(5, 14))


def test_a_limit_in_the_spec_is_kept(tmp_path: Path) -> None:
    found = source(tmp_path, split("", *CLASSES * 20), limit=30)
    assert len(found.train) + len(found.validation) == 30
    target = target_of(Pack.open(tmp_path / "pack", labelled=False, limit=30))
    assert len(target.train) == 30


def test_a_target_is_its_training_split_or_everything(tmp_path: Path) -> None:
    listed(tmp_path / "a", CLASSES, TEST + TRAIN)
    assert target_of(Pack.open(tmp_path / "a", labelled=False)).train.tolist() == [2, 3, 4, 5, 6]
    listed(tmp_path / "b", (), [("", "")] * 4)
    assert target_of(Pack.open(tmp_path / "b", labelled=False)).train.tolist() == [0, 1, 2, 3]


def test_the_labels_of_a_target_cannot_be_read(tmp_path: Path) -> None:
    listed(tmp_path / "a", CLASSES, TRAIN)
    pack = Pack.open(tmp_path / "a", labelled=False)
    for name in ("labels", "votes"):
        with pytest.raises(HiddenLabelsError):
            getattr(pack, name)
    target_of(pack)
    assert not {"labels", "votes"} & set(vars(pack))
    with pytest.raises(HiddenLabelsError):
        source_of(pack, (), True)


def test_holding_out_follows_from_the_seed_and_keeps_single_faces() -> None:
    rows = np.arange(100, 200)
    labels = np.repeat([0, 1, 2], [60, 39, 1])
    train, validation = stratified_holdout(rows, labels, seed=3)
    assert sorted([*train, *validation]) == rows.tolist()
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert np.bincount(labels[validation - 100], minlength=3).tolist() == [6, 4, 0]
    assert (stratified_holdout(rows, labels, seed=3)[1] == validation).all()
    assert set(stratified_holdout(rows, labels, seed=4)[1]) != set(validation)
    # The order in which rows are listed says nothing of them.
    assert set(validation) != set(range(100, 110))


def test_where_every_class_has_one_face_it_serves_for_both() -> None:
    rows = np.array([4, 7])
    train, validation = stratified_holdout(rows, np.array([1, 0]))
    assert train.tolist() == validation.tolist() == [4, 7]


def test_faces_become_channels_first_in_unit_range() -> None:
    colour = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    batch = to_float(colour, torch.device("cpu"))
    assert batch.shape == (2, 3, 4, 4)
    assert batch[1, 2, 3, 0] == pytest.approx(colour[1, 3, 0, 2] / 255)
    grey = to_float(colour[..., 0].copy(), torch.device("cpu"))
    assert grey.shape == (2, 1, 4, 4)
    assert (in_colour(grey)[:, 2] == grey[:, 0]).all()
    assert in_colour(batch) is batch
    assert float(to_float(np.full((1, 2, 2), 255, np.uint8), torch.device("cpu")).max()) == 1.0


def test_faces_of_several_packs_read_as_one_array() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for n in (3, 1, 5)]
    faces, whole = StackedFaces(parts), np.concatenate(parts)
    rows = np.array([8, 0, 3, 3, 2, 4])
    assert len(faces) == 9
    assert faces.shape == whole.shape
    assert (faces[rows] == whole[rows]).all()
    assert faces[np.empty(0, np.int64)].shape == (0, 4, 4)


def test_grey_faces_get_three_channels_beside_coloured_ones() -> None:
    grey, colour = np.full((2, 4, 4), 7, np.uint8), np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    for parts in ([grey, colour], [colour, grey]):
        faces = StackedFaces(parts)
        assert faces.shape == (3, 4, 4, 3)
        place = 2 if parts[0] is grey else 0
        assert (faces[np.array([place])] == colour).all()
        assert (faces[np.array([1])] == 7).all()


def test_several_sources_are_joined_over_their_common_classes(tmp_path: Path) -> None:
    """F18. Rows of the second set follow those of the first, with the same numbers of classes."""
    listed(tmp_path / "a", CLASSES, TRAIN + VALIDATION)
    listed(tmp_path / "b", CLASSES[1:], split("train", "neutral", "happiness") + split("validation", "neutral"))
    packs = [Pack.open(tmp_path / name) for name in "ab"]
    each = sources_of(packs, (), soft_votes=False)
    whole = merged(each)
    assert whole.classes == ("happiness", "neutral")
    assert whole.dropped == {"fear": 3}
    assert whole.sets is not None
    assert whole.sets.tolist() == [0] * 8 + [1] * 3
    assert whole.train.tolist() == [*each[0].train, *(8 + each[1].train)]
    assert whole.hard[8:].tolist() == [1, 0, 1]
    assert (whole.counts == each[0].counts + each[1].counts).all()
    assert (whole.faces[np.array([9])] == packs[1].faces[1]).all()
    assert (whole.labels[8:] == each[1].labels).all()
    assert merged(each[:1]) is each[0]


def test_sources_without_two_common_classes_are_refused(tmp_path: Path) -> None:
    listed(tmp_path / "a", CLASSES[:2], split("train", "fear", "happiness"))
    listed(tmp_path / "b", CLASSES[1:], split("train", "neutral", "happiness"))
    with pytest.raises(DataError, match="share too few classes"):
        sources_of([Pack.open(tmp_path / name) for name in "ab"], (), soft_votes=False)


def test_specs_of_sources_have_names_in_a_run() -> None:
    specs = [f"set{number}" for number in range(12)]
    assert source_specs({"target": "x", **named_sources(specs), "start": ""}) == specs
    assert source_specs({"source": "", "target": "x"}) == []
