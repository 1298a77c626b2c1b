"""The classes of trials: a shape and a colour for each, told apart without colour too, and what hovering says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from subarch.report import numbers, theme
from subarch.report.search.outcome import Search, Trial

BASELINE = "#c2569b"
FAILED = "#c2410c"
_PARAMETERS_SHOWN = 24


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the trials of one class are drawn; `symbol` is one of Plotly's."""

    kind: str
    label: str
    symbol: str
    colour: str
    size: int = 9


# In the order of drawing: what matters most lies on top.
LOOKS = (
    Look(kind="beyond", label="beyond a threshold", symbol="triangle-down", colour=theme.WARN, size=11),
    Look(kind="dominated", label="dominated", symbol="circle", colour=theme.QUIET, size=8),
    Look(kind="stopped", label="stopped early", symbol="circle-open", colour=theme.TEACHER),
    Look(kind="front", label="front", symbol="diamond", colour=theme.ACCENT, size=13),
    Look(kind="baseline", label="baseline", symbol="star", colour=BASELINE, size=17),
    Look(kind="failed", label="failed", symbol="x-thin", colour=FAILED),
)
LABELS = {look.kind: look.label for look in LOOKS} | {"running": "running"}


def hover(search: Search, trial: Trial) -> str:
    """Number and class, every metric with its standard error, then the parameters; safe for Plotly."""
    values = []
    for metric in search.metrics:
        if metric.name in trial.metrics:
            error = trial.errors.get(metric.name)
            spread = f" ± {metric.written(error)}" if error else ""
            values.append(f"{escape(metric.label)} <b>{escape(metric.written(trial.metrics[metric.name]))}</b>{spread}")
    shown = [p for p in search.parameters if p.name in trial.params][:_PARAMETERS_SHOWN]
    params = [f"{escape(p.label)} {escape(value_text(trial.params[p.name]))}" for p in shown]
    return "<br>".join([heading(search, trial), *values, *outcome_lines(trial), *params])


def heading(search: Search, trial: Trial) -> str:
    """`#17, front`, the baseline's own class told too."""
    also = " on the front" if trial.kind == "baseline" and trial.number in search.front else ""
    return f"<b>{trial.name}</b> {LABELS[trial.kind]}{also}"


def outcome_lines(trial: Trial) -> Iterable[str]:
    """Why it ended before its time, and how long it took."""
    if trial.reason:
        first = trial.reason.strip().splitlines()[0] if trial.reason.strip() else ""
        yield f"<i>{escape(first if len(first) <= 70 else first[:69] + '…')}</i>"
    if trial.seconds is not None:
        yield f"took {numbers.seconds(trial.seconds)}"


def value_text(value: object) -> str:
    """A parameter's value in at most three digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
