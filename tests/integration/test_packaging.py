"""The wheel: built from the tree, installed without extras into a fresh environment, and used there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from dcdan.datasets.synthetic.domains import draw_face

ROOT = Path(__file__).parents[2]


def done(*command: str | Path, cwd: Path, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment,
    )
    assert found.returncode == code, found.stdout + found.stderr
    return found


def test_the_wheel_recognises_without_extras(tmp_path: Path) -> None:
    """U3, U1, U2. `pip install dcdan-*.whl` gives a program that recognises, and names the extra for what it lacks."""
    done(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("dcdan-*.whl")
    names = ZipFile(wheel).namelist()
    assert "dcdan/py.typed" in names
    assert any(name.endswith("weights/base/model.onnx") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "experiments/")) for name in names)
    assert wheel.stat().st_size < 60e6

    done(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    program = tmp_path / "venv" / "bin"
    constraints = ROOT / "constraints.txt"
    install = [
        program / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "1",
        "--constraint",
        constraints,
        wheel,
    ]
    found = subprocess.run(list(map(str, install)), cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No matching distribution" in found.stderr or "connection" in found.stderr.lower():
        pytest.skip("needs a package index")
    assert found.returncode == 0, found.stderr
    face = draw_face(np.random.default_rng(1), "happiness", "studio", 160)[0]
    Image.fromarray(np.pad(np.asarray(face), ((64, 64), (64, 64), (0, 0)), mode="edge")).save(tmp_path / "face.png")
    found = done(program / "dcdan", "predict", "face.png", "--json", cwd=tmp_path, DCDAN_OFFLINE="1")
    assert '"expression": "happiness"' in found.stdout
    assert "torch" not in done(program / "python", "-m", "pip", "list", cwd=tmp_path).stdout

    told = done(program / "dcdan", "adapt", "-s", "a", "-t", "b", "-o", "c", cwd=tmp_path, code=8).stderr
    assert "pip install 'dcdan[train]'" in told
    (tmp_path / "faces" / "happy").mkdir(parents=True)
    (tmp_path / "face.png").rename(tmp_path / "faces" / "happy" / "0.png")
    told = done(program / "dcdan", "evaluate", "--data", "faces", cwd=tmp_path, code=8).stderr
    assert "pip install 'dcdan[" in told
    code = (
        "import dcdan, dcdan.core.errors as errors\ntry:\n    dcdan.adapt('a', 'b', 'run')\n"
        "except errors.MissingExtraError as error:\n    print(error)"
    )
    assert "pip install 'dcdan[train]'" in done(program / "python", "-c", code, cwd=tmp_path).stdout
    done(program / "dcdan", "doctor", cwd=tmp_path)
