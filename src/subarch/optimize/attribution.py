"""How much of a metric's spread each parameter explains, from a few dozen or hundred scattered trials.

The model is a bag of learners, each fitted to a bootstrap sample: a ridge regression on polynomials of the single
parameters with a regression tree on what it leaves, or the tree alone; the kind that predicts better out of bag is
taken. All that follows is out of bag. Write f for the prediction, f₋ⱼ for it averaged over the values of parameter j,
fⱼ for it averaged over all others:

    main effect of j     Mⱼ = E[(y − f₋ⱼ)(fⱼ − E fⱼ)]
    total effect of j    Tⱼ = E[(y − f₋ⱼ)(f − f₋ⱼ)]
    explained            V = E[(y − E y)(f − E f)]

For a perfect model they are the numerators and the denominator of the first-order and total Sobol indices (Saltelli et
al. 2010, Computer Physics Communications 181). One factor is the measured y, so what was only learned by heart counts
nothing; y − f₋ⱼ instead of y keeps out the noise of the other parameters, and what j only seems to do because the
search moved it together with them (Robinson 1988, Econometrica 56).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from subarch.optimize.parameters import Array

Indices = NDArray[np.intp]

LEAF = 3
"""Trials in a leaf, at least."""
SPLIT_SHARE = 0.7
"""Of the columns, what a split may choose among."""
PENALTIES = tuple(np.logspace(-3, 1.5, 10))
"""Of the ridge regression, a trial."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """The configurations of the trials, as a model takes them."""

    values: NDArray[np.float32]
    """Shape (trials, columns), within [0, 1]. What is inactive holds a value drawn from the active ones, so that it
    cannot tell what its parent did."""
    active: NDArray[np.bool_]
    """Shape (trials, parameters)."""
    columns: tuple[Indices, ...]
    """Of each parameter."""
    numeric: tuple[bool, ...]
    """Whether a parameter is a number rather than a choice."""

    def shuffled(self, parameters: Indices, rng: np.random.Generator) -> Design:
        """With the values of some parameters dealt anew among the trials in which they are active."""
        values = self.values.copy()
        for parameter in parameters:
            rows, columns = np.flatnonzero(self.active[:, parameter]), self.columns[parameter]
            values[np.ix_(rows, columns)] = values[np.ix_(rng.permutation(rows), columns)]
        return replace(self, values=values)


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Per trial, the terms whose means are the effects, in the metric's unit squared."""

    main: Array
    """Shape (trials, parameters)."""
    total: Array
    """Shape (trials, parameters)."""
    explained: Array
    """Shape (trials,)."""
    marginal: Array
    """fⱼ, shape (trials, parameters), in the metric's unit."""
    error: float
    """Mean squared error out of bag."""
    additive: bool
    """Whether there is a ridge regression under the trees."""


def attribute(design: Design, y: Array, learners: int, rng: np.random.Generator) -> Attribution:
    """The effects of every parameter on y, shape (trials,), by the better kind of learners."""
    everything = np.arange(len(design.columns))
    both = [attribute_by(additive, design, y, everything, learners, rng) for additive in (False, True)]
    return min(both, key=lambda attribution: attribution.error)


def attribute_by(
    additive: bool, design: Design, y: Array, parameters: Indices, learners: int, rng: np.random.Generator
) -> Attribution:
    """The effects of some parameters, in their order, by one kind of learners.

    Args:
        additive: Whether there is a ridge regression under the tree.
        design: The trials.
        y: Shape (trials,).
        parameters: Those whose effects are wanted.
        learners: How many to fit.
        rng: Draws the bags.
    """
    count = len(y)
    basis = _Basis.of(design) if additive else None
    penalty = basis.penalty(y) if basis else 0.0
    sums = np.zeros((2 * len(parameters) + 1, count))
    seen = np.zeros(count)
    for _ in range(learners):
        bag = rng.integers(0, count, count)
        out = np.setdiff1d(np.arange(count), bag)
        parts = basis.parts(y, bag, penalty) if basis else np.zeros(design.active.shape)
        level = y[bag].mean()
        seed = int(rng.integers(1 << 31))
        tree = DecisionTreeRegressor(min_samples_leaf=LEAF, max_features=SPLIT_SHARE, random_state=seed)
        left = y[bag] - level - parts[bag].sum(1)
        # Checked inputs would cost as much time as the tree itself.
        tree.fit(np.ascontiguousarray(design.values[bag]), left[:, None], check_input=False)
        if len(out):
            sums[:, out] += level + _swapped(design, parameters, tree, parts, (out, rng.permutation(out)))
            seen[out] += 1
    some = seen > 0
    counted = some[:, None] & design.active[:, parameters]
    return _effects(y, sums / np.maximum(seen, 1), some, counted, additive)


