"""Odd videos that people have: interlaced, with wide pixels, broken, with covers, of many codecs, from the network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dcdan.core.errors import UsageError
from dcdan.images import video_opencv, video_pyav
from dcdan.images.status import Status
from dcdan.images.video_reader import Frame, VideoError, open_video
from odd_videos import SIZE, write_odd, write_sound_only

NEEDS_PYAV = pytest.mark.skipif(
    not video_pyav.is_installed(), reason="PyAV is not installed: pip install 'dcdan[video]'"
)


@pytest.fixture(params=["opencv", pytest.param("pyav", marks=NEEDS_PYAV)], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read every file with OpenCV, and again with PyAV where it is installed."""
    monkeypatch.setattr(video_pyav, "is_installed", lambda: request.param == "pyav")
    return str(request.param)


def read(path: Path) -> tuple[list[Frame], str]:
    with open_video(path) as video:
        frames = list(video.frames())
    return frames, video.warning


def levels(frames: list[Frame]) -> list[float]:
    return [float(frame.pixels[8:-8, 8 : frame.pixels.shape[1] // 2 - 8].mean()) for frame in frames]


def error_of(path: Path | str, **options: float) -> VideoError:
    with pytest.raises(VideoError) as caught:
        open_video(path, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.mp4", "libx264"), ("a.ts", "mpeg2video")])
def test_interlaced_videos_are_read_or_refused_with_the_cure(
    tmp_path: Path, name: str, codec: str, backend: str
) -> None:
    """V1: OpenCV gave empty pictures, so that no face was found and the exit code was 0."""
    path = write_odd(tmp_path / name, codec, rate=25, interlaced=True)
    if backend == "opencv" and tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 13):
        error = error_of(path)
        assert "is interlaced" in str(error)
        assert "pip install 'dcdan[video]'" in str(error)
        assert error.status is Status.UNSUPPORTED
        return
    frames, warning = read(path)
    assert len(frames) == 40
    assert levels(frames) == pytest.approx([4 * i + 20 for i in range(40)], abs=6)
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(40)], abs=2e-3)
    assert warning == ""


@NEEDS_PYAV
def test_combs_of_interlaced_frames_are_gone(tmp_path: Path, backend: str) -> None:
    """V1: two fields at different moments: without a filter, every other row shows another moment."""
    if backend != "pyav":
        pytest.skip("OpenCV does not deinterlace")
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream(
            "libx264", rate=25, options={"x264-params": "tff=1", "flags": "+ildct+ilme", "qp": "8"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(12):
            pixels = np.full((64, 96, 3), 40, np.uint8)
            pixels[0::2, 4 * index : 4 * index + 24] = 220
            pixels[1::2, 4 * index + 2 : 4 * index + 26] = 220
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p", dst_colorspace=None)
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    middle = read(path)[0][6].pixels[16:48, :, 0].astype(int)
    assert np.abs(np.diff(middle, axis=0)).max() < 60


def test_static_videos_are_not_taken_for_interlaced(tmp_path: Path) -> None:
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, SIZE)
    for _ in range(3):
        writer.write(np.zeros((64, 96, 3), np.uint8))
    writer.release()
    assert len(read(path)[0]) == 3


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(16, 15), (102, 64)), (Fraction(4, 3), (128, 64)), (Fraction(8, 9), (85, 64))]
)
def test_pixels_are_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    """V2: the sample aspect ratio of the stream; both sizes are told."""
    with open_video(write_odd(tmp_path / "a.mp4", aspect=aspect)) as video:
        frame = next(video.frames())
        assert frame.pixels.shape == (size[1], size[0], 3)
        assert (video.size, video.coded_size) == (size, SIZE)
    edge = int(np.argmax(frame.pixels[32, :, 0] > 150))
    assert edge == pytest.approx(size[0] / 2, abs=3)


def test_many_packets_before_the_first_picture(tmp_path: Path, backend: str) -> None:
    """V4: the limit of OpenCV is raised before it is read."""
    assert int(os.environ["OPENCV_FFMPEG_READ_ATTEMPTS"]) >= 1 << 16
    frames, warning = read(write_odd(tmp_path / "a.mkv", sound=200.0, stamps=[2000 + i for i in range(5)], frames=5))
    assert (len(frames), warning) == (5, "")


