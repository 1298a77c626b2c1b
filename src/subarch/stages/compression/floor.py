"""The floor of a report: what the commonest answer and a simple method reach, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from subarch.inputs.models import ModelFolder
from subarch.kinds.floors.baseline import Baseline, Floors, Read, whole
from subarch.kinds.registry import kind_of
from subarch.stages.compression.rows import scored
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.cuts import Cut, as_read
from subarch.tasks.scoring.classes import class_scores
from subarch.tasks.scoring.scores import FEW, score

CUT_COUNTED = 0.01
"""Share of the texts that are cut from which on the simple method is also asked what it would reach with all of
them."""
KEPT = 0.97
"""A floor with this share of the teacher's score is sufficient."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Baselines on the test split, which read what the models read."""

    baselines: Floors
    rows: dict[str, dict[str, Any]]
    """By name of the baseline, as the report has them."""
    asked: Examples
    """What the clock asks about."""
    requests: list[Examples]
    """The same as the models read it, a question each."""
    whole_score: float | None
    """Of the simple method that reads all of every text; None where next to nothing is cut."""

    @property
    def labels(self) -> dict[str, str]:
        """What a table calls the baselines, by name."""
        return {baseline.name: baseline.label for baseline in self.baselines}

    @property
    def names(self) -> dict[str, str]:
        """The names of the baselines, by what they are."""
        return {"commonest": self.baselines.commonest.name, "simple": self.baselines.simple.name}


def lay_floor(data: TaskData, teacher: ModelFolder, cut: Cut | None, sample: Examples, seed: int) -> Floor:
    """Train and score the baselines on texts cut as the teacher's tokenizer cuts them; whole ones where it cuts none.

    Args:
        data: The task.
        teacher: Its tokenizer cuts.
        cut: What of the texts is cut; None where long ones come in windows.
        sample: What the clock asks about.
        seed: Of the intervals.
    """
    kind = kind_of(data.task)
    read: Read = whole if cut is None else partial(as_read, teacher.tokenizer, max_length=cut.max_length)
    found = kind.floors(data, read)
    whole_score = None
    if cut is not None and cut.share >= CUT_COUNTED:
        all_of_it = kind.floors(data).simple.predictions
        whole_score = float(score(data.task, all_of_it, data.test, seed)["score"])
    rows = {baseline.name: _row(data, baseline, seed) for baseline in found}
    seen = read(sample)
    requests = [seen.take(unit) for unit in kind.questions(seen)]
    return Floor(baselines=found, rows=rows, asked=sample, requests=requests, whole_score=whole_score)


def _row(data: TaskData, baseline: Baseline, seed: int) -> dict[str, Any]:
    found = score(data.task, baseline.predictions, data.test, seed)
    classes = class_scores(data.task, baseline.predictions, data.test, seed)
    return {**scored(data.task, found), "parameters": baseline.parameters, **({"classes": classes} if classes else {})}


def floor_verdict(
    rows: Mapping[str, Mapping[str, Any]], floors: Floors, whole_score: float | None = None
) -> dict[str, Any]:
    """Whether the simple method is enough, by every class and beside the commonest answer.

    It is where it certainly beats the commonest answer, is as good as the student, as far as the test set can tell, and
    within 3 % of the teacher, by score and by macro F1, and misses no class that one of the two finds.
    """
    floor, student, teacher = rows[floors.simple.name], rows["student"], rows["teacher"]
    enough = (
        _beats_the_commonest(floor, rows[floors.commonest.name]["score"])
        and floor["score"] >= student["score_interval"][0]
        and floor["score"] >= KEPT * teacher["score"]
        and _as_good_by_class(floor, student, teacher)
    )
    text = (
        f"{floors.simple.said} reaches {floor['score']:.3f} where the student reaches {student['score']:.3f} "
        f"and the teacher {teacher['score']:.3f}: no transformer is needed"
    )
    of_whole = {} if whole_score is None else {"whole_score": whole_score}
    return {"sufficient": bool(enough), "text": text if enough else "", **of_whole}


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
