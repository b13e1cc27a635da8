"""The browser's recogniser aligns as dcdan does; `examples/browser/check.py` compares its answers too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dcdan.faces.align import TEMPLATE, similarity

SCRIPT = Path(__file__).parents[2] / "examples" / "browser" / "recogniser.mjs"


def test_its_template_is_ours() -> None:
    line = next(line for line in SCRIPT.read_text().splitlines() if "TEMPLATE =" in line)
    numbers = [float(number) for number in re.findall(r"\d*\.\d+", line)]
    np.testing.assert_allclose(np.reshape(numbers, (5, 2)), TEMPLATE, atol=1e-7)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_its_similarity_is_ours() -> None:
    points = np.random.default_rng(0).normal(TEMPLATE * 90 + 20, 8).round(3)
    matrix = similarity(points, TEMPLATE * 64)
    program = f"import {{similarity}} from '{SCRIPT}'; console.log(JSON.stringify(similarity({points.tolist()}, 64)))"
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", program], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    np.testing.assert_allclose(found, [matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]], atol=1e-4)
