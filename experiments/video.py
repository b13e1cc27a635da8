"""Who is who, and how sure, in a video whose truth is known: ``python experiments/video.py DATA RUN``.

DATA is the folder of LFW expressions (``images/``, ``data/legend.csv``), RUN a finished run. Faces of photographs move
over a background of noise on paths that cross, are blurred, darkened and made noisy, vanish for a few frames, and
change from one photograph of the person to another in mid-video. The truth is the label of each photograph and the path
that it was pasted on. Written to docs/results/video are ``cells.parquet`` (one row for each face that was found, with
its true label, track and predictions), ``table.md`` and ``plot.png``; the videos, which show real people, go to a
temporary folder unless ``--keep`` names one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from scipy.optimize import linear_sum_assignment
from video_scene import FADE, RATE, Actor, cast, covered, make_video, within

import dcdan
from dcdan.core.atomic_io import atomic_write, write_text
from dcdan.faces.boxes import overlaps
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.table import FaceResult
from dcdan.inference.video import Smoother, smoothed

HIDDEN = 0.5
CONSTANTS = (0.0, 0.25, 0.5, 1.0, 2.0)
SHOWN = 0.5
LOOKS = {"every frame": (1, 0.0), "every frame, searched every 0.2 s": (1, 0.2), "every 5th": (5, 0.0)}
"""Which frames are looked at, and how often a whole one is searched."""


@dataclass(frozen=True)
class Hit:
    """A face that was found and whose truth is known."""

    actor: int
    label: str
    frame: int
    result: FaceResult


def score(actors: list[Actor], seconds: float, answers: list[list[FaceResult]]) -> tuple[list[Hit], int, int]:
    """Join results to the truth; return the hits, how many faces could be seen, and how many results are no face."""
    hits, visible, wrong = [], 0, 0
    for results in answers:
        frame, time = results[0].frame, results[0].frame / RATE
        own = [result for result in results if result.box is not None]
        there = [n for n, actor in enumerate(actors) if not within(time, actor.away)]
        seen = {n for n in there if covered(actors, n, time) < HIDDEN}
        visible += len(seen)
        truth = np.array([actors[n].box(time) for n in there], np.float32).reshape(-1, 4)
        found = np.array([result.box for result in own], np.float32).reshape(-1, 4)
        shared = overlaps(np.concatenate([truth, found]), "union")[: len(there), len(there) :]
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-shared), strict=True) if shared[i, j] >= 0.3]
        wrong += len(own) - len(pairs)
        for i, j in pairs:
            if there[i] in seen:
                label = actors[there[i]].labels[int(time > seconds / 2)]
                hits.append(Hit(there[i], label, frame, own[j]))
    return hits, visible, wrong


def identities(hits: list[Hit]) -> tuple[int, int]:
    """Return how often a track goes over to another person, and how many tracks people have beyond one each."""
    owners: dict[int, list[int]] = {}
    tracks: dict[int, set[int]] = {}
    for hit in hits:
        owners.setdefault(hit.result.track, []).append(hit.actor)
        tracks.setdefault(hit.actor, set()).add(hit.result.track)
    swaps = sum(int(np.count_nonzero(np.diff(own))) for own in owners.values())
    return swaps, sum(len(own) - 1 for own in tracks.values())


def accuracy(hits: list[Hit], change: float) -> tuple[float, float]:
    """Return accuracy and changes of the answer a second and face, fades left out."""
    known = [hit for hit in hits if abs(hit.frame / RATE - change) > FADE / 2]
    right = np.mean([hit.result.expression == hit.label for hit in known])
    flips, by_actor = 0, {}
    for hit in hits:
        flips += by_actor.get(hit.actor, hit.result.expression) != hit.result.expression
        by_actor[hit.actor] = hit.result.expression
    return float(right), flips / (len(hits) / RATE)


def smooth_all(answers: list[list[FaceResult]], constant: float) -> list[list[FaceResult]]:
    """Return the answers as ``watch(smooth=constant)`` gives them, from those of ``smooth=0``."""
    smoother = Smoother(constant)
    return [
        smoothed(results, results[0].time, smoother) if constant > 0 and results[0].box is not None else results
        for results in answers
    ]


def plot(path: Path, actors: list[Actor], single: list[Hit], mean: list[Hit]) -> None:
    """Draw the probability of each face's true class over time, frame by frame and smoothed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(actors), 1, figsize=(9, 1.5 * len(actors)), sharex=True, squeeze=False)
    for number, axis in enumerate(axes[:, 0]):
        for hits, style in ((single, {"color": "0.7", "lw": 0.8}), (mean, {"color": "C0", "lw": 1.6})):
            own = [hit for hit in hits if hit.actor == number]
            line = np.full(own[-1].frame + 1, np.nan)  # a line breaks where the face was not found
            line[[hit.frame for hit in own]] = [hit.result.probabilities[hit.label] for hit in own]
            axis.plot(np.arange(len(line)) / RATE, line, **style)
        axis.set_ylim(0, 1)
        axis.set_ylabel(f"face {number + 1}", fontsize=9)
        axis.set_title(" then ".join(dict.fromkeys(actors[number].labels)), fontsize=9, loc="left", pad=2)
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    with atomic_write(path) as beside:
        figure.savefig(beside, dpi=100, format="png")


