"""The commands. Each names its flags, and imports its stage only when it is chosen; the rest is in the recipe."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from subarch import __version__
from subarch.errors import InterruptedRun, SubarchError

STARTED = time.monotonic()

app = App(
    name="subarch",
    version=__version__,
    help="Smaller encoders of the BERT family: extracted, distilled, measured and ready to ship.",
    help_format="plaintext",
)

Recipe = Annotated[
    Path | None, Parameter(name="--recipe", help="TOML file; its section of this command's name is read.")
]
Settings = Annotated[
    tuple[str, ...],
    Parameter(name="--set", help="section.field=value, over the recipe; may be repeated.", negative=()),
]
Json = Annotated[bool, Parameter(name="--json", help="Print the result as JSON.", negative=())]
Task = Annotated[
    str | None, Parameter(help="A built-in task: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, pydoc.")
]
Train = Annotated[Path | None, Parameter(help="Your own training rows instead: CSV, TSV, JSONL or Parquet.")]
Valid = Annotated[Path | None, Parameter(help="Rows that select; else made from the training rows.")]
Test = Annotated[Path | None, Parameter(help="Rows that report; else made from the training rows.")]
Text = Annotated[str | None, Parameter(help="Column of the text.")]
TextPair = Annotated[str | None, Parameter(help="Column of the second text, if any.")]
Label = Annotated[str | None, Parameter(help="Column of the label.")]
Kind = Annotated[
    Literal["classification", "regression"] | None,
    Parameter(help="What the label is, if it cannot be guessed."),
]
DataDir = Annotated[
    Path | None, Parameter(help="Folder of official files; SUBARCH_DATA by default, else the Hub.")
]
Out = Annotated[Path | None, Parameter(help="Folder for what comes of it.")]
Seed = Annotated[int | None, Parameter(help="Seed of everything that is random.")]


@app.command
def compress(
    *,
    teacher: Annotated[
        str | None, Parameter(help="Folder or Hub id of the encoder, fine-tuned or not.")
    ] = None,
    task: Task = None,
    train: Train = None,
    valid: Valid = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    kind: Kind = None,
    data_dir: DataDir = None,
    out: Out = None,
    budget: Annotated[str | None, Parameter(help="Wall-clock promise, such as 10m.")] = None,
    seed: Seed = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Turn an encoder and a task into a smaller, faster one, with the report that says what it is worth."""
    return _run("compress", locals())


@app.command
def finetune(
    *,
    model: Annotated[str | None, Parameter(help="Folder or Hub id of the model to train.")] = None,
    teacher: Annotated[
        str | None, Parameter(help="Folder or Hub id of a model whose answers are distilled.")
    ] = None,
    task: Task = None,
    train: Train = None,
    valid: Valid = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    kind: Kind = None,
    data_dir: DataDir = None,
    out: Out = None,
    seed: Seed = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Fine-tune a model on a task; with a teacher, distil its answers."""
    return _run("finetune", locals())


@app.command
def extract(
    *,
    teacher: Annotated[str | None, Parameter(help="Folder or Hub id of the fine-tuned teacher.")] = None,
    task: Task = None,
    train: Train = None,
    valid: Valid = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    kind: Kind = None,
    data_dir: DataDir = None,
    epsilon: Annotated[int | None, Parameter(help="Train every epsilon-th candidate of the space.")] = None,
    steps: Annotated[int | None, Parameter(help="Training steps of each candidate.")] = None,
    out: Out = None,
    seed: Seed = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Choose an architecture around a teacher with the FPTAS, and make the student that inherits from it."""
    return _run("extract", locals())


@app.command
def evaluate(
    *,
    model: Annotated[str | None, Parameter(help="Folder (PyTorch or ONNX) or Hub id.")] = None,
    task: Task = None,
    train: Train = None,
    valid: Valid = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    kind: Kind = None,
    data_dir: DataDir = None,
    split: Annotated[Literal["validation", "test"] | None, Parameter(help="test by default.")] = None,
    out: Out = None,
    seed: Seed = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Score a model with 95 % intervals, and keep its predictions."""
    return _run("evaluate", locals())


@app.command
def export(
    *,
    model: Annotated[str | None, Parameter(help="Folder or Hub id of a sequence classifier.")] = None,
    formats: Annotated[
        tuple[str, ...] | None, Parameter(name="--format", help="onnx, onnx-int8; both by default.")
    ] = None,
    out: Out = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Export a model to ONNX in fp32 and int8, and check that the exports agree with it."""
    return _run("export", locals())


@app.command
def latency(
    *models: str,
    task: Task = None,
    train: Train = None,
    valid: Valid = None,
    test: Test = None,
    text: Text = None,
    text_pair: TextPair = None,
    label: Label = None,
    kind: Kind = None,
    data_dir: DataDir = None,
    threads: Annotated[int | None, Parameter(help="Threads of every runtime; all by default.")] = None,
    repeats: Annotated[int | None, Parameter(help="Counted rounds.")] = None,
    out: Out = None,
    recipe: Recipe = None,
    settings: Settings = (),
    as_json: Json = False,
) -> int:
    """Time models (folders or Hub ids) in turn on single inputs; speed-ups refer to the first."""
    return _run("latency", locals())


@app.command
def describe(
    *sources: str,
    sequence_length: Annotated[int, Parameter(help="Tokens for which FLOPs are counted.")] = 128,
    as_json: Json = False,
) -> int:
    """Parameters by part and FLOPs of models: published names, D,A,H,I sizes, folders or Hub ids."""

    def work() -> None:
        from subarch.stages.describe import describe as describe_models
        from subarch.stages.describe import render

        found = describe_models(sources, sequence_length=sequence_length)
        print(json.dumps(found, indent=2) if as_json else render(found))

    return _guarded(work)


def _run(stage: str, arguments: Mapping[str, Any]) -> int:
    """Run a stage with a record, progress and saving on Ctrl-C; print its answer."""
    given = {key: value for key, value in arguments.items() if value is not None and value != ()}
    as_json, recipe = bool(given.pop("as_json")), given.pop("recipe", None)
    settings = given.pop("settings", ())

    def work() -> None:
        from subarch.api import run_stage
        from subarch.recipe import merge, parse_settings, read_recipe

        section = read_recipe(recipe, stage) if recipe else {}
        values = merge(section, parse_settings(settings), given)
        surroundings: dict[str, Any] = {"started": STARTED} if stage == "compress" else {}
        from subarch.running.interrupts import saving_on_interrupt
        from subarch.terminal import ProgressDisplay

        with saving_on_interrupt() as stop, ProgressDisplay() as display:
            display({"event": "phase", "name": "starting"})
            from subarch.stages.session import Session
            from subarch.tracking.record import Record

            session = Session(record=Record.open(), on_event=display, stop_requested=stop)
            result = run_stage(stage, values, session=session, **surroundings)
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False) if as_json else _answer(result))

    return _guarded(work)


def _answer(result: Any) -> str:
    from subarch.report.answers import answer

    return answer(result.to_json())


def _guarded(work: Any) -> int:
    """Run, and turn subarch's own errors into one clear line and an exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        work()
    except SubarchError as error:
        print(f"{'stopped' if isinstance(error, InterruptedRun) else 'error'}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped: interrupted twice, the last checkpoint stands", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def main() -> None:
    """The `subarch` command."""
    code = app(result_action="return_value")
    sys.exit(code if isinstance(code, int) else 0)
