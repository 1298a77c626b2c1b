"""How much a candidate is worth trying: the acquisition, from all that the trials say.

The logarithm of: the hypervolume that the candidate is expected to add before the reference point, times the
probability that it meets the constraints, times a power of the probability that it does not fail. It is averaged over
joint samples of what is not known exactly: the results of running trials, and where results are noisy, the true values
of trials that may be on the front (noisy expected hypervolume improvement, Daulton et al. 2021, arXiv 2105.08195;
Letham et al. 2019, arXiv 1706.07094, for the closed form in each sample). While no trial is feasible, improvement in
what has no threshold weighs little, so that the thresholds lead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from subarch.optimize.pareto import pareto_front
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.acquisition import (
    log_expected_improvement,
    log_hypervolume_improvement,
    log_probability_below,
)
from subarch.optimize.surrogate.boxes import open_boxes
from subarch.optimize.surrogate.candidates import Candidates, describe
from subarch.optimize.surrogate.censoring import censored_sites
from subarch.optimize.surrogate.feasibility import learn_success
from subarch.optimize.surrogate.inputs import Inputs
from subarch.optimize.surrogate.kernel import Array
from subarch.optimize.surrogate.metric_models import Evidence, Fitter, MetricModel, build_model, fitted_count
from subarch.optimize.trials import Trial

_SAMPLES = 8
_MOST_NOISY = 24
"""Members of a noisy front whose true values are sampled."""
_NOISY = 0.02
"""Posterior deviation, in deviations of the metric, from which a finished trial's value counts as uncertain."""
_WITHOUT_THRESHOLD = 0.2
"""Weight of log EI of an objective without threshold while nothing is feasible."""
_CAUTION = 3.0
"""Power of the probability of success: a failure costs a trial and teaches nothing of the metrics."""


