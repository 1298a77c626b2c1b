"""The configuration of `search`: what is tried, what it is judged by, and how far it goes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from subarch.errors import ConfigError, UserError, did_you_mean
from subarch.inputs.data import DataConfig
from subarch.optimize.domain import Choice, Domain
from subarch.optimize.early_stopping import StoppingRule
from subarch.optimize.metrics import Direction, Metric
from subarch.running.budget import parse_duration
from subarch.stages.finetuning.settings import DistillationConfig
from subarch.stages.trials.student import StudentConfig
from subarch.training.settings import LoopConfig

SECTIONS: Mapping[str, type[Any]] = {
    "student": StudentConfig,
    "loop": LoopConfig,
    "distillation": DistillationConfig,
}
"""Whose settings can be searched, as `student.num_hidden_layers`."""

MINIMISED = ("num_parameters", "encoder_parameters", "flops", "model_bytes", "latency_ms", "rmse")
"""Metrics where less is better. For all others more is better. They are at most 1; correlations may be negative."""

PASSING = ("out", "trials", "budget", "workers", "ray", "attempts", "cpus", "gpus", "confirm", "set_threshold")
"""Settings that may change from one call to the next: it is the same search all the same."""


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """What the search does with a metric: optimise it, unless it says otherwise."""

    direction: Direction | None = None
    """By default, costs are minimised and all other metrics maximised."""
    threshold: float | None = None
    """The worst value that is accepted. For a quality, a number above 1 counts as per cent."""
    store: bool = False
    """Only kept and shown."""
    constraint: bool = False
    """Only held against its threshold."""

    def named(self, name: str) -> Metric:
        """The metric of this name.

        Raises:
            ConfigError: As `Metric`.
        """
        return Metric(
            name=name,
            direction=self.direction or ("minimize" if name in MINIMISED else "maximize"),
            threshold=in_unit(name, self.threshold),
            store=self.store,
            constraint=self.constraint,
        )


@dataclass(frozen=True, kw_only=True)
class StoppingConfig:
    """When a trial is stopped because its learning curve cannot reach the front any more."""

    margin: float = 0.0
    """Added to the best that it may still reach, in the units of the metric."""
    min_progress: float = 0.2
    """No trial is stopped before this share of its training."""
    min_curves: int = 10
    """Whole curves that must have been seen; more are needed where the confidence asks for them."""
    confidence: float = 0.9
    """Of the bound on the final value, over the whole of a trial."""

    def __post_init__(self) -> None:
        self.rule("score")  # refuses what cannot be

    def rule(self, metric: str) -> StoppingRule:
        """The rule about curves of this metric."""
        return StoppingRule(metric=metric, **dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class ConfirmConfig:
    """How members of the front are trained anew, and scored on data that selected nothing."""

    members: int = 3
    """At most so many, both ends of the front and where it bends, and the baseline; 0 for none."""
    seeds: int = 3
    """New seeds of each."""

    def __post_init__(self) -> None:
        if self.members < 0 or self.seeds < 1:
            raise ConfigError(f"confirm is {self.members} members and {self.seeds} seeds, expected at least 0 and 1")


def flattened(table: Any) -> Any:
    """Dotted names for what may stand in sections: `[parameters.student] hidden_size` is `student.hidden_size`."""
    if not isinstance(table, Mapping):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = key in SECTIONS and isinstance(value, Mapping)
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if nested else {key: value}
    return flat


def checked_keys(metrics: Any) -> Any:
    """The table of metrics, whose settings are read by name.

    Raises:
        ConfigError: A setting that no metric has.
    """
    known = [f.name for f in dataclasses.fields(MetricSettings)]
    for name, settings in metrics.items() if isinstance(metrics, Mapping) else ():
        for key in settings if isinstance(settings, Mapping) else ():
            if key not in known:
                raise ConfigError(f"unknown setting metrics.{name}.{key}", did_you_mean(key, known))
    return metrics


def parse_thresholds(given: Any) -> Any:
    """`NAME=VALUE` texts as a mapping; the value `none` clears. A mapping passes.

    Raises:
        ConfigError: A text that is not of that form.
    """
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        return given
    found: dict[str, float | None] = {}
    for text in [given] if isinstance(given, str) else given:
        name, equals, value = str(text).partition("=")
        try:
            found[name.strip()] = None if value.strip().lower() == "none" else float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ConfigError(
                f"--set-threshold {text!r}, expected NAME=VALUE",
                "for example --set-threshold exact_match=55, or exact_match=none",
            )
    return found


def in_unit(name: str, threshold: float | None) -> float | None:
    """A threshold as the metric counts: qualities are shares, and 55 means 0.55 of one."""
    if threshold is None or name in MINIMISED or not 1 < threshold <= 100:
        return threshold
    return round(threshold / 100, 12)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What to search, around which teacher, on which task."""

    teacher: str
    """Folder or Hub id; fine-tuned on the task first, if it is not yet."""
    out: Path
    data: DataConfig
    seed: int = 0
    max_length: int | None = None
    """Longest input in tokens; that of the task by default."""
    train_examples: int | None = None
    """Students learn from at most so many training examples, a fixed sample of them; a teacher that is fine-tuned first
    learns from all. The teacher is asked about each of them before the first trial."""
    validation_examples: int | None = None
    """Trials are scored on at most so many validation examples, a fixed sample of them."""
    trials: int = 40
    """How many, the baseline included. More than before continues the same search."""
    budget: str | None = None
    """Wall-clock time such as 2h, counted anew by each call: no trial begins after it."""
    workers: int = 1
    """Trials at the same time."""
    ray: str | None = None
    """Address of a Ray cluster, or local; without one, this machine."""
    cpus: float = 1.0
    """Processors of a trial, on Ray."""
    gpus: float = 0.0
    """Accelerators of a trial, on Ray; may be a fraction."""
    attempts: int = 3
    """How often a trial is tried whose worker was lost."""
    sampler: str = "bayesian"
    parameters: Annotated[Mapping[str, Any], BeforeValidator(flattened)]
    """Ranges, choices and conditions of settings, by dotted name; what is fixed stands in its section below."""
    metrics: Annotated[Mapping[str, MetricSettings], BeforeValidator(checked_keys)]
    """By name; any that a trial reports."""
    baseline: Annotated[Mapping[str, float | int | str | bool] | None, BeforeValidator(flattened)] = None
    """The configuration that is tried first, and against which the others are shown."""
    student: StudentConfig = field(default_factory=StudentConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(learning_rate=1e-4, evaluations=3))
    """How students are trained."""
    distillation: DistillationConfig = field(default_factory=lambda: DistillationConfig(repeats=1))
    """How they learn from the teacher, whose answers are all known before the first trial: no batch needs repeating."""
    finetune: LoopConfig = field(default_factory=LoopConfig)
    """How the teacher is trained, if it is not yet."""
    stopping: StoppingConfig | None = None
    """Stop trials that can no longer reach the front; never by default."""
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)
    set_threshold: Annotated[Mapping[str, float | None], BeforeValidator(parse_thresholds)] = field(
        default_factory=dict
    )
    """Thresholds from now on, None for none; kept in the record until they are set again."""

    def __post_init__(self) -> None:
        for name in ("trials", "workers", "attempts", "train_examples", "validation_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1")
        if self.max_length is not None and self.max_length < 1:
            raise ConfigError(f"max_length is {self.max_length}, expected at least 1")
        if self.cpus <= 0 or self.gpus < 0:
            raise ConfigError(f"cpus is {self.cpus} and gpus {self.gpus}, expected above 0, and 0 or more")
        if self.budget is not None:
            parse_duration(self.budget)
        self._check_metrics()
        domain = self.domain
        for name, parameter in domain.parameters.items():
            ends = parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high)
            for value in ends:
                self._check_value(name, value)
        if self.baseline is not None:
            domain.validate(flattened(self.baseline))

    @property
    def domain(self) -> Domain:
        """What is searched.

        Raises:
            ConfigError: A name that is no setting, or a range that cannot be.
        """
        table = flattened(self.parameters)
        if not table:
            raise ConfigError("the search has no parameters", "give it [search.parameters], as recipes/ do")
        known = [f"{section}.{f.name}" for section, kind in SECTIONS.items() for f in dataclasses.fields(kind)]
        for name in table:
            if name not in known:
                raise ConfigError(f"unknown parameter {name!r}", _near(name, known))
        return Domain.parse(table)

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """The metrics as the search sees them at its beginning, those that are not optimised too."""
        return tuple(settings.named(name) for name, settings in self.metrics.items())

    @property
    def thresholds(self) -> dict[str, float | None]:
        """What `set_threshold` says, as the metrics count."""
        return {name: in_unit(name, value) for name, value in self.set_threshold.items()}

    def _check_metrics(self) -> None:
        metrics = {metric.name: metric for metric in self.objectives}
        if not any(metric.role == "objective" for metric in metrics.values()):
            raise ConfigError("the search optimises no metric", "give it one in [search.metrics]")
        for name, threshold in self.thresholds.items():
            if name not in metrics:
                raise ConfigError(f"the search has no metric {name!r}", did_you_mean(name, metrics))
            dataclasses.replace(metrics[name], threshold=threshold)  # refuses one on a stored metric

    def _check_value(self, name: str, value: Any) -> None:
        """Refuse a value that its setting could never have."""
        section, _, setting = name.partition(".")
        hint = typing.get_type_hints(SECTIONS[section], include_extras=True)[setting]
        try:
            dataclasses.replace(getattr(self, section), **{setting: TypeAdapter(hint).validate_python(value)})
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise ConfigError(f"the parameter {name} may be {value!r}: {message[:1].lower()}{message[1:]}") from error
        except UserError as error:
            raise ConfigError(f"the parameter {name} may be {value!r}: {error.message}", error.hint) from error


def _near(name: str, known: list[str]) -> str:
    """Only the settings of the section that was meant: all of them would fill the screen."""
    section = name.partition(".")[0]
    inside = [other for other in known if other.startswith(f"{section}.")]
    if inside:
        return did_you_mean(name, inside)
    same = [other for other in known if other.partition(".")[2] == name]
    return f"did you mean {' or '.join(same)}?" if same else f"expected a setting of {', '.join(SECTIONS)}"
