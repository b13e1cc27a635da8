"""Hostile files shown to the program, each in a process of its own: what it says of them, and what they cost it.

    python experiments/hostile.py [--out docs/results/hostile] [--seed 0] [--kind picture] [--scale 1]

Good files of every kind that dcdan reads are damaged by a seed (cut short, bits turned, headers that lie, numbers and
names replaced, files of another kind put in their place; where a checksum guards them, half of them are sealed again),
and those made by hand in ``tests/helpers/hostile_files.py`` are added. A process may take SECONDS of processor time and
GIGABYTES more memory than it began with. Leaves ``files.csv``, a line a file, and ``README.md`` in the folder, and ends
with code 1 when a file brought a traceback, a crash, a hang, or a character that drives the terminal. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "helpers")]
# Writers of small data sets in the layouts of their releases, from the tests of the readers.
from test_affectnet import SETS, write_newer, write_older  # noqa: E402
from test_expw import write_expw  # noqa: E402
from test_rafdb import write_rafdb  # noqa: E402

import dcdan  # noqa: E402
from dcdan.cli import main as app  # noqa: E402
from dcdan.core.sanitize import no_formula  # noqa: E402
from hostile_files import (  # noqa: E402
    HOSTILE,
    PLAN,
    UNPICKLED,
    Good,
    adapt,
    benchmark,
    check,
    copied_pack,
    evaluate,
    good_files,
    predict,
    sealed,
    spoilt_run,
)  # fmt: skip
from released_layouts import write_ckplus, write_pixels  # noqa: E402
from tiny_model import coloured  # noqa: E402
from tiny_training import TRUNK, drawn, quick  # noqa: E402

SECONDS = 60
GIGABYTES = 4
VALUES = (
    b"1e999", b"-1", b"NaN", b"null", b"true", b'""', b"[" * 5000, b"9" * 5000, b"../../../etc/passwd", b"/dev/zero",
    b"\x1b]0;owned\x07\xe2\x80\xae", b'"\\u001b[2J\\u202e"', b"=cmd|' /C calc'!A0", b"\xff\xfe\x00", b"0", b"1" * 18,
)  # fmt: skip

PAGE = """# Hostile files

{files} files, {by_hand} of them made by hand, by

```sh
{command}
```

each in a process of its own: [files.csv](files.csv) has a line for each. *Refused* is one sentence and the documented
exit code; *accepted* did no harm: the damage hit nothing, or what could not be read is a row or a line that says so.
Seconds are of the processor and MB above the start of the process, of the worst file of each kind; a fault would be a
traceback, a crash, a hang ({seconds} s), {gigabytes} GB more memory, or a character that drives the terminal.

| kind | files | refused | accepted | faults | exit codes | worst s | worst MB | the file with the most MB |
|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Case:
    """A command, the files that it meets, the one of them to damage, and what makes checksums right again."""

    command: list[str]
    files: list[Path]
    seal: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    kind: str
    file: str
    made: str
    code: int
    fault: str
    seconds: float
    megabytes: float
    said: str

    @property
    def word(self) -> str:
        """In a word."""
        return "FAULT" if self.fault else "refused" if self.code else "accepted"


# --- good files by kind: each writes into an empty folder


def pictures(good: Good, here: Path) -> Case:
    """A picture in each format."""
    grey = np.random.default_rng(0).integers(0, 65536, (40, 40), np.uint16)
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        Image.fromarray(coloured(3)).save(here / name)
    Image.fromarray(grey).save(here / "grey.tif")
    Image.fromarray(np.dstack([coloured(3), coloured(0)[:, :, :1]])).save(here / "clear.png")
    return Case(predict(good, here), sorted(here.iterdir()))


def videos(good: Good, here: Path) -> Case:
    """A film of ten frames as AVI and as MP4."""
    for name, code in (("a.avi", "MJPG"), ("a.mp4", "mp4v")):
        film = cv2.VideoWriter(str(here / name), cv2.VideoWriter.fourcc(*code), 10.0, (64, 64))
        for index in range(10):
            film.write(coloured(index % 8, 64))
        film.release()
    return Case(predict(good, here), sorted(here.iterdir()))


def manifests(good: Good, here: Path) -> Case:
    """A manifest in CSV with every column."""
    shutil.copy(good.picture, here / "a.png")
    text = "path,label,split,subject,group.age,x0,y0,x1,y1\n" + "a.png,fear,train,s1,20-39,1,2,30,31\n" * 3
    (here / "m.csv").write_text(text)
    return Case(check(f"manifest:{here / 'm.csv'}"), [here / "m.csv"])


