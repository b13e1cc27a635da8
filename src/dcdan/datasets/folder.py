"""The reader of a folder of unlabelled pictures at any depth, a user's own faces; all faces in them are used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from dcdan.core.errors import DataError
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register


class FolderOptions(ReaderOptions):
    """Options of the reader."""

    faces: Literal["photographs", "crops"] = Field(
        "photographs", description="photographs are searched for faces; crops show one face each already"
    )


@register
class Folder(Reader):
    """Reads pictures without labels, in the order of their paths.

    Example:
        `dcdan pack ./photos --out packs/photos`
    """

    name = "folder"
    title = "A folder of pictures"
    licence = "your own"
    follows_links = True
    Options = FolderOptions
    max_faces = None
    split_rule = "none"
    options: FolderOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        self.cropped = self.options.faces == "crops"
        if not self.folder.is_dir():
            raise DataError(f"'{self.folder}' is a file: give the folder that holds the pictures.")

    @classmethod
    def at_url(cls, url: str, options: ReaderOptions) -> Folder:
        """Open the reader of a folder at a URL.

        Args:
            url: a URL that fsspec supports.
            options: the options.

        Returns:
            The reader.
        """
        return _RemoteFolder(url, options)

    def samples(self) -> Iterator[Sample]:
        """Yield every sample; see :meth:`Reader.samples`.

        Yields:
            The samples, with labels, splits and groups.
        """
        from dcdan.images.discover import find_pictures

        empty = True
        for path in find_pictures(self.folder, self.skip):
            empty = False
            yield Sample(path.relative_to(self.folder).as_posix())
        if empty:
            raise no_pictures(self.folder)


class _RemoteFolder(Folder):
    """A folder at a URL: the same pictures in the same order. `root` is used in messages only."""

    def __init__(self, url: str, options: ReaderOptions) -> None:
        Reader.__init__(self, Path(url), options)
        self.url = url.rstrip("/")
        self.cropped = self.options.faces == "crops"

    def samples(self) -> Iterator[Sample]:
        from dcdan.images.remote import find_remote

        empty = True
        for way, _ in find_remote(self.url, self.skip):
            empty = False
            yield Sample(way)
        if empty:
            raise DataError(f"There are no pictures at '{self.url}': give one with JPEG, PNG, WebP, BMP or TIFF files.")

    def load(self, sample: Sample) -> np.ndarray:
        from dcdan.images.decode import decode
        from dcdan.images.remote import read_remote

        return decode(read_remote(f"{self.url}/{sample.path}"))


def no_pictures(folder: Path) -> DataError:
    """Return the error for a folder without pictures: it is empty, contains other files, or cannot be listed.

    Args:
        folder: the folder.

    Returns:
        The error, to be raised.
    """
    try:
        found = sorted(path.name for path in folder.iterdir())[:4]
    except OSError as error:
        return DataError(f"The folder '{folder}' cannot be listed ({error.strerror or error}): give yourself access.")
    what = f"holds no pictures (found {', '.join(found)})" if found else "is empty"
    return DataError(f"The folder '{folder}' {what}: give one with JPEG, PNG, WebP, BMP or TIFF files.")
