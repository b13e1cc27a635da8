"""Numbers of tracks: through crossings, gaps and crowds, against known paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.faces.tracking.tracker import Tracker, TrackerOptions

SIDE = 80.0
STEP = 0.04


def box(x: float, y: float, side: float = SIDE) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def directions(count: int) -> np.ndarray:
    """Looks of ``count`` people, as different as can be."""
    return np.eye(count, 16, dtype=np.float32)


def run(paths: list[list[tuple[float, float] | None]], looks: bool, step: float = STEP) -> list[list[int | None]]:
    """Track people along paths (None: not seen); return each person's numbers, None where not seen."""
    tracker, faces = Tracker(), directions(len(paths))
    numbers: list[list[int | None]] = [[] for _ in paths]
    order = np.random.default_rng(0)
    for frame in range(len(paths[0])):
        seen = [who for who in range(len(paths)) if paths[who][frame] is not None]
        order.shuffle(seen)
        boxes = [box(*paths[who][frame]) for who in seen]  # type: ignore[misc]
        found = tracker.update(frame * step, np.array(boxes).reshape(-1, 4), faces[seen] if looks else None)
        given = dict(zip(seen, found.tolist(), strict=True))
        for who in range(len(paths)):
            numbers[who].append(given.get(who))
    return numbers


def only(numbers: list[int | None]) -> int:
    """Return the one number that a person has had."""
    (number,) = {number for number in numbers if number is not None}
    return number


