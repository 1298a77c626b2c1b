"""Answers as texts: exact match and F1 of words, and the threshold below which an answer is given at all.

Both as the official `evaluate-v2.0.py` of SQuAD computes them (Rajpurkar et al. 2018, arXiv 1806.03822), also for
SQuAD 1.1. Its predecessor differs in one case alone: where text and accepted answer are both nothing but articles and
punctuation, it gives an F1 of 0 beside an exact match of 1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from subarch.tasks.base import Array

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and superfluous white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_and_f1(texts: Sequence[str], answers: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """Exact match (0 or 1) and F1 of the words, each the best over the accepted answers: two (N,) float64.

    Args:
        texts: (N) given answers, "" where none is given.
        answers: (N) lists of accepted texts; an empty list (or one of texts that normalise to nothing) wants "".
    """
    exact = np.zeros(len(texts))
    f1 = np.zeros(len(texts))
    for row, (text, accepted) in enumerate(zip(texts, answers, strict=True)):
        given = normalize_answer(text)
        for gold in {normalize_answer(answer) for answer in accepted} - {""} or {""}:
            if given == gold:
                exact[row] = f1[row] = 1.0
                break
            f1[row] = max(f1[row], _f1(given.split(), gold.split()))
    return exact, f1


def _f1(given: list[str], gold: list[str]) -> float:
    shared = sum((Counter(given) & Counter(gold)).values())
    return 2.0 * shared / (len(given) + len(gold)) if shared else 0.0


def official_best(scores: Array, no_answer: Array, answerable: Array, given: Array) -> tuple[float, float]:
    """Best mean score over all thresholds, and the threshold, by the official sweep ("best_exact", "best_f1").

    Like the script it moves one question at a time, so among equal `no_answer` the order of the file decides, and
    the score may be a little better than what any threshold reaches.

    Args:
        scores: (N,) exact match or F1 of the texts, whatever the threshold.
        no_answer: (N,) how sure it is that there is no answer; no answer is given above the threshold.
        answerable: (N,) bool: whether there are accepted answers.
        given: (N,) bool: whether the text is not empty.

    Returns:
        The score in [0, 1], and the threshold (0 where no question should be answered).
    """
    order = np.argsort(no_answer, kind="stable")
    gains = np.where(answerable, scores, np.where(given, -1.0, 0.0))[order]
    totals = np.concatenate(([0.0], np.cumsum(gains))) + (~answerable).sum()
    best = int(totals.argmax())
    return float(totals[best] / len(scores)), float(no_answer[order[best - 1]]) if best else 0.0


def best_threshold(scores: Array, no_answer: Array, answerable: Array) -> float:
    """The threshold with the best mean score, halfway between the two `no_answer` that it separates.

    Args: as of `official_best`; texts are not empty. Infinite where every question is answerable: then nothing is
    known of questions without an answer, and every one should be answered.
    """
    if answerable.all():
        return float("inf")
    order = np.argsort(no_answer, kind="stable")
    ranked = no_answer[order].astype(np.float64)
    totals = np.concatenate(([0.0], np.cumsum(np.where(answerable, scores, -1.0)[order])))
    # Equal values lie on one side of any threshold.
    possible = np.concatenate(([True], ranked[1:] > ranked[:-1], [True]))
    best = int(np.flatnonzero(possible)[totals[possible].argmax()])
    if best == 0:
        return float(ranked[0]) - 1.0
    if best == len(ranked):
        return float(ranked[-1]) + 1.0
    return float((ranked[best - 1] + ranked[best]) / 2)
