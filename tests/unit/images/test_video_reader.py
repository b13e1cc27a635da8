"""Frames of real small files, written here: order, times, turning, and everything that can be wrong with a file."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dcdan.core.errors import DataError, UsageError
from dcdan.images import video_opencv, video_pyav
from dcdan.images.video_opencv import OpenCvFrames
from dcdan.images.video_reader import Video, is_camera, is_video, open_video

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mov": "mp4v", ".mkv": "MJPG", ".webm": "VP80"}
SIZE = (96, 64)
HAS_PYAV = video_pyav.is_installed()
NEEDS_PYAV = pytest.mark.skipif(not HAS_PYAV, reason="PyAV is not installed: pip install 'dcdan[video]'")


@pytest.fixture(params=["opencv", pytest.param("pyav", marks=NEEDS_PYAV)], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read every file with OpenCV, and again with PyAV where it is installed."""
    monkeypatch.setattr(video_pyav, "is_installed", lambda: request.param == "pyav")
    return str(request.param)


def write(path: Path, frames: int = 20, rate: float = 10.0, codec: str | None = None) -> Path:
    """Write a video in which frame i has brightness 5 i + 20 on the left and is red on the right."""
    fourcc = cv2.VideoWriter.fourcc(*(codec or CODECS[path.suffix]))
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, SIZE)
    assert writer.isOpened()
    for index in range(frames):
        picture = np.full((SIZE[1], SIZE[0], 3), 5 * index + 20, np.uint8)
        picture[:, SIZE[0] // 2 :] = (0, 0, 200)  # BGR
        writer.write(picture)
    writer.release()
    return path


def brightness(pixels: np.ndarray) -> float:
    return float(pixels[:, : SIZE[0] // 2 - 8].mean())


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mov", ".mkv"])
def test_frames_come_in_order_in_rgb_with_their_times(tmp_path: Path, suffix: str) -> None:
    with open_video(write(tmp_path / f"a{suffix}")) as video:
        assert (video.rate, video.expected, video.camera) == (10.0, 20, False)
        frames = list(video.frames())
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([0.1 * i for i in range(20)], abs=1e-3)
    assert [brightness(frame.pixels) for frame in frames] == pytest.approx([5 * i + 20 for i in range(20)], abs=4)
    for frame in frames:
        assert frame.pixels.shape == (64, 96, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels[32, 80, 0] > 150 > 60 > frame.pixels[32, 80, 2]
    assert (video.read, video.warning) == (20, "")


def test_webm_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.webm", frames=3)
    with open_video(path) as video:
        assert len(list(video.frames())) == 3


@pytest.mark.parametrize("every", [2, 3, 7, 100])
def test_every_nth_frame_is_the_one_of_that_number(tmp_path: Path, every: int) -> None:
    path = write(tmp_path / "a.avi")
    with open_video(path) as video:
        some = list(video.frames(every))
    with open_video(path) as video:
        all_of_them = list(video.frames())[::every]
    assert [frame.index for frame in some] == [frame.index for frame in all_of_them]
    for one, other in zip(some, all_of_them, strict=True):
        assert one.time == other.time
        assert np.array_equal(one.pixels, other.pixels)
    assert video.read == 20


def test_frames_left_out_are_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = 0
    for kind in (OpenCvFrames, video_pyav.PyAvFrames):
        real = kind.retrieve

        def counted(self: OpenCvFrames, real: object = real) -> object:
            nonlocal converted
            converted += 1
            return real(self)  # type: ignore[operator]

        monkeypatch.setattr(kind, "retrieve", counted)
    with open_video(write(tmp_path / "a.avi")) as video:
        assert len(list(video.frames(6))) == 4
    assert converted == 4


def test_frames_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    with open_video(write(tmp_path / "a.avi")) as video:
        frames = video.frames()
        for _ in range(3):
            next(frames)
        assert video.read == 3
    assert list(frames) == []
    assert video.warning == ""


MATRICES = {
    90: (0, 1, 0, -1, 0, 0, 0, 0, 1 << 14),
    180: (-1, 0, 0, 0, -1, 0, 0, 0, 1 << 14),
    270: (0, -1, 0, 1, 0, 0, 0, 0, 1 << 14),
    "mirror": (-1, 0, 0, 0, 1, 0, 0, 0, 1 << 14),
}


def turned(path: Path, degrees: int | str) -> Path:
    """Write the turn that a telephone writes into the track header of an MP4 (ISO 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = struct.pack(">9i", *(each << 16 for each in MATRICES[degrees]))
    path.write_bytes(content)
    return path


# Where the right half of the stored picture, which is red, is shown: (row, column) of a red and of another pixel.
RED = {90: ((80, 32), (16, 32)), 180: ((32, 16), (32, 80)), 270: ((16, 32), (80, 32)), "mirror": ((32, 16), (32, 80))}


@pytest.mark.parametrize("degrees", [90, 180, 270, "mirror"])
def test_turned_videos_are_upright(tmp_path: Path, degrees: int | str, backend: str) -> None:
    """V3: the whole display matrix; OpenCV itself ignores mirrors."""
    if degrees == "mirror" and backend == "opencv":
        pytest.skip("OpenCV does not tell of a mirror")
    with open_video(turned(write(tmp_path / "a.mp4", frames=2), degrees)) as video:
        pixels = next(video.frames()).pixels
        assert video.size == pixels.shape[1::-1]
    assert pixels.shape == ((96, 64, 3) if degrees in (90, 270) else (64, 96, 3))
    red, other = RED[degrees]
    assert pixels[red][0] > 150 > 60 > pixels[other][0]


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_that_breaks_off_gives_what_there_is_and_says_so(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with open_video(path) as video:
        frames = list(video.frames())
    assert 5 < len(frames) < 30
    assert [brightness(f.pixels) for f in frames[:10]] == pytest.approx([5 * i + 20 for i in range(10)], abs=4)
    assert video.warning == f"'{path}' breaks off: {len(frames)} of about 40 frames could be read."


def fails(path: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        open_video(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_what_is_no_video_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = write(tmp_path / "a.mp4").read_bytes()
    contents = {
        "empty.mp4": (b"", "is empty"),
        "text.mp4": (b"no video" * 100, "is no video of a known kind"),
        "list.mp4": (b"#EXTM3U\nhttp://example.org/a.ts\n", "is no video of a known kind"),
        "cut.mp4": (whole[: len(whole) // 2], "damaged"),
        "head.avi": (b"RIFF\x00\x00\x00\x00AVI LIST", "damaged"),
    }
    for name, (content, told) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert told in fails(tmp_path / name)
    assert "does not exist" in fails(tmp_path / "none.mp4")
    assert "does not exist" in fails(tmp_path / "a.mp4" / "b.mp4")
    assert "is a folder" in fails(tmp_path)
    assert "There is no camera:97" in fails("camera:97")
    assert capfd.readouterr() == ("", "")


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.avi"
    write(path, frames=1)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4])
    assert "frame" in fails(path) or "damaged" in fails(path)


def test_too_large_frames_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (video_opencv, video_pyav):
        monkeypatch.setattr(module, "MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    assert "6144 pixels a frame" in fails(write(tmp_path / "a.avi", frames=1))


def test_ffmpeg_and_opencv_say_nothing(tmp_path: Path) -> None:
    """In a process of its own, where FFmpeg meets damaged files first."""
    path = write(tmp_path / "a.avi", frames=30)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = b"\xff" * 400
    path.write_bytes(content[: 3 * len(content) // 4])
    (tmp_path / "moov.mp4").write_bytes(b"\0\0\0\x08ftyp" + b"\0" * 500)
    code = (
        "import sys\nfrom dcdan.core.errors import DataError\nfrom dcdan.images.video_reader import open_video\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        print(len(list(open_video(name).frames())))\n"
        "    except DataError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "moov.mp4"), "camera:98"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 3


class Wandering:
    """A capture whose container keeps bad times; OpenCV's writers cannot make such a file."""

    def __init__(self, stamps: list[float], rate: float, count: float) -> None:
        self.stamps, self.rate, self.count, self.at = stamps, rate, count, -1

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return self.stamps[self.at]
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: self.count}.get(key, 0.0)

    def grab(self) -> bool:
        self.at += 1
        return self.at < len(self.stamps)

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((2, 2, 3), np.uint8)

    def isOpened(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stamps", "rate", "times"),
    [
        ([0.0] * 4, 10.0, [0, 0.1, 0.2, 0.3]),
        ([0.0, 40.0, 40.0, 120.0], 25.0, [0, 0.04, 0.08, 0.12]),
        ([0.0, float("nan"), -5.0, 1000.0], 25.0, [0, 0.04, 0.08, 1.0]),
        ([0.0] * 3, 0.0, [0, 0.04, 0.08]),
        ([0.0] * 3, 90_000.0, [0, 0.04, 0.08]),
    ],
)
def test_times_go_on_whatever_the_container_says(stamps: list[float], rate: float, times: list[float]) -> None:
    video = Video("a", OpenCvFrames(Wandering(stamps, rate, 0)))
    assert [frame.time for frame in video.frames()] == pytest.approx(times)


def test_names() -> None:
    for name in ("a.mp4", "b/c.AVI", "d.mov", "e.mkv", "f.webm"):
        assert is_video(name)
        assert is_video(Path(name))
    for name in ("a.jpg", ".mp4", ".a.mp4", "mp4", "a.mp4.txt", "camera:0"):
        assert not is_video(name)
    for name in ("camera:0", "camera:12"):
        assert is_camera(name)
    for name in ("camera", "camera:", "camera:x", "camera:-1", "camera:0 ", "a/camera:0", "Camera:0"):
        assert not is_camera(name)


def test_looking_at_no_frame_is_refused(tmp_path: Path) -> None:
    with open_video(write(tmp_path / "a.avi", frames=1)) as video, pytest.raises(UsageError, match="every"):
        video.frames(0)
