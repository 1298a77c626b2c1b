"""Long contexts in overlapping windows: each is the whole question and a part of the context.

Every context is tokenised once, however many questions it has, and windows are cut from its tokens by array
arithmetic. They are the ones that a pair tokenised with `truncation="only_second"`, `stride` and
`return_overflowing_tokens` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subarch.errors import ConfigError
from subarch.tasks.base import Array, Examples
from subarch.tasks.encode import Encoded
from subarch.tasks.trimming import ROWS


@dataclass(frozen=True)
class Windows:
    """W windows of N questions, those of a question one after the other.

    Attributes:
        encoded: The windows as examples of a batch; its labels, where there are answers, are (W, 2) int64, the first
            and the last token of the first accepted answer, both `cls_index` where the window does not hold all of it.
        example: (W,) int64, ascending: the question of each window.
        starts: (T,) int32, where each token begins in its context (characters); -1 for tokens of no context.
        ends: (T,) int32, the same for the character after its last.
        cls_index: The token of a window that stands for "no answer".
    """

    encoded: Encoded
    example: Array
    starts: Array
    ends: Array
    cls_index: int

    def __len__(self) -> int:
        return len(self.example)


@dataclass(frozen=True)
class _Texts:
    """Tokens of some texts in flat arrays, and where their characters are."""

    ids: Array
    starts: Array
    ends: Array
    offsets: Array

    @property
    def lengths(self) -> Array:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class _Layout:
    """The special tokens before the question, between the two texts and at the end, with their token types."""

    special: tuple[Array, Array, Array]
    types: tuple[Array, Array, Array]
    text_types: tuple[int, int]
    cls_index: int

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.special)


def encode_windows(tokenizer: Any, examples: Examples, *, max_length: int = 384, stride: int = 128) -> Windows:
    """Questions with their contexts as windows of at most `max_length` tokens.

    Args:
        tokenizer: A fast tokenizer of `transformers` that neither pads nor truncates by itself.
        examples: Questions (texts) and contexts (pairs); the columns "answers" and "answer_starts", where they are,
            give the labels. An answer whose start is negative counts as none.
        max_length: Tokens of a window, special ones included.
        stride: Tokens of the context that neighbouring windows share.

    Raises:
        ConfigError: `max_length` leaves no room for a question beside `stride` tokens of context.
    """
    if examples.pairs is None:
        raise ValueError("examples without pairs, expected a context for each question")
    layout = _layout(tokenizer)
    room = max_length - layout.size
    if stride < 0 or room < 2 * (stride + 1):
        raise ConfigError(
            f"max_length {max_length} with stride {stride}, expected at least {2 * (stride + 1) + layout.size}: "
            "half of it is for the question",
            "use 384 and 128, or a smaller stride",
        )
    texts = list(dict.fromkeys(examples.pairs))
    numbers = {text: number for number, text in enumerate(texts)}
    context = np.array([numbers[text] for text in examples.pairs], dtype=np.int64)
    contexts, questions = _tokenize(tokenizer, texts), _tokenize(tokenizer, examples.texts)
    # A question longer than half of the room is cut, so that windows can move on.
    asked = np.minimum(questions.lengths, room // 2)
    example, first, count = _cut(contexts.lengths[context], room - asked, stride)
    encoded, starts, ends = _assemble(
        layout,
        (questions, questions.offsets[example], asked[example]),
        (contexts, contexts.offsets[context[example]] + first, count),
        with_types="token_type_ids" in tokenizer.model_input_names,
    )
    labels = None
    if "answers" in examples.columns:
        answer = _answer_tokens(contexts, context, examples)[example]
        inside = (answer[:, 0] >= first) & (answer[:, 1] < first + count)
        shift = len(layout.special[0]) + asked[example] + len(layout.special[1]) - first
        labels = np.where(inside[:, None], answer + shift[:, None], layout.cls_index)
    truncated = int((asked < questions.lengths).sum())
    encoded = Encoded(encoded.input_ids, encoded.offsets, encoded.token_type_ids, labels, truncated)
    return Windows(encoded, example, starts, ends, layout.cls_index)


def _tokenize(tokenizer: Any, texts: Sequence[str]) -> _Texts:
    """Tokens without special ones."""
    ids: list[Array] = []
    spans: list[Array] = []
    lengths: list[int] = []
    for start in range(0, len(texts), ROWS):
        batch = tokenizer(
            list(texts[start : start + ROWS]),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # it warns of texts longer than the model's input, which is what windows are for
        )
        ids.extend(np.asarray(row, dtype=np.int32) for row in batch["input_ids"])
        spans.extend(np.asarray(row, dtype=np.int32).reshape(-1, 2) for row in batch["offset_mapping"])
        lengths.extend(len(row) for row in batch["input_ids"])
    flat = np.concatenate(spans or [np.zeros((0, 2), np.int32)])
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return _Texts(np.concatenate(ids or [np.zeros(0, np.int32)]), flat[:, 0], flat[:, 1], offsets)


def _layout(tokenizer: Any) -> _Layout:
    """How the tokenizer joins two texts, read off a pair."""
    probe = tokenizer(["a"], ["a"], return_token_type_ids=True)
    ids, types = (np.asarray(probe[name][0], dtype=np.int32) for name in ("input_ids", "token_type_ids"))
    side = np.array([-1 if number is None else number for number in probe.sequence_ids(0)])
    question, context = np.flatnonzero(side == 0), np.flatnonzero(side == 1)
    cuts = ((0, question[0]), (question[-1] + 1, context[0]), (context[-1] + 1, len(ids)))
    leading = ids[: question[0]].tolist()
    return _Layout(
        special=tuple(ids[low:high] for low, high in cuts),  # type: ignore[arg-type]
        types=tuple(types[low:high] for low, high in cuts),  # type: ignore[arg-type]
        text_types=(int(types[question[0]]), int(types[context[0]])),
        cls_index=leading.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in leading else 0,
    )


def _cut(lengths: Array, room: Array, stride: int) -> tuple[Array, Array, Array]:
    """Per window its example, its first token in the context and how many it has.

    Args:
        lengths: (N,) tokens of each context.
        room: (N,) tokens of the context that a window of the example has room for.
        stride: Tokens shared by neighbours.
    """
    step = room - stride
    number = 1 + np.maximum(-(-(lengths - room) // step), 0)
    example = np.repeat(np.arange(len(lengths)), number)
    rank = np.arange(len(example)) - np.repeat(np.cumsum(number) - number, number)
    first = rank * step[example]
    return example, first, np.minimum(room[example], lengths[example] - first)


def _assemble(
    layout: _Layout,
    question: tuple[_Texts, Array, Array],
    context: tuple[_Texts, Array, Array],
    *,
    with_types: bool,
) -> tuple[Encoded, Array, Array]:
    """Write special tokens, question and part of the context of all windows side by side.

    Args:
        layout: Special tokens.
        question: The texts, and per window the place of its first token in them and how many there are.
        context: The same.
        with_types: Whether the model has token types.
    """
    lengths = layout.size + question[2] + context[2]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    ids = np.empty(offsets[-1], dtype=np.int32)
    types = np.empty_like(ids)
    starts, ends = np.full_like(ids, -1), np.full_like(ids, -1)
    at = offsets[:-1].copy()
    for part in range(3):
        for token, kind in zip(layout.special[part], layout.types[part], strict=True):
            ids[at], types[at] = token, kind
            at += 1
        if part == 2:
            break
        texts, first, count = (question, context)[part]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        target, source = np.repeat(at, count) + within, np.repeat(first, count) + within
        ids[target], types[target] = texts.ids[source], layout.text_types[part]
        if part == 1:
            starts[target], ends[target] = texts.starts[source], texts.ends[source]
        at += count
    return Encoded(ids, offsets, types if with_types else None), starts, ends


def _answer_tokens(contexts: _Texts, context: Array, examples: Examples) -> Array:
    """(N, 2) int64: first and last token of each first answer within its context; -1 where there is none."""
    answers = [
        (starts[0], starts[0] + len(texts[0])) if texts and starts[0] >= 0 else (-1, -1)
        for texts, starts in zip(examples.columns["answers"], examples.columns["answer_starts"], strict=True)
    ]
    begin, end = np.array(answers, dtype=np.int64).reshape(-1, 2).T
    # One sorted line for all contexts: the characters of a context lie after all those of the one before.
    owner = np.repeat(np.arange(len(contexts.lengths)), contexts.lengths)
    span = int(max(contexts.ends.max(initial=0), end.max(initial=0))) + 2
    first = np.searchsorted(owner * span + contexts.starts, context * span + begin, side="right") - 1
    last = np.searchsorted(owner * span + contexts.ends, context * span + end, side="left")
    # Where a character is several tokens (bytes), all begin and end together: the answer has all of them.
    first, last = np.minimum(first, last), np.maximum(first, last)
    low, high = contexts.offsets[:-1][context], contexts.offsets[1:][context]
    found = (begin >= 0) & (first >= low) & (last < high)
    return np.where(found[:, None], np.stack((first, last), axis=1) - low[:, None], -1)
