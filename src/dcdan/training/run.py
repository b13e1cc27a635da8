"""A whole run: folder, data, both stages of Algorithm 1, and the model that it leaves behind."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file

from dcdan.data.build import pack_for
from dcdan.data.pack import Pack
from dcdan.durable import write_text, written
from dcdan.errors import DcdanError, ModelError, OutputError, PackError
from dcdan.methods.base import Method, find_method
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.domain_norm import start_target_from_source
from dcdan.models.network import Network
from dcdan.models.trunk import load_imagenet
from dcdan.training.checkpoint import load_module, read_checkpoint, save_checkpoint
from dcdan.training.domains import Source, source_of, target_of
from dcdan.training.inference import estimate_statistics
from dcdan.training.journal import Journal
from dcdan.training.loop import Trainer
from dcdan.training.model_out import model_description
from dcdan.training.precision import choose_bf16, pick_device
from dcdan.training.settings import RunSettings, for_pretrained
from dcdan.training.teacher import make_teacher

SOURCE_STAGE = "source.safetensors"
PACKAGES = ("dcdan", "torch", "torchvision", "timm", "numpy", "onnxruntime", "pillow", "opencv-python-headless")


class Interrupted(DcdanError):
    """The user or the system asked the run to stop; it can be resumed."""

    exit_code = 130


def train_run(
    source: str,
    target: str,
    out: Path,
    settings: RunSettings,
    start: Path | None = None,
    quiet: bool = False,
    command: str = "",
) -> Path:
    """Adapt from ``source`` to ``target`` (specs) and leave a run folder at ``out``; return it.

    ``start`` is a finished run whose source stage is taken over. A folder that holds the same run, unfinished, is resumed.
    Raises OutputError when ``out`` holds anything else, and DataError, PackError, ModelError or TrainingError.
    """
    config = {"source": source, "target": target, "start": str(start) if start else "", **settings.model_dump(mode="json")}
    config_text = tomli_w.dumps(config)
    claim_folder(out, config_text)
    source_pack = pack_for(source, settings.size, settings.align)
    target_pack = pack_for(target, settings.size, settings.align, labelled=False)
    check_size(source_pack, settings.size)
    check_size(target_pack, settings.size)
    method_settings = settings.method_settings()
    domain = source_of(source_pack, target_pack.classes, method_settings.classification.soft_votes)
    write_text(out / "config.toml", config_text)
    (out / "checkpoints").mkdir(exist_ok=True)
    began = time.time()
    with Journal(out, quiet) as journal, stoppable() as stop:
        trainer = make_trainer(settings, domain, target_pack, out, journal, start)
        trainer.stop = stop.is_set
        settings = trainer.settings
        run_source_stage(trainer, start)
        if find_method(settings.method).sees_target:
            if trainer.method.uses_teacher and settings.teacher:
                trainer.teacher = make_teacher(trainer.network)
            finish_or_stop(trainer.train("adaptation"), out)
        model = trainer.teacher if trainer.teacher is not None and settings.final == "teacher" else trainer.network
        if trainer.method.estimates_statistics:
            estimate_statistics(model, trainer.target.faces, trainer.target.train, trainer.device)
        facts = {
            "dcdan_schema": 1,
            "command": command,
            "settings": settings.model_dump(mode="json"),
            "source": described(source_pack, domain),
            "target": described(target_pack, None),
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "commit": commit(),
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads(), "device": str(trainer.device)},
            "precision": "bf16" if trainer.bf16 else "fp32",
            "seconds": round(time.time() - began, 1),
        }
        write_model(out, trainer, model, facts)
    return out


def claim_folder(out: Path, config_text: str) -> None:
    """Make the run's folder, or accept one that holds the same run unfinished; refuse every other."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            config = out / "config.toml"
            same = config.is_file() and config.read_text(encoding="utf-8") == config_text
            if not same or (out / "model.json").exists():
                what = "a finished run" if same else "something else"
                raise OutputError(f"'{out}' exists and holds {what}; choose another --out or remove it.")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The run folder '{out}' cannot be made: {error.strerror or error}.") from error


