"""A whole run: folder, data, both stages of Algorithm 1, and the written model."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import Tensor

from dcdan.core.atomic_io import atomic_write, write_text
from dcdan.core.errors import DataError, PackError, UsageError
from dcdan.core.limits import read_log
from dcdan.core.signals import finish_or_stop, stoppable
from dcdan.inference.model_card import write_model_info
from dcdan.methods.base import Method, find_method
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network
from dcdan.models.trunk import check_name
from dcdan.packs.build import pack_for
from dcdan.packs.pack import Pack
from dcdan.training.calibration import calibration_of
from dcdan.training.checkpoint import newest_checkpoint, save_tensors
from dcdan.training.data import Source, check_target, merged, mismatch, named_sources, sources_of, target_of
from dcdan.training.device import choose_bf16, pick_device
from dcdan.training.distributed import Processes
from dcdan.training.duration import RESERVE
from dcdan.training.forward import estimate_statistics
from dcdan.training.loop import NEWEST, Trainer
from dcdan.training.metrics_log import MetricsLog
from dcdan.training.model_selection.epoch_evaluation import harm_warning, idle_discriminators
from dcdan.training.model_selection.kept_epochs import drop_epochs, epoch_metadata, load_epoch, read_kept_epochs
from dcdan.training.model_selection.scores import select_epoch
from dcdan.training.pretrained import check_pretrained, start_trunk
from dcdan.training.run_folder import claim_folder, rollback_on_error
from dcdan.training.run_metadata import commit, model_description, run_metadata, source_metadata, versions
from dcdan.training.settings import CONFIG_SCHEMA, RunSettings, for_pretrained
from dcdan.training.source_memory import memory_of, store_memory
from dcdan.training.source_stage import (
    check_start,
    load_source_stage,
    run_source_stage,
    start_teacher,
    started_pretrained,
)

log = logging.getLogger("dcdan")


def train_run(
    source: str | Sequence[str],
    target: str,
    out: Path,
    settings: RunSettings,
    start: Path | None = None,
    quiet: bool = False,
    command: str = "",
    source_stage_only: bool = False,
    group: Processes | None = None,
    graph: bool = True,
) -> Path:
    """Train on a labelled source and an unlabelled target, and write a run folder.

    A folder that contains the same unfinished run is resumed.

    Args:
        source: spec of the labelled source data; several specs train on several sets at once, each drawn equally often.
        target: spec of the target data, which is opened without labels.
        out: the run folder.
        settings: the settings.
        start: a finished run whose source stage is reused; None trains one.
        quiet: whether to show no progress.
        command: the command line, for ``run.json``.
        source_stage_only: whether to end after the source stage, without a model.
        group: the processes that train together, which must see the same files; None for one process.
        graph: whether to write ``model.onnx``, which takes about ten seconds; `dcdan export` can write it later.

    Returns:
        ``out``.

    Raises:
        OutputError: when ``out`` contains anything else.
        UsageError: when a setting is wrong.
        DataError: when the data are unsuitable.
        PackError: when a pack is damaged or of another size.
        ModelError: when ``start`` or a checkpoint cannot be used.
        TrainingError: when the training diverges.
    """
    group = group or Processes()
    group.check_batch(settings.source.batch, "source.batch")
    group.check_batch(settings.adaptation.batch, "adaptation.batch")
    sources = [source] if isinstance(source, str) else list(source)
    if len(set(sources)) < len(sources):
        raise UsageError("The same source is given twice: give each set once.")
    data = {**named_sources(sources), "target": target, "start": str(start) if start else ""}
    config_text = config_of(data, settings)
    gentler = config_of(data, for_pretrained(settings))
    if group.broadcast(group.is_main_process and claim_folder(out, config_text, gentler)):
        if group.is_main_process and not settings.keep_epochs:
            drop_epochs(out)
        return out
    with rollback_on_error(out) if group.is_main_process else nullcontext():
        check_start(start)
        check_name(settings.network.trunk)
        check_pretrained(settings.pretrained, settings.network.init)
        pick_device(settings.device)
        with group.main_process_first():
            source_packs = [pack_for(spec, settings.size, settings.align, progress=not quiet) for spec in sources]
            target_pack = pack_for(target, settings.size, settings.align, labelled=False, progress=not quiet)
        for pack in (*source_packs, target_pack):
            check_size(pack, settings.size)
        method = find_method(settings.method)
        if method.adapts() and not source_stage_only:
            check_target(target_of(target_pack), target, method.title)
        soft_votes = settings.method_settings().classification.soft_votes
        domains = sources_of(source_packs, target_pack.classes, soft_votes)
        domain = merged(domains)
        for pack in (*source_packs, target_pack):
            pack.verify()
    if sentence := mismatch(domain, target_pack.classes):
        log.warning(sentence)
    began = time.time()
    deadline = None
    if settings.minutes is not None:
        deadline = time.perf_counter() + 60 * settings.minutes * (1 - RESERVE)
    with ExitStack() as stack:
        made = ("config.toml", "checkpoints", "log.jsonl", "tensorboard")
        with rollback_on_error(out, *made) if group.is_main_process else nullcontext():
            if group.is_main_process:
                (out / "checkpoints").mkdir(parents=True, exist_ok=True)
                if not (out / "config.toml").exists():
                    write_text(out / "config.toml", config_text)
            metrics_log = stack.enter_context(
                MetricsLog(out if group.is_main_process else None, quiet or not group.is_main_process)
            )
            trainer = make_trainer(settings, domain, target_pack, out, metrics_log, start, group)
            source_stage_done = load_source_stage(trainer, start)
            settings, trainer.deadline = trainer.settings, deadline
            if group.is_main_process:
                write_text(out / "config.toml", config_of(data, settings))
        with stoppable() as event:
            trainer.stop = event.is_set
            if not source_stage_done:
                run_source_stage(trainer)
            if source_stage_only:
                return out
            if trainer.method.sees_target:
                start_teacher(trainer)
                finish_or_stop(trainer.train("adaptation"), out)
        finish_or_stop(not event.is_set(), out)
        if not group.is_main_process:
            return out
        model, thresholds, choice = selected_model(trainer)
        records = read_log(out / "log.jsonl")
        warning = " ".join(filter(None, (harm_warning(records, choice.get("epoch")), idle_discriminators(records))))
        if trainer.method.estimates_statistics:
            weights = trainer.weights("adaptation").target
            estimate_statistics(model, trainer.target.faces, trainer.target.train, trainer.device, weights)
        metadata = {
            "dcdan_schema": 1,
            "command": command,
            "settings": settings.whole(),
            "source": source_metadata(source_packs, domains),
            "target": run_metadata(target_pack, None),
            "versions": versions(),
            "commit": commit(),
            "machine": {
                "processor": platform.machine(),
                "threads": torch.get_num_threads(),
                "device": str(trainer.device),
            },
            "precision": "bf16" if trainer.bf16 else "fp32",
            "choice": choice,
            "warning": warning,
            "seconds": round(time.time() - began, 1),
        }
        write_model(out, trainer, model, thresholds, metadata, graph)
        if warning:
            trainer.metrics_log.print_line(warning)
        if not settings.keep_epochs:
            drop_epochs(out)
    return out


def config_of(data: dict[str, str], settings: RunSettings) -> str:
    """Return the text of ``config.toml``.

    Args:
        data: specs ``source``, ``target`` and ``start``.
        settings: the settings.

    Returns:
        TOML.
    """
    text: str = tomli_w.dumps({"schema": CONFIG_SCHEMA, "data": data, **settings.whole()})
    return text


def selected_model(trainer: Trainer) -> tuple[Network, Tensor, dict[str, Any]]:
    """Return the model to be written.

    Args:
        trainer: the finished training.

    Returns:
        The network, its thresholds ``(K,) float32``, and the selection as JSON values for ``run.json``.
    """
    settings, method = trainer.settings, trainer.method
    by = settings.choose
    if by == "last" or not method.sees_target:
        return trainer.model, method.thresholds(), {"by": "last"}
    kept = read_kept_epochs(trainer.folder)
    taken = select_epoch(kept, by)
    thresholds = load_epoch(trainer.folder, taken.epoch, trainer.model)
    trainer.metrics_log.print_line(f"epoch {taken.epoch} of {len(kept)} chosen by {by}")
    return (
        trainer.model,
        thresholds,
        {"by": by, "epoch": taken.epoch, "candidates": [*map(epoch_metadata, kept)]},
    )


def check_size(pack: Pack, size: int) -> None:
    """Check that the faces of a pack have the size of the run.

    Args:
        pack: the pack.
        size: face side in pixels.

    Raises:
        PackError: when they have another size.
    """
    if pack.size != size:
        raise PackError(
            f"The faces of '{pack.info.spec}' are {pack.size} pixels a side and this run uses {size}; "
            f"give --size {pack.size}, or pack them again with --size {size}."
        )


def make_trainer(
    settings: RunSettings,
    source: Source,
    target_pack: Pack,
    out: Path,
    metrics_log: MetricsLog,
    start: Path | None,
    group: Processes,
) -> Trainer:
    """Build the network and the method on the device, and choose the precision.

    Args:
        settings: the settings.
        source: the source domain.
        target_pack: the target pack.
        out: the run folder.
        metrics_log: the log of the run.
        start: a run whose source stage is reused, or None.
        group: the processes that train together.

    Returns:
        The trainer, with the settings of a pretrained trunk where there is one.

    Raises:
        UsageError: when no network has these settings.
    """
    device = pick_device(settings.device)
    torch.manual_seed(settings.seed)
    try:
        network = settings.build(len(source.classes))
    except ValueError as error:
        raise UsageError(f"There is no network of these settings: {error}") from error
    pretrained = started_pretrained(out, start)
    if pretrained is None:
        pretrained = start_trunk(network.trunk, settings.pretrained, settings.network.init)
    if pretrained:
        settings = for_pretrained(settings)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.fuse_activation:
        from dcdan.models.afc import fuse

        fuse(True)
    kind = find_method(settings.method)
    method: Method = kind(settings.method_settings(), settings.network.width, source.counts)
    method.set_sources(1 if source.sets is None else int(source.sets.max()) + 1)
    if kind.grouping:
        method.set_groups(torch.from_numpy(source.groups[kind.grouping]))
    method.prepare(network, len(source.labels))
    method = method.to(device)
    wanted = earlier_precision(out) or settings.precision
    bf16, why = choose_bf16(network, wanted, settings.size, settings.source.batch, device)
    bf16 = group.broadcast(bf16)  # measured, and so not alike in all processes
    if metrics_log.path is not None and not read_log(metrics_log.path):
        metrics_log.write("precision", 0, chosen=why)
    metrics_log.print_line(f"{settings.network.trunk} on {device}, {why}")
    target = target_of(target_pack)
    return Trainer(
        settings,
        network,
        method,
        None,
        device,
        bf16,
        source,
        target,
        out,
        metrics_log,
        group=group,
        source_sets=None if source.sets is None else torch.from_numpy(source.sets).to(device),
        pretrained=pretrained,
    )


def earlier_precision(out: Path) -> str:
    """Return the precision of the interrupted run in a folder, with which it is resumed.

    Args:
        out: the run folder.

    Returns:
        ``bf16`` or ``fp32``, or "" for a new run.
    """
    found = newest_checkpoint(out / "checkpoints" / NEWEST)
    if found is not None:
        return "bf16" if found[1]["bf16"] else "fp32"
    log = out / "log.jsonl"
    chosen = [str(r["chosen"]) for r in read_log(log) if r["kind"] == "precision"] if log.exists() else []
    return chosen[0][:4] if chosen else ""


def write_model(
    out: Path, trainer: Trainer, model: Network, thresholds: Tensor, metadata: dict[str, Any], graph: bool
) -> None:
    """Write weights, ONNX graph, ``run.json`` and, last, ``model.json``, which marks the run as complete.

    Args:
        out: the run folder.
        trainer: the finished training.
        model: the network to write.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.
        metadata: entries of ``run.json``.
        graph: whether to write ``model.onnx``.
    """
    settings = trainer.settings
    model.apply_prior_bias(trainer.source.counts, settings.prior_bias)
    calibration = calibration_of(trainer, model.float(), thresholds)
    trainer.metrics_log.print_line(calibration.sentence())
    model = model.cpu().eval()
    thresholds = torch.tensor([round(value, 6) for value in thresholds.tolist()])  # as model.json holds them
    with atomic_write(out / "model.safetensors") as beside:
        save_tensors({k: v.contiguous() for k, v in model.state_dict().items()}, beside)
    if graph:
        with atomic_write(out / "model.onnx") as beside:
            export_onnx(Deployed(model, thresholds, calibration.temperature, settings.mirror), settings.size, beside)
    else:
        (out / "model.onnx").unlink(missing_ok=True)
    metadata = metadata | {"calibration": calibration.for_run()}
    write_text(out / "run.json", json.dumps(metadata, indent=1) + "\n")
    settings = settings.model_copy(update={"network": model.settings})
    description = model_description(out, settings, trainer.source.classes, thresholds.tolist(), metadata, calibration)
    write_model_info(out, description)
    if graph:
        try:
            store_memory(out, description, memory_of(model, description, trainer.source))
        except DataError as error:
            trainer.metrics_log.print_line(f"No source memory was written: {error}")
