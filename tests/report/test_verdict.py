import pytest

from subarch.report.verdict import verdict


def change(report, name, **values):
    next(model for model in report["models"] if model["name"] == name).update(values)
    return report


def test_a_good_student_ships_its_fastest_export(report):
    judged = verdict(report)
    assert judged.sentence == (
        "The student keeps 98.3 % of the teacher's accuracy (91.4 against 93.0) with 48 % of its parameters, "
        "and its int8 ONNX answers 11.2x faster."
    )
    assert (judged.kind, judged.recommended) == ("ship", "onnx-int8")
    assert judged.caveats == (
        "The two scores' intervals overlap on 872 test examples: part of the difference may be chance.",
    )


def test_no_transformer_is_needed(report):
    report["floor"] = {"sufficient": True, "text": "tf-idf reaches 93.2: no transformer is needed"}
    judged = verdict(report)
    assert judged.sentence == "Tf-idf reaches 93.2: no transformer is needed."
    assert (judged.kind, judged.recommended) == ("floor", "tfidf")
    report["floor"]["text"] = "tf-idf reaches 93.2"
    assert verdict(report).sentence == "No transformer is needed: tf-idf reaches 93.2."
    report["floor"]["text"] = None
    assert verdict(report).sentence == "No transformer is needed."


def test_a_student_certainly_above_the_teacher_beats_it(report):
    judged = verdict(change(report, "student", score=0.96, score_interval=[0.95, 0.97]))
    assert judged.sentence.startswith("The student beats the teacher's accuracy (96.0 against 93.0)")


def test_a_student_above_the_teacher_by_chance_matches_it(report):
    judged = verdict(change(report, "student", score=0.935))
    assert judged.sentence.startswith("The student matches the teacher's accuracy (93.5 against 93.0)")
    assert "may be chance" in judged.caveats[0]


def test_a_lossy_student_says_what_it_loses(report):
    judged = verdict(change(report, "student", score=0.85, score_interval=[0.83, 0.87]))
    assert judged.sentence.startswith("The student loses 8.0 points of the teacher's accuracy (85.0 against 93.0)")
    assert judged.kind == "lossy"
    assert "Of what the teacher gains over the baseline “Majority class”, the student keeps 81 %." in judged.caveats


def test_a_high_share_of_an_unbalanced_score_is_still_lossy(report):
    change(report, "teacher", score=0.95)
    change(report, "majority", score=0.9)
    change(report, "tfidf", score=0.9)
    judged = verdict(change(report, "student", score=0.92))
    assert judged.kind == "lossy"
    assert "the student keeps 40 %." in " ".join(judged.caveats)


def test_a_student_at_the_floor_is_not_shipped(report):
    judged = verdict(change(report, "student", score=0.8))
    assert judged.kind == "below-floor" and judged.recommended is None
    assert judged.sentence == (
        "Do not ship this student: its accuracy (80.0) is no better than that of the baseline "
        "“TF-IDF + logistic regression” (81.7)."
    )


def test_without_exports_the_student_itself_answers(regression):
    judged = verdict(regression)
    assert judged.sentence == (
        "The student loses 18.2 points of the teacher's Pearson correlation (70.2 against 88.4) "
        "with 48 % of its parameters, and answers 2.9x faster."
    )
    assert judged.recommended == "student"


def test_scores_that_are_no_shares_have_no_points(regression):
    change(regression, "teacher", score=-1.5, score_interval=None)
    judged = verdict(change(regression, "student", score=-2.25))
    assert "loses 0.750 of the teacher's Pearson correlation (-2.25 against -1.50)" in judged.sentence


def test_a_slow_student_is_called_slow(regression):
    change(regression, "student", speedup=0.8)
    assert verdict(regression).sentence.endswith("and answers no faster (0.80x).")


@pytest.mark.parametrize("report", [{}, {"models": []}, {"models": [{"name": "teacher", "score": 0.9}]}])
def test_without_a_student_there_is_no_verdict(report):
    assert verdict(report).sentence == "The student's score was not measured, so there is no verdict."


def test_without_a_teacher_only_the_student_is_told(report):
    judged = verdict(change(report, "teacher", score=None))
    assert judged.sentence == "The student's accuracy is 91.4; the teacher's was not measured."
    assert judged.kind == "unmeasured"


def test_an_export_that_loses_quality_is_not_recommended(report):
    judged = verdict(change(report, "onnx-int8", score=0.88))
    assert judged.recommended == "onnx"
    assert "The int8 ONNX loses 3.4 points against the student, so it is not recommended." in judged.caveats


def test_an_export_that_loses_exactly_one_point_is_faithful(report):
    assert verdict(change(report, "onnx-int8", score=0.904)).recommended == "onnx-int8"


def test_an_export_without_a_score_must_agree_with_the_student(report):
    change(report, "onnx-int8", score=None)
    assert verdict(report).recommended == "onnx-int8"
    change(report, "onnx-int8", agreement=0.98)
    assert verdict(report).recommended == "onnx"


def test_without_latencies_the_smallest_is_recommended(report):
    for model in report["models"]:
        model["latency_ms"] = model["speedup"] = None
    judged = verdict(report)
    assert judged.recommended == "onnx-int8"
    assert judged.sentence.endswith("with 48 % of its parameters.")


def test_disagreement_of_the_recommended_export_is_told(report):
    judged = verdict(change(report, "onnx-int8", agreement=0.975))
    assert "The int8 ONNX gives another answer than the student on 2.5 % of the examples." in judged.caveats


