"""`finetune --agora` on every kind of task: what it measures, what lies in its folder, what its points are."""

import json
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from stages import tiny, tiny_agora
from subarch.api import configured, run_stage
from subarch.errors import BudgetError, DivergedError
from subarch.inputs import data as inputs
from subarch.inputs.data import load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.kinds.registry import kind_of
from subarch.report.answers import answer
from subarch.running.budget import Deadline
from subarch.running.executor import InProcessExecutor
from subarch.session.session import Session
from subarch.stages.compress import refilling
from subarch.stages.finetuning import training
from subarch.stages.finetuning.job import Job
from subarch.stages.growth import timaeus
from subarch.stages.growth.admission import admit, divided, prepared
from subarch.stages.growth.points import read_points, socrates_outputs
from subarch.stages.growth.timaeus import expansion_outputs
from subarch.training.predict import predict
from subarch.training.socrates import asked

ROW = {"iteration", "replay", "scores", "best", "best_score", "bound", "mistakes", "produced", "added"}
ROW |= {"pruned", "remaining"}


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """The one built-in task is a made-up choice."""
    monkeypatch.setattr(inputs, "load_task", lambda name, **options: tiny_agora.choice_data())
    inputs._load.cache_clear()
    yield
    inputs._load.cache_clear()


@pytest.fixture(scope="module")
def grow(school):
    """Runs Agora on a kind of task in a folder; the result, and D and E as it saw them."""

    def run(kind, out, session=None, **changes):
        agora = {"force": True, **changes.pop("agora", {})}
        settings = tiny_agora.settings(school(kind), out, agora=agora, **changes)
        return run_stage("finetune", settings, session=session), seen(settings)

    return run


@pytest.fixture
def grown(grow, tmp_path):
    """The same in a folder of the test: (result, folder, D and E)."""

    def run(kind="classes", **changes):
        result, data = grow(kind, tmp_path / "out", **changes)
        return result, tmp_path / "out", data

    return run


@pytest.fixture(scope="module")
def whole(grow, tmp_path_factory):
    """Of a kind of task one run that several tests look at: (result, folder, D and E, phases)."""
    made = {}

    def run(kind="classes"):
        if kind not in made:
            out, events = tmp_path_factory.mktemp("whole") / "out", []
            result, data = grow(kind, out, session=saying(events))
            made[kind] = result, out, data, events
        return made[kind]

    return run


def seen(settings):
    """D and E."""
    (config,) = configured("finetune", settings).args
    return prepared(config, aligned(load_data(config.data), ModelFolder.of(config.teacher)))


def teacher_of(school, kind):
    return ModelFolder.of(school(kind)["teacher"])


def saying(events):
    """A session that keeps what phases are called, and their details."""

    def on_event(event):
        if event["event"] == "phase":
            events.append((event["name"], event["detail"]))

    return Session(on_event=on_event)


@pytest.mark.parametrize("kind", ["classes", "pairs", "scores", "copa"])
def test_every_kind_of_task(whole, kind):
    result, out, data, _ = whole(kind)
    metrics = result.metrics
    assert set(metrics) == {
        *("data", "score", "steps", "best_step", "seconds", "theta", "iterations", "socrates", "points", "trainings"),
        "plan",
    }
    assert metrics["plan"] == ""  # no budget, so all of it
    assert all(set(row) == ROW for row in metrics["iterations"])
    assert [len(row["scores"]) for row in metrics["iterations"]] == [2, 1] and metrics["trainings"] == 3
    assert [row["bound"] for row in metrics["iterations"]] == [0.5, 0.75]
    assert metrics["score"] == metrics["iterations"][chosen(out) - 1]["best_score"]
    assert metrics["iterations"] == tiny_agora.state(out)["iterations"]
    assert metrics["points"] == metrics["iterations"][0]["added"] > 0 and metrics["steps"] == 5
    # The folder is the best training's model, and nothing but a model of transformers.
    model, info = AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and model.config.num_labels == data.task.num_outputs
    encoded = ModelFolder.of(out).encode(data.validation, 24)
    found = predict(model, encoded.encoded, encoded.pad_token_id)
    assert np.allclose(found, expansion_outputs(best_place(result, out)), atol=1e-5)
    assert (out / "README.md").read_text().count("# out") == 1
    left = {path.name for path in (out / "trainings").rglob("*") if path.is_file()}
    assert left == {"training.json", "expansion_outputs.safetensors"} and not (out / "answers").exists()
    assert run_stage("finetune", as_read(result)).reused


