"""Kill every long command at random moments, go on, and compare with a run that nothing stopped.

``python experiments/kills.py --out docs/results/kills.md`` on POSIX systems. A child process runs each command; SIGKILL
ends it after a random part of the time that an undisturbed run takes, again and again until it gets through. Then
another run begins, until the kills asked for are done. What came of it must be the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CLOCK = ("time", "rate", "wait")
"""What a record of the log says of the clock."""
PATIENCE = 600
"""Seconds after which a run that nobody kills is taken to hang."""
FINISHED = 6
"""What a command says of an output that is there: it was killed between its last act and its end."""
SIZE = 48
ALIGN = ["--align", "none"]
NETWORK = ["network.trunk=test_byobnet", "network.width=32", "network.groups=4"]
LEARNING = ["source.batch=16", "source.lr=0.02", "source.epochs=3"]
LEARNING += ["adaptation.batch=16", "adaptation.lr=0.005", "adaptation.epochs=3", "options.threshold_floor=0"]
SETTINGS = ["pretrained=no", "precision=fp32", "device=cpu", "align=none", *NETWORK]

PLAN = """
title = "Kills"
seeds = [0]
trunks = ["test_byobnet"]
settings.size = 48
settings.align = "none"
settings.pretrained = "no"
settings.precision = "fp32"
settings.device = "cpu"
settings.checkpoint_every = 3
settings.keep_epochs = true
settings.network = { width = 32, groups = 4 }
settings.source = { batch = 16, epochs = 2, lr = 0.02 }
settings.adaptation = { batch = 16, epochs = 2, lr = 0.005 }
sources = [{ name = "Studio", data = "studio" }]
targets = [{ name = "Street", data = "street" }]
methods = [
  { key = "dcdan", name = "DCD-DAN" },
]
"""


@dataclass(frozen=True)
class Job:
    """A command, its arguments for an output, and what of that output must be the same."""

    name: str
    arguments: Callable[[Path], list[str]]
    kept: str
    """In words."""
    files: Callable[[Path], Iterator[Path]]
    done: Callable[[Path], int]
    """How many pieces of work are on the disk."""


def prepare() -> list[Job]:
    """Draw what the commands work on into the working folder, and return the jobs."""
    if dcdan("pack", "synthetic:studio?n=126&size=48", "--size", str(SIZE), *ALIGN, "--out", "studio"):
        raise SystemExit("the packs cannot be made")
    dcdan("pack", "synthetic:street?n=126&size=48", "--size", str(SIZE), *ALIGN, "--out", "street")
    write_pictures(Path("pictures"), 1500)
    Path("plan.toml").write_text(PLAN, encoding="utf-8")
    settings = [word for text in (*SETTINGS, *LEARNING, "checkpoint_every=3") for word in ("--set", text)]
    quiet = ["--size", str(SIZE), "--quiet"]
    return [
        Job(
            "pack",
            lambda out: [
                "pack",
                "folder:pictures",
                *ALIGN,
                *quiet,
                "--workers",
                "1",
                "--out",
                str(out / "pack"),
            ],
            "faces.npy, table.parquet, pack.json",
            lambda out: (out / "pack").iterdir(),
            lambda out: lines(out / "pack.partial" / "journal.jsonl"),
        ),
        Job(
            "predict",
            lambda out: ["predict", "pictures", *ALIGN, "--threads", "1", "--quiet", "--out", str(out / "faces.csv")],
            "faces.csv",
            lambda out: iter([out / "faces.csv"]),
            lambda out: lines(out / "faces.csv.partial" / "journal.jsonl"),
        ),
        Job(
            "adapt",
            lambda out: ["adapt", "-s", "studio", "-t", "street", "-o", str(out / "run"), *settings, *quiet],
            "model.safetensors, model.onnx, model.json, last and source checkpoint, predictions.csv, loss log",
            lambda out: trained(out / "run"),
            lambda out: lines(out / "run" / "log.jsonl"),
        ),
        Job(
            "benchmark",
            lambda out: ["benchmark", "plan.toml", "--out", str(out / "b"), "--jobs", "1", "--no-tsne", "--quiet"],
            "scores, answers and epochs of each cell, tables, weights and loss log of each cell",
            lambda out: benchmarked(out / "b"),
            lambda out: sum(map(lines, (out / "b").glob("*/log.jsonl"))),
        ),
    ]


def write_pictures(folder: Path, count: int) -> None:
    """Write drawn faces as pictures, some of them damaged."""
    from PIL import Image

    from dcdan.datasets.spec import open_reader, parse_spec

    folder.mkdir()
    reader = open_reader(parse_spec(f"synthetic:street?n={count}&seed=1&size=48"))
    for index, sample in enumerate(reader.selected()):
        Image.fromarray(reader.load(sample)).save(folder / f"{index:04}.png")
        if index % 100 == 7:
            (folder / f"{index:04}.png").write_bytes(b"cut")


def trained(run: Path) -> Iterator[Path]:
    """Yield what a training leaves, but for what holds times."""
    names = ("model.safetensors", "model.onnx", "model.json", "predictions.csv", "log.jsonl")
    yield from (run / name for name in names if (run / name).exists() or name == names[0])
    yield from sorted((run / "checkpoints").glob("[!p]*"))


def benchmarked(out: Path) -> Iterator[Path]:
    """Yield what a benchmark leaves, but for what holds times."""
    for cell in sorted(out.glob("studio-*")):
        yield from trained(cell)
        yield from (cell / "scores.json", cell / "answers.npz")
    yield from sorted(out.glob("studio-*/epochs.json"))
    yield from sorted(out.glob("source-*/checkpoints/source.safetensors"))
    yield from sorted((out / "results" / "tables").iterdir())


def fingerprint(path: Path) -> str:
    """Return a checksum of a file; of a log, of its records without what they say of the clock."""
    content = path.read_bytes()
    if path.name == "log.jsonl":
        records = [json.loads(line) for line in content.splitlines()]
        kept = [{key: value for key, value in record.items() if key not in CLOCK} for record in records]
        content = json.dumps(kept).encode()
    return hashlib.sha256(content).hexdigest()


def left(job: Job, out: Path) -> dict[str, str]:
    """Return the checksums of what a job left, by name; half written files and locks count as something left."""
    found = {str(path.relative_to(out)): fingerprint(path) for path in job.files(out)}
    return found | {
        str(path.relative_to(out)): "" for path in out.rglob("*") if path.name.endswith((".partial", ".lock"))
    }


def lines(path: Path) -> int:
    """Return the number of whole lines of a file that may not be there."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def dcdan(*arguments: str) -> int:
    """Run a command in a child, and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(begun(*arguments), 0)[1])


def begun(*arguments: str) -> int:
    """Begin a command in a child that has everything imported, and return its number."""
    child = os.fork()
    if child:
        return child
    from dcdan.cli.main import run

    code = 70
    try:
        code = run(list(arguments))
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """Wait for a child at most so long; return its exit code, or None."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def survived(job: Job, kills: int, dice: random.Random) -> tuple[str, bool]:
    """Return a line of the table, and whether nothing was lost."""
    print(f"{job.name}: undisturbed", file=sys.stderr, flush=True)
    out = Path("through", job.name)
    began = time.monotonic()
    if dcdan(*job.arguments(out)):
        raise SystemExit(f"{job.name} does not run")
    took = time.monotonic() - began
    whole, reached, runs, differences = left(job, out), [], 0, 0
    while len(reached) < kills:
        out = Path("killed", f"{job.name}-{runs}")
        runs += 1
        code = None
        while code is None:
            child = begun(*job.arguments(out))
            code = ended(child, dice.uniform(0, took) if len(reached) < kills else PATIENCE)
            if code is None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                reached.append(job.done(out))
        if code not in (0, FINISHED):
            raise SystemExit(f"{job.name} ended with code {code} after {len(reached)} kills: see {out.resolve()}")
        found = left(job, out)
        wrong = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
        differences += len(wrong)
        print(f"{job.name}: {len(reached)} kills, differs in {wrong or 'nothing'}", file=sys.stderr, flush=True)
    least, *_, most = sorted([*reached, *reached])
    line = f"| `{job.name}` | {len(reached)} | {runs} | {took:.1f} | {least} to {most} "
    return f"{line}| {job.kept} | {differences or 'nothing'} |", not differences


def main() -> int:
    """Kill, compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of commands")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    out = given.out and given.out.resolve()
    import dcdan.api
    import dcdan.benchmark.cell  # noqa: F401  (so that children begin at once)

    folder = Path(tempfile.mkdtemp(prefix="dcdan-kills-"))
    os.chdir(folder)
    os.environ["DCDAN_CACHE"] = str(folder / "cache")
    dice = random.Random(given.seed)
    chosen = [job for job in prepare() if not given.only or job.name in given.only]
    results = [survived(job, given.kills, dice) for job in chosen]
    head = "| command | kills | runs | seconds undisturbed | records on disk at a kill "
    text = f"{head}| compared | lost or different |\n|---|---|---|---|---|---|---|\n"
    text += "".join(f"{line}\n" for line, _ in results)
    if out:
        out.write_text(text, encoding="utf-8")
    print(text)
    good = all(good for _, good in results)
    if good:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
