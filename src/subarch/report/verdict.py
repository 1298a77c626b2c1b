"""The first line of a report: is the student worth shipping?

The words follow from the numbers alone. The limits below are conventions. One limit is not here: how far below the
teacher a sufficient floor may lie (`KEPT` in stages/compression/floor.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from subarch.report import content, numbers

Kind = Literal["ship", "lossy", "below-floor", "floor", "nothing", "unmeasured"]

LOSS_TOLERATED = 0.01
"""An export that scores lower than the student by more than this (one point of 100) is not recommended."""
QUALITY_KEPT = 0.95
"""A student that keeps less than this share of the teacher's score is called lossy."""
GAIN_KEPT = 0.9
"""Likewise for the share of what the teacher gains over always giving the commonest answer."""
AGREEMENT_EXPECTED = 0.99
FEW_EXAMPLES = 200
CUT_TOLD = 0.05
"""Share of the texts that are cut from which on the verdict says so."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to think of a student, and which of the models to ship."""

    kind: Kind
    sentence: str
    """One plain sentence, with its period."""
    caveats: tuple[str, ...] = ()
    """What weakens it; each a sentence with its period."""
    recommended: str | None = None
    """The name of the model to ship, or None where none of them is worth it."""


def verdict(report: content.Report) -> Verdict:
    """The verdict on a report, from its models' scores, classes, sizes and latencies and from its floor.

    No model is recommended that gives one answer to everything, or that the commonest answer equals.
    """
    report = content.present(report)
    judged = _judged(report)
    return replace(judged, caveats=(*judged.caveats, *_cut_caveats(report)))


def _judged(report: content.Report) -> Verdict:
    teacher, student = content.model(report, "teacher"), content.model(report, "student")
    if _nothing_learned(report):
        return _nothing_verdict(report)
    floor = report.get("floor", {})
    if floor.get("sufficient") and _learned(report, content.simple(report)):
        return _floor_verdict(report, str(floor.get("text", "")))
    if "score" not in student or "score" not in teacher:
        return _unmeasured_verdict(report, student)
    best = _best_baseline(report)
    if content.one_answer(student) is not None or (best and student["score"] <= best["score"]):
        return _below_floor_verdict(report, student, best)
    lossy = _is_lossy(report, teacher, student)
    pick = _fastest_faithful(report)
    sentence = f"{_quality(report, teacher, student, lossy=lossy)}{_cost(teacher, student, pick)}."
    return Verdict(
        kind="lossy" if lossy else "ship",
        sentence=sentence,
        caveats=tuple(_caveats(report, teacher, student, pick)),
        recommended=pick["name"],
    )


def _learned(report: content.Report, model: Mapping[str, Any]) -> bool:
    """Whether a model is better than the commonest answer, as far as the test examples can tell.

    It is by its score, or where its answers and the labels belong together (Matthews' correlation is above 0).
    Where the commonest answer is not scored, whether it gives several; a model without a score is not judged.
    """
    commonest = content.commonest(report)
    if content.one_answer(model) is not None:
        return False
    if "score" not in model or "score" not in commonest:
        return True
    if model.get("score_interval", (model["score"],))[0] > commonest["score"]:
        return True
    # Macro F1 would not do: random answers have more of it than constant ones.
    return bool(model.get("classes", {}).get("matthews_correlation_interval", (0.0,))[0] > 0)


def _nothing_learned(report: content.Report) -> bool:
    asked = [content.model(report, "teacher"), content.model(report, "student"), content.simple(report)]
    scored = [model for model in asked if "score" in model]
    has_student = any(model["name"] == "student" for model in scored)
    return has_student and not any(_learned(report, model) for model in scored)


def _nothing_verdict(report: content.Report) -> Verdict:
    student, commonest = content.model(report, "student"), content.commonest(report)
    answer = content.one_answer(student)
    gives = f"the student gives the answer “{answer}” to every text, and " if answer else ""
    floor = numbers.score(commonest.get("score"), percent=content.in_percent(report))
    reached = f" ({content.metric(report)} {floor})" if floor else ""
    baseline = f"the baseline “{commonest['label']}”" if commonest else "the commonest answer"
    return Verdict(
        kind="nothing",
        sentence=f"Nothing was learned: {gives}no model is better than {baseline}{reached}{_measured(report)}.",
        caveats=("Do the texts tell their answers? More labelled examples or more training may change that.",),
    )


def _measured(report: content.Report) -> str:
    count = report.get("task", {}).get("test")
    return f" on {count:,} test {content.unit(report, count)}" if count else ""


def _cut_caveats(report: content.Report) -> list[str]:
    """What the models never read, and what the simple baseline makes of it."""
    cut, floor = report.get("cut", {}), report.get("floor", {})
    if cut.get("share", 0.0) < CUT_TOLD or not cut.get("text"):
        return []
    found = [f"{numbers.capital(str(cut['text']))}."]
    if "whole_score" in floor:
        reached = numbers.score(floor["whole_score"], percent=content.in_percent(report))
        simple = content.simple(report).get("label", "the simple method")
        found.append(f"The baseline “{simple}” reaches {content.metric(report)} {reached} where it reads all of them.")
    return found