def parquet_manifests(good: Good, here: Path) -> Case:
    """A manifest in Parquet."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    shutil.copy(good.picture, here / "a.png")
    parquet.write_table(arrow.table({"path": ["a.png"] * 3, "label": ["fear"] * 3}), here / "m.parquet")
    return Case(check(f"manifest:{here / 'm.parquet'}"), [here / "m.parquet"])


def label_files(good: Good, here: Path) -> Iterator[Case]:
    """The label files of the data sets that have some."""
    votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    for name in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        (here / "ferplus" / "data" / name).mkdir(parents=True)
    Image.fromarray(coloured(3, 48)[:, :, 0]).save(here / "ferplus" / "data" / "FER2013Train" / "a.png")
    table = here / "ferplus" / "fer2013new.csv"
    table.write_text(votes + "Training,a.png,8,2,0,0,0,0,0,0,0,0\n" * 2)
    yield Case(check(f"ferplus:{here / 'ferplus'}"), [table])
    table = write_pixels(here / "fer2013" / "fer2013.csv", [(0, "Training"), (3, "PublicTest")])
    yield Case(check(f"fer2013:{here / 'fer2013'}"), [table])
    (here / "lfw" / "images").mkdir(parents=True)
    shutil.copy(good.picture, here / "lfw" / "images" / "A_B_0001.png")
    table = here / "lfw" / "data" / "legend.csv"
    table.parent.mkdir()
    table.write_text("user.id,image,emotion\n1,A_B_0001.png,anger\n")
    yield Case(check(f"lfw_expressions:{here / 'lfw'}"), [table])
    raf = write_rafdb(here / "raf")
    yield Case(check(f"rafdb:{raf}?images=original"), sorted(raf.rglob("*.txt")))
    older = write_older(here / "older")
    yield Case(check(f"affectnet:{older}"), sorted(older.rglob("*.csv")))
    newer = write_newer(here / "newer", SETS)
    yield Case(check(f"affectnet:{newer}"), sorted(newer.rglob("*.npy")))
    faces = write_expw(here / "expw")
    yield Case(check(f"expw:{faces}"), [faces / "label" / "label.lst"])
    films = write_ckplus(here / "ck")
    yield Case(check(f"ckplus:{films}"), sorted(films.rglob("*_emotion.txt")))


def packs(good: Good, here: Path) -> Case:
    """A labelled pack."""
    pack = copied_pack(good, here)
    return Case(evaluate(good, pack), sorted(pack.iterdir()), lambda: seal_pack(pack))


def models(good: Good, here: Path) -> Case:
    """A model's description and graph."""
    run = spoilt_run(good, here)
    return Case(predict(good, good.picture, run=run), sorted(run.iterdir()), lambda: seal_run(run))


def runs(good: Good, here: Path) -> Case:
    """The files of a whole run from which `dcdan export` builds the network again."""
    run = Path(shutil.copytree(good.run.parent / "trained", here / "run"))
    command = ["export", str(run), "--no-int8", "--force"]
    files = [run / name for name in ("model.json", "model.onnx", "model.safetensors", "run.json", "config.toml")]
    return Case(command, files, lambda: seal_run(run))


def checkpoints(good: Good, here: Path) -> Case:
    """The source stage that a run starts from."""
    start = here / "source.safetensors"
    shutil.copy(good.run.parent / "trained" / "checkpoints" / "source.safetensors", start)
    tiny = [f"network.trunk={TRUNK}", "network.width=32", "network.groups=4", "precision=fp32", "pretrained=no"]
    tiny += ["source.batch=8", "adaptation.batch=8", "adaptation.epochs=0.1"]
    command = ["adapt", "-s", str(good.pack), "-t", str(good.pack), "-o", str(here / "run"), "--start", str(start)]
    settings = [part for each in tiny for part in ("--set", each)]
    return Case([*command, "--method", "source_only", "--size", "32", "--quiet", *settings], [start])


def setting_files(good: Good, here: Path) -> Case:  # noqa: ARG001
    """A settings file; there are no data, so what is accepted ends in code 3."""
    text = 'method = "dcdan"\nsize = 64\n\n[network]\nwidth = 64\ngrey = true\n\n[source]\nlr = 0.05\nepochs = 3\n'
    return Case(adapt(here, text), [here / "settings.toml"])


