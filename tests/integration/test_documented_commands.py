"""U4, R12: every `dcdan` command in README.md and docs/ runs as it stands, page by page and in order.

The paths that the pages name (`photo.jpg`, `./photos`, `runs/mine`, `/data/JAFFE`, ...) are made of drawn pictures in a
folder of the test. A command that cannot run here is listed below with the reason.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.cli.main import run as dcdan
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.annotated_output import video_file
from drawn import photo
from drawn_data import write_ferplus
from tiny_model import write_run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    r" \.\.\. ": "a part of a command",
    r"camera:": "needs a camera",
    r"s3://|--ray auto|/shared/": "needs a cluster",
    r"(rafdb|affectnet|expw|sfew|oulu_casia|jaffe|ckplus|fer2013|lfw_expressions|smiles):|/data/RAF-DB|pairs:": (
        "the data set may not be passed on; the tests of its reader make its layout"
    ),
    r"^adapt .*--source|--shift=|runs/blur3|packs/ferplus64": "trains; tests/integration/test_adapt_command.py does",
    r"^benchmark ": "trains for hours; tests/integration/test_benchmark.py runs plans",
    r"^app": "serves until it is stopped; tests/browser/app drives it",
    r"^paper --results runs/": "needs the cells of a benchmark; tests/unit/paper writes some",
    r"--merge shards": "merges packs of a data set that may not be passed on; tests/unit/packs/test_shards.py merges",
}
"""Pattern of a command line -> why it is not run."""

SLOW = {
    r"--method |--rungs|--complexity|--maps |--check": "trains or measures with torch",
    r"^export ": "measures int8 graphs",
    r"--ray local": "starts Ray",
}
"""Pattern of a command line -> why it belongs to the slow tests."""


def commands(page: Path) -> list[str]:
    """Return the `dcdan` commands in the code blocks of a page, without `dcdan`, comments and pipes."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.M | re.S)
    indented = re.findall(r"(?:^    .+\n)+", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    found = []
    for block in [*fenced, *indented]:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            if match := re.match(r"\s*(?:\$ )?dcdan (.+)$", line):
                found.append(re.sub(r"\s+(#|\| ).*$", "", match[1]))
    return found


def reason(command: str, reasons: dict[str, str]) -> str:
    """Return why a command is not run, or runs with the slow tests; "" if neither."""
    return next((why for pattern, why in reasons.items() if re.search(pattern, f"{command} ")), "")


def cases() -> list[object]:
    """Return (page, commands) for the commands of each page that are quick, and for those that are slow."""
    made: list[object] = []
    for page in PAGES:
        runnable = [each for each in commands(page) if not reason(each, NOT_RUN)]
        slow = [each for each in runnable if reason(each, SLOW)]
        quick = [each for each in runnable if each not in slow]
        if quick:
            made.append(pytest.param(quick, id=page.name))
        if slow:
            made.append(pytest.param(slow, id=f"{page.name}-slow", marks=pytest.mark.slow))
    return made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make what the pages name, from drawn pictures, and work there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tests" / "helpers"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "tests/helpers/drawn_faces.png", folder)
    two_rows = photo([[0, 1], [2, 3]], size=120)
    Image.fromarray(two_rows).save("photo.jpg")
    for name in ("photos", "my_photos", "new"):
        Path(name).mkdir()
        for index in range(12):
            Image.fromarray(photo([[index % 6]], size=150 + index)).save(f"{name}/{index}.jpg")
    with video_file(tmp_path / "talk.mp4", 10.0) as write:
        for _ in range(11):
            write(two_rows)
    for index in range(6):
        folder = Path("labelled", ("happy", "sad")[index % 2])
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(f"photos/{index}.jpg", folder)
    Image.fromarray(photo([[0]], size=120)).save("face.png")
    Path("faces.csv").write_text("path,label\nphotos/0.jpg,happiness\nphotos/1.jpg,sadness\n")
    data = tmp_path / "data"
    usages = ("Training", "PublicTest", "PrivateTest")
    votes = [(usages[i % 3], f"f{i}.png", (np.eye(10, dtype=int)[i % 8] * 10).tolist()) for i in range(48)]
    write_ferplus(data / "FERPlus", votes)
    return tmp_path


def fill_in(table: Path) -> None:
    """Label the faces of a sheet, as a person does."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["label"] = EXPRESSIONS[number % 3]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("lines", cases())
def test_documented_commands_run_as_they_stand(
    lines: list[str], world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if any("--ray" in line for line in lines) and find_spec("ray") is None:
        pytest.skip("needs the extra dcdan[ray]")
    if not any(line.startswith("adapt ") for line in lines):
        write_run(world / "runs" / "mine")
    for line in lines:
        arguments = shlex.split(line.replace("/data/", f"{world}/data/"))
        arguments = [
            name
            for each in arguments
            for name in (sorted(map(str, Path().glob(each))) if each.endswith("*.jpg") else [each])
        ]
        if "--out" in arguments and arguments[0] == "predict":
            # Blocks show alternatives, each with its own output.
            Path(arguments[arguments.index("--out") + 1]).unlink(missing_ok=True)
        if "--labels" in arguments:
            fill_in(Path(arguments[arguments.index("--labels") + 1]))
        code = dcdan(arguments)
        assert code == 0, f"dcdan {line}\n{capsys.readouterr().err}"


def test_the_pages_are_read_and_every_exception_is_used() -> None:
    every = [each for page in PAGES for each in commands(page)]
    run = [each for each in every if not reason(each, NOT_RUN)]
    assert len(run) >= 20, run
    assert {each.split()[0] for each in run} >= {"adapt", "predict", "evaluate", "export", "pack", "data"}
    for pattern in [*NOT_RUN, *SLOW]:
        assert any(re.search(pattern, f"{each} ") for each in every), pattern
