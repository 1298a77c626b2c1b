"""A model of each objective and constraint: a Gaussian process, or the known function itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidates import Candidates
from subarch.optimize.surrogate.gaussian_process import GaussianProcess, Hyperparameters, Observations, fit
from subarch.optimize.surrogate.inputs import Inputs
from subarch.optimize.surrogate.kernel import Array
from subarch.optimize.surrogate.warping import Warping
from subarch.optimize.trials import Trial

Fitter = Callable[[Observations], Hyperparameters]

EXACT = 1e-6
"""Deviation of what is known, on the warped scale: small, and above zero so that a logarithm still has a slope."""
_CACHED = 32
_GROWTH = 16
"""Hyperparameters are fitted anew when the trials have grown by about one in so many."""


@dataclass
class FitCache:
    """Fits by the content of their data, so that a cached one is what a new one would be."""

    fits: dict[bytes, Hyperparameters] = field(default_factory=dict)

    def __call__(self, data: Observations) -> Hyperparameters:
        """As `fit`."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (data.features, data.groups, data.values, data.variances):
            digest.update(np.ascontiguousarray(part).tobytes() + b"|")
        digest.update(repr((data.shortest, data.least_noise)).encode())
        found = self.fits.pop(digest.digest(), None)
        # Put back as the newest.
        self.fits[digest.digest()] = result = fit(data) if found is None else found
        while len(self.fits) > _CACHED:
            self.fits.pop(next(iter(self.fits)))
        return result


def fitted_count(count: int) -> int:
    """How many of the first trials the hyperparameters are fitted to: a function of the count alone, never above it.

    A fit takes far longer than a prediction; a schedule by count is the same in a search that was resumed.
    """
    return count - count % max(1, count // _GROWTH)


@dataclass(frozen=True, kw_only=True)
class MetricModel:
    """One metric, minimised and warped."""

    metric: Metric
    warping: Warping
    process: GaussianProcess | None
    """None for a known metric."""
    inputs: Inputs

    @property
    def threshold(self) -> float | None:
        """The worst accepted value on the warped scale."""
        return None if self.metric.threshold is None else self.warped(self.metric.minimised(self.metric.threshold))

    def warped(self, minimised: float) -> float:
        """One value on the warped scale."""
        return float(self.warping(np.array([minimised]))[0])

    def predict(self, candidates: Candidates) -> tuple[Array, Array]:
        """Mean, shape (samples or 1, n), and deviation, shape (n,)."""
        if self.process is None:
            return self._exact(candidates)[None], np.full(len(candidates), EXACT)
        return self.process.predict(self.inputs(candidates))

    def sampled(self, candidates: Candidates, normals: Array) -> tuple[Array, MetricModel]:
        """Joint samples at the candidates, shape (samples, n), and the model conditioned on each."""
        if self.process is None:
            return np.tile(self._exact(candidates), (len(normals), 1)), self
        values, process = self.process.sampled(self.inputs(candidates), normals)
        return values, replace(self, process=process)

    def _exact(self, candidates: Candidates) -> Array:
        values = candidates.known[self.metric.name]
        return self.warping(-values if self.metric.direction == "maximize" else values)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Finished trials, by number, and pseudo-observations that stand for what is only half known."""

    trials: Sequence[Trial]
    candidates: Candidates
    """Of the trials."""
    inputs: Inputs


@dataclass(frozen=True, kw_only=True)
class Site:
    """A pseudo-observation of one metric on the warped scale."""

    features: Array
    """Shape (f,)."""
    value: float
    variance: float


def build_model(
    problem: Problem, metric: Metric, evidence: Evidence, fitter: Fitter, sites: Sequence[Site] = ()
) -> MetricModel:
    """The model of one metric from at least one finished trial."""
    if metric.name in problem.known:
        known = evidence.candidates.known[metric.name]
        sign = -1.0 if metric.direction == "maximize" else 1.0
        return MetricModel(metric=metric, warping=Warping.of(sign * known), process=None, inputs=evidence.inputs)
    values = np.array([metric.minimised(trial.metrics[metric.name]) for trial in evidence.trials])
    errors = np.array([trial.errors.get(metric.name, 0.0) for trial in evidence.trials])
    features, groups = evidence.inputs(evidence.candidates), evidence.inputs.groups

    def observed(count: int) -> tuple[Warping, Observations]:
        warping = Warping.of(values[:count])
        variances = (errors[:count] * warping.slope(values[:count])) ** 2
        return warping, Observations(
            features=features[:count], groups=groups, values=warping(values[:count]), variances=variances
        )

    hyperparameters = fitter(observed(fitted_count(len(values)))[1])
    warping, data = observed(len(values))
    if sites:
        data = replace(
            data,
            features=np.vstack([data.features, *(site.features for site in sites)]),
            values=np.concatenate([data.values, [site.value for site in sites]]),
            variances=np.concatenate([data.variances, [site.variance for site in sites]]),
        )
    process = GaussianProcess(data, hyperparameters)
    return MetricModel(metric=metric, warping=warping, process=process, inputs=evidence.inputs)
