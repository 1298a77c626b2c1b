import pytest

from stages import tiny, tiny_agora
from subarch.api import run_stage
from subarch.session.session import Session
from subarch.tracking.record import Record


@pytest.fixture(scope="session")
def record(tmp_path_factory):
    return Record.open(f"sqlite:///{tmp_path_factory.mktemp('record') / 'record.db'}")


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return tiny.classes(tmp_path_factory.mktemp("rows") / "rows.csv")


@pytest.fixture(scope="session")
def teachers(tmp_path_factory):
    """The folder of an encoder that was not fine-tuned, by family."""
    made = {}

    def folder(family="bert"):
        if family not in made:
            made[family] = tiny.teacher(tmp_path_factory.mktemp("teachers") / family, family)
        return made[family]

    return folder


@pytest.fixture(scope="session")
def compressed(tmp_path_factory, record, rows, teachers):
    """(result, folder, events) of a whole compression."""
    out = tmp_path_factory.mktemp("compressed") / "out"
    events = []
    settings = {**tiny.FAST, "teacher": str(teachers()), "out": out, "train": rows}
    result = run_stage("compress", settings, session=Session(record=record, on_event=events.append))
    return result, out, events


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    """The folder of a small encoder with random weights."""
    return tiny.teacher(tmp_path_factory.mktemp("student") / "student", num_hidden_layers=1, seed=3)


@pytest.fixture(scope="session")
def school(tmp_path_factory, teachers, student):
    """Student, teacher and data of a kind of task, as settings of `finetune`; each teacher is trained once."""
    made, folder = {}, tmp_path_factory.mktemp("school")
    files = {"classes": tiny.classes, "pairs": tiny.pairs, "scores": tiny.scores}

    def settings(kind):
        if kind not in made:
            data = {"train": files[kind](folder / f"{kind}.csv")} if kind in files else {"task": kind}
            taught = {"model": str(teachers()), "max_length": 24, "loop": tiny_agora.TAUGHT}
            run_stage("finetune", {**taught, **data, "out": folder / kind})
            made[kind] = {"model": str(student), "teacher": str(folder / kind), **data}
        return dict(made[kind])

    return settings
