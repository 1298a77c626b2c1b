"""Search the settings of training, architecture and distillation together, for several metrics with thresholds."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from subarch.errors import BudgetError, ConfigError, did_you_mean
from subarch.inputs.data import load_data
from subarch.inputs.looking import look
from subarch.inputs.models import ModelFolder, aligned
from subarch.optimize.early_stopping import StoppingRule
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.base import Sampler
from subarch.optimize.samplers.registry import make_sampler
from subarch.running.accelerators import visible_accelerators
from subarch.running.budget import Deadline, parse_duration
from subarch.running.executor import Executor
from subarch.running.process_executor import ProcessExecutor
from subarch.running.processes import available_processes
from subarch.session.output import RUN_FILE, OutputFolder, Result, claim, is_finished, plain, read_run
from subarch.session.session import Session
from subarch.stages.trials.attempts import Trying
from subarch.stages.trials.confirming import Confirmation
from subarch.stages.trials.costs import known_metrics, metrics_of
from subarch.stages.trials.driver import Driver, Plan
from subarch.stages.trials.ledger import Entry, Ledger, read_thresholds, write_thresholds
from subarch.stages.trials.params import possible_values
from subarch.stages.trials.reporting import Reporter
from subarch.stages.trials.settings import PASSING, SearchConfig
from subarch.stages.trials.shared import from_anywhere, prepare_shared, require_usable
from subarch.stages.trials.thresholds import apply, has_notes, is_busy, leave_note, noted
from subarch.stages.trials.trial import TrialTask, run_trial
from subarch.storage import write_json
from subarch.tasks.base import Task, TaskData
from subarch.tracking.record import Run
from subarch.training.processes import require_one_process

__all__ = ["SearchConfig", "search"]

_log = logging.getLogger(__name__)

Place = Literal["trials", "confirmations"]

ASKED = ("trials", "budget", "confirm")
"""What a finished search was asked for: asked for something else, it goes on."""


def search(config: SearchConfig, session: Session | None = None) -> Result:
    """Try configurations, towards the best trade-off of all metrics within their thresholds.

    The same call continues a search that was killed, and adds trials to a finished one where it asks for more. With
    `set_threshold`, a finished search is ranked anew and nothing trained; one that another process runs gets a note.

    Returns:
        Metrics: `trials`, `failed`, `stopped`, `lost` (put aside, since their workers died), `front` (number, params,
        metrics, run_id, and confirmed: mean, std and count of each metric under new seeds on the test split),
        `baseline`, `hypervolume`, `thresholds`, `unmet` (what no trial meets yet, and the nearest), `inert` (parameters
        that move nothing), `data` (as `looking.look`); files: `report.html`, and the students on the front. Of a note
        only `noted`.

    Raises:
        UserError: Data, teacher, settings or output folder that cannot be used.
        InterruptedRun: Stopped by the user; what ended is kept, and what ran is tried again.
        SubarchError: A full disk, or workers that die one after the other.
    """
    require_one_process("search")
    session = session or Session()
    if config.set_threshold and is_busy(config.out):
        return _note(config)
    teacher = ModelFolder.of(config.teacher)
    loaded = load_data(config.data)
    data = aligned(loaded, teacher)
    _require_metrics(config, data.task)
    require_usable(config, teacher, data)
    sampler = make_sampler(config.sampler, config.seed)
    settings = plain(config)
    identity = {name: getattr(config, name) for name in settings if name not in PASSING}
    with ExitStack() as opened:
        # Before anything is written, since a cluster that cannot be reached is the user's to mend.
        executor = None if is_finished(config.out) else opened.enter_context(opened_executor(config, session))
        described = {} if is_finished(config.out) else _look(config, session, teacher, loaded)
        session = replace(session, teacher_known=True)
        folder = opened.enter_context(
            claim(config.out, "search", identity, data.fingerprint, {"teacher": teacher.path})
        )
        earlier = folder.result
        as_before = earlier is not None and all(earlier.config[name] == settings[name] for name in ASKED)
        ranks_anew = as_before and (bool(config.set_threshold) or has_notes(folder.path))
        if earlier is not None and as_before and not ranks_anew and _is_complete(earlier):
            return earlier
        write_json(folder.path / RUN_FILE, {**read_run(folder.path), "asked": _repeatable(settings)})
        with session.recorded(folder, f"search {data.task.name}") as run:
            told = described or ({} if earlier is None else earlier.metrics.get("data", {}))
            scene = _Scene(
                config=config, session=session, folder=folder, run=run, teacher=teacher, data=data, described=told
            )
            if not ranks_anew:
                prepare_shared(config, session.inside(run.run_id, session.deadline), scene.shared)
            work = _Search(scene, sampler)
            if not ranks_anew:
                work.try_all(executor or opened.enter_context(opened_executor(config, session)))
            metrics = work.summed_up()
            seconds = scene.seconds + (0.0 if earlier is None else earlier.seconds)
        folder.config = _repeatable(settings) | {"out": settings["out"], "set_threshold": work.thresholds}
        return folder.finish(metrics, work.artifacts, run.run_id, seconds)


def _look(config: SearchConfig, session: Session, teacher: ModelFolder, data: TaskData) -> dict[str, Any]:
    """Compare teacher, tokenizer and texts before anything is trained."""
    shares = possible_values(config, "student.vocabulary")
    cuts = shares is None or any(share < 1 for share in shares)
    return look(teacher, data, config.max_length or data.task.max_length, session, config.data, cuts=cuts)


@contextmanager
def opened_executor(config: SearchConfig, session: Session) -> Iterator[Executor]:
    """Where the trials run: on a cluster, in processes of this machine, or where the session says.

    Raises:
        ConfigError: A cluster that cannot be reached, or more workers than fit.
        MissingExtraError: Ray is not installed.
    """
    if config.ray is not None:
        from subarch.running.ray_executor import RayExecutor

        with RayExecutor(config.ray, workers=config.workers, cpus=config.cpus, gpus=config.gpus) as cluster:
            yield cluster
        return
    processors = available_processes()
    if config.workers > processors:
        raise ConfigError(
            f"workers is {config.workers}, but this machine has {processors} processors",
            f"--workers {processors}, or --ray ADDRESS for a cluster",
        )
    if config.workers == 1:
        yield session.executor
    else:
        yield ProcessExecutor(config.workers, accelerators=visible_accelerators())


def accelerator_share(config: SearchConfig) -> float:
    """Which part of an accelerator's memory a trial may have, by how many trials work on one; 1 where there is none."""
    if config.ray is not None:
        return min(1.0, config.gpus or 1.0)
    return 1 / math.ceil(config.workers / max(1, len(visible_accelerators()) or config.workers))


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """A claimed folder, a recorded run, and what the search is about."""

    config: SearchConfig
    session: Session
    folder: OutputFolder
    run: Run
    teacher: ModelFolder
    data: TaskData
    described: dict[str, Any]
    """What was told of the data when the search began."""
    started: float = field(default_factory=time.monotonic)

    @property
    def shared(self) -> Path:
        """Folder of what trials share."""
        return self.folder.path / "shared"

    @property
    def seconds(self) -> float:
        """Since the search began, in this call."""
        return time.monotonic() - self.started

    @property
    def deadline(self) -> Deadline:
        """When the last trial begins."""
        given = self.config.budget
        own = math.inf if given is None else self.started + parse_duration(given)
        return Deadline(at=min(own, self.session.deadline.at))

    @property
    def facts(self) -> dict[str, str]:
        """For the page."""
        config = self.config
        return {"teacher": config.teacher, "task": self.data.task.name, "sampler": config.sampler} | {
            "seed": str(config.seed)
        }


