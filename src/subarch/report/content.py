"""What a report holds: `present` drops what was not measured, small readers answer questions about the rest.

A report is a plain dict; every key may be missing. `report["models"]` is a list of dicts named "teacher",
"student", "onnx", "onnx-int8" (what can be shipped) and "majority", "tfidf" (what needs no transformer). A
score is such that higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from subarch.report import numbers

Report = Mapping[str, Any]

BASELINES = ("majority", "tfidf")
EXPORTS = ("onnx", "onnx-int8")
_LABELS = {
    "teacher": "Teacher",
    "student": "Student",
    "onnx": "Student, ONNX",
    "onnx-int8": "Student, ONNX int8",
    "majority": "Majority class",
    "tfidf": "TF-IDF + logistic regression",
}
_ARCHITECTURE_KEYS = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
)


def present(report: Report) -> dict[str, Any]:
    """A copy without None, NaN or infinity, and with each model's label and interval filled in.

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
        model.setdefault("label", _LABELS.get(model["name"], model["name"]))
        if model["name"] in intervals:
            model.setdefault("score_interval", intervals[model["name"]])
        if len(model.get("score_interval", (0, 0))) != 2:
            del model["score_interval"]
    return {**cleaned, "models": models}


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


def is_baseline(name: str) -> bool:
    """Whether this model is one of the floor: what is reached with no transformer at all."""
    return name in BASELINES


def one_answer(model: Mapping[str, Any]) -> str | None:
    """The answer that a classifier gives to every test text, where the texts are of several classes; else None."""
    classes = model.get("classes") or {}
    alone = classes.get("answers") == 1 and len(classes.get("examples", {})) > 1
    return str(classes["answer"]) if alone else None


def in_percent(report: Report) -> bool:
    """Whether scores are shown of 100: they are where none of them leaves [-1, 1]."""
    models = report.get("models", [])
    bounds = [bound for model in models for bound in model.get("score_interval", [])]
    scores = [model["score"] for model in models if "score" in model]
    curves = report.get("curves", {}).values()
    points = [point["score"] for curve in curves for point in curve if "score" in point]
    return all(-1 <= value <= 1 for value in [*scores, *bounds, *points])


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
