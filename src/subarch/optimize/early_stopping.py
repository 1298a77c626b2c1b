"""Stop a trial whose learning curve can no longer reach the front, with any number of objectives.

The final value of the curve's metric is predicted from the curves of finished trials: a line from their score at the
same progress to their end. How far that line was off for each of them when it was left out, at the worst of several
looks along its curve, gives a bound for a new curve at all looks together. The noise of both values is in it. Stopped
trials teach nothing about how they would have ended.

The confidence asked for is a target, not a guarantee: this is the plain jackknife (of the worst look), for which
nothing is proven without further assumptions; the jackknife+ of Barber et al. 2021 (arXiv 1905.02928), which this is
not, has 1 - 2α. In 800 simulated curves of each kind in this file's test, with 0.95 asked for, 4.8, 6.6 and 5.0 %
(± 0.8) ended above the bound of some look with 19 curves to learn from, and 5.5, 6.2 and 5.0 % with 39; another
simulation had 6.2 to 7.1 % with 19. It needs curves that are exchangeable with the finished ones.

The confidence is over all trials, not over those that would reach the front. In longer runs of the simulation in this
file's test, 0.95 saved 16 to 35 % of the training and stopped 0 to 4 % of the trials that would have reached the front;
2 to 11 % where a threshold left few of those. With 0.9 it saved 22 to 46 %, for 3 to 11 % and 3 to 25 %. The worst are
curves of several kinds, where some never rise and others do so late.

Nothing is assumed of a metric that is neither known in advance nor the curve's: where one is an objective, only the
threshold of the curve's metric stops a trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from subarch.errors import ConfigError
from subarch.optimize.metrics import Metric
from subarch.optimize.parameters import Array, Params
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial

Curve = Sequence[tuple[float, float]]
"""(progress, score) in order; progress from 0 to 1."""

LOOKS = 8
"""Points along a curve at which the bound is to hold together."""
FEWEST = 3
"""Curves that a line can be fitted to with one left out."""
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class StoppingRule:
    """When a trial may be stopped.

    Raises:
        ConfigError: A margin below zero, a progress or a confidence outside (0, 1), fewer than three curves.
    """

    metric: str
    """The metric that the scores of the curves are."""
    margin: float = 0.0
    """Added to the best that the trial may still reach, in the units of the metric."""
    min_progress: float = 0.2
    """No trial is stopped before this share of its training."""
    min_curves: int = 10
    """Whole curves that must have been seen; more are needed where the confidence asks for them."""
    confidence: float = 0.95
    """Aimed at for the bound on the final value, over the whole of a trial; see above for what was measured."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise ConfigError(f"the margin of early stopping is {self.margin}, expected zero or more")
        for name in ("min_progress", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} of early stopping is {getattr(self, name)}, expected a share between 0 and 1"
                )
        if self.min_curves < FEWEST:
            raise ConfigError(f"min_curves of early stopping is {self.min_curves}, expected at least {FEWEST}")

    @property
    def curves(self) -> int:
        """Whole curves that run to their end before any trial is stopped.

        Of fewer than n = c / (1 − c) errors none is the quantile of a confidence c.
        """
        return max(self.min_curves, math.ceil(round(self.confidence / (1 - self.confidence), 6)))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether to stop, and why."""

    stop: bool
    reason: str
    predicted: tuple[float, float, float] | None = None
    """(low, mean, high) of the final value of the metric, the margin left out; None where it cannot be predicted."""


def can_still_reach_front(
    problem: Problem,
    trials: Sequence[Trial],
    curves: Mapping[int, Curve],
    running: Curve,
    params: Params,
    rule: StoppingRule,
) -> Verdict:
    """Whether the running trial is to be stopped, since even its optimistic end is dominated or beyond a threshold.

    Args:
        problem: The metrics; its known ones are taken as exact.
        trials: All of the study. Only finished ones teach how curves end.
        curves: Of ended trials, by number. What is not finite is skipped.
        running: The curve so far.
        params: The running trial's configuration.
        rule: The settings.

    Raises:
        ConfigError: The rule's metric is none of the problem's.
    """
    metric = problem.metric(rule.metric)
    if metric.role == "stored":
        return Verdict(stop=False, reason=f"{metric.name} is only stored")
    if metric.name in problem.known:
        return Verdict(stop=False, reason=f"{metric.name} is known without training")
    if not running or not all(map(math.isfinite, running[-1])):
        return Verdict(stop=False, reason="no score yet, or one that is no number")
    progress, score = running[-1]
    if not rule.min_progress <= progress < 1:
        return Verdict(stop=False, reason=f"at {progress:.0%}, trials are stopped from {rule.min_progress:.0%} on")
    whole = _whole(trials, curves, rule.metric, progress)
    if len(whole) < rule.curves:
        return Verdict(stop=False, reason=f"{len(whole)} whole curves, {rule.curves} are needed")
    predicted = _predict(whole, (progress, score), rule)
    low, _, high = predicted
    # What it has reached already, it may well keep.
    best = max(high, score) + rule.margin if metric.direction == "maximize" else min(low, score) - rule.margin
    reason = _ruled_out(problem, trials, params, metric, best)
    hope = f"{metric.name} can reach {best:.4g} at best"
    return Verdict(stop=reason is not None, reason=f"{hope}, {reason}" if reason else hope, predicted=predicted)


def _whole(
    trials: Sequence[Trial], curves: Mapping[int, Curve], name: str, progress: float
) -> list[tuple[Array, float]]:
    """Curve, shape (points, 2), and final value of the finished trials that were watched by this progress."""
    whole = []
    for trial in trials:
        end = trial.metrics.get(name, math.nan)
        points = np.array(curves.get(trial.number, ()), dtype=float).reshape(-1, 2)
        points = points[np.isfinite(points).all(1)]
        if trial.state == "finished" and math.isfinite(end) and len(points) and points[0, 0] <= progress:
            whole.append((points, end))
    return whole


def _predict(
    whole: Sequence[tuple[Array, float]], now: tuple[float, float], rule: StoppingRule
) -> tuple[float, float, float]:
    """(low, mean, high) of the end of a curve that is at (progress, score) `now`."""
    progress, score = now
    ends = np.array([end for _, end in whole])
    start = max(rule.min_progress, *(points[0, 0] for points, _ in whole))
    looks = np.array([progress, *np.linspace(start, 1, LOOKS, endpoint=False)])
    scores = np.array([np.interp(looks, points[:, 0], points[:, 1]) for points, _ in whole])
    errors = np.array([ends - _line_without_each(column, ends) for column in scores.T])
    spread = np.maximum(np.sqrt((errors**2).mean(1, keepdims=True)), TINY)
    rank = min(math.ceil(round((len(ends) + 1) * rule.confidence, 6)), len(ends)) - 1
    below, above = (np.sort((sign * errors / spread).max(0))[rank] * spread[0, 0] for sign in (-1, 1))
    mean = _line(scores[:, 0], ends, score)
    return float(mean - below), float(mean), float(mean + above)


def _line(scores: Array, ends: Array, score: float) -> float:
    """The least-squares line through (score, end) at `score`.

    Its slope is kept between 0 (the end is the same wherever it stands now) and 1 (what is gained is the same).
    """
    away = scores - scores.mean()
    across = float(away @ away)
    slope = np.clip(away @ ends / across, 0, 1) if across > TINY else 1.0
    return float(ends.mean() + slope * (score - scores.mean()))


def _line_without_each(scores: Array, ends: Array) -> Array:
    """The line at each score, fitted to all other curves."""
    others = len(scores) - 1
    x, y = scores - scores.mean(), ends - ends.mean()
    mean_x, mean_y = -x / others, -y / others
    along = (x @ y - x * y) - others * mean_x * mean_y
    across = (x @ x - x * x) - others * mean_x**2
    slope = np.clip(along / np.maximum(across, TINY), 0, 1)
    return np.asarray(ends.mean() + mean_y + slope * (x - mean_x))


def _ruled_out(problem: Problem, trials: Sequence[Trial], params: Params, metric: Metric, best: float) -> str | None:
    """Why a trial whose metric ends at `best` is not on the front; None where it may be."""
    if not metric.meets(best):
        return f"its threshold is {metric.threshold:.4g}"
    known = problem.known_metrics(params)
    hopes = [_hope(objective, best, metric.name, known) for objective in problem.objectives]
    front = problem.front(trials)
    values = problem.values(front)
    beaten = (values <= hopes).all(1) & (values < hopes).any(1)
    return f"which trial {front[int(np.argmax(beaten))].number} dominates" if beaten.any() else None


def _hope(objective: Metric, best: float, judged: str, known: Mapping[str, float]) -> float:
    """The best value of an objective that is not ruled out, minimised."""
    if objective.name == judged:
        return objective.minimised(best)
    return objective.minimised(known[objective.name]) if objective.name in known else -math.inf
