"""Smoothed probabilities against the weighted mean written out, and what must not change them.

Videos of drawn faces through the real detector and a real, tiny model: numbers, times, smoothing, batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError, UsageError
from dcdan.expressions import EXPRESSIONS
from dcdan.faces.detectors.base import Detections
from dcdan.faces.detectors.mtcnn import Mtcnn
from dcdan.images.status import Status
from dcdan.images.video_reader import Frame, open_video
from dcdan.inference import recogniser as module
from dcdan.inference import video as video_module
from dcdan.inference.annotated_output import video_file
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.video import Smoother, WatchOptions, in_chunks
from drawn import face
from tiny_model import COLOURS, coloured, write_run


def simplex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5.0), st.booleans())
def test_it_is_the_weighted_mean_of_all_that_was_seen(seed: int, constant: float, weighted: bool) -> None:
    """Tracks come, go and come back, in any order within a frame."""
    rng = np.random.default_rng(seed)
    smoother = Smoother(constant)
    past: dict[int, list[tuple[float, float, np.ndarray]]] = {}
    time = 0.0
    for _ in range(25):
        time += rng.uniform(0.01, 0.4)
        tracks = rng.permutation(6)[: rng.integers(0, 6)] + 1
        own = simplex(rng, len(tracks), 4)
        weights = rng.uniform(0.1, 1, len(tracks)) if weighted else None
        smoothed = smoother.update(time, tracks, own, weights)
        assert smoothed.shape == own.shape
        for place, track in enumerate(tracks.tolist()):
            weight = 1.0 if weights is None else float(weights[place])
            past.setdefault(track, []).append((time, weight, own[place]))
            parts = [(w * np.exp(-(time - t) / constant), p) for t, w, p in past[track]]
            naive = sum(w * p for w, p in parts) / sum(w for w, _ in parts)
            # A track that was away for more than ten constants may have been forgotten: e^-10 of the weight.
            np.testing.assert_allclose(smoothed[place], naive, atol=1e-3)
            assert smoothed[place].sum() == pytest.approx(1)


def test_looking_at_fewer_frames_changes_little() -> None:
    times = np.arange(0, 6, 0.04)
    wave = 0.5 + 0.4 * np.sin(times)
    answers = {}
    for every in (1, 5):
        smoother = Smoother(0.5)
        for time, share in list(zip(times, wave, strict=True))[::every]:
            answers[every, round(time, 2)] = smoother.update(time, np.array([1]), np.array([[share, 1 - share]]))[0, 0]
    shared = [time for every, time in answers if every == 5 and time > 2]
    assert len(shared) > 15
    for time in shared:
        assert answers[1, time] == pytest.approx(answers[5, time], abs=0.04)


def test_after_one_time_constant_most_is_new() -> None:
    smoother = Smoother(0.5)
    for frame in range(500):
        old = smoother.update(0.01 * frame, np.array([1]), np.array([[1.0, 0.0]]))
    assert old[0, 0] == 1
    for frame in range(500, 550):
        new = smoother.update(0.01 * frame, np.array([1]), np.array([[0.0, 1.0]]))
    assert new[0, 1] == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_a_new_track_starts_with_what_it_shows() -> None:
    smoother = Smoother(1.0)
    smoother.update(0.0, np.array([1]), np.array([[1.0, 0.0]]))
    assert smoother.update(0.04, np.array([2]), np.array([[0.2, 0.8]])).tolist() == [[0.2, 0.8]]


def test_a_weighty_frame_counts_more() -> None:
    smoother = Smoother(1e6)
    smoother.update(0.0, np.array([1]), np.array([[1.0, 0.0]]), np.array([3.0]))
    mixed = smoother.update(0.04, np.array([1]), np.array([[0.0, 1.0]]), np.array([1.0]))
    np.testing.assert_allclose(mixed, [[0.75, 0.25]], atol=1e-6)


def test_without_a_time_constant_every_frame_stands_for_itself() -> None:
    smoother = Smoother(0.0)
    for share in (1.0, 0.0, 0.3):
        own = np.array([[share, 1 - share]])
        assert smoother.update(share, np.array([1]), own).tolist() == own.tolist()


def test_memory_does_not_grow_with_the_number_of_tracks() -> None:
    smoother = Smoother(0.1)
    for track in range(1, 2000):
        smoother.update(0.5 * track, np.array([track]), np.array([[0.5, 0.5]]))
    assert len(smoother._ids) < 10


RATE = 25.0


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    """Names colours, and finds faces first."""
    return load(write_run(tmp_path_factory.mktemp("model") / "run", align="mtcnn"), threads=1)


@pytest.fixture
def namer(run: Path) -> Recogniser:
    """Names the colour of the whole picture."""
    return load(run, threads=1)


def scene(frame: int, gone: bool = False) -> np.ndarray:
    """Two drawn faces that cross, the nearer one tinted red; the other is away where ``gone``."""
    picture = np.full((200, 420, 3), 128, np.uint8)
    for index, x, tint in ((1, 290 - 13 * frame, None), (4, 10 + 13 * frame, (1.0, 0.45, 0.45))):
        if gone and tint is None:
            continue
        pixels = face(index)[0]
        if tint is not None:
            pixels = (pixels * np.array(tint)).astype(np.uint8)
        picture[40:160, x : x + 120] = pixels
    return picture


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "crossing.mp4"
    with video_file(path, RATE) as add:
        for frame in range(22):
            add(scene(frame, gone=frame in (3, 4)))
    return path


def colours(path: Path, names: list[int], rate: float = 10.0) -> Path:
    """Write one grey pattern that goes over into the colours of classes: its looks stay, what it is called changes."""
    pattern = np.random.default_rng(0).integers(-80, 81, (6, 6, 1)).repeat(16, axis=0).repeat(16, axis=1)
    with video_file(path, rate) as add:
        for name in names:
            tint = (coloured(name, 96) / 255 - 0.5) * 50
            add(np.clip(128 + pattern - pattern.mean() + tint, 0, 255).astype(np.uint8))
    return path


def test_two_faces_keep_their_numbers_through_a_crossing(finder: Recogniser, crossing: Path) -> None:
    watch = finder.watch(crossing)
    answers = list(watch)
    assert [results[0].frame for results in answers] == list(range(22))
    assert [results[0].time for results in answers] == pytest.approx([frame / RATE for frame in range(22)], abs=1e-3)
    assert watch.warning == ""
    assert watch.video.read == 22
    places: dict[int, list[tuple[int, float]]] = {}
    for results in answers:
        assert len({result.track for result in results}) == len(results)
        for result in results:
            assert (result.status, result.path) == (Status.OK, str(crossing))
            assert result.track is not None
            assert result.box is not None
            places.setdefault(result.track, []).append((result.frame or 0, (result.box[0] + result.box[2]) / 2))
    assert sorted(places) == [1, 2]
    # Each number goes one way over the whole width: no swap.
    ways = []
    for number in (1, 2):
        frames, middles = np.array(places[number]).T
        ways.append(np.polyfit(frames, middles, 1)[0])
        np.testing.assert_allclose(middles, np.polyval(np.polyfit(frames, middles, 1), frames), atol=12)
    assert sorted(ways) == pytest.approx([-13, 13], abs=1)
    assert [len(results) for results in answers][:7] == [2, 2, 2, 1, 1, 2, 2]


def test_faces_are_followed_between_searches(
    finder: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two faces that drift, one of them away for a while: a search in five finds what every search finds."""
    path = tmp_path / "drift.mp4"
    with video_file(path, RATE) as add:
        for frame in range(18):
            picture = np.full((200, 420, 3), 128, np.uint8)
            picture[40:160, 10 + 4 * frame : 130 + 4 * frame] = face(1)[0]
            if frame not in (6, 7, 8, 9):
                picture[40:160, 290 - 2 * frame : 410 - 2 * frame] = face(4)[0]
            add(picture)
    detect, searched = Mtcnn.detect, []

    def counted(self: Mtcnn, images: Sequence[np.ndarray]) -> list[Detections]:
        searched.append(len(images))
        return detect(self, images)

    monkeypatch.setattr(Mtcnn, "detect", counted)
    with monkeypatch.context() as full:
        full.setattr(video_module, "FULL_SEARCH_EVERY", 1e-6)
        every = [*finder.watch(path, smooth=0)]
    assert sum(searched) == 18
    searched.clear()
    some = [*finder.watch(path, smooth=0, search=0.2)]
    assert sum(searched) == 4
    for frame, (own, other) in enumerate(zip(every, some, strict=True)):
        boxes = [{result.track: result.box for result in results} for results in (own, other)]
        assert boxes[0].keys() == boxes[1].keys()
        assert len(boxes[0]) == (1 if frame in (6, 7, 8, 9) else 2)
        for track, box in boxes[0].items():
            np.testing.assert_allclose(np.float64(boxes[1][track]), np.float64(box), atol=15)


