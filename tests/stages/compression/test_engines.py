"""What scores the test rows: an export only where it is faster and says the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from subarch.session.session import Session
from subarch.stages.compression import engines
from subarch.stages.compression.engines import Asked, Race, choose_engines, discard_engines
from subarch.tasks.base import Examples
from subarch.tasks.snippets import SNIPPETS

ROWS = 2000


@pytest.fixture
def choose(tmp_path, monkeypatch):
    """The choice, where runtimes take so many seconds a row; and the exports of the teacher that were made."""
    exported = []

    def made(seconds, answers=None, export_seconds=10.0):
        folders = {name: SimpleNamespace(path=tmp_path / name) for name in ("teacher", "student")}
        said = answers or {}

        def measured(model, folder, probe):
            key = str(folder.relative_to(tmp_path))
            return seconds[key], np.asarray(said.get(key, [[0.0, 1.0]]), dtype=np.float32)

        monkeypatch.setattr(engines, "_seconds", measured)
        monkeypatch.setattr(engines, "export", lambda config, session: exported.append(config))
        (tmp_path / "export").mkdir(exist_ok=True)
        (tmp_path / "export/result.json").write_text(json.dumps({"seconds": export_seconds}))
        examples = Examples(["a text"] * ROWS, None, np.zeros(ROWS, dtype=np.int64))
        asked = Asked(task=SNIPPETS, examples=examples, max_length=128)
        return choose_engines(tmp_path, folders, asked, Session()), exported

    return made


FASTER = {"teacher": 0.2, "student": 0.1, "export/onnx": 0.05, "evaluation/teacher-onnx/onnx": 0.1}


def test_faster_and_the_same_it_scores_in_the_models_place(choose, tmp_path):
    found, exported = choose(FASTER)
    assert found == {"teacher": tmp_path / "evaluation/teacher-onnx/onnx", "student": tmp_path / "export/onnx"}
    assert [config.formats for config in exported] == [("onnx",)]


def test_other_answers_never_score(choose):
    found, exported = choose(FASTER, {"export/onnx": [[0.0, 1.1]]})
    assert found == {"teacher": None, "student": None} and not exported


def test_a_slower_export_does_not_score(choose):
    found, exported = choose({**FASTER, "export/onnx": 0.3})
    assert found == {"teacher": None, "student": None} and not exported


def test_the_teacher_is_exported_only_where_that_pays(choose, tmp_path):
    found, exported = choose(FASTER, export_seconds=100.0)  # 200 s saved, twice 141 s spent
    assert found == {"teacher": None, "student": tmp_path / "export/onnx"} and not exported


def test_an_export_of_the_teacher_that_disappoints_is_left(choose):
    found, _ = choose({**FASTER, "evaluation/teacher-onnx/onnx": 0.3})
    assert found["teacher"] is None


def test_the_choice_is_made_once(choose, tmp_path):
    first, exported = choose(FASTER)
    again, _ = choose({**FASTER, "export/onnx": 0.3})
    assert again == first and len(exported) == 1
    (tmp_path / "evaluation/teacher-onnx").mkdir(parents=True)
    discard_engines(tmp_path)
    assert not (tmp_path / "evaluation/teacher-onnx").exists()


def test_a_race_is_won_by_time_and_agreement():
    assert Race(torch_seconds=0.2, export_seconds=0.1, agree=True).saved == pytest.approx(0.1)
    assert Race(torch_seconds=0.2, export_seconds=0.1, agree=False).saved == 0.0
    assert not Race(torch_seconds=0.1, export_seconds=0.1, agree=True).faster
