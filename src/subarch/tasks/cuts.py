"""What of the texts a model reads: how many are longer than its input, how much of them is lost, and what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from subarch.tasks.base import Array, Examples
from subarch.tasks.trimming import chunks, trimmed

ROWS = 2000
"""Texts that are measured at most; ours."""
CHARACTERS = 4_000_000
"""Of theirs, a second or two of tokenising; ours."""
LONGEST = 50_000
"""Characters of a text that are tokenised; the rest is taken to have as many tokens a character."""
WHOLE = 0.99
"""Share of the texts that the suggested length reads whole."""
STEP = 16
"""Suggested lengths are multiples of it."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How texts fare at a length, by a sample of them."""

    max_length: int
    """Tokens that the model reads."""
    share: float
    """Of the texts that are longer."""
    tokens: int
    """Tokens that are lost, over all texts."""
    token_share: float
    """The same as a share of all tokens."""
    suggested: int | None
    """A length that reads nearly all whole, or the longest that the model reads; None where that is this one."""
    whole: float
    """Share of the texts that `suggested` reads whole; where there is none, that this length does."""
    estimated: bool = False
    """Whether not all of the texts were counted to their end."""

    @property
    def text(self) -> str:
        """One sentence without its period; empty where nothing is cut."""
        if not self.share:
            return ""
        about = "about " if self.estimated else ""
        lost = (
            f"{about}{_percent(self.share)} of the texts are longer than {self.max_length:,} tokens: "
            f"{about}{self.tokens:,} tokens, "
            f"{_percent(self.token_share)} of all, are cut and never read"
        )
        if self.suggested is not None:
            return f"{lost}; --set max_length={self.suggested} reads {_percent(self.whole)} of them whole"
        advice = "this model reads no more: take one for longer inputs, or split the texts"
        return f"{lost}; {advice}" if self.share > 1 - WHOLE else lost


def measure_cut(tokenizer: Any, examples: Examples, max_length: int, longest: int) -> Cut:
    """Measure before training what would be cut, on at most `ROWS` texts.

    Args:
        tokenizer: A fast tokenizer of `transformers`.
        examples: Those to train on.
        max_length: Tokens that were asked for.
        longest: Tokens that the model can read at most.
    """
    limit = min(max_length, longest)
    sample = _sample(examples)
    lengths = _lengths(tokenizer, sample)
    lost = np.maximum(lengths - limit, 0)
    share = float(np.mean(lost > 0)) if len(lengths) else 0.0
    wanted = math.ceil(float(np.quantile(lengths, WHOLE, method="inverted_cdf")) / STEP) * STEP if share else limit
    suggested = min(max(wanted, limit), longest)
    return Cut(
        max_length=limit,
        share=share,
        tokens=round(float(lost.mean()) * len(examples)) if share else 0,
        token_share=float(lost.sum() / lengths.sum()) if share else 0.0,
        suggested=suggested if suggested > limit else None,
        whole=float(np.mean(lengths <= suggested)) if share else 1.0,
        estimated=len(sample) < len(examples)
        or any(len(text) > LONGEST for text in (*sample.texts, *(sample.pairs or ()))),
    )


def as_read(tokenizer: Any, examples: Examples, max_length: int) -> Examples:
    """The examples with their texts cut where `encode` cuts their tokens; texts that fit stay as they are."""
    texts, pairs = [*examples.texts], None if examples.pairs is None else [*examples.pairs]
    for rows in chunks(texts, pairs, max_length):
        heads = trimmed(tokenizer, texts[rows], None if pairs is None else pairs[rows], max_length)
        batch = tokenizer(*heads, truncation="longest_first", max_length=max_length, return_offsets_mapping=True)
        for at, encoding in enumerate(batch.encodings):
            for side, (column, kept) in enumerate(zip((texts, pairs), heads, strict=True)):
                if column is not None and kept is not None:
                    column[rows.start + at] = _kept(kept[at], encoding, side) if encoding.overflowing else kept[at]
    return replace(examples, texts=texts, pairs=pairs)


def _kept(text: str, encoding: Any, side: int) -> str:
    """What of a text the tokens of its side hold."""
    offsets = [place for place, own in zip(encoding.offsets, encoding.sequence_ids, strict=True) if own == side]
    return text[offsets[0][0] : offsets[-1][1]] if offsets else ""


def _sample(examples: Examples) -> Examples:
    """Examples in random order, the same for the same data, while they are few enough."""
    order = np.random.default_rng(0).permutation(len(examples))[:ROWS]
    pairs = examples.pairs or [""] * len(examples)
    sizes = [min(LONGEST, len(examples.texts[row])) + min(LONGEST, len(pairs[row])) for row in order]
    kept = max(1, int(np.searchsorted(np.cumsum(sizes), CHARACTERS, side="right")))
    return examples.take(np.sort(order[:kept]))


def _lengths(tokenizer: Any, examples: Examples) -> Array:
    """(N,) tokens of each example, those of the model included."""
    special = int(tokenizer.num_special_tokens_to_add(pair=examples.pairs is not None))
    sides = [examples.texts] if examples.pairs is None else [examples.texts, examples.pairs]
    return np.asarray(
        [special + sum(counts) for counts in zip(*(_counts(tokenizer, side) for side in sides), strict=True)]
    )


def _counts(tokenizer: Any, texts: Sequence[str]) -> Iterator[int]:
    heads = [text[:LONGEST] for text in texts]
    batch = tokenizer(heads, add_special_tokens=False, truncation=False, return_attention_mask=False, verbose=False)
    for text, head, ids in zip(texts, heads, batch["input_ids"], strict=True):
        yield round(len(ids) * len(text) / max(1, len(head)))


def _percent(share: float) -> str:
    """A share as per cent; never 0 or 100 where it is not."""
    for decimals in (0, 1, 2):
        text = f"{100 * share:.{decimals}f}"
        if share in (0.0, 1.0) or 0 < float(text) < 100:
            return f"{text} %"
    return "under 0.01 %" if share < 0.5 else "over 99.99 %"
