"""Documents to one stream of token ids, fast: what a word becomes is looked up, not worked out again.

BERT's normaliser and pre-tokenizer never look beyond white space and ASCII punctuation: what a word between two of
them becomes is the same everywhere. So each word is given to the tokenizer once and remembered, and a text is a list of
words turned into ids by array arithmetic. The ids are exactly the tokenizer's own. Any other tokenizer reads the texts
in full.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from subarch.tasks.base import Array

MAX_WORDS = 200_000
"""Words remembered at most; then memory is given back and begins anew. The ids do not depend on it."""
BATCH_CHARACTERS = 2**20
"""Text tokenised at once, which bounds the memory of the tokenizer's own objects."""
_WORDS_A_CALL = 256
_PIECE_CHARACTERS = 2**14
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+")
_LINE_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
_BETWEEN = "\0"
"""Stands between two documents; the documents hold no NUL."""


class TokenStream:
    """Turns documents into token ids, each document followed by the separator.

    Special tokens that stand in a text are text: no document can hold the separator's id.

    Args:
        tokenizer_json: The content of tokenizer.json.
        separator: Id that ends a document.
        dtype: Of the ids.
    """

    def __init__(self, tokenizer_json: str, separator: int, dtype: str) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._separator, self._dtype = separator, np.dtype(dtype)
        self._by_words = depends_on_words_alone(json.loads(tokenizer_json))
        self._memory = _Memory()
        self._parts: dict[str, list[int]] = {}

    def encode(self, documents: Sequence[str]) -> tuple[Array, Array]:
        """Ids (T,) of all documents, and the length (N,) int64 of each, its separator included.

        Args:
            documents: Texts without NUL characters.
        """
        streams, lengths = [np.zeros(0, dtype=self._dtype)], [np.zeros(0, dtype=np.int64)]
        for batch in _batches(documents):
            found = self._encode_words(batch) if self._by_words else self._encode_texts(batch)
            streams.append(found[0])
            lengths.append(found[1])
        return np.concatenate(streams), np.concatenate(lengths)

    def _encode_words(self, documents: Sequence[str]) -> tuple[Array, Array]:
        text = f" {_BETWEEN} ".join((*documents, "")).replace("\n", " ").replace("\t", " ").replace("\r", " ")
        words = text.split(" ")[:-1]
        if len(self._memory) > MAX_WORDS:
            self._memory, self._parts = _Memory(), {}
        memory = self._memory
        indices = np.fromiter(map(memory.__getitem__, words), dtype=np.int64, count=len(words))
        if memory.unknown:
            self._learn(memory)
        lengths = memory.lengths[indices]
        ends = np.cumsum(lengths)
        flat = np.repeat(memory.starts[indices] - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
        return memory.ids[flat], np.diff(ends[indices == memory[_BETWEEN]], prepend=0)

    def _learn(self, memory: _Memory) -> None:
        """Work out the words that were met for the first time, by their parts between punctuation."""
        words, memory.unknown = memory.unknown, []
        parts = [_PUNCTUATION.findall(word) if word != _BETWEEN else [] for word in words]
        known = self._parts
        new = list({part: None for found in parts for part in found if part not in known})
        plain = [part for part in new if part.isascii() and part.isalnum()]
        others = [part for part in new if not (part.isascii() and part.isalnum())]
        known.update(zip(plain, self._ids_of_words(plain), strict=True))
        known.update(zip(others, self._ids(others), strict=True))
        ids = [[token for part in found for token in known[part]] for found in parts]
        if words and words[0] == _BETWEEN:
            ids[0] = [self._separator]
        memory.append(ids, self._dtype)

    def _encode_texts(self, documents: Sequence[str]) -> tuple[Array, Array]:
        pieces = [list(_pieces(document)) for document in documents]
        ids = iter(self._ids([piece for found in pieces for piece in found]))
        streams = [
            np.concatenate([np.asarray(next(ids), dtype=self._dtype) for _ in found] + [self._end]) for found in pieces
        ]
        lengths = np.asarray([len(stream) for stream in streams], dtype=np.int64)
        return np.concatenate([self._end[:0], *streams]), lengths

    @property
    def _end(self) -> Array:
        return np.asarray([self._separator], dtype=self._dtype)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def _ids_of_words(self, words: list[str]) -> list[list[int]]:
        """The ids of words that the pre-tokenizer leaves whole, many at a time: a call costs more than a word."""
        found: list[list[int]] = [[] for _ in words]
        for first in range(0, len(words), _WORDS_A_CALL):
            text = " ".join(words[first : first + _WORDS_A_CALL])
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            for index, token in zip(encoding.word_ids, encoding.ids, strict=True):
                found[first + (index or 0)].append(token)
        return found


class _Memory(dict[str, int]):
    """Word -> its row in a ragged table of ids; a word that is not there gets the next row and waits in `unknown`."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: list[str] = []
        self.ids: Array = np.zeros(0, dtype=np.int64)
        self.starts: Array = np.zeros(0, dtype=np.int64)
        self.lengths: Array = np.zeros(0, dtype=np.int64)
        self[_BETWEEN]  # the first row is the separator's

    def __missing__(self, word: str) -> int:
        self.unknown.append(word)
        self[word] = row = len(self)
        return row

    def append(self, ids: list[list[int]], dtype: Any) -> None:
        """The ids of the next rows."""
        lengths = np.asarray([len(row) for row in ids], dtype=np.int64)
        starts = len(self.ids) + np.cumsum(lengths) - lengths
        flat = np.asarray([token for row in ids for token in row], dtype=dtype)
        self.ids = np.concatenate((self.ids.astype(dtype, copy=False), flat))
        self.starts = np.concatenate((self.starts, starts))
        self.lengths = np.concatenate((self.lengths, lengths))


def depends_on_words_alone(tokenizer_json: Any) -> bool:
    """Whether a tokenizer (its parsed tokenizer.json) is one of BERT's, for which the module's claim holds."""
    kinds = [(tokenizer_json.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    added = tokenizer_json.get("added_tokens", [])
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and all(token["special"] for token in added)


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document) + 8
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    """A long text in parts: cut before a line break between two words, where no tokenizer of words joins anything."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        place = _LINE_BREAK.search(text, start + _PIECE_CHARACTERS)
        if place is None:
            break
        yield text[start : place.start()]
        start = place.start()
    yield text[start:]