def plans(good: Good, here: Path) -> Case:
    """A plan of a benchmark."""
    return Case(benchmark(here, PLAN.replace("PACK", str(good.pack))), [here / "plan.toml"])


KINDS: dict[str, tuple[Callable[[Good, Path], Case | Iterator[Case]], int]] = {
    "picture": (pictures, 70),
    "video": (videos, 12),
    "manifest": (manifests, 24),
    "manifest (Parquet)": (parquet_manifests, 12),
    "label file": (label_files, 56),
    "pack": (packs, 40),
    "model": (models, 40),
    "run": (runs, 12),
    "checkpoint": (checkpoints, 4),
    "settings": (setting_files, 20),
    "plan": (plans, 16),
}


def seal_pack(pack: Path) -> None:
    """Write the checksums of a pack's files as they are into its description, where that can still be read."""
    with contextlib.suppress(ValueError, TypeError):
        sealed(pack)


def seal_run(run: Path) -> None:
    """Write the checksums of a run's files as they are into its description, where that can still be read."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        info = json.loads((run / "model.json").read_text())
        files = {path.name: path for path in run.iterdir()}
        info["files"] = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in info["files"]}
        (run / "model.json").write_text(json.dumps(info))


# --- damage


def damaged(content: bytes, rng: np.random.Generator, others: list[bytes]) -> tuple[bytes, str]:
    """Return other bytes for a file, and in words what was done to it."""
    ways = ("cut short", "bits turned", "header lies", "value replaced", "piece doubled", "another kind", "piece lost")
    way = str(rng.choice(ways, p=(0.15, 0.2, 0.2, 0.25, 0.05, 0.1, 0.05)))
    bytes_ = bytearray(content)
    size = len(bytes_)
    at = int(rng.integers(max(1, size)))
    if way == "cut short":
        return content[:at], way
    if way == "another kind":
        return others[int(rng.integers(len(others)))], way
    if way == "piece doubled":
        return content[:at] + content[at // 2 :], way
    if way == "piece lost":
        return content[:at] + content[at + int(rng.integers(1, 64)) :], way
    if way == "value replaced":
        # Where a number or a word stands, as often as there is one.
        words = [place for place, byte in enumerate(bytes_[: 1 << 16]) if chr(byte).isalnum() and byte < 128]
        start = end = int(rng.choice(words)) if words else at
        while end < size and bytes_[end : end + 1].isalnum():
            end += 1
        return bytes(bytes_[:start]) + VALUES[int(rng.integers(len(VALUES)))] + bytes(bytes_[end:]), way
    if way == "header lies":
        at, length = int(rng.integers(min(64, max(1, size)))), int(rng.choice([1, 2, 4, 8]))
        lies = [b"\xff" * length, b"\0" * length, b"\x7f" + b"\xff" * (length - 1), rng.bytes(length)]
        bytes_[at : at + length] = lies[int(rng.integers(4))]
        return bytes(bytes_), way
    for place in rng.integers(max(1, size), size=int(rng.integers(1, 9))):
        if size:
            bytes_[int(place)] ^= 1 << int(rng.integers(8))
    return bytes(bytes_), way


# --- a process for each file


def watched(command: list[str], log: Path) -> tuple[int, float, float, str]:
    """Run the program in a child under limits; return exit code, seconds, megabytes above its start, and its words."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            to = os.open(log, os.O_WRONLY | os.O_CREAT)
            os.dup2(to, 1)
            os.dup2(to, 2)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (GIGABYTES << 30),) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.alarm(10 * SECONDS)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            code = app.run(command)
            sys.stdout.flush()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            log.with_suffix(".peak").write_text(str(peak))
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    code = os.waitstatus_to_exitcode(status)
    text = log.read_bytes().decode(errors="replace")
    peak = log.with_suffix(".peak")
    assert time.monotonic() >= began
    return code, seconds, int(peak.read_text()) / 1024 if peak.exists() else 0.0, text