def chosen(out):
    """Number of the iteration whose model it is: the latest that is not worse by more than the standard error."""
    found = [json.loads(path.read_text()) for path in sorted((out / "trainings").glob("*/training.json"))]
    bests = [max(found[:2], key=lambda each: each["score"]), found[2]]
    highest = max(bests, key=lambda each: each["score"])
    return 2 if bests[1]["score"] >= highest["score"] - highest["error"] else 1


def best_place(result, out):
    """Folder of the training whose model it is."""
    iteration = chosen(out)
    row = result.metrics["iterations"][iteration - 1]
    number = [each["theta"] for each in row["scores"]].index(row["best"])
    return out / f"trainings/{iteration:02d}-0-{number:03d}"


@pytest.mark.parametrize("kind", ["scores", "copa"])
def test_answers_as_hard_labels(grown, kind):
    result, out, _ = grown(kind, agora={"soft_labels": False})
    assert result.metrics["trainings"] == 3 and result.metrics["points"] > 0
    assert not (out / "answers").exists()


def as_read(result):
    """What a result says is enough to run it again."""
    return json.loads(json.dumps(result.config))


@pytest.mark.parametrize("kind", ["classes", "scores", "copa"])
def test_points_are_varied_mistakes_with_socrates_answers(whole, school, kind):
    result, out, data, _ = whole(kind)
    (file,) = (out / "points").glob("*")
    examples, task, expansion = read_points(file).examples, data.task, data.validation
    first = result.metrics["iterations"][0]
    assert file.name == "01-0.parquet" and asked(examples) == first["added"]
    assert set(examples.columns) == {"source", "transformation", "confidence"}
    assert set(examples.columns["transformation"]) == set(tiny_agora.EDITS)
    # Sources: what the best model of the iteration got wrong, and nothing else.
    best = [each["theta"] for each in first["scores"]].index(first["best"])
    outputs = expansion_outputs(out / f"trainings/01-0-{best:03d}")
    scale = np.concatenate([data.train.labels, expansion.labels])
    wrong = kind_of(task).wrong(kind_of(task).said(outputs, expansion.groups).labels, expansion, scale)
    mistakes = expansion.take(np.flatnonzero(wrong))
    assert set(examples.columns["source"]) <= set(mistakes.columns["id"])
    assert asked(mistakes) == first["mistakes"]
    # Each is new, and answered by Socrates.
    keys = examples.text_keys()
    known = {key for split in (data.train, data.validation, data.test) for key in split.text_keys()}
    assert kind == "copa" or (not known & set(keys) and len(set(keys)) == len(keys))
    (config,) = configured("finetune", as_read(result)).args
    socrates = ModelFolder.of(school(kind)["teacher"])
    said = kind_of(task).said(socrates_outputs(config, socrates, task, examples), examples.groups)
    assert np.allclose(said.labels, examples.labels, atol=0.1)
    assert np.allclose(said.confidence, examples.columns["confidence"], atol=0.05)
    if kind == "copa":
        numbers = np.unique(examples.groups, return_inverse=True)[1]
        assert (np.bincount(numbers, examples.labels) == 1).all()
        assert set(np.bincount(numbers)) <= {2, 3}


def test_the_trainings_learn_the_points(whole):
    result, _, data, events = whole()
    read = [detail for name, detail in events if name == "reading"]
    grown = len(data.train) + result.metrics["points"]
    assert read == [f"{len(data.train)} examples"] * 2 + [f"{grown} examples"]
    done = [detail for name, detail in events if name == "iteration done"]
    first = result.metrics["iterations"][0]
    assert done[0] == (
        f"1: best of 2: {first['best_score']:.4f}, {first['mistakes']} mistakes, {first['added']} points added, "
        "sets left: 1"
    )


def test_every_training_is_a_child_run(grown, record):
    result, _, _ = grown(session=Session(record=record), agora={"sets": "learning_rate=1e30,2e-3 seed=0"})
    children = record.runs("training", result.run_id)
    assert [(child["name"], child["status"]) for child in children] == [
        ("training 01-0-000", "FAILED"),
        ("training 01-0-001", "FINISHED"),
        ("training 02-0-000", "FINISHED"),
    ]
    assert children[1]["metrics"]["score"] == result.metrics["iterations"][0]["best_score"]
    assert children[0]["params"]["learning_rate"] == "1e+30" and "became nan" in children[0]["error"]
    (scored,) = [row["scores"] for row in result.metrics["iterations"][:1]]
    assert scored[0]["score"] is None and scored[1]["score"] is not None
    for name in ("best_score", "bound", "mistakes"):
        assert [step for step, _ in record.history(result.run_id, f"agora_{name}")] == [1, 2]


