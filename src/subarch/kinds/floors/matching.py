"""The floor of choices: the longest answer, and the one whose words are most like those of the text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from subarch.kinds.floors.baseline import Baseline, Read, drawn, whole
from subarch.kinds.floors.words import WORDS
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import main_score

NGRAMS = (1, 2)
"""Words that are counted together at most, chosen on validation."""
POWERS = (1.0, 0.5, 0.0)
"""How far a match is divided by the length of the answer's vector: 1 gives the cosine. Chosen on validation."""


def longest(data: TaskData, read: Read = whole) -> Baseline:
    """The answer of the most characters."""
    return Baseline(
        name="longest",
        label="Longest answer",
        said="the longest answer",
        predictions=_lengths(read(data.test)),
        parameters=0,
        answer=_lengths,
    )


def _lengths(examples: Examples) -> Predictions:
    sizes = np.asarray([len(text) for text in _answers(examples)], dtype=np.float64)
    return Predictions(outputs=sizes[:, None])


@dataclass(frozen=True, kw_only=True)
class _Match:
    """Scores an answer by the tf-idf of the words that it shares with its text."""

    vectorizer: TfidfVectorizer
    power: float = 1.0

    def __call__(self, examples: Examples) -> Predictions:
        # Answers to a text share it: it is looked at once.
        places = {text: place for place, text in enumerate(dict.fromkeys(examples.texts))}
        texts = csr_matrix(self.vectorizer.transform(list(places)))[[places[text] for text in examples.texts]]
        answers = csr_matrix(self.vectorizer.transform(_answers(examples)))
        shared = np.asarray(texts.multiply(answers).sum(axis=1)).reshape(-1)
        sizes = np.sqrt(np.asarray(answers.multiply(answers).sum(axis=1)).reshape(-1))
        scores: Array = shared / np.maximum(sizes, 1e-12) ** self.power
        return Predictions(outputs=scores[:, None])


def match(data: TaskData, read: Read = whole) -> Baseline:
    """The answer that is most like the text: nothing is learnt but how rare words are.

    Validation chooses how many words are counted together, and between the cosine and the plain sum.

    Args:
        data: Words are counted in train, test is answered.
        read: As `Read`.
    """
    train, held_out = read(drawn(data.train)), read(data.validation)
    # The text of a group stands in each of its rows: it counts once.
    texts = list(dict.fromkeys([*train.texts, *_answers(train)]))
    best: tuple[float, _Match] | None = None
    vectorizers = (
        # No norm: `_Match` divides. The text's own length is the same for all answers to it.
        TfidfVectorizer(ngram_range=(1, words), sublinear_tf=True, norm=None, token_pattern=WORDS).fit(texts)
        for words in NGRAMS
    )
    for vectorizer, power in product(vectorizers, POWERS):
        candidate = _Match(vectorizer=vectorizer, power=power)
        score = main_score(data.task, candidate(held_out), held_out)
        if best is None or score > best[0]:
            best = (score, candidate)
    assert best is not None
    chosen = best[1]
    return Baseline(
        name="tfidf",
        label="tf-idf match",
        said="the answer most like its text by tf-idf",
        predictions=chosen(read(data.test)),
        parameters=len(chosen.vectorizer.idf_),
        answer=chosen,
    )


def _answers(examples: Examples) -> list[str]:
    return examples.texts if examples.pairs is None else examples.pairs
