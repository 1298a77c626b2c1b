"""The floor of spans: no answer at all, and the words that stand among those of the question.

The second is the sliding window of Richardson et al. (2013), with candidates as Rajpurkar et al. (2016, section 5.1)
have them. Theirs are constituents of a parse; here they are short runs of words without a punctuation mark or a rarer
word of the question among them, which neither begin nor end with a very common word.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from subarch.kinds.floors.baseline import Baseline, Read, drawn, whole
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import main_score
from subarch.tasks.scoring.spans import tune_threshold

LENGTHS = (2, 4, 8)
"""Words of the longest candidate, chosen on validation."""
REACHES = (5, 10, 20)
"""Words to either side that count, nearer ones more; chosen on validation."""
COMMON = (0.05, 0.5)
"""No answer begins or ends with a word that a larger share of the contexts holds. Chosen on validation: if texts
resemble each other, the words of their answers are common too."""
TUNING_ROWS = 500
"""The choice is made on at most this many validation questions."""

_TOKEN = re.compile(r"\w+(?:[.,'’\-]\w+)*|[^\w\s]")


def empty(data: TaskData) -> Baseline:
    """No answer to any question."""
    return Baseline(
        name="empty",
        label="No answer",
        said="no answer at all",
        predictions=_nothing(data.test),
        parameters=0,
        answer=_nothing,
    )


def _nothing(examples: Examples) -> Predictions:
    return Predictions(texts=[""] * len(examples))


@dataclass(frozen=True, kw_only=True)
class _Overlap:
    """Answers by the candidate whose surroundings hold most of the question, rare words counting more."""

    rarity: dict[str, float]
    """From a word of the training contexts to the logarithm of how rare it is among them."""
    unseen: float
    """The same of any other word."""
    length: int = 4
    reach: int = 10
    common: float = COMMON[0]
    threshold: float = math.inf

    def __call__(self, examples: Examples) -> Predictions:
        contexts = examples.pairs or []
        found = [self._best(question, context) for question, context in zip(examples.texts, contexts, strict=True)]
        return Predictions(
            texts=[text for text, _ in found],
            no_answer=np.asarray([-score for _, score in found], dtype=np.float64),
            threshold=self.threshold,
        )

    def _best(self, question: str, context: str) -> tuple[str, float]:
        """The best candidate, and the share of the question's words, by their rarity, that stand near it."""
        asked = {word: self._weight(word) for word in {match.group().lower() for match in _TOKEN.finditer(question)}}
        tokens = list(_TOKEN.finditer(context))
        words = [token.group().lower() for token in tokens]
        often = -math.log(self.common)
        common = [self._weight(word) < often or not word[0].isalnum() for word in words]
        sides = np.asarray(list(self._candidates(words, common, asked)), dtype=np.int64).reshape(-1, 2)
        if not len(sides):
            return "", 0.0
        held = np.asarray([place for place, word in enumerate(words) if word in asked and not common[place]], dtype=int)
        weights = np.asarray([asked[words[place]] for place in held])
        distance = np.abs(sides[:, :, None] - held).min(axis=1)
        near = np.where(distance <= self.reach, weights * (1 - distance / (self.reach + 1)), 0.0).sum(axis=1)
        best = int(near.argmax())
        first, last = sides[best]
        total = sum(weight for word, weight in asked.items() if word[0].isalnum()) or 1.0
        return context[tokens[first].start() : tokens[last].end()], float(near[best] / total)

    def _candidates(self, words: list[str], common: list[bool], asked: dict[str, float]) -> Iterator[tuple[int, int]]:
        """First and last place of each run of words that may be an answer."""
        place = 0
        while place < len(words):
            if common[place] or words[place] in asked:
                place += 1
                continue
            last = place
            for following in range(place + 1, min(place + self.length, len(words))):
                mark = not words[following][0].isalnum()
                if mark or (words[following] in asked and not common[following]):
                    break
                if not common[following]:
                    last = following
            yield place, last
            place = last + 1

    def _weight(self, word: str) -> float:
        return self.rarity.get(word, self.unseen)


def overlap(data: TaskData, read: Read = whole) -> Baseline:
    """The candidate whose surroundings hold most of the question's words.

    Validation chooses how long an answer is at most, how far around it one looks, which words are too common for its
    ends, and below which share of the question there is no answer.

    Args:
        data: Words are counted in the contexts of train, test is answered.
        read: As `Read`.
    """
    contexts = list(dict.fromkeys(read(drawn(data.train)).pairs or []))
    seen = Counter(
        word for context in contexts for word in {token.group().lower() for token in _TOKEN.finditer(context)}
    )
    size = len(contexts) + 1
    plain = _Overlap(rarity={word: math.log(size / (count + 1)) for word, count in seen.items()}, unseen=math.log(size))
    held_out = read(drawn(data.validation, TUNING_ROWS))
    best: tuple[float, _Overlap] | None = None
    for length, reach, common in product(LENGTHS, REACHES, COMMON):
        candidate = replace(plain, length=length, reach=reach, common=common)
        said = candidate(held_out)
        said = replace(said, threshold=tune_threshold(said, held_out))
        score = main_score(data.task, said, held_out)
        if best is None or score > best[0]:
            best = (score, replace(candidate, threshold=said.threshold))
    assert best is not None
    chosen = best[1]
    return Baseline(
        name="overlap",
        label="Word overlap",
        said="the sliding window of overlapping words",
        predictions=chosen(read(data.test)),
        parameters=len(chosen.rarity),
        answer=chosen,
    )