def test_nothing_of_the_test_split_is_ever_used(grown):
    _, out, data = grown(agora={"first_growth": 0.1})
    sources = {name.split(":")[0] for each in tiny_agora.points(out).values() for name in each["source"]}
    assert sources == {"train", "validation"}
    held_out = set(data.test.text_keys())
    assert not held_out & {*data.train.text_keys(), *data.validation.text_keys()}


def test_the_papers_expansion_set_says_what_it_does(grown):
    events = []
    result, out, data = grown(session=saying(events), agora={"expansion_set": "dev"})
    assert data.validation.texts == data.test.texts and len(data.train) == 180
    assert {name.split(":")[0] for each in tiny_agora.points(out).values() for name in each["source"]} == {"dev"}
    assert ("warning", "the dev set selects and grows too: its score is not one of unseen data") in events
    assert "no score on it is one of unseen data" in answer(result.to_json())


@pytest.mark.parametrize(("rows", "warned"), [(99, True), (100, False)])
def test_a_small_expansion_set_is_told(grown, tmp_path, rows, warned):
    valid = tiny.classes(tmp_path / "valid.csv", rows, seed=9)
    events = []
    grown(session=saying(events), valid=valid, agora={"iterations": 1})
    message = f"the expansion set has {rows} examples: what it selects is mostly chance; more rows: --valid FILE"
    assert (("warning", message) in events) == warned


@pytest.mark.parametrize(("bad", "warned"), [(40, False), (39, True), (0, True)])
def test_an_expansion_set_that_is_not_balanced_is_told(school, tmp_path, bad, warned):
    """60 of one label: balanced is up to one and a half times as many."""
    settings = tiny_agora.settings(school("classes"), tmp_path / "out", agora={"force": True})
    (config,) = configured("finetune", settings).args
    data, events = seen(settings), []
    labels = data.validation.labels
    rows = np.concatenate([np.resize(np.flatnonzero(labels == 1), 60), np.resize(np.flatnonzero(labels == 0), bad)])
    data = replace(data, validation=data.validation.take(rows))
    job = Job(data=data, model=ModelFolder.of(config.model), teacher=ModelFolder.of(config.teacher))
    admit(config, saying(events), job)
    message = f"the expansion set is not balanced ({bad} bad, 60 good), but the paper's analysis presumes that it is"
    told = [detail for name, detail in events if name == "warning" and detail == message]
    assert len(told) == warned


def test_numbers_and_choices_have_no_balance(whole):
    for kind in ("scores", "copa"):
        assert not any("balanced" in str(detail) for _, detail in whole(kind)[3])


def test_as_published(grown, school, tmp_path):
    settings = tiny_agora.settings(school("classes"), tmp_path / "out", preset="agora-published")
    settings["agora"] = {**settings["agora"], "sets": "learning_rate=2e-3,1e-3 seed=0,1", "force": True}
    events = []
    result = run_stage("finetune", settings, session=saying(events))
    assert result.config["agora"]["pruning"] == "lcs" and result.config["agora"]["replays"] == 2
    data = seen(settings)
    assert len(set(np.bincount(data.train.labels))) == 1  # D is balanced
    for each in tiny_agora.points(tmp_path / "out").values():
        assert len(set(np.bincount(each["label"], minlength=2))) == 1
        per_source = {pair: 0 for pair in zip(each["source"], each["transformation"], strict=True)}
        assert len(per_source) == len(each["text"])  # one a mistake and transformation
    assert not [name for name, _ in events if name == "asking Socrates"]  # his answers are labels
    assert all(len(row["pruned"]) >= 1 for row in result.metrics["iterations"])


def test_the_published_preset_has_the_papers_training(school, tmp_path):
    given = {**school("classes"), "out": tmp_path, "preset": "agora-published"}
    (config,) = configured("finetune", given).args
    assert config.loop.batch_size == 8 and config.agora.uniform_head and config.agora.balance == "discard"
    (config,) = configured("finetune", {**given, "loop": {"batch_size": 16}}).args
    assert config.loop.batch_size == 16
    (config,) = configured("compress", {"teacher": "t", "train": "f", "out": tmp_path, "preset": given["preset"]}).args
    assert config.distil.batch_size == 8 and config.agora.uniform_head


