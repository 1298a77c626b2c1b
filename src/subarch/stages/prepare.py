"""Prepare a corpus for pre-training: text of any size to blocks of token ids, in constant memory.

The corpus is read in units of some MB. Processes tokenise them, each to a file of its own, and when all are there the
documents are dealt to the splits and packed. A killed run goes on with the units that are not there yet; what comes out
depends on the corpus and the settings, and not on how many processes there were or how often the run was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subarch.arch.folders import resolve
from subarch.arch.pretrained import load_tokenizer
from subarch.errors import ModelError, UserError
from subarch.session.output import RUN_FILE, OutputFolder, Result, claim
from subarch.session.session import Session
from subarch.stages.preparation.pipeline import DUPLICATES, SPECIAL, UNITS, Preparation, PrepareConfig
from subarch.storage import UNFINISHED, remove_unfinished
from subarch.tasks.corpus.inputs import Source, find_sources
from subarch.tasks.corpus.shards import SHARDS_FILE, TOKENIZER_FOLDER, Shards, tokenizer_sha256
from subarch.training.processes import require_one_process

__all__ = ["PrepareConfig", "prepare"]


def prepare(config: PrepareConfig, session: Session | None = None) -> Result:
    """Turn a corpus into shards, which `subarch.tasks.corpus.shards.Shards` reads.

    Returns:
        Metrics: `documents`, `blocks` and `tokens` of all splits, `dropped_tokens` (they fill no block),
        `dropped_documents` (duplicates, and those without a token), `short_documents`, `cut_documents` (cuts of those
        that are too long), `input_bytes`, `undecodable_bytes`, `first_undecodable`, `input_mb_per_second` (of this
        run; MB of 10^6 bytes), `splits` and `notes`; files: the shards and the folder `tokenizer`.

    Raises:
        UserError: Inputs, a tokenizer or an output folder that cannot be used, too many bytes that are not UTF-8, or
            no full block to train on; no folder is left then.
        InterruptedRun: Stopped by the user; what is done is kept.
    """
    require_one_process("prepare")
    session = session or Session()
    sources = find_sources(config.input, None if config.format == "auto" else config.format)
    tokenizer = _tokenizer(config.tokenizer)
    settings = dataclasses.asdict(config)
    del settings["processes"]  # a run may be resumed with more or fewer
    with claim(config.out, "prepare", settings, _fingerprint(sources, tokenizer)) as folder:
        if folder.result is not None:
            return folder.result
        try:
            return _prepare(Preparation(config, session, sources, tokenizer), session, folder)
        except UserError:
            _give_up(folder.path)
            raise


def _prepare(preparation: Preparation, session: Session, folder: OutputFolder) -> Result:
    with session.recorded(folder, "prepare") as run:
        started = time.monotonic()
        if not (folder.path / SHARDS_FILE).exists():
            preparation.run()
        for name in (UNITS, DUPLICATES):
            shutil.rmtree(folder.path / name, ignore_errors=True)
        shards = Shards.open(folder.path)
        seconds = time.monotonic() - started
        metrics = _metrics(shards, preparation.megabytes / seconds)
        run.log({name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}, step=0)
    artifacts = {"shards": folder.path / SHARDS_FILE, "tokenizer": shards.tokenizer_folder}
    return folder.finish(metrics, artifacts, run.run_id, seconds)


def _tokenizer(source: str) -> Any:
    """The tokenizer of a model's folder, or of a folder with a tokenizer alone, or of the Hub."""
    path = Path(source)
    tokenizer = load_tokenizer(path if path.is_dir() and not (path / "config.json").exists() else resolve(source))
    if missing := [name for name in SPECIAL if getattr(tokenizer, f"{name}_token_id") is None]:
        raise ModelError(
            f"the tokenizer of {source} has no {missing[0]} token, expected one of the BERT family",
            "choose another --tokenizer",
        )
    return tokenizer


def _fingerprint(sources: Sequence[Source], tokenizer: Any) -> str:
    found = [tokenizer_sha256(tokenizer), [source.stamp for source in sources]]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _metrics(shards: Shards, speed: float) -> dict[str, Any]:
    corpus, splits = shards.manifest["corpus"], shards.manifest["splits"]
    rows = {name: {key: value for key, value in split.items() if key != "files"} for name, split in splits.items()}
    totals = ("documents", "blocks", "tokens", "dropped_tokens")
    of_corpus = ("dropped_documents", "short_documents", "cut_documents", "undecodable_bytes", "first_undecodable")
    empty = [name for name, row in rows.items() if not row["blocks"]]
    return {
        **{key: sum(row[key] for row in rows.values()) for key in totals},
        **{key: corpus[key] for key in of_corpus},
        "input_bytes": corpus["bytes"],
        "input_mb_per_second": round(speed, 3),
        "splits": rows,
        "notes": [f"no document went to {name}; give it a larger share" for name in empty],
    }


def _give_up(out: Path) -> None:
    """Remove what a refused corpus left: the command must change, and another command would not fit this folder."""
    remove_unfinished(out)
    for name in (UNITS, DUPLICATES, TOKENIZER_FOLDER):
        shutil.rmtree(out / name, ignore_errors=True)
    for file in (*out.glob("*.bin"), *(out / name for name in (SHARDS_FILE, RUN_FILE, UNFINISHED, ".lock"))):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's file is in there
        out.rmdir()
