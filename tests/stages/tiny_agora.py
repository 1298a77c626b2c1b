"""Tiny students, teachers and tasks for Agora, and what two of its runs have in common."""

import json

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from stages import tiny
from subarch.arch.pretrained import quiet_transformers
from subarch.tasks.base import Examples, Task, TaskData

LOOP = {"max_steps": 5, "evaluations": 1, "batch_size": 16, "learning_rate": 2e-3, "checkpoint_seconds": 0.0}
TAUGHT = {"max_steps": 50, "evaluations": 2, "batch_size": 16, "learning_rate": 2e-3}
EDITS = ("swap", "drop")
AGORA = {
    "sets": "learning_rate=2e-3,5e-4 seed=0", "transformations": EDITS, "sources": "mistakes", "reserved": 0.0,
    "first_growth": 0.0,
}  # fmt: skip
"""Two sets, so two iterations and three trainings, and what grows is told by what was wrong."""
CHOICE = Task(
    name="copa", kind="choice", text="text", text_pair="second", label="label", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip


def choices(count, seed):
    """Questions of two or three rows: the right one has good words."""
    rng = np.random.default_rng(seed)
    texts, pairs, labels, groups = [], [], [], []
    for question in range(count):
        size = int(rng.integers(2, 4))
        right = int(rng.integers(size))
        for row in range(size):
            texts.append(" ".join(rng.choice(tiny.PLAIN, size=4)))
            pairs.append(" ".join(rng.choice(tiny.GOOD if row == right else tiny.BAD, size=3)))
            labels.append(int(row == right))
            groups.append(question)
    return Examples(texts, pairs, np.asarray(labels, dtype=np.int64), np.asarray(groups, dtype=np.int64))


def choice_data():
    return TaskData(CHOICE, choices(80, 0), choices(20, 1), choices(20, 2))


def masked_lm(folder):
    """A BERT with the head for masked words, whose weights are random."""
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        encoder = tiny.teacher(folder / "encoder")
        AutoModelForMaskedLM.from_pretrained(encoder).save_pretrained(folder / "masked")
        tiny.wordpiece().save_pretrained(folder / "masked")
    return folder / "masked"


def settings(given, out, **changes):
    """Of `finetune`: `given` has model, teacher and data."""
    agora = {**AGORA, **changes.pop("agora", {})}
    return {"max_length": 24, "loop": LOOP, **given, "out": out, "agora": agora, **changes}


def points(folder):
    """The points files as columns, by name."""
    return {file.name: pq.read_table(file).to_pydict() for file in sorted((folder / "points").glob("*.parquet"))}


def state(folder):
    return json.loads((folder / "agora.json").read_text())


def same_weights(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def same_outcome(one, other):
    """Weights to the bit, the state, and every point."""
    return same_weights(one, other) and state(one) == state(other) and points(one) == points(other)
