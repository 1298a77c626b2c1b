"""What Agora asks of a task, its data and Socrates before it begins: all of it is known before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from subarch.errors import DataError, ModelError
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import grown_kind, kind_of
from subarch.session.session import Session
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.growth.points import PointMaker, socrates_outputs
from subarch.stages.growth.settings import LEAST_ACCURACY, AgoraConfig
from subarch.stages.growth.transforming import mining_for, transformations_for
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.predictions import with_ids
from subarch.training.socrates import asked, balanced

SMALLEST_EXPANSION = 10
"""Questions of E below which its mistakes say nothing."""
FEW = 100
"""Questions of E below which a score on it, or on a half of it, is mostly chance: ±10 points at 95 %."""

LOPSIDED = 1.5
"""The paper's analysis presumes balanced labels, without a bound: ours is so many times as many rows of the commonest
class of E as of the rarest."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """That Agora may begin, and with whom."""

    accuracy: float
    """Socrates' on E; of numbers Pearson's correlation, for which the paper's two thirds were not meant."""
    maker: PointMaker


def prepared(config: FinetuneConfig, data: TaskData) -> TaskData:
    """D, and E as its validation split; their rows have ids that name the split too.

    Raises:
        ConfigError: A task that Agora cannot grow.
        DataError: E is too small, or has one class only.
    """
    settings = settings_of(config)
    kind = grown_kind(data.task)
    train, validation = _named(data.train, "train"), _named(data.validation, "validation")
    if settings.expansion_set == "dev":
        train, validation = train.joined(validation), _named(data.test, "dev")
    expansion = validation.sample(config.validation_examples)
    if asked(expansion) < SMALLEST_EXPANSION or expansion.labels is None:
        found = f"{asked(expansion)} {'un' if expansion.labels is None else ''}labelled examples"
        raise DataError(
            f"the expansion set has {found}, expected at least {SMALLEST_EXPANSION} labelled ones",
            "give more validation rows, with --valid",
        )
    if len(np.unique(expansion.labels)) == 1:
        raise DataError(
            "all examples of the expansion set have the same label, expected several", "give other rows with --valid"
        )
    if settings.balance != "none" and kind.has_classes:
        assert train.labels is not None
        rng = np.random.default_rng(config.seed)
        train = train.take(balanced(train.labels, len(data.task.labels), rng))
        if not len(train):
            raise DataError(
                f"a class of {data.task.name} has no training examples, so that none are left when balanced",
                "add examples of it, or set agora.balance=none",
            )
    return replace(data, train=train, validation=expansion)


def divided(config: FinetuneConfig, task: Task, expansion: Examples, rounds: int | None) -> tuple[Examples, Examples]:
    """E by what it is for: the rows that give mistakes, and those that nothing grows from.

    All of it is both where nothing is reserved; in a single round, from whose mistakes nobody learns; and where a part
    would be too small to say anything.
    """
    reserved = round(settings_of(config).reserved * asked(expansion))
    if rounds == 1 or min(reserved, asked(expansion) - reserved) < SMALLEST_EXPANSION:
        return expansion, expansion
    return grown_kind(task).divided(expansion, reserved, config.seed)


def admit(config: FinetuneConfig, session: Session, job: Job) -> Admission:
    """Make τ, and examine Socrates on E.

    Args:
        config: Of the stage.
        session: Its surroundings.
        job: `prepared` data, the student, and Socrates.

    Raises:
        UserError: A transformation or unlabelled texts that cannot be, or Socrates below two thirds of accuracy.
    """
    data, model, socrates = job.data, job.model, job.teacher
    assert socrates is not None  # FinetuneConfig sees to it
    settings = settings_of(config)
    maker = PointMaker(
        config=config,
        settings=settings,
        data=data,
        socrates=socrates,
        transformations=transformations_for(settings, data, model, socrates),
        mining=mining_for(settings, data),
    )
    for examples in (data.train, data.validation, data.test):
        maker.know(examples)
    for detail in _doubts(settings, data):
        session.tell("phase", name="warning", detail=detail)
    session.phase("examining Socrates", f"on {asked(data.validation):,} examples")
    accuracy = _accuracy(config, socrates, data)
    if accuracy < LEAST_ACCURACY:
        measured = grown_kind(data.task).worth_name
        what = f"the teacher {socrates.path} has {measured} of {accuracy:.3f} on the expansion set"
        if not (settings.force or config.data.force):
            raise ModelError(f"{what}, expected at least 2/3", "give a better teacher, or --force")
        session.tell("phase", name="warning", detail=f"{what}, below 2/3: its labels may do harm")
    return Admission(accuracy=accuracy, maker=maker)


def _doubts(settings: AgoraConfig, data: TaskData) -> Iterator[str]:
    """What speaks against E, in words."""
    task, expansion = data.task, data.validation
    if settings.expansion_set == "dev":
        yield "the dev set selects and grows too: its score is not one of unseen data"
    count = asked(expansion)
    if count < FEW:
        yield f"the expansion set has {count} examples: what it selects is mostly chance; more rows: --valid FILE"
    if kind_of(task).has_classes:
        assert expansion.labels is not None
        counts = np.bincount(expansion.labels, minlength=len(task.labels))
        if counts.max() > LOPSIDED * counts.min():
            told = ", ".join(f"{number:,} {label}" for label, number in zip(task.labels, counts, strict=True))
            yield f"the expansion set is not balanced ({told}), but the paper's analysis presumes that it is"


def settings_of(config: FinetuneConfig) -> AgoraConfig:
    """Of a stage that runs Agora."""
    assert config.agora is not None
    return config.agora


def _accuracy(config: FinetuneConfig, socrates: ModelFolder, data: TaskData) -> float:
    task, expansion = data.task, data.validation
    outputs = socrates_outputs(config, socrates, task, expansion)
    return grown_kind(task).worth(outputs, expansion)


def _named(examples: Examples, split: str) -> Examples:
    named = with_ids(examples)
    ids = [f"{split}:{name}" for name in named.columns["id"]]
    return replace(named, columns={**named.columns, "id": ids})
