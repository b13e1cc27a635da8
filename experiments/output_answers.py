"""Answers and features of the package's model for faces under known shifts, for ``experiments/output_correction.py``.

    python experiments/output_answers.py --ferplus packs/ferplus112 --lfw packs/lfw112 --work runs/output_answers

Only the validation split of FERPlus and the training part of LFW are read. Each condition becomes one ``.npz`` with
log-probabilities of the chosen output and of the global and local heads (N, K), features of both branches (N, 2, D)
float16, labels (N,) and paths (N,); conditions that are there already are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort

from dcdan.corruptions.shifts import SHIFT_KINDS, Shift, ShiftKind, shifted
from dcdan.inference.resolver import model_folder
from dcdan.packs.pack import Pack

SEVERITIES = (3, 5)
LFW_SHIFTS: tuple[tuple[ShiftKind, int], ...] = (("lowlight", 5), ("blur", 4), ("pose", 4))
LFW_SHIFTED = 3000
BATCH = 64
SIZE = 64
# Values inside the graph: the branches' features (faces, then their mirror images) and the heads' log-probabilities.
INNER = ("mean_1", "sum_1", "log_1", "log_2")


def opened(threads: int) -> ort.InferenceSession:
    """Return the package's model with its features and heads as further outputs."""
    graph = onnx.load(model_folder(None) / "model.onnx")
    graph.graph.output.extend([onnx.helper.make_empty_tensor_value_info(name) for name in INNER])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def smaller(faces: np.ndarray) -> np.ndarray:
    """Return grey faces (N, S, S) in the model's size, RGB."""
    small = [cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for face in faces]
    return np.repeat(np.stack(small)[..., None], 3, axis=3)


def answered(session: ort.InferenceSession, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Return log-probabilities and features of faces (N, 64, 64, 3) uint8."""
    parts = []
    for start in range(0, len(faces), BATCH):
        batch = np.ascontiguousarray(faces[start : start + BATCH])
        chosen, of_global, of_local, log_g, log_l = session.run(["probabilities", *INNER], {"faces": batch})
        features = np.stack([of_global[: len(batch)], of_local[: len(batch)]], 1).astype(np.float16)
        parts.append((np.log(np.maximum(chosen, 1e-12)), log_g, log_l, features))
    names = ("log_p", "log_global", "log_local", "features")
    return dict(zip(names, (np.concatenate(column) for column in zip(*parts, strict=True)), strict=True))


def conditions(ferplus: Pack, lfw: Pack) -> Iterator[tuple[str, Pack, np.ndarray, Shift | None]]:
    """Yield name, pack, rows and shift of each condition."""
    validation = ferplus.select("validation")
    yield "ferplus-clean-0", ferplus, validation, None
    for kind in SHIFT_KINDS:
        for severity in SEVERITIES:
            yield f"ferplus-{kind}-{severity}", ferplus, validation, Shift(kind=kind, severity=severity)
    train = lfw.select("train")
    yield "lfw-clean-0", lfw, train, None
    some = np.sort(np.random.default_rng(0).permutation(train)[:LFW_SHIFTED])
    for kind, severity in LFW_SHIFTS:
        yield f"lfw-{kind}-{severity}", lfw, some, Shift(kind=kind, severity=severity)


def main() -> None:
    """Read the command line and write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferplus", type=Path, required=True, help="pack of FERPlus (majority labels)")
    parser.add_argument("--lfw", type=Path, required=True, help="pack of LFW expressions")
    parser.add_argument("--work", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    session = opened(arguments.threads)
    for name, pack, rows, shift in conditions(Pack.open(arguments.ferplus), Pack.open(arguments.lfw)):
        file = arguments.work / f"{name}.npz"
        if file.exists():
            continue
        rows = rows[pack.labels[rows] >= 0]
        paths, numbers = pack.paths[rows], pack.face_numbers[rows]
        faces = smaller(np.asarray(pack.faces[rows]))
        if shift is not None:
            faces = shifted(faces, shift, paths.tolist(), numbers.tolist())
        found = answered(session, faces)
        np.savez(file, **found, labels=pack.labels[rows], paths=paths)
        right = np.mean(found["log_p"].argmax(1) == pack.labels[rows])
        print(f"{name}: {len(rows)} faces, {100 * right:.1f} % right", flush=True)


if __name__ == "__main__":
    main()
