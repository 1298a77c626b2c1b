"""One file holds all that training needs to go on: weights, AdamW's moments, the best weights, and the state.

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


def save_checkpoint(
    path: Path, state: TrainState, masters: MasterWeights, best: dict[str, Tensor] | None, *, keep: int = 1
) -> None:
    """Write everything to `path` in one atomic replacement; with `keep` 2 the one before stays, see `previous`."""
    tensors = {f"weights/{name}": tensor for name, tensor in masters.weights().items()}
    tensors |= {f"moments/{name}": tensor.contiguous() for name, tensor in masters.moments()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    with replacing_file(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(asdict(state))})
        if keep > 1 and path.exists():
            os.replace(path, previous(path))


def previous(path: Path) -> Path:
    """Where the checkpoint before the newest lies."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load_checkpoint(path: Path, masters: MasterWeights) -> tuple[TrainState, dict[str, Tensor] | None] | None:
    """Restore what `save_checkpoint` wrote, the newest that can be read; None where there is none."""
    return _load(path, masters) or _load(previous(path), masters)


def _load(path: Path, masters: MasterWeights) -> tuple[TrainState, dict[str, Tensor] | None] | None:
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}, "best": {}}
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
    return state, groups["best"] or None
