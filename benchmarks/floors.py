"""What do tasks give to no model and to a simple method? Scores of both baselines, and how long they take.

SUBARCH_DATA=... python benchmarks/floors.py squad1 squad2 race_middle race_high copa --out floors.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from subarch.kinds.registry import kind_of
from subarch.tasks.registry import load_task
from subarch.tasks.scoring.scores import score

ASKED = 50
"""Questions that are timed one at a time."""


def measured(name: str) -> list[dict[str, Any]]:
    """A row for each baseline of a task."""
    data = load_task(name)
    kind = kind_of(data.task)
    started = time.perf_counter()
    floors = kind.floors(data)
    seconds = time.perf_counter() - started
    requests = [data.test.take(rows) for rows in kind.questions(data.test)[:ASKED]]
    found = []
    for baseline in floors:
        started = time.perf_counter()
        for request in requests:
            baseline.answer(request)
        milliseconds = 1000 * (time.perf_counter() - started) / len(requests)
        found.append(
            {
                "task": name,
                "baseline": baseline.name,
                **score(data.task, baseline.predictions, data.test, 0),
                "milliseconds": milliseconds,
                "seconds_of_both": seconds,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [row for name in arguments.tasks for row in measured(name)]
    print("task          baseline   score   ms a question   seconds of both")
    for row in rows:
        print(
            f"{row['task']:<12}  {row['baseline']:<9} {100 * row['score']:>6.1f}   {row['milliseconds']:>13.2f}   "
            f"{row['seconds_of_both']:>15.1f}"
        )
    arguments.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