class _Search:
    """The search itself, from where its record stands."""

    def __init__(self, scene: _Scene, sampler: Sampler) -> None:
        config, record, run_id = scene.config, scene.session.record, scene.run.run_id
        self.scene, self.config, self.session = scene, config, scene.session
        task = scene.data.task
        known = known_metrics(config, scene.teacher, task, scene.shared)
        plan = Plan(
            problem=Problem(domain=config.domain, metrics=config.objectives, known=known),
            sampler=sampler,
            trials=config.trials,
            seed=config.seed,
            baseline=config.baseline,
            rule=_rule(config, task, known),
            deadline=scene.deadline,
        )
        self.driver = Driver(plan, Ledger(record, run_id))
        self.thresholds = read_thresholds(record, run_id)
        """Those that were set after the search began."""
        apply(self.driver.study, self.thresholds)
        self._set(config.thresholds)
        self._take_notes()
        self.confirmation = Confirmation(
            driver=self.driver,
            ledger=Ledger(record, run_id, "confirmation"),
            members=config.confirm.members,
            seeds=config.confirm.seeds,
        )
        notes = [*scene.described.get("lines", ()), *scene.described.get("found", ())]
        self.reporter = Reporter(
            folder=scene.folder.path, title=f"search {task.name}", facts=scene.facts, notes=tuple(notes)
        )
        self._tidied: set[int] = set()

    @property
    def artifacts(self) -> dict[str, Path]:
        """The page, and the students on the front and of the baseline."""
        entries = [self.driver.entries[number] for number in sorted(self._worth_keeping)]
        students = {f"student {entry.number}": self._out(entry, "trials") for entry in entries}
        return {"report": self.reporter.path} | {name: path for name, path in students.items() if path.is_dir()}

    @property
    def _worth_keeping(self) -> set[int]:
        baseline = self.driver.baseline
        return {trial.number for trial in self.driver.study.front()} | ({baseline} if baseline is not None else set())

    def try_all(self, executor: Executor) -> None:
        """Try what remains, and confirm the front."""
        driver = self.driver
        if not driver.ended and self.scene.deadline.expired:
            raise BudgetError("the budget was spent before the first trial", "give a longer --budget: it resumes")
        self.session.phase("searching", f"{driver.remaining} of {driver.ended + driver.remaining} trials to go")
        driver.run(self._trying(executor, "trials"), self._on_told)
        self._take_notes()
        waiting = self.confirmation.waiting
        if waiting:
            self.reporter.write(driver, running=True)
            self.session.phase("confirming", f"trials {', '.join(map(str, waiting))} under new seeds on untouched data")
            for entry in self.confirmation.run(self._trying(executor, "confirmations")):
                shutil.rmtree(self._out(entry, "confirmations"), ignore_errors=True)
                self.session.tell("confirmed", number=entry.number, waiting=len(self.confirmation.waiting))

    def summed_up(self) -> dict[str, Any]:
        """Write the last page, and return the metrics of the result."""
        run = self.scene.run
        metrics = self.reporter.write(self.driver, self.confirmation.results())
        metrics |= {"waiting": self.confirmation.waiting, "data": self.scene.described}
        run.log({"hypervolume": metrics["hypervolume"], "front": len(metrics["front"])}, step=metrics["trials"])
        run.artifact(self.reporter.path)
        if metrics["unmet"] is not None:
            _log.warning("%s", metrics["unmet"])
        reasons = [trial.reason for trial in self.driver.study.trials if trial.state == "failed"]
        if reasons and len(reasons) == metrics["trials"]:
            _log.warning("every trial failed, the first one since: %s", reasons[0])
        return metrics

    def _trying(self, executor: Executor, place: Place) -> Trying:
        return Trying(
            executor=executor,
            function=run_trial,
            task_of=lambda entry: self._task(entry, place),
            attempts=self.config.attempts,
            stop_requested=self.session.stop_requested,
        )

    def _task(self, entry: Entry, place: Place) -> TrialTask:
        return TrialTask(
            number=entry.number,
            params=dict(entry.params),
            seed=entry.seed,
            # The nodes of a cluster have other working directories; processes of this machine have ours.
            search=self.config if self.config.ray is None else from_anywhere(self.config),
            shared=self.scene.shared.absolute(),
            out=self._out(entry, place).absolute(),
            accelerator_share=accelerator_share(self.config),
            split="validation" if place == "trials" else "test",
        )

    def _out(self, entry: Entry, place: Place) -> Path:
        name = f"{entry.number:04d}" if place == "trials" else f"{entry.number:04d}-{entry.seed}"
        return self.scene.folder.path / place / name

    def _on_told(self, driver: Driver, entry: Entry, value: Mapping[str, Any]) -> None:
        self.reporter.keep_slices(entry, value)
        self._take_notes()
        self._tidy()
        self.session.tell("trials", **driver.progress())
        self.reporter.refresh(driver)

    def _tidy(self) -> None:
        """Remove the students that nobody will pick: hundreds of them would fill a disk."""
        wanted = self._worth_keeping
        for number, entry in self.driver.entries.items():
            if entry.ending is not None and number not in wanted | self._tidied:
                shutil.rmtree(self._out(entry, "trials"), ignore_errors=True)
                self._tidied.add(number)

    def _take_notes(self) -> None:
        with noted(self.scene.folder.path) as thresholds:
            self._set(thresholds)

    def _set(self, thresholds: Mapping[str, float | None]) -> None:
        """Change thresholds, in the record too."""
        if thresholds:
            apply(self.driver.study, thresholds)
            self.thresholds |= thresholds
            write_thresholds(self.scene.run, self.thresholds)


