"""Drawn pictures: what is where, in which colour, and that the text fits the picture."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import OutputError, UsageError
from dcdan.expressions import EXPRESSIONS
from dcdan.images.decode import decode
from dcdan.images.inputs import Input, InputKind
from dcdan.images.status import Status
from dcdan.images.video_reader import open_video
from dcdan.inference import annotated_output as files
from dcdan.inference.annotate import COLOURS, DARK, Sizes, colour_of, contrast, draw, free_place, ink_on, label_of
from dcdan.inference.annotated_output import DrawnFolder, show, video_file, write_picture
from dcdan.inference.predict import Step
from dcdan.inference.table import FaceResult

BOX = (200.0, 150.0, 300.0, 270.0)


def result(expression: str = "anger", box: tuple[float, float, float, float] = BOX, share: float = 0.9) -> FaceResult:
    rest = (1 - share) / 7
    probabilities = {name: share if name == expression else rest for name in EXPRESSIONS}
    return FaceResult("a", 0, Status.OK, expression, share, "fused", probabilities, box=box, track=3)


def grey(height: int = 480, width: int = 640) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def pixels_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((picture == colour).all(axis=2))


def test_every_colour_can_be_read_and_none_is_used_twice() -> None:
    assert list(COLOURS) == list(EXPRESSIONS)
    assert len(set(COLOURS.values())) == len(COLOURS)
    for colour in (*COLOURS.values(), colour_of(None)):
        assert contrast(ink_on(colour), colour) >= 4.5
        assert contrast(colour, DARK) >= 4.5  # a box on its dark edge, a bar on its panel
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    # The greys at which WCAG's own tools print 4.54 and 4.48.
    assert contrast((255, 255, 255), (118, 118, 118)) == pytest.approx(4.54, abs=0.01)
    assert contrast((255, 255, 255), (119, 119, 119)) == pytest.approx(4.48, abs=0.01)


def test_classes_of_other_names_have_colours_of_their_own() -> None:
    assert colour_of("calm", ["calm", "tense"]) != colour_of("tense", ["calm", "tense"])


def test_the_box_is_drawn_in_the_colour_of_its_expression() -> None:
    picture = grey()
    before = picture.copy()
    out = draw(picture, [result("anger")], charts=False)
    assert np.array_equal(picture, before)
    assert out.shape == picture.shape
    assert out.dtype == np.uint8
    assert out[210, 200].tolist() == out[270, 250].tolist() == list(COLOURS["anger"])
    assert out[210, 250].tolist() == [100, 100, 100]
    ys, xs = pixels_of(out, COLOURS["anger"]).T
    assert xs.min() >= 195
    assert ys.max() <= 275


def test_another_expression_probability_or_number_changes_the_label() -> None:
    base = draw(grey(), [result("fear", share=0.9)], charts=False)
    others = [result("fear", share=0.5), FaceResult("a", 0, Status.OK, "fear", 0.9, box=BOX, track=4)]
    unsure = FaceResult("a", 0, Status.OK, "fear", 0.9, box=BOX, track=3, unsure=True)
    for other in (*others, unsure):
        assert not np.array_equal(draw(grey(), [other], charts=False), base)


def test_bars_are_as_long_as_the_probabilities() -> None:
    picture = grey()
    lengths = {}
    for share in (0.3, 0.6, 0.9):
        with_chart = draw(picture, [result("surprise", share=share)])
        beside = with_chart.copy()
        beside[:, 195:305] = 0  # the box and its label
        beside[:160, 300:420] = 0
        cells = pixels_of(with_chart[160:400, 306:], COLOURS["surprise"])
        row = np.bincount(cells[:, 0]).max()
        lengths[share] = int(row)
    assert lengths[0.6] == pytest.approx(2 * lengths[0.3], abs=2)
    assert lengths[0.9] == pytest.approx(3 * lengths[0.3], abs=3)


def test_results_without_a_box_change_nothing() -> None:
    out = draw(grey(), [FaceResult("a", None, Status.NO_FACE)])
    assert np.array_equal(out, grey())


@pytest.mark.parametrize("shape", [(1, 1), (48, 48), (359, 2000), (4000, 3000), (720, 1280)])
def test_text_is_a_readable_part_of_any_picture(shape: tuple[int, int]) -> None:
    out = draw(np.zeros((*shape, 3), np.uint8), [result(box=(0.0, 0.0, float(shape[1]), float(shape[0])))])
    times = out.shape[0] // shape[0]
    assert out.shape == (times * shape[0], times * shape[1], 3)
    assert times == 1 or (times - 1) * min(shape) < 360
    assert min(out.shape[:2]) >= 360 or min(shape) >= 360
    height = Sizes.of(out).height
    assert height >= 14
    assert height / min(out.shape[:2]) == pytest.approx(1 / 32, abs=0.012)


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(60, 500), st.integers(60, 500)),
    st.tuples(st.integers(-50, 500), st.integers(-50, 500), st.integers(1, 300), st.integers(1, 300)),
)
def test_charts_stay_inside_and_choose_the_free_side(shape: tuple[int, int], place: tuple[int, int, int, int]) -> None:
    x, y, w, h = place
    face = (x, y, x + w, y + h)
    chart = free_place(shape, face, y - 10, (50, 40), [face], 4)
    assert (chart[2] - chart[0], chart[3] - chart[1]) == (50, 40)
    assert 0 <= chart[0] <= chart[2] <= shape[1]
    assert 0 <= chart[1] <= chart[3] <= shape[0]
    if x >= 0 and x + w + 54 <= shape[1] and 0 <= y <= shape[0] - 40:
        assert chart[0] == x + w + 4


def test_faces_beyond_the_edge_can_be_drawn() -> None:
    for box in ((-30.0, -30.0, 20.0, 20.0), (620.0, 460.0, 700.0, 500.0), (-900.0, 0.0, -800.0, 50.0)):
        assert draw(grey(), [result(box=box)]).shape == (480, 640, 3)


def test_pictures_are_written_in_rgb(tmp_path: Path) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 0] = 250
    for name, most in (("a.png", 0), ("a.jpg", 6), ("a.gif", 6)):
        write_picture(tmp_path / "new" / name, picture)
        read = decode((tmp_path / "new" / name).read_bytes())
        assert np.abs(read.astype(int) - picture).max() <= most


def test_a_video_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with video_file(path, 10.0) as add:
        for level in (50, 100, 150):
            add(np.full((61, 81, 3), level, np.uint8))
            assert not path.exists()
        add(np.full((30, 40, 3), 200, np.uint8))
    with open_video(path) as video:
        frames = list(video.frames())
    assert [frame.pixels.shape for frame in frames] == [(60, 80, 3)] * 4
    assert [frame.pixels.mean() for frame in frames] == pytest.approx([50, 100, 150, 200], abs=6)
    assert video.rate == pytest.approx(10)
    with pytest.raises(RuntimeError, match="stop"), video_file(tmp_path / "other.mp4", 10.0) as add:  # noqa: PT012
        add(grey())
        raise RuntimeError("stop")
    with pytest.raises(OutputError, match="without a picture"), video_file(tmp_path / "none.mp4", 10.0):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_colours_survive_the_video(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[..., 0] = 220
    with video_file(tmp_path / "red.mp4", 5.0) as add:
        add(picture)
    with open_video(tmp_path / "red.mp4") as video:
        (frame,) = video.frames()
    assert frame.pixels[..., 0].mean() > 180
    assert frame.pixels[..., 2].mean() < 40


def test_a_window_where_there_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "has_windows", lambda: False)
    with pytest.raises(UsageError, match=r"dcdan\[gui\]"):
        show([grey()])


@pytest.mark.parametrize(("key", "shown"), [(ord("q"), 2), (27, 2), (-1, 5)])
def test_keys_end_the_window(monkeypatch: pytest.MonkeyPatch, key: int, shown: int) -> None:
    """OpenCV's own window functions need a screen, so they stand in here; what they are told is what is tested."""
    seen: list[np.ndarray] = []
    monkeypatch.setattr(files, "has_windows", lambda: True)
    monkeypatch.setattr(cv2, "namedWindow", lambda *args: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *args: None)
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(cv2, "resizeWindow", lambda title, width, height: sizes.append((width, height)))
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: seen.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: key if len(seen) == 2 else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *args: 1.0)
    red = np.zeros((1440, 1920, 3), np.uint8)
    red[..., 0] = 9
    show(red for _ in range(5))
    assert sizes == [(960, 720)]
    assert len(seen) == shown
    assert seen[0][0, 0].tolist() == [0, 0, 9]