def _best_baseline(report: content.Report) -> dict[str, Any]:
    """The baseline with the highest score, or an empty dict; of equal ones that which gives several answers."""
    scored = [dict(m) for m in report.get("models", []) if content.is_baseline(m) and "score" in m]
    blind = content.commonest(report).get("name")
    return max(scored, key=lambda model: (model["score"], model["name"] != blind), default={})


def _fastest_faithful(report: content.Report) -> dict[str, Any]:
    """The fastest of the student and its exports that keep the student's score; the student if none does.

    An export without a score is faithful where it gives the student's answers on 99 % of the examples.
    """
    student = content.model(report, "student")
    faithful = [student, *(each for each in content.exports(report) if _is_faithful(report, student, each))]
    if not any("latency_ms" in model for model in faithful):
        return min(faithful, key=lambda model: model.get("model_bytes", float("inf")))
    return min(faithful, key=lambda model: model.get("latency_ms", float("inf")))


def _is_faithful(report: content.Report, student: Mapping[str, Any], export: Mapping[str, Any]) -> bool:
    if content.one_answer(export) is not None:
        return False
    if "score" not in export or "score" not in student:
        return bool(export.get("agreement", 0) >= AGREEMENT_EXPECTED)
    if _macro(student) - _macro(export) > LOSS_TOLERATED + 1e-9:
        return False
    # A float difference that is exactly the tolerance must not depend on how it is rounded.
    return bool(student["score"] - export["score"] <= LOSS_TOLERATED * _unit(report, student["score"]) + 1e-9)


def _macro(model: Mapping[str, Any]) -> float:
    """Macro F1 where classes are uneven; where they are even, the score says the same."""
    classes = model.get("classes", {})
    return float(classes.get("f1_macro", 0.0)) if classes.get("uneven") else 0.0


def _unit(report: content.Report, score: float) -> float:
    return 1.0 if content.in_percent(report) else abs(score)