def _require_metrics(config: SearchConfig, task: Task) -> None:
    """Raise ConfigError for a metric that no trial of this task reports."""
    known = metrics_of(task)
    for name in config.metrics:
        if name not in known:
            raise ConfigError(f"unknown metric {name!r} of {task.name}", did_you_mean(name, known))


def _rule(config: SearchConfig, task: Task, known: Mapping[str, Any]) -> StoppingRule | None:
    """The rule about curves, which are the task's main metric; where that is only stored, about what goes with it."""
    if config.stopping is None:
        return None
    learnt = [metric.name for metric in config.objectives if metric.role != "stored" and metric.name not in known]
    if not learnt:
        raise ConfigError("stopping needs a metric that training decides, got none", "leave out [search.stopping]")
    return config.stopping.rule(task.main_metric if task.main_metric in learnt else learnt[0])


def _is_complete(result: Result) -> bool:
    return not result.metrics["lost"] and not result.metrics["waiting"]


def _repeatable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a later call needs that names the folder alone."""
    return {name: value for name, value in settings.items() if name not in ("out", "set_threshold")}


def _note(config: SearchConfig) -> Result:
    leave_note(config.out, config.thresholds, config.metrics)
    return Result(
        stage="search",
        version=version("subarch"),
        config=plain(config),
        metrics={"noted": config.thresholds},
        artifacts={},
        run_id=None,
        seconds=0.0,
    )