def test_the_published_preset_draws_the_head_evenly(school, tmp_path, monkeypatch):
    """U(-0.5, 0.5) for a student without a head; what the user says of the head comes first."""
    drawn, draw = [], training.draw_head
    monkeypatch.setattr(training, "draw_head", lambda *given: (drawn.append(given[2:]), draw(*given)))
    for number, (head, expected) in enumerate(
        [({}, ("uniform", 0.5)), ({"head_init": "gaussian", "head_scale": 0.1}, ("gaussian", 0.1))]
    ):
        out = tmp_path / str(number)
        agora = {"iterations": 1, "sets": "seed=0", "force": True}
        run_stage(
            "finetune",
            tiny_agora.settings(school("classes"), out, preset="agora-published", agora=agora, **head),
        )
        assert drawn.pop() == expected and not drawn
    # A head that the student brings stays, and nobody is refused for it.
    brought = {**school("classes"), "model": school("classes")["teacher"]}
    run_stage("finetune", tiny_agora.settings(brought, tmp_path / "2", preset="agora-published", agora=agora))
    assert not drawn


def test_one_set_is_the_papers_chs_mode(grown):
    result, _, _ = grown(agora={"sets": "seed=3", "iterations": 2})
    assert [row["remaining"] for row in result.metrics["iterations"]] == [[{"seed": 3}]] * 2
    assert result.metrics["trainings"] == 2


def test_mining_and_refilling(grown, tmp_path):
    texts = tiny.sentences(60, seed=5)[0]
    unlabelled = tiny.write_csv(tmp_path / "more.csv", ("text",), [(text,) for text in texts])
    agora = {"unlabelled": unlabelled, "masked_lm": str(tiny_agora.masked_lm(tmp_path))}
    _, out, _ = grown(agora={**agora, "transformations": ("mining", "refill"), "growth": 0.2})
    (found,) = tiny_agora.points(out).values()
    mined = [text for text, kind in zip(found["text"], found["transformation"], strict=True) if kind == "mining"]
    assert mined and set(mined) <= set(texts) and len(set(mined)) == len(mined)
    assert set(found["transformation"]) <= {"mining", "refill"}


def test_by_default_all_that_suits_is_tried(grown):
    _, out, _ = grown(agora={"transformations": ()})
    (found,) = tiny_agora.points(out).values()
    kinds = set(found["transformation"])
    assert {"swap", "drop", "repeat", "typing"} <= kinds
    assert not kinds & {"refill", "casing", "segments", "mining"}  # no such head, an uncased tokenizer, single texts


@pytest.mark.parametrize("changes", [{"sources": "random"}, {"first_growth": 0.25, "iterations": 1}])
def test_points_around_training_examples(grown, changes):
    result, out, data = grown(agora=changes)
    ((name, found),) = tiny_agora.points(out).items()
    assert {source.split(":")[0] for source in found["source"]} == {"train"}
    if "first_growth" in changes:
        assert name == "00-0.parquet" and len(found["text"]) == 0.25 * len(data.train)
        assert [row["added"] for row in result.metrics["iterations"]] == [0]
    else:
        first = result.metrics["iterations"][0]
        assert len(set(found["source"])) <= first["mistakes"] and name == "01-0.parquet"


def test_what_compares_iterations_is_apart_from_what_grows(grown):
    result, out, data = grown(agora={"reserved": 0.5})
    growing, reserved = divided(configured("finetune", as_read(result)).args[0], data.task, data.validation, None)
    assert len(growing) == len(reserved) == len(data.validation) / 2
    parts = [set(part.columns["id"]) for part in (growing, reserved)]
    assert parts[0] | parts[1] == set(data.validation.columns["id"])
    (found,) = tiny_agora.points(out).values()
    assert set(found["source"]) <= parts[0]
    assert result.metrics["iterations"][0]["mistakes"] <= len(growing)
    best, accuracies = ModelFolder.of(out), []
    for part in (reserved, data.validation):
        encoded = best.encode(part, 24)
        outputs = predict(best.model_for(data.task), encoded.encoded, encoded.pad_token_id)
        accuracies.append(float((outputs.argmax(1) == part.labels).mean()))
    assert result.metrics["score"] == pytest.approx(accuracies[0])
    trainings = [json.loads(path.read_text()) for path in (out / "trainings").glob("*/training.json")]
    kept = [each for each in trainings if each["best_step"] == result.metrics["best_step"]]
    assert (accuracies[0], accuracies[1]) in [
        (pytest.approx(each["held_out"]), pytest.approx(each["score"])) for each in kept
    ]


