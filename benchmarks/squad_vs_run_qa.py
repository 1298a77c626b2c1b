"""Seconds per 1,000 questions of SQuAD, end to end: ours against the way of the `run_qa` example of `transformers`.

    python benchmarks/squad_vs_run_qa.py --task squad2 --questions 500 --rounds 3

Same model, same process, in turn; fp32 unless it says bf16. `run_qa`: features by `datasets.map`, padded to 384 tokens,
the Trainer's prediction in batches of 8 in the order of the file, the n-best search in Python and its files (its
defaults). `run_qa, dynamic padding` is the same with `--pad_to_max_length False`, `run_qa, bf16` with
`--bf16_full_eval`. Ours: every context tokenised once, windows by array arithmetic, batches of similar length, the
n-best search in arrays. The peer's search is written here after its description; loading is not counted.

Without --model, three layers of the packaged teacher are fine-tuned for --steps steps: a head of random numbers finds
its highest logits at padding too, where there is no answer, and only a trained one gives answers worth comparing.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, default_data_collator

from subarch.arch.folders import PACKAGED, resolve
from subarch.arch.pretrained import load_span_model, load_tokenizer
from subarch.running.machine import describe_machine
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.scoring.spans import best_spans
from subarch.tasks.suites.squad import SQUAD, load_squad
from subarch.tasks.windows import encode_windows
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.loop import LoopContext, train
from subarch.training.precision import cast_weights, prepare_for_training
from subarch.training.settings import LoopConfig
from subarch.training.span import SpanModel, predict_spans, span_loss

MAX_LENGTH, STRIDE, N_BEST, MAX_ANSWER, BATCH = 384, 128, 20, 30, 8
OURS = ("subarch", "subarch, bf16")
PHASES = ("features", "forward", "answers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a question-answering model; a small student by default")
    parser.add_argument("--task", default="squad2", choices=("squad1", "squad2"))
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("SUBARCH_DATA"))
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="of training the default student")
    parser.add_argument("--json", type=Path, help="write the report there too")
    arguments = parser.parse_args()
    data = load_squad(SQUAD[arguments.task], data_dir=arguments.data_dir)
    examples = data.test.sample(arguments.questions)
    tokenizer = load_tokenizer(resolve(arguments.model or PACKAGED))
    model = load_span_model(resolve(arguments.model)) if arguments.model else student(data, tokenizer, arguments.steps)
    runs = {
        "subarch": ours,
        "subarch, bf16": ours_bf16,
        "run_qa": run_qa,
        "run_qa, dynamic padding": run_qa_dynamic,
        "run_qa, bf16": run_qa_bf16,
    }
    times: dict[str, list[list[float]]] = defaultdict(list)
    answers: dict[str, tuple[list[str], np.ndarray]] = {}
    for number in range(arguments.rounds + 1):
        for name, run in runs.items():
            marks, answers[name] = run(model, tokenizer, examples)
            if number:  # the first round warms up
                times[name].append([1000 / len(examples) * seconds for seconds in np.diff(marks)])
    report = {
        "task": arguments.task,
        "model": arguments.model or f"3 layers of {PACKAGED}, {arguments.steps} steps",
        "questions": len(examples),
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "seconds_per_1000_questions": {name: summary(rounds) for name, rounds in times.items()},
        "speedup": {
            mine: {name: speedup(times[name], times[mine]) for name in runs if name not in OURS} for mine in OURS
        },
        "same_answers": {name: agreement(answers["subarch"], answers[name]) for name in runs if name != "subarch"},
        "f1_where_answerable": {name: found_f1(answers[name][0], examples) for name in runs},
        "machine": describe_machine(),
    }
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))


def student(data: TaskData, tokenizer: Any, steps: int) -> Any:
    torch.manual_seed(0)
    model = load_span_model(resolve(PACKAGED))
    model.base_model.encoder.layer = model.base_model.encoder.layer[::2]
    model.config.num_hidden_layers = 3
    if steps:
        prepare_for_training(model, dropout=True)
        windows = encode_windows(tokenizer, data.train.sample(8 * steps), max_length=MAX_LENGTH, stride=STRIDE)
        batches = training_batches(
            EncodedData(encoded=windows.encoded, pad_token_id=tokenizer.pad_token_id), batch_size=16, seed=0
        )
        config = LoopConfig(max_steps=steps, learning_rate=3e-4)
        train(SpanModel(model), batches, span_loss, config=config, context=LoopContext())
        model.set_attn_implementation("sdpa")
    return model.eval()


def ours(model: Any, tokenizer: Any, examples: Examples) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    marks = [time.perf_counter()]
    windows = encode_windows(tokenizer, examples, max_length=MAX_LENGTH, stride=STRIDE)
    marks.append(time.perf_counter())
    logits = predict_spans(model, windows, tokenizer.pad_token_id)
    marks.append(time.perf_counter())
    predictions = best_spans(*logits, windows, examples, n_best=N_BEST, max_answer_tokens=MAX_ANSWER)
    marks.append(time.perf_counter())
    return marks, (predictions.texts or [], predictions.no_answer)


def ours_bf16(model: Any, tokenizer: Any, examples: Examples) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    return ours(cast_weights(copy.deepcopy(model), torch.bfloat16), tokenizer, examples)


def run_qa(model: Any, tokenizer: Any, examples: Examples) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    return peer(model, tokenizer, examples, pad=True)


def run_qa_dynamic(model: Any, tokenizer: Any, examples: Examples) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    return peer(model, tokenizer, examples, pad=False)


def run_qa_bf16(model: Any, tokenizer: Any, examples: Examples) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    return peer(copy.deepcopy(model), tokenizer, examples, pad=True, bf16=True)


def peer(
    model: Any, tokenizer: Any, examples: Examples, *, pad: bool, bf16: bool = False
) -> tuple[list[float], tuple[list[str], np.ndarray]]:
    columns = {"id": examples.columns["id"], "question": examples.texts, "context": examples.pairs}
    dataset = datasets.Dataset.from_dict(columns)
    with tempfile.TemporaryDirectory() as folder:
        marks = [time.perf_counter()]
        features = dataset.map(
            lambda rows: peer_features(tokenizer, rows, pad),
            batched=True,
            remove_columns=dataset.column_names,
            cache_file_name=str(Path(folder) / "features.arrow"),
        )
        marks.append(time.perf_counter())
        logits = peer_forward(model, tokenizer, features, pad, bf16)
        marks.append(time.perf_counter())
        answers = peer_answers(dataset, features, logits, folder)
        marks.append(time.perf_counter())
    return marks, answers


def peer_features(tokenizer: Any, rows: Any, pad: bool) -> Any:
    features = tokenizer(
        [question.lstrip() for question in rows["question"]],
        rows["context"],
        truncation="only_second",
        max_length=MAX_LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if pad else False,
    )
    owners = features.pop("overflow_to_sample_mapping")
    features["example_id"] = [rows["id"][owner] for owner in owners]
    for number in range(len(features["input_ids"])):
        sides = features.sequence_ids(number)
        features["offset_mapping"][number] = [
            span if side == 1 else None for span, side in zip(features["offset_mapping"][number], sides, strict=True)
        ]
    return features


def peer_forward(model: Any, tokenizer: Any, features: Any, pad: bool, bf16: bool) -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_eval_batch_size=BATCH,
                use_cpu=True,
                bf16_full_eval=bf16,
                report_to=[],
                disable_tqdm=True,
            ),
            data_collator=default_data_collator if pad else DataCollatorWithPadding(tokenizer),
        )
        return trainer.predict(features.remove_columns(["example_id", "offset_mapping"])).predictions


def peer_answers(dataset: Any, features: Any, logits: Any, folder: str) -> tuple[list[str], np.ndarray]:
    """The n-best search question by question, pair by pair, and its three files."""
    of_example = defaultdict(list)
    for number, identity in enumerate(features["example_id"]):
        of_example[identity].append(number)
    texts: dict[str, str] = {}
    margins: dict[str, float] = {}
    listed: dict[str, list[dict[str, Any]]] = {}
    for example in dataset:
        null, found = np.inf, []
        for number in of_example[example["id"]]:
            starts, ends = logits[0][number], logits[1][number]
            null = min(null, starts[0] + ends[0])
            found += pairs(starts, ends, features[number]["offset_mapping"])
        spans = sorted(found, key=lambda pair: pair["score"], reverse=True)[:N_BEST]
        for span in spans:
            begin, end = span.pop("offsets")
            span["text"] = example["context"][begin:end]
        spans = spans or [{"text": "empty", "score": 0.0, "start_logit": 0.0, "end_logit": 0.0}]
        scores = np.array([span["score"] for span in spans])
        weights = np.exp(scores - scores.max())
        for span, probability in zip(spans, weights / weights.sum(), strict=True):
            span["probability"] = probability
        texts[example["id"]], margins[example["id"]] = spans[0]["text"], float(null - spans[0]["score"])
        listed[example["id"]] = [
            {key: value if isinstance(value, str) else float(value) for key, value in span.items()} for span in spans
        ]
    for name, content in (("predictions", texts), ("nbest_predictions", listed), ("null_odds", margins)):
        (Path(folder) / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n")
    return list(texts.values()), np.array(list(margins.values()))


def pairs(starts: np.ndarray, ends: np.ndarray, offsets: Any) -> list[dict[str, Any]]:
    found = []
    firsts = np.argsort(starts)[: -N_BEST - 1 : -1].tolist()
    lasts = np.argsort(ends)[: -N_BEST - 1 : -1].tolist()
    for first in firsts:
        for last in lasts:
            if first >= len(offsets) or last >= len(offsets) or not offsets[first] or not offsets[last]:
                continue
            if last < first or last - first + 1 > MAX_ANSWER:
                continue
            found.append(
                {
                    "offsets": (offsets[first][0], offsets[last][1]),
                    "score": starts[first] + ends[last],
                    "start_logit": starts[first],
                    "end_logit": ends[last],
                }
            )
    return found


def summary(rounds: list[list[float]]) -> dict[str, float]:
    phases = {phase: statistics.median(row[place] for row in rounds) for place, phase in enumerate(PHASES)}
    return phases | {"total": statistics.median(map(sum, rounds))}


def speedup(peer_rounds: list[list[float]], our_rounds: list[list[float]]) -> dict[str, float]:
    ratios = [sum(theirs) / sum(mine) for theirs, mine in zip(peer_rounds, our_rounds, strict=True)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def agreement(mine: tuple[list[str], np.ndarray], theirs: tuple[list[str], np.ndarray]) -> dict[str, float]:
    return {
        "texts": float(np.mean([a == b for a, b in zip(mine[0], theirs[0], strict=True)])),
        "answered_or_not": float(np.mean((mine[1] > 0) == (theirs[1] > 0))),
        "largest_difference_of_no_answer": float(np.abs(mine[1] - theirs[1]).max()),
    }


def found_f1(texts: list[str], examples: Examples) -> float:
    answers = examples.columns["answers"]
    rows = [row for row, accepted in enumerate(answers) if accepted]
    return float(exact_and_f1([texts[row] for row in rows], [answers[row] for row in rows])[1].mean())


def show(report: dict[str, Any]) -> None:
    print(f"{'seconds per 1,000 questions':28}" + "".join(f"{phase:>10}" for phase in (*PHASES, "total")))
    for name, values in report["seconds_per_1000_questions"].items():
        print(f"{name:28}" + "".join(f"{values[phase]:10.2f}" for phase in (*PHASES, "total")))
    for mine, ratios in report["speedup"].items():
        for name, ratio in ratios.items():
            print(f"{mine}: {ratio['median']:.2f}x faster than {name}")
    for name, same in report["same_answers"].items():
        print(f"{name}: {same['texts']:.1%} of the texts are those of subarch")


if __name__ == "__main__":
    datasets.disable_progress_bars()
    main()