def _swapped(
    design: Design, parameters: Indices, tree: DecisionTreeRegressor, parts: Array, pairs: tuple[Indices, Indices]
) -> Array:
    """Predictions for trials paired with others.

    Returns:
        Shape (1 + 2 parameters, pairs): as they are; with everything but the parameter from the other; with
        the parameter from the other.
    """
    (rows, others), count = pairs, len(parameters)
    own, dealt = design.values[rows], design.values[others]
    points = np.concatenate([own[None], np.repeat(dealt[None], count, 0), np.repeat(own[None], count, 0)])
    for place, parameter in enumerate(parameters, start=1):
        columns = design.columns[parameter]
        points[place][:, columns], points[count + place][:, columns] = own[:, columns], dealt[:, columns]
    moved = (parts[rows] - parts[others]).T[parameters]
    here, there = parts[rows].sum(1), parts[others].sum(1)
    linear = np.concatenate([here[None], there + moved, here - moved])
    return np.asarray(tree.predict(points.reshape(-1, own.shape[1]), check_input=False).reshape(linear.shape) + linear)


def _effects(
    y: Array, means: Array, seen: NDArray[np.bool_], counted: NDArray[np.bool_], additive: bool
) -> Attribution:
    """The terms of the means over learners, shape (1 + 2 parameters, trials).

    Args:
        y: Shape (trials,).
        means: Shape (1 + 2 parameters, trials).
        seen: Trials that were out of a bag.
        counted: Of those, the trials in which a parameter is active, shape (trials, parameters).
        additive: Of the learners.
    """
    count = len(means) // 2
    prediction, marginal, rest = means[0], means[1 : count + 1].T, means[count + 1 :].T
    left = y[:, None] - rest
    left = (left - left[seen].mean(0)) * counted
    return Attribution(
        main=left * (marginal - marginal[seen].mean(0)),
        total=left * (prediction[:, None] - rest),
        explained=(y - y[seen].mean()) * (prediction - prediction[seen].mean()) * seen,
        marginal=marginal,
        error=float(np.mean((y - prediction)[seen] ** 2)),
        additive=additive,
    )


@dataclass(frozen=True)
class _Basis:
    """Each parameter's own functions at the trials: powers of numbers up to the third, indicators of choices."""

    values: Array
    """Shape (trials, functions); mean 0 and deviation 1 over the trials where the parameter is active, 0 elsewhere."""
    owner: Array
    """Shape (functions, parameters), one-hot."""

    @classmethod
    def of(cls, design: Design) -> _Basis:
        blocks, owners = [], []
        for parameter, columns in enumerate(design.columns):
            block = design.values[:, columns]
            if design.numeric[parameter]:
                place = 2 * block - 1
                block = np.hstack([place, place**2, place**3 - 0.6 * place])
            active = design.active[:, [parameter]]
            block = block - block.mean(0, where=active)
            scale = block.std(0, where=active)
            blocks.append(np.where(active & (scale > 1e-9), block / np.maximum(scale, 1e-9), 0.0))
            owners += [parameter] * block.shape[1]
        return cls(np.hstack(blocks), np.eye(len(design.columns))[owners])

    def penalty(self, y: Array) -> float:
        """The ridge penalty with the least generalised cross-validation error."""
        left, sizes, _ = np.linalg.svd(self.values, full_matrices=False)
        target = y - y.mean()
        turned = left.T @ target
        count = len(y)

        def error(penalty: float) -> float:
            kept = sizes**2 / (sizes**2 + penalty * count)
            residual = target - left @ (kept * turned)
            return float(residual @ residual / max(1 - (1 + kept.sum()) / count, 0.05) ** 2)

        return float(min(PENALTIES, key=error))

    def parts(self, y: Array, bag: Indices, penalty: float) -> Array:
        """Each parameter's contribution at every trial, fitted to the bag; shape (trials, parameters)."""
        bagged = self.values[bag]
        gram = bagged.T @ bagged + penalty * len(bag) * np.eye(self.values.shape[1])
        weights = np.linalg.solve(gram, bagged.T @ (y[bag] - y[bag].mean()))
        return np.asarray((self.values * weights) @ self.owner)
