"""dcdan: facial expression recognition that adapts to your own, unlabelled faces.

``dcdan.load().recognise(image)`` and ``dcdan.adapt(target=...)`` need only the core install. With a ``source``, the
latter trains and needs ``dcdan[train]``. A public name imports its module when it is first used, so ``import dcdan`` is
fast.

Example:
    >>> import dcdan
    >>> dcdan.load().classes[:3]
    ('surprise', 'fear', 'disgust')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Recogniser",
    "__version__",
    "adapt",
    "evaluate",
    "explain",
    "load",
    "shift",
    "to_frame",
    "to_pandas",
    "to_polars",
    "to_supervision",
]

if TYPE_CHECKING:
    from dcdan.api import adapt
    from dcdan.domain_shift.compare import shift
    from dcdan.evaluation.evaluate import evaluate
    from dcdan.explanation.explainer import explain
    from dcdan.inference.adapters import to_supervision
    from dcdan.inference.recogniser import Recogniser, load
    from dcdan.inference.table import to_frame, to_pandas, to_polars

_HOMES = {
    "adapt": "dcdan.api",
    "evaluate": "dcdan.evaluation.evaluate",
    "shift": "dcdan.domain_shift.compare",
    "explain": "dcdan.explanation.explainer",
    "load": "dcdan.inference.recogniser",
    "Recogniser": "dcdan.inference.recogniser",
    "to_frame": "dcdan.inference.table",
    "to_pandas": "dcdan.inference.table",
    "to_polars": "dcdan.inference.table",
    "to_supervision": "dcdan.inference.adapters",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562).

    Raises:
        AttributeError: there is no such name.
        MissingExtraError: the name needs an extra that is not installed, such as ``dcdan[train]``.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'dcdan' has no attribute '{name}'")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from dcdan.core.extras import missing_extra

        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error
