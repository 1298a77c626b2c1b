"""The configuration of Agora, and the variants that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from subarch.errors import ConfigError
from subarch.optimize.hyperparameters import PUBLISHED, HyperparameterSet, default_sets, parse_grid
from subarch.optimize.pruning import Rule
from subarch.training.settings import BASE_WIDTH, LoopConfig

TransformationName = Literal["refill", "synonym", "swap", "drop", "repeat", "typing", "casing", "segments", "mining"]
Balance = Literal["discard", "fill", "none"]
LEAST_ACCURACY = 2 / 3
"""What the paper asks of Socrates."""
CHS_ITERATIONS = 5
"""How often to iterate with one set, where nobody says."""
_SETS_BY_SECONDS = ((120.0, 2), (600.0, 3))
_MOST_SETS = 4


@dataclass(frozen=True, kw_only=True)
class AgoraConfig:
    """How the data grow, and which hyperparameter sets compete. `docs/agora.md` has what was measured of each."""

    sets: str | None = None
    """Θ: a grid such as "learning_rate=1e-4,3e-4 seed=0,1", or "published" for Bort's 240; by default a few sets
    around the training's own learning rate, the more the longer the budget."""
    pruning: Rule = "halving"
    """What step 6 removes; the paper's rule is "lcs"."""
    iterations: int | None = None
    """Agora ends after this many. With None it ends when Θ is empty, or sooner if the budget is short (`least_passes`).
    A single set is iterated this often (the paper's CHS mode), five times by default."""
    replays: int = 0
    """How often an iteration is repeated with fresh points whose best score fell."""
    sources: Literal["mistakes", "random", "mixed"] = "mixed"
    """What τ transforms: the expansion set's mistakes; as many random training examples; or half and half, so that
    what is learned of the few mistakes does not outweigh the task."""
    first_growth: float | None = None
    """Points around random training examples before the first iteration, as a share of the training data; None leaves
    it to the budget (`least_passes`), and is 0 without one."""
    least_passes: float = 3.0
    """Passes over D that a budget must allow. If each training of the first iteration gets fewer, there is only one
    iteration, after points around random examples were added. If a single iteration gets fewer too, nothing grows:
    then time is scarce, not data. 0 switches this off. It counts only without `iterations` and `first_growth`."""
    growth: float | None = 0.25
    """Points an iteration adds, as a share of the training data; None is one a mistake and transformation."""
    soft_labels: bool = True
    """Learn Socrates' probabilities and hidden layers on all data, by distillation; else his answers as labels."""
    warm_start: bool = True
    """From the second iteration on start from the best model so far; else from the student again."""
    last: float = 2 / 3
    """Share of a budget that the last iteration gets, which trains what is kept; the others have equal shares of the
    rest."""
    balance: Balance = "none"
    """"discard": the surplus is discarded, so that all classes have equally many added points and equally many
    training examples, as in the paper; if a class has no point, none is added. "fill" (ours): the same, but classes
    with fewer points first get more, around rows of E with their label, whether these were answered right or not."""
    uniform_head: bool = False
    """Draw a head that the student lacks from U(-0.5, 0.5), as Bort does, unless `head` or `head_init` is given."""
    confidence: float = 0.0
    """Points are left out if Socrates is less sure of them than this."""
    transformations: tuple[TransformationName, ...] = ()
    """τ; all that the task and the models allow by default."""
    masked_lm: str | None = None
    """Folder or Hub id of the model that refills masked words; the teacher where it has such a head."""
    unlabelled: Path | None = None
    """File with the task's text columns, in which similar texts are sought."""
    reserved: float = 0.5
    """Share of the expansion set from which nothing grows: it compares iterations, and its score is the result's. The
    rest gives the mistakes: a model that has learned from their like does better on them than on anything else. Sets of
    one iteration and moments of a training are judged by both. With 0 all of it does everything, as in the paper."""
    expansion_set: Literal["validation", "dev"] = "validation"
    """E. "dev" is the paper's own way: the set that reports selects and grows too, and figures on it are no longer
    those of unseen data."""
    force: bool = False
    """Go on with a Socrates below two thirds of accuracy."""

    def __post_init__(self) -> None:
        if self.first_growth is not None and self.first_growth < 0:
            raise ConfigError(f"agora.first_growth is {self.first_growth}, expected 0 or more")
        if self.least_passes < 0:
            raise ConfigError(f"agora.least_passes is {self.least_passes}, expected 0 or more")
        if self.growth is not None and self.growth <= 0:
            raise ConfigError(
                f"agora.growth is {self.growth}, expected a share above 0", "to add nothing, set agora.iterations=1"
            )
        if not 0 < self.last < 1:
            raise ConfigError(f"agora.last is {self.last}, expected a share above 0 and below 1")
        if self.replays < 0:
            raise ConfigError(f"agora.replays is {self.replays}, expected 0 or more")
        if self.iterations is not None and self.iterations < 1:
            raise ConfigError(f"agora.iterations is {self.iterations}, expected at least 1")
        if not 0 <= self.reserved < 1:
            raise ConfigError(f"agora.reserved is {self.reserved}, expected a share below 1")
        if not 0 <= self.confidence < 1:
            raise ConfigError(f"agora.confidence is {self.confidence}, expected a probability below 1")
        if self.unlabelled is None and "mining" in self.transformations:
            raise ConfigError("agora.transformations names mining, but there are no texts", "give --unlabelled FILE")
        self.thetas(LoopConfig(), 0, None)

    def thetas(self, loop: LoopConfig, seed: int, seconds: float | None) -> tuple[HyperparameterSet, ...]:
        """Θ.

        Args:
            loop: Of the training; the default sets lie around its learning rate.
            seed: Of the first default set.
            seconds: The budget, which sizes the default.

        Raises:
            ConfigError: Sets that cannot be read, or none.
        """
        if self.sets is None:
            fitting = (count for limit, count in _SETS_BY_SECONDS if seconds is not None and seconds <= limit)
            return default_sets(next(fitting, _MOST_SETS), loop.rate_for(BASE_WIDTH), seed)
        return PUBLISHED if self.sets.strip() == "published" else parse_grid(self.sets)

    def rounds(self, sets: int) -> int | None:
        """After how many iterations it ends; None for when Θ is empty."""
        return CHS_ITERATIONS if self.iterations is None and sets == 1 else self.iterations


_AS_PUBLISHED: Mapping[str, Any] = {
    "pruning": "lcs",
    "growth": None,
    "sources": "mistakes",
    "soft_labels": False,
    "warm_start": False,
    "balance": "discard",
    "uniform_head": True,
    "replays": 2,
    "reserved": 0.0,
    "first_growth": 0.0,
}
_BATCH = {"batch_size": 8}
"""Bort's for all tasks but its largest four, which had 16 (read off its README)."""
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "agora": {"agora": {}},
    "agora-published": {"agora": _AS_PUBLISHED, "loop": _BATCH},
}
"""Of `finetune`. agora-published: one point a mistake and transformation with Socrates' answer as its label, balanced,
with replay. The paper's τ is not known; ours serve both. `docs/agora.md` lists what still differs from the paper."""
COMPRESS_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "agora": {"agora": {}},
    "agora-published": {"agora": _AS_PUBLISHED, "distil": _BATCH},
}
"""Of `compress`, whose student is trained by other names."""
