"""The main job: a teacher and a task in; a smaller, faster student out, with the report that says what it is worth."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.arch.pretrained import has_mlm_head
from subarch.deploy.formats.registry import FORMATS
from subarch.errors import ConfigError
from subarch.inputs.data import load_data
from subarch.inputs.looking import look
from subarch.inputs.models import ModelFolder
from subarch.running.budget import Budget, Deadline, parse_duration
from subarch.session.output import OutputFolder, Result, claim, is_finished
from subarch.session.session import Session, seconds_left
from subarch.stages.compression.delivery import deliver
from subarch.stages.compression.planning import read_or_make_plan
from subarch.stages.compression.settings import CompressConfig
from subarch.stages.extract import extract
from subarch.stages.extraction.plan import candidate_space
from subarch.stages.finetune import FinetuneConfig, finetune
from subarch.stages.growth.admission import prepared
from subarch.stages.growth.settings import COMPRESS_PRESETS as PRESETS
from subarch.stages.growth.settings import AgoraConfig
from subarch.stages.growth.transforming import require_possible
from subarch.tasks.base import TaskData
from subarch.training.processes import require_one_process

__all__ = ["PRESETS", "CompressConfig", "compress"]

VALIDATION_ROWS = 500
"""Validation rows that are scored under a budget, each time; ours."""
LEAST = 0.1
"""Share of the whole budget that the student gets, whatever the stages before took; ours."""


def compress(config: CompressConfig, session: Session | None = None, *, started: float | None = None) -> Result:
    """Fine-tune the teacher if need be, extract, distil, evaluate, export, time, report.

    Args:
        config: What to do.
        session: Where it is recorded and reported.
        started: `time.monotonic()` from which the budget counts; now by default.

    Returns:
        Metrics as in the contract: `teacher`, `student`, `exports`, `baselines`; files: the folders `teacher`,
        `student`, `export`, and `report.html`, `report.md`.

    Raises:
        UserError: Data, teacher or output folder that cannot be used, or a budget too short.
        InterruptedRun: Stopped by the user, after saving.
    """
    require_one_process("compress")
    session = session or Session()
    begun = time.monotonic() if started is None else started
    data = load_data(config.data)
    teacher = ModelFolder.of(config.teacher)
    space = _check(config, teacher, data)
    described: dict[str, Any] = {}
    if not is_finished(config.out):
        cuts = config.extract.space.vocabulary < 1
        described = look(teacher, data, config.length_for(data.task), session, config.data, cuts=cuts)
        data = replace(data, notes=(*described["lines"], *described["found"]))
    session = replace(session, teacher_known=True)
    with claim(config.out, "compress", config, data.fingerprint, {"teacher": teacher.path}) as folder:
        if folder.result is not None:
            return folder.result
        total = None if config.budget is None else parse_duration(config.budget) - (time.monotonic() - begun)
        whole = Deadline.after(total)
        with session.recorded(folder, f"compress {data.task.name}") as run:
            cut = teacher.cut(data.task, data.train, config.length_for(data.task))
            if cut is not None and cut.text:
                session.tell("phase", name="note", detail=cut.text)
                data = replace(data, notes=(*data.notes, cut.text))
            plan = read_or_make_plan(config, session.inside(run.run_id, whole), teacher, data, space)
            budget = Budget(seconds_left(whole), plan.seconds)
            stages = _train_stages(config, session, (budget, run.run_id), teacher, data)
            with budget.stage("deliver") as deadline:
                inside = session.inside(run.run_id, deadline)
                outcome = deliver(config, (folder.path, plan, cut), data, stages, inside)
            run.log(outcome.flat, step=0)
            for name in ("report.html", "report.md"):
                run.artifact(folder.path / name)
        return _finish(folder, {**outcome.metrics, "data": described}, run.run_id, time.monotonic() - begun)


def _check(config: CompressConfig, teacher: ModelFolder, data: TaskData) -> list[Architecture]:
    """Refuse what can be refused before anything is written; the students that the search may look at."""
    if Path(config.teacher).is_dir() and config.out.resolve() == Path(config.teacher).resolve():
        raise ConfigError(f"--out {config.out} is the teacher's own folder", "choose another --out")
    for each in FORMATS.values():
        each.require()
    smallest = max(1, round(config.extract.space.vocabulary * teacher.architecture.vocab_size))
    search = config.extract.for_extract(teacher=config.teacher, out=config.out, data=config.data)
    space = candidate_space(search, teacher.architecture_for(data), smallest)
    if config.agora is not None:
        names: dict[str, Any] = {"model": config.teacher, "teacher": config.teacher}
        last = FinetuneConfig(**names, out=config.out, data=config.data, agora=config.agora)
        require_possible(config.agora, prepared(last, data))
    return space


def refilling(config: CompressConfig, teacher: ModelFolder) -> AgoraConfig | None:
    """Agora's settings; the teacher refills masked words while it has the head, which fine-tuning takes from it."""
    if config.agora is None or config.agora.masked_lm is not None or not has_mlm_head(teacher.path):
        return config.agora
    return replace(config.agora, masked_lm=config.teacher)


def _train_stages(
    config: CompressConfig,
    session: Session,
    time_and_parent: tuple[Budget, str | None],
    teacher: ModelFolder,
    data: TaskData,
) -> dict[str, Result]:
    budget, parent = time_and_parent
    results: dict[str, Result] = {}
    common: dict[str, Any] = {"data": config.data, "seed": config.seed, "max_length": config.max_length}
    scored: dict[str, Any] = {} if config.budget is None else {"validation_examples": VALIDATION_ROWS}
    if teacher.answers(data.task):
        budget.skip("finetune")
        fine_tuned = config.teacher
    else:
        fine_tuned = str(config.out / "teacher")
        first = FinetuneConfig(
            model=config.teacher, out=config.out / "teacher", loop=config.finetune, **common, **scored
        )
        with budget.stage("finetune") as deadline:
            results["finetune"] = finetune(first, session.inside(parent, deadline))
    with budget.stage("extract") as deadline:
        search = config.extract.for_extract(teacher=fine_tuned, out=config.out / "extract", **common)
        results["extract"] = extract(search, session.inside(parent, deadline))
    last = FinetuneConfig(
        model=str(config.out / "extract" / "student"),
        out=config.out / "student",
        teacher=fine_tuned,
        loop=config.distil,
        distillation=replace(config.distillation, layers=tuple(results["extract"].metrics["imitated_layers"])),
        agora=refilling(config, teacher),
        **common,
        **scored,
    )
    # Late is better than nothing: by now a teacher was trained and a student chosen.
    with budget.stage("distil", LEAST * (0.0 if config.budget is None else parse_duration(config.budget))) as deadline:
        results["distil"] = finetune(last, session.inside(parent, deadline))
    return results


def _finish(folder: OutputFolder, metrics: dict[str, object], run_id: str | None, seconds: float) -> Result:
    names = {"student": "student", "export": "export", "report": "report.html", "report_md": "report.md"}
    artifacts = {name: folder.path / path for name, path in names.items()}
    if (folder.path / "teacher").exists():
        artifacts["teacher"] = folder.path / "teacher"
    return folder.finish(metrics, artifacts, run_id, seconds)
