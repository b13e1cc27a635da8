"""How long a video takes, over its own length: reading, finding faces, recognising them, following and smoothing.

    python benchmarks/video.py [--model runs/mine] [--video talk.mp4] [--seconds 30] [--threads 1]

Without ``--video``, three drawn faces move through a 720p video made for it. With one thread the processor's own time
is counted, which other work on the machine does not lengthen. Each row searches the whole video for faces from
``min_side`` pixels up, with a search of the whole frame every ``search`` seconds. With ``search`` 0 every frame is
searched, most of them reduced: ``missed_by_reduced_search`` counts the faces that a search of every frame at full size
finds and this one does not, in a second video of twelve faces of 30 to 260 pixels. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import machine

from dcdan.faces.boxes import overlaps
from dcdan.images.decode import decode
from dcdan.images.video_reader import open_video
from dcdan.inference.annotated_output import video_file
from dcdan.inference.recogniser import CHUNK_PICTURES, CHUNK_PIXELS, load
from dcdan.inference.video import FramePipeline, Search, WatchOptions, in_chunks, watched

DRAWN = Path(__file__).parent.parent / "tests" / "helpers" / "drawn_faces.png"
RATE, WIDTH, HEIGHT = 25, 1280, 720
SIDES = (0.0, 40.0, 80.0)
SEARCHES = (0.0, 0.2)


class Clock:
    """Seconds spent in calls, by name."""

    def __init__(self, threads: int) -> None:
        self.now = time.process_time if threads == 1 else time.perf_counter
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with its time counted."""

        def run(*values: Any) -> Any:
            start = self.now()
            try:
                return call(*values)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - start

        return run


def make(path: Path, seconds: float) -> None:
    """Write three drawn faces that move, 200 pixels each."""
    row = decode(DRAWN)
    faces = [cv2.resize(row[:, 120 * n : 120 * n + 120], (260, 260)) for n in range(3)]
    background = cv2.resize(np.random.default_rng(0).integers(60, 160, (9, 16, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    with video_file(path, RATE) as add:
        for frame in range(round(seconds * RATE)):
            picture = background.copy()
            for number, face in enumerate(faces):
                x = round(60 + 420 * number + 60 * np.sin(frame / 20 + number))
                y = round(230 + 120 * np.sin(frame / 33 + 2 * number))
                picture[y : y + 260, x : x + 260] = face
            add(picture)


def make_crowd(path: Path, seconds: float) -> None:
    """Write twelve drawn faces of 30 to 260 pixels that come, go, and cross the picture at their own speeds."""
    random = np.random.default_rng(1)
    row = decode(DRAWN)
    sides = np.geomspace(36, 310, 12).astype(int)
    places = random.uniform((0, 0), (WIDTH, HEIGHT), (12, 2))
    speeds = random.normal(0, 0.75, (12, 2)) * sides[:, None] / RATE  # up to about two sides a second
    starts = random.uniform(0, 0.5, 12) * seconds * RATE
    ends = starts + random.uniform(0.3, 1.0, 12) * seconds * RATE
    background = cv2.resize(random.integers(60, 160, (9, 16, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    with video_file(path, RATE) as add:
        for frame in range(round(seconds * RATE)):
            picture = background.copy()
            for number, side in enumerate(sides):
                if not starts[number] <= frame < ends[number]:
                    continue
                face = cv2.resize(row[:, 120 * (number % 3) : 120 * (number % 3) + 120], (side, side))
                x, y = ((places[number] + frame * speeds[number]) % (WIDTH - side, HEIGHT - side)).astype(int)
                picture[y : y + side, x : x + side] = face
            add(picture)


def missed(video: Path, threads: int) -> dict[str, object]:
    """Compare the search of every frame, reduced in most, with that of every frame at full size."""
    extractor = load(threads=threads)._extractor
    frames = faces = missed_faces = frames_with_a_miss = 0
    search = Search(extractor.extract, extractor.detect_near, 0.0)
    with open_video(video) as film:
        for chunk in in_chunks(film.frames(), CHUNK_PICTURES, CHUNK_PIXELS):
            for found, own in zip(search.faces(chunk), extractor.extract([f.pixels for f in chunk]), strict=True):
                lost = sum(not any(overlap(face.box, other.box) > 0.3 for other in found) for face in own)
                frames, faces, missed_faces = frames + 1, faces + len(own), missed_faces + lost
                frames_with_a_miss += lost > 0
    return {
        "frames": frames,
        "faces": faces,
        "missed_faces": missed_faces,
        "frames_with_a_miss": frames_with_a_miss,
        "share_of_frames": round(frames_with_a_miss / frames, 4),
    }


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two boxes."""
    return float(overlaps(np.stack([one, other]), "union")[0, 1])


def look(model: str | None, video: Path, min_side: float, search: float, threads: int) -> dict[str, object]:
    """Time one pass over a video."""
    clock = Clock(threads)
    recogniser = load(model, threads=threads)
    extractor, session = recogniser._extractor.at_least(min_side), recogniser._session
    session.run(np.zeros((1, session.size, session.size, 3), np.uint8))

    finding = clock.timed("detection", extractor.extract), clock.timed("detection", extractor.detect_near)
    pipeline = FramePipeline(*finding, clock.timed("recognition", recogniser.face_results))
    with open_video(video) as film:
        options = WatchOptions(min_side=min_side, search=search)
        start, faces = clock.now(), 0
        for _, results in watched(film, pipeline, options, (CHUNK_PICTURES, CHUNK_PIXELS)):
            faces += sum(result.recognised for result in results)
        total, frames, rate = clock.now() - start, film.read, film.rate
    reading = Clock(threads)
    with open_video(video) as film:
        left = film.frames()
        step = reading.timed("reading", lambda: next(left, None))
        while step() is not None:
            pass
    length = frames / rate
    parts = clock.seconds | reading.seconds
    parts["following"] = max(0.0, total - sum(parts.values()))
    return {
        "min_side": min_side,
        "search": search,
        "frames": frames,
        "faces_a_frame": round(faces / frames, 2),
        "over_length": round(total / length, 3),
        "milliseconds_a_frame": {name: round(1000 * value / frames, 2) for name, value in parts.items()},
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="run folder, or a model of the package (default: its own)")
    parser.add_argument("--video", type=Path, help="a video file (default: drawn faces)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the drawn video")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--misses-only", action="store_true", help="only count the faces that are missed")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or Path(folder) / "drawn.mp4"
        if given.video is None:
            make(video, given.seconds)
        crowd = given.video or Path(folder) / "crowd.mp4"
        if given.video is None:
            make_crowd(crowd, given.seconds)
        misses = missed(crowd, given.threads)
        rows = (
            []
            if given.misses_only
            else [look(given.model, video, side, search, given.threads) for side in SIDES for search in SEARCHES]
        )
    print(
        json.dumps(
            {
                "benchmark": "video",
                "size": "as given" if given.video else f"{WIDTH}x{HEIGHT}",
                "threads": given.threads,
                "clock": "processor" if given.threads == 1 else "wall",
                "rows": rows,
                "missed_by_reduced_search": misses,
                "machine": machine(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
