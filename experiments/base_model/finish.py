"""Make a model of the package from a trained run: fold the heads, choose by validation faces, calibrate, export.

    python experiments/base_model/finish.py runs/base --name base --out OUT --packs packs

Three numbers are chosen: the share of FER2013's labels in the answer, how far the answer leans to the classes that are
common in training, and whether a face and its mirror image are averaged. They have the highest mean recall over the
validation split of FERPlus, the training part of LFW, and the validation split under known shifts, among the settings
that lose at most a point of accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from distil import resized, trained
from safetensors.torch import save_file
from targets import ACTIONS
from torch import Tensor
from train import BaseNetwork
from views import rendered

from dcdan.core.atomic_io import sha256
from dcdan.corruptions.shifts import Shift, shifted
from dcdan.export.quantise import quantise
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.model_card import (
    GRAPH_NAME,
    INT8_NAME,
    WEIGHTS_NAME,
    Calibration,
    FaceInput,
    ModelInfo,
    write_model_info,
)
from dcdan.inference.recogniser import load
from dcdan.inference.session import in_rgb
from dcdan.metrics.calibration import (
    conformal_thresholds,
    expected_calibration_error,
    fit_temperature,
    tempered,
    unsure_below,
)
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network, NetworkSettings
from dcdan.packs.pack import Pack
from dcdan.training.run_metadata import commit, versions

SHIFTS = ("blur", "noise", "lowlight", "occlusion")
SEVERITIES = (3, 5)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
ALLOWED_LOSS = 0.01
"""Accuracy that a setting may lose against the network as it was trained, for the sake of rare classes."""
MIRROR_GAIN = 0.004
"""Gain of accuracy plus mean recall from which on a second pass, of the mirror image, is worth its time."""
LEANS = (-0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)


@torch.no_grad()
def logits(network: BaseNetwork, size: int, faces: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of votes ``(2, N, 8)`` and labels ``(2, N, 7)``, of each face and its mirror image."""
    votes, labels = [], []
    for start in range(0, len(faces), 128):
        part = torch.from_numpy(np.ascontiguousarray(faces[start : start + 128])).float() / 255
        part = part[:, None] if part.ndim == 3 else part.mean(3)[:, None]
        seen = rendered(part, size)
        of_votes, of_labels, _, _ = network(torch.cat([seen, seen.flip(3)]))
        votes.append(of_votes[0].float().log_softmax(1).unflatten(0, (2, -1)))
        labels.append(of_labels[0].float().log_softmax(1).unflatten(0, (2, -1)))
    return torch.cat(votes, 1), torch.cat(labels, 1)


def answer(votes: Tensor, labels: Tensor, share: float, bias: Tensor, mirror: bool, offset: float) -> Tensor:
    """Return probabilities ``(N, 8)`` as the folded network gives them."""
    extended = torch.cat([labels, votes[..., 7:] + offset], -1)
    z = (1 - share) * votes + share * extended + bias
    p = z.softmax(-1)
    return p.mean(0) if mirror else p[0]