def check_size(pack: Pack, size: int) -> None:
    """Raise PackError when a pack's faces are not of the run's size."""
    if pack.size != size:
        raise PackError(
            f"The faces of '{pack.info.spec}' are {pack.size} pixels a side and the run wants {size}; "
            f"give --size {pack.size}, or pack them again with --size {size}."
        )


def make_trainer(
    settings: RunSettings, source: Source, target_pack: Pack, out: Path, journal: Journal, start: Path | None
) -> Trainer:
    """Build network and method on the device, and choose the precision."""
    device = pick_device(settings.device)
    torch.manual_seed(settings.seed)
    network = Network(settings.network, len(source.classes), settings.size)
    if settings.pretrained == "auto" and start is None and load_imagenet(network.trunk):
        settings = for_pretrained(settings)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.fuse_activation:
        from dcdan.models.afc import fuse

        fuse(True)
    kind = find_method(settings.method)
    method: Method = kind(settings.method_settings(), settings.network.width, source.counts).to(device)
    bf16, why = choose_bf16(network, settings.precision, settings.size, settings.source.batch, device)
    journal.write("precision", 0, chosen=why)
    journal.say(f"{settings.network.trunk} on {device}, {why}")
    return Trainer(settings, network, method, None, source, target_of(target_pack), device, bf16, out, journal)


def run_source_stage(trainer: Trainer, start: Path | None) -> None:
    """Train on the source, or take over the source stage of the run at ``start`` or of this folder."""
    folder = trainer.folder / "checkpoints"
    done = folder / SOURCE_STAGE
    if start is not None and not done.exists():
        done = start / "checkpoints" / SOURCE_STAGE if start.is_dir() else start
        if not done.is_file():
            raise ModelError(f"'{start}' has no source stage to start from (checkpoints/{SOURCE_STAGE}).")
    if done.exists():
        tensors, facts = read_checkpoint(done)
        if facts["classes"] != list(trainer.source.classes):
            raise ModelError(
                f"The source stage in '{done}' knows {', '.join(facts['classes'])}; "
                f"this pair of data sets has {', '.join(trainer.source.classes)}."
            )
        load_module(trainer.network, tensors, "network")
        trainer.journal.say(f"source stage taken from {done}")
        return
    finish_or_stop(trainer.train("source"), trainer.folder)
    start_target_from_source(trainer.network)
    save_checkpoint(done, {"network": trainer.network}, None, {"classes": list(trainer.source.classes)})


def finish_or_stop(finished: bool, out: Path) -> None:
    """Raise when a stage was stopped early."""
    if not finished:
        raise Interrupted(f"Stopped; everything is saved in '{out}': the same command goes on from there.")


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Within the context, SIGINT and SIGTERM set the event instead of ending the process, so that a step can finish."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_model(out: Path, trainer: Trainer, model: Network, facts: dict[str, Any]) -> None:
    """Write weights, graph, description and the run's facts; ``model.json`` comes last and says that all is there."""
    model = model.float().cpu().eval()
    thresholds = trainer.method.thresholds().cpu()
    with written(out / "model.safetensors") as beside:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, beside)
    with written(out / "model.onnx") as beside:
        export_onnx(Deployed(model, thresholds), trainer.settings.size, beside)
    write_text(out / "run.json", json.dumps(facts, indent=1) + "\n")
    description = model_description(out, trainer.settings, trainer.source.classes, thresholds.tolist(), facts)
    write_text(out / "model.json", json.dumps(description, indent=1) + "\n")


def described(pack: Pack, source: Source | None) -> dict[str, Any]:
    """Return what run.json says of a domain."""
    facts: dict[str, Any] = {
        "spec": pack.info.spec,
        "faces": len(pack),
        "splits": {name: count for name, count in pack.info.counts.splits.items()},
        "licence": pack.info.licence,
        "sha256": pack.info.sha256,
        "split_rule": pack.info.split_rule,
        "alignment": pack.info.alignment,
    }
    if source is not None:
        facts |= {
            "train": len(source.train),
            "validation": len(source.validation),
            "left_out": source.left_out,
            "per_class": dict(zip(source.classes, source.counts.int().tolist(), strict=True)),
        }
    return facts


def commit() -> str:
    """Return the commit of the code when it runs from a checkout, else an empty string."""
    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
