"""Distil trained teachers into a student, on labelled FERPlus faces and on LFW faces whose labels are never read.

    python experiments/base_model/distil.py --teacher runs/identities --model ferplus-mobilenetv2-64 \\
        --student mobilenetv1_100 --start runs/identities/average.safetensors --out runs/base

The teachers look at each face and its mirror image once, as it is; the student sees strong views and learns their
mean answer beside the votes. Stopped or killed, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from targets import mirrored_actions, targets_of
from torch import Tensor, nn
from torch.nn.functional import huber_loss
from train import ADJUSTMENT, BaseNetwork, beta, load, make_optimiser, save, save_average, scores, soft_loss
from views import rendered, training_view

from dcdan.inference.recogniser import load as load_model
from dcdan.models.afc import fuse
from dcdan.packs.pack import Pack
from dcdan.training.batches import Order, ReadAhead
from dcdan.training.optimiser import learning_rate
from dcdan.training.step import make_teacher, update_teacher


def trained(run: Path) -> tuple[BaseNetwork, int]:
    """Return the averaged network of a run of ``train.py`` or this file, and its face size."""
    facts = json.loads((run / "network.json").read_text())
    network = BaseNetwork(facts["trunk"], facts["size"])
    network.load_state_dict({k: v.float() if v.is_floating_point() else v
                             for k, v in load_file(run / "average.safetensors").items()})  # fmt: skip
    return network.eval().to(memory_format=torch.channels_last), facts["size"]


def combined(of_votes: Tensor, of_labels: Tensor, share: float) -> Tensor:
    """Return logits ``(B, 8)`` of the geometric mean of both heads; contempt, which labels lack, is the votes'."""
    votes, labels = of_votes.float().log_softmax(1), of_labels.float().log_softmax(1)
    labels = labels + votes[:, :7].logsumexp(1, keepdim=True)
    return torch.cat([(1 - share) * votes[:, :7] + share * labels, votes[:, 7:]], 1)


@torch.no_grad()
def answers(teachers: list[tuple[BaseNetwork, int]], faces: np.ndarray, share: float) -> tuple[Tensor, Tensor]:
    """Return the teachers' mean log-probabilities ``(N, 8)`` and actions ``(N, A)``, over both mirror images."""
    swap = torch.tensor(mirrored_actions())
    found, acts = [], []
    for start in range(0, len(faces), 128):
        part = torch.from_numpy(np.ascontiguousarray(faces[start : start + 128])).float() / 255
        part = part[:, None] if part.ndim == 3 else part.mean(3)[:, None]
        logs, actions = [], []
        for teacher, size in teachers:
            for flipped in (False, True):
                seen = rendered(part.flip(3) if flipped else part, size)
                of_votes, of_labels, of_actions, _ = teacher(seen)
                heads = [combined(v, a, share).softmax(1) for v, a in zip(of_votes, of_labels, strict=True)]
                logs.append((2 * heads[0] + heads[1] + heads[2]) / 4)
                actions.append(of_actions[:, swap] if flipped else of_actions)
        found.append(torch.stack(logs).mean(0).clamp_min(1e-6).log())
        acts.append(torch.stack(actions).mean(0))
    return torch.cat(found), torch.cat(acts)


def answers_of_model(name: str, pack: Pack) -> Tensor:
    """Return the log-probabilities ``(N, 8)`` of a model that ``dcdan predict`` can use."""
    model = load_model(name, align="none")
    size = model.info.face.size
    parts = [
        model.recognise_faces(resized(np.asarray(pack.faces[start : start + 1024]), size)).probabilities
        for start in range(0, len(pack), 1024)
    ]
    return torch.from_numpy(np.concatenate(parts)).clamp_min(1e-6).log()


