"""One file holds all that training needs to go on: weights, AdamW's moments, the weights it keeps, and the state.

It is replaced atomically, so a kill leaves the previous checkpoint whole; on request the one before is kept too, and
takes its place where the newest cannot be read. Random numbers need no state: each step seeds them from (seed, step),
and the batches follow from (seed, epoch, place).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from subarch.storage import replacing_file
from subarch.training.precision import MasterWeights

Weights = dict[str, Tensor]


@dataclass(kw_only=True)
class TrainState:
    """Where training stands; with the weights, enough to continue as if it had never stopped."""

    step: int = 0
    epoch: int = 0
    batch_in_epoch: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int = 0
    next_evaluation: int = 1
    finished: bool = False
    parts: int = 1
    """Micro-batches of a step."""
    smoothed_loss: float | None = None
    lowest_loss: float | None = None
    """Lowest of the smoothed losses."""


@dataclass(kw_only=True)
class Kept:
    """Weights of earlier moments, by parameter name, fp32."""

    best: Weights | None = None
    """Those of the highest validation score."""
    earlier: Weights | None = None
    """Those at the last validation that was not the end."""


def save_checkpoint(path: Path, state: TrainState, masters: MasterWeights, kept: Kept, *, keep: int = 1) -> None:
    """Write everything to `path` in one atomic replacement; with `keep` 2 the one before stays, see `previous`."""
    tensors = {f"weights/{name}": tensor for name, tensor in masters.weights().items()}
    tensors |= {f"moments/{name}": tensor.contiguous() for name, tensor in masters.moments()}
    for group, weights in vars(kept).items():
        # safetensors refuses two names of one tensor, which the best weights and the earlier ones often are
        tensors |= {f"{group}/{name}": tensor.clone() for name, tensor in (weights or {}).items()}
    with replacing_file(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(asdict(state))})
        if keep > 1 and path.exists():
            os.replace(path, previous(path))


def previous(path: Path) -> Path:
    """Where the checkpoint before the newest lies."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load_checkpoint(path: Path, masters: MasterWeights) -> tuple[TrainState, Kept] | None:
    """Restore what `save_checkpoint` wrote, the newest that can be read; None where there is none."""
    return _load(path, masters) or _load(previous(path), masters)


def _load(path: Path, masters: MasterWeights) -> tuple[TrainState, Kept] | None:
    if not path.exists():
        return None
    groups: dict[str, Weights] = {"weights": {}, "moments": {}, "best": {}, "earlier": {}}
    try:
        with safe_open(path, framework="pt") as file:
            state = TrainState(**json.loads(file.metadata()["state"]))
            for key in file.keys():  # noqa: SIM118  (a safetensors handle is no mapping)
                group, name = key.split("/", 1)
                groups[group][name] = file.get_tensor(key)
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None  # a damaged checkpoint, or an older version's, is none: start this stage again
    masters.load_weights(groups["weights"])
    masters.load_moments(groups["moments"])
    return state, Kept(best=groups["best"] or None, earlier=groups["earlier"] or None)
