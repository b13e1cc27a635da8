"""Write the annotation files of videos while they are recognised, each as soon as its video is finished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.annotation.formats import FORMATS
from dcdan.annotation.page import summary_page
from dcdan.annotation.people import Peak, people_dict, summarise_people
from dcdan.annotation.timeline import MINIMUM_LENGTH, FrameCollector, Timeline
from dcdan.core.atomic_io import check_target, fitting_name, write_text
from dcdan.core.errors import OutputError, UsageError
from dcdan.images.inputs import Input, InputKind
from dcdan.inference.predict import Step
from dcdan.inference.table import FaceResult

THUMBNAIL = 96
"""Side of the picture of a peak in pixels."""
_MARGIN = 0.15
_BETTER = 0.005


class ExportFormat(StrEnum):
    """What can be written for a video.

    Attributes:
        ELAN: an .eaf file.
        PRAAT: a .TextGrid file.
        BIDS: ``_events.tsv`` and ``_events.json``.
        SRT: subtitles.
        HTML: a page with a summary of each person.
        JSON: the figures of that page, and all segments.
    """

    ELAN = "elan"
    PRAAT = "praat"
    BIDS = "bids"
    SRT = "srt"
    HTML = "html"
    JSON = "json"


ENDINGS: dict[ExportFormat, tuple[str, ...]] = {
    ExportFormat.ELAN: (".eaf",),
    ExportFormat.PRAAT: (".TextGrid",),
    ExportFormat.BIDS: ("_events.tsv", "_events.json"),
    ExportFormat.SRT: (".srt",),
    ExportFormat.HTML: ("_summary.html",),
    ExportFormat.JSON: ("_summary.json",),
}
"""What follows the name of the video in the names of its files."""


class PeakCollector:
    """Keeps the frame in which each expression of each person is most probable, as a small JPEG."""

    def __init__(self) -> None:
        self.peaks: dict[tuple[int, str], Peak] = {}

    def add(self, rows: Iterable[FaceResult], pixels: NDArray[np.uint8] | None) -> None:
        """Add the rows of a frame ``(H, W, 3) uint8`` RGB; None keeps times only."""
        for row in rows:
            if row.track is None or row.expression is None or row.probability is None or row.time is None:
                continue
            key = (row.track, row.expression)
            known = self.peaks.get(key)
            if known is None or row.probability > known.probability + _BETTER:
                picture = b"" if pixels is None or row.box is None else thumbnail(pixels, row.box)
                self.peaks[key] = Peak(row.time, row.probability, picture)


def thumbnail(pixels: NDArray[np.uint8], box: Sequence[float]) -> bytes:
    """Return a face of a frame as a JPEG of ``THUMBNAIL`` pixels a side.

    Args:
        pixels: ``(H, W, 3) uint8`` RGB.
        box: x0, y0, x1, y1 in pixels; a margin is added.

    Returns:
        The bytes of the file; empty where the box lies outside of the frame.
    """
    x0, y0, x1, y1 = box
    half = (0.5 + _MARGIN) * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    height, width = pixels.shape[:2]
    left, right = max(0, round(x - half)), min(width, round(x + half))
    top, bottom = max(0, round(y - half)), min(height, round(y + half))
    if right - left < 2 or bottom - top < 2:
        return b""
    scale = THUMBNAIL / max(right - left, bottom - top)
    size = (max(1, round(scale * (right - left))), max(1, round(scale * (bottom - top))))
    small = cv2.resize(np.ascontiguousarray(pixels[top:bottom, left:right]), size, interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes() if done else b""


def contents(
    timeline: Timeline, form: ExportFormat, peaks: dict[tuple[int, str], Peak] | None = None
) -> dict[str, str]:
    """Return the files of a timeline in one format.

    Args:
        timeline: the segments of a video.
        form: the format.
        peaks: (person, expression) -> peak, for the summaries.

    Returns:
        End of the name, one of ``ENDINGS``, -> text.
    """
    if form in (ExportFormat.HTML, ExportFormat.JSON):
        people = summarise_people(timeline, peaks)
        if form is ExportFormat.HTML:
            return {"_summary.html": summary_page(timeline, people)}
        return {"_summary.json": json.dumps(people_dict(timeline, people), indent=2) + "\n"}
    return FORMATS[form.value](timeline)


class VideoExport:
    """Writes the files of each video of a run.

    A file is complete or not there. It is written before the run records its video as done, so a run that is resumed
    after a crash has either written it or recognises the video again.

    Attributes:
        left_out: sentences on what is not in the files, for the user.
        written: the files so far.
    """

    def __init__(
        self,
        formats: Sequence[ExportFormat],
        folder: Path,
        inputs: Iterable[Input],
        classes: tuple[str, ...],
        *,
        minimum_length: float = MINIMUM_LENGTH,
        force: bool = False,
    ) -> None:
        """Check that there is something to write, and that no file is in the way.

        Args:
            formats: what to write.
            folder: where to.
            inputs: what the run works on.
            classes: classes of the model.
            minimum_length: minimum length of a segment in seconds.
            force: whether files that exist are replaced.

        Raises:
            UsageError: there is no video among the inputs.
            OutputError: a file exists and ``force`` is false.
        """
        self.left_out: list[str] = []
        self.written: list[Path] = []
        self._formats = tuple(dict.fromkeys(formats))
        self._classes, self._minimum = classes, minimum_length
        self._peaks = PeakCollector()
        self._frames: FrameCollector | None = None
        videos: list[Input] = []
        others, first = 0, ""
        for each in inputs:
            if each.kind is InputKind.PICTURE:
                others += 1
                first = first or each.path
            else:
                videos.append(each)
        asked = ", ".join(self._formats)
        if not videos:
            what = f"'{first}' is a picture" if first else "there is no video"
            raise UsageError(f"--export {asked} writes times, and {what}: give a video, or --out for a table.")
        if others:
            noun = "picture has" if others == 1 else "pictures have"
            self.left_out.append(f"{others} {noun} no times and no part in the files of --export.")
        self._targets = _targets(videos, folder)
        for base in self._targets.values():
            for form in self._formats:
                for ending in ENDINGS[form]:
                    check_target(_file(base, ending), force=force)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{folder}' cannot be created ({error.strerror}): choose another folder.") from error

    @property
    def wants_frames(self) -> bool:
        """Whether the pixels of frames are used: for the peaks of the page."""
        return ExportFormat.HTML in self._formats

    def add(self, step: Step) -> None:
        """Add a finished piece of work; the last one of a video writes its files."""
        for rows in step.results:
            for row in rows:
                if row.time is None:
                    continue
                if self._frames is None:
                    self._frames = FrameCollector(row.path, self._classes)
                self._frames.add([row])
            self._peaks.add(rows, None if step.frame is None else step.frame.pixels)
        for each in step.inputs:
            if each.path in self._targets:
                self._finish(each, step.note)

    def _finish(self, video: Input, note: str) -> None:
        frames, peaks = self._frames, self._peaks.peaks
        self._frames, self._peaks = None, PeakCollector()
        if frames is None:
            if note:  # it says why already
                return
            self.left_out.append(f"'{video.path}' has no frame that can be read, and no file of --export.")
            return
        timeline = frames.timeline(self._minimum)
        if not timeline.people:
            self.left_out.append(f"'{video.path}' shows no face for {self._minimum:g} s: its files have no segment.")
        elif timeline.short:
            noun = "person" if timeline.short == 1 else "people"
            self.left_out.append(
                f"'{video.path}': {timeline.short} {noun} seen for less than {self._minimum:g} s left out of the files."
            )
        base = self._targets[video.path]
        for form in self._formats:
            for ending, text in contents(timeline, form, peaks).items():
                path = _file(base, ending)
                write_text(path, text)
                self.written.append(path)


def _targets(videos: Sequence[Input], folder: Path) -> dict[str, Path]:
    """Return for each video the path that its files start with; videos of one name keep their suffixes."""
    stems: dict[PurePath, int] = {}
    for each in videos:
        stem = each.name.with_suffix("")
        stems[stem] = stems.get(stem, 0) + 1
    names = {
        each.path: each.name if stems[each.name.with_suffix("")] > 1 else each.name.with_suffix("") for each in videos
    }
    return {path: folder / name for path, name in names.items()}


def _file(base: Path, ending: str) -> Path:
    return base.with_name(fitting_name(base.name + ending))
