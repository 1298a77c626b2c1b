"""What a trial says that was stopped early: not a value, only that it would not have reached the front.

Its partial metrics are not final, so none is learned. Its stop is a bound on the metric that it was stopped for: given
what is expected of its other objectives, this one is no better than the front. One pass of expectation propagation
(Minka 2001) makes that a pseudo-observation with the moments of the truncated normal; where the model expects no better
anyway, it adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import erfcx

from subarch.optimize.surrogate.candidates import Candidates
from subarch.optimize.surrogate.kernel import Array
from subarch.optimize.surrogate.metric_models import MetricModel, Site
from subarch.optimize.trials import Trial

_NEGLIGIBLE = 0.05
"""A pseudo-observation that adds less than this share of the prior's precision is left out."""


def censored_sites(
    models: Sequence[MetricModel], front: Array, reference: Array, stopped: Sequence[Trial], where: Candidates
) -> Mapping[str, list[Site]]:
    """Pseudo-observations by metric.

    Args:
        models: Of the objectives, in order.
        front: Warped objectives of the front, shape (n, objectives).
        reference: Warped reference point.
        stopped: The stopped trials.
        where: Their configurations.
    """
    sites: dict[str, list[Site]] = {}
    predictions = [model.predict(where) for model in models]
    means = np.array([mean[0] for mean, _ in predictions])
    for place, trial in enumerate(stopped):
        options = [j for j, model in enumerate(models) if model.process is not None]
        reported = [j for j in options if models[j].metric.name in trial.metrics] or options
        bounds = {j: _bound(means[:, place], j, front, reference) for j in reported}
        deviations = {j: float(predictions[j][1][place]) for j in reported}
        if not reported:
            continue
        # Of several, the one whose bound is the easiest to accept.
        chosen = min(reported, key=lambda j: (bounds[j] - means[j, place]) / deviations[j])
        site = _site(float(means[chosen, place]), deviations[chosen], bounds[chosen])
        if site is not None:
            found = Site(features=models[chosen].inputs(where)[place], value=site[0], variance=site[1])
            sites.setdefault(models[chosen].metric.name, []).append(found)
    return sites


def _bound(mean: Array, objective: int, front: Array, reference: Array) -> float:
    """The best value of an objective on the front among members no worse in the others; the reference without any."""
    others = [j for j in range(len(mean)) if j != objective]
    no_worse = front[(front[:, others] <= mean[others]).all(axis=1), objective] if len(front) else front
    return float(min([reference[objective], *np.ravel(no_worse)]))


def _site(mean: float, deviation: float, bound: float) -> tuple[float, float] | None:
    """Value and variance that turn the normal into one with the moments of its part above the bound."""
    unit = (bound - mean) / deviation
    hazard = math.sqrt(2.0 / math.pi) / float(erfcx(unit / math.sqrt(2.0))) if unit > -20.0 else 0.0
    shrink = max(1.0 + unit * hazard - hazard**2, 1e-3)
    added = 1.0 / shrink - 1.0
    if added < _NEGLIGIBLE:
        return None
    truncated = mean + deviation * hazard
    return mean + (truncated - mean) / (shrink * added), deviation**2 / added
