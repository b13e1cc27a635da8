"""The one resolver of inputs: what a user names becomes a stream of pictures, videos and cameras.

A picture, folder, glob, video, camera, zip file, list of names, standard input or URL means the same for every command.
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
    """A decoded picture, or the status that says why there is none.

    Attributes:
        path: as it is named in the results; empty for an array.
        pixels: (H, W, 3) uint8 RGB; None where it could not be read.
        status: OK, or why there are no pixels.
        reason: the same in words.
        scale: pixels of the file for each pixel here: 1.0, or more for a very large JPEG. Boxes are multiplied by it.
    """

    path: str
    pixels: NDArray[np.uint8] | None
    status: Status = Status.OK
    reason: str = ""
    scale: float = 1.0


def read_picture(source: PictureSource) -> Picture:
    """Decode a picture, whatever it comes as.

    Args:
        source: an array (H, W, 3) uint8 RGB or (H, W) uint8 grey; a path, also ``scan.tif#page=2`` or
            ``faces.zip/a.jpg``; a URL; the bytes of a file; an open binary file; or a Pillow picture.

    Returns:
        The picture; a file that cannot be read gives a status in place of pixels.

    Raises:
        DataError: an array of another type or shape, a folder, a source of another kind, or a URL that cannot be
            reached.

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
    """One picture, video or camera that is to be read, or one that is known not to be readable.

    Attributes:
        path: as it is named in the results.
        kind: picture, video or camera.
        name: where something made from it goes in an output folder; no two inputs share one.
        status: set where it is known already that there is nothing to read; then ``reason`` says why.
        reason: see ``status``.
        state: for what is no local file, a text that changes with its content.
        load: reads it, where ``path`` alone is not enough; it can be pickled.
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
        """What :func:`read_picture` or a recogniser takes for it."""
        if self.status is not None:
            return Picture(self.path, None, self.status, self.reason)
        if self.load is not None:
            return self.load()
        return self.path if is_url(self.path) else Path(self.path)

    def mark(self) -> bytes:
        """Return a few bytes that are others once the file is another: its path, size and time of change."""
        try:
            found = None if self.state else os.stat(split_page(self.path)[0])  # noqa: PTH116  (Path() raises on some)
            state = self.state if found is None else f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        return self.path.encode("utf-8", "surrogatepass") + b"\0" + state.encode("utf-8", "surrogatepass") + b"\0"


Resolver = Callable[[str], Iterable[Input] | None]
"""Returns the inputs that a text means, or None where it is not for this resolver."""


def find_inputs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    resolvers: Sequence[Resolver] = (),
    limit: int | None = None,
    stdin: IO[bytes] | None = None,
) -> Inputs:
    """Return the inputs that texts of a user lead to, in an order that is always the same.

    ========================================  ==========================================================
    text                                      inputs
    ========================================  ==========================================================
    ``photo.jpg``, ``talk.mp4``               the picture, or each page of a TIFF; the video
    ``photos/``                               every picture and video below the folder
    ``'photos/**/*.jpg'``                     every match of the pattern
    ``camera:0``, ``rtsp://host/stream``      a camera
    ``faces.zip``, ``faces.zip/anna/1.jpg``   every picture and video in it; one of them
    ``@list.txt``                             each line as if it stood here
    ``-``                                     the same from the standard input, or one picture from there
    ``https://...``, ``s3://...``             a picture, video or folder at a URL (``dcdan[remote]``)
    ========================================  ==========================================================

    A folder without a picture or video yields one input with the status EMPTY, so that everything named has its row.

    Args:
        paths: what the user names.
        resolvers: asked first about each text, such as for packs and data sets.
        limit: at most so many inputs, the first ones; None for all.
        stdin: the standard input; for tests.

    Returns:
        The inputs; lists, patterns and the standard input have been read, nothing else.

    Raises:
        DataError: a list that cannot be read.
        UsageError: a list that names a list, or the standard input twice.

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
    """What :func:`find_inputs` has found; it can be iterated more than once, and walks through folders each time.

    Attributes:
        paths: the texts, with lists and patterns resolved.
        left_out: suffix -> number of files of other kinds that the last iteration passed over.
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
        """Return what was passed over, in words; empty where nothing was.

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
        """Yield the inputs of a file; one whose name says nothing and whose bytes are of no known kind is left out."""
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
    """Yield the inputs of one file: a picture, each page of one, or a video."""
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
    """Whether a file of a folder is worth a look: the suffix of a picture or video, or one that says nothing."""
    if name.startswith("."):
        return False
    return format_of_name(name) is not None or suffix_of(name) in _SAYS_NOTHING


# Names without a suffix, and suffixes that videos share with other kinds of files.
_SAYS_NOTHING = frozenset({"", ".dat", ".mod", ".ts", ".tp", ".bin", ".tmp", ".img", ".image", ".video"})


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
    """Return the names in a list, one a line, or with a zero byte after each as `find -print0` writes them."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    raw = content.split(b"\0") if b"\0" in content else content.splitlines()
    texts = [os.fsdecode(each) for each in raw if each.strip()]
    for text in texts:
        if text == _STDIN or (text.startswith("@") and len(text) > 1):
            raise UsageError(f"{where} names '{printable(text)}': a list holds inputs, not lists.")
    return [each for text in texts for each in _matches(text)]


def _matches(path: str) -> list[str]:
    """Return what a pattern matches, in order; anything else, and a pattern without a match, as it is."""
    if not _GLOB.intersection(path) or is_url(path) or os.path.lexists(path):
        return [path]
    return sorted(glob.glob(path, recursive=True)) or [path]  # noqa: PTH207


def _own_names(paths: Sequence[str]) -> list[PurePath]:
    """Return the last part of each path, with a number before its suffix where it came before: a.jpg, a-2.jpg."""
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
