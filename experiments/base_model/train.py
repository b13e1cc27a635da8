"""Train a teacher of the base model: a pretrained trunk under DCD-DAN's branches, on every target that the faces have.

    python experiments/base_model/train.py --pretrained mobilenetv1-vggface2:FILE --data DATA --out runs/identities

Stopped or killed, the same command resumes. ``--continue-from average.safetensors`` starts from averaged weights that
were committed while a training moved to another machine: optimiser momentum starts anew, the schedule goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, safe_open, save_file
from targets import ACTIONS, mirrored_actions, targets_of
from torch import Tensor, nn
from torch.nn.functional import huber_loss, log_softmax
from views import rendered, training_view

from dcdan.models import pretrained_trunks
from dcdan.models.afc import fuse
from dcdan.models.heads import SemanticModule
from dcdan.models.network import Network, NetworkSettings
from dcdan.packs.pack import Pack
from dcdan.training.batches import Order, ReadAhead
from dcdan.training.optimiser import fill_momentum, learning_rate
from dcdan.training.step import make_teacher, update_teacher

HEADS = (1.0, 0.5, 0.5)
ADJUSTMENT = 0.3


class BaseNetwork(nn.Module):
    """DCD-DAN's network with two more outputs: FER2013's own label (7 classes) and facial actions."""

    def __init__(self, trunk: str, size: int, width: int = 256, contrast: bool = True) -> None:
        super().__init__()
        self.network = Network(NetworkSettings(trunk=trunk, batch_norm="shared", grey=True, width=width), 8, size)
        self.labels = SemanticModule(width, 7)
        self.actions = nn.Linear(2 * width, len(ACTIONS))
        self.contrast = contrast

    def forward(self, faces: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor, tuple[Tensor, Tensor]]:
        """Take grey faces ``(B, 1, S, S)`` in [0, 1]; return logits of votes, of labels, actions, features."""
        if self.contrast:
            mean = faces.mean((1, 2, 3), keepdim=True)
            spread = faces.std((1, 2, 3), keepdim=True).clamp_min(1 / 64)
            faces = (faces - mean) / spread * 0.22 + 0.5
        out = self.network(faces.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last))
        both = torch.cat([out.of_global, out.of_local], 1)
        labels = self.labels(out.of_global, out.of_local)
        return tuple(out.logits), tuple(labels), self.actions(both), (out.of_global, out.of_local)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv1_100")
    parser.add_argument("--pretrained", default="", help="NAME or NAME:FILE of a pretrained trunk; empty for none")
    parser.add_argument("--continue-from", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with actions.npz and fer2013_labels.npz")
    parser.add_argument("--packs", type=Path, default=Path("packs"))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--head-ratio", type=float, default=5)
    parser.add_argument("--faces", type=int, default=0, help="train on so many FERPlus faces only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    for name in ("labels", "actions", "contrast", "mixup", "all-votes", "average"):
        parser.add_argument(f"--no-{name}", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    ferplus, lfw = Pack.open(options.packs / "ferplus112"), Pack.open(options.packs / "lfw112")
    mine, theirs = targets_of(ferplus, options.data, "ferplus"), targets_of(lfw, options.data, "lfw")
    majority = Pack.open(options.packs / "ferplus112m")
    hard = dict(zip(majority.paths, majority.labels, strict=True))
    hard_label = np.array([hard.get(path, -1) for path in ferplus.paths])
    train = ferplus.select("train")
    votes = mine.votes
    if options.no_all_votes:
        train = train[hard_label[train] >= 0]
    if options.faces:
        train = np.sort(np.random.default_rng(options.seed).permutation(train)[: options.faces])
    validation = ferplus.select("validation")
    validation = validation[hard_label[validation] >= 0]
    prior = torch.from_numpy(votes[train].mean(0))
    label_prior = torch.from_numpy(np.bincount(mine.labels[train][mine.labels[train] >= 0], minlength=7) + 1.0).float()
    label_prior /= label_prior.sum()

    network = BaseNetwork(options.trunk, options.size, contrast=not options.no_contrast)
    (options.out / "network.json").write_text(json.dumps({"trunk": options.trunk, "size": options.size}))
    if options.pretrained and (found := pretrained_trunks.parse(options.pretrained)):
        pretrained_trunks.load(network.network.trunk, *found)
    network = network.to(memory_format=torch.channels_last)
    average = make_teacher(network)
    optimiser = make_optimiser(network, options.lr, options.head_ratio)
    batch, unlabelled = 56, 8
    per_epoch = -(-len(train) // batch)
    steps = round(options.epochs * per_epoch)
    start = 0
    last = options.out / "last.safetensors"
    if last.exists():
        start = load(last, network, average, optimiser)
    elif options.continue_from:
        start = load_average(options.continue_from, network, average)
    print(f"{options.trunk} {options.size} px, {len(train)} faces, {steps} steps from {start}", flush=True)
    fuse(True)
    swap = torch.tensor(mirrored_actions())
    tensors = [[torch.from_numpy(a) for a in (t.votes, t.labels, t.actions, t.actions_weight)] for t in (mine, theirs)]
    orders = [
        Order(train, batch, options.seed),
        Order(lfw.select("train"), unlabelled, options.seed, salt=1),
    ]
    sums: dict[str, float] = {}
    began = time.perf_counter()
    adjust = ADJUSTMENT * prior.clamp_min(1e-4).log()
    adjust_labels = ADJUSTMENT * label_prior.log()
    log = (options.out / "log.jsonl").open("a")
    network.train()
    for step, rows, read in ReadAhead([ferplus.faces, lfw.faces], orders, start, steps):
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([options.seed, step]).generate_state(1)[0])
        )
        pixels = torch.cat([torch.from_numpy(part).reshape(len(part), 1, *part.shape[1:3]) if part.ndim == 3
                            else torch.from_numpy(part).float().mean(3)[:, None] for part in read])  # fmt: skip
        faces, mirror = training_view(pixels.float() / 255, options.size, generator)
        picked = [[a[r] for a in source] for source, r in zip(tensors, rows, strict=True)]
        vote, label, action, weight = (torch.cat(pair) for pair in zip(*picked, strict=True))
        action = torch.where(mirror[:, None], action[:, swap], action)
        known = (label >= 0).float()
        label = torch.zeros(len(label), 7).scatter_(1, label.clamp_min(0)[:, None], known[:, None])
        label = (0.9 * label + 0.1 / 7) * known[:, None]
        if not options.no_mixup and torch.rand((), generator=generator) < 0.5:
            share = beta(generator)
            other = torch.cat([torch.randperm(batch, generator=generator), torch.arange(batch, len(faces))])
            faces = torch.lerp(faces, faces[other], 1 - share)
            vote, label, action, weight = (torch.lerp(t, t[other], 1 - share) for t in (vote, label, action, weight))
        rate = options.lr * learning_rate("cosine", step / steps)
        for group in optimiser.param_groups:
            group["lr"] = group["ratio"] * rate
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            of_votes, of_labels, of_actions, _ = network(faces)
        losses = {"votes": soft_loss(of_votes, vote, adjust)}
        if not options.no_labels:
            losses["labels"] = 0.4 * soft_loss(of_labels, label, adjust_labels)
        if not options.no_actions:
            each = huber_loss(of_actions.float(), action, reduction="none", delta=0.2).mean(1)
            losses["actions"] = 4.0 * (each * weight).sum() / weight.sum().clamp_min(1)
        total = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        update_teacher(average, network, 0.0 if options.no_average else 0.999, step)
        done = step + 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if not np.isfinite(sum(sums.values())):
            raise SystemExit(f"not a number at step {done}")
        if done % 50 == 0 or done == steps:
            spent = time.perf_counter() - began
            left = spent / (done - start) * (steps - done)
            facts = {"step": done, **{k: round(v / 50, 4) for k, v in sums.items()}, "lr": round(rate, 5),
                     "faces_per_second": round((done - start) * 64 / spent, 1),
                     "minutes_left": round(left / 60, 1)}  # fmt: skip
            log.write(json.dumps(facts) + "\n")
            log.flush()
            sums = {}
        if done % 200 == 0 or done == steps:
            save(last, network, average, optimiser, done)
        if done % per_epoch == 0 or done == steps:
            facts = {"epoch": round(done / per_epoch, 2)}
            for name, where in (("validation", validation), ("lfw", lfw.select("train")[::5])):
                pack, truth = (ferplus, hard_label) if name == "validation" else (lfw, lfw.labels)
                facts |= scores(average, pack, where, truth, options, name)
            log.write(json.dumps(facts) + "\n")
            log.flush()
            print(facts, flush=True)
    save_average(options.out / "average.safetensors", average, steps)


def make_optimiser(network: BaseNetwork, lr: float, head_ratio: float) -> torch.optim.Optimizer:
    """Return SGD with the heads at ``head_ratio`` times the trunk's rate; only matrices decay."""
    trunk, heads = network.network.parameter_groups()
    heads = [*heads, *network.labels.parameters(), *network.actions.parameters()]
    groups = [
        {"params": [p for p in chosen if (p.ndim > 1) == decays], "weight_decay": 5e-4 * decays, "ratio": ratio}
        for chosen, ratio in ((trunk, 1.0), (heads, head_ratio))
        for decays in (True, False)
    ]
    optimiser = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True)
    fill_momentum(optimiser)
    return optimiser


