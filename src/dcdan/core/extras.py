"""Optional packages: which extra of dcdan brings which package, and the sentence for one that is missing."""

from __future__ import annotations

from importlib.util import find_spec

from dcdan.core.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "parquet": ("pyarrow",),
    "train": (
        *("huggingface_hub", "jinja2", "matplotlib", "onnx", "onnxscript", "pyarrow", "safetensors", "sklearn"),
        *("scipy", "threadpoolctl", "timm", "tomli_w", "torch", "torchvision"),
    ),
    "ray": ("ray",),
    "remote": ("fsspec",),
    "video": ("av",),
    "heif": ("pillow_heif",),
    "tensorboard": ("tensorboard",),
}
"""Extra -> import names of the packages that it adds. Where two extras bring one, the first is named."""


def extra_of(module: str) -> str | None:
    """Return the extra that brings a module, or None where the core install or nothing does.

    Example:
        >>> extra_of("torch.nn"), extra_of("fsspec"), extra_of("numpy")
        ('train', 'remote', None)
    """
    package = module.partition(".")[0]
    return next((extra for extra, names in EXTRAS.items() if package in names), None)


def missing_extra(error: ImportError) -> MissingExtraError | None:
    """Return the sentence for a module that could not be imported, or None where no extra brings it.

    Example:
        >>> str(missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch")))
        "This needs the package 'torch', which is not installed: pip install 'dcdan[train]'."
    """
    name = (error.name or "").partition(".")[0]
    extra = extra_of(name)
    if extra is None or not isinstance(error, ModuleNotFoundError):
        return None
    return MissingExtraError(f"This needs the package '{name}', which is not installed: pip install 'dcdan[{extra}]'.")


def installed_extras() -> dict[str, list[str]]:
    """Return the packages that each extra still lacks; an empty list means that the extra is installed.

    Example:
        >>> sorted(installed_extras()) == sorted(EXTRAS)
        True
    """
    return {extra: [name for name in names if not _present(name)] for extra, names in EXTRAS.items()}


def _present(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
