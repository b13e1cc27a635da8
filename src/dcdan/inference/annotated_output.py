"""Write or show annotated images: an image file, a video file, a window, or a folder that mirrors the inputs.

Inputs are never modified.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.core.atomic_io import atomic_write, fitting_name, is_partial, sweep, write_bytes
from dcdan.core.errors import OutputError, UsageError, first_line
from dcdan.core.locks import LOCK, folder_lock
from dcdan.images.discover import is_picture_name
from dcdan.images.inputs import Input, Picture, read_picture
from dcdan.images.video_reader import quiet_opencv
from dcdan.inference.annotate import draw
from dcdan.inference.predict import Step
from dcdan.inference.run_summary import READ
from dcdan.inference.table import FaceResult

Image = NDArray[np.uint8]

# H.264 has no encoder in every OpenCV; MPEG-4 is in all of them.
_CODECS = ("avc1", "mp4v")
_ENDS = (ord("q"), 27)
_LARGEST_WINDOW = (1280, 720)


class UndrawableError(OutputError):
    """An image that its file format cannot store; the other images are still written."""


def write_picture(path: Path, picture: Image) -> None:
    """Write an image in the format of the file's suffix, or as JPEG if OpenCV cannot write that format.

    Args:
        path: The file.
        picture: ``(H, W, 3) uint8`` RGB.

    Raises:
        UndrawableError: The image is too wide or high for the format.
        OutputError: The file cannot be written.
    """
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    suffix = path.suffix if path.suffix.lower() in (".png", ".webp", ".bmp", ".tif", ".tiff") else ".jpg"
    try:
        good, content = cv2.imencode(suffix, pixels)
    except cv2.error:
        good = False
    if not good:
        height, width = picture.shape[:2]
        raise UndrawableError(f"a {suffix} file cannot hold {width} x {height} pixels")
    write_bytes(path, content.tobytes())


@contextmanager
def video_file(path: Path, rate: float) -> Iterator[Callable[[Image], None]]:
    """Yield a function that appends a frame, ``(H, W, 3) uint8`` RGB, to an MP4 video, written when the block ends.

    The first frame determines the size (an odd side loses its last row or column); other frames are resized to it.

    Args:
        path: The file.
        rate: Frames per second.

    Yields:
        The function.

    Raises:
        OutputError: The file cannot be written, or no frame was added.
    """
    with atomic_write(path) as beside:
        # The encoder takes the container from the suffix.
        inner = beside.with_name(beside.name + ".mp4")
        film = _Film(inner, rate)
        try:
            yield film.add
            film.end(path)
            inner.replace(beside)
        finally:
            film.release()
            with suppress(OSError):
                inner.unlink()


def show(pictures: Iterable[Image], title: str = "dcdan") -> None:
    """Show images in a window as they arrive; q, Esc or closing the window ends it.

    Args:
        pictures: Images ``(H, W, 3) uint8`` RGB.
        title: Title of the window.

    Raises:
        UsageError: This OpenCV has no windows, or there is no screen.
    """
    with window(title) as shown:
        for picture in pictures:
            if not shown(picture):
                break


@contextmanager
def window(title: str = "dcdan") -> Iterator[Callable[[Image], bool]]:
    """Open a window and yield a function that shows an image, ``(H, W, 3) uint8`` RGB.

    Args:
        title: Title of the window.

    Yields:
        The function; it returns whether the window is still open.

    Raises:
        UsageError: This OpenCV has no windows, or there is no screen.
    """
    if not has_windows():
        raise UsageError(
            "This OpenCV cannot open a window: pip install 'dcdan[gui]' and run it with a screen, or write a file."
        )
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    try:
        yield partial(_shown, title, [])
    finally:
        with suppress(cv2.error):
            cv2.destroyWindow(title)


def _shown(title: str, size: list[int], picture: Image) -> bool:
    if not size:  # The window is as large as the first picture, as far as a small screen allows.
        height, width = picture.shape[:2]
        scale = min(1.0, _LARGEST_WINDOW[0] / width, _LARGEST_WINDOW[1] / height)
        size[:] = [max(1, round(scale * width)), max(1, round(scale * height))]
        cv2.resizeWindow(title, *size)
    cv2.imshow(title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    ended = cv2.waitKey(1) & 0xFF in _ENDS or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1
    return not ended


def has_windows() -> bool:
    """Return whether OpenCV was built with windows and, on Linux, whether there is a screen."""
    lines = cv2.getBuildInformation().splitlines()
    gui = next((line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("GUI:")), "NONE")
    # Without a screen Qt would end the whole process.
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return gui not in ("", "NONE") and bool(screen)


class _Film:
    """A video encoder that is opened with the first frame."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(self, picture: Image) -> None:
        if self._writer is None:
            self._size = (max(2, picture.shape[1] // 2 * 2), max(2, picture.shape[0] // 2 * 2))
            self._writer = self._opened()
        if picture.shape[1::-1] != self._size:
            width, height = self._size
            near = picture.shape[1] - width in (0, 1) and picture.shape[0] - height in (0, 1)
            picture = picture[:height, :width] if near else np.asarray(cv2.resize(picture, self._size), np.uint8)
        with quiet_opencv():
            self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def end(self, path: Path) -> None:
        if self._writer is None:
            raise OutputError(f"'{path}' would be a video without a picture: there is nothing to write.")
        self.release()
        # The encoder does not say when the disk is full.
        with quiet_opencv():
            made = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
            whole = made.isOpened() and made.grab()
            made.release()
        if not whole:
            raise OutputError(f"'{path}' could not be written whole: free some space or choose another folder.")

    def release(self) -> None:
        if self._writer is not None:
            with quiet_opencv():
                self._writer.release()

    def _opened(self) -> cv2.VideoWriter:
        with quiet_opencv():
            for codec in _CODECS:
                fourcc = cv2.VideoWriter.fourcc(*codec)
                writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, self._rate, self._size)
                if writer.isOpened():
                    return writer
        raise OutputError("This OpenCV cannot write MP4 videos: install opencv-python-headless from its wheels.")


# With more faces than this, charts would overlap one another and the faces.
_MOST_CHARTS = 4


class DrawnFolder:
    """Writes annotated inputs into a folder; use it in a ``with`` block, which closes an open video.

    The folder is locked meanwhile, and incomplete files of an interrupted run are removed.

    Attributes:
        left_out: A sentence for each image that could not be drawn; its rows are in the table nevertheless.
    """

    def __init__(self, folder: Path, paths: Iterable[str], *, force: bool = False) -> None:
        """Check the folder.

        Args:
            folder: A new or empty folder, or with ``force`` one whose files may be replaced.
            paths: The paths that contain the inputs.
            force: Whether the folder may contain files.

        Raises:
            OutputError: The folder is a file or contains files, lies in an input folder, or contains an input.
        """
        self.left_out: list[str] = []
        self._folder = folder
        self._force = force
        place = folder.resolve()
        for path in map(Path, paths):
            given = path.resolve()
            if path.exists() and (place == given or given in place.parents or place in given.parents):
                raise OutputError(f"'{folder}' has to do with the input '{path}': give --draw a folder of its own.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file: give --draw a new folder.")
        self._refuse_files()
        self._resources = ExitStack()
        self._film = ExitStack()
        self._add: Callable[[NDArray[np.uint8]], None] | None = None

    def __enter__(self) -> DrawnFolder:
        """Lock the folder.

        Raises:
            OutputError: Another process is writing to the folder, or has written to it since the check.
        """
        self._resources.enter_context(folder_lock(self._folder))
        try:
            self._refuse_files()
            sweep(self._folder)
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with self._resources:
            self._film.__exit__(*error)  # type: ignore[arg-type]

    def add(self, step: Step) -> None:
        """Draw the results of one step: images are read again, video frames are part of the step.

        Args:
            step: The finished step.

        Raises:
            OutputError: A file cannot be written.
        """
        if step.frame is not None:
            if self._add is None:
                target = self._folder / _named(step.frame.video, (".mp4",))
                self._add = self._film.enter_context(video_file(target, step.frame.rate))
            self._add(annotated(step.frame.pixels, step.results[0]))
            return
        if self._add is not None:
            self._film.close()
            self._add = None
            return
        for each, results in zip(step.inputs, step.results, strict=False):
            try:
                self._draw(each, results)
            except (UndrawableError, cv2.error, ValueError, MemoryError) as error:
                self.left_out.append(f"'{each.path}' is not drawn: {first_line(error)}.")

    def _draw(self, each: Input, results: Sequence[FaceResult]) -> None:
        if results[0].status in READ:
            picture = read_picture(each.source) if not isinstance(each.source, Picture) else each.source
            if picture.pixels is not None:
                pixels = annotated(picture.pixels, [_reduced(result, picture.scale) for result in results])
                write_picture(self._folder / _named(each), pixels)

    def _refuse_files(self) -> None:
        """Reject a folder that contains files other than the lock and incomplete files of an interrupted run."""
        if self._force or not self._folder.is_dir():
            return
        if any(path.name != LOCK and not is_partial(path) for path in self._folder.rglob("*") if not path.is_dir()):
            raise OutputError(
                f"'{self._folder}' has files in it: give --draw a new folder, or --force to write into it."
            )


def _reduced(result: FaceResult, scale: float) -> FaceResult:
    """Return a result with its box in pixels of an image that was decoded at ``1 / scale`` of its size."""
    if scale == 1 or result.box is None:
        return result
    x0, y0, x1, y1 = result.box
    return replace(result, box=(x0 / scale, y0 / scale, x1 / scale, y1 / scale))


def annotated(picture: NDArray[np.uint8], results: Sequence[FaceResult]) -> NDArray[np.uint8]:
    """Return an image with its faces drawn in, and with a chart for each if there are at most 4 faces.

    Args:
        picture: ``(H, W, 3) uint8`` RGB.
        results: Results for the image.

    Returns:
        The annotated image; see :func:`~dcdan.inference.annotate.draw`.
    """
    return draw(picture, results, charts=len(results) <= _MOST_CHARTS)


def _named(each: Input, suffixes: Sequence[str] = ()) -> Path:
    """Return the output name of an input; a second suffix is appended if its own implies another format."""
    name = each.name
    good = name.suffix.lower() in suffixes if suffixes else is_picture_name(name.name)
    whole = name.name if good else name.name + (suffixes[0] if suffixes else ".jpg")
    return Path(name.with_name(fitting_name(whole)))