def spoiled(path: Path, start: float, end: float) -> Path:
    """Overwrite a share of a file."""
    content = bytearray(path.read_bytes())
    first, last = int(start * len(content)), int(end * len(content))
    content[first:last] = np.random.default_rng(0).integers(0, 256, last - first, np.uint8).tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_a_corrupt_stretch_in_the_middle_is_passed_over(tmp_path: Path, name: str, backend: str) -> None:
    """V5: what follows is read; with PyAV the time range is told."""
    noise = {"x264-params": "nal-hrd=none", "crf": "10"}
    path = spoiled(write_odd(tmp_path / name, frames=55, options=noise, gop=5), 0.4, 0.5)
    frames, warning = read(path)
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    if name == "a.ts":
        assert 25 < len(frames) <= 55
        assert times[-1] == pytest.approx(5.4, abs=0.21)
    if backend == "pyav":
        with open_video(path) as video:
            list(video.frames())
        assert len(video.gaps) >= 1
        assert all(0.3 <= start <= end <= 5.6 for start, end in video.gaps)
        assert "is damaged at" in warning


def test_failed_grabs_are_tried_again_and_told() -> None:
    """V5 with OpenCV: it goes on after a first failed grab, while the container promises more."""

    class Flaky:
        at = -1

        def grab(self) -> bool:
            self.at += 1
            return self.at < 12 and self.at not in (4, 5)

        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, np.zeros((2, 2, 3), np.uint8)

        def get(self, key: int) -> float:
            values = {cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_FRAME_COUNT: 12.0, cv2.CAP_PROP_POS_MSEC: 100.0 * self.at}
            return values.get(key, 0.0)

        def isOpened(self) -> bool:
            return True

    frames = video_opencv.OpenCvFrames(Flaky())
    times = []
    while frames.grab():
        times.append(frames.time)
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1])
    assert frames.gaps == [pytest.approx((0.3, 0.6))]


def test_uneven_stamps_are_kept_and_do_not_count_as_a_break(tmp_path: Path) -> None:
    """V6: variable rate; the header's number of frames is an estimate."""
    stamps = [0, 1, 2, 3, 10, 11, 30, 60, 61, 62]
    for name in ("a.mp4", "a.mkv"):
        frames, warning = read(write_odd(tmp_path / name, frames=10, stamps=stamps))
        assert [frame.time for frame in frames] == pytest.approx([stamp / 10 for stamp in stamps], abs=2e-3)
        assert warning == ""


def test_sound_that_is_longer_than_the_pictures_is_no_break(tmp_path: Path) -> None:
    """V6."""
    for name in ("a.mkv", "a.mp4"):
        assert read(write_odd(tmp_path / name, frames=10, sound=20.0))[1] == ""


