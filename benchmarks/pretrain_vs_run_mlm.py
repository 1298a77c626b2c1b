"""Tokens per second of masked-language pre-training: ours against the `run_mlm` recipe of `transformers`.

    python benchmarks/pretrain_vs_run_mlm.py --data shards --model DIR --steps 30 --rounds 3

Both train the same model on the same blocks in the same batches, in this process, in turn: ours with `train` and
`masked_lm_batches`; the recipe with `Trainer` and `DataCollatorForLanguageModeling`, as `run_mlm.py` has them. With
`--precision fp32` both compute in fp32; with bf16 the Trainer uses its `bf16` (autocast) and we our own way. The first
round warms up. No teacher, no evaluation, no checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from subarch.arch.folders import resolve
from subarch.arch.pretrained import load_masked_lm, load_tokenizer
from subarch.running.machine import describe_machine
from subarch.tasks.corpus.shards import Shards
from subarch.training.loop import LoopContext, train
from subarch.training.masked_lm import MaskedLanguageModel, MaskedLmLoss, masked_lm_batches
from subarch.training.masking import Masking
from subarch.training.precision import prepare_for_training
from subarch.training.settings import LoopConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of shards")
    parser.add_argument("--model", required=True, help="folder of a masked-language model with the shards' tokenizer")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args()
    shards = Shards.open(arguments.data)
    tokens = arguments.steps * arguments.batch_size * shards.block_size
    rates: dict[str, list[float]] = {"subarch": [], "transformers run_mlm": []}
    for number in range(arguments.rounds + 1):
        for name, run in (("subarch", ours), ("transformers run_mlm", recipe)):
            AcceleratorState._reset_state(reset_partial_state=True)  # each chooses its own mixed precision
            seconds = run(arguments, shards)
            if number:
                rates[name].append(tokens / seconds)
                print(f"round {number}: {name:22} {rates[name][-1]:10,.0f} tokens/s", flush=True)
    ratios = [mine / theirs for mine, theirs in zip(*rates.values(), strict=True)]
    report = {
        "block_size": shards.block_size,
        "batch_size": arguments.batch_size,
        "precision": arguments.precision,
        "threads": torch.get_num_threads(),
        "tokens_per_second": {name: [round(value) for value in values] for name, values in rates.items()},
        "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)},
        "machine": describe_machine(),
    }
    print(json.dumps(report, indent=2))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def ours(arguments: argparse.Namespace, shards: Shards) -> float:
    model = load_masked_lm(resolve(arguments.model))
    prepare_for_training(model, dropout=True)
    masking = Masking(
        vocab_size=shards.vocab_size,
        mask_token_id=shards.mask_token_id,
        special_token_ids=shards.special_token_ids,
        pad_token_id=shards.pad_token_id,
    )
    batches = masked_lm_batches(shards.split("train"), masking, batch_size=arguments.batch_size, seed=0)
    config = LoopConfig(max_steps=arguments.steps, precision=arguments.precision)
    started = time.perf_counter()
    train(MaskedLanguageModel(model), batches, MaskedLmLoss(alpha=1.0), config=config, context=LoopContext())
    return time.perf_counter() - started


def recipe(arguments: argparse.Namespace, shards: Shards) -> float:
    model = load_masked_lm(resolve(arguments.model))
    tokenizer = load_tokenizer(shards.tokenizer_folder)
    blocks = shards.split("train")
    wanted = np.random.default_rng(0).integers(len(blocks), size=arguments.steps * arguments.batch_size)
    special = np.isin(ids := blocks.take(wanted).astype(np.int64), shards.special_token_ids).astype(np.int64)
    # run_mlm.py keeps the mask of special tokens in its data set, so that the collator need not look for them.
    rows: Any = [
        {"input_ids": row.tolist(), "special_tokens_mask": mask.tolist()}
        for row, mask in zip(ids, special, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        settings = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=arguments.batch_size,
            max_steps=arguments.steps,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=arguments.precision == "bf16",
        )
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        runner = Trainer(model=model, args=settings, train_dataset=rows, data_collator=collator)
        started = time.perf_counter()
        runner.train()
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
