"""What `evaluate` prints: metrics with their intervals, the slices that stand out or were asked for, a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from subarch.report.numbers import capital, interval, is_share, metric_name, significant
from subarch.report.numbers import score as score_text

SHOWN = 3
"""Slices shown where the user asked for none."""
CLASSES = 20
"""Classes shown, where they are uneven."""
NOT_SCORES = ("score", "examples", "questions")


def score_lines(result: Mapping[str, Any]) -> list[str]:
    """The lines for the result of an evaluation."""
    metrics = result["metrics"]
    if "tasks" in metrics:
        return _suite(metrics)
    if "intervals" not in metrics:
        said = f"{metrics['examples']:,} examples predicted, without labels to score them by"
        return [said, *_cut_lines(metrics), *_submitted(result)]
    lines = aligned(["metric", "value", "95 % interval"], list(_metric_rows(metrics)))
    lines += list(_class_lines(metrics.get("classes", {})))
    lines += _cut_lines(metrics)
    asked = list(result["config"].get("slice") or [])
    rows = list(_asked(metrics, asked)) if asked else list(_outstanding(metrics))
    if rows:
        title = "" if asked else "slices that differ most from the whole, beyond their own interval:"
        lines += ["", *([title] if title else []), *aligned(["slice", "examples", "metric", "value", "95 %"], rows)]
    if "against" in metrics:
        lines += ["", *_comparison(metrics["against"], result["config"]["against"])]
    return [*lines, *_submitted(result)]


def aligned(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their headings: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heading, *rows)
    ]


def _metric_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in metrics.items():
        if isinstance(value, (int, float)) and name not in NOT_SCORES:
            percent = is_share(name)
            bounds = metrics["intervals"].get(name)
            yield capital(metric_name(name)), score_text(value, percent=percent), interval(bounds, percent=percent)
    classes = metrics.get("classes", {})
    if classes.get("uneven") and "f1_macro" not in metrics:
        bounds = interval(classes["f1_macro_interval"], percent=True)
        yield capital(metric_name("f1_macro")), score_text(classes["f1_macro"], percent=True), bounds


def _cut_lines(metrics: Mapping[str, Any]) -> list[str]:
    """What of the texts the model did not read, if anything."""
    text = metrics.get("cut", {}).get("text")
    return [f"{capital(str(text))}."] if text else []


def _class_lines(classes: Mapping[str, Any]) -> Iterator[str]:
    """Each class's recall where classes are uneven, and what always giving the commonest answer would reach."""
    if not classes:
        return
    alone = classes["answers"] == 1 and len(classes["examples"]) > 1
    if classes["uneven"] or alone:
        recalls = classes["recalls"]
        names = sorted(recalls, key=lambda name: (recalls[name], -classes["examples"][name]))
        rows = [(n, f"{classes['examples'][n]:,}", score_text(recalls[n], percent=True)) for n in names[:CLASSES]]
        yield ""
        yield from aligned(["class", "examples", "recall"], rows)
        if len(names) > CLASSES:
            yield f"the {CLASSES} of {len(names):,} classes with the lowest recall"
        share = score_text(classes["commonest_share"], percent=True)
        yield f"always “{classes['commonest']}”, the commonest, would be right on {share} % of the examples"
    if alone:
        yield f"every answer is “{classes['answer']}”: nothing was learned"


def _asked(metrics: Mapping[str, Any], asked: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for name in asked:
        for value, row in metrics["slices"].get(name, {}).items():
            yield _slice_row(f"{name}: {value}", row)


def _outstanding(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The slices whose interval does not hold the value of the whole, the farthest first."""
    found = []
    for name, values in metrics.get("slices", {}).items():
        for value, row in values.items():
            whole, (low, high) = metrics.get(row["metric"]), row["interval"]
            if whole is not None and not row.get("few") and not low <= whole <= high:
                found.append((-round(abs(row[row["metric"]] - whole), 9), f"{name}: {value}", row))
    for _, title, row in sorted(found, key=lambda item: item[:2])[:SHOWN]:
        yield _slice_row(title, row)


def _slice_row(title: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    name, percent = row["metric"], is_share(row["metric"])
    mark = " (few)" if row.get("few") else ""
    value = score_text(row[name], percent=percent)
    return f"{title}{mark}", f"{row['count']:,}", metric_name(name), value, interval(row["interval"], percent=percent)


def _comparison(found: Mapping[str, Any], other: str) -> list[str]:
    lines = [f"{_difference(found)} against {other}, p {_p(found['p'])}"]
    differing = [
        (f"{name}: {value}", f"{row['count']:,}", _difference(row), f"p {_p(row['p_adjusted'])}")
        for name, values in found["slices"].items()
        for value, row in values.items()
        if row["differs"]
    ]
    if not differing:
        return [*lines, "no slice differs by more than chance (5 %, Holm)"]
    return [*lines, *aligned(["differs by more than chance (5 %, Holm)", "examples", "by", ""], differing)]


def _difference(row: Mapping[str, Any]) -> str:
    percent = is_share(row["metric"])
    sign = "+" if row["difference"] > 0 else ""
    bounds = interval(row["interval"], percent=percent)
    return f"{metric_name(row['metric'])} {sign}{score_text(row['difference'], percent=percent)} {bounds}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else significant(value, 2)


def _suite(metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, found in metrics["tasks"].items():
        main = found["metric"]
        bounds = found.get("intervals", {}).get(main)
        percent = is_share(main)
        rows.append(
            (name, metric_name(main), score_text(found.get(main), percent=percent), interval(bounds, percent=percent))
        )
    lines = aligned(["task", "metric", "value", "95 % interval"], rows)
    lines += [f"{name} skipped: {reason}" for name, reason in metrics["skipped"].items()]
    if metrics["score"] is not None:
        return [*lines, "", f"official average {score_text(metrics['score'], percent=True)}"]
    lines += ["", f"no official average: {', '.join(metrics['missing'])} missing"] if metrics["missing"] else []
    if metrics["average_of_present"] is not None:
        lines.append(f"average of what is there {score_text(metrics['average_of_present'], percent=True)}")
    return lines


def _submitted(result: Mapping[str, Any]) -> list[str]:
    folder = result["config"].get("submission")
    return [f"submission: {folder}"] if folder else []
