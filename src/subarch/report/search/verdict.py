"""What the search found, in a sentence or two: how many on the front, and the best points against the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from subarch.report import numbers
from subarch.report.search import failures
from subarch.report.search.importance import inert_sentence
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Search, Trial

_COUNTED = ("count", "bytes")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The sentence, what one must know beside it, and how good the news is."""

    kind: Literal["found", "infeasible", "failed", "empty"]
    sentence: str
    caveats: tuple[str, ...] = ()


def verdict(search: Search) -> Verdict:
    """The verdict on the trials so far."""
    finished = [trial for trial in search.trials if trial.finished]
    if not search.trials or (not finished and not search.of("failed", "stopped")):
        waiting = search.of("running")
        count = f": {_trials(len(waiting))} under way" if waiting else ""
        return Verdict(kind="empty", sentence=f"No trial has ended yet{count}.")
    if not finished:
        return Verdict(kind="failed", sentence=_nothing_finished(search))
    caveats = tuple(text for text in (failures.headline(search), _durable(search), inert_sentence(search)) if text)
    if not any(search.feasible(trial) for trial in finished):
        return Verdict(kind="infeasible", sentence=_infeasible(search, finished), caveats=caveats)
    return Verdict(kind="found", sentence=_found(search, finished), caveats=caveats)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The trial that is best in `metric` and no worse than the baseline in the other objectives."""

    metric: Metric
    trial: Trial
    change: str
    text: str

    @property
    def named(self) -> str:
        """The change with the metric's name."""
        return f"{self.change} of {self.metric.label}" if self.metric.unit == "score" else self.change


def gains(search: Search, finished: Sequence[Trial]) -> list[Gain]:
    """For each objective the trial that gains most against the baseline at no loss; none without a baseline."""
    reference = search.reference
    found: list[Gain] = []
    # Costs first: "the smallest at no loss" is what most people search for.
    for metric in sorted(search.objectives, key=lambda one: one.maximised) if reference else ():
        others = [other for other in search.objectives if other is not metric]
        able = [t for t in finished if search.feasible(t) and metric.name in t.metrics]
        able = [t for t in able if reference is not None and _no_worse(t, reference, others)]
        base = reference.metrics.get(metric.name) if reference else None
        if not able or base is None:
            continue
        # Of equal ones the member of the front.
        able.sort(key=lambda t: (metric.cost(t.metrics[metric.name]), t.number not in search.front))
        value = able[0].metrics[metric.name]
        if metric.cost(value) < metric.cost(base):
            change = _change(metric, value, base)
            text = f"the {_attribute(metric, others)}: {change} ({able[0].name})"
            found.append(Gain(metric=metric, trial=able[0], change=change, text=text))
    return found


def nearest(search: Search, finished: Sequence[Trial]) -> Trial | None:
    """The trial that misses the thresholds by least, each miss as a share of what the trials span."""
    bounded = [metric for metric in search.metrics if metric.threshold is not None]
    complete = [trial for trial in finished if all(metric.name in trial.metrics for metric in bounded)]
    if not complete or not bounded:
        return None

    def miss(trial: Trial) -> float:
        total = 0.0
        for metric in bounded:
            costs = [metric.cost(one.metrics[metric.name]) for one in complete] + [metric.cost(metric.threshold)]
            span = max(costs) - min(costs) or 1.0
            total += max(metric.cost(trial.metrics[metric.name]) - metric.cost(metric.threshold), 0.0) / span
        return total

    return min(complete, key=miss)


def _found(search: Search, finished: Sequence[Trial]) -> str:
    if search.reference is not None and len(finished) == 1:
        return "So far only the baseline has finished."
    count, better = len(search.members), gains(search, finished)
    if len(search.objectives) == 1 and search.members:
        return _best(search, search.members[0], search.objectives[0])
    first = f"{count} of {_trials(len(search.trials))} {'is' if count == 1 else 'are'} on the front"
    if len(better) > 1 and len({gain.trial.number for gain in better}) == 1:
        changes = ", ".join(gain.named for gain in better)
        return f"{first}; {better[0].trial.name} is better than the baseline in every objective: {changes}."
    if better:
        return f"{first}; {'; '.join(gain.text for gain in better)}."
    if search.reference is not None:
        return f"{first}; none of them is better than the baseline at no loss."
    told = "; ".join(_record(metric, search.members) for metric in search.objectives)
    return f"{first}; {told}." if told and search.members else f"{first}."


def _best(search: Search, trial: Trial, metric: Metric) -> str:
    """The verdict where there is one objective."""
    value = trial.metrics.get(metric.name)
    text = f"{trial.name} is the best of {_trials(len(search.trials))}: {metric.label} {metric.written(value)}"
    base = search.reference.metrics.get(metric.name) if search.reference else None
    if value is None or base is None:
        return f"{text}."
    if trial.number == search.baseline:
        return f"{text}; that is the baseline."
    return f"{text}, {_change(metric, value, base)} against the baseline."