def score(p: Tensor, truth: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean recall over the classes that have faces."""
    said = p.argmax(1).numpy()
    return float((said == truth).mean()), float(np.mean([(said[truth == c] == c).mean() for c in np.unique(truth)]))


def validation_sets(packs: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return faces and labels of what the choice is made by, by name."""
    ferplus, lfw = Pack.open(packs / "ferplus112m"), Pack.open(packs / "lfw112")
    rows = ferplus.select("validation")
    faces, truth = np.asarray(ferplus.faces[rows]), ferplus.labels[rows]
    few = np.sort(np.random.default_rng(0).permutation(len(rows))[:1500])
    found = {"FERPlus validation": (faces, truth)}
    train = lfw.select("train")
    found["LFW training part"] = (np.asarray(lfw.faces[train]), lfw.labels[train])
    for kind in SHIFTS:
        for severity in SEVERITIES:
            changed = shifted(faces[few], Shift(kind=kind, severity=severity), ferplus.paths[rows[few]].tolist(),
                              ferplus.face_numbers[rows[few]].tolist())  # fmt: skip
            found[f"{kind} {severity}"] = (changed, truth[few])
    return found


def choose(found: dict[str, tuple[Tensor, Tensor, np.ndarray]], prior: Tensor, offset: float) -> dict[str, object]:
    """Return the settings with the highest mean recall among those that cost little accuracy.

    A setting is allowed if its accuracy on FERPlus's validation split and on the training part of LFW is at most
    ``ALLOWED_LOSS`` below that of the network as it was trained. The four shifts count together as one set of faces.
    Mirrored faces, which take twice the time, must be worth it.
    """
    groups = ("FERPlus validation", "LFW training part")
    weights = {name: 1.0 if name in groups else 1.0 / max(len(found) - len(groups), 1) for name in found}
    chosen: list[dict[str, object]] = []
    for mirror in (False, True):
        entries = []
        for share in SHARES:
            for lean in LEANS:
                bias = lean * prior.log()
                each = {name: score(answer(v, a, share, bias, mirror, offset), y) for name, (v, a, y) in found.items()}
                entries.append({"share": share, "lean": lean, "mirror": mirror, "scores": each})
        plain_entry = next(entry for entry in entries if entry["share"] == 0 and entry["lean"] == 0)
        least = {name: plain_entry["scores"][name][0] - ALLOWED_LOSS for name in groups}
        allowed = [entry for entry in entries if all(entry["scores"][name][0] >= least[name] for name in groups)]
        total = sum(weights.values())
        for entry in allowed:
            entry["recall"] = sum(weights[name] * pair[1] for name, pair in entry["scores"].items()) / total
            entry["sum"] = entry["recall"] + sum(weights[n] * pair[0] for n, pair in entry["scores"].items()) / total
        chosen.append(max(allowed, key=lambda entry: entry["recall"]))
    plain, mirrored = chosen
    return mirrored if float(mirrored["sum"]) > float(plain["sum"]) + MIRROR_GAIN else plain


@torch.no_grad()
def folded(
    trained_network: BaseNetwork, settings: NetworkSettings, share: float, bias: Tensor, offset: float
) -> Network:
    """Return the network whose heads give the geometric mean of votes and labels: averaged weights of linear heads."""
    size = trained_network.local_size
    network = Network(settings, 8, size)
    state = dict(trained_network.network.state_dict())
    for name in ("fused", "of_global", "of_local"):
        votes = getattr(trained_network.network.semantic, name)
        labels = getattr(trained_network.labels, name)
        weight = torch.cat([labels.weight, votes.weight[7:]])
        constant = torch.cat([labels.bias, votes.bias[7:] + offset])
        state[f"semantic.{name}.weight"] = (1 - share) * votes.weight + share * weight
        state[f"semantic.{name}.bias"] = (1 - share) * votes.bias + share * constant + bias
    state["actions.weight"], state["actions.bias"] = trained_network.actions.weight, trained_network.actions.bias
    network.load_state_dict(state)
    return network


def main() -> None:
    """Choose, fold, calibrate, export, describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--packs", type=Path, default=Path("packs"))
    parser.add_argument("--note", default="", help="what else the card should say of the training")
    options = parser.parse_args()
    torch.manual_seed(0)
    source, size = trained(options.run)
    source.local_size = size
    facts = json.loads((options.run / "network.json").read_text())
    sets = validation_sets(options.packs)
    found = {name: (*logits(source, size, faces), truth) for name, (faces, truth) in sets.items()}
    votes, _, truth = found["FERPlus validation"]
    # FER2013's labels lack contempt: a constant keeps it where the votes put it.
    votes_raw, labels_raw = raw_heads(source, size, sets["FERPlus validation"][0])
    offset = float((labels_raw.logsumexp(1) - votes_raw[:, :7].logsumexp(1)).mean())
    prior = votes[0].exp().mean(0)
    best = choose(found, prior, float((votes[0][:, :7].logsumexp(1)).neg().mean()))
    share, lean, mirror = float(best["share"]), float(best["lean"]), bool(best["mirror"])
    print(json.dumps(best, indent=1))
    settings = NetworkSettings(
        trunk=facts["trunk"], batch_norm="shared", grey=True, contrast=True, actions=len(ACTIONS)
    )
    network = folded(source, settings, share, lean * prior.log(), offset).eval()
    for parameter in [*network.parameters(), *network.buffers()]:  # the graph has what half precision keeps
        if parameter.is_floating_point():
            parameter.data = parameter.data.half().float()
    thresholds = torch.zeros(8)
    p = probabilities(network, size, sets["FERPlus validation"][0], mirror)
    temperature = min(max(fit_temperature(p, truth), 0.5), 3.0)
    p = tempered(p, temperature)
    confidence, right = p.max(1), p.argmax(1) == truth
    calibration = Calibration(
        unsure_below=down(unsure_below(confidence, right, 0.9)),
        conformal={level: down(value) for level, value in conformal_thresholds(p, truth, (0.8, 0.9, 0.95)).items()},
        error=round(expected_calibration_error(confidence, right), 6),
        faces=len(truth),
        on="ferplus:data/FERPlus, validation split",
    )
    options.out.mkdir(parents=True, exist_ok=True)
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(half, options.out / WEIGHTS_NAME)
    export_onnx(Deployed(network, thresholds, temperature, mirror), size, options.out / GRAPH_NAME)
    lfw = Pack.open(options.packs / "lfw112")
    rows = lfw.select("train")[:: len(lfw.select("train")) // 128]
    ferplus = Pack.open(options.packs / "ferplus112m")
    few = ferplus.select("train")[:: len(ferplus.select("train")) // 128]
    faces = np.concatenate([resized(np.asarray(pack.faces[r]), size) for pack, r in ((lfw, rows), (ferplus, few))])
    quantise(options.out / GRAPH_NAME, (in_rgb(faces[i : i + 16]) for i in range(0, 256, 16)), options.out / INT8_NAME)
    halve(options.out / GRAPH_NAME)
    run = {
        "dcdan_schema": 1,
        "command": " ".join(["python", *sys.argv]),
        "training": {
            "log": [json.loads(line) for line in (options.run / "log.jsonl").open() if "epoch" in line],
            **facts,
        },
        "choice": best,
        "versions": versions(),
        "commit": commit(),
        "note": options.note,
    }
    (options.out / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    write_model_info(
        options.out,
        ModelInfo(
            name=options.name,
            method="source_only",
            architecture=settings.model_dump(mode="json", exclude={"init"}),
            classes=EXPRESSIONS,
            face=FaceInput(size=size, align="mtcnn", contrast=True),
            thresholds=(0.0,) * 8,
            temperature=temperature,
            mirror=mirror,
            calibration=calibration,
            class_prior=tuple(round(float(x), 6) for x in p.mean(0)),
            actions=ACTIONS,
            training={
                "source": "ferplus:data/FERPlus?votes=argmax",
                "target": "lfw_expressions:data/facial_expressions",
            },
            licence=LICENCE,
            files={name: sha256(options.out / name) for name in (WEIGHTS_NAME, GRAPH_NAME, INT8_NAME)},
        ),
    )
    check = load(options.out, align="none")
    graph = check.recognise_faces(resized(sets["FERPlus validation"][0][:256], size)).probabilities
    print("largest difference of graph and network", float(np.abs(graph - p[:256]).max()))


LICENCE = (
    "weights: of the training data (votes: MIT (microsoft/FERPlus); images: FER2013, for research, not to be "
    "redistributed) and of the trunk they start from (MobileNet-V1, package MIT, origin Apache-2.0, trained on "
    "VGGFace2, which has been withdrawn)"
)


def halve(path: Path) -> None:
    """Store large weights of a graph in half precision, each behind a cast that ONNX Runtime folds when it loads it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= 1024:
            name = tensor.name
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half")
            tensor.CopyFrom(half)
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def down(value: float) -> float:
    """Return a threshold rounded down, so that sets only grow."""
    return math.floor(value * 1e6) / 1e6


@torch.no_grad()
def raw_heads(network: BaseNetwork, size: int, faces: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return logits of the fused heads ``(N, 8)`` and ``(N, 7)`` as the linear layers give them."""
    parts = [network(rendered(torch.from_numpy(faces[i : i + 128])[:, None].float() / 255, size))
             for i in range(0, len(faces), 128)]  # fmt: skip
    return torch.cat([v[0].float() for v, _, _, _ in parts]), torch.cat([a[0].float() for _, a, _, _ in parts])


@torch.no_grad()
def probabilities(network: Network, size: int, faces: np.ndarray, mirror: bool) -> np.ndarray:
    """Return the probabilities ``(N, 8)`` that the exported graph will give at temperature 1."""
    deployed = Deployed(network, torch.zeros(8), 1.0, mirror)
    small = in_rgb(resized(faces, size))
    return torch.cat([deployed(torch.from_numpy(small[i : i + 128]))[0] for i in range(0, len(small), 128)]).numpy()


if __name__ == "__main__":
    main()
