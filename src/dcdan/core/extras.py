"""Optional packages: which extra installs which package, and the error for a missing one."""

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
    "app": ("starlette", "uvicorn", "jinja2"),
}
"""Extra -> import names of its packages. A package of two extras is attributed to the first one."""


def extra_of(module: str) -> str | None:
    """Return the extra that installs a module.

    Args:
        module: Import name, also of a submodule.

    Returns:
        The extra, or None for a module of the core installation or of no extra.

    Example:
        >>> extra_of("torch.nn"), extra_of("fsspec"), extra_of("numpy")
        ('train', 'remote', None)
    """
    package = module.partition(".")[0]
    return next((extra for extra, names in EXTRAS.items() if package in names), None)


def missing_extra(error: ImportError) -> MissingExtraError | None:
    """Convert an import error into one that names the extra to install.

    Args:
        error: The error of the failed import.

    Returns:
        The error to raise, or None if no extra installs the module.

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
    """Return the missing packages of each extra; an empty list means that the extra is installed.

    Returns:
        Extra -> import names of its packages that are not installed.

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
