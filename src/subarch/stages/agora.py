"""Fine-tuning by Agora: the iterations, what is recorded of each, and the best model of all as the result."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from subarch.errors import ConfigError, DataError, ModelError
from subarch.stages.academy import TRAININGS, TaskAcademy, clear
from subarch.stages.finetuning import FinetuneConfig
from subarch.stages.growing import LEAST_ACCURACY, AgoraConfig
from subarch.stages.inputs import ModelFolder
from subarch.stages.output import OutputFolder
from subarch.stages.points import PointMaker
from subarch.stages.saving import take_model
from subarch.stages.session import Session, seconds_left
from subarch.stages.timaeus import OUTPUTS_FILE, RESULT_FILE
from subarch.stages.transforming import mining_for, transformations_for
from subarch.storage import read_json, write_json
from subarch.tasks.base import TaskData
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import main_score
from subarch.tracking.record import Run
from subarch.training.agora import Iteration, agora, best_of
from subarch.training.predict import predict
from subarch.training.socrates import answers, asked, balanced, wrong_rows

STATE_FILE = "agora.json"
SMALLEST_EXPANSION = 10
"""Questions of E below which its mistakes say nothing."""


def prepared(config: FinetuneConfig, data: TaskData) -> TaskData:
    """D, and E as its validation split.

    Raises:
        ConfigError: A task that Agora cannot grow.
        DataError: E is too small, or has one class only.
    """
    settings = _settings(config)
    if data.task.kind == "span":
        raise ConfigError(
            f"agora cannot grow {data.task.name}: it asks for spans",
            "cast the questions as pairs, or leave --agora out",
        )
    if settings.expansion_set == "dev":
        data = replace(data, train=data.train.joined(data.validation), validation=data.test)
    expansion = data.validation.sample(config.validation_examples)
    if asked(expansion) < SMALLEST_EXPANSION or expansion.labels is None:
        raise DataError(
            f"the expansion set has {asked(expansion)} labelled examples, expected at least {SMALLEST_EXPANSION}",
            "give more validation rows",
        )
    if len(np.unique(expansion.labels)) == 1:
        raise DataError("the expansion set has one label only, expected examples of each", "give other validation rows")
    train = data.train
    if settings.balance == "discard" and data.task.kind == "classification":
        assert train.labels is not None
        rng = np.random.default_rng(config.seed)
        train = train.take(balanced(train.labels, len(data.task.labels), rng))
        if not len(train):
            raise DataError("a class without training examples, so that none are left when balanced")
    return replace(data, train=train, validation=expansion)


def finetune_agora(
    config: FinetuneConfig,
    session: Session,
    inputs: tuple[TaskData, ModelFolder, ModelFolder | None],
    folder_and_run: tuple[OutputFolder, Run],
) -> dict[str, Any]:
    """Run Agora in a claimed folder, and leave the best model there.

    Args:
        config: Of the stage.
        session: Its surroundings.
        inputs: `prepared` data, the student, and Socrates.
        folder_and_run: The claimed folder, and the recorded run of the stage; trainings are its children.

    Returns:
        Metrics: `score` (on E, which selected), `steps` and `seconds` of the best training, `iterations`, `theta`,
        `socrates`, `points`, `trainings`.

    Raises:
        ModelError: Socrates is below two thirds of accuracy on E.
    """
    (data, model, socrates), (folder, run) = inputs, folder_and_run
    settings = _settings(config)
    assert socrates is not None  # FinetuneConfig sees to it
    accuracy = _examine(config, settings, socrates, data, session)
    thetas = settings.thetas(config.loop, config.seed, seconds_left(session.deadline))
    rounds = settings.rounds(len(thetas))
    academy = TaskAcademy(
        config=config,
        settings=settings,
        data=data,
        model=model,
        socrates=socrates,
        maker=_maker(config, settings, (data, model, socrates)),
        session=session,
        run=run,
        folder=folder.path,
        rounds=rounds,
    )
    iterations: list[Iteration] = []
    for iteration in agora(thetas, academy, rule=settings.pruning, replays=settings.replays, iterations=rounds):
        iterations.append(iteration)
        write_json(folder.path / STATE_FILE, {"iterations": [_told(each, data) for each in iterations]})
        _log(run, iteration, data)
        session.phase("iteration done", _line(iteration, data))
    best = best_of([each for iteration in iterations for each in iteration.trained])
    if best.score is None:
        raise ModelError("every training diverged", "lower the learning rates of agora.sets")
    place = academy.place_of(best)
    take_model(place, folder.path, (RESULT_FILE, OUTPUTS_FILE))
    clear(folder.path)
    sign = 1.0 if higher_is_better(data.task.main_metric) else -1.0
    found = read_json(place / RESULT_FILE)
    return {
        "score": sign * best.score,
        **{name: found[name] for name in ("steps", "best_step", "seconds")},
        "theta": best.theta.to_json(),
        "iterations": [_told(each, data) for each in iterations],
        "socrates": accuracy,
        "points": sum(each.growth.added for each in iterations if each.growth),
        "trainings": len(list((folder.path / TRAININGS).glob(f"*/{RESULT_FILE}"))),
    }


def _settings(config: FinetuneConfig) -> AgoraConfig:
    assert config.agora is not None
    return config.agora


def _examine(
    config: FinetuneConfig, settings: AgoraConfig, socrates: ModelFolder, data: TaskData, session: Session
) -> float:
    """Socrates' accuracy on E (of numbers the main metric).

    Raises:
        ModelError: It is below two thirds, and nobody forces it.
    """
    task, expansion = data.task, data.validation
    encoded = socrates.encode(expansion, config.length_for(task))
    outputs = predict(socrates.classifier(task), encoded.encoded, encoded.pad_token_id)
    if task.kind == "regression":
        accuracy = main_score(task, Predictions(outputs), expansion)
    else:
        found = answers(task.kind, outputs, expansion.groups)
        accuracy = 1.0 - float(wrong_rows(task.kind, found.labels, expansion).mean())
    if accuracy < LEAST_ACCURACY:
        what = f"Socrates ({socrates.path}) has an accuracy of {accuracy:.3f} on the expansion set"
        if not settings.force:
            raise ModelError(f"{what}, expected at least 2/3", "a better teacher, or --force")
        session.phase("warning", f"{what}, below 2/3: his labels may do harm")
    return accuracy


def _maker(
    config: FinetuneConfig, settings: AgoraConfig, inputs: tuple[TaskData, ModelFolder, ModelFolder]
) -> PointMaker:
    data, model, socrates = inputs
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
    return maker


def _told(iteration: Iteration, data: TaskData) -> dict[str, Any]:
    sign = 1.0 if higher_is_better(data.task.main_metric) else -1.0
    growth = iteration.growth
    return {
        "iteration": iteration.number,
        "replay": iteration.attempt,
        "scores": [
            {"theta": each.theta.to_json(), "score": None if each.score is None else sign * each.score}
            for each in iteration.trained
        ],
        "best": iteration.best.theta.to_json(),
        "best_score": None if iteration.best.score is None else sign * iteration.best.score,
        "bound": iteration.bound,
        **({"mistakes": 0, "produced": 0, "added": 0} if growth is None else asdict(growth)),
        "pruned": [theta.to_json() for theta in iteration.pruned.removed],
        "remaining": [theta.to_json() for theta in iteration.pruned.kept],
    }


def _log(run: Run, iteration: Iteration, data: TaskData) -> None:
    told = _told(iteration, data)
    numbers = {name: told[name] for name in ("best_score", "bound", "added") if told[name] is not None}
    run.log({f"agora_{name}": float(value) for name, value in numbers.items()}, step=iteration.number)


def _line(iteration: Iteration, data: TaskData) -> str:
    told = _told(iteration, data)
    grown = f", {told['mistakes']} mistakes, {told['added']} points added" if iteration.growth else ""
    score = "none" if told["best_score"] is None else f"{told['best_score']:.4f}"
    return f"{iteration.number}: best {score} of {len(told['scores'])} sets{grown}, {len(told['remaining'])} sets left"