class Utility:
    """The acquisition for one state of a search; at least one trial has finished.

    Args:
        problem: Domain, metrics and what is known.
        trials: All trials.
        fitter: Hyperparameters from observations; may cache.
        rng: Draws the joint samples, the same for all candidates.
        boldness: Factor of the models' deviations at a candidate; above 1, what is uncertain becomes more attractive.
    """

    def __init__(
        self,
        problem: Problem,
        trials: Sequence[Trial],
        fitter: Fitter,
        rng: np.random.Generator,
        boldness: float = 1.0,
    ) -> None:
        self._boldness = boldness
        ordered = sorted(trials, key=lambda trial: trial.number)
        finished = [trial for trial in ordered if trial.state == "finished"]
        self._objectives = len(problem.objectives)
        self._metrics = [*problem.objectives, *problem.constraints]
        where = describe(problem, [trial.params for trial in finished])
        self._evidence = Evidence(trials=finished, candidates=where, inputs=Inputs.of(problem.domain, where))
        self._models = [build_model(problem, metric, self._evidence, fitter) for metric in self._metrics]
        self._reference = self._warped_reference(problem, trials)
        self._feasible = any(problem.feasible(trial) for trial in finished)
        self._learn_from_stopped(problem, ordered, fitter)
        running = describe(problem, [trial.params for trial in ordered if trial.state == "running"])
        self._boxes = self._sampled_boxes(running, rng)
        self._log_success = success_of(problem, ordered, fitter)

    def __call__(self, candidates: Candidates) -> Array:
        """Shape (candidates,); higher is better, always finite or minus infinity."""
        predictions = [model.predict(candidates) for model in self._models]
        widths = [
            deviation * (1.0 if model.process is None else self._boldness)
            for model, (_, deviation) in zip(self._models, predictions, strict=True)
        ]
        deviations = np.stack(widths[: self._objectives], axis=1)
        by_sample = np.empty((len(self._boxes), len(candidates)))
        for sample, boxes in enumerate(self._boxes):
            means = [mean[min(sample, len(mean) - 1)] for mean, _ in predictions]
            objectives = np.stack(means[: self._objectives], axis=1)
            by_sample[sample] = self._improvement(boxes, objectives, deviations)
            for place in range(self._objectives, len(means)):
                limit = self._models[place].threshold
                assert limit is not None
                by_sample[sample] += log_probability_below(limit, means[place], widths[place])
        result: Array = logsumexp(by_sample, axis=0) + _CAUTION * self._log_success(candidates)
        return result

    def _improvement(self, boxes: tuple[Array, Array], means: Array, deviations: Array) -> Array:
        if self._feasible:
            return log_hypervolume_improvement(boxes, means, deviations)
        parts = log_expected_improvement(self._reference[None], means, deviations)
        leading = [model.threshold is not None for model in self._models[: self._objectives]]
        result: Array = parts @ np.where(leading, 1.0, _WITHOUT_THRESHOLD)
        return result

    def _warped_reference(self, problem: Problem, trials: Sequence[Trial]) -> Array:
        reference = problem.reference_point(trials)
        pairs = zip(self._models[: self._objectives], reference, strict=True)
        return np.array([model.warped(float(value)) for model, value in pairs])

    def _learn_from_stopped(self, problem: Problem, trials: Sequence[Trial], fitter: Fitter) -> None:
        stopped = [trial for trial in trials if trial.state == "stopped"]
        if not stopped:
            return
        values = self._finished_values(self._models)
        front = self._before_reference(values[0])
        where = describe(problem, [trial.params for trial in stopped])
        sites = censored_sites(self._models[: self._objectives], front, self._reference, stopped, where)
        self._models = [
            build_model(problem, metric, self._evidence, fitter, sites.get(metric.name, ())) for metric in self._metrics
        ]

    def _finished_values(self, models: Sequence[MetricModel]) -> Array:
        """Means at the finished trials, shape (samples or 1, trials, metrics)."""
        means = [model.predict(self._evidence.candidates)[0] for model in models]
        samples = max(len(mean) for mean in means)
        return np.stack([np.broadcast_to(mean, (samples, mean.shape[1])) for mean in means], axis=2)

    def _before_reference(self, values: Array) -> Array:
        """Objectives of the rows that meet the constraints and lie before the reference; shape (n, objectives)."""
        limits = [model.threshold for model in self._models[self._objectives :]]
        met = (values[:, self._objectives :] <= np.array(limits, dtype=float) + 2 * 1e-6).all(axis=1)
        objectives = values[met, : self._objectives]
        result: Array = objectives[(objectives < self._reference).all(axis=1)]
        return result

    def _sampled_boxes(self, running: Candidates, rng: np.random.Generator) -> list[tuple[Array, Array]]:
        """What is open in each joint sample; conditions the models on the samples."""
        uncertain = self._evidence.candidates.at(self._uncertain()).with_others(running)
        values = self._finished_values(self._models)
        if len(uncertain):
            half = [rng.standard_normal((_SAMPLES // 2, len(uncertain))) for _ in self._models]
            # Pairs of opposite signs halve the error of what is nearly linear.
            drawn = [
                model.sampled(uncertain, np.vstack([normals, -normals]))
                for model, normals in zip(self._models, half, strict=True)
            ]
            self._models = [model for _, model in drawn]
            samples = np.stack([sample for sample, _ in drawn], axis=2)
            values = np.broadcast_to(self._finished_values(self._models), (_SAMPLES, *values.shape[1:]))
            values = np.concatenate([values, samples[:, len(uncertain) - len(running) :]], axis=1)
        return [open_boxes(self._before_reference(sample), self._reference) for sample in values]

    def _uncertain(self) -> list[int]:
        """Finished trials with noisy results that may be on the front, the most promising first."""
        predictions = [model.predict(self._evidence.candidates) for model in self._models]
        deviations = np.stack([deviation for _, deviation in predictions], axis=1)
        noisy = (deviations > _NOISY).any(axis=1)
        if not noisy.any():
            return []
        means = np.stack([mean[0] for mean, _ in predictions], axis=1)[:, : self._objectives]
        hopeful = means - deviations[:, : self._objectives]
        front = means[pareto_front(means.tolist())]
        no_worse = (front[None] <= hopeful[:, None]).all(axis=2)
        better = (front[None] < hopeful[:, None]).any(axis=2)
        beaten: NDArray[np.bool_] = np.any(no_worse & better, axis=1)
        places = [int(place) for place in np.flatnonzero(noisy & ~beaten)]
        gaps = (means[:, None] - front[None]).max(axis=2).min(axis=1)
        return sorted(places, key=lambda place: (gaps[place], place))[:_MOST_NOISY]


def success_of(problem: Problem, trials: Sequence[Trial], fitter: Fitter) -> Callable[[Candidates], Array]:
    """The logarithm of the probability of success, from the trials that ended; running ones are left out."""
    ended = sorted((trial for trial in trials if trial.ended), key=lambda trial: trial.number)
    failed = np.array([trial.state == "failed" for trial in ended], dtype=bool)
    where = describe(problem, [trial.params for trial in ended])
    inputs = Inputs.of(problem.domain, where)
    log_success = learn_success(inputs(where), inputs.groups, failed, fitter, fitted_count(len(ended)))
    return lambda candidates: log_success(inputs(candidates))
