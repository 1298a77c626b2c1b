"""What a report holds: `present` drops what was not measured, small readers answer questions about the rest.

A report is a plain dict; every key may be missing. `report["models"]` is a list of dicts, each with a "name", a "role",
a "label" for tables and "words" for sentences. Roles are "teacher", "student", "export" (of the student) and "baseline"
(what needs no transformer); `report["floor"]` names the baselines that are the "commonest" answer and the "simple"
method. A score is such that higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from subarch.report import numbers

Report = Mapping[str, Any]

_FLOOR = {"commonest": "majority", "simple": "tfidf"}
"""The baselines of results that do not name them."""
_ARCHITECTURE_KEYS = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
)


def of_compression(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The report in the metrics of a `compress`: all that a verdict follows from, whoever renders it."""
    groups = {
        **{role: {role: metrics[role]} for role in ("teacher", "student")},
        "export": metrics["exports"],
        "baseline": metrics["baselines"],
    }
    return {
        "task": metrics.get("task", {"main_metric": metrics.get("main_metric", "score")}),
        "models": [{"name": name, "role": role, **row} for role, rows in groups.items() for name, row in rows.items()],
        "floor": metrics.get("floor", {}),
        "cut": metrics.get("cut", {}),
    }


def present(report: Report) -> dict[str, Any]:
    """A copy without None, NaN or infinity, and with each model's names, role and interval filled in.

    A key whose value is missing is dropped; so is a whole list of numbers in which one is missing (half an
    interval says nothing).
    """
    cleaned = _cleaned(report)
    if not isinstance(cleaned, dict):
        return {"models": []}
    intervals = cleaned.get("score_interval", {})
    models = [dict(model) for model in cleaned.get("models", []) if isinstance(model, dict)]
    for model in models:
        model.setdefault("name", "")
        model.setdefault("label", model["name"])
        model.setdefault("words", model["label"])
        model.setdefault("role", _role(cleaned, model["name"]))
        if model["name"] in intervals:
            model.setdefault("score_interval", intervals[model["name"]])
        if len(model.get("score_interval", (0, 0))) != 2:
            del model["score_interval"]
    return {**cleaned, "models": models}


def _role(report: Report, name: str) -> str:
    if name in ("teacher", "student"):
        return name
    return "baseline" if name in {_floor(report, which) for which in _FLOOR} else "export"


def _floor(report: Report, which: str) -> str:
    return str(report.get("floor", {}).get(which, _FLOOR[which]))


def _cleaned(value: Any) -> Any:
    """The value without its missing parts, or None where nothing is left of it."""
    if isinstance(value, Mapping):
        pairs = ((str(key), _cleaned(item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, (list, tuple)):
        items = [_cleaned(item) for item in value]
        kept = [item for item in items if item is not None]
        if len(kept) < len(items) and all(isinstance(item, Real) for item in kept):
            return None
        return kept
    return None if isinstance(value, Real) and not math.isfinite(value) else value


def model(report: Report, name: str) -> dict[str, Any]:
    """The model of this name, or an empty dict."""
    return next((dict(model) for model in report.get("models", []) if model["name"] == name), {})


def exports(report: Report) -> list[dict[str, Any]]:
    """The student's exports."""
    return [dict(model) for model in report.get("models", []) if model["role"] == "export"]


def commonest(report: Report) -> dict[str, Any]:
    """The baseline that does not read: the commonest answer, or what stands for it; else an empty dict."""
    return model(report, _floor(report, "commonest"))


def simple(report: Report) -> dict[str, Any]:
    """The simple method that a student has to beat; else an empty dict."""
    return model(report, _floor(report, "simple"))


def is_baseline(model: Mapping[str, Any]) -> bool:
    """Whether this model is one of the floor: what is reached with no transformer at all."""
    return bool(model["role"] == "baseline")


def compared(report: Report, key: str) -> list[dict[str, Any]]:
    """The models whose `key` is worth a column: no export that says what the student says, nor what does not read."""
    same, blind = model(report, "student").get(key), commonest(report).get("name")
    return [
        dict(each)
        for each in report.get("models", [])
        if each.get(key) and each["name"] != blind and not (each["role"] == "export" and each[key] == same)
    ]


def heading(model: Mapping[str, Any]) -> str:
    """The name of a model over a column."""
    return numbers.capital(model["words"]) if model["role"] in ("teacher", "student") else str(model["words"])


def unit(report: Report, count: int = 2) -> str:
    """What the data are made of, in words: "example", or "examples" where there are several."""
    return str(report.get("task", {}).get("unit", "example")) + ("" if count == 1 else "s")


def one_answer(model: Mapping[str, Any]) -> str | None:
    """The answer that a classifier gives to every test text, where the texts are of several classes; else None."""
    classes = model.get("classes") or {}
    alone = classes.get("answers") == 1 and len(classes.get("examples", {})) > 1
    return str(classes["answer"]) if alone else None


def in_percent(report: Report) -> bool:
    """Whether scores are shown of 100: they are where none of them leaves [-1, 1].

    Curves are asked where no model was scored: what is shown of the models alone must not depend on them.
    """
    models = report.get("models", [])
    bounds = [bound for model in models for bound in model.get("score_interval", [])]
    scores = [model["score"] for model in models if "score" in model]
    curves = report.get("curves", {}).values()
    points = [point["score"] for curve in curves for point in curve if "score" in point]
    return all(-1 <= value <= 1 for value in [*scores, *bounds] or points)


def metric(report: Report) -> str:
    """The name of the main metric in words, "score" where it is unknown."""
    return numbers.metric_name(report.get("task", {}).get("main_metric", "score"))


def title(report: Report) -> str:
    """The report's title, made from the task's name where it has none."""
    return str(report.get("title") or report.get("task", {}).get("name") or "Compression report")


def shape_keys(*architectures: Mapping[str, Any]) -> list[str]:
    """The keys that describe a shape, in the order in which people say them, then whatever else there is."""
    keys = {key for shape in architectures for key, value in shape.items() if not isinstance(value, (dict, list))}
    first = [key for key in _ARCHITECTURE_KEYS if key in keys]
    return [*first, *sorted(keys - set(first))]


def shape(architecture: Mapping[str, Any]) -> str:
    """A shape in one line: `4 layers × 312, 12 heads, 1,200 intermediate`."""
    layers, width = architecture.get("num_hidden_layers"), architecture.get("hidden_size")
    heads, inner = architecture.get("num_attention_heads"), architecture.get("intermediate_size")
    parts = []
    if layers is not None:
        parts.append(f"{layers} layer{'' if layers == 1 else 's'}" + (f" × {width}" if width is not None else ""))
    if heads is not None:
        parts.append(f"{heads} head{'' if heads == 1 else 's'}")
    if inner is not None:
        parts.append(f"{inner:,} intermediate")
    return ", ".join(parts)
