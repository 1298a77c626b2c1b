"""Small searches of each kind of task, their shared folder made once in a session of tests."""

import functools

import numpy as np
import pytest

from stages import tiny, tiny_agora
from subarch.inputs import data as inputs
from subarch.inputs.data import DataConfig
from subarch.session.session import Session
from subarch.stages.trials.settings import MetricSettings, SearchConfig
from subarch.stages.trials.shared import prepare_shared
from subarch.stages.trials.trial import TrialTask, run_trial
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.suites.squad import SQUAD
from subarch.training.settings import LoopConfig

TAUGHT = LoopConfig(max_steps=20, evaluations=2, learning_rate=3e-3, batch_size=16)
SHORT = LoopConfig(max_steps=6, evaluations=3, learning_rate=3e-3, batch_size=16)
MAIN = {"classes": "accuracy", "scores": "pearson", "choice": "accuracy", "span": "f1"}
RANGES = {
    "student.num_hidden_layers": {"low": 1, "high": 4},
    "student.num_attention_heads": {"choices": [2, 4]},
    "student.intermediate_size": {"choices": [32, 64]},
    "student.vocabulary": {"choices": [0.8, 1.0]},
    "student.layers": {"choices": ["important", "last"]},
    "loop.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
}


def questions(count, seed):
    """Contexts with one good word, which is the answer; every fourth has none, and no answer."""
    rng = np.random.default_rng(seed)
    contexts, answers, starts = [], [], []
    for number in range(count):
        words = [str(word) for word in rng.choice(tiny.PLAIN, size=int(rng.integers(4, 30)))]
        answer = str(rng.choice(tiny.GOOD))
        if number % 4:
            words[int(rng.integers(len(words)))] = answer
        contexts.append(" ".join(words))
        answers.append([answer] if number % 4 else [])
        starts.append([contexts[-1].index(answer)] if number % 4 else [])
    titles = [f"article {number % 3}" for number in range(count)]
    columns = {"answers": answers, "answer_starts": starts, "title": titles}
    return Examples(["which is good?"] * count, contexts, columns=columns)


BUILT_IN = {
    "choice": lambda: TaskData(tiny_agora.CHOICE, *(tiny_agora.choices(n, n) for n in (40, 20, 21))),
    "span": lambda: TaskData(SQUAD["squad2"], questions(60, 0), questions(24, 1), questions(31, 2)),
}


def data_config(folder, kind):
    if kind in BUILT_IN:
        return DataConfig(task=kind, data_dir=folder)
    return DataConfig(train={"classes": tiny.classes, "scores": tiny.scores}[kind](folder / f"{kind}.csv", count=120))


def search(folder, kind="classes", **changes):
    """A search around a teacher that has to be fine-tuned first."""
    folder.mkdir(exist_ok=True)
    if not (folder / "encoder").exists():
        tiny.teacher(folder / "encoder", intermediate_size=64)
    settings = {
        "teacher": str(folder / "encoder"),
        "out": folder / "out",
        "data": data_config(folder, kind),
        "max_length": 32,
        "parameters": RANGES,
        "metrics": {MAIN[kind]: MetricSettings(), "num_parameters": MetricSettings()},
        "finetune": TAUGHT,
        "loop": SHORT,
    }
    return SearchConfig(**settings | changes)


@functools.cache
def _prepared(base, kind):
    folder = base / f"search-{kind}"
    config = search(folder, kind)
    prepare_shared(config, Session(), folder / "shared")
    return config, folder / "shared"


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """(configuration, folder of `prepare_shared`) of a kind of task."""
    original = inputs.load_task

    def load(name, **options):
        return BUILT_IN[name]() if name in BUILT_IN else original(name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "load_task", load)
        yield lambda kind="classes": _prepared(tmp_path_factory.getbasetemp(), kind)


def tried(search_and_folder, out, params=None, tell=lambda event: None, **changes):
    """One trial."""
    config, shared = search_and_folder
    settings = {"number": 3, "params": params or {}, "seed": 7, "search": config, "shared": shared, "out": out}
    return run_trial(TrialTask(**settings | changes), tell)
