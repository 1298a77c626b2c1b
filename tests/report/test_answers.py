import json

from subarch.report.answers import answer


def result(stage, metrics, **artifacts):
    return {"stage": stage, "metrics": metrics, "artifacts": artifacts, "config": {"out": "runs/one"}}


ROW = {"score": 0.8, "score_interval": [0.7, 0.9], "parameters": 33_000, "latency_ms": 2.0, "speedup": 1.0}
COMPRESSED = {
    "teacher": {**ROW, "encoder_parameters": 25_000, "model_bytes": 138_000},
    "student": {**ROW, "encoder_parameters": 5_000, "model_bytes": 37_000, "speedup": 2.0},
    "exports": {name: {**ROW, "model_bytes": 30_000, "agreement": 0.99} for name in ("onnx", "onnx-int8")},
    "baselines": {name: {**ROW, "score": 0.6, "score_interval": [0.5, 0.7]} for name in ("majority", "tfidf")},
    "main_metric": "accuracy",
    "floor": {"sufficient": False, "text": ""},
}
COMPRESSED["teacher"]["label"] = "Teacher (PyTorch)"
COMPRESSED["baselines"]["tfidf"]["label"] = "Words"
SIZES = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}
EXTRACTED = {
    "maximum_point": {"parameters": 33_000_000, "latency_ms": 8.0},
    "candidates": [
        {"architecture": SIZES, "parameters": 5_500_000, "latency_ms": 2.0, "error": 0.1, "w": 6.25},
        {"architecture": SIZES, "parameters": 9_000_000, "latency_ms": 4.0, "error": 0.1, "w": 3.6},
    ],
    "chosen": 0,
}
TIMED = {
    "threads": 1,
    "a": {"latency_ms": 2.0, "latency_ms_low": 1.9, "latency_ms_high": 2.2, "speedup": 1.0},
    "b": {"latency_ms": 1.0, "latency_ms_low": 0.9, "latency_ms_high": 1.1, "speedup": 2.0},
}


def test_compress_shows_every_model_then_the_report():
    lines = answer(result("compress", COMPRESSED, report="report.html")).splitlines()
    assert lines[-1] == "report: runs/one/report.html"
    for words in ("Teacher (PyTorch)", "onnx-int8", "majority", "Words"):
        assert any(line.startswith(words) for line in lines[:8])


def test_extract_says_which_and_why():
    (line, place) = answer(result("extract", EXTRACTED)).splitlines()
    assert line.startswith("2 candidates; the largest W is 6.250: 2 layers, hidden 16, 4 heads, intermediate 32, 5.5 M")
    assert "2.00 ms against the teacher's 8.00 ms" in line and place == "result: runs/one/result.json"


def test_latency_has_a_line_for_each_model():
    first, second, _ = answer(result("latency", TIMED)).splitlines()
    assert first == "a: 2.00 ms (1.90 to 2.20), 1.00x, 1 threads"
    assert second.startswith("b: 1.00 ms") and "2.00x" in second


def test_export_says_how_far_it_agrees():
    metrics = {"onnx-int8": {"model_bytes": 2_500_000, "agreement": 0.995, "max_difference": 0.1}}
    line = answer(result("export", metrics)).splitlines()[0]
    assert line == "onnx-int8: 2.5 MB, agrees with PyTorch on 99.5% of random inputs"


def test_the_others_list_their_numbers():
    metrics = {"score": 0.81239, "steps": 40, "best": None, "intervals": {"score": [0.7, 0.9]}}
    assert answer(result("finetune", metrics)).splitlines() == [
        "score 0.8124, steps 40",
        "result: runs/one/result.json",
    ]


def test_what_was_read_from_json_does_as_well():
    read = json.loads(json.dumps(result("compress", COMPRESSED, report="report.html")))
    assert answer(read) == answer(result("compress", COMPRESSED, report="report.html"))


def grown(expansion_set="validation", **last):
    first = {"iteration": 1, "replay": 0, "scores": [{}] * 4, "best_score": 0.7125, "bound": 0.5, "mistakes": 23}
    second = {"iteration": 2, "replay": 1, "scores": [{}] * 2, "best_score": 0.8, "bound": 0.75, "mistakes": 16}
    rows = [{**first, "added": 46, "remaining": [{}] * 2}, {**second, "added": 0, "remaining": [], **last}]
    found = result("finetune", {"score": 0.8, "steps": 40, "iterations": rows, "theta": {"seed": 1}, "points": 46})
    found["config"]["agora"] = {"expansion_set": expansion_set}
    return answer(found).splitlines()


def test_agora_shows_its_iterations_and_then_the_score():
    assert grown() == [
        "iteration     sets  best    bound   mistakes  added  sets left",
        "1             4     0.7125  0.5000  23        46     2",
        "2 (replay 1)  2     0.8000  0.7500  16        0      0",
        "score 0.8, steps 40, points 46",
        "result: runs/one/result.json",
    ]


def test_agora_says_what_one_must_know_of_its_score():
    lines = grown(mistakes=0)
    assert lines[-2] == "no mistakes left on the expansion set: it has nothing more to teach"
    lines = grown("dev")
    assert lines[-2].startswith("the dev set selected and grew the data, as in the paper: no score on it is one of")
    lines = grown(best_score=None, mistakes=None)
    assert lines[2].split() == ["2", "(replay", "1)", "2", "diverged", "0.7500", "0", "0"]