def test_a_missing_end_is_told(tmp_path: Path) -> None:
    """V6: by the sizes in the container."""
    path = write_odd(tmp_path / "a.mkv", options={"crf": "5"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "breaks off" in read(path)[1]
    path = write_odd(tmp_path / "b.mp4", options={"crf": "5"}, container={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    frames, warning = read(path)
    assert len(frames) < 40
    assert "breaks off" in warning


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("libsvtav1", "a.mp4", "yuv420p"),
        ("libvpx-vp9", "a.webm", "yuv420p"),
        ("libx265", "a.mp4", "yuv420p10le"),
        ("mpeg4", "a.m4v", "yuv420p"),
        ("wmv2", "a.wmv", "yuv420p"),
        ("flv", "a.flv", "yuv420p"),
        ("mjpeg", "a.mov", "yuvj420p"),
    ],
)
def test_codecs_are_read_or_named_with_the_cure(
    tmp_path: Path, codec: str, name: str, pixel_format: str, backend: str
) -> None:
    """V7, V8: AV1, VP9, HEVC of 10 bit, and the suffixes of telephones and camcorders."""
    path = write_odd(tmp_path / name, codec, frames=8, pixel_format=pixel_format, size=(128, 96))
    problem, frames = "", []
    try:
        frames, _ = read(path)
    except VideoError as error:
        problem = str(error)
    if problem:
        assert backend == "opencv"
        assert "(codec " in problem
        assert "pip install 'dcdan[video]'" in problem
    else:
        assert len(frames) == 8
        assert levels(frames) == pytest.approx([4 * i + 20 for i in range(8)], abs=8)


def test_a_codec_that_nothing_decodes_is_named(tmp_path: Path, backend: str) -> None:
    """V7."""
    path = write_odd(tmp_path / "a.avi", "mpeg4", frames=4)
    content = path.read_bytes().replace(b"FMP4", b"zzzz")
    path.write_bytes(content)
    error = error_of(path)
    assert any(part in str(error) for part in ("no frame that", "damaged", "a codec that PyAV cannot decode"))


def test_sound_only_files_say_so(tmp_path: Path) -> None:
    """Issue 18 item 2."""
    error = error_of(write_sound_only(tmp_path / "a.mp4"))
    assert "has sound and no moving picture" in str(error)
    assert error.status is Status.UNSUPPORTED


def test_an_attached_picture_is_not_the_video(tmp_path: Path, backend: str) -> None:
    """Issue 18 item 2."""
    if backend != "pyav":
        pytest.skip("OpenCV does not tell attached pictures apart")
    path = write_odd(tmp_path / "a.mkv", frames=6)
    covered = write_odd(tmp_path / "b.mp4", frames=6, cover=True)
    for each in (path, covered):
        frames, _ = read(each)
        assert len(frames) == 6
        assert frames[0].pixels.shape == (64, 96, 3)


@pytest.mark.parametrize(("kind", "options"), [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("avif", {})])
def test_animations_are_read_as_videos(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    """V8: each picture with its own duration."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 250, 0)]
    frames = [Image.new("RGB", (32, 24), colour) for colour in colours]
    path = tmp_path / f"a.{kind}"
    durations = [100, 300, 50, 100]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, **options)
    found, warning = read(path)
    assert [frame.time for frame in found] == pytest.approx([0.0, 0.1, 0.4, 0.45], abs=1e-3)
    for frame, colour in zip(found, colours, strict=True):
        assert frame.pixels.shape == (24, 32, 3)
        assert np.abs(frame.pixels[12, 16].astype(int) - colour).max() <= 12
    assert warning == ""


def test_a_damaged_animation_gives_what_there_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)) for _ in range(4)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 5 // 8])
    found, warning = read(path)
    assert len(found) == 2
    assert "is damaged at 0.2 to 0.2 s" in warning


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_a_pipe_with_the_name_of_a_video_is_refused_at_once(tmp_path: Path) -> None:
    """S17: it hung for ever, and SIGTERM was ignored."""
    os.mkfifo(tmp_path / "x.mp4")
    error = error_of(tmp_path / "x.mp4")
    assert "pipe or a device" in str(error)
    assert error.status is Status.NOT_AN_IMAGE


def test_a_stream_that_does_not_answer_ends_with_a_sentence(backend: str, capfd: pytest.CaptureFixture[str]) -> None:
    """V13: a server that accepts the connection and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]), daemon=True)
        thread.start()
        begun = time.monotonic()
        error = error_of(f"rtsp://127.0.0.1:{server.getsockname()[1]}/stream", timeout=1.0)
        assert time.monotonic() - begun < 8
        for each in accepted:
            each.close()
    assert "did not answer within 1 s" in str(error)
    assert error.status is Status.TIMEOUT
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_is_refused_is_not_waited_for(backend: str) -> None:
    """V13."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = error_of(f"rtsp://127.0.0.1:{port}/stream", timeout=20.0)
    assert "gives no pictures" in str(error)
    assert error.status is Status.MISSING


def test_offline_no_stream_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCDAN_OFFLINE", "1")
    with pytest.raises(UsageError, match="the network is forbidden"):
        open_video("rtsp://127.0.0.1/stream")


def test_videos_in_zip_files_and_at_urls(tmp_path: Path) -> None:
    """U10: a temporary copy, removed when the video is closed."""
    import zipfile

    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, SIZE)
    for index in range(3):
        writer.write(np.full((64, 96, 3), 40 * index, np.uint8))
    writer.release()
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as file:
        file.write(path, "deep/a.avi")
    for name in (f"{tmp_path}/v.zip/deep/a.avi", path.as_uri()):
        with open_video(name) as video:
            copy = video._path
            assert copy is not None
            assert copy.exists()
            assert len(list(video.frames())) == 3
        assert not copy.exists()
    assert error_of(f"{tmp_path}/v.zip/gone.avi").status is Status.MISSING


def test_the_environment_is_set_before_opencv_is_used() -> None:
    """V4."""
    code = "import dcdan.images.video_reader, os; print(os.environ['OPENCV_FFMPEG_READ_ATTEMPTS'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1 << 16
