"""MB/s of `subarch prepare` against the usual recipe of `datasets`, and its memory as the corpus grows.

    python benchmarks/prepare_vs_datasets.py --tokenizer DIR --input 'novels/*.txt' --processes 1 --rounds 3
    python benchmarks/prepare_vs_datasets.py --tokenizer DIR --memory 50 500

The recipe is that of the `run_mlm` example of `transformers`, written here after its description: the text by lines,
`datasets.map` with the tokenizer in batches, then `map` with a function that joins what a batch has and cuts it into
blocks, both with as many processes, the result on disk as Arrow. In turn, on the same file, each round in a process of
its own that has imported everything before the clock starts and has no cache. Ours also splits by document, counts and
saves each part. Neither the import nor the start of the program is counted.

--memory generates corpora of so many MB (words drawn by Zipf's law, some of them new) and gives the highest resident
memory of all processes of a run together, sampled, and of the largest one, as the system counts it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from subarch.running.machine import describe_machine

BLOCK = 512
DOCUMENTS = ("blank-line", "line", "file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True, help="folder of a model")
    parser.add_argument("--input", nargs="+", help="text files, joined into one; by default 50 MB are generated")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--documents", default="blank-line", choices=DOCUMENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", nargs="+", type=float, help="MB of generated corpora: measure memory instead")
    parser.add_argument("--deduplicate", action="store_true", help="with --memory")
    parser.add_argument("--json", type=Path, help="write the report there too")
    parser.add_argument("--run", choices=tuple(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(WAYS[arguments.run](arguments)))
        return
    report = memory(arguments) if arguments.memory else speed(arguments)
    report["machine"] = describe_machine()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        if arguments.input:
            corpus.write_bytes(b"\n\n".join(path.read_bytes() for name in arguments.input for path in matching(name)))
        else:
            generate(corpus, 50)
        megabytes = corpus.stat().st_size / 1e6
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
        for _ in range(arguments.rounds):
            for name in WAYS:
                found[name].append(in_a_process(arguments, name, corpus)[0])
    rates = {name: [megabytes / one["seconds"] for one in rounds] for name, rounds in found.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["subarch"], rates["datasets"], strict=True)]
    print(f"{megabytes:.1f} MB, {arguments.processes} processes, {arguments.rounds} rounds")
    for name, values in rates.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        blocks = found[name][0]["blocks"]
        print(f"{name:10} {statistics.median(values):8.2f} MB/s ({spread})  {blocks} blocks of {BLOCK}")
    print(f"speed-up   {statistics.median(ratios):8.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return {
        "corpus_mb": megabytes,
        "processes": arguments.processes,
        "mb_per_second": rates,
        "blocks": {name: rounds[0]["blocks"] for name, rounds in found.items()},
        "speedup": statistics.median(ratios),
        "speedup_range": [min(ratios), max(ratios)],
    }


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = []
    print("corpus MB  seconds  all processes MB  largest process MB")
    for megabytes in arguments.memory:
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus.txt"
            generate(corpus, megabytes)
            found, peak = in_a_process(arguments, "subarch", corpus)
        rows.append({"corpus_mb": megabytes, "seconds": found["seconds"], "peak_mb": peak, "largest": found["peak_mb"]})
        print(f"{megabytes:9.0f}  {found['seconds']:7.1f}  {peak:16.0f}  {found['peak_mb']:18.0f}")
    return {"processes": arguments.processes, "memory": rows}


def in_a_process(arguments: argparse.Namespace, name: str, corpus: Path) -> tuple[dict[str, Any], float]:
    """What a run says, and the highest memory of its processes together, in MB."""
    words = [sys.executable, __file__, "--run", name, "--corpus", str(corpus), "--tokenizer", arguments.tokenizer]
    words += ["--processes", str(arguments.processes), "--documents", arguments.documents]
    words += ["--deduplicate"] if arguments.deduplicate else []
    peak = [0.0]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        watcher = threading.Thread(target=watch, args=(process, peak))
        watcher.start()
        output = process.communicate()[0]
        watcher.join()
    if process.returncode:
        sys.exit(process.returncode)
    return json.loads(output.splitlines()[-1]), peak[0]


def watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(resident(number) for number in family(process.pid)))
        time.sleep(0.05)


def family(number: int) -> list[int]:
    """A process and all below it (Linux)."""
    try:
        tasks = list(Path(f"/proc/{number}/task").iterdir())
        below = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return [number]
    return [number, *(other for child in below for other in family(child))]


def resident(number: int) -> float:
    try:
        return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def ours(arguments: argparse.Namespace) -> dict[str, Any]:
    from subarch.stages.prepare import PrepareConfig, prepare

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = prepare(
            PrepareConfig(
                input=(str(arguments.corpus),),
                tokenizer=arguments.tokenizer,
                out=Path(folder) / "shards",
                documents=arguments.documents,
                processes=arguments.processes,
                deduplicate=arguments.deduplicate,
            )
        )
        seconds = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": seconds, "blocks": result.metrics["blocks"], "peak_mb": peak * 1024 / 1e6}


def theirs(arguments: argparse.Namespace) -> dict[str, Any]:
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)

    def tokenise(batch: dict[str, list[str]]) -> Any:
        return tokenizer(batch["text"], return_special_tokens_mask=True)

    def group_texts(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {name: [token for row in rows for token in row] for name, rows in batch.items()}
        total = len(next(iter(joined.values()))) // BLOCK * BLOCK
        return {name: [row[at : at + BLOCK] for at in range(0, total, BLOCK)] for name, row in joined.items()}

    count = arguments.processes if arguments.processes > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        lines = datasets.load_dataset(
            "text", data_files=str(arguments.corpus), split="train", cache_dir=folder, keep_in_memory=False
        )
        encoded = lines.map(tokenise, batched=True, remove_columns=["text"], num_proc=count)
        blocks = encoded.map(group_texts, batched=True, num_proc=count)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "blocks": len(blocks), "peak_mb": 0.0}


WAYS = {"subarch": ours, "datasets": theirs}


def generate(path: Path, megabytes: float) -> None:
    """Paragraphs of words by Zipf's law over 50,000 made-up words, and now and then a new one."""
    rng = np.random.default_rng(0)
    letters = np.asarray(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(rng.choice(letters[: 6 + size * 2], size=size)) for size in rng.integers(2, 11, size=50_000)]
    chances = 1 / (np.arange(len(words)) + 2.7)
    cumulated = np.cumsum(chances / chances.sum())
    written = 0
    with path.open("w", encoding="ascii") as file:
        while written < megabytes * 1e6:
            chosen = np.searchsorted(cumulated, rng.random(20_000)).clip(max=len(words) - 1)
            drawn = [words[index] for index in chosen.tolist()]
            for place, number in zip(range(0, len(drawn), 200), rng.integers(0, 2**40, 100), strict=True):
                drawn[place] = f"{number:x}"
            paragraphs = [" ".join(drawn[at : at + 80]) for at in range(0, len(drawn), 80)]
            text = ".\n\n".join(paragraphs) + ".\n\n"
            file.write(text)
            written += len(text)


def matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(path.parent.glob(path.name)) if "*" in pattern else [path]


if __name__ == "__main__":
    main()
