"""Words replaced by their neighbours in an encoder's table of input embeddings.

After TinyBERT's data augmentation (Jiao et al. 2020, arXiv 1909.10351), which used GloVe: here the table is that of the
model at hand. Such neighbours are words of one kind, synonyms and also opposites ("warm", "cold"): whether the label
survives is for the teacher to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from subarch.errors import ConfigError
from subarch.training.augment.base import Source
from subarch.training.augment.whole_words import WholeWords
from subarch.training.augment.words import carries_meaning, is_other_word, replaced, some, words_of

_CANDIDATES = 30
"""Nearest tokens among which neighbours are looked for: many are other forms of the word itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Synonyms:
    """Replaces words that carry meaning by near ones; function words, negations, rare words and words in capitals stay.

    Raises:
        ConfigError: A share that cannot be, or no neighbour asked for.
    """

    model: PreTrainedModel
    """Any encoder of `transformers`; the embeddings are copied when the first word is asked for."""
    tokenizer: Any
    share: float = 0.15
    """Of the words that have neighbours, at least one."""
    neighbours: int = 5
    """Nearest words among which one is drawn."""
    least: float = 0.45
    """Cosine at least, of embeddings less their mean."""
    name: str = "synonym"
    _known: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)
    _table: list[Any] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.neighbours < 1:
            raise ConfigError(
                f"share {self.share} and {self.neighbours} neighbours of {self.name}, expected a share up to 1 and some"
            )

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        found = [words_of(source) for source in sources]
        self._look_up({word.text.casefold() for words in found for word in words})
        result: list[str | None] = []
        for source, words in zip(sources, found, strict=True):
            # Capitals throughout are an abbreviation or a name, which its neighbours in lower case do not mean.
            able = [word for word in words if self._known[word.text.casefold()] and not word.text.isupper()]
            new = {}
            for word in some(able, self.share, rng) if able else ():
                near = self._known[word.text.casefold()]
                new[word] = near[int(rng.integers(len(near)))]
            result.append(replaced(source.text, words, new) if new else None)
        return result

    def near(self, word: str) -> list[str]:
        """The words that may take its place, nearest first."""
        self._look_up({word.casefold()})
        return self._known[word.casefold()]

    def _look_up(self, words: set[str]) -> None:
        asked = sorted(words - self._known.keys())
        self._known.update((word, []) for word in asked)
        vocabulary, table = self._loaded()
        # A cased vocabulary has a word several times; the spelling in lower case is the one that stands inside texts.
        rows = {word: vocabulary.ids[word][-1] for word in asked if word in vocabulary.ids and carries_meaning(word)}
        rows |= {word: row for word in rows for row in vocabulary.ids[word] if vocabulary.surfaces[row] == word}
        if not rows:
            return
        cosines = table[list(rows.values())] @ table.T
        cosines[:, ~vocabulary.is_word] = -1.0
        count = min(_CANDIDATES, cosines.shape[1])
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        for number, word in enumerate(rows):
            candidates = sorted(nearest[number].tolist(), key=lambda row: (-cosines[number, row], row))
            texts = [vocabulary.surfaces[row] for row in candidates if cosines[number, row] >= self.least]
            different = dict.fromkeys(text for text in texts if text == text.lower() and is_other_word(text, word))
            self._known[word] = list(different)[: self.neighbours]

    def _loaded(self) -> tuple[WholeWords, np.ndarray]:
        if not self._table:
            weights = self.model.get_input_embeddings().weight.detach().float().cpu().numpy()
            vocabulary = WholeWords.of(self.tokenizer, len(weights))
            centred = weights - weights[vocabulary.is_word].mean(0)
            lengths = np.linalg.norm(centred, axis=1, keepdims=True)
            self._table.extend((vocabulary, centred / np.maximum(lengths, 1e-12)))
        return self._table[0], self._table[1]
