"""The probability that a trial does not fail, learned from those that did.

A least-squares classifier (Rasmussen and Williams 2006, section 6.5): a Gaussian process on labels of -1 and 1, made a
probability by a probit whose slope fits the predictions of each label from the others. It shares the regression's code,
learns which parameters matter, and is the rate of success where nothing is near.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import log_ndtr, ndtri

from subarch.optimize.surrogate.gaussian_process import GaussianProcess, Hyperparameters, Observations
from subarch.optimize.surrogate.kernel import Array

Fitter = Callable[[Observations], Hyperparameters]
_SHORTEST = 0.15
"""A boundary between failure and success is a step, which a free fit would take for a short length scale."""
_LEAST_NOISE = 0.02
_SLOPE = 2.0

LogSuccess = Callable[[Array], Array]
"""Features of shape (m, f) to the logarithm of the probability of success, shape (m,)."""


def learn_success(features: Array, groups: Array, failed: Array, fitter: Fitter, first: int) -> LogSuccess:
    """From ended trials.

    Args:
        features: Shape (n, f).
        groups: Shape (f,), see `Observations`.
        failed: Shape (n,), true or false.
        fitter: Hyperparameters from observations; may cache.
        first: How many of the first trials the hyperparameters are fitted to; all, where those had one outcome.
    """
    failures, count = int(failed.sum()), len(failed)
    rate = (count - failures + 1.0) / (count + 2.0)
    if failures == 0:
        return lambda points: np.zeros(len(points))
    if failures == count:
        return _away_from(features, rate)
    labels = np.where(failed, -1.0, 1.0)
    data = _standardised(features, groups, labels)
    fitted = data if len(set(labels[:first].tolist())) == 1 else _standardised(features[:first], groups, labels[:first])
    process = GaussianProcess(data, fitter(fitted))
    hyper = process.hyperparameters
    prior = Prior(rate=float(ndtri(rate)), mean=process.mean, variance=hyper.scale + hyper.noise)
    slope = _calibrated(*process.left_out(data.values), labels, prior)

    def log_success(points: Array) -> Array:
        means, deviations = process.predict(points)
        result: Array = log_ndtr(_probit(slope, means[0], deviations**2 + hyper.noise, prior))
        return result

    return log_success


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is expected where nothing is near."""

    rate: float
    """Probit of the rate of success."""
    mean: float
    variance: float


def _standardised(features: Array, groups: Array, labels: Array) -> Observations:
    return Observations(
        features=features,
        groups=groups,
        values=(labels - labels.mean()) / labels.std(),
        variances=np.zeros(len(labels)),
        shortest=_SHORTEST,
        least_noise=_LEAST_NOISE,
    )


def _probit(slope: float, mean: Array, variance: Array, prior: Prior) -> Array:
    """The probability's argument; at the prior's mean and variance it is the rate of success."""
    offset = prior.rate * np.sqrt(1.0 + slope**2 * prior.variance)
    result: Array = (slope * (mean - prior.mean) + offset) / np.sqrt(1.0 + slope**2 * variance)
    return result


def _calibrated(mean: Array, variance: Array, labels: Array, prior: Prior) -> float:
    """The slope that makes the labels, each predicted from the others, most likely; held near `_SLOPE`."""

    def loss(logarithm: float) -> float:
        evidence = log_ndtr(labels * _probit(math.exp(logarithm), mean, variance, prior))
        return float(-evidence.sum() + 2.0 * (logarithm - math.log(_SLOPE)) ** 2)

    found = optimize.minimize_scalar(loss, bounds=(math.log(0.3), math.log(10.0)), method="bounded")
    return math.exp(float(found.x))


def _away_from(features: Array, rate: float) -> LogSuccess:
    """Nothing has succeeded yet: the farther from every failure, the better."""

    def log_success(points: Array) -> Array:
        nearest = np.array([float(np.min(((features - point) ** 2).sum(axis=1))) for point in points])
        result: Array = np.log(rate) - np.exp(-nearest)
        return result

    return log_success