def test_labels_of_a_crowd_are_no_wider_than_their_faces() -> None:
    boxes = [(10 + 120 * n, 60, 120 + 120 * n, 200) for n in range(6)]
    sizes = Sizes.of(grey(1440, 740))
    labels = [label_of((1440, 740), result(box=box), box, sizes) for box in boxes]
    assert all(one.box[2] <= other.box[0] + sizes.line for one, other in itertools.pairwise(labels))
    narrow = label_of((1440, 740), result("happiness"), (10, 60, 40, 100), sizes)
    assert narrow.text == "3 happiness"
    wide = label_of((1440, 740), result("happiness"), (10, 60, 700, 900), sizes)
    assert (wide.text, wide.scale) == ("3 happiness 90%", sizes.text)


def test_a_chart_without_room_is_left_out() -> None:
    full = result(box=(0.0, 0.0, 359.0, 359.0))
    assert (draw(grey(360, 360), [full]) == draw(grey(360, 360), [full], charts=False)).all()
    assert (draw(grey(), [result()]) != draw(grey(), [result()], charts=False)).any()


def step_of(path: Path, name: str = "") -> Step:
    found = FaceResult(str(path), None, Status.NO_FACE)
    return Step([Input(str(path), InputKind.PICTURE, PurePath(name or path.name))], [[found]])


