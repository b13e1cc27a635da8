"""A folder of pictures at any depth, without labels: what a user has to adapt to. Every face found is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from dcdan.core.errors import DataError
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register


class FolderOptions(ReaderOptions):
    """`faces`: "photographs" are searched for faces, "crops" hold one face each already."""

    faces: Literal["photographs", "crops"] = "photographs"


@register
class Folder(Reader):
    """Pictures without labels; paths relative to the folder, sorted."""

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
        """Return the reader of a folder at a URL that fsspec knows."""
        return _RemoteFolder(url, options)

    def samples(self) -> Iterator[Sample]:
        from dcdan.images.discover import find_pictures

        empty = True
        for path in find_pictures(self.folder, self.skip):
            empty = False
            yield Sample(path.relative_to(self.folder).as_posix())
        if empty:
            raise no_pictures(self.folder)


class _RemoteFolder(Folder):
    """The same pictures in the same order; `root` is for the eye alone."""

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
    """Return the error for a folder without pictures: empty, or full of something else."""
    try:
        found = sorted(path.name for path in folder.iterdir())[:4]
    except OSError as error:
        return DataError(f"The folder '{folder}' cannot be listed ({error.strerror or error}): give yourself access.")
    what = f"holds no pictures (found {', '.join(found)})" if found else "is empty"
    return DataError(f"The folder '{folder}' {what}: give one with JPEG, PNG, WebP, BMP or TIFF files.")
