"""The resolver of inputs: the paths that a user gives become a stream of images, videos and cameras.

An image, folder, glob pattern, video, camera, zip file, list of names, standard input or URL means the same for every
command.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcdan.core.errors import DataError, UsageError
from dcdan.core.limits import open_regular
from dcdan.core.sanitize import printable
from dcdan.images.archive import is_archive, members, read_member, split_member
from dcdan.images.decode import decode_picture, to_rgb
from dcdan.images.discover import LINKED_FOLDER, walk
from dcdan.images.media import Decoder, InputKind, MediaFormat, format_of_head, format_of_name, suffix_of
from dcdan.images.pages import has_pages, is_animation, page_path, read_head, split_page, tiff_pages
from dcdan.images.remote import find_remote, is_url, read_remote, remote_state
from dcdan.images.status import Status, UndecodableImage
from dcdan.images.video_reader import is_camera

__all__ = ["Input", "InputKind", "Inputs", "Picture", "PictureSource", "Resolver", "find_inputs", "read_picture"]

PictureSource = NDArray[np.uint8] | Path | str | bytes | IO[bytes] | Image.Image
_STDIN = "-"
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, or the status that explains why there is none.

    Attributes:
        path: Name in the results; empty for an array.
        pixels: ``(H, W, 3) uint8`` RGB; None if the image could not be read.
        status: OK, or why there are no pixels.
        reason: The same in words.
        scale: Pixels of the file per pixel of the array: 1.0, or more for a very large JPEG. Multiply boxes by it.
    """

    path: str
    pixels: NDArray[np.uint8] | None
    status: Status = Status.OK
    reason: str = ""
    scale: float = 1.0


