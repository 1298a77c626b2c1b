"""Smaller encoders of the BERT family: extracted, distilled, measured and ready to ship.

The commands are functions too: `subarch.compress(teacher=..., train=..., out=...)`; they take the words of the flags
and of the recipes, and return what `result.json` holds.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__version__ = version("subarch")

STAGES = (
    "compress",
    "describe",
    "evaluate",
    "export",
    "extract",
    "finetune",
    "latency",
    "prepare",
    "pretrain",
    "search",
)

__all__ = [*STAGES, "__version__"]


def __getattr__(name: str) -> Callable[..., Any]:
    """The public functions, imported when first used: `import subarch` itself loads nothing."""
    if name not in STAGES:
        raise AttributeError(f"module 'subarch' has no attribute {name!r}")
    from subarch.api import public_function

    return public_function(name)
