"""Gaussian process regression: hyperparameters by their posterior mode, predictions, and joint samples.

Half of the signal is what each group of features does on its own, the other half a Matérn 5/2 process of all with a
length scale a group (`surrogate/kernel.py`). A constant mean is profiled out, the noise is learned, and known variances
of single observations come on top (Rasmussen and Williams 2006, chapters 2 and 5). The prior of the length scales grows
with the root of the dimension (Hvarfner et al. 2024, arXiv 2402.02229), which keeps 10 to 20 parameters learnable from
few trials. Values are expected to be standardised, features in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from subarch.optimize.surrogate.kernel import (
    Array,
    contracted_gradient,
    matern,
    matern_and_slope,
    own_effects,
    squared_distances,
)

_OWN_SHARE = 0.5
"""Of the signal's variance: the part of what each group does on its own."""

_JITTER = 1e-8
_SCALE_PRIOR = (0.0, 0.7)
"""Mean and deviation of the logarithm of the signal's variance."""
_NOISE_PRIOR = (-6.0, 2.5)
_LONGEST = 100.0
_SCALE_BOUNDS = (math.log(0.05), math.log(20.0))
_MOST_NOISE = 2.0
_ITERATIONS = 60


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Of one process; all positive."""

    lengths: Array
    """One a group."""
    scale: float
    """Variance of the signal."""
    noise: float
    """Variance of the noise that is the same for all observations."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What a process learns from."""

    features: Array
    """Shape (n, f)."""
    groups: Array
    """Shape (f,): the length scale that a feature belongs to, 0 to groups - 1."""
    values: Array
    """Shape (n,)."""
    variances: Array
    """Shape (n,): known noise of each value, 0 where none is known."""
    shortest: float = 0.03
    """No length scale is fitted below."""
    least_noise: float = 1e-6
    """No variance of the noise is fitted below."""


def fit(data: Observations) -> Hyperparameters:
    """The mode of the posterior of the hyperparameters: the best end of L-BFGS from a smooth and from a rough start.

    A function of the data alone: no generator, no earlier fit.
    """
    number = int(data.groups.max()) + 1
    starts = (
        np.array([*[math.log(0.7 * math.sqrt(number))] * number, 0.0, math.log(1e-3)]),
        np.array([*[math.log(0.25 * math.sqrt(number))] * number, 0.0, math.log(5e-2)]),
    )
    lengths = (math.log(data.shortest), math.log(_LONGEST))
    bounds = [lengths] * number + [_SCALE_BOUNDS, (math.log(data.least_noise), math.log(_MOST_NOISE))]
    best: tuple[float, Array] | None = None
    own = _own_of(data)
    for start in starts:
        found = optimize.minimize(
            _loss_and_gradient,
            start,
            args=(data, own),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _ITERATIONS, "ftol": 1e-6},
        )
        if best is None or found.fun < best[0]:
            best = (float(found.fun), found.x)
    assert best is not None
    scale, noise = np.exp(best[1][-2:])
    return Hyperparameters(lengths=np.exp(best[1][:-2]), scale=float(scale), noise=float(noise))


def _own_of(data: Observations) -> Array:
    """The kernel of the own effects between all pairs, which no hyperparameter changes; shape (n, n)."""
    features = own_effects(data.features, data.groups.astype(int))
    return features @ features.T


def _loss_and_gradient(theta: Array, data: Observations, own: Array) -> tuple[float, Array]:
    """Minus the logarithm of marginal likelihood times priors, and its gradient by the logarithms."""
    scale, noise = np.exp(theta[-2:])
    scaled = data.features / np.exp(theta[:-2])[data.groups.astype(int)]
    joint, slope = matern_and_slope(squared_distances(scaled, scaled))
    correlation = (1.0 - _OWN_SHARE) * joint + _OWN_SHARE * own
    covariance = scale * correlation
    covariance[np.diag_indices_from(covariance)] += noise + data.variances + _JITTER * scale
    try:
        factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    whole, _ = dpotri(factor, lower=1)
    inverse = np.tril(whole) + np.tril(whole, -1).T
    weight = inverse.sum(axis=1)
    residual = data.values - (weight @ data.values) / weight.sum()
    alpha = inverse @ residual
    loss = 0.5 * float(residual @ alpha) + float(np.log(np.diag(factor)).sum())
    inner = inverse - np.outer(alpha, alpha)
    by_feature = 0.5 * contracted_gradient(inner * slope * (0.5 * (1.0 - _OWN_SHARE) * scale), scaled)
    gradient = np.zeros_like(theta)
    np.add.at(gradient, data.groups.astype(int), 2.0 * by_feature)
    gradient[-2] = 0.5 * float((inner * correlation).sum()) * scale
    gradient[-1] = 0.5 * float(np.trace(inner)) * noise
    penalty, slopes = _priors(theta)
    return loss + penalty, gradient + slopes


