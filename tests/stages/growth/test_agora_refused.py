"""What cannot be is one clear line, and nothing is written before it is said."""

import numpy as np
import pytest

from stages import tiny, tiny_agora
from subarch.api import configured, run_stage
from subarch.cli import app
from subarch.errors import ConfigError, DataError, ModelError, UserError
from subarch.inputs import data as inputs
from subarch.report.answers import answer
from subarch.session.session import Session
from subarch.stages import finetune as finetune_module
from subarch.tasks.base import Examples, Task, TaskData


def span_data():
    task = Task(name="squad1", kind="span", text="q", text_pair="c", label="a", metrics=("f1",), main_metric="f1")
    columns = {"answers": [["b"]] * 20, "answer_starts": [[2]] * 20}
    return TaskData(task, *(Examples(["which"] * 20, ["a b"] * 20, columns=columns) for _ in range(3)))


TASKS = {"copa": tiny_agora.choice_data, "squad1": span_data}


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    def load(name, **options):
        if name not in TASKS:
            raise DataError(f"no files of {name}")
        return TASKS[name]()

    monkeypatch.setattr(inputs, "load_task", load)
    inputs._load.cache_clear()
    yield
    inputs._load.cache_clear()


@pytest.fixture
def refused(school, tmp_path):
    """The message with which a run is refused, before its folder is there."""

    def run(kind="classes", **changes):
        agora = {"force": True, **changes.pop("agora", {})}
        settings = {**tiny_agora.settings(school(kind), tmp_path / "out", agora=agora), **changes}
        with pytest.raises(UserError) as caught:
            run_stage("finetune", settings)
        assert not (tmp_path / "out").exists() and caught.value.exit_code == 2
        assert "\n" not in caught.value.message and not caught.value.message.endswith(".")
        return str(caught.value)

    return run


def rows(path, count, labels=("good", "bad")):
    return tiny.write_csv(
        path,
        ("text", "label"),
        [(f"{path.stem} film {number}", labels[number % len(labels)]) for number in range(count)],
    )


def test_socrates_with_other_labels(refused, tmp_path, school):
    other = tiny.teacher(tmp_path / "other", labels=("up", "down"))
    assert "has up, down, expected a model for bad, good" in refused(teacher=str(other))
    assert "has score (regression), expected a model for bad, good" in refused(teacher=school("scores")["teacher"])


def test_nobody_to_label(refused):
    message = "agora without a teacher: nobody labels the new points\nhint: give --teacher MODEL"
    assert refused(teacher=None) == message


@pytest.mark.parametrize(
    ("agora", "message"),
    [
        ({"sets": ""}, "the grid of hyperparameter sets is empty"),
        ({"sets": "learning_rate="}, "no value of learning_rate"),
        ({"sets": "momentum=1"}, "unknown hyperparameter 'momentum'"),
        ({"sets": "seed=a"}, "seed is 'a', expected whole numbers"),
        ({"pruning": "best"}, "agora.pruning is 'best'"),
        ({"transformations": ["translate"]}, "agora.transformations.0 is 'translate'"),
        ({"transformations": ["mining"]}, "names mining, but there are no texts\nhint: give --unlabelled FILE"),
        ({"transformations": ["refill"]}, "refill needs a masked-language model with its head, but there is none"),
        ({"last": 1.0}, "agora.last is 1.0, expected a share above 0 and below 1"),
        ({"least_passes": -1.0}, "agora.least_passes is -1.0, expected 0 or more"),
        ({"first_growth": -0.5}, "agora.first_growth is -0.5, expected 0 or more"),
        ({"replays": -1}, "agora.replays is -1, expected 0 or more"),
        ({"iterations": 0}, "agora.iterations is 0, expected at least 1"),
        ({"confidence": 1.0}, "agora.confidence is 1.0, expected a probability below 1"),
        ({"growth": -0.5}, "agora.growth is -0.5, expected a share above 0"),
        ({"growth": 0}, "agora.growth is 0.0, expected a share above 0\nhint: to add nothing, set agora.iterations=1"),
        ({"growing": 1}, "unknown setting agora.growing"),
    ],
)
def test_settings(refused, agora, message):
    assert message in refused(agora=agora)


def test_an_expansion_set_that_says_nothing(refused, tmp_path):
    few = {"train": rows(tmp_path / "train.csv", 60), "test": rows(tmp_path / "test.csv", 40)}
    message = refused(**few, valid=rows(tmp_path / "few.csv", 9))
    assert message.startswith("the expansion set has 9 labelled examples, expected at least 10 labelled ones\nhint: ")
    message = refused(**few, valid=rows(tmp_path / "same.csv", 30, ("bad",)))
    assert message.startswith("all examples of the expansion set have the same label, expected several\nhint: ")