@pytest.mark.parametrize(("reserved", "rounds", "rows"), [(0.0, None, 20), (0.5, 1, 20), (0.4, None, 20)])
def test_all_of_it_does_both(school, tmp_path, reserved, rounds, rows):
    settings = tiny_agora.settings(school("classes"), tmp_path, agora={"reserved": reserved})
    expansion = seen(settings).validation.take(np.arange(rows))
    (config,) = configured("finetune", settings).args
    parts = divided(config, seen(settings).task, expansion, rounds)
    assert parts[0] is expansion and parts[1] is expansion  # the last: eight rows say nothing


def test_half_around_mistakes_and_half_around_training_examples(grown):
    _, out, data = grown(agora={"sources": "mixed", "growth": 0.2})
    (found,) = tiny_agora.points(out).values()
    splits = [source.split(":")[0] for source in found["source"]]
    assert splits.count("train") == splits.count("validation") == 0.1 * len(data.train)
    assert len(set(found["text"])) == len(found["text"])


def test_one_point_a_source_and_transformation_around_both(grown):
    _, out, _ = grown(agora={"sources": "mixed", "growth": None})
    (found,) = tiny_agora.points(out).values()
    sources = list(zip(found["source"], found["transformation"], strict=True))
    assert len(set(sources)) == len(sources)
    assert {source.split(":")[0] for source in found["source"]} == {"train", "validation"}


@pytest.mark.parametrize("balance", ["discard", "fill"])
def test_balance(grown, balance):
    _, out, _ = grown(agora={"balance": balance})
    (found,) = tiny_agora.points(out).values()
    counts = np.bincount(found["label"], minlength=2)
    assert counts[0] == counts[1] > 0
    assert len(set(found["text"])) == len(found["text"])


def test_points_of_which_socrates_is_less_sure_are_left_out(whole, grown):
    result, out, _, _ = whole()
    (before,) = tiny_agora.points(out).values()
    least = float(np.median(before["confidence"]))
    stricter, out, _ = grown(agora={"confidence": least})
    (found,) = tiny_agora.points(out).values()
    assert min(found["confidence"]) >= least > min(before["confidence"])
    rows = [each.metrics["iterations"][0] for each in (result, stricter)]
    assert rows[0]["produced"] == rows[1]["produced"] and rows[0]["added"] > rows[1]["added"] > 0


def test_no_mistakes_left_is_a_success(grown, school):
    taught = {"model": school("copa")["teacher"], "loop": {**tiny_agora.LOOP, "learning_rate": 1e-9}}
    events = []
    result, _, _ = grown("copa", session=saying(events), **taught, agora={"sets": "seed=0,1"})
    (only,) = result.metrics["iterations"]
    assert (only["mistakes"], only["added"], result.metrics["score"]) == (0, 0, 1.0)
    assert len(only["remaining"]) == 1  # it ends before all sets are gone
    lines = answer(result.to_json()).splitlines()
    assert "no mistakes left on the expansion set: it has nothing more to teach" in lines
    assert any(detail.endswith("no mistakes left on the expansion set, sets left: 1") for _, detail in events)


def test_where_all_diverge(grown, tmp_path):
    with pytest.raises(DivergedError, match="every training diverged\nhint: lower the learning rates of --sets"):
        grown(agora={"sets": "learning_rate=1e30,1e31"})
    assert not (tmp_path / "out/model.safetensors").exists()


class Clock:
    """Stands still until it is told that only `left` seconds remain."""

    def __init__(self):
        self.now = 0.0
        self.deadline = Deadline(at=1000.0, clock=lambda: self.now)

    def leave(self, left):
        self.now = 1000.0 - left


@pytest.mark.parametrize("left", [0.0, 1e-6])
def test_when_the_time_is_up_the_best_so_far_is_the_result(grown, left):
    clock = Clock()

    def on_event(event):
        if event.get("name") == "iteration done":
            clock.leave(left)

    result, out, _ = grown(session=Session(deadline=clock.deadline, on_event=on_event))
    assert len(result.metrics["iterations"]) == 1 and result.metrics["trainings"] == 2
    assert (out / "model.safetensors").exists()


