"""What a command prints when it is done: the few lines a person wants, the last one saying where the rest is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from subarch.report import content, parts
from subarch.report.classes import classes_table
from subarch.report.scores import aligned, score_lines
from subarch.report.tables import Table, text_table
from subarch.report.verdict import verdict


def answer(result: Mapping[str, Any]) -> str:
    """The lines for one `result.json`."""
    lines = {
        "compress": _compress,
        "evaluate": score_lines,
        "extract": _extract,
        "finetune": _finetune,
        "latency": _latency,
        "export": _export,
        "prepare": _prepare,
        "search": _search,
    }.get(result["stage"], _numbers)(result)
    return "\n".join([*lines, _place(result)])


def _compress(result: Mapping[str, Any]) -> list[str]:
    report = content.of_compression(result["metrics"])
    judged = verdict(report)
    further = [*_lines(parts.metrics_table(report)), *_lines(classes_table(report))]
    return [text_table(report), "", *further, judged.sentence, *judged.caveats, ""]


def _lines(table: Table | None) -> list[str]:
    """A table with what stands beside the names of its rows, and not the intervals after it."""
    if table is None:
        return []
    rows = [[cell.text if index else cell.full for index, cell in enumerate(row.cells)] for row in table.rows]
    return [*aligned([column.heading for column in table.columns], rows), ""]


def _extract(result: Mapping[str, Any]) -> list[str]:
    metrics = result["metrics"]
    chosen = metrics["candidates"][metrics["chosen"]]
    sizes = chosen["architecture"]
    count = len(metrics.get("tied", ()))
    tied = f"; {count} {'other is' if count == 1 else 'others are'} tied with it" if count else ""
    return [
        f"{len(metrics['candidates'])} candidates; the largest W is {chosen['w']:.3f}: "
        f"{sizes['num_hidden_layers']} layers, hidden {sizes['hidden_size']}, {sizes['num_attention_heads']} heads, "
        f"intermediate {sizes['intermediate_size']}, {chosen['parameters'] / 1e6:.1f} M parameters, "
        f"{chosen['latency_ms']:.2f} ms against the teacher's {metrics['maximum_point']['latency_ms']:.2f} ms{tied}"
    ]


def _finetune(result: Mapping[str, Any]) -> list[str]:
    metrics = result["metrics"]
    if "iterations" in metrics:
        return [*_iterations(metrics["iterations"]), *_numbers(result), *_caveats(result)]
    if "tasks" not in metrics:
        return _numbers(result)
    rows = [("task", "metric", "validation", "steps", "seconds")]
    rows += [
        (name, row["metric"], f"{row['score']:.4f}", str(row["steps"]), f"{row['seconds']:.0f}")
        for name, row in metrics["tasks"].items()
    ]
    return [*_table(rows), *(f"skipped {name}: {reason}" for name, reason in metrics["skipped"].items())]


def _iterations(iterations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of Agora: a row for each iteration, with the bound of the paper's analysis beside the best score."""
    rows = [("iteration", "sets", "best", "bound", "mistakes", "added", "sets left")]
    for each in iterations:
        replay = f" (replay {each['replay']})" if each["replay"] else ""
        best = "diverged" if each["best_score"] is None else f"{each['best_score']:.4f}"
        mistakes = "" if each["mistakes"] is None else str(each["mistakes"])
        counts = (mistakes, str(each["added"]), str(len(each["remaining"])))
        rows.append((f"{each['iteration']}{replay}", str(len(each["scores"])), best, f"{each['bound']:.4f}", *counts))
    return _table(rows)


def _caveats(result: Mapping[str, Any]) -> list[str]:
    """What one must know of Agora's score."""
    last = result["metrics"]["iterations"][-1]
    lines = [plan] if (plan := result["metrics"].get("plan")) else []
    if last["mistakes"] == 0:
        lines.append("no mistakes left on the expansion set: it has nothing more to teach")
    if result["config"]["agora"]["expansion_set"] == "dev":
        lines.append("the dev set selected and grew the data, as in the paper: no score on it is one of unseen data")
    return lines


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _latency(result: Mapping[str, Any]) -> list[str]:
    metrics = result["metrics"]
    models = {name: row for name, row in metrics.items() if isinstance(row, Mapping)}
    return [
        f"{name}: {row['latency_ms']:.2f} ms ({row['latency_ms_low']:.2f} to {row['latency_ms_high']:.2f}), "
        f"{row['speedup']:.2f}x, {metrics['threads']} threads"
        for name, row in models.items()
    ]


def _export(result: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {row['model_bytes'] / 1e6:.1f} MB, agrees with PyTorch on {row['agreement']:.1%} of random inputs"
        for name, row in result["metrics"].items()
    ]


def _prepare(result: Mapping[str, Any]) -> list[str]:
    metrics = result["metrics"]
    splits = [f"{name} {row['blocks']:,}" for name, row in metrics["splits"].items()]
    left_out = {name: metrics[name] for name in ("dropped_documents", "short_documents", "undecodable_bytes")}
    return [
        f"{metrics['documents']:,} documents, {metrics['tokens'] / 1e6:.2f} M tokens, "
        f"{metrics['input_mb_per_second']:.1f} MB/s; blocks: {', '.join(splits)}",
        *(f"{name.replace('_', ' ')}: {count:,}" for name, count in left_out.items() if count),
        *metrics["notes"],
    ]


def _search(result: Mapping[str, Any]) -> list[str]:
    metrics = result["metrics"]
    if "noted" in metrics:
        return ["noted: the search that runs there follows when its next trial ends"]
    names = [name for name, settings in result["config"]["metrics"].items() if not settings["store"]]
    rows = [("trial", *names, "confirmed")]
    for trial in [*metrics["front"], *([metrics["baseline"]] if metrics["baseline"] else [])]:
        fresh = trial["confirmed"] or {}
        shown = [f"{name} {fresh[name]['mean']:.4g} ± {fresh[name]['std']:.2g}" for name in names if name in fresh]
        kind = " (baseline)" if trial is metrics["baseline"] else ""
        values = (f"{trial['metrics'][name]:.5g}" if name in trial["metrics"] else "" for name in names)
        rows.append((f"{trial['number']}{kind}", *values, ", ".join(shown)))
    counts = f"{metrics['trials']} trials, {metrics['failed']} failed, {metrics['stopped']} stopped"
    notes = [f"inert: {', '.join(metrics['inert'])}"] if metrics["inert"] else []
    notes += [metrics["unmet"]] if metrics["unmet"] else []
    notes += [f"lost, tried again by the same command: {metrics['lost']}"] if metrics["lost"] else []
    return [*_table(rows), "", f"{counts}; hypervolume {metrics['hypervolume']:.4g}", *notes]


def _numbers(result: Mapping[str, Any]) -> list[str]:
    numbers = {key: value for key, value in result["metrics"].items() if isinstance(value, (int, float))}
    return [", ".join(f"{name} {value:.4g}" for name, value in numbers.items())]


def _place(result: Mapping[str, Any]) -> str:
    out = result["config"]["out"]
    report = result["artifacts"].get("report")
    return f"report: {out}/{report}" if report else f"result: {out}/result.json"