def _priors(theta: Array) -> tuple[float, Array]:
    """Minus the logarithm of the priors, and its gradient; log-normal densities of the hyperparameters."""
    number = len(theta) - 2
    means = np.array([*[math.sqrt(2.0) + 0.5 * math.log(number)] * number, _SCALE_PRIOR[0], _NOISE_PRIOR[0]])
    deviations = np.array([*[math.sqrt(3.0)] * number, _SCALE_PRIOR[1], _NOISE_PRIOR[1]])
    away = (theta - means) / deviations
    # The density of the lengths is by value, not by logarithm: its mode is exp(mean - variance).
    tilt = np.array([*[1.0] * number, 0.0, 0.0])
    return float((0.5 * away**2).sum() + tilt @ theta), away / deviations + tilt


@dataclass(frozen=True)
class _Places:
    """Points as the kernel takes them."""

    scaled: Array
    """Features in units of the length scales, shape (n, f)."""
    own: Array
    """`own_effects`, shape (n, k)."""

    def __len__(self) -> int:
        return len(self.scaled)

    def with_others(self, others: _Places) -> _Places:
        return _Places(np.vstack([self.scaled, others.scaled]), np.vstack([self.own, others.own]))


class GaussianProcess:
    """A process conditioned on its observations, and on joint samples at further points.

    All is kept whitened by the Cholesky factor: where a point was sampled from normals z, its whitened residual is z
    itself, so a sample adds rows and no solve.
    """

    def __init__(self, data: Observations, hyperparameters: Hyperparameters) -> None:
        self._groups = data.groups.astype(int)
        self._hyper = hyperparameters
        self._points = self._places(data.features)
        covariance = self._kernel(self._points, self._points)
        covariance[np.diag_indices_from(covariance)] += hyperparameters.noise + data.variances + self._jitter
        self._factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        ones = cho_solve((self._factor, True), np.ones(len(data.values)), check_finite=False)
        self.mean = float(ones @ data.values / ones.sum())
        # Shape (samples, points); one row while nothing is sampled.
        self._white = solve_triangular(self._factor, data.values - self.mean, lower=True, check_finite=False)[None]

    @property
    def _jitter(self) -> float:
        return _JITTER * self._hyper.scale

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those that it was made with."""
        return self._hyper

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean, shape (samples, m), and standard deviation without noise, shape (m,), at features of shape (m, f)."""
        covered = self._covered(self._places(features))
        variance = self._hyper.scale - (covered**2).sum(axis=0)
        return self.mean + self._white @ covered, np.sqrt(np.maximum(variance, self._jitter))

    def sampled(self, features: Array, normals: Array) -> tuple[Array, GaussianProcess]:
        """Joint samples at some points, and this process conditioned on each of them.

        Args:
            features: Shape (m, f).
            normals: Independent standard normals, shape (samples, m).

        Returns:
            Samples of shape (samples, m), and a process whose means have that many rows.
        """
        points = self._places(features)
        covered = self._covered(points)
        rest = self._kernel(points, points) - covered.T @ covered
        corner = _safe_cholesky(rest, self._jitter)
        samples = self.mean + self._white @ covered + normals @ corner.T
        further = object.__new__(GaussianProcess)
        further._groups, further._hyper, further.mean = self._groups, self._hyper, self.mean
        further._points = self._points.with_others(points)
        known = len(self._points)
        further._factor = np.zeros((known + len(points),) * 2)
        further._factor[:known, :known] = self._factor
        further._factor[known:, :known] = covered.T
        further._factor[known:, known:] = corner
        white = np.broadcast_to(self._white, (len(normals), known))
        further._white = np.hstack([white, normals])
        return samples, further

    def left_out(self, values: Array) -> tuple[Array, Array]:
        """Mean and variance, noise included, of each value predicted from all the others (section 5.4.2)."""
        inverse = cho_solve((self._factor, True), np.eye(len(values)), check_finite=False)
        variance = 1.0 / np.diag(inverse)
        return values - (inverse @ (values - self.mean)) * variance, variance

    def _places(self, features: Array) -> _Places:
        return _Places(features / self._hyper.lengths[self._groups], own_effects(features, self._groups))

    def _kernel(self, one: _Places, other: _Places) -> Array:
        result = matern(squared_distances(one.scaled, other.scaled))
        result *= (1.0 - _OWN_SHARE) * self._hyper.scale
        result += one.own @ (other.own.T * (_OWN_SHARE * self._hyper.scale))
        return result

    def _covered(self, points: _Places) -> Array:
        """The whitened covariance of the conditioning points with these, shape (n, m)."""
        across = self._kernel(self._points, points)
        result: Array = solve_triangular(self._factor, across, lower=True, check_finite=False, overwrite_b=True)
        return result


def _safe_cholesky(covariance: Array, jitter: float) -> Array:
    """The factor of a matrix that rounding may have made indefinite; jitter grows until it is not."""
    while True:
        try:
            result: Array = cholesky(covariance + jitter * np.eye(len(covariance)), lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            jitter *= 10.0
        else:
            return result