def outcome(kind: str, file: str, made: str, command: list[str], folder: Path) -> Outcome:
    """Show one file to the program, and judge what it did."""
    code, seconds, megabytes, text = watched(command, folder / "log")
    faults = {
        "ended by a signal": code < 0,
        "internal error": code == 70,
        "undocumented exit code": code not in (0, 1, 2, 3, 4, 5, 6, 7, 8) and code not in (70,) and code >= 0,
        "traceback": "Traceback" in text,
        "drives the terminal": not all(letter.isprintable() or letter == "\n" for letter in text),
        "unpickled": UNPICKLED.exists(),
    }
    fault = ", ".join(name for name, there in faults.items() if there)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("dcdan:")), lines[-1] if lines else "")
    for place, name in ((str(folder / "here"), "HERE"), (str(folder.parent), "GOOD")):
        said = said.replace(place, name)
    return Outcome(kind, file, made, code, fault, seconds, megabytes, said[:300])


def shown(good: Good, kinds: list[str], seed: int, scale: float) -> Iterator[Outcome]:
    """Yield the outcome of every file."""
    folder = good.run.parent
    others = [path.read_bytes() for path in (good.picture, good.run / "model.json", good.run / "model.onnx")]
    others += [b"", b"\0" * 5000, (good.pack / "faces.npy").read_bytes(), b"\x80\x04cos\nsystem\n(S'true'\ntR."]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        work = Path(scratch)

        def fresh() -> Path:
            shutil.rmtree(work)
            (work / "here").mkdir(parents=True)
            os.environ["DCDAN_CACHE"] = str(work / "cache")
            return work / "here"

        for each in HOSTILE:
            if each.kind in kinds:
                yield outcome(each.kind, each.name, "by hand", each.make(good, fresh()), work)
        for kind in kinds:
            make, count = KINDS[kind]
            for number in range(max(1, round(count * scale))):
                rng = np.random.default_rng([seed, *kind.encode(), number])
                made = make(good, fresh())
                cases = [made] if isinstance(made, Case) else list(made)
                case = cases[number % len(cases)]
                path = case.files[number // len(cases) % len(case.files)]
                content, way = damaged(path.read_bytes(), rng, others)
                path.write_bytes(content)
                if rng.random() < 0.5:
                    case.seal()
                    way += ", sealed" if kind in ("pack", "model", "run") else ""
                yield outcome(kind, path.name, way, case.command, work)


# --- what is left


def write(out: Path, found: list[Outcome], command: str) -> None:
    """Write the table of files and the summary."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "files.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("kind", "file", "made", "outcome", "exit code", "seconds", "MB", "said"))
        for each in found:
            row = (each.kind, each.file, each.made, each.word, each.code)
            table.writerow(map(no_formula, (*row, f"{each.seconds:.2f}", f"{each.megabytes:.0f}", each.said)))
    by_hand = sum(each.made == "by hand" for each in found)
    lines = [PAGE.format(files=len(found), by_hand=by_hand, command=command, seconds=SECONDS, gigabytes=GIGABYTES)]
    for kind in dict.fromkeys(each.kind for each in found):
        own = [each for each in found if each.kind == kind]
        words = Counter(each.word for each in own)
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(Counter(each.code for each in own).items()))
        largest = max(own, key=lambda each: each.megabytes)
        counts = f"{len(own)} | {words['refused']} | {words['accepted']} | {words['FAULT']}"
        worst = f"{max(each.seconds for each in own):.1f} | {largest.megabytes:.0f}"
        lines.append(f"| {kind} | {counts} | {codes} | {worst} | {largest.file} ({largest.made}) |")
    (out / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Show all files; return 1 when one brought a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "hostile")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may be repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="how many damaged files, as a share of the usual")
    given = parser.parse_args()
    os.environ["COLUMNS"] = "250"
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        good = good_files(Path(folder))
        trained = Path(folder) / "trained"
        dcdan.adapt(
            good.pack, drawn(Path(folder) / "more", "street", n=21), trained, settings=quick(method="source_only")
        )
        assert load_file(trained / "model.safetensors")
        found = []
        for each in shown(good, given.kind or list(KINDS), given.seed, given.scale):
            found.append(each)
            cost = f"{each.seconds:6.1f} s {each.megabytes:6.0f} MB"
            print(f"{each.word:9}{each.code:4} {cost}  {each.kind}: {each.file}, {each.made} {each.fault}", flush=True)
    write(given.out, found, f"python experiments/hostile.py --seed {given.seed}")
    faults = [each for each in found if each.fault]
    for each in faults:
        print(f"FAULT ({each.fault}): {each.kind}, {each.file}, {each.made}: {each.said}")
    print(f"{len(found)} files, {len(faults)} faults; written to {given.out}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
