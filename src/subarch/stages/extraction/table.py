"""The table of candidates as files: one page with the plot, one CSV with the columns of Table 1 of the Bort paper."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from subarch.arch.grid import AXES
from subarch.report.html import render_candidates
from subarch.storage import replacing_file

_NUMBERS = ("w", "parameters", "latency_ms", "latency_ms_low", "latency_ms_high", "error")


def write_table(folder: Path, metrics: dict[str, Any]) -> dict[str, Path]:
    """Write `candidates.html` and `candidates.csv`.

    Args:
        folder: Where.
        metrics: Of `extract`.

    Returns:
        Their paths, as "plot" and "table".
    """
    marks = {"chosen": {metrics["chosen"]}, "on_front": set(metrics["front"]), "tied": set(metrics["tied"])}
    rows = [
        row | {mark: index in indices for mark, indices in marks.items()}
        for index, row in enumerate(metrics["candidates"])
    ]
    page, table = folder / "candidates.html", folder / "candidates.csv"
    report = {
        "title": "Candidates",
        "candidates": rows,
        "maximum_point": metrics["maximum_point"],
        "error_name": metrics["error_name"],
    }
    with replacing_file(page) as temporary:
        temporary.write_text(render_candidates(report), encoding="utf-8")
    with replacing_file(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*AXES, *_NUMBERS, "error_low", "error_high", "hyperparameters", "steps", *marks))
        for row in rows:
            sizes = [row["architecture"][axis] for axis in AXES]
            numbers = [row[name] for name in _NUMBERS]
            rest = [row["hyperparameters"], row["steps"], *(int(row[mark]) for mark in marks)]
            writer.writerow([*sizes, *numbers, *row["error_interval"], *rest])
    return {"plot": page, "table": table}
