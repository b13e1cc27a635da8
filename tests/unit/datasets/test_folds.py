"""Splits by rule: balanced, disjoint, the same for ever; and hold-outs that keep a person on one side."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.datasets.folds import fold_rule, group_holdout, hashed_percent, holdout_groups, subject_folds


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40), st.integers(1, 10))
def test_subjects_are_dealt_evenly_whatever_their_order(subjects: set[str], folds: int) -> None:
    dealt = subject_folds(sorted(subjects), folds)
    assert dealt == subject_folds(sorted(subjects, reverse=True) * 2, folds)
    assert dealt.keys() == subjects
    sizes = Counter(dealt.values())
    assert set(dealt.values()) <= set(range(folds))
    assert max(sizes.values()) - min(sizes.get(fold, 0) for fold in range(folds)) <= 1


def test_the_rules_never_change() -> None:
    # Worked out once by hand with sha256sum: a change would move people between the splits of users' packs.
    assert [hashed_percent(name) for name in ("a", "b")] == [99, 65]
    assert subject_folds(["KA", "KL", "KM", "KR"], 2) == {"KA": 0, "KL": 1, "KM": 0, "KR": 1}
    assert fold_rule(10, 3).startswith("subject-disjoint fold 3 of 10 is test")
    # `printf 0:ann | sha256sum` begins with 75, bob b6, eve f9: the order in which groups are visited.
    assert group_holdout(["ann", "bob", "eve"] * 2, [0] * 3 + [1] * 3, 1 / 3).tolist() == [True, False, False] * 2


GROUPS = st.lists(st.tuples(st.sampled_from(["", *"abcdefghij"]), st.integers(-1, 3)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.sampled_from([0.05, 0.1, 0.3, 0.5]), st.integers(0, 3))
def test_a_hold_out_cuts_no_group_and_takes_no_last_face(rows: list[tuple[str, int]], share: float, seed: int) -> None:
    """D1: faces of one person must not lie on both sides."""
    groups, labels = [name for name, _ in rows], np.array([label for _, label in rows], np.int64)
    held = group_holdout(groups, labels, share, seed)
    assert held.shape == (len(rows),)
    for name in set(groups) - {""}:
        assert len({held[row] for row, other in enumerate(groups) if other == name}) == 1
    assert set(labels[held].tolist()) <= set(labels[~held].tolist())
    # The same people in another order of rows: the same choice.
    if "" not in groups:
        assert group_holdout(groups[::-1], labels[::-1], share, seed).tolist() == held[::-1].tolist()


def test_a_hold_out_has_about_its_share_of_every_class() -> None:
    """Fifty people with three pictures of each of seven expressions, as in JAFFE: five are held out."""
    groups = [f"person {row // 21}" for row in range(1050)]
    labels = np.tile(np.repeat(np.arange(7), 3), 50)
    held = group_holdout(groups, labels, 0.1)
    assert np.bincount(labels[held]).tolist() == [15] * 7
    assert group_holdout(groups, labels, 0.1, seed=1).tolist() != held.tolist()


def test_a_rare_class_is_held_out_too() -> None:
    labels = np.array([0] * 400 + [1] * 20)
    held = group_holdout([""] * 420, labels, 0.1)
    assert np.bincount(labels[held]).tolist() == [40, 2]


def test_few_large_groups_give_the_smallest_and_one_group_none() -> None:
    assert (
        group_holdout(["a"] * 5 + ["b"] * 4 + ["c"] * 6, [0] * 15, 0.1).tolist()
        == [False] * 5 + [True] * 4 + [False] * 6
    )
    assert not group_holdout(["a"] * 5, [0] * 5).any()
    # Each group alone has a class: none can be spared.
    assert not group_holdout(["a", "a", "b", "b"], [0, 0, 1, 1]).any()
    assert group_holdout([], []).tolist() == []


def test_shares_and_lengths_that_make_no_sense_are_refused() -> None:
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match="not between 0 and 1"):
            group_holdout(["a"], [0], share)
    with pytest.raises(ValueError, match="1 groups and 2 labels"):
        group_holdout(["a"], [0, 1])


def test_a_face_belongs_to_its_person_then_its_film_then_its_picture() -> None:
    """D1: what is known of a set decides, and rows of which less is known fall back one by one."""
    paths = ["p/1.png", "p/2.png", "p/3.png", "p/3.png"]
    films = {"movie": ["Amelie", "Amelie", "", ""], "age": ["1", "2", "3", "4"]}
    by_film = holdout_groups([""] * 4, films, paths)
    assert by_film.kind == "movie"
    assert by_film.names.tolist() == ["movie Amelie", "movie Amelie", "picture p/3.png", "picture p/3.png"]
    by_person = holdout_groups(["Ann", "", "", "Bob"], films, paths)
    assert by_person.kind == "subject"
    assert by_person.names.tolist() == ["subject Ann", "movie Amelie", "picture p/3.png", "subject Bob"]
    assert holdout_groups([""] * 4, {"age": films["age"]}, paths).kind == "picture"
    assert holdout_groups([], {}, []).names.tolist() == []
