"""The source stage of a run: trained and saved for reuse, or loaded from another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dcdan.core.errors import ModelError
from dcdan.core.signals import finish_or_stop
from dcdan.methods.base import Method
from dcdan.models.domain_norm import start_target_from_source
from dcdan.training.checkpoint import load_module, newest_checkpoint, read_checkpoint, save_checkpoint
from dcdan.training.loop import NEWEST, Trainer
from dcdan.training.step import make_teacher

SOURCE_STAGE = "source.safetensors"


def check_start(start: Path | None) -> None:
    """Check that a run has a source stage to start from.

    Args:
        start: a run folder or a source stage file; None starts from nothing and always passes.

    Raises:
        ModelError: when there is no source stage.
    """
    if start is not None and not source_stage_of(start).is_file():
        raise ModelError(f"'{start}' has no source stage to start from (checkpoints/{SOURCE_STAGE}).")


def source_stage_of(start: Path) -> Path:
    """Return the file of a run's source stage.

    Args:
        start: a run folder, or the file itself.

    Returns:
        The path, which need not exist.

    Example:
        >>> source_stage_of(Path("stage.safetensors")).name
        'stage.safetensors'
    """
    return start / "checkpoints" / SOURCE_STAGE if start.is_dir() else start


def finished_stage(out: Path, start: Path | None) -> Path | None:
    """Return the source stage file of this run, or else of the run at ``start``.

    Args:
        out: the folder of this run.
        start: the run or file to start from; None for none.

    Returns:
        The first file that exists, or None.
    """
    places = [source_stage_of(each) for each in (out, start) if each is not None]
    return next((place for place in places if place.exists()), None)


def started_pretrained(out: Path, start: Path | None) -> bool | None:
    """Return whether the checkpoint that this run starts from was trained from a pretrained trunk.

    Args:
        out: the folder of this run.
        start: the run or file to start from; None for none.

    Returns:
        What the newest checkpoint or the source stage records. Without a record, False when there is a ``start`` and
        None when there is none.
    """
    newest = newest_checkpoint(out / "checkpoints" / NEWEST)
    done = finished_stage(out, start)
    for metadata in (newest and newest[1], done and read_checkpoint(done)[1]):
        if metadata and "pretrained" in metadata:
            return bool(metadata["pretrained"])
    return None if start is None else False


def load_source_stage(trainer: Trainer, start: Path | None) -> bool:
    """Load the source stage of this run, or else of the run at ``start``, into the trainer's network.

    Args:
        trainer: the training.
        start: the run or file to start from; None for none.

    Returns:
        Whether a source stage was found and loaded.

    Raises:
        ModelError: when it has other classes or was trained by another method.
    """
    done = finished_stage(trainer.folder, start)
    if done is None:
        return False
    tensors, metadata = read_checkpoint(done)
    if metadata["classes"] != list(trainer.source.classes):
        raise ModelError(
            f"The source stage in '{done}' was trained on {', '.join(metadata['classes'])}; "
            f"this pair of data sets has {', '.join(trainer.source.classes)}."
        )
    trained, own = metadata.get("method", ""), stage_owner(trainer.method)
    if trained != own:
        raise ModelError(
            f"The source stage in '{done}' was trained by {trained or 'cross-entropy alone'}, and the method "
            f"{trainer.method.name} needs {'its own' if own else 'the common one'}; start from another run or none."
        )
    load_module(trainer.network, tensors, "network")
    trainer.metrics_log.print_line(f"source stage taken from {done}")
    return True


def stage_owner(method: Method) -> str:
    """Return the name of a method that trains a source stage of its own.

    Args:
        method: the method.

    Returns:
        Its name, or "" for the common source stage.
    """
    return method.name if method.owns_source_stage else ""


def start_teacher(trainer: Trainer) -> None:
    """Start the moving average from the current student, for a method that uses a teacher.

    Args:
        trainer: the training, whose ``teacher`` is set.
    """
    if trainer.method.uses_teacher and trainer.settings.teacher:
        trainer.teacher = make_teacher(trainer.network)


def run_source_stage(trainer: Trainer) -> None:
    """Train the source stage and save it, for this run and for runs that start from it.

    Args:
        trainer: the training.
    """
    if trainer.method.owns_source_stage:
        start_teacher(trainer)
    finish_or_stop(trainer.train("source"), trainer.folder)
    trainer.teacher = None
    start_target_from_source(trainer.network)
    metadata: dict[str, Any] = {"classes": list(trainer.source.classes), "pretrained": trainer.pretrained}
    if trainer.method.owns_source_stage:
        metadata["method"] = trainer.method.name
    if trainer.group.is_main_process:
        save_checkpoint(source_stage_of(trainer.folder), {"network": trainer.network}, None, metadata)
