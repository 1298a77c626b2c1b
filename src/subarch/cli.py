"""The commands. Each names its flags, and imports its stage only when it is chosen; the rest is in the recipe."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from subarch import __version__
from subarch.command import foresee_command, guarded, run_command, tell
from subarch.deploy.formats.registry import FORMATS
from subarch.flags import (
    DEFAULTS,
    NO_AGORA,
    NO_DATA,
    NO_FORESIGHT,
    NO_READING_FLAGS,
    NO_SCORE_FLAGS,
    NO_SPACE_FLAGS,
    AgoraFlags,
    DataFlags,
    ForesightFlags,
    ReadingFlags,
    RunFlags,
    ScoreFlags,
    SpaceFlags,
    Whole,
)
from subarch.terminal import drop, keep_streams

FORMATS_HELP = f"Of {', '.join(FORMATS)}; all by default."

app = App(
    name="subarch",
    version=__version__,
    help="Smaller encoders of the BERT family: extracted, distilled, measured and ready to ship.",
    help_format="plaintext",
)


@app.command
def compress(
    *,
    teacher: str | None = None,
    budget: str | None = None,
    seed: Whole | None = None,
    agora: AgoraFlags = NO_AGORA,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Turn an encoder and a task into a smaller, faster one, with the report that says what it is worth.

    Parameters
    ----------
    teacher
        Folder or Hub id of the encoder, fine-tuned or not.
    budget
        Wall-clock promise, such as 10m.
    seed
        Seed of everything that is random.
    """
    values = {"teacher": teacher, "budget": budget, "seed": seed, **agora.settings()}
    return run_command("compress", values, run, data)


