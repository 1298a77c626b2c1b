"""The suites: which tasks they hold, and how their makers average them.

The official average is a mean over tasks of the mean over a task's metrics (GLUE, Wang et al. 2019b, section 5;
SuperGLUE, Wang et al. 2019a, section 4): in GLUE the matched and the mismatched part of MNLI are two metrics of one
task, and the diagnostic sets (AX; AX-b and AX-g) count nowhere. RACE (Lai et al. 2017) has no mean of tasks: it is the
accuracy over the questions of both its parts, of which high school has more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subarch.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Part:
    """A task of a suite, as the average sees it."""

    name: str
    scored: Mapping[str, tuple[str, ...]]
    """Metrics that are averaged, by the name under which they were measured."""
    weight: int = 1
    """Relative weight: 1 each, or the number of questions where the suite averages over these."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark of several tasks."""

    name: str
    parts: tuple[Part, ...]
    diagnostics: tuple[str, ...] = ()
    """Sets without training data that are scored, but not averaged."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that have training data, in the official order."""
        return tuple(part.name for part in self.parts)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Names of all that is scored or predicted, those without training data too."""
        scored = [name for part in self.parts for name in part.scored]
        return (*scored, *self.diagnostics)


@dataclass(frozen=True, kw_only=True)
class SuiteAverage:
    """Scores of a suite, as fractions."""

    average: float | None
    """The official one; None where a task is missing, since it would be another number."""
    average_of_present: float | None
    """The same over the tasks that are there; None where none is."""
    scores: dict[str, float]
    """Of each task that is there, the mean of its metrics."""
    missing: tuple[str, ...]
    """What keeps the official average away: names of tasks, or "task: metric"."""


def _part(name: str, *metrics: str, weight: int = 1) -> Part:
    return Part(name=name, scored={name: metrics}, weight=weight)


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="glue",
            parts=(
                _part("cola", "matthews_correlation"),
                _part("sst2", "accuracy"),
                _part("mrpc", "f1", "accuracy"),
                _part("stsb", "pearson", "spearman"),
                _part("qqp", "f1", "accuracy"),
                Part(name="mnli", scored={"mnli": ("accuracy",), "mnli_mismatched": ("accuracy",)}),
                _part("qnli", "accuracy"),
                _part("rte", "accuracy"),
                _part("wnli", "accuracy"),
            ),
            diagnostics=("ax",),
        ),
        Suite(
            name="superglue",
            parts=(
                _part("boolq", "accuracy"),
                _part("cb", "f1_macro", "accuracy"),
                _part("copa", "accuracy"),
                _part("multirc", "f1_answers", "exact_match"),
                _part("record", "f1", "exact_match"),
                _part("superglue_rte", "accuracy"),
                _part("wic", "accuracy"),
                _part("wsc", "accuracy"),
            ),
            diagnostics=("axb", "axg"),
        ),
        Suite(
            name="race",
            # Questions of the official test sets.
            parts=(_part("race_middle", "accuracy", weight=1436), _part("race_high", "accuracy", weight=3498)),
        ),
    )
}


def find_suite(name: str) -> Suite:
    """The suite of that name, without regard to case; ConfigError where there is none."""
    suite = SUITES.get(name.lower())
    if suite is None:
        raise ConfigError(f"unknown suite {name!r}", did_you_mean(name, SUITES))
    return suite


def suite_average(
    suite: str, scores: Mapping[str, Mapping[str, float]], questions: Mapping[str, int] | None = None
) -> SuiteAverage:
    """The official average of a suite.

    Args:
        suite: A key of `SUITES`.
        scores: Of each task, its metrics as fractions; "mnli_mismatched" is one of its own.
        questions: Of RACE, how many questions of each part were scored; those of the official test sets where not
            given.
    """
    means: dict[str, float] = {}
    weights: dict[str, int] = {}
    missing: list[str] = []
    for part in find_suite(suite).parts:
        lacking = [
            name if name not in scores else f"{name}: {metric}"
            for name, metrics in part.scored.items()
            for metric in metrics
            if metric not in scores.get(name, {})
        ]
        missing += dict.fromkeys(lacking)
        if not lacking:
            values = [scores[name][metric] for name, metrics in part.scored.items() for metric in metrics]
            means[part.name] = sum(values) / len(values)
            weights[part.name] = part.weight if part.weight == 1 or not questions else questions[part.name]
    present = sum(means[name] * weights[name] for name in means) / sum(weights.values()) if means else None
    return SuiteAverage(
        average=None if missing else present,
        average_of_present=present,
        scores=means,
        missing=tuple(missing),
    )
