"""A tokenizer of one's own: the same kind as another one, with a vocabulary learnt from the corpus."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from subarch.errors import ConfigError, DataError
from subarch.tasks.corpus.documents import Reading, read_documents
from subarch.tasks.corpus.inputs import STANDARD_INPUT, Source, units

MAX_ALPHABET = 1000
"""Characters that a WordPiece vocabulary holds at most; rarer ones become the unknown token, as in BERT's."""


def train_tokenizer(
    tokenizer: Any, sources: Sequence[Source], reading: Reading, *, size: int, sample_mb: int
) -> dict[str, Any]:
    """A tokenizer.json with the same normaliser, pre-tokenizer, kind of model and special tokens, and `size` tokens.

    It learns from units spread evenly over the corpus, together about `sample_mb` MB, whatever the corpus's size; the
    same corpus always gives the same vocabulary.

    Args:
        tokenizer: A fast tokenizer of `transformers`.
        sources: The corpus; not standard input, which can be read only once.
        reading: How documents are found.
        size: Of the vocabulary.
        sample_mb: MB of text, about.

    Raises:
        ConfigError: Standard input, a kind of tokenizer that cannot be trained, or a size that the alphabet exceeds.
        DataError: The corpus cannot be read, or has no text.
    """
    if any(source.path == STANDARD_INPUT for source in sources):
        raise ConfigError("a tokenizer cannot be trained on standard input, which is read once", "give files")
    kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("type")
    if kind not in ("WordPiece", "BPE"):
        raise ConfigError(f"the tokenizer is a {kind}, expected WordPiece or BPE", "choose another --tokenizer")
    total = sum(source.bytes or 0 for source in sources)
    texts = _Texts(sources, reading, stride=max(1, -(-total // (sample_mb * 10**6))))
    options: dict[str, Any] = {}
    continuing: list[str] = []
    if kind == "WordPiece":
        alphabet, continuing = _alphabet(tokenizer.backend_tokenizer, texts)
        options = {"initial_alphabet": alphabet, "limit_alphabet": len(alphabet), "new_special_tokens": continuing}
    trained = tokenizer.train_new_from_iterator(iter(texts), size, show_progress=False, **options)
    if not texts.found:
        raise DataError("the corpus has no text", "check the inputs and --min-words")
    if len(trained) > size:
        raise ConfigError(
            f"the vocabulary has {size} tokens, fewer than the {len(trained)} of single characters alone",
            f"give --train-tokenizer {max(1000, 2 * len(trained))}, say",
        )
    result: dict[str, Any] = json.loads(trained.backend_tokenizer.to_str())
    result["added_tokens"] = [token for token in result["added_tokens"] if token["content"] not in set(continuing)]
    return result


class _Texts:
    """The texts of every `stride`-th unit, a batch for each; may be gone through again."""

    def __init__(self, sources: Sequence[Source], reading: Reading, stride: int) -> None:
        self._sources, self._reading, self._stride = sources, reading, stride
        self.found = False

    def __iter__(self) -> Iterator[list[str]]:
        for unit in units(self._sources, self._reading.boundaries, self._reading.text):
            if unit.number % self._stride == 0:
                texts = read_documents(unit.spans, self._reading).texts
                self.found = self.found or bool(texts)
                yield texts


def _alphabet(backend: Any, texts: Iterable[list[str]]) -> tuple[list[str], list[str]]:
    """The most frequent characters, and the tokens of those that go on a word, such as "##a".

    The trainer numbers the latter in the order of a hash table, which differs from run to run, and breaks ties between
    pairs by number: they are given to it as if they were special tokens, which it numbers in our order.
    """
    counts: Counter[str] = Counter()
    words: set[str] = set()
    for text in (text for batch in texts for text in batch):
        plain = backend.normalizer.normalize_str(text) if backend.normalizer else text
        counts.update(plain)
        words.update(plain.split())
    parts = (part for word in words for part, _ in backend.pre_tokenizer.pre_tokenize_str(word))
    inside = {character for part in parts for character in part[1:]}
    visible = (character for character in counts if not character.isspace())
    kept = sorted(sorted(visible, key=lambda character: (-counts[character], character))[:MAX_ALPHABET])
    prefix = json.loads(backend.to_str())["model"]["continuing_subword_prefix"]
    return kept, [f"{prefix}{character}" for character in kept if character in inside]