def _record(metric: Metric, trials: Sequence[Trial]) -> str:
    def cost(trial: Trial) -> float:
        return metric.cost(trial.metrics.get(metric.name))

    trial = min(trials, key=cost, default=None)
    value = trial.metrics.get(metric.name) if trial else None
    word = "best" if metric.maximised else "lowest"
    return f"{word} {metric.label} {metric.written(value)} ({trial.name})" if trial else ""


def _infeasible(search: Search, finished: Sequence[Trial]) -> str:
    bounds = [metric for metric in search.metrics if metric.threshold is not None]
    listed = ", ".join(metric.threshold_text() for metric in bounds)
    trial = nearest(search, finished)
    plural = "s" if len(bounds) > 1 else ""
    sentence = f"None of {_trials(len(finished), 'finished')} meets the threshold{plural} yet ({listed})"
    if trial is None:
        return f"{sentence}."
    missed = [metric for metric in bounds if not metric.met(trial.metrics.get(metric.name))]
    values = ", ".join(f"{metric.label} {metric.written(trial.metrics[metric.name])}" for metric in missed)
    return f"{sentence}; the nearest is {trial.name} with {values}."


def _nothing_finished(search: Search) -> str:
    failed, stopped = search.of("failed"), search.of("stopped")
    if not stopped:
        most = failures.headline(search).split("; ", 1)[1]
        what = "The only trial" if len(failed) == 1 else f"All {len(failed)} trials that ended"
        return f"{what} failed; {most}."
    return f"No trial has finished: {len(failed)} failed, {len(stopped)} were stopped early."


def _durable(search: Search) -> str:
    """Whether what was selected was measured again on data that selected nothing."""
    confirmed = [trial for trial in search.members if trial.number in search.confirmed]
    if not search.members or not search.objectives or search.running:
        return ""
    if not confirmed:
        return "These are values on the data that selected; they are optimistic until the front is confirmed"
    score = next((m for m in search.objectives if m.unit == "score"), search.objectives[0])
    points = [*dict.fromkeys(gain.trial.number for gain in gains(search, search.trials))] or [confirmed[0].number]
    points += [search.baseline] if search.baseline is not None and search.baseline not in points else []
    told = [_confirmed_text(search, score, search.by_number[number]) for number in points if number in search.by_number]
    listed = "; ".join(text for text in told if text)
    return f"Confirmed with new seeds on untouched data: {score.label} {listed}" if listed else ""


def _confirmed_text(search: Search, metric: Metric, trial: Trial) -> str:
    known = search.confirmed.get(trial.number, {}).get(metric.name, {})
    if "mean" not in known:
        return ""
    spread = f" ± {metric.written(known['std'])}" if "std" in known else ""
    name = "baseline" if trial.number == search.baseline else trial.name
    return f"{name} {metric.written(known['mean'])}{spread} (search: {metric.written(trial.metrics.get(metric.name))})"


def _no_worse(trial: Trial, reference: Trial, metrics: Sequence[Metric]) -> bool:
    return all(m.cost(trial.metrics.get(m.name)) <= m.cost(reference.metrics.get(m.name)) for m in metrics)


def _attribute(metric: Metric, others: Sequence[Metric]) -> str:
    """What the trial is: `smallest at no loss of exact match`, `best exact match at no more parameters`."""
    name = (
        metric.superlative if metric.superlative in ("smallest", "fastest") else f"{metric.superlative} {metric.label}"
    )
    if not others:
        return name
    if len(others) > 1:
        return f"{name} at no loss elsewhere"
    other = others[0]
    if other.maximised:
        return f"{name} at no loss of {other.label}"
    return f"{name} at no {'more' if other.unit in _COUNTED else 'higher'} {other.label}"


def _change(metric: Metric, value: float, base: float) -> str:
    change = metric.change(value, base)
    return change if metric.unit == "score" else f"{change} {metric.label}"


def _trials(count: int, word: str = "") -> str:
    return f"{count:,} {word + ' ' if word else ''}trial{'' if count == 1 else 's'}"


def tiles(search: Search) -> list[tuple[str, str, str]]:
    """Heading, number and remark of what one looks at first."""
    counts = [
        (len(search.of(kind)), word)
        for kind, word in (("failed", "failed"), ("stopped", "stopped"), ("running", "running"))
    ]
    remark = ", ".join(f"{count} {word}" for count, word in counts if count)
    found = [("Trials", f"{len(search.trials):,}", remark), ("On the front", str(len(search.members)), "")]
    for metric in search.objectives[:2]:
        able = [t for t in search.trials if search.feasible(t) and metric.name in t.metrics]
        if able:
            best = min(able, key=lambda t: metric.cost(t.metrics[metric.name]))
            base = search.reference.metrics.get(metric.name) if search.reference else None
            against = f"; baseline {metric.written(base)}" if base is not None else ""
            heading = f"{numbers.capital(metric.label)}, {'best' if metric.maximised else 'lowest'}"
            found.append((heading, metric.written(best.metrics[metric.name]), best.name + against))
    return found