@app.command
def finetune(
    *,
    model: str | None = None,
    teacher: str | None = None,
    budget: str | None = None,
    seed: Whole | None = None,
    agora: AgoraFlags = NO_AGORA,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Fine-tune a model on a task or on every task of a suite; with a teacher, distil its answers.

    Parameters
    ----------
    model
        Folder or Hub id of the model to train.
    teacher
        Folder or Hub id of a model that answers the task; of a suite, a folder with a model's folder for each task.
    budget
        Wall-clock promise, such as 10m.
    seed
        Seed of everything that is random.
    """
    values = {"model": model, "teacher": teacher, "budget": budget, "seed": seed}
    return run_command("finetune", {**values, **agora.settings()}, run, data)


@app.command
def extract(
    *,
    teacher: str | None = None,
    corpus: Path | None = None,
    preset: Literal["bort"] | None = None,
    epsilon: Whole | None = None,
    steps: Whole | None = None,
    halving: Whole | None = None,
    seed: Whole | None = None,
    space: SpaceFlags = NO_SPACE_FLAGS,
    foresight: ForesightFlags = NO_FORESIGHT,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Choose an architecture around a teacher with the FPTAS, and make a student of it.

    Parameters
    ----------
    teacher
        Folder or Hub id of the teacher: fine-tuned on the task, or a masked language model for a corpus.
    corpus
        Shards of subarch prepare, instead of a task.
    preset
        bort: the paper's space and training, on a corpus.
    epsilon
        Train every epsilon-th candidate of the space.
    steps
        Training steps of each candidate.
    halving
        Of so many candidates one goes on, with so many times the steps, up to --steps.
    seed
        Seed of everything that is random.
    """
    values = {"teacher": teacher, "corpus": corpus, "preset": preset, "epsilon": epsilon, "steps": steps}
    values |= {"halving": halving, "seed": seed, **space.settings()}
    if foresight.check or foresight.estimate:
        return foresee_command(values | dataclasses.asdict(data), foresight, run)
    return run_command("extract", values, run, data)


@app.command
def search(
    recipe_file: Annotated[Path | None, Parameter(name="RECIPE")] = None,
    /,
    *,
    teacher: str | None = None,
    trials: Whole | None = None,
    workers: Whole | None = None,
    ray: str | None = None,
    budget: str | None = None,
    set_threshold: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    seed: Whole | None = None,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Search training, architecture and distillation together, for several metrics with thresholds.

    Parameters
    ----------
    recipe_file
        TOML file, as --recipe; of a search that began, --out alone will do.
    teacher
        Folder or Hub id of the encoder, fine-tuned or not.
    trials
        How many, those of earlier calls included; more than before continue the same search.
    workers
        Trials at the same time.
    ray
        Address of a Ray cluster on which they run, or local.
    budget
        No trial begins after so much wall-clock time, such as 2h.
    set_threshold
        NAME=VALUE from now on, none to clear; may be repeated. Of a search that runs or is done, its front follows.
    seed
        Seed of everything that is random.
    """
    run = run if recipe_file is None else dataclasses.replace(run, recipe=recipe_file)
    values = {"teacher": teacher, "trials": trials, "workers": workers, "ray": ray, "budget": budget, "seed": seed}
    return run_command("search", {**values, "set_threshold": set_threshold or None}, run, data)


@app.command
def prepare(
    *,
    input: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    tokenizer: str | None = None,
    train_tokenizer: Whole | None = None,
    seed: Whole | None = None,
    reading: ReadingFlags = NO_READING_FLAGS,
    run: RunFlags = DEFAULTS,
) -> int:
    """Turn text of any size into blocks of token ids for pre-training, in constant memory.

    Parameters
    ----------
    input
        Files, folders, patterns in quotes, or - for standard input: text, JSONL, Parquet, .gz; may be repeated.
    tokenizer
        Folder or Hub id whose tokenizer is used, or whose kind of tokenizer is trained.
    train_tokenizer
        Train a tokenizer with so many tokens on these texts.
    seed
        Seed of the split.
    """
    values = {"input": input or None, "tokenizer": tokenizer, "train_tokenizer": train_tokenizer}
    return run_command("prepare", {**values, "seed": seed, **dataclasses.asdict(reading)}, run)


@app.command
def pretrain(
    *,
    data: Path | None = None,
    architecture: str | None = None,
    teacher: str | None = None,
    model: str | None = None,
    inherit: Annotated[bool | None, Parameter(negative=())] = None,
    objective: Literal["distill", "mlm"] | None = None,
    loss: Literal["logits", "relations", "hidden"] | None = None,
    steps: Whole | None = None,
    seed: Whole | None = None,
    hardware: str | None = None,
    estimate: Annotated[bool, Parameter(negative=())] = False,
    run: RunFlags = DEFAULTS,
) -> int:
    """Pre-train an encoder on shards as a masked-language model; with a teacher, by imitating it.

    Parameters
    ----------
    data
        Folder of shards, from subarch prepare.
    architecture
        JSON file of extract, or D,A,H,I: layers, heads, hidden and intermediate size.
    teacher
        Folder or Hub id of the model to imitate.
    model
        Folder or Hub id to go on from, instead of an architecture.
    inherit
        Start from the teacher's most important weights.
    objective
        distill where there is a teacher, else mlm.
    loss
        What is imitated: the teacher's logits, its self-attention relations, or its hidden states.
    steps
        Optimiser steps; one pass over the data by default.
    seed
        Seed of everything that is random.
    hardware
        v100, a100, h100 or h200, whose peak counts instead of this machine's.
    estimate
        Tell parameters, memory and hours, and do nothing.
    """
    values: dict[str, Any] = {"data": data, "architecture": architecture, "teacher": teacher, "model": model}
    values |= {"inherit": inherit, "objective": objective, "loss": loss, "steps": steps}
    values |= {"seed": seed, "hardware": hardware}
    if estimate:
        return foresee_command(values, ForesightFlags(estimate=True), run, "pretrain")
    return run_command("pretrain", values, run)


@app.command
def evaluate(
    *,
    model: str | None = None,
    predictions: Path | None = None,
    seed: Whole | None = None,
    score: ScoreFlags = NO_SCORE_FLAGS,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Score a model, or anyone's predictions, with 95 % intervals and by slice, and keep the predictions.

    Parameters
    ----------
    model
        Folder (PyTorch or ONNX) or Hub id; of a suite, a folder with a model's folder for each task.
    predictions
        A file to score instead: predictions.parquet, or a format of SQuAD, GLUE or SuperGLUE.
    seed
        Seed of the bootstrap.
    """
    given = dataclasses.asdict(score) | {"slice": score.slice or None}
    return run_command("evaluate", {"model": model, "predictions": predictions, "seed": seed, **given}, run, data)


@app.command
def export(
    *,
    model: str | None = None,
    formats: Annotated[tuple[str, ...], Parameter(name="--format", negative=(), help=FORMATS_HELP)] = (),
    seed: Whole | None = None,
    run: RunFlags = DEFAULTS,
) -> int:
    """Export a model in every format, and check that the exports agree with it.

    Parameters
    ----------
    model
        Folder or Hub id of a model that answers a task.
    seed
        Seed of the inputs on which the exports are checked.
    """
    return run_command("export", {"model": model, "formats": formats or None, "seed": seed}, run)


@app.command
def latency(
    *models: str,
    threads: Whole | None = None,
    repeats: Whole | None = None,
    data: DataFlags = NO_DATA,
    run: RunFlags = DEFAULTS,
) -> int:
    """Time models in turn on single inputs; speed-ups refer to the first.

    Parameters
    ----------
    models
        Folders (PyTorch or ONNX) or Hub ids.
    threads
        Threads of every runtime; 1 by default.
    repeats
        Counted rounds.
    """
    return run_command("latency", {"models": models, "threads": threads, "repeats": repeats}, run, data)


@app.command
def describe(
    *sources: str,
    sequence_length: Whole = 128,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    debug: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Parameters by part and FLOPs of models, without loading any.

    Parameters
    ----------
    sources
        Published names such as bort, D,A,H,I sizes such as 4,8,1024,768, folders or Hub ids.
    sequence_length
        Tokens for which FLOPs are counted.
    as_json
        Print a JSON list.
    debug
        Print the traceback of a failure.
    """

    def work() -> None:
        from subarch.stages.describe import describe as describe_models
        from subarch.stages.describe import render

        found = describe_models(sources, sequence_length=sequence_length)
        tell(render(found), found if as_json else None)

    return guarded(work, debug=debug)


def main() -> None:
    """The `subarch` command."""
    keep_streams()
    # Threads that spin while they wait make training ten times slower as soon as another process wants a core; on an
    # idle machine passive waiting costs 8 % (docs/decisions.md). Read by OpenMP when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A short spin before that: the threads of small batches meet so often that sleeping each time costs a fifth.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        code = app(sys.argv[1:], result_action="return_value", exit_on_error=False, print_error=False)
    except CycloptsError as error:
        text = " ".join(str(error).split()).removesuffix(".")
        print(f"error: {text[:1].lower()}{text[1:]}\nhint: see subarch COMMAND --help", file=sys.stderr)
        sys.exit(2)
    except (OSError, UnicodeEncodeError):  # --help, and nobody who reads it
        drop(sys.stdout)
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
