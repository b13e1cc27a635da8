"""Compare a model's facial actions with their teacher, and fit the sparse map from actions to expressions.

Run once on a finished model; it writes ``actions.json`` and the correlations into the model's folder:

    python experiments/explain/actions.py MODEL --pack packs/ferplus96 --actions data/actions.npz \
        --out docs/results/explain

The correlations are measured on FERPlus's validation and test faces, which the model's training has not seen. The map
is fitted on training faces to the network's answers; the penalty is the strongest whose agreement with the network on
validation faces is within two points of the best, and the agreement on the card is that on test faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from cells import ACTION, replace_rows
from sklearn.linear_model import LogisticRegression

from dcdan.core.atomic_io import sha256
from dcdan.explanation.action_map import MAP_NAME, ActionMap, paired, write_action_map
from dcdan.facial_actions import facial_action, sides
from dcdan.inference.model_card import LEAST_CORRELATION, read_model_info, write_model_info
from dcdan.inference.recogniser import load
from dcdan.packs.pack import Pack

LEAST_PRESENCE = 0.5
PENALTIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Inverse strengths C of the L1 penalty, from the sparsest map."""

SACRIFICE = 0.02


def teacher_scores(archive: Path, names: list[str], wanted: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return square roots of the teacher's scores ``(N, A)`` in [0, 1], and where it saw a face ``(N,)``."""
    with np.load(archive, allow_pickle=False) as file:
        files = file["ferplus_file"]
        place = np.minimum(np.searchsorted(files, names), len(files) - 1)
        columns = [list(file["names"]).index(name) for name in wanted]
        seen = (files[place] == names) & (file["ferplus_presence"][place].astype(np.float32) >= LEAST_PRESENCE)
        return np.sqrt(file["ferplus_scores"][place][:, columns].astype(np.float32) / 255), seen


def correlations(estimates: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each column; 0 for a column without spread."""
    a, b = estimates - estimates.mean(0), targets - targets.mean(0)
    spread = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.where(spread > 0, (a * b).sum(0) / np.maximum(spread, 1e-12), 0.0)


def fitted(activations: np.ndarray, answers: np.ndarray, penalty: float, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights ``(K, A)`` and intercepts ``(K,)`` of a multinomial logistic regression with an L1 penalty."""
    model = LogisticRegression(l1_ratio=1.0, solver="saga", C=penalty, max_iter=2000, tol=1e-3, random_state=0)
    model.fit(activations, answers)
    weights, intercepts = np.zeros((classes, activations.shape[1])), np.full(classes, -20.0)
    weights[model.classes_], intercepts[model.classes_] = model.coef_, model.intercept_
    return weights, intercepts


def chosen_faces(pack: Pack, split: str, most: int | None) -> np.ndarray:
    rows = pack.select(split)
    if most is not None and len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pack", type=Path, required=True, help="FERPlus in the size of the model's faces")
    parser.add_argument("--actions", type=Path, required=True, help="the teacher's scores, actions.npz")
    parser.add_argument("--out", type=Path, help="folder of the published results; its cells.parquet is written")
    parser.add_argument("--train", type=int, default=6000, help="training faces for the map")
    parser.add_argument("--held-out", type=int, help="at most so many faces of each held-out split; all where missing")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    info = read_model_info(options.model)
    recogniser = load(options.model, threads=options.threads)
    pack = Pack.open(options.pack)
    outputs, targets = {}, {}
    for split, most in (("train", options.train), ("validation", options.held_out), ("test", options.held_out)):
        rows = chosen_faces(pack, split, most)
        names = [Path(str(path)).name for path in pack.paths[rows]]
        targets[split] = teacher_scores(options.actions, names, info.actions)
        outputs[split] = recogniser.recognise_faces(np.asarray(pack.faces[rows]))
        print(f"{split}: {len(rows)} faces, the teacher saw {int(targets[split][1].sum())}", flush=True)

    # Rounded as the published values are, so that the test of docs/results computes the same figures.
    estimated = np.concatenate([outputs[s].actions[targets[s][1]] for s in ("validation", "test")])
    taught = np.concatenate([targets[s][0][targets[s][1]] for s in ("validation", "test")])
    estimated, taught = np.round(255 * estimated).astype(np.uint8), np.round(255 * taught).astype(np.uint8)
    found = np.round(correlations(estimated / 255.0, taught / 255.0), 3)
    info = info.model_copy(update={"action_correlations": tuple(found.tolist())})
    shown = set(info.shown_actions)
    wanted = tuple(name for name, own in sides(info.actions).items() if {info.actions[i] for i in own} <= shown)

    features = {split: paired(out.actions, info.actions, wanted) for split, out in outputs.items()}
    answers = {split: out.expression for split, out in outputs.items()}
    tried = []
    for penalty in PENALTIES:
        weights, intercepts = fitted(features["train"], answers["train"], penalty, len(info.classes))
        agreement = float(((features["validation"] @ weights.T + intercepts).argmax(1) == answers["validation"]).mean())
        tried.append((penalty, weights, intercepts, agreement))
        print(f"C {penalty}: {np.count_nonzero(weights)} weights, agreement on validation {agreement:.3f}", flush=True)
    best = max(agreement for *_, agreement in tried)
    penalty, weights, intercepts, _ = next(each for each in tried if each[3] >= best - SACRIFICE)
    weights, intercepts = np.round(weights, 3), np.round(intercepts, 3)
    on_test = float(((features["test"] @ weights.T + intercepts).argmax(1) == answers["test"]).mean())
    action_map = ActionMap(
        classes=info.classes,
        means=dict(zip(wanted, np.round(features["train"].mean(0), 4).tolist(), strict=True)),
        weights={
            name: {action: float(w) for action, w in zip(wanted, row, strict=True) if w}
            for name, row in zip(info.classes, weights, strict=True)
        },
        intercepts=tuple(intercepts.tolist()),
        agreement=round(on_test, 4),
        faces=len(features["train"]),
        on=f"FERPlus: {len(features['train'])} training faces, {len(features['test'])} held-out test faces",
    )
    path = write_action_map(options.model, action_map)
    write_model_info(options.model, info.model_copy(update={"files": {**info.files, MAP_NAME: sha256(path)}}))

    for name, value in sorted(zip(info.actions, found, strict=True), key=lambda pair: -pair[1]):
        dropped = "" if value >= LEAST_CORRELATION else "  not shown"
        print(f"{name:22}{facial_action(name).unit:9}{value:6.3f}{dropped}")
    accuracy = float((answers["test"] == pack.labels[chosen_faces(pack, "test", options.held_out)]).mean())
    print(f"map: {np.count_nonzero(weights)} weights, agreement with the network on test faces {on_test:.3f}")
    print(f"(accuracy of the network on them {accuracy:.3f})")
    if options.out is not None:
        replace_rows(options.out, ACTION, info.actions, estimated / 255.0, taught / 255.0)


if __name__ == "__main__":
    main()
