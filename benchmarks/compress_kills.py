"""Does a compression survive any kill? `kill -9` at random moments; the same command must end with the same student.

One compression of a tiny model, with fixed steps everywhere, runs undisturbed. Then, in a new folder each time, it is
killed at a random moment of its run, and the same command brings it to its end. Every other moment is a random one of
each stage in turn, since the export takes most of the time. The sha256 of teacher, student and exports are compared
with the undisturbed run's, and so is what lies in the folder. What is in `--folder` already is not done again, so that
many kills may be made in parts:

    python benchmarks/compress_kills.py --folder out/kills --first 0 --count 5
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from subarch.arch.pretrained import quiet_transformers
from subarch.storage import read_json, write_json

SEED = 7
STALL = 600.0
"""Seconds after which a call counts as stalled."""
STAGES = {
    "teacher": "teacher/result.json",
    "extract": "extract/result.json",
    "student": "student/result.json",
    "export": "export/result.json",
    "deliver": "result.json",
}
"""In their order, and what each leaves when it has ended."""
COMPARED = {
    "teacher": "teacher/model.safetensors",
    "student": "student/model.safetensors",
    "onnx": "export/onnx/model.onnx",
    "int8": "export/onnx-int8/model.onnx",
}
LOOP = {"max_steps": 40, "evaluations": 3, "batch_size": 16, "learning_rate": 2e-3, "checkpoint_seconds": 0.1}
SETTINGS = {
    "max_length": 24,
    **{f"finetune.{name}": value for name, value in LOOP.items()},
    **{f"distil.{name}": value for name, value in LOOP.items()},
    "extract.epsilon": 1,
    "extract.steps": 4,
    "extract.error_examples": 20,
    "extract.latency": "nominal",  # measured ones might choose another candidate each time
    "extract.loop.batch_size": 16,
    "extract.space.layers": [0.34, 0.67, 1.0],
    "extract.space.intermediate": [0.5],
    "extract.space.min_encoder": 0.01,
    "deliver.requests": 3,
    "deliver.repeats": 3,
}
GOOD, BAD = ("superb", "lovely", "bright", "clever", "funny"), ("dull", "stale", "clumsy", "boring", "weak")
PLAIN = ("film", "plot", "actor", "scene", "story", "music", "ending", "camera", "sound", "the", "a", "was", "very")

CONTEXT = multiprocessing.get_context("forkserver")
"""A call is forked from a process that has imported everything: it is the work that is killed, not ten seconds of
imports, in which nothing is written."""


def make_inputs(folder: Path) -> None:
    """`encoder`, a BERT of three layers with random weights, and `rows.csv`, 200 rows of two classes."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    rng = random.Random(SEED)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for number in range(200):
            words = rng.choices(PLAIN, k=6) + rng.choices(GOOD if number % 2 else BAD, k=2)
            rng.shuffle(words)
            writer.writerow((f"{' '.join(words)} {number}", "good" if number % 2 else "bad"))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"0123456789", *(f"##{n}" for n in range(10))]
    tokens += sorted({*GOOD, *BAD, *PLAIN})
    backend = Tokenizer(models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder / "encoder")
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 64}
    torch.manual_seed(SEED)
    config = BertConfig(vocab_size=len(tokens), max_position_embeddings=48, initializer_range=0.1, **sizes)
    with quiet_transformers():
        BertModel(config).save_pretrained(folder / "encoder")


class Call:
    """`subarch compress` with the settings above, in a process of its own."""

    def __init__(self, folder: Path, out: Path) -> None:
        words = ["compress", "--teacher", folder / "encoder", "--train", folder / "rows.csv", "--out", out]
        words += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        self.out, self.said = out, out.with_suffix(".txt")
        self._process = CONTEXT.Process(target=_run, args=(list(map(str, words)), str(self.said)), daemon=True)
        self._process.start()
        self.began = time.monotonic()

    def kill_after(self, seconds: float, file: str | None = None) -> bool:
        """Kill it so long after its beginning, or after a file is there; False where it has ended before."""
        while file is not None and not (self.out / file).exists() and self._process.exitcode is None:
            time.sleep(0.002)
        since = self.began if file is None else time.monotonic()
        self._process.join(max(0.0, since + seconds - time.monotonic()))
        if self._process.exitcode is not None:
            self.expect_success()
            return False
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL

    def expect_success(self) -> float:
        """Wait for its end; seconds.

        Raises:
            SystemExit: It stalls, or does not end well.
        """
        self._process.join(STALL)
        if self._process.exitcode != 0:
            sys.exit(f"{self.out}: exit code {self._process.exitcode}\n{self.said.read_text()[-2000:]}")
        return time.monotonic() - self.began


