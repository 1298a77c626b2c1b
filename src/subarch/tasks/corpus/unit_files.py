"""A unit of the corpus, tokenised: one file with its ids, and for each document its length and hash.

The file appears when the unit is done, so a resumed run knows what is left; which documents are kept and to which
split they go is decided later, from the hashes alone.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from subarch.errors import DataError
from subarch.storage import replacing_file
from subarch.tasks.base import Array
from subarch.tasks.corpus.documents import HASH_BYTES, Reading, Tally, read_documents
from subarch.tasks.corpus.inputs import Place, Unit
from subarch.tasks.corpus.packing import Layout
from subarch.tasks.corpus.token_stream import TokenStream


@dataclass(frozen=True, kw_only=True)
class UnitFile:
    """What is known of a unit that is done, without its ids."""

    path: Path
    number: int
    end: Place
    position: int
    """Bytes of the last input, as it lies on disk, that were read."""
    digest: str
    """Of what was read."""
    tally: Tally

    @classmethod
    def find(cls, folder: Path, number: int) -> UnitFile | None:
        """The file of a unit; None where it is not done."""
        path = folder / f"{number:08d}.safetensors"
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                known = json.loads(file.metadata()["unit"])
        except (SafetensorError, OSError) as error:
            raise DataError(f"cannot read {path}: {error}", "remove it, then run the same command") from error
        return cls(
            path=path,
            number=number,
            end=(known["end"][0], known["end"][1]),
            position=known["position"],
            digest=known["digest"],
            tally=Tally(**known["tally"]),
        )

    def hashes(self) -> Array:
        """(N, 2) uint64: of each document."""
        return self._read("hashes")

    def lengths(self) -> Array:
        """(N,) int64: tokens of each document, its separator included."""
        return self._read("lengths")

    def tokens(self) -> Array:
        """(T,) ids of all documents, one after the other."""
        return self._read("tokens")

    def _read(self, name: str) -> Array:
        with safe_open(self.path, framework="numpy") as file:
            found: Array = file.get_tensor(name)
        return found


@dataclass(frozen=True, kw_only=True)
class UnitSettings:
    """All that a process needs to know to do its units."""

    folder: Path
    tokenizer_json: str
    layout: Layout
    reading: Reading


class UnitTokenizer:
    """Does units: reads the documents, tokenises them, writes the file."""

    def __init__(self, settings: UnitSettings) -> None:
        layout = settings.layout
        self._settings = settings
        self._stream = TokenStream(settings.tokenizer_json, layout.sep_token_id, layout.dtype)

    def __call__(self, unit: Unit) -> UnitFile:
        """Write the unit's file, atomically.

        Raises:
            DataError: Documents that cannot be read.
            StorageError: The disk is full.
        """
        reading = self._settings.reading
        documents = read_documents(unit.spans, reading)
        tokens, lengths = self._stream.encode(documents.texts)
        hashes = np.frombuffer(documents.hashes(reading.seed), dtype="<u8").reshape(-1, HASH_BYTES // 8)
        known: dict[str, Any] = {
            "end": unit.end,
            "position": unit.spans[-1].position,
            "digest": unit.digest,
            "tally": dataclasses.asdict(documents.tally),
        }
        path = self._settings.folder / f"{unit.number:08d}.safetensors"
        with replacing_file(path) as temporary:
            save_file(
                {"tokens": tokens, "lengths": lengths, "hashes": hashes},
                temporary,
                metadata={"unit": json.dumps(known)},
            )
        return UnitFile(path=path, number=unit.number, **{**known, "tally": documents.tally})
