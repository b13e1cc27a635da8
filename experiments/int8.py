"""Which parts of a graph may be int8: ``python experiments/int8.py RUN --faces TARGET --test LABELLED``.

RUN is a run or an export of one. Each line is one way to quantise it: which parts, and whether activations are signed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from dcdan.evaluation.evaluate import labels_among, rows_to_score
from dcdan.export.export import CALIBRATED, face_batches, measure_latency
from dcdan.export.quantise import ACTIVATIONS, PARTS, quantise
from dcdan.inference.model_card import read_model_info, verified
from dcdan.inference.session import Session, in_rgb
from dcdan.packs.build import pack_for


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--faces", required=True, help="faces that set the ranges")
    parser.add_argument("--test", required=True, help="labelled faces to score")
    arguments = parser.parse_args()
    info = read_model_info(arguments.run)
    graph = verified(arguments.run, info)
    target = pack_for(arguments.faces, info.face.size, info.face.align, labelled=False)
    rows = np.sort(np.random.default_rng(0).permutation(target.select())[:CALIBRATED])
    test = pack_for(arguments.test, info.face.size, info.face.align)
    scored = rows_to_score(test, None, arguments.test)[1]
    truth = labels_among(info.classes, test)[scored]
    scored, truth = scored[truth >= 0], truth[truth >= 0]
    float_session = Session(graph, info, 1)
    shown = in_rgb(test.faces[scored[:32]])
    before = float_session.run(test.faces[scored])
    speed = measure_latency([float_session], shown)[0]
    print("| int8 | activations | accuracy % | as fp32 % | largest difference | MB | ms a face at 1 / 32 |")
    print("|---|---|---|---|---|---|---|")
    size = graph.stat().st_size / 1e6
    right = 100 * (before.expression == truth).mean()
    print(f"| nothing | | {right:.2f} | | | {size:.2f} | {speed[1]:.2f} / {speed[32]:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for parts in PARTS:
            for activations in ACTIVATIONS:
                out = Path(folder) / f"{parts}-{activations}.onnx"
                quantise(graph, face_batches(target.faces, rows), out, parts, activations)
                session = Session(out, info, 1)
                after = session.run(test.faces[scored])
                speed = measure_latency([session], shown)[0]
                gap = np.abs(after.probabilities - before.probabilities).max()
                cells = (
                    f"{100 * (after.expression == truth).mean():.2f}",
                    f"{100 * (after.expression == before.expression).mean():.1f}",
                    f"{gap:.3f}",
                    f"{out.stat().st_size / 1e6:.2f}",
                    f"{speed[1]:.2f} / {speed[32]:.2f}",
                )
                print(f"| {parts} | {activations} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
