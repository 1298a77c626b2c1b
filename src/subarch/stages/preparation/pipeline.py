"""The work of `prepare`: units tokenised in processes, then packed; what is done is found again by a resumed run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from subarch.arch.pretrained import load_tokenizer, quiet_transformers
from subarch.errors import ConfigError, DataError, InterruptedRun
from subarch.running.processes import available_processes, map_in_order
from subarch.session.session import Session
from subarch.storage import replacing_folder, storage_errors, write_json
from subarch.tasks.corpus.assembly import Shares, assemble
from subarch.tasks.corpus.documents import Boundaries, Reading, Tally
from subarch.tasks.corpus.inputs import Place, Source, Unit, units
from subarch.tasks.corpus.packing import Layout
from subarch.tasks.corpus.shards import SHARDS_FILE, TOKENIZER_FOLDER, VERSION, tokenizer_sha256
from subarch.tasks.corpus.tokenizer_training import train_tokenizer
from subarch.tasks.corpus.unit_files import UnitFile, UnitSettings, UnitTokenizer

UNITS, DUPLICATES = "units", "duplicates"
"""Folders that are there while the work is done."""
SPECIAL = ("cls", "sep", "pad", "mask")
"""Tokens that a tokenizer must have."""
_MAX_PROCESSES = 4
"""Unless the user asks for more: each takes about 200 MB."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Which texts, and how they become blocks."""

    input: tuple[str, ...]
    """Files, folders, patterns in quotes, or "-" for standard input: text, JSON lines, Parquet, each also as .gz."""
    tokenizer: str
    """Folder or Hub id of the model whose tokenizer is used, or whose kind of tokenizer is trained."""
    out: Path
    train_tokenizer: int | None = None
    """Train a tokenizer with so many tokens on the corpus."""
    tokenizer_sample_mb: int = 100
    """Text that it is trained on, at most about."""
    format: Literal["auto", "text", "jsonl", "parquet"] = "auto"
    """Of the inputs; told by their names by default."""
    text: str = "text"
    """Field of JSON lines, column of Parquet."""
    documents: Boundaries = "blank-line"
    """Where a document of plain text ends; "file" for books."""
    min_words: int = 0
    """Shorter documents are dropped."""
    strip_markup: bool = False
    """Take off HTML and wiki markup."""
    deduplicate: bool = False
    """Drop documents whose text occurred before."""
    block_size: int = 512
    """Tokens of a block, [CLS] and [SEP] included."""
    validation: float = 0.01
    """Share of the documents that select."""
    test: float = 0.01
    """Share of the documents that report."""
    max_undecodable: float = 0.001
    """Share of bytes that are not UTF-8, above which the corpus is refused."""
    processes: int | None = None
    """As many as there are processors by default, at most 4. The shards do not depend on it."""
    seed: int = 0
    """Of the split."""

    def __post_init__(self) -> None:
        if not self.input:
            raise ConfigError("no inputs, expected at least one file", "give --input 'corpus/*.txt'")
        least = {"block_size": 8, "min_words": 0, "tokenizer_sample_mb": 1}
        least |= {name: 1 for name in ("train_tokenizer", "processes") if getattr(self, name) is not None}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {smallest}")
        for name in ("validation", "test", "max_undecodable"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share from 0 to below 1")
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"validation and test get {self.validation + self.test:g} of the corpus, expected below 1"
            )

    @property
    def reading(self) -> Reading:
        """How documents are found."""
        return Reading(
            boundaries=self.documents,
            text=self.text,
            min_words=self.min_words,
            strip_markup=self.strip_markup,
            seed=self.seed,
        )


