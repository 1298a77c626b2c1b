"""From logits of tokens to answers: the best spans of each question over all its windows.

The rule is that of the `run_qa` example of `transformers`: in every window the `n_best` tokens with the highest start
logits meet those with the highest end logits; a pair that lies in the context, in order and not too far apart is a
candidate, and its score is the sum of its two logits. The score of "no answer" is the least one, over the windows, of
the token that stands for it. Where `run_qa` finds no candidate (and answers "empty"), all pairs in the context
are candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from subarch.tasks.base import Array, Examples
from subarch.tasks.scoring.answers import best_threshold, exact_and_f1
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.windows import Windows

PAIRS = 1_000_000
"""Pairs of tokens looked at together: bounds the memory that they take."""


@dataclass(frozen=True)
class Span:
    """A possible answer.

    Attributes:
        text: As it stands in the context.
        start: Its first character in the context.
        probability: Softmax of the scores over the spans listed with it.
        start_logit: Of its first token.
        end_logit: Of its last token.
    """

    text: str
    start: int
    probability: float
    start_logit: float
    end_logit: float


@dataclass(frozen=True)
class _Candidates:
    """At most `depth` candidates for each example, by example and then from the best down.

    Arrays of (M,): the example, the first and the last token (places in the flat arrays), and the score.
    """

    example: Array
    first: Array
    last: Array
    score: Array


def best_spans(
    start_logits: Array,
    end_logits: Array,
    windows: Windows,
    examples: Examples,
    *,
    n_best: int = 20,
    max_answer_tokens: int = 30,
) -> Predictions:
    """The best text for each question, and how much higher "no answer" scores.

    Args:
        start_logits: (T,) of the tokens of all windows, in their order.
        end_logits: (T,) the same.
        windows: What the model was given.
        examples: What the windows were made of.
        n_best: Start and end tokens considered in each window.
        max_answer_tokens: Of the longest answer.

    Returns:
        `texts`, "" only where a context has no tokens at all (there `no_answer` is infinite), and `no_answer`.
    """
    found = _candidates(
        (np.asarray(start_logits), np.asarray(end_logits)), windows, (n_best, max_answer_tokens), depth=1
    )
    texts = [""] * len(examples)
    best = np.full(len(examples), -np.inf)
    for example, begin, end in _characters(found, windows):
        texts[example] = _context(examples, example)[begin:end]
    best[found.example] = found.score
    token = windows.encoded.offsets[:-1] + windows.cls_index
    null = np.full(len(examples), np.inf)
    np.minimum.at(null, windows.example, np.asarray(start_logits)[token] + np.asarray(end_logits)[token])
    return Predictions(texts=texts, no_answer=null - best)


def n_best_spans(
    start_logits: Array,
    end_logits: Array,
    windows: Windows,
    examples: Examples,
    *,
    n_best: int = 20,
    max_answer_tokens: int = 30,
) -> list[list[Span]]:
    """For each question at most `n_best` spans, the best first; the first is the one of `best_spans`."""
    starts, ends = np.asarray(start_logits), np.asarray(end_logits)
    found = _candidates((starts, ends), windows, (n_best, max_answer_tokens), depth=n_best)
    listed: list[list[Span]] = [[] for _ in range(len(examples))]
    if len(found.example):
        heads = np.flatnonzero(np.diff(found.example, prepend=-1))
        sizes = np.diff(np.append(heads, len(found.example)))
        weight = np.exp(found.score - np.repeat(found.score[heads], sizes))
        weight /= np.repeat(np.add.reduceat(weight, heads), sizes)
        for row, (example, begin, end) in enumerate(_characters(found, windows)):
            listed[example].append(
                Span(
                    text=_context(examples, example)[begin:end],
                    start=begin,
                    probability=float(weight[row]),
                    start_logit=float(starts[found.first[row]]),
                    end_logit=float(ends[found.last[row]]),
                )
            )
    return listed


def tune_threshold(predictions: Predictions, examples: Examples) -> float:
    """The threshold of `no_answer` with the best F1 on `examples`, which must be validation data.

    Infinite where every question is answerable: then every one is answered.
    """
    texts, answers = predictions.texts, examples.columns["answers"]
    if texts is None or predictions.no_answer is None:
        raise ValueError("predictions without texts and no_answer, expected those of spans")
    answerable = np.array([bool(accepted) for accepted in answers])
    return best_threshold(exact_and_f1(texts, answers)[1], predictions.no_answer, answerable)


def _candidates(logits: tuple[Array, Array], windows: Windows, limits: tuple[int, int], depth: int) -> _Candidates:
    """The candidates of every example; a second search, among all pairs in the context, where the first finds none."""
    everything = np.arange(len(windows))
    found = _search(logits, windows, limits, depth, everything, context_only=False)
    answered = np.zeros(int(windows.example.max(initial=-1)) + 1, dtype=bool)
    answered[found.example] = True
    rest = everything[~answered[windows.example]]
    if not len(rest):
        return found
    all_tokens = int(windows.encoded.lengths[rest].max())
    more = _search(logits, windows, (all_tokens, limits[1]), depth, rest, context_only=True)
    joined = [np.concatenate((getattr(found, name), getattr(more, name))) for name in _Candidates.__annotations__]
    order = np.argsort(joined[0], kind="stable")
    return _Candidates(*(column[order] for column in joined))


def _search(
    logits: tuple[Array, Array],
    windows: Windows,
    limits: tuple[int, int],
    depth: int,
    rows: Array,
    *,
    context_only: bool,
) -> _Candidates:
    parts: list[tuple[Array, ...]] = []
    # Windows of similar length together, so that little of what is sorted is padding.
    order = rows[np.argsort(windows.encoded.lengths[rows], kind="stable")]
    size = max(1, PAIRS // min(limits[0], int(windows.encoded.lengths.max(initial=1))) ** 2)
    for start in range(0, len(order), size):
        parts.append(_of_windows(logits, windows, limits, depth, order[start : start + size], context_only))
    window, first, last, score, rank = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Of equal scores the earlier window's comes first, and within a window the one found first.
    example = windows.example[window]
    order = np.lexsort((rank, window, -score, example))
    example = example[order]
    heads = np.flatnonzero(np.diff(example, prepend=-1))
    place = np.arange(len(example)) - np.repeat(heads, np.diff(np.append(heads, len(example))))
    kept = order[place < depth]
    return _Candidates(windows.example[window[kept]], first[kept], last[kept], score[kept])


def _of_windows(
    logits: tuple[Array, Array],
    windows: Windows,
    limits: tuple[int, int],
    depth: int,
    rows: Array,
    context_only: bool,
) -> tuple[Array, ...]:
    """Window, first token, last token, score and rank of the best `depth` candidates of some windows."""
    n_best, max_answer_tokens = limits
    offsets, lengths = windows.encoded.offsets[rows], windows.encoded.lengths[rows]
    column = np.arange(int(lengths.max()))
    places = np.minimum(offsets[:, None] + column, len(windows.starts) - 1)
    inside = column < lengths[:, None]
    in_context = inside & (windows.starts[places] >= 0)
    eligible = in_context if context_only else inside
    tops = [_top(np.where(eligible, side[places], -np.inf), n_best) for side in logits]
    first, last = tops[0][:, :, None], tops[1][:, None, :]
    row = np.arange(len(rows))[:, None]
    scores = np.asarray(logits[0][places[row, tops[0]]])[:, :, None] + logits[1][places[row, tops[1]]][:, None, :]
    valid = in_context[row, tops[0]][:, :, None] & in_context[row, tops[1]][:, None, :]
    valid &= (first <= last) & (last - first < max_answer_tokens)
    # A token that stands for no character, such as a lone space of RoBERTa's, makes no answer.
    valid &= windows.starts[places[row, tops[0]]][:, :, None] < windows.ends[places[row, tops[1]]][:, None, :]
    flat = np.where(valid, scores, -np.inf).reshape(len(rows), -1)
    best = flat.argmax(1)[:, None] if depth == 1 else np.argsort(-flat, axis=1, kind="stable")[:, :depth]
    found, rank = np.nonzero(np.take_along_axis(flat, best, axis=1) > -np.inf)
    pair = best[found, rank]
    start, end = tops[0][found, pair // tops[1].shape[1]], tops[1][found, pair % tops[1].shape[1]]
    return rows[found], offsets[found] + start, offsets[found] + end, flat[found, pair], rank


def _top(values: Array, count: int) -> Array:
    """(B, K) columns of the `count` highest values of each row, the highest first; of equals the last column first."""
    return np.argsort(values, axis=1, kind="stable")[:, ::-1][:, :count]


def _characters(found: _Candidates, windows: Windows) -> Iterator[tuple[int, int, int]]:
    """Example, first character and end of each candidate."""
    return zip(
        found.example.tolist(), windows.starts[found.first].tolist(), windows.ends[found.last].tolist(), strict=True
    )


def _context(examples: Examples, row: int) -> str:
    assert examples.pairs is not None  # windows are made of pairs
    return examples.pairs[row]
