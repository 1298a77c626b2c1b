"""The floor of a report: what the commonest answer and tf-idf reach, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from subarch.stages.compression.rows import scored
from subarch.stages.evaluate import scores
from subarch.stages.inputs import ModelFolder
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.baselines import Baseline, majority, tfidf
from subarch.tasks.cuts import Cut, as_read
from subarch.tasks.scoring.classes import class_scores
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import FEW

CUT_COUNTED = 0.01
"""Share of the texts that are cut from which on tf-idf is also asked what it would reach with all of them."""
KEPT = 0.97
"""Share of the teacher's score that is enough of a floor."""


Read = Callable[[Examples], Examples]


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Baselines on the test split, which read what the models read."""

    baselines: dict[str, Baseline]
    rows: dict[str, dict[str, Any]]
    """By name of the baseline, as the report has them."""
    asked: Examples
    """What the clock asks about."""
    sample: Examples
    """The same as the models read it."""
    whole_score: float | None
    """Of tf-idf that reads all of every text; None where next to nothing is cut."""

    @property
    def labels(self) -> dict[str, str]:
        """What a table calls the baselines, by name."""
        return {"majority": "Most frequent answer", "tfidf": "tf-idf + linear model"}

    @property
    def names(self) -> dict[str, str]:
        """The names of the baselines, by what they are."""
        return {"commonest": "majority", "simple": "tfidf"}


def lay_floor(data: TaskData, teacher: ModelFolder, cut: Cut | None, sample: Examples, seed: int) -> Floor:
    """Train and score the baselines on texts cut as the teacher's tokenizer cuts them."""
    read: Read = (
        (lambda examples: examples) if cut is None else partial(as_read, teacher.tokenizer, max_length=cut.max_length)
    )
    found = {"majority": majority(data), "tfidf": tfidf(data, read)}
    whole = None
    if cut is not None and cut.share >= CUT_COUNTED:
        whole = float(scores(data.task, tfidf(data).predictions, data.test, seed)["score"])
    rows = {name: _row(data, baseline, seed) for name, baseline in found.items()}
    return Floor(baselines=found, rows=rows, asked=sample, sample=read(sample), whole_score=whole)


def _row(data: TaskData, baseline: Baseline, seed: int) -> dict[str, Any]:
    found = scores(data.task, baseline.predictions, data.test, seed)
    classes = class_scores(data.task, Predictions(outputs=baseline.predictions), data.test, seed)
    return {**scored(data.task, found), "parameters": baseline.parameters, **({"classes": classes} if classes else {})}


def floor_verdict(rows: Mapping[str, Mapping[str, Any]], whole_score: float | None = None) -> dict[str, Any]:
    """Whether tf-idf with a linear model is enough, by every class and beside the commonest answer.

    It is where it certainly beats the commonest answer, is as good as the student, as far as the test set can tell, and
    within 3 % of the teacher, by score and by macro F1, and misses no class that one of the two finds.
    """
    floor, student, teacher = rows["tfidf"], rows["student"], rows["teacher"]
    enough = (
        _beats_the_commonest(floor, rows["majority"]["score"])
        and floor["score"] >= student["score_interval"][0]
        and floor["score"] >= KEPT * teacher["score"]
        and _as_good_by_class(floor, student, teacher)
    )
    text = (
        f"tf-idf with a linear model reaches {floor['score']:.3f} where the student reaches {student['score']:.3f} "
        f"and the teacher {teacher['score']:.3f}: no transformer is needed"
    )
    whole = {} if whole_score is None else {"whole_score": whole_score}
    return {"sufficient": bool(enough), "text": text if enough else "", **whole}


def _beats_the_commonest(floor: Mapping[str, Any], score: float) -> bool:
    """By the lower end of an interval: of the score, or of Matthews' correlation, which random answers do not raise."""
    low = floor.get("classes", {}).get("matthews_correlation_interval", (0.0,))[0]
    return bool(floor["score"] > score and (floor["score_interval"][0] > score or low > 0))


def _as_good_by_class(floor: Mapping[str, Any], student: Mapping[str, Any], teacher: Mapping[str, Any]) -> bool:
    ours, theirs, best = (row.get("classes") or {} for row in (floor, student, teacher))
    if not (ours and theirs and best):
        return True
    if ours["answers"] == 1 or ours["f1_macro"] < max(theirs["f1_macro_interval"][0], KEPT * best["f1_macro"]):
        return False
    found = [
        name for name, recall in ours["recalls"].items() if max(theirs["recalls"][name], best["recalls"][name]) > 0
    ]
    return all(ours["recalls"][name] > 0 or ours["examples"][name] < FEW for name in found)
