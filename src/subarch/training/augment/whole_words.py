"""Which tokens of a vocabulary are whole words or numbers, so that one can stand for a word of a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from subarch.training.augment.words import carries_meaning
from subarch.training.masking import word_continuations

_BYTE_LEVEL_SPACE = "Ġ"


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeWords:
    """The tokens that begin a word and consist of letters alone, or of digits alone; V is the vocabulary."""

    surfaces: list[str]
    """Each token as a text shows it, V of them; "" for those that are neither."""
    is_word: np.ndarray
    """(V,) bool; words that carry meaning."""
    is_number: np.ndarray
    """(V,) bool."""
    ids: dict[str, list[int]] = field(default_factory=dict)
    """Tokens by their text in lower case."""

    @staticmethod
    def of(tokenizer: Any, size: int) -> WholeWords:
        """Those of a tokenizer of `transformers`, for a model with `size` tokens."""
        tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(range(min(len(tokenizer), size)))]
        begins = ~word_continuations(tokens)
        byte_level = any(token.startswith(_BYTE_LEVEL_SPACE) for token in tokens)
        special = set(tokenizer.all_special_ids)
        surfaces = [""] * size
        for index in np.flatnonzero(begins).tolist():
            if index not in special:
                text = tokenizer.convert_tokens_to_string([tokens[index]]).strip() if byte_level else tokens[index]
                surfaces[index] = text if text.isalpha() or text.isdecimal() else ""
        ids: dict[str, list[int]] = {}
        for index, text in enumerate(surfaces):
            if text:
                ids.setdefault(text.casefold(), []).append(index)
        return WholeWords(
            surfaces=surfaces,
            is_word=np.array([carries_meaning(text) for text in surfaces]),
            is_number=np.array([text.isdecimal() for text in surfaces]),
            ids=ids,
        )