def read_picture(source: PictureSource) -> Picture:
    """Decode an image from any supported source.

    Args:
        source: An array, ``(H, W, 3) uint8`` RGB or ``(H, W) uint8`` grey; a path, also ``scan.tif#page=2`` or
            ``faces.zip/a.jpg``; a URL; the bytes of a file; an open binary file; or a Pillow image.

    Returns:
        The image; a file that cannot be read has a status instead of pixels.

    Raises:
        DataError: The array has another type or shape, the source is a folder or has an unsupported type, or the URL
            cannot be reached.

    Example:
        >>> read_picture(np.zeros((4, 6), np.uint8)).pixels.shape
        (4, 6, 3)
        >>> read_picture("nowhere.jpg").status
        <Status.MISSING: 'missing'>
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    try:
        if isinstance(source, Image.Image):
            return Picture("", to_rgb(source))
        if isinstance(source, bytes | bytearray | memoryview):
            return _decoded("", bytes(source))
        if hasattr(source, "read"):
            return _decoded("", source.read())
        if isinstance(source, str | os.PathLike):
            return _from_path(os.fspath(source))
    except UndecodableImage as error:
        path = str(source) if isinstance(source, str | os.PathLike) else ""
        return Picture(path, None, error.status, error.reason)
    raise DataError(
        "A picture must be a uint8 array, a path, bytes, an open file or a Pillow picture, "
        f"not {type(source).__name__}."
    )


def _from_array(source: NDArray[np.uint8]) -> Picture:
    if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
        raise DataError(
            f"A picture must be a uint8 array (height, width, 3) in RGB, not {source.dtype} {source.shape}."
        )
    if 0 in source.shape:
        return Picture("", None, Status.EMPTY, "the array has no pixels")
    return Picture("", source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2))


def _from_path(path: str) -> Picture:
    if is_url(path):
        return _decoded(path, read_remote(path))
    try:
        return _decoded(path, Path(path))
    except UndecodableImage as error:
        if error.status is not Status.MISSING:
            raise
        file, page = split_page(path)
        member = split_member(file)
        if member is None and file == path:
            raise
    return _decoded(path, Path(file) if member is None else read_member(*member), page)


def _decoded(path: str, source: Path | bytes, page: int = 0) -> Picture:
    found = decode_picture(source, page=page)
    return Picture(path, found.pixels, scale=found.scale)


@dataclass(frozen=True, slots=True)
class Input:
    """One image, video or camera to be read, or one that is known to be unreadable.

    Attributes:
        path: Name in the results.
        kind: Picture, video or camera.
        name: Relative path of files that are derived from it in an output folder; unique among the inputs.
        status: Set if the input is known to be unreadable; then ``reason`` explains why.
        reason: See ``status``.
        state: For an input that is not a local file, a text that changes with its content.
        load: Reads the image if ``path`` alone is not enough; it can be pickled.
    """

    path: str
    kind: InputKind
    name: PurePath
    status: Status | None = None
    reason: str = ""
    state: str = ""
    load: Callable[[], Picture] | None = None

    @property
    def source(self) -> Path | str | Picture:
        """The argument for :func:`read_picture` or a recogniser."""
        if self.status is not None:
            return Picture(self.path, None, self.status, self.reason)
        if self.load is not None:
            return self.load()
        return self.path if is_url(self.path) else Path(self.path)

    def mark(self) -> bytes:
        """Return bytes that identify the version of the input: its path, size and modification time."""
        try:
            found = None if self.state else os.stat(split_page(self.path)[0])  # noqa: PTH116  (Path() raises on some)
            state = self.state if found is None else f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        return self.path.encode("utf-8", "surrogatepass") + b"\0" + state.encode("utf-8", "surrogatepass") + b"\0"


Resolver = Callable[[str], Iterable[Input] | None]
"""Returns the inputs that a text denotes, or None if the resolver does not apply to it."""


def find_inputs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    resolvers: Sequence[Resolver] = (),
    limit: int | None = None,
    stdin: IO[bytes] | None = None,
) -> Inputs:
    """Resolve the paths that a user gives to inputs, in a reproducible order.

    ========================================  ==========================================================
    text                                      inputs
    ========================================  ==========================================================
    ``photo.jpg``, ``talk.mp4``               the image, or each page of a TIFF; the video
    ``photos/``                               every image and video below the folder
    ``'photos/**/*.jpg'``                     every match of the pattern
    ``camera:0``, ``rtsp://host/stream``      a camera
    ``faces.zip``, ``faces.zip/anna/1.jpg``   every image and video in it; one of them
    ``@list.txt``                             each line as if it were given directly
    ``-``                                     a list on the standard input, or one image from there
    ``https://...``, ``s3://...``             an image, video or folder at a URL (``dcdan[remote]``)
    ========================================  ==========================================================

    A folder without images and videos yields one input with the status EMPTY, so that every given path has a row.

    Args:
        paths: The paths, patterns, lists and URLs.
        resolvers: Tried first for each text, for example for packs and data sets.
        limit: Maximum number of inputs; None for all.
        stdin: Replaces the standard input in tests.

    Returns:
        The inputs; only lists, patterns and the standard input have been read.

    Raises:
        DataError: A list cannot be read.
        UsageError: A list contains a list, or the standard input is given twice.

    Example:
        >>> [(each.kind.value, each.path) for each in find_inputs(["a.jpg", "b.mp4", "camera:0"])]
        [('picture', 'a.jpg'), ('video', 'b.mp4'), ('camera', 'camera:0')]
    """
    texts: list[str] = []
    piped: bytes | None = None
    for path in (os.fspath(each) for each in paths):
        if path == _STDIN:
            if piped is not None:
                raise UsageError("The standard input (-) can be read once: name it once.")
            piped = (stdin or sys.stdin.buffer).read()
            texts += [_STDIN] if format_of_head(piped[:1024]) else _lines(piped, "the standard input")
        elif path.startswith("@") and len(path) > 1:
            texts += _lines(_list_content(path[1:]), f"'{path[1:]}'")
        else:
            texts += _matches(path)
    return Inputs(texts, resolvers, piped, limit)


class Inputs:
    """The result of :func:`find_inputs`; it can be iterated repeatedly, and reads folders again each time.

    Attributes:
        paths: The given texts, with lists and patterns expanded.
        left_out: Suffix -> number of files of other types that the last iteration skipped.
    """

    def __init__(
        self,
        paths: Sequence[str],
        resolvers: Sequence[Resolver] = (),
        piped: bytes | None = None,
        limit: int | None = None,
    ) -> None:
        self.paths = list(paths)
        self.left_out: Counter[str] = Counter()
        self._resolvers = resolvers
        self._piped = piped
        self._limit = limit

    def __iter__(self) -> Iterator[Input]:
        """Yield the inputs in order."""
        return islice(self._all(), self._limit)

    def _all(self) -> Iterator[Input]:
        self.left_out.clear()
        for path, name in zip(self.paths, _own_names(self.paths), strict=True):
            yield from self._of(path, name)

    def left_out_sentence(self) -> str:
        """Return a sentence on the files that were skipped; empty if there were none.

        Example:
            >>> inputs = Inputs([]); inputs.left_out.update({".txt": 9, ".docx": 3})
            >>> inputs.left_out_sentence()
            '12 files of other kinds left out: 9 .txt, 3 .docx'
        """
        total = sum(self.left_out.values())
        if not total:
            return ""
        counts = ", ".join(f"{count} {printable(name)}" for name, count in self.left_out.most_common(8))
        more = ", ..." if len(self.left_out) > 8 else ""
        return f"{total} file{'s' if total > 1 else ''} of other kinds left out: {counts}{more}"

    def _of(self, path: str, name: PurePath) -> Iterator[Input]:
        for resolver in self._resolvers:
            if (found := resolver(path)) is not None:
                yield from found
                return
        if path == _STDIN and self._piped is not None:
            state = hashlib.sha256(self._piped).hexdigest()
            yield Input(
                _STDIN, InputKind.PICTURE, PurePath("stdin"), state=state, load=partial(_piped_picture, self._piped)
            )
        elif is_camera(path):
            yield Input(path, InputKind.CAMERA, name)
        elif is_url(path):
            yield from self._at_url(path, name)
        elif os.path.isdir(path):  # noqa: PTH112
            yield from self._in_folder(path, name if len(self.paths) > 1 else PurePath())
        elif is_archive(path):
            yield from self._in_archive(path, name if len(self.paths) > 1 else PurePath())
        else:
            yield from _file(path, name)

    def _in_folder(self, folder: str, name: PurePath) -> Iterator[Input]:
        empty = True
        for found in walk(folder, _may_be_media, self._leave_out):
            below = name / os.path.relpath(found.path, folder)
            if found.problem == LINKED_FOLDER:
                self.left_out["linked folders"] += 1
            elif found.problem:
                empty = False
                reason = f"the folder cannot be listed: {found.reason}"
                yield Input(found.path, InputKind.PICTURE, below, Status.UNREADABLE, reason)
            else:
                for each in self._unless_other(found.path, below):
                    empty = False
                    yield each
        if empty:
            yield _empty(folder, name, "the folder holds no picture or video")

    def _unless_other(self, path: str, name: PurePath) -> Iterator[Input]:
        """Yield the inputs of a file; a file whose name and first bytes have no known format is skipped."""
        if format_of_name(path) is None and not (format_of_head(read_head(path))):
            self._leave_out(path)
            return
        yield from _file(path, name)

    def _in_archive(self, path: str, name: PurePath) -> Iterator[Input]:
        try:
            found = members(Path(path))
        except UndecodableImage as error:
            own = name if name.parts else PurePath(Path(path).name)
            yield Input(path, InputKind.PICTURE, own, error.status, error.reason)
            return
        empty = True
        for each in found:
            known = format_of_name(each.name)
            if known is None:
                self._leave_out(each.name)
                continue
            empty = False
            below = name / PurePath(*[part for part in PurePath(each.name).parts if part not in ("..", "/")])
            yield _of_format(f"{path}/{each.name}", below, known, each.state)
        if empty:
            yield _empty(path, name, "the zip file holds no picture or video")

    def _at_url(self, url: str, name: PurePath) -> Iterator[Input]:
        known = format_of_name(url)
        state = remote_state(url)
        if state is not None:
            kind = InputKind.VIDEO if known is not None and known.kind is InputKind.VIDEO else InputKind.PICTURE
            yield Input(url, kind, name, state=state)
            return
        empty = True
        for way, state in find_remote(url, wanted=_is_media_name, other=self._leave_out):
            empty = False
            known = format_of_name(way)
            assert known is not None
            yield _of_format(f"{url.rstrip('/')}/{way}", name / way, known, state)
        if empty:
            yield Input(url, InputKind.PICTURE, name, Status.EMPTY, "there is no picture or video", state="empty")

    def _leave_out(self, name: str) -> None:
        self.left_out[suffix_of(os.path.basename(name)) or "without a suffix"] += 1  # noqa: PTH119


def _file(path: str, name: PurePath) -> Iterator[Input]:
    """Yield the inputs of one file: an image, each of its pages, or a video."""
    known, head = format_of_name(os.path.basename(path)), None  # noqa: PTH119
    if known is None:
        head = read_head(split_page(path)[0])
        known = format_of_head(head)
    if known is None:
        yield Input(path, InputKind.PICTURE, name)
    elif known.kind is InputKind.PICTURE and is_animation(path, head):
        yield Input(path, InputKind.VIDEO, name)
    elif has_pages(known) and (pages := tiff_pages(path)) != [0]:
        for page in pages:
            numbered = name.with_name(f"{name.stem}-page-{page + 1}{name.suffix}")
            yield Input(page_path(path, page), InputKind.PICTURE, numbered)
    elif known.decoder is Decoder.NONE and not os.path.exists(path):  # noqa: PTH110
        yield Input(path, InputKind.PICTURE, name)
    else:
        yield _of_format(path, name, known)


def _of_format(path: str, name: PurePath, known: MediaFormat, state: str = "") -> Input:
    if known.decoder is Decoder.NONE:
        return Input(path, InputKind.PICTURE, name, Status.UNSUPPORTED, known.problem, state)
    return Input(path, known.kind, name, state=state)


def _empty(path: str, name: PurePath, reason: str) -> Input:
    return Input(path, InputKind.PICTURE, name, Status.EMPTY, reason)


def _piped_picture(content: bytes) -> Picture:
    try:
        return _decoded(_STDIN, content)
    except UndecodableImage as error:
        return Picture(_STDIN, None, error.status, error.reason)


def _may_be_media(name: str) -> bool:
    """Return whether a file may be an image or video: it has a known suffix or an ambiguous one."""
    if name.startswith("."):
        return False
    return format_of_name(name) is not None or suffix_of(name) in _AMBIGUOUS_SUFFIXES


# Names without a suffix, and suffixes that videos share with other file types.
_AMBIGUOUS_SUFFIXES = frozenset({"", ".dat", ".mod", ".ts", ".tp", ".bin", ".tmp", ".img", ".image", ".video"})


def _is_media_name(name: str) -> bool:
    return not name.startswith(".") and format_of_name(name) is not None


def _list_content(path: str) -> bytes:
    try:
        with open_regular(Path(path)) as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"The list '{path}' cannot be read ({reason}): give a text file with one input a line."
        ) from None


def _lines(content: bytes, where: str) -> list[str]:
    """Return the entries of a list, separated by line ends, or by null bytes as `find -print0` writes them."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    raw = content.split(b"\0") if b"\0" in content else content.splitlines()
    texts = [os.fsdecode(each) for each in raw if each.strip()]
    for text in texts:
        if text == _STDIN or (text.startswith("@") and len(text) > 1):
            raise UsageError(f"{where} names '{printable(text)}': a list holds inputs, not lists.")
    return [each for text in texts for each in _matches(text)]


def _matches(path: str) -> list[str]:
    """Return the sorted matches of a pattern; any other text, or a pattern without a match, is returned unchanged."""
    if not _GLOB.intersection(path) or is_url(path) or os.path.lexists(path):
        return [path]
    return sorted(glob.glob(path, recursive=True)) or [path]  # noqa: PTH207


def _own_names(paths: Sequence[str]) -> list[PurePath]:
    """Return the last part of each path, numbered if it occurs more than once: a.jpg, a-2.jpg."""
    used: set[str] = set()
    counts: Counter[str] = Counter()
    names = []
    for path in paths:
        last = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
        given = PurePath(_camera_name(path) if is_camera(path) else last or "root")
        name = str(given)
        while name.lower() in used:
            counts[str(given)] += 1
            name = f"{given.stem}-{counts[str(given)] + 1}{given.suffix}"
        used.add(name.lower())
        names.append(PurePath(name))
    return names


def _camera_name(text: str) -> str:
    kind, _, rest = text.partition(":")
    return "camera-" + (rest if kind == "camera" else "stream")