def _is_lossy(report: content.Report, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> bool:
    if _macro(student) < QUALITY_KEPT * _macro(teacher):
        return True
    theirs, ours = teacher["score"], student["score"]
    if ours >= theirs:
        return False
    gain = _gain_kept(report, theirs, ours)
    if theirs <= 0 or ours / theirs < QUALITY_KEPT:
        return True
    return gain is not None and gain < GAIN_KEPT


def _gain_kept(report: content.Report, teacher: float, student: float) -> float | None:
    """The share of the teacher's gain over the commonest answer that the student keeps, where there is one."""
    commonest = content.commonest(report).get("score")
    if commonest is None or teacher <= commonest:
        return None
    return float((student - commonest) / (teacher - commonest))


def _floor_verdict(report: content.Report, text: str) -> Verdict:
    text = text.strip().rstrip(".")
    if not text:
        sentence = "No transformer is needed"
    elif "no transformer is needed" in text.lower():
        sentence = numbers.capital(text)
    else:
        sentence = f"No transformer is needed: {text}"
    return Verdict(kind="floor", sentence=f"{sentence}.", recommended=content.simple(report).get("name"))


def _unmeasured_verdict(report: content.Report, student: Mapping[str, Any]) -> Verdict:
    if "score" not in student:
        return Verdict(kind="unmeasured", sentence="The student's score was not measured, so there is no verdict.")
    score = numbers.score(student["score"], percent=content.in_percent(report))
    sentence = f"The student's {content.metric(report)} is {score}; the teacher's was not measured."
    return Verdict(kind="unmeasured", sentence=sentence)


def _below_floor_verdict(report: content.Report, student: Mapping[str, Any], best: Mapping[str, Any]) -> Verdict:
    answer = content.one_answer(student)
    if answer is not None:
        reason = f"it gives one answer, “{answer}”, to every text"
    else:
        ours, floor = (numbers.score(m["score"], percent=content.in_percent(report)) for m in (student, best))
        reason = (
            f"its {content.metric(report)} ({ours}) is no better than that of the baseline “{best['label']}” ({floor})"
        )
    advice = "More training time, more labelled examples or a larger student may change that."
    rarer = _macro(student) > _macro(best) and answer is None
    finds = "It does find rarer classes: its macro F1 is higher than that baseline's."
    return Verdict(
        kind="below-floor",
        sentence=f"Do not ship this student: {reason}.",
        caveats=(*((finds,) if rarer else ()), advice),
    )


def _quality(report: content.Report, teacher: Mapping[str, Any], student: Mapping[str, Any], *, lossy: bool) -> str:
    percent, metric = content.in_percent(report), content.metric(report)
    ours, theirs = (numbers.score(model["score"], percent=percent) for model in (student, teacher))
    pair = f"({ours} against {theirs})"
    if student["score"] >= teacher["score"]:
        verb = "matches" if ours == theirs or not _apart(teacher, student) else "beats"
        return f"The student {verb} the teacher's {metric} {pair}"
    if lossy:
        gap = numbers.score(teacher["score"] - student["score"], percent=percent)
        points = f"{gap} points" if percent else gap
        return f"The student loses {points} of the teacher's {metric} {pair}"
    kept = numbers.percentage(student["score"] / teacher["score"], 1)
    return f"The student keeps {kept} of the teacher's {metric} {pair}"


def _apart(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> bool:
    """Whether both intervals are known and do not overlap."""
    theirs, ours = teacher.get("score_interval"), student.get("score_interval")
    return bool(theirs and ours and (ours[0] > theirs[1] or theirs[0] > ours[1]))


def _cost(teacher: Mapping[str, Any], student: Mapping[str, Any], pick: Mapping[str, Any]) -> str:
    parts = ""
    if "parameters" in student and teacher.get("parameters"):
        share = student["parameters"] / teacher["parameters"]
        parts = f" with {numbers.percentage(share)} of its parameters"
    gain = pick.get("speedup")
    if gain is None:
        return parts
    # "11.2x faster" is read as 11.2 times the teacher's speed; below 1.05 nobody would notice it.
    speed = f"{numbers.speedup(gain)} faster" if gain >= 1.05 else f"no faster ({numbers.speedup(gain)})"
    subject = f", and its {pick['words']} answers" if pick["role"] == "export" else ", and answers"
    return f"{parts}{subject} {speed}"


def _caveats(
    report: content.Report, teacher: Mapping[str, Any], student: Mapping[str, Any], pick: Mapping[str, Any]
) -> list[str]:
    found = [
        _uncertainty(report, teacher, student),
        _gain_caveat(report, teacher["score"], student["score"]),
        _classes_caveat(teacher, student),
        _teacher_caveat(report, teacher),
        _agreement_caveat(report, pick),
        *(_export_caveat(report, student, export) for export in content.exports(report)),
    ]
    return [caveat for caveat in found if caveat]


def _uncertainty(report: content.Report, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str:
    examples = report.get("task", {}).get("test")
    known = "score_interval" in teacher and "score_interval" in student
    if known and not _apart(teacher, student) and teacher["score"] != student["score"]:
        return f"The two scores' intervals overlap{_measured(report)}: part of the difference may be chance."
    if examples and examples < FEW_EXAMPLES:
        return f"All scores come from {examples:,} test {content.unit(report, examples)} only: expect them to move."
    return ""


def _gain_caveat(report: content.Report, teacher: float, student: float) -> str:
    gain = _gain_kept(report, teacher, student)
    if gain is None or gain >= GAIN_KEPT:
        return ""
    baseline = content.commonest(report)["label"]
    return f"Of what the teacher gains over the baseline “{baseline}”, the student keeps {numbers.percentage(gain)}."


def _classes_caveat(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str:
    """Macro F1 where classes are uneven, and the class on which the student falls back most."""
    ours, theirs = student.get("classes", {}), teacher.get("classes", {})
    if not (ours.get("uneven") and "recalls" in theirs):
        return ""
    macro = [numbers.score(classes["f1_macro"], percent=True) for classes in (ours, theirs)]
    said = f"Classes are uneven: macro F1 is {macro[0]} against the teacher's {macro[1]}"
    falls = {name: theirs["recalls"].get(name, 0.0) - recall for name, recall in ours["recalls"].items()}
    worst = max(falls, key=lambda name: falls[name], default="")
    if not worst or falls[worst] <= 0:
        return f"{said}."
    found = [numbers.percentage(classes["recalls"][worst]) for classes in (ours, theirs)]
    count = f"{ours['examples'][worst]:,} example{'' if ours['examples'][worst] == 1 else 's'}"
    return f"{said}; of the class “{worst}” ({count}) it finds {found[0]} where the teacher finds {found[1]}."


def _teacher_caveat(report: content.Report, teacher: Mapping[str, Any]) -> str:
    best = _best_baseline(report)
    if not best or teacher["score"] > best["score"]:
        return ""
    return f"The teacher itself is no better than the baseline “{best['label']}”: look at its fine-tuning first."


def _agreement_caveat(report: content.Report, pick: Mapping[str, Any]) -> str:
    agreement = pick.get("agreement")
    if agreement is None or agreement >= AGREEMENT_EXPECTED or pick["role"] != "export":
        return ""
    differs = numbers.percentage(1 - agreement, 1)
    return f"The {pick['words']} gives another answer than the student on {differs} of the {content.unit(report)}."


def _export_caveat(report: content.Report, student: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    if "score" not in export or _is_faithful(report, student, export):
        return ""
    words, answer = export["words"], content.one_answer(export)
    if answer is not None:
        return f"The {words} gives one answer, “{answer}”, to every text, so it is not recommended."
    lost = _macro(student) - _macro(export)
    if lost > LOSS_TOLERATED:
        gap = f"{numbers.score(lost, percent=True)} points of macro F1"
        return f"The {words} loses {gap} against the student, so it is not recommended."
    percent = content.in_percent(report)
    gap = numbers.score(student["score"] - export["score"], percent=percent)
    points = f"{gap} points" if percent else gap
    return f"The {words} loses {points} against the student, so it is not recommended."