class Stopwatch(InProcessExecutor):
    """Keeps how long each training may take."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def map(self, function, items):
        return super().map(function, map(self._noted, items))

    def _noted(self, item):
        self.seconds.append(item.seconds)
        return item


@pytest.mark.parametrize("last", [0.2, 0.75])
def test_the_last_iteration_gets_its_share_of_a_budget(grown, last):
    stopwatch = Stopwatch()
    grown(session=Session(deadline=Clock().deadline, executor=stopwatch), agora={"last": last})
    share = stopwatch.seconds[0] / stopwatch.seconds[2]
    assert len(stopwatch.seconds) == 3 and share == pytest.approx((1 - last) / 2, rel=0.01)


def test_no_time_for_a_first_training(grown):
    clock = Clock()
    clock.leave(1e-6)
    with pytest.raises(BudgetError, match="spent before the first training"):
        grown(session=Session(deadline=clock.deadline))


class Traveller(InProcessExecutor):
    """What runs has travelled as it would to another machine."""

    def map(self, function, items):
        return super().map(cloudpickle.loads(cloudpickle.dumps(function)), map(_travelled, items))


def _travelled(item):
    return cloudpickle.loads(cloudpickle.dumps(item))


def test_trainings_may_run_elsewhere(whole, grown):
    _, there, _ = grown(session=Session(executor=Traveller()))
    assert tiny_agora.same_outcome(whole()[1], there)


def test_compress_grows_the_data_of_the_student(school, tmp_path, record):
    given = school("classes")
    agora = {"sets": "learning_rate=3e-3,1e-3", "transformations": tiny_agora.EDITS, "growth": 0.2, "force": True}
    settings = {**tiny.FAST, "teacher": given["teacher"], "train": given["train"], "out": tmp_path / "out"}
    settings |= {"preset": "agora", "agora": agora, "distil": {**tiny.FAST["distil"], "max_steps": 10}}
    result = run_stage("compress", settings, session=Session(record=record))
    student = json.loads((tmp_path / "out/student/result.json").read_text())
    assert [len(row["scores"]) for row in student["metrics"]["iterations"]] == [2, 1]
    assert student["config"]["distillation"]["layers"] and student["metrics"]["points"] > 0
    assert result.metrics["student"]["parameters"] < result.metrics["teacher"]["parameters"]
    weights = (tmp_path / "out/student/model.safetensors").stat().st_size
    assert result.metrics["student"]["model_bytes"] == weights  # that of one model, not of all that were trained
    assert (tmp_path / "out/report.html").exists()


def test_the_preset_alone_is_enough_for_compress(tmp_path):
    for preset, pruning in (("agora", "halving"), ("agora-published", "lcs")):
        given = {"teacher": "t", "train": "rows.csv", "out": tmp_path, "preset": preset}
        (config,) = configured("compress", given).args
        assert config.agora.pruning == pruning


def test_of_a_teacher_that_is_not_fine_tuned_the_head_refills(tmp_path):
    given = {"teacher": str(tiny_agora.masked_lm(tmp_path)), "train": "rows.csv", "out": tmp_path, "agora": {}}
    (config,) = configured("compress", given).args
    teacher = ModelFolder.of(given["teacher"])
    assert refilling(config, teacher).masked_lm == given["teacher"]
    assert refilling(config, ModelFolder.of(tmp_path / "encoder")).masked_lm is None
    named = replace(config, agora=replace(config.agora, masked_lm="another"))
    assert refilling(named, teacher).masked_lm == "another"
    assert refilling(replace(config, agora=None), teacher) is None


@pytest.mark.parametrize("warm", [True, False])
def test_a_warm_start_goes_on_from_the_best_model_so_far(grown, monkeypatch, warm):
    starts, train = [], timaeus.train_on_task

    def noting(config, session, given, *rest):
        starts.append(given.model.path.name)
        return train(config, session, given, *rest)

    monkeypatch.setattr(timaeus, "train_on_task", noting)
    result, folder, _ = grown(agora={"warm_start": warm})
    student, best = starts[0], result.metrics["iterations"][0]["best"]
    places = [path.parent for path in folder.glob("trainings/01-*/training.json")]
    (chosen,) = [place.name for place in places if json.loads((place / "training.json").read_text())["theta"] == best]
    assert starts == [student, student, chosen if warm else student]


def test_a_head_is_drawn_once_and_not_again_at_a_warm_start(grown, monkeypatch):
    drawn, draw = [], training.draw_head
    monkeypatch.setattr(training, "draw_head", lambda *given: (drawn.append(given[1]), draw(*given)))
    result, _, _ = grown(head="linear", head_init="gaussian")
    assert result.metrics["trainings"] == 3 and len(drawn) == 2
