"""The browser's recogniser against dcdan's on the same faces, in Node: answers, alignment, time of one face.

    npm install onnxruntime-web
    python check.py [FACES] [--model NAME_OR_RUN]

FACES is any SPEC (default: drawn faces). Prints a line for each graph of the model, and ends with 1 where answers
differ. Run it in this folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from dcdan.faces.align import TEMPLATE, similarity
from dcdan.inference.model_card import GRAPHS, read_model_info
from dcdan.inference.resolver import model_folder
from dcdan.inference.session import in_rgb
from dcdan.packs.build import pack_for

COUNT = 64
ALIKE = 1e-3
"""Largest difference of a probability, or of a pixel's place."""


def native(graph: Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return probabilities, expressions and the median milliseconds of a face, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    probabilities, expressions = session.run(["probabilities", "expression"], {"faces": faces})
    times = []
    for face in faces:
        began = time.perf_counter()
        session.run(None, {"faces": face[None]})
        times.append(1000 * (time.perf_counter() - began))
    return probabilities, expressions, median(times)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", nargs="?", default="synthetic:street?n=64")
    parser.add_argument("--model")
    given = parser.parse_args()
    folder = model_folder(given.model)
    info = read_model_info(folder)
    pack = pack_for(given.faces, info.face.size, labelled=False)
    rows = np.sort(np.random.default_rng(0).permutation(len(pack.faces))[:COUNT])
    faces = in_rgb(pack.faces[rows])
    points = TEMPLATE * 100 @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + np.random.default_rng(1).normal(50, 2, (5, 2))
    matrix = similarity(points, TEMPLATE * info.face.size)
    worst = 0.0
    for graph in GRAPHS.values():
        if not (folder / graph).exists():
            continue
        probabilities, expressions, milliseconds = native(folder / graph, faces)
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "faces").write_bytes(faces.tobytes())
            wanted = {
                "probabilities": probabilities.tolist(),
                "expressions": [info.classes[index] for index in expressions],
                "points": points.tolist(),
                "similarity": [matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]],
            }
            (Path(scratch) / "answers").write_text(json.dumps(wanted), encoding="utf-8")
            command = ["node", "check.mjs", folder, Path(scratch) / "faces", Path(scratch) / "answers", graph]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
        found = json.loads(done.stdout)
        worst = max(worst, found["largest_difference"], found["alignment_difference"])
        print(
            f"{graph}: {found['same_answer']} of {len(faces)} alike, probabilities within "
            f"{found['largest_difference']:.1g}, alignment within {found['alignment_difference']:.1g} px; "
            f"{found['milliseconds']:.1f} ms a face in WebAssembly, {milliseconds:.1f} ms natively, one thread"
        )
    if worst > ALIKE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
