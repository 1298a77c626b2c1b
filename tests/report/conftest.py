from __future__ import annotations

import copy
from typing import Any

import pytest


def candidate(layers: int, hidden: int) -> dict[str, Any]:
    """One that costs and errs as such an encoder would; W by its definition."""
    parameters = 31_000 * hidden + 12 * layers * hidden * hidden
    latency, error = 0.35 + layers * hidden / 264, 0.12 + 0.55 / layers + 52 / hidden
    return {
        "architecture": {
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "num_attention_heads": 12,
            "intermediate_size": 4 * hidden,
        },
        "parameters": parameters,
        "latency_ms": latency,
        "error": error,
        "error_interval": [0.96 * error, 1.05 * error],
        "w": (1 - parameters / 22_713_986) * (1 - latency / 9.07) / error,
    }


def candidates() -> list[dict[str, Any]]:
    found = [candidate(layers, hidden) for layers in (2, 3, 4, 6) for hidden in (120, 180, 240, 312, 384)]
    ranked = sorted(found, key=lambda one: -one["w"])
    for one in found:
        dominated = any(o["error"] < one["error"] and o["latency_ms"] < one["latency_ms"] for o in found)
        one.update(chosen=one is ranked[0], tied=one in ranked[1:3], on_front=not dominated)
    return found


CANDIDATES = candidates()

