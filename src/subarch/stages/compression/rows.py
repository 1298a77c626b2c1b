"""What a report says of each model: what it is called, where it lies, what it scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from subarch.deploy.formats.registry import EXACT, FORMATS
from subarch.kinds.registry import kind_of
from subarch.stages.evaluate import PREDICTIONS
from subarch.storage import read_json
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.prediction_files import read_predictions

WORST = 20
"""Parts of the data that a result keeps; ours."""


def names() -> dict[str, dict[str, str]]:
    """What the models are called, in tables and within sentences, and where they lie in the output folder."""
    return {
        "teacher": {"label": "Teacher (PyTorch fp32)", "words": "teacher"},
        "student": {"label": "Student (PyTorch fp32)", "words": "student", "path": "student"},
        **{
            name: {"label": f"Student ({each.label})", "words": each.words, "path": f"export/{name}"}
            for name, each in FORMATS.items()
        },
    }


def scored(task: Task, found: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a model that a report shows, of all those that `evaluate` or `score` found."""
    told = [name for name in kind_of(task).told_metrics(task) if name in found]
    row = {
        "score": found["score"],
        "score_interval": found["intervals"][task.main_metric],
        **{name: found[name] for name in ("classes",) if name in found},
    }
    if told:
        row["metrics"] = {name: found[name] for name in told}
        row["intervals"] = {name: found["intervals"][name] for name in told}
    for name, part in kind_of(task).parts.items():
        slices = found.get("slices", {}).get(name, {})
        parts = {value: _of_part(each) for value, each in slices.items() if not each.get("few")}
        if len(parts) > 1:
            return row | {"part": part, "parts": parts}
    return row


def keep_worst(rows: Mapping[str, dict[str, Any]]) -> None:
    """Take the parts out of the rows on which the student is not worst."""
    student = rows["student"].get("parts", {})
    worst = sorted(student, key=lambda name: (student[name]["score"], name))[:WORST]
    for row in rows.values():
        if "parts" in row:
            row["parts"] = {name: row["parts"][name] for name in worst if name in row["parts"]}


def described(data: TaskData) -> dict[str, Any]:
    """What a report says of the task."""
    task, kind = data.task, kind_of(data.task)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "name": task.name,
        "kind": task.kind,
        "kind_words": kind.words,
        "unit": kind.unit,
        "main_metric": task.main_metric,
        "labels": list(task.labels),
        **{name: len(kind.questions(examples)) for name, examples in splits.items()},
    }


def agreements(out: Path, task: Task, examples: Examples, *, scored_by_export: bool) -> dict[str, float]:
    """Share of test questions on which each export answers as the student; of none where answers are numbers.

    Where an export has scored the student, it would be compared with itself: then its share is that of the inputs on
    which `export` compared it with PyTorch.
    """
    found = {}
    said = {
        name: read_predictions(out / "evaluation" / name / PREDICTIONS, task, examples)
        for name in ("student", *FORMATS)
    }
    for name in FORMATS:
        same = kind_of(task).agree(said["student"], said[name], examples)
        if same is not None:
            found[name] = float(np.mean(same))
    if scored_by_export and EXACT.name in found:
        found[EXACT.name] = read_json(out / "export" / "result.json")["metrics"][EXACT.name]["agreement"]
    return found


def _of_part(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"count": found["count"], "score": found[found["metric"]], "interval": found["interval"]}
