"""The last part of `compress`: evaluate, export, time everything in turn, and write the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from subarch.arch.costs import parameters
from subarch.arch.first_token import first_token_alone
from subarch.deploy.formats.registry import FORMATS, weight_files
from subarch.deploy.timing import Latency
from subarch.errors import StorageError
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.report.content import of_compression
from subarch.report.html import render_html
from subarch.report.markdown import render_markdown
from subarch.running.budget import parse_duration
from subarch.running.machine import describe_machine
from subarch.session.output import Result, plain
from subarch.session.session import Session, seconds_left
from subarch.stages.compression.engines import Asked, choose_engines, discard_engines
from subarch.stages.compression.floor import Floor, floor_verdict, lay_floor
from subarch.stages.compression.planning import CompressionPlan, shortfalls
from subarch.stages.compression.rows import agreements, described, keep_worst, names, scored
from subarch.stages.compression.settings import CompressConfig
from subarch.stages.evaluate import EvaluateConfig, evaluate
from subarch.stages.export import ExportConfig, export
from subarch.stages.latency import contestant, in_turn, latency_numbers, spread_over_lengths
from subarch.storage import folder_bytes, replacing_file
from subarch.tasks.base import Task, TaskData
from subarch.tasks.cuts import Cut
from subarch.tracking.record import Record

CURVE_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What `compress` puts into its `result.json`, and the same as flat numbers for the record."""

    metrics: dict[str, Any]
    flat: dict[str, float] = field(default_factory=dict)


def deliver(
    config: CompressConfig,
    place: tuple[Path, CompressionPlan, Cut | None],
    data: TaskData,
    stages: Mapping[str, Result],
    session: Session,
) -> Delivery:
    """Evaluate, export and time teacher, student, exports and baselines on the test split; write the reports."""
    out, plan, cut = place
    started = time.monotonic()
    export(ExportConfig(model=str(out / "student"), out=out / "export", seed=config.seed), session)
    teacher = Path(stages["distil"].config["teacher"])
    called = names()
    places = {name: out / said["path"] if "path" in said else teacher for name, said in called.items()}
    models = {name: ModelFolder.of_any(folder) for name, folder in places.items()}
    notes = [*plan.lines(data), *shortfalls(stages["extract"].metrics, plan.scored(data), len(data.test))]
    data = replace(data, test=data.test.sample(plan.test_rows, config.seed), notes=(*data.notes, *notes))
    trained = {name: models[name] for name in ("teacher", "student")}
    asked = Asked(task=data.task, examples=data.test, max_length=config.length_for(data.task))
    engines = choose_engines(out, trained, asked, session)
    what = (out, data.task, plan.test_rows)
    rows = {
        name: _row_of_model(config, what, (name, engines.get(name)), model, session) for name, model in models.items()
    }
    discard_engines(out)
    sample = spread_over_lengths(data.task, data.test, config.deliver.requests)
    floor = lay_floor(data, models["teacher"], cut, sample, config.seed)
    rows |= floor.rows
    keep_worst(rows)
    for name, agreement in agreements(
        out, data.task, data.test, scored_by_export=engines["student"] is not None
    ).items():
        rows[name]["agreement"] = agreement
    session.phase("timing", "all in turn")
    _add_latencies(rows, _time(config, data.task, models, floor, session))
    called |= {name: {"label": label} for name, label in floor.labels.items()}
    metrics = _metrics({name: called[name] | row for name, row in rows.items()}, floor) | {
        "plan": asdict(plan),
        "main_metric": data.task.main_metric,
        "task": described(data),
        "floor": floor_verdict(rows, floor.baselines, floor.whole_score) | floor.names,
        **({} if cut is None else {"cut": {**asdict(cut), "text": cut.text}}),
    }
    report = of_compression(metrics) | _surroundings(config, out, data, stages, session.record)
    report["task"] = {**report["task"], "notes": list(data.notes)}
    report["stages"].append({"name": "evaluate, export, time", "seconds": time.monotonic() - started, "reused": False})
    for name, text in (("report.md", render_markdown(report)), ("report.html", render_html(report))):
        with replacing_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    flat = {f"{name}.{key}": value for name, row in rows.items() for key, value in row.items() if _is_number(value)}
    return Delivery(metrics=metrics, flat=flat)