def test_the_frames_come_with_their_results(finder: Recogniser, crossing: Path) -> None:
    with open_video(crossing) as video:
        frames = list(video.frames(4))
    pairs = list(finder.watch(crossing, every=4, with_frames=True))
    assert [frame.index for frame, _ in pairs] == [0, 4, 8, 12, 16, 20]
    for (frame, results), own in zip(pairs, frames, strict=True):
        assert np.array_equal(frame.pixels, own.pixels)
        assert {result.frame for result in results} == {frame.index}
        assert {result.time for result in results} == {frame.time}


def test_an_answer_without_smoothing_is_that_of_the_picture(finder: Recogniser, crossing: Path) -> None:
    for frame, results in finder.watch(crossing, every=5, smooth=0, with_frames=True):
        for result, alone in zip(results, finder.recognise(frame.pixels), strict=True):
            assert (result.expression, result.box, result.quality) == (alone.expression, alone.box, alone.quality)
            assert result.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_chunks_do_not_change_the_answers(finder: Recogniser, crossing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(finder.watch(crossing, every=3))
    monkeypatch.setattr(module, "CHUNK_PICTURES", 3)
    parts = list(finder.watch(crossing, every=3))
    for one, other in zip(whole, parts, strict=True):
        assert [(r.track, r.expression) for r in one] == [(r.track, r.expression) for r in other]
        # Where a face is looked for between two searches depends on those of the same chunk.
        for single, same in zip(one, other, strict=True):
            np.testing.assert_allclose(np.float64(single.box), np.float64(same.box), atol=8)


def test_large_and_few_faces(finder: Recogniser, crossing: Path) -> None:
    sizes = [result.box[3] - result.box[1] for result in finder.recognise(scene(0)) if result.box is not None]
    assert len(sizes) == 2
    assert all(len(results) == 1 for results in finder.watch(crossing, every=10, max_faces=1))
    assert all(r.recognised for results in finder.watch(crossing, every=10, min_side=60) for r in results)
    for results in finder.watch(crossing, every=10, min_side=150):
        assert len(results) == 0
        assert [row.track for row in results.rows] == [None]
        assert results.status in (Status.NO_FACE, Status.TOO_SMALL)


def test_frames_without_a_face_say_so(finder: Recogniser, tmp_path: Path) -> None:
    answers = list(finder.watch(colours(tmp_path / "a.mp4", [3, 3])))
    assert [len(results) for results in answers] == [0, 0]
    for frame, (result,) in enumerate(found.rows for found in answers):
        assert (result.status, result.expression, result.track, result.frame) == (Status.NO_FACE, None, None, frame)
        assert result.time == pytest.approx(0.1 * frame)


def test_one_odd_frame_does_not_change_a_smoothed_answer(namer: Recogniser, tmp_path: Path) -> None:
    path = colours(tmp_path / "a.mp4", [5] * 8 + [3] + [5] * 4)
    single = [results[0].expression for results in namer.watch(path, smooth=0)]
    smooth = list(namer.watch(path, smooth=0.5))
    assert single == [EXPRESSIONS[5]] * 8 + [EXPRESSIONS[3]] + [EXPRESSIONS[5]] * 4
    assert [results[0].expression for results in smooth] == [EXPRESSIONS[5]] * 13
    odd = smooth[8][0]
    assert odd.probability == odd.probabilities[EXPRESSIONS[5]]
    assert odd.probability < 0.8 * (smooth[7][0].probability or 0)
    assert {results[0].track for results in smooth} == {1}
    assert sum(odd.probabilities.values()) == pytest.approx(1)
    assert list(odd.probabilities) == list(EXPRESSIONS)


def test_a_lasting_change_comes_through_and_is_unsure_on_the_way(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", calibration={"unsure_below": 0.6})
    path = colours(tmp_path / "a.mp4", [4] * 10 + [6] * 15)
    answers = [results[0] for results in load(run, threads=1).watch(path, smooth=0.5)]
    names = [answer.expression for answer in answers]
    changed = names.index(EXPRESSIONS[6])
    assert names == [EXPRESSIONS[4]] * changed + [EXPRESSIONS[6]] * (25 - changed)
    # A half of the weight is new after ln 2 time constants, .35 s, that is three to four frames.
    assert 12 <= changed <= 14
    assert [answer.unsure for answer in answers] == [(answer.probability or 0) < 0.6 for answer in answers]
    assert sum(answer.unsure for answer in answers) >= 1


def test_candidates_are_those_of_the_smoothed_probabilities(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", calibration={"conformal": {"0.9": 0.2}})
    path = colours(tmp_path / "a.mp4", [4] * 6 + [6] * 6)
    answers = [results[0] for results in load(run, threads=1, sets=0.9).watch(path, smooth=0.5)]
    for answer in answers:
        likely = sorted(answer.probabilities, key=lambda name: -answer.probabilities[name])
        assert answer.candidates == tuple(name for name in likely if answer.probabilities[name] >= 0.2)
    assert {len(answer.candidates) for answer in answers} == {1, 2}


def test_each_track_is_smoothed_by_itself(finder: Recogniser, crossing: Path) -> None:
    last = {r.track: r for results in finder.watch(crossing, every=4, smooth=5) for r in results}
    single = {r.track: r for results in finder.watch(crossing, every=4, smooth=0) for r in results}
    assert last.keys() == single.keys()
    for track, result in last.items():
        np.testing.assert_allclose(
            list(result.probabilities.values()), list(single[track or 0].probabilities.values()), atol=0.25
        )


def test_an_open_video_stays_open_and_a_name_is_closed(namer: Recogniser, tmp_path: Path) -> None:
    path = colours(tmp_path / "a.mp4", [1] * 3)
    with open_video(path) as video:
        assert len(list(namer.watch(video))) == 3
        assert not video._closed
    watch = namer.watch(str(path))
    assert len(list(watch)) == 3
    assert watch.video._closed


def test_what_is_wrong_is_said_at_once(namer: Recogniser, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        namer.watch(tmp_path / "none.mp4")
    for options in (
        {"every": 0},
        {"smooth": -1.0},
        {"smooth": float("nan")},
        {"max_faces": 0},
        {"min_side": -1.0},
        {"search": -1.0},
    ):
        with pytest.raises(UsageError, match=next(iter(options))):
            namer.watch(tmp_path / "none.mp4", **options)  # type: ignore[call-overload]
    assert WatchOptions().max_faces is None


def test_few_frames_are_in_memory_at_once(namer: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_PICTURES", 4)
    watch = namer.watch(colours(tmp_path / "a.mp4", [1] * 12))
    for looked in range(12):
        next(watch)
        assert watch.video.read == 4 * (looked // 4 + 1)


def test_a_camera_is_answered_frame_by_frame(namer: Recogniser, tmp_path: Path) -> None:
    with open_video(colours(tmp_path / "a.mp4", [1] * 5)) as video:
        video.camera = True
        watch = namer.watch(video)
        for looked in range(5):
            next(watch)
            assert watch.video.read == looked + 1


def test_chunks_end_at_frames_or_pixels() -> None:
    def frames() -> Iterator[Frame]:
        for index, side in enumerate([10, 10, 10, 30, 10, 10]):
            yield Frame(np.zeros((side, side, 3), np.uint8), index, 0.0)

    assert [[f.index for f in chunk] for chunk in in_chunks(frames(), 2, 10**6)] == [[0, 1], [2, 3], [4, 5]]
    assert [[f.index for f in chunk] for chunk in in_chunks(frames(), 99, 900)] == [[0, 1, 2, 3], [4, 5]]
    assert len(COLOURS) == len(EXPRESSIONS)


def test_watching_keeps_the_models_least_face_size(run: Path, crossing: Path) -> None:
    """Section T: faces below ``load(min_side=...)`` are left out of videos too."""
    strict = load(run, threads=1, align="mtcnn", min_side=150)
    for results in strict.watch(crossing, every=10):
        assert len(results) == 0
        assert results.status in (Status.NO_FACE, Status.TOO_SMALL)
    tiny = load(run, threads=1, align="mtcnn", min_side=1)
    assert all(len(results) for results in tiny.watch(crossing, every=10))
