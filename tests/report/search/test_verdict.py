from subarch.report.search.outcome import read
from subarch.report.search.verdict import nearest, tiles, verdict


def trial(number, exact_match, size, kind="dominated"):
    metrics = {"exact_match": exact_match, "num_parameters": size}
    return {"number": number, "params": {}, "metrics": metrics, "class": kind}


def search(*trials, threshold=50.0, baseline=0, **more):
    metrics = [
        {"name": "exact_match", "direction": "maximize", "threshold": threshold, "role": "objective"},
        {"name": "num_parameters", "direction": "minimize", "threshold": None, "role": "objective"},
    ]
    front = [one["number"] for one in trials if one["class"] == "front"]
    return read({"metrics": metrics, "trials": list(trials), "baseline": baseline, "front": front, **more})


BASELINE = trial(0, 67.1, 66e6, "baseline")


def test_the_case_study_in_a_sentence():
    found = verdict(search(BASELINE, trial(1, 67.1, 51.5e6, "front"), trial(2, 68.3, 66e6, "front")))
    assert found.kind == "found"
    assert found.sentence == (
        "2 of 3 trials are on the front; the smallest at no loss of exact match: −22 % parameters (#1); "
        "the best exact match at no more parameters: +1.2 points (#2)."
    )


def test_one_trial_that_is_better_in_everything_is_told_once():
    found = verdict(search(BASELINE, trial(1, 68.1, 33e6, "front")))
    assert (
        "#1 is better than the baseline in every objective: −50 % parameters, +1.0 point of exact match"
        in found.sentence
    )


def test_none_better_than_the_baseline():
    found = verdict(search(BASELINE | {"class": "baseline"}, trial(1, 60, 30e6, "front")))
    assert found.sentence.endswith("none of them is better than the baseline at no loss.")


def test_a_small_one_beyond_a_threshold_is_no_gain():
    low = trial(0, 40.0, 66e6, "baseline")
    found = verdict(search(low, trial(1, 45.0, 10e6, "beyond"), trial(2, 51.0, 60e6, "front")))
    assert "−9.1 % parameters" in found.sentence and "#1" not in found.sentence


def test_without_a_baseline_the_ends_of_the_front():
    found = verdict(search(trial(1, 60, 30e6, "front"), trial(2, 70, 60e6, "front"), baseline=None))
    assert found.sentence.endswith("best exact match 70.0 (#2); lowest parameters 30.0 M (#1).")


def test_no_trial_meets_the_threshold_and_the_nearest_is_named():
    found = search(trial(1, 30, 30e6, "beyond"), trial(2, 48.2, 60e6, "beyond"), baseline=None)
    assert verdict(found).kind == "infeasible"
    assert "(exact match ≥ 50.0); the nearest is #2 with exact match 48.2." in verdict(found).sentence
    assert nearest(found, found.trials).number == 2


def test_all_failed():
    failed = [{"number": n, "class": "failed", "reason": "CUDA out of memory"} for n in range(3)]
    found = verdict(search(*failed, baseline=None))
    assert (found.kind, found.sentence) == ("failed", "All 3 trials that ended failed; reason: CUDA out of memory.")


def test_nothing_yet():
    assert verdict(read({})).sentence == "No trial has ended yet."
    assert verdict(search({"number": 0, "class": "running"})).sentence == "No trial has ended yet: 1 trial under way."
    assert verdict(search(BASELINE)).sentence == "So far only the baseline has finished."


def test_search_values_are_called_optimistic_until_they_are_confirmed():
    members = (BASELINE, trial(1, 68.1, 33e6, "front"))
    assert any("optimistic" in caveat for caveat in verdict(search(*members)).caveats)
    confirmed = [{"number": n, "metrics": {"exact_match": {"mean": 66.0 + n, "std": 0.4, "count": 3}}} for n in (0, 1)]
    caveats = verdict(search(*members, confirmed=confirmed)).caveats
    assert caveats == (
        "Confirmed with new seeds on untouched data: exact match #1 67.0 ± 0.4 (search: 68.1); "
        "baseline 66.0 ± 0.4 (search: 67.1)",
    )


def test_one_objective(content, classify):
    content["metrics"][1]["role"] = "stored"
    found = verdict(read(classify(content)))
    assert "is the best of 60 trials: exact match" in found.sentence and "against the baseline" in found.sentence


def test_tiles_count_and_compare(content):
    shown = {heading: (value, remark) for heading, value, remark in tiles(read(content))}
    assert shown["Trials"][0] == "60" and "failed" in shown["Trials"][1]
    assert "baseline" in shown["Exact match, best"][1]