def _row_of_model(
    config: CompressConfig,
    place: tuple[Path, Task, int | None],
    named: tuple[str, Path | None],
    model: ModelFolder,
    session: Session,
) -> dict[str, Any]:
    out, task, examples = place
    name, engine = named
    session.phase("evaluating", name)
    settings = EvaluateConfig(
        model=str(model.path),
        engine=engine,
        out=out / "evaluation" / name,
        data=config.data,
        max_length=config.max_length,
        examples=examples,
        seed=config.seed,
    )
    result = evaluate(settings, session)
    count = parameters(model.architecture, kind_of(task).head, task.num_outputs)
    return {
        **scored(task, result.metrics),
        "parameters": count.total,
        "encoder_parameters": count.encoder,
        "model_bytes": sum(folder_bytes(file) for file in weight_files(model.path) if "checkpoint" not in file.name),
    }


def _time(
    config: CompressConfig,
    task: Task,
    models: Mapping[str, ModelFolder],
    floor: Floor,
    session: Session,
) -> dict[str, Latency]:
    settings = config.deliver
    contestants: dict[str, tuple[Any, list[Any]]] = {
        name: contestant(model, task, floor.asked, settings.threads, config.length_for(task))
        for name, model in models.items()
    }
    contestants |= {baseline.name: (baseline.answer, floor.requests) for baseline in floor.baselines}
    limit = seconds_left(session.deadline)
    seconds = None if limit is None else max(2.0, limit - 3.0)
    # A layer that only puts the mean first would make the teacher look slower than its user's encoder is.
    given = ModelFolder.of(config.teacher).architecture.num_hidden_layers
    grew = models["teacher"].architecture.num_hidden_layers > given
    with first_token_alone(contestants["teacher"][0].model) if grew else nullcontext():
        return in_turn(contestants, settings.threads, settings.repeats, seconds)


def _add_latencies(rows: dict[str, dict[str, Any]], latencies: Mapping[str, Latency]) -> None:
    for name, latency in latencies.items():
        rows[name] |= latency_numbers(latency, latencies["teacher"])


def _metrics(rows: Mapping[str, dict[str, Any]], floor: Floor) -> dict[str, Any]:
    short = {name: {key: value for key, value in row.items() if value is not None} for name, row in rows.items()}
    return {
        "teacher": short["teacher"],
        "student": short["student"],
        "exports": {name: short[name] for name in FORMATS},
        "baselines": {name: short[name] for name in floor.rows},
    }


def _surroundings(
    config: CompressConfig, out: Path, data: TaskData, stages: Mapping[str, Result], record: Record
) -> dict[str, Any]:
    """What the report says beyond the metrics: how the models came about, and how they are loaded."""
    task = data.task
    length = min(config.length_for(task), ModelFolder.of(out / "student").architecture.max_length)
    return {
        "title": f"{task.name}: {Path(config.teacher).name} → student",
        **_searched(stages),
        "curves": {name: _curve(record, stages[name].run_id) for name in ("finetune", "distil") if name in stages},
        "stages": [
            {"name": name, "seconds": result.seconds, "reused": result.reused} for name, result in stages.items()
        ],
        "load": {
            name: kind_of(task).load_lines(task, str(out / said["path"]), length, FORMATS.get(name))
            for name, said in names().items()
            if "path" in said
        },
        "budget_seconds": None if config.budget is None else parse_duration(config.budget),
        "config": plain(config),
        "environment": _environment(),
    }


def _searched(stages: Mapping[str, Result]) -> dict[str, Any]:
    """What the report says of the search."""
    search = stages["extract"].metrics
    teacher = ModelFolder.of(stages["distil"].config["teacher"]).architecture
    marks = {"chosen": {search["chosen"]}, "on_front": set(search["front"]), "tied": set(search["tied"])}
    return {
        "architectures": {
            "teacher": teacher.to_json(),
            "student": search["candidates"][search["chosen"]]["architecture"],
        },
        "candidates": [
            candidate | {mark: index in indices for mark, indices in marks.items()}
            for index, candidate in enumerate(search["candidates"])
        ],
        "maximum_point": search["maximum_point"],
        "error_name": search["error_name"],
    }


def _environment() -> dict[str, Any]:
    machine = describe_machine()
    return {
        **{key: machine[key] for key in ("cpu", "threads", "python")},
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "subarch": version("subarch"),
    }


def _curve(record: Record, run_id: str | None) -> list[dict[str, Any]]:
    """Loss and validation score by step, thinned to what a plot can show."""
    if run_id is None:
        return []
    points: dict[int, dict[str, Any]] = {}
    try:
        losses, scores = record.history(run_id, "loss"), record.history(run_id, "score")
    except StorageError:  # a record that was lost: the report has everything else
        return []
    stride = max(1, len(losses) // CURVE_POINTS)
    for step, value in losses[::stride]:
        points.setdefault(step, {"step": step})["loss"] = value
    for step, value in scores:
        points.setdefault(step, {"step": step})["score"] = value
    return [points[step] for step in sorted(points)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