def _run(words: list[str], said: str) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    sys.argv = ["subarch", *words]
    from subarch.cli import main as command

    command()


def outcome(out: Path) -> dict[str, Any]:
    """What a finished compression left: the hashes of its models, its scores, and files that it should not have."""
    hashes = {name: hashlib.sha256((out / path).read_bytes()).hexdigest() for name, path in COMPARED.items()}
    metrics = read_json(out / "result.json")["metrics"]
    scores = {name: metrics[name]["score"] for name in ("teacher", "student")}
    left = [path for path in out.rglob(".*") if path.suffix in (".partial", ".old") or path.name == ".unfinished"]
    return {**hashes, "scores": scores, "left": len(left), "files": len(list(out.rglob("*")))}


def stage_of(out: Path) -> str:
    """The stage that a kill hit."""
    return next((name for name, file in STAGES.items() if not (out / file).exists()), "after the end")


def ends(out: Path, began: float) -> list[float]:
    """Seconds from the beginning to the end of each stage."""
    return [(out / file).stat().st_mtime - began for file in STAGES.values()]


def moment_of(rng: random.Random, number: int, ended: list[float]) -> tuple[float, str | None]:
    """When to kill: so many seconds after the beginning, or after a file is there, with which a stage begins."""
    if number % 2 == 0:
        return rng.uniform(0, ended[-1]), None
    stage = number // 2 % len(ended)
    before = list(STAGES.values())[stage - 1] if stage else None
    return rng.uniform(0, ended[stage] - (ended[stage - 1] if stage else 0.0)), before


def killed(folder: Path, number: int, ended: list[float]) -> dict[str, Any]:
    """Kill a compression at a random moment of its run, and go on with it until it ends."""
    rng, out = random.Random(f"{SEED}-{number}"), folder / f"killed-{number:02d}"
    shutil.rmtree(out, ignore_errors=True)
    while True:
        moment, after = moment_of(rng, number, ended)
        if Call(folder, out).kill_after(moment, after):
            break
        shutil.rmtree(out)  # it was faster than the undisturbed run
    stage = stage_of(out)
    took = Call(folder, out).expect_success()
    found = {
        "number": number,
        "moment": round(moment, 2),
        "after": after,
        "stage": stage,
        "resumed_seconds": round(took, 2),
    }
    found |= outcome(out)
    shutil.rmtree(out)
    return found


def main() -> None:
    """Kill, resume, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps what was done")
    parser.add_argument("--first", type=int, default=0, help="number of the first kill")
    parser.add_argument("--count", type=int, default=25)
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/record.db", "HF_HUB_OFFLINE": "1"}
    CONTEXT.set_forkserver_preload(
        ["subarch.stages.compress", "torch.onnx", "onnxscript", "onnxruntime.quantization", "sklearn.linear_model"]
    )
    if not (folder / "whole.json").exists():
        shutil.rmtree(folder / "whole", ignore_errors=True)
        make_inputs(folder)
        call = Call(folder, folder / "whole")
        began = time.time()
        seconds = call.expect_success()
        ended = ends(folder / "whole", began)
        write_json(folder / "whole.json", {"seconds": seconds, "ended": ended, **outcome(folder / "whole")})
    whole = read_json(folder / "whole.json")
    for number in range(given.first, given.first + given.count):
        if not (folder / f"kill-{number:02d}.json").exists():
            write_json(folder / f"kill-{number:02d}.json", killed(folder, number, whole["ended"]))
    report(whole, [read_json(path) for path in sorted(folder.glob("kill-*.json"))])


def report(whole: dict[str, Any], kills: list[dict[str, Any]]) -> None:
    """A row for each stage that was hit, and one for all."""
    print(f"undisturbed: {whole['seconds']:.1f} s, {whole['files']} files, student {whole['student'][:12]}")
    headings = ("killed in", "kills", *(f"same {name}" for name in COMPARED), "same scores", "same files", "left over")
    print("  ".join(headings))
    for stage in (*STAGES, "after the end", "all"):
        rows = [kill for kill in kills if stage in (kill["stage"], "all")]
        if not rows:
            continue
        same = [sum(row[name] == whole[name] for row in rows) for name in (*COMPARED, "scores", "files")]
        cells = (stage, len(rows), *same, sum(row["left"] for row in rows))
        print("  ".join(f"{cell!s:<{len(heading)}}" for cell, heading in zip(cells, headings, strict=True)))


if __name__ == "__main__":
    main()
