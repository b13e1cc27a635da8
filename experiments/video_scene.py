"""A video of real faces whose truth is known: photographs that move on paths that cross, blurred, dark and noisy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dcdan.datasets.readers.lfw_expressions import person
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.faces.detectors.base import FaceDetector
from dcdan.faces.detectors.registry import create_detector
from dcdan.images.decode import decode
from dcdan.inference.annotated_output import video_file

RATE, WIDTH, HEIGHT = 25, 640, 360
# Expressions before and after the middle; the last two stay as they are.
CAST = (("neutral", "happiness"), ("happiness", "neutral"), ("surprise", "neutral"), ("anger", "anger"),
        ("happiness", "happiness"))  # fmt: skip
FADE = 0.4


@dataclass(frozen=True)
class Cutout:
    """A photograph (S, S, 3) of a face, floats, and the box (4,) that the detector gives, in units of the side."""

    pixels: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Actor:
    """A person: two photographs with their labels, a path, and the seconds in which the face is away or blurred."""

    cutouts: tuple[Cutout, Cutout]
    labels: tuple[str, str]
    change: float
    side: float
    centre: np.ndarray
    swing: np.ndarray
    pace: np.ndarray
    phase: np.ndarray
    away: list[tuple[float, float]]
    blurred: list[tuple[float, float]]

    def share(self, time: float) -> float:
        """Return how much of the second photograph is seen, 0..1."""
        return float(np.clip((time - self.change) / FADE + 0.5, 0, 1))

    def middle(self, time: float) -> np.ndarray:
        """Return x, y of the photograph's centre."""
        return self.centre + self.swing * np.sin(2 * np.pi * self.pace * time + self.phase)

    def box(self, time: float) -> np.ndarray:
        """Return x0, y0, x1, y1 of the face."""
        old, new = (cut.box for cut in self.cutouts)
        within_photo = (1 - self.share(time)) * old + self.share(time) * new
        return np.tile(self.middle(time), 2) + self.side * (within_photo - 0.5)


def cutout(path: Path, detector: FaceDetector) -> Cutout | None:
    """Return a square photograph of just one face, None for another."""
    photo = decode(path)
    (found,) = detector.detect([photo])
    if len(found) != 1 or photo.shape[0] != photo.shape[1]:
        return None
    return Cutout(photo.astype(np.float32), found.boxes[0] / len(photo))


def cast(data: Path, seconds: float, rng: np.random.Generator) -> list[Actor]:
    """Choose people by their labels alone, and give them paths that cross."""
    reader = open_reader(parse_spec(f"lfw_expressions:{data}"))
    detector, photos = create_detector(threads=1), {}
    for sample in reader.samples():
        photos.setdefault(person(sample.path), {}).setdefault(reader.classes[sample.label], []).append(sample.path)
    names, actors, used = sorted(photos), [], set()
    for number, labels in enumerate(CAST):
        for name in rng.permutation(names).tolist():
            own = [photos[name].get(label, []) for label in labels]
            if name in used or not all(own) or (labels[0] == labels[1] and len(own[0]) < 2):
                continue
            pair = rng.choice(own[0], 2, replace=False) if labels[0] == labels[1] else [rng.choice(one) for one in own]
            cuts = [cutout(reader.root / str(path), detector) for path in pair]
            if cuts[0] is None or cuts[1] is None:
                continue
            used.add(name)
            actors.append(
                Actor(
                    (cuts[0], cuts[1]), labels, seconds / 2, rng.uniform(85, 115),
                    np.array([WIDTH / 2, HEIGHT * (0.26 + 0.12 * number)]),
                    np.array([rng.uniform(0.25, 0.4) * WIDTH, rng.uniform(8, 40)]),
                    np.array([rng.uniform(0.06, 0.16), rng.uniform(0.1, 0.3)]), rng.uniform(0, 2 * np.pi, 2),
                    spans(rng, seconds, 3, 0.12, 0.32), spans(rng, seconds, 4, 0.3, 0.8),
                )
            )  # fmt: skip
            break
    return actors


def spans(rng: np.random.Generator, seconds: float, count: int, least: float, most: float) -> list[tuple[float, float]]:
    """Return stretches of time (from, to)."""
    return [(start, start + rng.uniform(least, most)) for start in rng.uniform(1, seconds - 1, count)]


def within(time: float, stretches: list[tuple[float, float]]) -> bool:
    """Return whether a time is in one of the stretches."""
    return any(start <= time < end for start, end in stretches)


def mask(size: int) -> np.ndarray:
    """Return (size, size, 1): how much a photograph covers, soft at its edges and round at its corners."""
    y, x = np.abs(np.mgrid[-1 : 1 : complex(size), -1 : 1 : complex(size)])
    return np.clip((1 - (x**6 + y**6) ** (1 / 6)) / 0.12, 0, 1)[..., None].astype(np.float32)


def paste(canvas: np.ndarray, actor: Actor, time: float) -> None:
    """Lay a face, between its two photographs around the time of the change, over the picture."""
    share, size = actor.share(time), round(actor.side)
    old, new = (cv2.resize(cut.pixels, (size, size), interpolation=cv2.INTER_AREA) for cut in actor.cutouts)
    face = share * new + (1 - share) * old
    if within(time, actor.blurred):
        face = cv2.GaussianBlur(face, (0, 0), actor.side / 40)
    left, top = np.rint(actor.middle(time) - size / 2).astype(int)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + size, WIDTH), min(top + size, HEIGHT)
    own = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    part, under = mask(size)[own], canvas[y0:y1, x0:x1]
    under[:] = part * face[own] + (1 - part) * under


def covered(actors: list[Actor], number: int, time: float) -> float:
    """Return the share of a face's box that photographs in front of it cover; later ones are in front."""
    box = actors[number].box(time)
    y, x = np.mgrid[box[1] : box[3] : 24j, box[0] : box[2] : 24j]
    hidden = np.zeros(x.shape, bool)
    for actor in actors[number + 1 :]:
        if not within(time, actor.away):
            mx, my = actor.middle(time)
            hidden |= np.maximum(np.abs(x - mx), np.abs(y - my)) < 0.47 * actor.side
    return float(hidden.mean())


def make_video(path: Path, actors: list[Actor], seconds: float, rng: np.random.Generator) -> None:
    """Write the video."""
    rough = rng.uniform(40, 170, (6, 10, 3)).astype(np.float32)
    background = cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    with video_file(path, RATE) as add:
        for frame in range(round(seconds * RATE)):
            time = frame / RATE
            canvas = background.copy()
            for actor in actors:
                if not within(time, actor.away):
                    paste(canvas, actor, time)
            light = 0.8 + 0.3 * np.sin(2 * np.pi * time / 7) - 0.25 * (int(time) % 6 == 5)
            noisy = canvas * light + cv2.randn(np.empty_like(canvas), (0, 0, 0), (7, 7, 7))
            add(np.clip(noisy, 0, 255).astype(np.uint8))