class Preparation:
    """A corpus on its way to shards.

    Args:
        config: The settings.
        session: Is told how far the work is, and asked whether to stop.
        sources: The inputs.
        tokenizer: The one that is used, or whose kind is trained.
    """

    def __init__(self, config: PrepareConfig, session: Session, sources: Sequence[Source], tokenizer: Any) -> None:
        self._config, self._session, self._sources, self._base = config, session, sources, tokenizer
        self._progress = _Progress(session, sources)

    @property
    def megabytes(self) -> float:
        """Text read by this run, in 10^6 bytes."""
        return self._progress.megabytes

    def run(self) -> None:
        """Write the shards, `shards.json` last.

        Raises:
            UserError: Inputs that cannot be read or used.
            InterruptedRun: Stopped by the user; what is done is kept.
        """
        config, out = self._config, self._config.out
        tokenizer = self._own_tokenizer()
        layout = Layout(
            block_size=config.block_size,
            vocab_size=len(tokenizer),
            **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "pad")},
        )
        settings = UnitSettings(
            folder=out / UNITS,
            tokenizer_json=tokenizer.backend_tokenizer.to_str(),
            layout=layout,
            reading=config.reading,
        )
        self._session.phase("tokenising", f"{len(self._sources)} inputs")
        self._tokenise(settings)
        done, tally = self._collect(settings.folder)
        self._session.phase("packing", f"{tally.documents} documents")
        splits = assemble(
            out,
            done,
            layout,
            Shares(validation=config.validation, test=config.test),
            work=out / DUPLICATES if config.deduplicate else None,
            on_unit=lambda number: self._stop(),
        )
        self._require_a_block(splits)
        write_json(out / SHARDS_FILE, _manifest(layout, tokenizer, splits, tally))

    def _own_tokenizer(self) -> Any:
        """The tokenizer of these shards, from their folder."""
        config, folder = self._config, self._config.out / TOKENIZER_FOLDER
        if not folder.exists():
            trained = None
            if config.train_tokenizer is not None:
                self._session.phase("training a tokenizer", f"{config.train_tokenizer} tokens")
                trained = train_tokenizer(
                    self._base,
                    self._sources,
                    config.reading,
                    size=config.train_tokenizer,
                    sample_mb=config.tokenizer_sample_mb,
                )
            with replacing_folder(folder) as temporary, quiet_transformers():
                self._base.save_pretrained(temporary)
                if trained is not None:
                    write_json(temporary / "tokenizer.json", trained)
        return load_tokenizer(folder)

    def _tokenise(self, settings: UnitSettings) -> None:
        """Do the units that are not done."""
        config = self._config
        with storage_errors(settings.folder):
            settings.folder.mkdir(exist_ok=True)

        def end(number: int) -> Place | None:
            found = UnitFile.find(settings.folder, number)
            return None if found is None else found.end

        waiting = _not_done(units(self._sources, config.documents, config.text, done=end), settings.folder)
        processes = config.processes or min(_MAX_PROCESSES, available_processes())
        plain = all(source.seekable for source in self._sources)
        too_many = config.max_undecodable * sum(source.bytes or 0 for source in self._sources)
        undecodable = 0
        # Each process has a tokenizer of one thread: threads of all of them would want the same processors.
        environment = {"TOKENIZERS_PARALLELISM": "false"}
        for unit in map_in_order(partial(UnitTokenizer, settings), waiting, processes, environment):
            self._progress.count(unit)
            undecodable += unit.tally.undecodable_bytes
            if plain and undecodable > too_many:
                return  # whatever comes, it will be refused
            self._stop()

    def _collect(self, folder: Path) -> tuple[list[UnitFile], Tally]:
        """All units in order, and what was read in them."""
        limit = self._config.max_undecodable
        found: list[UnitFile] = []
        tally = Tally()
        while (unit := UnitFile.find(folder, len(found))) is not None:
            found.append(unit)
            tally.add(unit.tally)
        if tally.undecodable_bytes > limit * tally.bytes and tally.first_undecodable is not None:
            place = f"{tally.first_undecodable['file']} at byte {tally.first_undecodable['offset']}"
            raise DataError(
                f"{tally.undecodable_bytes} of {tally.bytes} bytes are no UTF-8 text, the first in {place}; "
                f"expected at most {limit:.2%}",
                "convert the file with iconv, or --set max_undecodable=0.01, say",
            )
        if not tally.documents:
            raise DataError("the corpus has no document", "check the inputs and --min-words")
        return found, tally

    def _require_a_block(self, splits: dict[str, dict[str, Any]]) -> None:
        train = splits["train"]
        if train["tokens"] < self._config.block_size:
            raise DataError(
                f"the corpus has {train['tokens'] + train['dropped_tokens']} tokens to train on, "
                f"not one full block of {self._config.block_size}",
                "give more text, a smaller --set block_size, or smaller shares to validation and test",
            )

    def _stop(self) -> None:
        if self._session.stop_requested():
            raise InterruptedRun("interrupted, what is done of the corpus is saved", "the same command resumes")


def _not_done(found: Iterator[Unit], folder: Path) -> Iterator[Unit]:
    """The units without a file; those of standard input that have one must be what they were."""
    for unit in found:
        known = UnitFile.find(folder, unit.number)
        if known is None:
            yield unit
        elif known.digest != unit.digest:
            raise DataError(
                f"standard input differs from that of the earlier run before byte {unit.spans[-1].end}",
                "give the same input to resume, or choose another --out",
            )


class _Progress:
    """How far the reading is, in bytes of the inputs as they lie on disk."""

    def __init__(self, session: Session, sources: Sequence[Source]) -> None:
        sizes = [source.bytes for source in sources]
        self._session, self._started = session, time.monotonic()
        self._before = [sum(size or 0 for size in sizes[:index]) for index in range(len(sizes))]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._begun: int | None = None
        self.megabytes = 0.0
        """Text read by this run, in 10^6 bytes."""

    def count(self, unit: UnitFile) -> None:
        """A unit is done."""
        self.megabytes += unit.tally.bytes / 1e6
        done = self._before[unit.end[0]] + unit.position
        if self._begun is None:
            self._begun = done  # what an earlier run did says nothing about this one's speed
        seconds = time.monotonic() - self._started
        speed = (done - self._begun) / seconds
        left = (self._total - done) / speed if self._total is not None and speed else None
        self._session.tell(
            "bytes",
            stage="prepare",
            done_bytes=done,
            total_bytes=self._total,
            mb_per_second=self.megabytes / seconds,
            seconds_left=left,
        )


def _manifest(layout: Layout, tokenizer: Any, splits: dict[str, dict[str, Any]], tally: Tally) -> dict[str, Any]:
    kept = sum(split["documents"] for split in splits.values())
    return {
        "version": VERSION,
        "tokenizer_sha256": tokenizer_sha256(tokenizer),
        "dtype": layout.dtype,
        **dataclasses.asdict(layout),
        "mask_token_id": tokenizer.mask_token_id,
        "special_token_ids": sorted(set(tokenizer.all_special_ids)),
        "splits": splits,
        "corpus": {**dataclasses.asdict(tally), "dropped_documents": tally.documents - kept},
    }