def test_a_class_that_balance_would_leave_without_examples(refused, tmp_path):
    train = [("one", "good"), *[(f"film {number}", "bad") for number in range(40)]]
    files = {"valid": rows(tmp_path / "valid.csv", 30), "test": rows(tmp_path / "test.csv", 30)}
    data = {"train": tiny.write_csv(tmp_path / "train.csv", ("text", "label"), train), **files}
    assert refused(**data, agora={"balance": "discard", "sets": "seed=a"})  # the settings come first
    # One of each class is enough.
    settings = {"model": "m", "teacher": "t", "out": tmp_path, **data, "agora": {"balance": "discard"}}
    (config,) = configured("finetune", settings).args
    from subarch.stages.growth.admission import prepared

    assert np.bincount(prepared(config, inputs.load_data(config.data)).train.labels).tolist() == [1, 1]


def test_spans(refused, tmp_path, school):
    span_teacher = tmp_path / "span"
    from transformers import AutoModelForQuestionAnswering

    AutoModelForQuestionAnswering.from_pretrained(school("classes")["model"]).save_pretrained(span_teacher)
    tiny.wordpiece().save_pretrained(span_teacher)
    message = refused(train=None, task="squad1", teacher=str(span_teacher))
    assert message.startswith("agora cannot grow squad1: it asks for spans\nhint: cast the questions as pairs")


def test_unlabelled_texts_that_cannot_be_used(refused, tmp_path):
    wrong = tiny.write_csv(tmp_path / "wrong.csv", ("body",), [("one",)])
    message = refused(agora={"unlabelled": wrong, "transformations": ()})
    assert "wrong.csv has the columns body, expected 'text'\nhint: name the columns" in message
    texts = tiny.write_csv(tmp_path / "texts.csv", ("text", "second"), [("one", "two")])
    message = refused("copa", agora={"unlabelled": texts, "transformations": ()})
    assert "unlabelled texts for copa, whose questions have several rows each" in message
    assert "no file" in refused(agora={"unlabelled": tmp_path / "none.csv", "transformations": ()})


def test_a_model_that_cannot_refill(refused, school):
    student = school("classes")["model"]
    message = refused(agora={"masked_lm": student})
    assert message == f"{student} has no head for masked words\nhint: name a masked-language model"


def test_a_weak_socrates_is_refused_unless_forced(refused, school, tmp_path):
    weak = tiny.teacher(tmp_path / "weak", labels=("bad", "good"), seed=4)
    message = refused(teacher=str(weak), agora={"force": False})
    assert (
        "an accuracy of 0." in message and "expected at least 2/3\nhint: give a better teacher, or --force" in message
    )
    events = []
    settings = tiny_agora.settings(school("classes"), tmp_path / "out", agora={"force": True, "iterations": 1})
    session = Session(on_event=lambda event: events.append(event.get("detail", "")))
    result = run_stage("finetune", {**settings, "teacher": str(weak)}, session=session)
    assert result.metrics["socrates"] < 2 / 3
    assert any(str(detail).endswith("below 2/3: its labels may do harm") for detail in events)


def test_a_weak_socrates_of_numbers(refused, tmp_path):
    weak = tiny.teacher(tmp_path / "weak", labels=("score",), seed=4, problem_type="regression")
    message = refused("scores", teacher=str(weak), agora={"force": False})
    assert "has a correlation of " in message


def test_the_command_line_says_it_in_one_line(school, tmp_path, capsys):
    given = school("classes")
    words = ["finetune", "--agora", "--sets", "momentum=1", "--out", str(tmp_path / "out")]
    words += [word for name in ("model", "teacher", "train") for word in (f"--{name}", str(given[name]))]
    assert app(words, result_action="return_value", exit_on_error=False) == 2
    error, hint = capsys.readouterr().err.strip().splitlines()
    assert error == "error: unknown hyperparameter 'momentum'" and hint.startswith("hint: ")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def suite(school, tmp_path):
    """Settings of Agora over SuperGLUE, of which one task has data."""
    (tmp_path / "taught").mkdir()
    (tmp_path / "taught/copa").symlink_to(school("copa")["teacher"])
    given = {"model": school("copa")["model"], "teacher": str(tmp_path / "taught"), "task": "superglue"}
    return tiny_agora.settings(given, tmp_path / "out", agora={"force": True})


def test_a_suite_grows_each_task(suite, tmp_path):
    result = run_stage("finetune", suite)
    (name,) = result.metrics["tasks"]
    row = result.metrics["tasks"][name]
    assert name == "copa" and len(row["iterations"]) == 2 and row["metric"] == "accuracy"
    assert (tmp_path / "out/copa/points/01-0.parquet").exists()
    assert "copa  accuracy" in answer(result.to_json())


