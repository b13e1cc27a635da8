"""dcdan: facial expression recognition that adapts to your own, unlabelled faces.

``dcdan.load().recognise(image)`` needs only the core install; ``dcdan.adapt(source=..., target=..., out=...)`` needs
``dcdan[train]``. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recogniser", "__version__", "adapt", "evaluate", "load", "to_frame", "to_pandas", "to_polars"]

if TYPE_CHECKING:
    from dcdan.api import adapt
    from dcdan.evaluation.evaluate import evaluate
    from dcdan.inference.recogniser import Recogniser, load
    from dcdan.inference.table import to_frame, to_pandas, to_polars

_HOMES = {
    "adapt": "dcdan.api",
    "evaluate": "dcdan.api",
    "load": "dcdan.inference.recogniser",
    "Recogniser": "dcdan.inference.recogniser",
    "to_frame": "dcdan.inference.table",
    "to_pandas": "dcdan.inference.table",
    "to_polars": "dcdan.inference.table",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dcdan' has no attribute '{name}'")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if _HOMES[name] != "dcdan.api" or (error.name or "").startswith("dcdan"):
            raise
        from dcdan.core.errors import MissingExtraError

        raise MissingExtraError(
            f"dcdan.{name} needs the package '{error.name}', which is not installed: pip install 'dcdan[train]'."
        ) from error