def resized(faces: np.ndarray, size: int) -> np.ndarray:
    """Return faces uint8 as grey ones ``(N, S, S)`` uint8 of another size."""
    out = []
    for start in range(0, len(faces), 256):
        part = torch.from_numpy(faces[start : start + 256]).float() / 255
        part = part[:, None] if part.ndim == 3 else part.mean(3)[:, None]
        out.append(rendered(part, size))
    return (torch.cat(out)[:, 0] * 255).round().byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, action="append", required=True)
    parser.add_argument("--model", action="append", default=[], help="an exported model that teaches too")
    parser.add_argument("--student", required=True)
    parser.add_argument("--start", type=Path, help="averaged weights that the student starts from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--packs", type=Path, default=Path("packs"))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--head-ratio", type=float, default=3)
    parser.add_argument("--label-share", type=float, default=0.0)
    parser.add_argument("--votes", type=float, default=0.5, help="weight of the votes beside the teachers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    ferplus, lfw = Pack.open(options.packs / "ferplus112"), Pack.open(options.packs / "lfw112")
    mine, theirs = targets_of(ferplus, options.data, "ferplus"), targets_of(lfw, options.data, "lfw")
    majority = Pack.open(options.packs / "ferplus112m")
    hard = dict(zip(majority.paths, majority.labels, strict=True))
    hard_label = np.array([hard.get(path, -1) for path in ferplus.paths])
    train, unlabelled = ferplus.select("train"), lfw.select("train")
    validation = ferplus.select("validation")
    validation = validation[hard_label[validation] >= 0]
    cache = options.out / "answers.pt"
    if not cache.exists():
        teachers = [trained(run) for run in options.teacher]
        found = []
        for pack in (ferplus, lfw):
            logs, actions = answers(teachers, pack.faces, options.label_share)
            logs = [logs] * len(teachers) + [answers_of_model(name, pack) for name in options.model]
            found.append((torch.stack(logs).mean(0).log_softmax(1), actions))
        torch.save(found, cache)
    taught = torch.load(cache, weights_only=True)

    network = BaseNetwork(options.student, options.size)
    facts = {"trunk": options.student, "size": options.size}
    (options.out / "network.json").write_text(json.dumps(facts))
    if options.start:
        given = {k: v.float() if v.is_floating_point() else v for k, v in load_file(options.start).items()}
        target = network if "actions.weight" in given else network.network
        target.load_state_dict(given)
    network = network.to(memory_format=torch.channels_last)
    average = make_teacher(network)
    optimiser = make_optimiser(network, options.lr, options.head_ratio)
    sizes = (48, 16)
    per_epoch = -(-len(train) // sizes[0])
    steps = round(options.epochs * per_epoch)
    last = options.out / "last.safetensors"
    start = load(last, network, average, optimiser) if last.exists() else 0
    print(f"{options.student} {options.size} px, {steps} steps from {start}", flush=True)
    fuse(True)
    swap = torch.tensor(mirrored_actions())
    orders = [Order(train, sizes[0], options.seed), Order(unlabelled, sizes[1], options.seed, salt=1)]
    tensors = [
        (torch.from_numpy(t.votes), *said, torch.from_numpy(t.actions), torch.from_numpy(t.actions_weight))
        for t, said in zip((mine, theirs), taught, strict=True)
    ]
    prior = torch.from_numpy(mine.votes[train].mean(0))
    adjust = ADJUSTMENT * prior.clamp_min(1e-4).log()
    began = time.perf_counter()
    sums: dict[str, float] = {}
    log = (options.out / "log.jsonl").open("a")
    network.train()
    for step, rows, read in ReadAhead([ferplus.faces, lfw.faces], orders, start, steps):
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([options.seed, step, 7]).generate_state(1)[0])
        )
        pixels = torch.cat([torch.from_numpy(part)[:, None] if part.ndim == 3
                            else torch.from_numpy(part).float().mean(3)[:, None] for part in read])  # fmt: skip
        faces, mirror = training_view(pixels.float() / 255, options.size, generator)
        picked = [[a[r] for a in source] for source, r in zip(tensors, rows, strict=True)]
        vote, said, said_action, action, weight = (torch.cat(pair) for pair in zip(*picked, strict=True))
        said = said.exp()
        action = torch.where(weight[:, None] > 0, 0.5 * action + 0.5 * said_action, said_action)
        action = torch.where(mirror[:, None], action[:, swap], action)
        if torch.rand((), generator=generator) < 0.5:
            share = beta(generator)
            other = torch.randperm(len(faces), generator=generator)
            faces = torch.lerp(faces, faces[other], 1 - share)
            vote, said, action = (torch.lerp(t, t[other], 1 - share) for t in (vote, said, action))
        rate = options.lr * learning_rate("cosine", step / steps)
        for group in optimiser.param_groups:
            group["lr"] = group["ratio"] * rate
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            of_votes, _, of_actions, _ = network(faces)
        losses = {
            "teachers": soft_loss(of_votes, said, torch.zeros(8)),
            "votes": options.votes * soft_loss(of_votes, vote, adjust),
            "actions": 4.0 * huber_loss(of_actions.float(), action, delta=0.2),
        }
        total = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        update_teacher(average, network, 0.999, step)
        done = step + 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if done % 50 == 0 or done == steps:
            spent = time.perf_counter() - began
            facts = {"step": done, **{k: round(v / 50, 4) for k, v in sums.items()}, "lr": round(rate, 5),
                     "faces_per_second": round((done - start) * 64 / spent, 1),
                     "minutes_left": round(spent / (done - start) * (steps - done) / 60, 1)}  # fmt: skip
            log.write(json.dumps(facts) + "\n")
            log.flush()
            sums = {}
        if done % 200 == 0 or done == steps:
            save(last, network, average, optimiser, done)
        if done % per_epoch == 0 or done == steps:
            found: dict[str, float] = {"epoch": round(done / per_epoch, 2)}
            found |= scores(average, ferplus, validation, hard_label, options, "validation")
            found |= scores(average, lfw, lfw.select("train")[::5], lfw.labels, options, "lfw")
            log.write(json.dumps(found) + "\n")
            log.flush()
            print(found, flush=True)
    save_average(options.out / "average.safetensors", average, steps)


if __name__ == "__main__":
    main()