CLASSIFICATION: dict[str, Any] = {
    "title": "SST-2: all-MiniLM-L6-v2 → student",
    "task": {
        "name": "sst2",
        "kind": "single_label_classification",
        "main_metric": "accuracy",
        "labels": ["negative", "positive"],
        "train": 66349,
        "validation": 1000,
        "test": 872,
        "notes": ["The official test set has no labels: the official dev set is the test set here"],
    },
    "models": [
        {
            "name": "teacher",
            "label": "Teacher (PyTorch fp32)",
            "words": "teacher",
            "score": 0.930,
            "score_interval": [0.912, 0.946],
            "parameters": 22_713_986,
            "encoder_parameters": 10_646_784,
            "model_bytes": 90_870_000,
            "latency_ms": 9.07,
            "latency_ms_low": 8.91,
            "latency_ms_high": 9.44,
            "speedup": 1.0,
            "agreement": 0.951,
            "path": "teacher",
        },
        {
            "name": "student",
            "label": "Student (PyTorch fp32)",
            "words": "student",
            "score": 0.914,
            "score_interval": [0.894, 0.932],
            "parameters": 10_902_500,
            "encoder_parameters": 3_549_000,
            "model_bytes": 43_610_000,
            "latency_ms": 3.12,
            "latency_ms_low": 3.02,
            "latency_ms_high": 3.3,
            "speedup": 2.91,
            "agreement": None,
            "path": "student",
        },
        {
            "name": "onnx",
            "label": "Student (ONNX fp32)",
            "words": "ONNX export",
            "score": 0.914,
            "score_interval": [0.894, 0.932],
            "parameters": 10_902_500,
            "encoder_parameters": 3_549_000,
            "model_bytes": 43_700_000,
            "latency_ms": 1.58,
            "latency_ms_low": 1.51,
            "latency_ms_high": 1.71,
            "speedup": 5.74,
            "agreement": 1.0,
            "path": "export/onnx",
        },
        {
            "name": "onnx-int8",
            "label": "Student (ONNX int8)",
            "words": "int8 ONNX",
            "score": 0.911,
            "score_interval": [0.891, 0.929],
            "parameters": 10_902_500,
            "encoder_parameters": 3_549_000,
            "model_bytes": 11_120_000,
            "latency_ms": 0.81,
            "latency_ms_low": 0.78,
            "latency_ms_high": 0.88,
            "speedup": 11.2,
            "agreement": 0.993,
            "path": "export/onnx-int8",
        },
        {"name": "majority", "label": "Majority class", "score": 0.509, "score_interval": [0.476, 0.542]},
        {
            "name": "tfidf",
            "label": "TF-IDF + logistic regression",
            "score": 0.817,
            "score_interval": [0.79, 0.842],
            "parameters": 52_000,
            "model_bytes": 1_900_000,
            "latency_ms": 0.21,
            "speedup": 43.2,
        },
    ],
    "architectures": {
        "teacher": {
            "num_hidden_layers": 6,
            "hidden_size": 384,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "vocab_size": 30522,
        },
        "student": {
            "num_hidden_layers": 4,
            "hidden_size": 240,
            "num_attention_heads": 12,
            "intermediate_size": 960,
            "vocab_size": 30522,
        },
    },
    "candidates": CANDIDATES,
    "error_name": "cross-entropy to the teacher (nats)",
    "maximum_point": {"parameters": 22_713_986, "latency_ms": 9.07},
    "curves": {
        "finetune": [
            {
                "step": step,
                "loss": 0.69 * 0.985 ** (step / 10),
                "score": 0.93 - 0.2 * 0.97 ** (step / 10) if step % 200 == 0 else None,
            }
            for step in range(20, 2001, 20)
        ],
        "distil": [
            {
                "step": step,
                "loss": 2.1 * 0.99 ** (step / 10),
                "score": 0.915 - 0.3 * 0.98 ** (step / 10) if step % 400 == 0 else None,
            }
            for step in range(20, 4001, 20)
        ],
    },
    "stages": [
        {"name": "prepare", "seconds": 4.2, "reused": False},
        {"name": "finetune", "seconds": 183.0, "reused": True},
        {"name": "extract", "seconds": 61.4, "reused": False},
        {"name": "distil", "seconds": 402.0, "reused": False},
        {"name": "evaluate", "seconds": 22.8, "reused": False},
        {"name": "export", "seconds": 31.0, "reused": False},
    ],
    "budget_seconds": 600,
    "seconds": 521.4,
    "load": {
        "student": "from transformers import pipeline\n\n"
        'classify = pipeline("text-classification", "out/student")\n'
        'classify("a gorgeous film")',
        "onnx-int8": "import onnxruntime\nfrom tokenizers import Tokenizer\n\n"
        'session = onnxruntime.InferenceSession("out/export/onnx-int8/model.onnx")\n'
        'tokenizer = Tokenizer.from_file("out/export/onnx-int8/tokenizer.json")',
    },
    "config": {
        "teacher": "sentence-transformers/all-MiniLM-L6-v2",
        "task": "sst2",
        "budget": "10m",
        "seed": 13,
        "data_dir": None,
    },
    "environment": {
        "cpu": "AMD EPYC 9454",
        "threads": 2,
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "subarch": "0.1.0",
    },
    "warnings": ["Two other processes used the CPU while latency was measured"],
    "floor": {
        "sufficient": False,
        "text": "tf-idf with logistic regression reaches 81.7, 9.7 points below the student",
    },
}


@pytest.fixture
def report() -> dict[str, Any]:
    """A classification run with everything in it."""
    return copy.deepcopy(CLASSIFICATION)


@pytest.fixture
def regression() -> dict[str, Any]:
    """A regression run that made no exports, has no labels and reused everything."""
    return {
        "title": "STS-B: regression",
        "task": {
            "name": "stsb",
            "kind": "regression",
            "main_metric": "pearson",
            "labels": None,
            "train": 5182,
            "validation": 575,
            "test": 1500,
            "notes": [],
        },
        "models": [
            {
                "name": "teacher",
                "label": "Teacher",
                "score": 0.884,
                "score_interval": [0.871, 0.895],
                "parameters": 22_713_601,
                "latency_ms": 9.3,
            },
            {
                "name": "student",
                "label": "Student",
                "score": 0.702,
                "score_interval": None,
                "parameters": 10_902_100,
                "latency_ms": 3.2,
                "speedup": 2.9,
            },
            {"name": "majority", "label": "Mean of the training set", "score": None},
        ],
        "candidates": [],
        "curves": {},
        "stages": [{"name": "finetune", "seconds": 183.0, "reused": True}],
        "seconds": 0.4,
        "warnings": [],
    }