def crossing(hidden: int = 0) -> list[list[tuple[float, float] | None]]:
    """Two people walk through each other in 3 seconds; the second is hidden in the middle for ``hidden`` frames."""
    right = [(100 + 6.0 * f, 200.0) for f in range(75)]
    left: list[tuple[float, float] | None] = [(544 - 6.0 * f, 203.0) for f in range(75)]
    for frame in range(37 - hidden // 2, 37 - hidden // 2 + hidden):
        left[frame] = None
    return [right, left]


@pytest.mark.parametrize("hidden", [0, 5, 15])
@pytest.mark.parametrize("looks", [True, False])
def test_numbers_survive_a_crossing(hidden: int, looks: bool) -> None:
    one, other = run(crossing(hidden), looks)
    assert {only(one), only(other)} == {1, 2}


def test_people_who_meet_and_turn_back_are_told_apart_by_their_looks() -> None:
    """Speed alone would say that they have passed each other."""
    there = [100 + 6.0 * f for f in range(38)]
    right: list[tuple[float, float] | None] = [(x, 200.0) for x in there + there[::-1]]
    left: list[tuple[float, float] | None] = [(646 - x, 202.0) for x in there + there[::-1]]
    for frame in range(35, 41):
        left[frame] = None
    one, other = run([right, left], looks=True)
    assert {only(one), only(other)} == {1, 2}


def test_a_face_that_was_away_for_a_moment_keeps_its_number_and_for_long_gets_a_new_one() -> None:
    for gap, same in ((5, True), (20, True), (60, False)):
        path: list[tuple[float, float] | None] = [(100 + 3.0 * f, 200.0) for f in range(120)]
        path[40 : 40 + gap] = [None] * gap
        (numbers,) = run([path], looks=True)
        assert (numbers[39], numbers[-1]) == (1, 1 if same else 2)


def test_numbers_are_never_used_again() -> None:
    tracker = Tracker()
    seen: list[int] = []
    for burst in range(20):
        for look in range(3):
            boxes = [box(100, 100), box(400, 100)]
            seen.extend(tracker.update(10.0 * burst + STEP * look, boxes).tolist())
        for look in range(3):
            tracker.update(10.0 * burst + 2 + look, [])
    assert sorted(set(seen)) == list(range(1, 41))
    assert seen == [number for burst in range(20) for _ in range(3) for number in (2 * burst + 1, 2 * burst + 2)]


def test_a_cut_to_another_person_in_the_same_place_is_a_new_track() -> None:
    faces = directions(2)
    tracker = Tracker()
    numbers = [tracker.update(STEP * f, [box(200, 200)], faces[[f // 10]])[0] for f in range(20)]
    assert numbers == [1] * 10 + [2] * 10


def test_looks_that_say_nothing_speak_neither_for_nor_against() -> None:
    tracker, nothing = Tracker(), np.zeros((1, 16), np.float32)
    for frame, looks in enumerate((nothing, nothing, directions(1), nothing, directions(1))):
        assert tracker.update(STEP * frame, [box(200, 200)], looks).tolist() == [1]


def test_a_face_half_covered_by_another_keeps_its_number_though_it_looks_different() -> None:
    faces = directions(3)
    tracker = Tracker()
    for frame in range(5):
        assert tracker.update(STEP * frame, [box(200, 200), box(400, 200)], faces[:2]).tolist() == [1, 2]
    for frame in range(5, 10):
        # The second has come before the first, which looks like nobody that was seen.
        near, covered = box(245, 200), box(200, 200)
        tracker.update(STEP * frame, [covered, near], faces[[2, 1]])
        assert tracker.update(STEP * frame + STEP / 2, [covered, near], faces[[2, 1]])[0] == 1
    alone = Tracker()
    alone.update(0.0, [box(200, 200)], faces[:1])
    assert alone.update(STEP, [box(200, 200)], faces[2:]).tolist() == [2]


def test_looking_seldom_is_enough_for_slow_faces() -> None:
    paths: list[list[tuple[float, float] | None]] = [
        [(100 + 20.0 * f, 100.0) for f in range(20)],
        [(600 - 20.0 * f, 300.0) for f in range(20)],
    ]
    assert {only(numbers) for numbers in run(paths, looks=True, step=1.0)} == {1, 2}


def test_far_away_or_of_another_size_is_another_face() -> None:
    tracker = Tracker()
    assert tracker.update(0.0, [box(100, 100)]).tolist() == [1]
    assert tracker.update(STEP, [box(300, 100)]).tolist() == [2]
    assert tracker.update(2 * STEP, [box(300, 100, 3 * SIDE)]).tolist() == [3]


def test_a_frame_without_faces_is_a_frame() -> None:
    tracker = Tracker()
    assert tracker.update(0.0, np.zeros((0, 4)), directions(0)).tolist() == []
    assert tracker.update(STEP, [box(100, 100)], directions(1)).tolist() == [1]
    assert tracker.update(2 * STEP, [], directions(0)).tolist() == []
    assert tracker.update(3 * STEP, [box(101, 100)], directions(1)).tolist() == [1]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_people_apart_are_never_mixed_up(seed: int, people: int) -> None:
    """Random walks in lanes of their own, with a box that trembles and frames in which faces are missed."""
    rng = np.random.default_rng(seed)
    tracker = Tracker(TrackerOptions(patience=2.0))
    place = np.array([[200.0, 200 + 2 * SIDE * lane] for lane in range(people)])
    speed = rng.normal(0, 60, people)
    given: dict[int, int] = {}
    for frame in range(60):
        speed += rng.normal(0, 10, people)
        place[:, 0] += speed * STEP
        seen = np.flatnonzero(rng.random(people) > 0.2) if frame else np.arange(people)
        boxes = [box(*(place[who] + rng.normal(0, 2, 2))) for who in seen]
        for who, number in zip(seen.tolist(), tracker.update(frame * STEP, boxes).tolist(), strict=True):
            assert given.setdefault(who, number) == number
    assert sorted(given.values()) == list(range(1, people + 1))


ALIKE = np.eye(1, 16, dtype=np.float32)


def joined(first: list[float], then: list[float], after: float, empty: int = 0) -> bool:
    """Whether a face that looks the same is joined to its track after some seconds and frames without a face."""
    tracker = Tracker()
    begin = tracker.update(0.0, [first], ALIKE)
    for frame in range(empty):
        tracker.update((frame + 1) * after / (empty + 1), np.zeros((0, 4)), np.zeros((0, 16), np.float32))
    return bool(tracker.update(after, [then], ALIKE)[0] == begin[0])


@pytest.mark.parametrize(
    ("sides", "after", "same"),
    [
        (1.04, 0.04, True),  # 1 + 1.5 * .04 = 1.06 sides
        (1.08, 0.04, False),
        (2.45, 1.0, True),  # 1 + 1.5 * 1 = 2.5 sides
        (2.55, 1.0, False),
    ],
)
def test_the_reach_is_a_side_and_grows_by_one_and_a_half_a_second(sides: float, after: float, same: bool) -> None:
    """Section T: the gate's constants, ``reach`` 1 and ``drift`` 1.5."""
    assert joined(box(0, 0), box(sides * SIDE, 0), after) is same


@pytest.mark.parametrize(("factor", "same"), [(1.95, True), (2.05, False), (1 / 1.95, True), (1 / 2.05, False)])
def test_a_face_of_twice_the_size_is_another(factor: float, same: bool) -> None:
    """Section T: the gate on sizes."""
    assert joined(box(0, 0), box(0, 0, factor * SIDE), 0.04) is same


@pytest.mark.parametrize(
    ("after", "empty", "same"),
    [(1.95, 5, True), (2.05, 5, False), (2.05, 2, True), (2.05, 3, False), (9.0, 2, True)],
)
def test_a_track_ends_after_two_seconds_and_three_misses(after: float, empty: int, same: bool) -> None:
    """Section T: the constants of ageing, ``patience`` 2 s and ``misses`` 3."""
    assert joined(box(0, 0), box(0, 0), after, empty) is same


@pytest.mark.parametrize(("likeness", "same"), [(0.71, True), (0.69, False)])
def test_looks_decide_where_boxes_do_not_overlap(likeness: float, same: bool) -> None:
    """``alike`` .7: without any overlap a pair costs 1 + 1.5 (.7 - likeness), which must stay below 1."""
    other = np.zeros((1, 16), np.float32)
    other[0, :2] = likeness, np.sqrt(1 - likeness**2)
    tracker = Tracker()
    begin = tracker.update(0.0, [box(0, 0)], ALIKE)
    assert (tracker.update(0.04, [box(1.02 * SIDE, 0)], other)[0] == begin[0]) == same
