"""Long texts cut before they are tokenised, to somewhat more than a model reads: the token ids stay the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers.models import BPE, Unigram

ROWS = 8192
"""Examples tokenised at once."""
CHARACTERS = 4_000_000
"""Of their texts: the tokenizer's own objects take some 70 bytes for each."""
LONG = 16
"""Characters a token from which a text is cut; doubled until it has tokens enough."""
MARGIN = 64
"""Tokens beyond those that are read, since the ones next to the cut may differ from those of the whole text."""
SHIFTS = (1, 2, 3, 5)
"""Characters by which a cut inside a word is moved, to see that the tokens before it stay."""
MOST = 1_000_000
"""Characters of a text that are looked at. Beyond them is cut where no cut was found that surely changes nothing: in
texts that give next to no tokens, such as a word without an end."""
COMPARED = 50_000
"""Characters of a text up to which the texts of a pair are compared by tokens, to give the longer one the odd token;
of two texts above it, the one with more characters is taken to be the longer."""
_SPACE = re.compile(r"\s")
_NEAR = 200
"""Characters within which white space is looked for, to cut there and not inside a word."""

Texts = tuple[list[str], list[str] | None]
"""Texts, and the second ones of pairs."""


def chunks(texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Iterator[slice]:
    """Rows that are tokenised at once, one slice after the other."""
    most = LONG * max_length
    sizes = np.fromiter((min(len(text), most) for text in texts), dtype=np.int64, count=len(texts))
    if pairs is not None:
        sizes += np.fromiter((min(len(text), most) for text in pairs), dtype=np.int64, count=len(pairs))
    ends = sizes.cumsum()
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHARACTERS, side="right")))
        stop = min(stop, start + ROWS)
        yield slice(start, stop)
        start = stop


def trimmed(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Texts:
    """The texts without the ends of long ones, which truncation would drop.

    Args:
        tokenizer: A fast tokenizer of `transformers`; truncation cuts the longer text of a pair first.
        texts: Of any length.
        pairs: Their second texts.
        max_length: Tokens that will be left, special tokens included.
    """
    first, second = list(texts), None if pairs is None else list(pairs)
    limit = LONG * max_length
    if tokenizer.truncation_side != "right":
        ends = ([text[-MOST:] for text in column] for column in (first, second or []))
        return next(ends), None if second is None else next(ends)
    needed = max_length + MARGIN
    if second is None or (max_length - tokenizer.num_special_tokens_to_add(pair=True)) % 2 == 0:
        for column in (first, second or []):
            _trim(tokenizer, column, {row: needed for row, text in enumerate(column) if len(text) > limit}, limit)
    else:
        _trim_pairs(tokenizer, first, second, max_length)
    return first, second


def _trim_pairs(tokenizer: Any, first: list[str], second: list[str], max_length: int) -> None:
    """Where the room is odd, the text that has more tokens keeps one more: then it must stay the longer one."""
    limit, needed = LONG * max_length, max_length + MARGIN
    long = [row for row, both in enumerate(zip(first, second, strict=True)) if max(map(len, both)) > limit]
    ahead = _first_is_longer(tokenizer, [first[row] for row in long], [second[row] for row in long], max_length)
    for column, other, longer in ((second, first, True), (first, second, False)):
        mine = [row for row, leads in zip(long, ahead, strict=True) if leads == longer]
        _trim(tokenizer, column, dict.fromkeys(mine, needed), limit)
        counts = _counts(tokenizer, [column[row] for row in mine])
        _trim(
            tokenizer,
            other,
            {row: max(max_length, count) + MARGIN for row, count in zip(mine, counts, strict=True)},
            limit,
        )


def _first_is_longer(tokenizer: Any, first: list[str], second: list[str], max_length: int) -> list[bool]:
    """Whether each first text has more tokens than the second."""
    # The text with fewer characters is counted, the other one only as far as the count goes.
    swapped = [len(one) > len(other) for one, other in zip(first, second, strict=True)]
    small = [min(both, key=len)[: max(COMPARED, LONG * max_length)] for both in zip(second, first, strict=True)]
    large = [one if swap else other for one, other, swap in zip(first, second, swapped, strict=True)]
    counts = _counts(tokenizer, small)
    _trim(tokenizer, large, {row: count + MARGIN for row, count in enumerate(counts)}, LONG * max_length)
    pairs = zip(_counts(tokenizer, large), counts, swapped, strict=True)
    # Of two equal ones the second keeps the odd token.
    return [many > few if swap else few > many for many, few, swap in pairs]


def _trim(tokenizer: Any, texts: list[str], needed: Mapping[int, int], size: int) -> None:
    """Cut the texts in these rows behind so many tokens, in their place; those that have fewer stay whole."""
    left, most = dict(needed), max(MOST, size)
    while left:
        heads = {row: _head(texts[row], size) for row in left if len(texts[row]) > size}
        left = {row: left[row] for row in heads}
        for rows in _batches(heads):
            for row, enough in zip(rows, _enough(tokenizer, [heads[row] for row in rows], rows, left), strict=True):
                if enough:
                    texts[row] = heads[row]
                    del left[row]
        if size == most:
            break
        size = min(2 * size, most)
    for row in left:
        texts[row] = _capped(tokenizer, texts[row], most)


def _capped(tokenizer: Any, text: str, most: int) -> str:
    """The beginning of a text that no cut was found for, without white space before it that gives no token."""
    if not _counts(tokenizer, [text[:most]])[0]:
        text = text.lstrip()
    return text[:most]


def _head(text: str, size: int) -> str:
    """The first characters of a text; a few more where white space comes soon."""
    space = _SPACE.search(text, size, size + _NEAR)
    return text[: size if space is None else space.start()]


def _batches(heads: Mapping[int, str]) -> Iterator[list[int]]:
    rows = list(heads)
    for part in chunks([heads[row] for row in rows], None, MOST):
        yield rows[part]


def _enough(tokenizer: Any, heads: Sequence[str], rows: Sequence[int], needed: Mapping[int, int]) -> list[bool]:
    """Whether each of the heads has its row's tokens, and any more text would leave those that are read as they are."""
    # Of other models a word that goes on may become one unknown token, and its first tokens with it.
    goes_on = isinstance(tokenizer.backend_tokenizer.model, BPE | Unigram)
    found = []
    for row, head, encoding in zip(rows, heads, _encoded(tokenizer, heads), strict=True):
        words = encoding.word_ids
        # Words are tokenised apart from each other, so that only the last one of a head can be another in the text.
        whole = next((at for at in range(len(words), 0, -1) if words[at - 1] != words[-1]), 0)
        enough = whole >= needed[row]
        if goes_on and not enough and len(words) >= needed[row]:
            read = encoding.ids[: needed[row] - MARGIN]
            moved = _encoded(tokenizer, [head[:-shift] for shift in SHIFTS])
            enough = all(other.ids[: len(read)] == read for other in moved)
        found.append(enough)
    return found


def _counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, without special ones."""
    found: list[int] = []
    for part in chunks(texts, None, MOST):
        found += map(len, _encoded(tokenizer, texts[part]))
    return found


def _encoded(tokenizer: Any, texts: Sequence[str]) -> list[Any]:
    tokenizer.backend_tokenizer.no_truncation()
    return list(tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False))