def test_few_examples_are_told(report):
    report["task"]["test"] = 120
    for model in report["models"]:
        model["score_interval"] = None
    assert verdict(report).caveats == ("All scores come from 120 test examples only: expect them to move.",)


def test_a_weak_teacher_is_told(report):
    change(report, "teacher", score=0.8, score_interval=None)
    caveats = verdict(report).caveats
    assert any(caveat.startswith("The teacher itself is no better than the baseline") for caveat in caveats)


def test_no_gain_where_the_teacher_has_none(report):
    change(report, "majority", score=0.935)
    change(report, "tfidf", score=None)
    change(report, "student", score=0.94)
    assert "Majority class" not in " ".join(verdict(report).caveats)


def classes(answers=2, rare=0.5, usual=1.0, uneven=True):
    macro = (rare + usual) / 2
    return {
        "uneven": uneven,
        "examples": {"rare": 40, "usual": 832},
        "recalls": {"rare": rare, "usual": usual},
        "f1_macro": macro,
        "f1_macro_interval": [macro - 0.03, macro + 0.03],
        "matthews_correlation_interval": [rare + usual - 1.1, rare + usual - 0.9] if answers > 1 else [0.0, 0.0],
        "answers": answers,
        "answer": "usual",
        "commonest": "usual",
        "commonest_share": 832 / 872,
    }


def uneven(report, **rare):
    """The report of a task with a rare class, of which the models find these shares."""
    for model in report["models"]:
        share = rare.get(model["name"].replace("-", "_"), 0.0)
        model["classes"] = classes(rare=share) if share else classes(answers=1, rare=0.0)
    return report


def test_where_every_model_gives_the_commonest_answer_nothing_is_recommended(report):
    uneven(report)
    for model in report["models"]:
        model |= {"score": 0.954, "score_interval": [0.94, 0.97]}
    report["floor"] = {"sufficient": True, "text": "tf-idf is as good"}
    found = verdict(report)
    assert found.kind == "nothing" and found.recommended is None
    assert found.sentence == (
        "Nothing was learned: the student gives the answer “usual” to every text, and no model is better than the "
        "baseline “Majority class” (accuracy 95.4) on 872 test examples."
    )


def test_what_is_no_better_than_the_commonest_answer_as_far_as_the_test_tells_is_not_recommended(report):
    for model in report["models"]:
        model |= {
            "score": 0.52,
            "score_interval": [0.48, 0.56],
            "classes": classes(rare=0.51, usual=0.53, uneven=False),
        }
    change(report, "majority", score=0.509)
    change(report, "majority", classes=classes(answers=1, rare=0.0, uneven=False))
    assert verdict(report).kind == "nothing"  # although macro F1 is above the commonest answer's
    change(report, "student", classes=classes(rare=0.9, usual=0.9))  # not by its accuracy, but class by class
    assert verdict(report).kind != "nothing"


def test_a_floor_that_gives_one_answer_is_never_sufficient(report):
    uneven(report, teacher=0.6, student=0.58, onnx=0.58, onnx_int8=0.58)
    report["floor"] = {"sufficient": True, "text": "it is as good"}
    found = verdict(report)
    assert found.kind == "ship" and found.recommended == "onnx-int8"


def test_a_student_that_gives_one_answer_is_not_shipped_however_right_it_is(report):
    uneven(report, teacher=0.6, tfidf=0.1)
    found = verdict(report)
    assert found.kind == "below-floor" and found.recommended is None
    assert found.sentence == "Do not ship this student: it gives one answer, “usual”, to every text."


def test_an_export_that_loses_a_class_is_not_recommended(report):
    uneven(report, teacher=0.5, student=0.5, onnx=0.5, onnx_int8=0.3, tfidf=0.1)
    found = verdict(report)
    assert found.recommended == "onnx"
    assert any("int8 ONNX loses 10.0 points of macro F1" in caveat for caveat in found.caveats)
    uneven(report, teacher=0.5, student=0.5, onnx=0.5, tfidf=0.1)
    found = verdict(report)
    assert found.recommended == "onnx"
    assert any("int8 ONNX gives one answer, “usual”" in caveat for caveat in found.caveats)


def test_a_student_that_loses_a_rare_class_is_lossy_whatever_its_accuracy(report):
    uneven(report, teacher=0.8, student=0.4, onnx=0.4, onnx_int8=0.4, tfidf=0.1)
    change(report, "student", score=0.929, score_interval=[0.911, 0.945])
    found = verdict(report)
    assert found.kind == "lossy"
    assert (
        "Classes are uneven: macro F1 is 70.0 against the teacher's 90.0; of the class “rare” (40 examples) it finds "
        "40 % where the teacher finds 80 %."
    ) in found.caveats


def test_a_student_at_the_floor_may_find_rarer_classes(report):
    uneven(report, teacher=0.8, student=0.4, onnx=0.4, onnx_int8=0.4, tfidf=0.1)
    change(report, "tfidf", score=0.95)
    found = verdict(report)
    assert found.kind == "below-floor" and "finds" not in found.sentence
    assert found.caveats[0].startswith("It does find rarer classes")


def test_what_the_models_never_read_is_told(report):
    report["cut"] = {"share": 0.4, "text": "40 % of the texts are longer than 128 tokens"}
    report["floor"]["whole_score"] = 0.97
    assert verdict(report).caveats[-2:] == (
        "40 % of the texts are longer than 128 tokens.",
        "The baseline “TF-IDF + logistic regression” reaches accuracy 97.0 where it reads all of them.",
    )
    report["cut"]["share"] = 0.01
    assert not any("tokens" in caveat for caveat in verdict(report).caveats)