def test_what_agora_refuses_of_a_suite_is_skipped(suite, school, tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "cb", lambda: TaskData(CB, *three(30)))
    monkeypatch.setitem(TASKS, "wsc", lambda: TaskData(WSC, *three(5)))
    monkeypatch.setitem(TASKS, "boolq", lambda: TaskData(BOOLQ, *three(30)))
    for each in ("cb", "wsc", "boolq"):
        tiny.teacher(tmp_path / "taught" / each, labels=("bad", "good"), seed=4)
    result = run_stage("finetune", {**suite, "agora": {**suite["agora"], "force": False}})
    skipped = result.metrics["skipped"]
    assert list(result.metrics["tasks"]) == ["copa"]
    assert skipped["wsc"].startswith("the expansion set has 5 labelled examples")
    assert "expected at least 2/3" in skipped["cb"] and "expected at least 2/3" in skipped["boolq"]
    assert not (tmp_path / "out/wsc").exists() and not (tmp_path / "out/cb").exists()
    (tmp_path / "taught/copa").unlink()
    with pytest.raises(ModelError, match=r"no task of superglue was trained, .* expected at least 2/3"):
        run_stage("finetune", {**suite, "out": tmp_path / "other", "agora": {**suite["agora"], "force": False}})


def _task(name):
    return Task(
        name=name, kind="classification", labels=("bad", "good"), text="text", label="label", metrics=("accuracy",),
        main_metric="accuracy",
    )  # fmt: skip


CB, WSC, BOOLQ = map(_task, ("cb", "wsc", "boolq"))


def three(held_out):
    """Splits whose labels nobody can tell."""
    made = []
    for seed, count in enumerate((40, held_out, held_out)):
        texts = tiny.sentences(count, seed)[0]
        made.append(Examples(texts, None, np.arange(count, dtype=np.int64) % 2))
    return made


def test_a_budget_is_shared_out_over_the_tasks(school, tmp_path, monkeypatch):
    """Each task gets its share of what is left; the first does not get everything."""
    monkeypatch.setitem(TASKS, "boolq", lambda: TaskData(BOOLQ, *three(30)))
    monkeypatch.setitem(TASKS, "wic", lambda: TaskData(_task("wic"), *three(30)))
    from subarch.stages.finetuning import suite as module

    shares = []
    settings = {"model": school("copa")["model"], "task": "superglue", "out": tmp_path / "out", "budget": "600s"}
    (config,) = configured("finetune", settings).args

    def train(part, session):
        shares.append((part.out.name, session.deadline.remaining()))
        return type("Trained", (), {"metrics": {"score": 1.0}})

    from subarch.running.budget import Deadline

    module.finetune_suite(config, Session(deadline=Deadline.after(600.0)), train)
    assert [name for name, _ in shares] == ["boolq", "copa", "wic"]
    assert [round(seconds, -1) for _, seconds in shares] == [200, 300, 600]  # nobody took any time


def test_compress_refuses_before_it_trains_a_teacher(teachers, tmp_path):
    settings = {**tiny.FAST, "teacher": str(teachers()), "out": tmp_path / "out", "agora": {}}
    few = {"train": rows(tmp_path / "train.csv", 60), "valid": rows(tmp_path / "few.csv", 9)}
    with pytest.raises(DataError, match="the expansion set has 9 labelled examples"):
        run_stage("compress", {**settings, **few, "test": rows(tmp_path / "test.csv", 30)})
    whole = {**settings, "train": tiny.classes(tmp_path / "rows.csv")}
    with pytest.raises(ConfigError, match="has no head for masked words"):
        run_stage("compress", {**whole, "agora": {"masked_lm": str(teachers())}})
    for unlabelled, message in (
        (tiny.pairs(tmp_path / "pairs.csv"), "has the columns sentence1, sentence2, label, expected 'text'"),
        (tmp_path / "rows.csv", "all 200 texts of .* stand in the labelled data already"),
    ):
        with pytest.raises(DataError, match=message):
            run_stage("compress", {**whole, "agora": {"unlabelled": unlabelled}})
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_used_is_no_skipped_task_where_nobody_examines_it(suite, monkeypatch):
    def broken(*arguments, **options):
        raise ModelError("weights that cannot be read")

    monkeypatch.setattr(finetune_module, "train_on_task", broken)
    with pytest.raises(ModelError, match=r"^weights that cannot be read"):
        run_stage("finetune", {key: value for key, value in suite.items() if key != "agora"})