def beta(generator: torch.Generator) -> float:
    """Draw from Beta(.4, .4) by Johnk's rejection."""
    while True:
        u, v = torch.rand(2, generator=generator).pow(1 / 0.4).tolist()
        if 0 < u + v <= 1:
            return u / (u + v)


def soft_loss(heads: tuple[Tensor, ...], target: Tensor, adjust: Tensor) -> Tensor:
    """Return the weighted cross-entropy of the three heads against soft rows, of which those of zeros do not count."""
    count = target.sum().clamp_min(1)
    parts = [
        -(target * log_softmax(head.float() + adjust, 1)).sum() / count * weight
        for head, weight in zip(heads, HEADS, strict=True)
    ]
    return torch.stack(parts).sum() / sum(HEADS)


@torch.no_grad()
def scores(model: BaseNetwork, pack: Pack, rows: np.ndarray, truth: np.ndarray, options, name: str) -> dict[str, float]:
    """Return accuracy and mean recall of the fused votes head, and of its geometric mean with the label head."""
    model.eval()
    found: dict[str, list[Tensor]] = {"": [], "_both": []}
    for part in np.array_split(rows, -(-len(rows) // 128)):
        faces = torch.from_numpy(pack.faces[part]).float() / 255
        faces = faces[:, None] if faces.ndim == 3 else faces.mean(3)[:, None]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            of_votes, of_labels, _, _ = model(rendered(faces, options.size))
        votes = of_votes[0].float().log_softmax(1)
        labels = of_labels[0].float().log_softmax(1)
        found[""].append(votes.argmax(1))
        found["_both"].append((0.6 * votes[:, :7] + 0.4 * labels).argmax(1))
    facts = {}
    y = truth[rows]
    for key, parts in found.items():
        said = torch.cat(parts).numpy()
        recalls = [(said[y == c] == c).mean() for c in np.unique(y[y >= 0])]
        facts[f"{name}{key}"] = round(float((said == y)[y >= 0].mean()), 4)
        facts[f"{name}{key}_uar"] = round(float(np.mean(recalls)), 4)
    return facts


def save(path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write everything that resuming needs."""
    tensors = {f"network.{k}": v.detach().contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v.detach().contiguous() for k, v in average.state_dict().items()}
    for index, entry in optimiser.state_dict()["state"].items():
        tensors[f"momentum.{index}"] = entry["momentum_buffer"].contiguous()
    beside = path.with_suffix(".new")
    save_file(tensors, beside, {"step": str(step)})
    beside.replace(path)
    save_average(path.with_name("average.safetensors"), average, step)


def save_average(path: Path, average: nn.Module, step: int) -> None:
    """Write the averaged weights in half precision."""
    tensors = {
        k: v.detach().half().contiguous() if v.is_floating_point() else v for k, v in average.state_dict().items()
    }
    beside = path.with_suffix(".new")
    save_file(tensors, beside, {"step": str(step)})
    beside.replace(path)


def load(path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Load what :func:`save` wrote; return the step."""
    tensors = load_file(path)
    for prefix, module in (("network.", network), ("average.", average)):
        module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
    whole = optimiser.state_dict()
    whole["state"] = {int(k[9:]): {"momentum_buffer": v} for k, v in tensors.items() if k.startswith("momentum.")}
    optimiser.load_state_dict(whole)
    fill_momentum(optimiser)
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def load_average(path: Path, network: nn.Module, average: nn.Module) -> int:
    """Start both from averaged weights; return their step."""
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    network.load_state_dict(tensors)
    average.load_state_dict(tensors)
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


if __name__ == "__main__":
    main()