def test_a_picture_that_cannot_be_drawn_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """S1: a picture that its format cannot hold, and a name as long as the file system allows."""
    tall, good, long = tmp_path / "tall.jpg", tmp_path / "good.png", tmp_path / ("n" * 251 + ".png")
    cv2.imwrite(str(tmp_path / "tall.png"), np.zeros((70_000, 1, 3), np.uint8))
    (tmp_path / "tall.png").rename(tall)
    for path in (good, long):
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    out = tmp_path / "drawn"
    with DrawnFolder(out, []) as drawn:
        for path in (tall, good, long):
            drawn.add(step_of(path))
        assert [sentence.partition(" is not drawn: ")[0] for sentence in drawn.left_out] == [f"'{tall}'"]
    assert {path.name for path in out.iterdir()} == {good.name, long.name}


def test_two_runs_cannot_draw_into_one_folder(tmp_path: Path) -> None:
    """S13: the second is refused, at the check or at the lock."""
    first, second = DrawnFolder(tmp_path / "a", []), DrawnFolder(tmp_path / "a", [])
    with first, pytest.raises(OutputError, match="Another process is at work"), second:
        pass
    assert not (tmp_path / "a").exists()
    late = DrawnFolder(tmp_path / "a", [])
    cv2.imwrite(str(tmp_path / "x.png"), grey(8, 8))
    with DrawnFolder(tmp_path / "a", []) as drawn:
        drawn.add(step_of(tmp_path / "x.png"))
    with pytest.raises(OutputError, match="has files in it"), late:
        pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.png"]


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    """P5: half-written drawings of a process that is gone; they do not make a folder count as used either. P7."""
    out = tmp_path / "drawn"
    out.mkdir()
    (out / ".a.png.999999999.partial").write_bytes(b"half")
    (out / ".lock").touch()
    with DrawnFolder(out, []):
        assert not (out / ".a.png.999999999.partial").exists()
    out.mkdir(exist_ok=True)
    (out / "a.png").write_bytes(b"of an earlier run")
    with pytest.raises(OutputError, match="has files in it"):
        DrawnFolder(out, [])
    with DrawnFolder(out, [], force=True):
        pass
