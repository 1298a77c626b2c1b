"""Samplers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.samplers.base import Sampler
from subarch.optimize.samplers.bayesian import BayesianSampler
from subarch.optimize.samplers.optuna_samplers import OPTUNA_SAMPLERS, OptunaSampler
from subarch.optimize.samplers.quasi_random import QuasiRandomSampler
from subarch.optimize.samplers.random_search import RandomSampler

DEFAULT = "bayesian"


def make_sampler(name: str = DEFAULT, seed: int = 0, **options: Any) -> Sampler:
    """The sampler of this name.

    Args:
        name: One of `SAMPLERS`.
        seed: Of what a sampler draws once and not for each suggestion, the study's seed.
        options: For "bayesian": `initial`, the number of trials before the models lead.

    Raises:
        ConfigError: An unknown name, or an option that the sampler does not have.
        MissingExtraError: The sampler is Optuna's, and Optuna is not installed.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"unknown sampler {name!r}", did_you_mean(str(name), SAMPLERS))
    unknown = [option for option in options if option not in _OPTIONS.get(name, ())]
    if unknown:
        raise ConfigError(f"the sampler {name} has no option {unknown[0]!r}", f"known: {_known_options(name)}")
    return _MAKERS[name](seed, options)


def _optuna(name: str) -> Callable[[int, Mapping[str, Any]], Sampler]:
    return lambda seed, options: OptunaSampler(name=name)


def _known_options(name: str) -> str:
    return ", ".join(_OPTIONS.get(name, ())) or "none but the seed"


_OPTIONS = {"bayesian": ("initial",)}
_MAKERS: dict[str, Callable[[int, Mapping[str, Any]], Sampler]] = {
    "bayesian": lambda seed, options: BayesianSampler(seed=seed, **options),
    "random": lambda seed, options: RandomSampler(),
    "quasi-random": lambda seed, options: QuasiRandomSampler(seed=seed),
    **{name: _optuna(name) for name in OPTUNA_SAMPLERS},
}
SAMPLERS = tuple(_MAKERS)