def table(rows: list[tuple[object, ...]]) -> str:
    """Return rows, the first of which is the head, in Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


@dataclass(frozen=True)
class Take:
    """A video with its truth, and what ``watch(smooth=0)`` said of every frame and of every fifth."""

    actors: list[Actor]
    answers: dict[str, list[list[FaceResult]]]

    @property
    def single(self) -> list[list[FaceResult]]:
        """Every frame by itself."""
        return self.answers["every frame"]


def take(given: argparse.Namespace, recogniser: Recogniser, seed: int, path: Path) -> Take:
    """Make a video, watch it, and remove it."""
    rng = np.random.default_rng(seed)
    cv2.setRNGSeed(seed)
    actors = cast(given.data, given.seconds, rng)
    make_video(path, actors, given.seconds, rng)
    looks = {
        what: list(recogniser.watch(path, every=every, search=search, smooth=0, min_side=given.min_side))
        for what, (every, search) in LOOKS.items()
    }
    print(f"video {seed}: {len(actors)} faces", file=sys.stderr, flush=True)
    if not given.keep:
        path.unlink()
    return Take(actors, looks)


def track_rows(takes: list[Take], seconds: float) -> list[tuple[object, ...]]:
    """Return the table of who is who, over all videos."""
    rows: list[tuple[object, ...]] = [("frames", "swaps", "fragmentations", "faces found", "results that are no face")]
    for what in LOOKS:
        scores = [score(one.actors, seconds, one.answers[what]) for one in takes]
        swaps, fragments = np.sum([identities(hits) for hits, _, _ in scores], axis=0)
        found, visible, wrong = (sum(column) for column in zip(*((len(h), v, w) for h, v, w in scores), strict=True))
        rows.append((what, swaps, fragments, f"{found} of {visible} ({found / visible:.1%})", wrong))
    return rows


def main() -> None:
    """Make the videos, watch them, write up what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", help="a run folder, or the name of a model in the package")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13])
    parser.add_argument("--min-side", type=float, default=40.0)
    parser.add_argument("--keep", type=Path, help="keep the videos, which show real people, in this folder")
    parser.add_argument("--out", type=Path, default=Path("docs/results/video"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    recogniser = load(given.run, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        takes = [take(given, recogniser, seed, place / f"faces-{seed}.mp4") for seed in given.seeds]
    rows, counts = rows_of(takes, given)
    given.out.mkdir(parents=True, exist_ok=True)
    weights = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in recogniser_files(given.run)}
    facts = {"counts": counts, "weights": weights, "seconds": given.seconds, "min_side": given.min_side, "fade": FADE}
    found = arrow.Table.from_pylist(rows).replace_schema_metadata({name: json.dumps(v) for name, v in facts.items()})
    parquet.write_table(found, given.out / "cells.parquet", compression="zstd", compression_level=19)
    by_constant = {
        constant: [score(one.actors, given.seconds, smooth_all(one.single, constant))[0] for one in takes]
        for constant in CONSTANTS
    }
    gains: list[tuple[object, ...]] = [("time constant", "accuracy", "by video", "changes of answer a second and face")]
    for constant, videos in by_constant.items():
        pairs = [accuracy(hits, given.seconds / 2) for hits in videos]
        right, flips = np.mean(pairs, axis=0)
        each = ", ".join(f"{100 * own:.0f}" for own, _ in pairs)
        gains.append((f"{constant:g} s" if constant else "single frames", f"{right:.1%}", each, f"{flips:.2f}"))
    plot(given.out / "plot.png", takes[0].actors, by_constant[0.0][0], by_constant[SHOWN][0])
    tracks = table(track_rows(takes, given.seconds))
    text = f"# Faces in videos whose truth is known\n\n## Tracks\n\n{tracks}\n\n## Smoothing\n\n{table(gains)}\n"
    write_text(given.out / "table.md", text)
    print(text)


def recogniser_files(model: str) -> list[Path]:
    """Return the graph of a run, or of a model in the package, whose checksum belongs to the results."""
    folder = Path(model) if Path(model).is_dir() else Path(dcdan.__file__).parent / "recognition" / "weights" / model
    return [folder / "model.onnx"]


def rows_of(takes: list[Take], given: argparse.Namespace) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return one row for each face that was found, and the counts of each video and way of looking."""
    rows: list[dict[str, object]] = []
    counts: list[dict[str, object]] = []
    for seed, one in zip(given.seeds, takes, strict=True):
        for what, answers in one.answers.items():
            hits, visible, wrong = score(one.actors, given.seconds, answers)
            counts.append(
                {"video": seed, "frames": what, "faces": len(one.actors), "visible": visible, "no face": wrong}
            )
            smooth = {
                constant: score(one.actors, given.seconds, smooth_all(answers, constant))[0]
                for constant in (CONSTANTS[1:] if what == "every frame" else ())
            }
            for number, hit in enumerate(hits):
                row = {"video": seed, "frames": what, "frame": hit.frame, "face": hit.actor, "track": hit.result.track}
                row |= {"label": hit.label, "expression": hit.result.expression}
                row |= {f"smoothed {constant:g} s": own[number].result.expression for constant, own in smooth.items()}
                rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in columns} for row in rows], counts


if __name__ == "__main__":
    main()
