"""Fine-tuning by Agora: the iterations, what is recorded of each, and the best model of all as the result."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from subarch.errors import DivergedError
from subarch.optimize.hyperparameters import HyperparameterSet
from subarch.session.output import OutputFolder
from subarch.session.session import Session, seconds_left
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.saving import take_model
from subarch.stages.finetuning.settings import CHECKPOINT, FinetuneConfig
from subarch.stages.growth.academy import POINTS, TRAININGS, TaskAcademy
from subarch.stages.growth.admission import Admission, divided, settings_of
from subarch.stages.growth.plan import Plan, plan_for
from subarch.stages.growth.timaeus import OUTPUTS_FILE, RESULT_FILE
from subarch.storage import read_json, write_json
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tracking.record import Run
from subarch.training.agora import Iteration, Trained, agora, best_of
from subarch.training.socrates import asked

STATE_FILE = "agora.json"


def finetune_agora(
    config: FinetuneConfig,
    session: Session,
    job: Job,
    folder_and_run: tuple[OutputFolder, Run],
    admission: Admission,
) -> dict[str, Any]:
    """Run Agora in a claimed folder, and leave the best model there.

    Args:
        config: Of the stage.
        session: Its surroundings.
        job: `prepared` data, the student, and Socrates.
        folder_and_run: The claimed folder, and the recorded run of the stage; trainings are its children.
        admission: Of this job.

    Returns:
        Metrics: `score` (on those rows of E that nothing grew from), `steps`, `best_step` and `seconds` of the best
        training, its `theta`, `iterations`, `socrates` (his accuracy on E), `points` added, `trainings` done, and
        `plan`, why it is not the whole algorithm (empty where it is).

    Raises:
        DivergedError: Every training did.
    """
    (folder, run), data, socrates = folder_and_run, job.data, job.teacher
    assert socrates is not None  # FinetuneConfig sees to it
    state = _state(config, session, job, admission, folder.path)
    thetas = [HyperparameterSet.from_json(values) for values in state["sets"]]
    plan = Plan(**state["plan"])
    rounds, settings = plan.iterations, replace(settings_of(config), first_growth=plan.first_growth)
    growing, reserved = divided(config, data.task, data.validation, rounds)
    academy = TaskAcademy(
        config=config,
        settings=settings,
        data=data,
        growing=growing,
        reserved=reserved,
        model=job.model,
        socrates=socrates,
        maker=replace(admission.maker, data=replace(data, validation=growing)),
        session=session,
        run=run,
        folder=folder.path,
        rounds=rounds,
        passes=plan.passes,
    )
    iterations: list[Iteration] = []
    told: list[dict[str, Any]] = []
    for iteration in agora(thetas, academy, rule=settings.pruning, replays=settings.replays, iterations=rounds):
        iterations.append(iteration)
        told.append(_told(iteration, academy))
        if told != state["iterations"][: len(told)]:  # else a killed run got this far
            write_json(folder.path / STATE_FILE, {**state, "iterations": told})
            _log(run, told[-1], folder.path / STATE_FILE)
        session.tell("phase", name="iteration done", detail=_line(told[-1]))
    best = best_of([iteration.best for iteration in iterations], seen_most=settings.warm_start)
    found = _deliver(academy, best, run)
    return {
        "score": told[best.iteration - 1]["best_score"],
        **{name: found[name] for name in ("steps", "best_step", "seconds")},
        "theta": best.theta.to_json(),
        "iterations": told,
        "socrates": state["socrates"],
        "plan": plan.reason,
        "points": academy.first_points + sum(row["added"] for row in told),
        "trainings": len(list((folder.path / TRAININGS).glob(f"*/{RESULT_FILE}"))),
    }


def _state(
    config: FinetuneConfig,
    session: Session,
    job: Job,
    admission: Admission,
    folder: Path,
) -> dict[str, Any]:
    """What was decided when the run began: with a budget, a resumed one would find less time and other sets."""
    path = folder / STATE_FILE
    if not path.exists():
        loop = config.loop.for_width(job.model.architecture.hidden_size)
        thetas = settings_of(config).thetas(loop, config.seed, seconds_left(session.deadline))
        plan = plan_for(config, session, job, len(thetas))
        if plan.reason:
            session.tell("phase", name="planned", detail=plan.reason)
        sets = [theta.to_json() for theta in thetas]
        write_json(path, {"sets": sets, "socrates": admission.accuracy, "plan": asdict(plan), "iterations": []})
    state: dict[str, Any] = read_json(path)
    return state


def _deliver(academy: TaskAcademy, best: Trained, run: Run) -> dict[str, Any]:
    """Make the best training's model the folder's; what came of that training."""
    if best.score is None:
        raise DivergedError("every training diverged", "lower the learning rates of --sets")
    place = academy.place_of(best)
    take_model(place, academy.folder, academy.data.task, (RESULT_FILE, OUTPUTS_FILE, CHECKPOINT))
    if (academy.folder / POINTS).exists():
        run.artifact(academy.folder / POINTS)
    found: dict[str, Any] = read_json(place / RESULT_FILE)
    return found


def _told(iteration: Iteration, academy: TaskAcademy) -> dict[str, Any]:
    sign = 1.0 if higher_is_better(academy.data.task.main_metric) else -1.0
    best, growth = iteration.best, iteration.growth
    return {
        "iteration": iteration.number,
        "replay": iteration.attempt,
        "scores": [
            {"theta": each.theta.to_json(), "score": None if each.score is None else sign * each.score}
            for each in iteration.trained
        ],
        "best": best.theta.to_json(),
        "best_score": None if best.score is None else sign * best.lasting,
        "bound": iteration.bound,
        "mistakes": None if best.score is None else asked(academy.mistakes(best)),
        **({"produced": 0, "added": 0} if growth is None else {"produced": growth.produced, "added": growth.added}),
        "pruned": [theta.to_json() for theta in iteration.pruned.removed],
        "remaining": [theta.to_json() for theta in iteration.pruned.kept],
    }


def _log(run: Run, told: dict[str, Any], state: Path) -> None:
    names = ("best_score", "bound", "mistakes", "added")
    run.log({f"agora_{name}": float(told[name]) for name in names if told[name] is not None}, step=told["iteration"])
    run.artifact(state)


def _line(told: dict[str, Any]) -> str:
    if told["best_score"] is None:
        return f"{told['iteration']}: all of {len(told['scores'])} trainings diverged"
    grown = f"{told['mistakes']} mistakes, {told['added']} points added"
    if told["mistakes"] == 0:
        grown = "no mistakes left on the expansion set"
    best = f"best of {len(told['scores'])}: {told['best_score']:.4f}"
    return f"{told['iteration']}: {best}, {grown}, sets left: {len(told['remaining'])}"
