"""The training loop: both stages of Algorithm 1, for every method; it knows no method by name."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcdan.methods.classification import ClassificationSettings
from dcdan.models.domain_norm import norms
from dcdan.models.network import Network
from dcdan.training.batches import Order, ReadAhead, SamplingWeights, sampled_counts, sampling_weights
from dcdan.training.checkpoint import (
    load_module,
    load_optimiser,
    newest_checkpoint,
    put_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from dcdan.training.data import Source, Target
from dcdan.training.device import keep_freed_memory
from dcdan.training.duration import ADAPTATION_STEP, MEASURED_STEPS, WARM_UP_STEPS, Estimate, steps_within
from dcdan.training.forward import estimate_statistics, predict_features
from dcdan.training.metrics_log import MetricsLog
from dcdan.training.model_selection.epoch_evaluation import evaluate_epoch, subsample
from dcdan.training.model_selection.kept_epochs import save_epoch
from dcdan.training.model_selection.signals import (
    DivergedError,
    check_discriminator_alive,
    check_finite,
    check_prediction_collapse,
    discriminator_accuracies,
    discriminator_parameters,
)
from dcdan.training.optimiser import learning_rate, optimiser_of
from dcdan.training.settings import StageSettings
from dcdan.training.step import Learner, Stage, update_teacher

TRAINING_REVISION = 2
"""Increased when the same settings train differently, for every method, so that a benchmark does not mix revisions."""
COUNTED = 8000
LOGGED_EVERY = 20
LEAST_EASE = 1 / 8
NEWEST, GOOD = "last.safetensors", "good.safetensors"


@dataclass
class Trainer(Learner):
    """The state of a run; :meth:`train` runs one stage, from its start or from a checkpoint."""

    source: Source
    target: Target
    folder: Path
    metrics_log: MetricsLog
    stop: Callable[[], bool] = lambda: False
    ease: float = 1.0
    """Factor on the learning rate, halved whenever the training backs off."""
    pretrained: bool = False
    """Whether the trunk started from pretrained weights."""
    deadline: float | None = None
    """Deadline of the last step, on the clock of ``time.perf_counter``; None for no budget."""
    estimate: Estimate = field(default_factory=Estimate)
    sampled: dict[Stage, SamplingWeights] = field(default_factory=dict)
    """The sampling weights of each stage that has computed them."""

    def __post_init__(self) -> None:
        self.method.epochs = self.settings.adaptation.epochs

    def train(self, stage: Stage) -> bool:
        """Run one stage.

        With ``on_trouble = "back-off"``, a diverged training restarts from its last good epoch at half the learning
        rate.

        Args:
            stage: ``source`` or ``adaptation``.

        Returns:
            Whether the stage finished; False when ``stop`` ended it early, after a checkpoint.

        Raises:
            DivergedError: when the training diverges and may not back off, or has backed off three times.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
        while True:
            try:
                return self.run(stage)
            except DivergedError as error:
                if self.settings.on_trouble == "stop" or self.ease <= LEAST_EASE:
                    raise
                self.back_off(stage, error)

    def run(self, stage: Stage) -> bool:
        """Run one stage from its newest checkpoint, without backing off.

        Args:
            stage: ``source`` or ``adaptation``.

        Returns:
            Whether the stage finished.

        Raises:
            DivergedError: when a loss is not finite, the predictions collapse or a discriminator dies.
        """
        plan = self.plan(stage)
        adapting = stage == "adaptation"
        per_epoch = max(1, -(-self.longest(adapting) // plan.batch))
        steps = self.planned_steps(stage)
        whole = adapting or self.method.owns_source_stage
        optimiser = self.optimiser(plan, with_method=whole)
        adversaries = discriminator_parameters(self.method)
        known = {id(parameter) for parameter in adversaries}
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        others = [parameter for parameter in trained if id(parameter) not in known]
        weights = self.weights(stage)
        self.method.set_sampled_counts(sampled_counts(self.source, weights.source))
        step, sums, steps = self.resume(stage, optimiser, steps)
        orders = [Order(self.source.train, plan.batch, self.settings.seed, weights.source, salt=int(adapting))]
        faces = [self.source.faces]
        if adapting:
            orders.append(Order(self.target.train, plan.batch, self.settings.seed, weights.target, salt=2))
            faces.append(self.target.faces)
        if adapting and step == 0:
            self.evaluate_epoch(stage, 0, 0)
        if step == 0:
            self.save_good(stage, 0, optimiser)
        bar = self.metrics_log.progress.add_task(f"{stage} stage", total=steps, completed=step, rate="")
        waited, began, seen = 0.0, time.perf_counter(), 0
        tick = began
        first, timed = step, began
        with closing(iter(ReadAhead(faces, orders, step, steps))) as batches:
            for step, rows, read in batches:
                waited += time.perf_counter() - tick
                for group in optimiser.param_groups:
                    rate = plan.lr * learning_rate(plan.schedule, step / steps, plan.cycles)
                    group["lr"] = group["ratio"] * rate * self.ease
                places = torch.from_numpy(rows[0])
                labels = self.source.labels[places]
                losses = self.losses(stage, step, step / steps, labels, read, places.to(self.device))
                optimiser.zero_grad(set_to_none=True)
                torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
                stopping = self.group.average(trained, self.stop())
                losses["gradient"] = nn.utils.clip_grad_norm_(others, plan.clip)
                if whole and adversaries:
                    nn.utils.clip_grad_norm_(adversaries, plan.clip)
                optimiser.step()
                if whole and self.teacher is not None:
                    update_teacher(self.teacher, self.network, self.settings.teacher, step)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value.detach()
                seen += sum(map(len, rows))
                done = step + 1
                if done == first + WARM_UP_STEPS:
                    timed = time.perf_counter()
                if done >= first + MEASURED_STEPS and (done - first) % MEASURED_STEPS == 0:
                    per_step = (time.perf_counter() - timed) / (done - first - WARM_UP_STEPS)
                    steps = self.fit(stage, done, steps, per_step)
                    self.metrics_log.progress.update(bar, total=steps)
                saving = done % self.settings.checkpoint_every == 0 or done == steps or stopping
                if saving or done % LOGGED_EVERY == 0:
                    means = {name: round(float(value) / (1 + step % LOGGED_EVERY), 5) for name, value in sums.items()}
                    check_finite(means, stage, done, self.bf16)
                if done % LOGGED_EVERY == 0 or done == steps:
                    spent = time.perf_counter() - began
                    self.metrics_log.write(
                        stage, done, **means, lr=optimiser.param_groups[0]["lr"], rate=seen / spent, wait=waited / spent
                    )
                    if whole and (report := self.report()):
                        self.metrics_log.write(f"{stage}-method", done, **report)
                    self.metrics_log.progress.update(bar, completed=done, rate=f"{seen / spent:.0f} faces/s")
                    sums = {}
                if done % per_epoch == 0 or done == steps:
                    if adapting:
                        self.estimate_target_statistics(weights.target)
                    self.evaluate_epoch(stage, done, -(-done // per_epoch))
                    self.save_good(stage, done, optimiser)
                if saving:
                    self.save(NEWEST, stage, done, optimiser, sums, steps)
                    if stopping:
                        return False
                if done == steps:
                    break
                tick = time.perf_counter()
        self.metrics_log.progress.remove_task(bar)
        return True

    def plan(self, stage: Stage) -> StageSettings:
        """Return the settings of a stage.

        Args:
            stage: ``source`` or ``adaptation``.

        Returns:
            Its settings.
        """
        return self.settings.source if stage == "source" else self.settings.adaptation

    def planned_steps(self, stage: Stage) -> int:
        """Return the number of steps that the epochs of a stage take.

        Args:
            stage: ``source`` or ``adaptation``.

        Returns:
            Steps, without a time budget.
        """
        plan = self.plan(stage)
        return round(plan.epochs * max(1, -(-self.longest(stage == "adaptation") // plan.batch)))

    def fit(self, stage: Stage, done: int, steps: int, per_step: float) -> int:
        """Announce the duration of a stage and shorten the stage to the time budget.

        Args:
            stage: ``source`` or ``adaptation``.
            done: steps done.
            steps: planned steps.
            per_step: measured seconds per step.

        Returns:
            The number of steps of the stage, at most ``steps``.
        """
        later = 0.0
        if stage == "source" and self.method.sees_target:
            later = ADAPTATION_STEP * self.planned_steps("adaptation")
        now = time.perf_counter()
        self.estimate.budget = self.deadline is not None
        if self.deadline is not None:
            left = steps_within(self.deadline - now, per_step, steps - done, later)
            fitting = self.group.broadcast(done + left)
            if fitting < 0.98 * steps:
                later *= (fitting - done) / (steps - done)
                steps = fitting
                self.metrics_log.write(f"{stage}-budget", done, steps=steps, seconds_per_step=round(per_step, 4))
        if sentence := self.estimate.sentence(now, per_step, steps - done, later):
            self.metrics_log.print_line(sentence)
        return steps

    def longest(self, adapting: bool) -> int:
        """Return the number of faces in an epoch: that of the larger domain in use.

        Args:
            adapting: whether the target is in use.

        Returns:
            The number of faces.
        """
        return max(len(self.source.train), len(self.target.train) if adapting else 0)

    def weights(self, stage: Stage) -> SamplingWeights:
        """Return the sampling weights of a stage.

        They are computed from the source-stage model at the first call, which must come before the first step, and
        reused when the training backs off.

        Args:
            stage: ``source`` or ``adaptation``.

        Returns:
            The weights of both domains.
        """
        if stage not in self.sampled:
            how = self.method.settings.sampling if stage == "adaptation" else "even"
            balance = self.classification.balance
            self.sampled[stage] = sampling_weights(how, balance, self.source, self.target_probabilities)
        return self.sampled[stage]

    def estimate_target_statistics(self, weights: np.ndarray | None) -> None:
        """Estimate the batch-norm statistics of the target from plain faces; training computes them on strong views.

        Args:
            weights: ``(N,) float64`` sampling weights of the target's training rows; None for uniform sampling.
        """
        if next(norms(self.model), None) is None:
            return
        rows = self.target.train
        if len(rows) > COUNTED:
            few = subsample(np.arange(len(rows)), COUNTED)
            rows = rows[few]
            weights = None if weights is None else weights[few] / weights[few].sum()
        estimate_statistics(self.model, self.target.faces, rows, self.device, weights)

    def target_probabilities(self) -> np.ndarray:
        """Return the class probabilities of the target's training faces under the source-stage model.

        With domain-specific batch norm they are normalised by target statistics. With source statistics, under other
        lighting, nearly all faces can fall into one class.

        Returns:
            ``(N, K) float64``; each row sums to 1.
        """
        network, own = self.network, next(norms(self.network), None) is not None
        if own:
            network = copy.deepcopy(self.network)
            estimate_statistics(network, self.target.faces, subsample(self.target.train, COUNTED), self.device)
        seen = predict_features(network, self.target.faces, self.target.train, self.device, not own, self.bf16)
        return seen.logits.fused.softmax(1).double().numpy()

    @property
    def classification(self) -> ClassificationSettings:
        """The settings of the classification loss on source labels."""
        return self.method.settings.classification

    def optimiser(self, plan: StageSettings, with_method: bool) -> torch.optim.Optimizer:
        """Return the optimiser of a stage.

        Args:
            plan: the settings of the stage.
            with_method: whether the parameters of the method are trained too.

        Returns:
            The optimiser.
        """
        if not with_method:
            return optimiser_of(plan, self.network, [])
        return optimiser_of(plan, self.network, list(self.method.parameters()), discriminator_parameters(self.method))

    def report(self) -> dict[str, float | list[float]]:
        """Return the metrics of the method, rounded for the metrics log.

        Returns:
            Number or list of numbers by name.
        """
        return {
            name: [round(each, 4) for each in value] if isinstance(value, list) else round(value, 4)
            for name, value in self.method.report().items()
        }

    def evaluate_epoch(self, stage: Stage, step: int, epoch: int) -> None:
        """Log the source validation accuracy and the label-free signals of the target, and save the epoch where asked.

        Args:
            stage: ``source`` or ``adaptation``.
            step: steps done.
            epoch: epochs done; 0 before the first step.

        Raises:
            DivergedError: when the predictions collapse, a discriminator dies or a logit is not finite.
        """
        adapting = stage == "adaptation"
        model = self.model if adapting else self.network
        thresholds = self.method.thresholds() if epoch else self.method.first_thresholds()
        target, scored_epoch = (self.target, epoch if self.keeps_epochs else None) if adapting else (None, None)
        found = evaluate_epoch(model, thresholds, self.source, target, self.device, self.bf16, scored_epoch)
        check_finite({"validation": found.total}, stage, step, self.bf16)
        if found.scores is not None and self.group.is_main_process:
            save_epoch(self.folder, found.scores, model, thresholds)
        metadata: dict[str, float | list[float]] = dict(found.metadata())
        if adapting or self.method.owns_source_stage:
            metadata |= self.report()
            metadata |= {name: round(value, 4) for name, value in discriminator_accuracies(self.method).items()}
        self.metrics_log.write(f"{stage}-epoch", step, epoch=epoch, **metadata)
        if found.target is not None and epoch:
            check_prediction_collapse(found.target, epoch)
            check_discriminator_alive(self.method, epoch)
        figures = ", ".join(f"{name} {value}" for name, value in metadata.items() if not isinstance(value, list))
        self.metrics_log.print_line(f"{stage} epoch {epoch}: {figures}")

    @property
    def keeps_epochs(self) -> bool:
        """Whether the model of every adaptation epoch is saved, including epoch 0, the source-stage model."""
        return self.settings.keep_epochs or self.settings.choose != "last"

    @property
    def model(self) -> Network:
        """The network to be written: the teacher or the student, by the setting ``final``."""
        return self.teacher if self.teacher is not None and self.settings.final == "teacher" else self.network

    def modules(self) -> dict[str, nn.Module]:
        """Return the modules that a checkpoint contains.

        Returns:
            ``network``, ``method`` and, where there is one, ``teacher``.
        """
        modules: dict[str, nn.Module] = {"network": self.network, "method": self.method}
        return modules | ({"teacher": self.teacher} if self.teacher is not None else {})

    def save(
        self,
        name: str,
        stage: Stage,
        step: int,
        optimiser: torch.optim.Optimizer,
        sums: Mapping[str, Tensor | float],
        steps: int | None = None,
    ) -> None:
        """Write a checkpoint from the main process.

        Args:
            name: file name in ``checkpoints/``.
            stage: ``source`` or ``adaptation``.
            step: steps done.
            optimiser: the optimiser of the stage.
            sums: sums of the losses that are not logged yet.
            steps: number of steps of the stage; recorded only with a time budget.
        """
        if self.group.is_main_process:
            kept = {name: float(value) for name, value in sums.items()}
            metadata = {"stage": stage, "step": step, "bf16": self.bf16, "ease": self.ease, "sums": kept}
            metadata["pretrained"] = self.pretrained
            if self.deadline is not None and steps is not None:
                metadata["steps"] = steps
            save_checkpoint(self.folder / "checkpoints" / name, self.modules(), optimiser, metadata)

    def save_good(self, stage: Stage, step: int, optimiser: torch.optim.Optimizer) -> None:
        """Save the checkpoint to back off to, where the settings ask for it.

        Args:
            stage: ``source`` or ``adaptation``.
            step: steps done.
            optimiser: the optimiser of the stage.
        """
        if self.settings.on_trouble == "back-off":
            self.save(GOOD, stage, step, optimiser, {})

    def back_off(self, stage: Stage, error: DivergedError) -> None:
        """Make the last good epoch the newest checkpoint and halve the learning rate.

        Args:
            stage: the stage that diverged.
            error: the cause, for the log.
        """
        self.ease /= 2
        tensors, metadata = read_checkpoint(self.folder / "checkpoints" / GOOD)
        if self.group.is_main_process:
            put_checkpoint(self.folder / "checkpoints" / NEWEST, tensors, {**metadata, "ease": self.ease})
        self.group.broadcast(True)
        for bar in self.metrics_log.progress.task_ids:
            self.metrics_log.progress.remove_task(bar)
        self.metrics_log.write("trouble", metadata["step"], stage=stage, what=str(error), ease=self.ease)
        self.metrics_log.print_line(
            f"{error} Resuming from step {metadata['step']} at {self.ease:g} of the learning rate."
        )

    def resume(
        self, stage: Stage, optimiser: torch.optim.Optimizer, steps: int
    ) -> tuple[int, dict[str, Tensor | float], int]:
        """Load the newest checkpoint if it belongs to this stage.

        Args:
            stage: ``source`` or ``adaptation``.
            optimiser: the optimiser of the stage, whose state is loaded.
            steps: planned steps.

        Returns:
            The step to resume at, the sums of losses that are not logged yet, and the number of steps: ``steps``, or
            fewer
            when a time budget had shortened the stage.
        """
        found = newest_checkpoint(self.folder / "checkpoints" / NEWEST, self.metrics_log.warn)
        if found is None or found[1]["stage"] != stage:
            self.metrics_log.rewind(stage, -1)
            return 0, {}, steps
        tensors, metadata = found
        for name, module in self.modules().items():
            load_module(module, tensors, name)
        load_optimiser(optimiser, tensors)
        self.ease = float(metadata.get("ease", 1.0))
        self.metrics_log.rewind(stage, metadata["step"])
        return int(metadata["step"]), dict(metadata["sums"]), int(metadata.get("steps", steps))
