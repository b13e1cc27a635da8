"""The one training loop: both stages of Algorithm 1, for every method. It knows no method by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dcdan.data.augment import source_view, strong_view, weak_view
from dcdan.data.batches import Order, ReadAhead
from dcdan.methods.base import Batch, Method
from dcdan.methods.classification import ClassificationSettings
from dcdan.models.domain_norm import norms, sources_first
from dcdan.models.network import Network
from dcdan.models.semantic import Logits
from dcdan.training.candidates import save_epoch
from dcdan.training.checkpoint import load_module, load_optimiser, newest_checkpoint, save_checkpoint
from dcdan.training.domains import Source, Target, in_colour, to_float
from dcdan.training.draws import DrawWeights, draw_weights
from dcdan.training.inference import estimate_statistics, look
from dcdan.training.journal import Journal
from dcdan.training.judge import judge, some
from dcdan.training.memory import keep_freed_memory
from dcdan.training.optimiser import optimiser_of
from dcdan.training.schedule import learning_rate
from dcdan.training.settings import RunSettings, StageSettings
from dcdan.training.signals import refuse_collapse, refuse_non_finite
from dcdan.training.teacher import follow

Stage = Literal["source", "adaptation"]
COUNTED = 8000
LOGGED_EVERY = 20
NEWEST = "last.safetensors"


@dataclass
class Trainer:
    """Everything that a step needs; ``train`` runs one stage to its end or from a checkpoint."""

    settings: RunSettings
    network: Network
    method: Method
    teacher: Network | None
    source: Source
    target: Target
    device: torch.device
    bf16: bool
    folder: Path
    journal: Journal
    stop: Callable[[], bool] = lambda: False

    def train(self, stage: Stage) -> bool:
        """Run a stage; return False when ``stop`` ended it early, after a checkpoint."""
        if self.device.type == "cpu":
            keep_freed_memory()
        plan = self.plan(stage)
        adapting = stage == "adaptation"
        per_epoch = max(1, -(-self.longest(adapting) // plan.batch))
        steps = round(plan.epochs * per_epoch)
        whole = adapting or self.method.owns_source_stage
        optimiser = self.optimiser(plan, with_method=whole)
        weights = self.weights(stage)
        step, sums = self.resume(stage, optimiser)
        orders = [Order(self.source.train, plan.batch, self.settings.seed, weights.source, salt=int(adapting))]
        faces = [self.source.faces]
        if adapting:
            orders.append(Order(self.target.train, plan.batch, self.settings.seed, weights.target, salt=2))
            faces.append(self.target.faces)
        if adapting and step == 0:
            self.judge(stage, 0, 0)
        bar = self.journal.progress.add_task(f"{stage} stage", total=steps, completed=step, rate="")
        waited, began, seen = 0.0, time.perf_counter(), 0
        tick = began
        with closing(iter(ReadAhead(faces, orders, step, steps))) as batches:
            for step, rows, read in batches:
                waited += time.perf_counter() - tick
                for group in optimiser.param_groups:
                    group["lr"] = group["ratio"] * plan.lr * learning_rate(plan.schedule, step / steps, plan.cycles)
                places = torch.from_numpy(rows[0])
                labels = self.source.labels[places]
                losses = self.losses(stage, step, step / steps, labels, read, places.to(self.device))
                optimiser.zero_grad(set_to_none=True)
                torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], plan.clip)
                optimiser.step()
                if whole and self.teacher is not None:
                    follow(self.teacher, self.network, self.settings.teacher, step)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value.detach()
                seen += sum(map(len, rows))
                done = step + 1
                if done % LOGGED_EVERY == 0 or done == steps:
                    means = {name: round(float(value) / (1 + step % LOGGED_EVERY), 5) for name, value in sums.items()}
                    refuse_non_finite(means, stage, done)
                    spent = time.perf_counter() - began
                    self.journal.write(
                        stage, done, **means, lr=optimiser.param_groups[0]["lr"], rate=seen / spent, wait=waited / spent
                    )
                    self.journal.progress.update(bar, completed=done, rate=f"{seen / spent:.0f} faces/s")
                    sums = {}
                if done % per_epoch == 0 or done == steps:
                    if adapting:
                        self.see_plain_targets(weights.target)
                    self.judge(stage, done, -(-done // per_epoch))
                if done % self.settings.checkpoint_every == 0 or done == steps or self.stop():
                    self.save(stage, done, optimiser, sums)
                    if self.stop() and done < steps:
                        return False
                tick = time.perf_counter()
        self.journal.progress.remove_task(bar)
        return True

    def plan(self, stage: Stage) -> StageSettings:
        """Return the settings of a stage."""
        return self.settings.source if stage == "source" else self.settings.adaptation

    def longest(self, adapting: bool) -> int:
        """Return how many faces an epoch has: those of the larger domain in use."""
        return max(len(self.source.train), len(self.target.train) if adapting else 0)

    def weights(self, stage: Stage) -> DrawWeights:
        """Return how a stage draws its faces; ask before its first step, while the source stage's model is there."""
        how = self.method.settings.sampling if stage == "adaptation" else "even"
        return draw_weights(how, self.classification.balance, self.source, self.seen_in_target)

    def see_plain_targets(self, weights: np.ndarray | None) -> None:
        """Estimate the target's statistics anew, of faces as they are: training has seen them in strong views only."""
        if next(norms(self.model), None) is None:
            return
        rows = self.target.train
        if len(rows) > COUNTED:
            few = some(np.arange(len(rows)), COUNTED)
            rows = rows[few]
            weights = None if weights is None else weights[few] / weights[few].sum()
        estimate_statistics(self.model, self.target.faces, rows, self.device, weights)

    def seen_in_target(self) -> np.ndarray:
        """Return the class probabilities ``(N, K)`` of the target's training faces, normalised as source faces."""
        seen = look(self.network, self.target.faces, self.target.train, self.device, True, self.bf16)
        return seen.logits.fused.softmax(1).double().numpy()

    @property
    def classification(self) -> ClassificationSettings:
        """How source labels teach."""
        return self.method.settings.classification

    def losses(
        self,
        stage: Stage,
        step: int,
        progress: float,
        labels: Tensor,
        read: list[np.ndarray],
        rows: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of one step; every random number in it follows from seed, stage and step."""
        seed = int(np.random.SeedSequence([self.settings.seed, stage == "source", step]).generate_state(1)[0])
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        augment = self.settings.augment
        labels = labels.to(self.device)
        share = augment.source_strong if stage == "adaptation" else augment.source_stage_strong
        views = [in_colour(source_view(to_float(read[0], self.device), augment, generator, share))]
        teacher = None
        if stage == "adaptation":
            target = to_float(read[1], self.device)
            views.append(in_colour(strong_view(target, augment, generator)))
            if self.method.uses_teacher:
                weak = in_colour(weak_view(target, augment, generator, light=False))
                teacher = self.taught(weak)
        elif self.method.owns_source_stage and self.method.uses_teacher:
            teacher = self.taught(views[0], source=True)
        faces = torch.cat(views).contiguous(memory_format=torch.channels_last)
        self.network.train()
        n = len(views[0])
        with (
            sources_first(self.network, n if stage == "adaptation" else -1),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            outputs = self.network(faces)
            if stage == "source":
                return self.method.source_losses(Batch(labels, outputs, None, teacher, views[0], rows), progress)
            source, target_outputs = outputs.split(n)
            return self.method.losses(Batch(labels, source, target_outputs, teacher, views[0], rows), progress)

    @torch.no_grad()
    def taught(self, weak: Tensor, source: bool = False) -> Logits:
        """Return the teacher's logits on weak views of one domain; without a moving average, the student's own."""
        teacher = self.teacher or self.network
        teacher.eval()
        with (
            sources_first(teacher, -1 if source else 0),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            logits = teacher(weak.contiguous(memory_format=torch.channels_last)).logits
        return Logits(*(head.float() for head in logits))

    def optimiser(self, plan: StageSettings, with_method: bool) -> torch.optim.Optimizer:
        """Return the optimiser of a stage, over the method's parameters too where it trains them."""
        return optimiser_of(plan, self.network, list(self.method.parameters()) if with_method else [])

    def judge(self, stage: Stage, step: int, epoch: int) -> None:
        """Log source validation accuracy and label-free signals of the target; refuse a collapsed model."""
        adapting = stage == "adaptation"
        model = self.model if adapting else self.network
        # Before the first step it is the source stage's model, in which the fused head decides.
        thresholds = self.method.thresholds() if epoch else torch.zeros_like(self.method.thresholds())
        target, candidate = (self.target, epoch if self.keeps_epochs else None) if adapting else (None, None)
        found = judge(model, thresholds, self.source, target, self.device, self.bf16, candidate)
        refuse_non_finite({"validation": found.total}, stage, step)
        if found.candidate is not None:
            save_epoch(self.folder, found.candidate, model, thresholds)
        facts = found.facts()
        if adapting or self.method.owns_source_stage:
            facts |= {name: round(value, 4) for name, value in self.method.report().items()}
        self.journal.write(f"{stage}-epoch", step, epoch=epoch, **facts)
        if found.target is not None and epoch:
            refuse_collapse(found.target, epoch)
        self.journal.say(f"{stage} epoch {epoch}: " + ", ".join(f"{name} {value}" for name, value in facts.items()))

    @property
    def keeps_epochs(self) -> bool:
        """Whether every epoch of the adaptation is a candidate, the source stage's model, epoch 0, among them."""
        return self.settings.keep_epochs or self.settings.choose != "last"

    @property
    def model(self) -> Network:
        """The network that is written out: the teacher's moving average, or the student."""
        return self.teacher if self.teacher is not None and self.settings.final == "teacher" else self.network

    def modules(self) -> dict[str, nn.Module]:
        """Return what a checkpoint holds."""
        held: dict[str, nn.Module] = {"network": self.network, "method": self.method}
        return held | ({"teacher": self.teacher} if self.teacher is not None else {})

    def save(
        self, stage: Stage, step: int, optimiser: torch.optim.Optimizer, sums: Mapping[str, Tensor | float]
    ) -> None:
        """Write the newest checkpoint."""
        facts = {"stage": stage, "step": step, "bf16": self.bf16, "sums": {k: float(v) for k, v in sums.items()}}
        save_checkpoint(self.folder / "checkpoints" / NEWEST, self.modules(), optimiser, facts)

    def resume(self, stage: Stage, optimiser: torch.optim.Optimizer) -> tuple[int, dict[str, Tensor | float]]:
        """Load the newest checkpoint if it is of this stage; return the step to go on from and the sums not logged."""
        found = newest_checkpoint(self.folder / "checkpoints" / NEWEST, self.journal.warn)
        if found is None or found[1]["stage"] != stage:
            self.journal.rewind(stage, -1)
            return 0, {}
        tensors, facts = found
        for name, module in self.modules().items():
            load_module(module, tensors, name)
        load_optimiser(optimiser, tensors)
        self.journal.rewind(stage, facts["step"])
        return int(facts["step"]), dict(facts["sums"])
