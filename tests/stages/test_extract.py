"""extract on a corpus and its options; on tasks it is also tested by test_stages and test_compress."""

import csv
import json
import math
import re

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from scipy import stats
from transformers import AutoModelForMaskedLM

from stages import tiny, tiny_shards
from subarch.api import configured, run_stage
from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.errors import ConfigError, DataError, DivergedError, InterruptedRun, ModelError
from subarch.inputs.data import DataConfig
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.extraction import corpus_candidates, timing
from subarch.stages.extraction.corpus_candidates import _mean_of_blocks
from subarch.stages.extraction.settings import ExtractConfig, Theta, parse_count
from subarch.storage import read_json, write_json
from subarch.tracking.record import Record
from subarch.training.schedules import rate

SPACE = "num_hidden_layers=1,2,3 num_attention_heads=2,4 hidden_size=16,32 intermediate_size=32,64"
"""24 architectures, of which 12 have the teacher's head width of 8."""
SMALL = {"steps": 2, "latency": "nominal", "loop": {"batch_size": 4}, "error_blocks": 6}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_shards.write(tmp_path_factory.mktemp("corpus") / "shards")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny_shards.masked_lm(tmp_path_factory.mktemp("masked") / "teacher", seed=7)


@pytest.fixture(scope="module")
def search(corpus, teacher, tmp_path_factory):
    """Search with these settings: (result, folder)."""

    def run(session=None, **settings):
        out = tmp_path_factory.mktemp("search") / "out"
        given = {**SMALL, "teacher": str(teacher), "corpus": corpus, "out": out, **settings}
        return run_stage("extract", given, **({} if session is None else {"session": session})), out

    return run


def of_preset(search, **settings):
    return search(preset="bort", space={"sizes": SPACE}, timing={"sequence_lengths": [12]}, **settings)


@pytest.fixture(scope="module")
def faithful(search):
    return of_preset(search)


def test_the_preset_is_the_papers_search(tmp_path):
    settings = {"teacher": "t", "corpus": "c", "out": tmp_path, "preset": "bort"}
    (config,) = configured("extract", settings).args
    assert (config.start, config.steps, config.epsilon, config.error) == ("random", 3, 1, "cross-entropy")
    assert (config.loop.optimizer, config.loop.clip_norm, config.loops) == ("sgd", 1.0, (config.loop,))
    loop = config.loop
    assert [rate(loop.schedule, step / config.steps, loop.warmup) for step in range(config.steps)] == [1, 1, 1]
    assert loop.weight_decay == 0
    (changed,) = configured("extract", settings | {"steps": 9, "loop": {"clip_norm": 0.5}}).args
    assert (changed.steps, changed.loop.clip_norm, changed.loop.optimizer) == (9, 0.5, "sgd")
    with pytest.raises(ConfigError, match="unknown preset 'brot'") as caught:
        configured("extract", settings | {"preset": "brot"})
    assert "did you mean bort" in caught.value.hint


def test_every_candidate_of_the_space_is_trained_and_the_largest_w_wins(faithful):
    result, _ = faithful
    metrics = result.metrics
    rows, top = metrics["candidates"], metrics["maximum_point"]
    assert len(rows) == metrics["space"] == 24 and metrics["epsilon"] == 1 and not metrics["failed"]
    sizes = [row["parameters"] for row in rows]
    assert sizes == sorted(sizes)
    for row in rows:
        assert row["parameters"] == parameters(Architecture.from_json(row["architecture"])).total
        low, high = row["error_interval"]
        assert low < row["error"] < high
        smaller = 1 - row["parameters"] / top["parameters"]
        faster = 1 - row["latency_ms"] / top["latency_ms"]
        expected = smaller * faster / row["error"] if min(smaller, faster) > 0 else min(smaller, faster)
        assert row["w"] == pytest.approx(expected)
        assert row["w_interval"][0] <= row["w"] <= row["w_interval"][1]
    assert metrics["chosen"] == max(range(24), key=lambda index: rows[index]["w"])
    # the teacher itself is in this space, and gains nothing
    assert min(row["w"] for row in rows) == 0.0


def test_what_is_tied_follows_from_the_errors_of_each_block(faithful):
    result, out = faithful
    rows, chosen = result.metrics["candidates"], result.metrics["chosen"]
    files = [read_json(file) for file in sorted((out / "candidates").iterdir())]
    errors = np.asarray([[float(word) for word in file["errors"].split()] for file in files])
    assert errors.shape == (24, SMALL["error_blocks"]) and len({file["units"] for file in files}) == 1
    assert errors.mean(1) == pytest.approx([row["error"] for row in rows], rel=1e-6)
    gains = np.asarray([row["w"] * row["error"] for row in rows])[:, None]
    told = gains[chosen] * errors - gains * errors[chosen]
    p = stats.ttest_1samp(np.delete(told, chosen, axis=0), 0, axis=1).pvalue
    tied = np.insert(p > 0.05, chosen, False) & np.asarray([row["w"] > 0 for row in rows])
    assert set(result.metrics["tied"]) == set(np.flatnonzero(tied))


def test_the_files_say_what_the_metrics_say(faithful, teacher):
    result, out = faithful
    chosen = result.metrics["candidates"][result.metrics["chosen"]]
    assert json.loads((out / "architecture.json").read_text()) == chosen["architecture"]
    student = AutoModelForMaskedLM.from_pretrained(out / "student")
    assert student.config.num_hidden_layers == chosen["architecture"]["num_hidden_layers"]
    assert student.config.vocab_size == len(tiny.wordpiece())
    with (out / "candidates.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["w"]) for row in table] == [row["w"] for row in result.metrics["candidates"]]
    assert [index for index, row in enumerate(table) if row["chosen"] == "1"] == [result.metrics["chosen"]]
    page = (out / "candidates.html").read_text()
    assert "Cross-entropy to the teacher at masked tokens" in page and 'class="plot"' in page


def test_the_same_seed_gives_the_same_search(faithful, search):
    again, _ = of_preset(search)
    assert again.metrics == faithful[0].metrics
    other, _ = of_preset(search, seed=1)
    assert other.metrics["candidates"] != again.metrics["candidates"]


def test_epsilon_takes_every_such_candidate(faithful, search):
    result, _ = of_preset(search, epsilon=5)
    errors = [row["error"] for row in faithful[0].metrics["candidates"]]
    assert [row["error"] for row in result.metrics["candidates"]] == errors[::5]


def test_training_brings_a_candidate_nearer_to_its_teacher(search):
    loop = {"batch_size": 8, "learning_rate": 3e-3}
    settings = {"start": "random", "space": {"sizes": "num_hidden_layers=1 hidden_size=32"}, "error": "kl"}
    few, many = (search(**settings, steps=n, loop=loop)[0].metrics["candidates"][0]["error"] for n in (1, 100))
    assert 0 < many < few / 2


def test_sgd_with_clipping_moves_weights_no_further_than_it_may(search):
    """With a rate of 1e-9 nothing moves: the error is that of the start."""
    settings = {"start": "random", "space": {"sizes": "num_hidden_layers=1 hidden_size=32"}}
    still = {"optimizer": "sgd", "batch_size": 4, "learning_rate": 1e-9, "clip_norm": 1.0}
    moved = still | {"learning_rate": 5.0}
    errors = [search(**settings, loop=loop)[0].metrics["candidates"][0]["error"] for loop in (still, moved)]
    assert errors[0] != pytest.approx(errors[1], rel=1e-6)
    assert errors[0] == pytest.approx(search(**settings, loop=still, steps=9)[0].metrics["candidates"][0]["error"])


def test_inherited_candidates_start_near_their_teacher(search):
    space = {"sizes": "num_hidden_layers=2,3 hidden_size=16,32 intermediate_size=32,64"}
    inherited, _ = search(space=space, error="kl", epsilon=1)
    random, _ = search(space=space, error="kl", epsilon=1, start="random")
    largest = [rows.metrics["candidates"][-1]["error"] for rows in (inherited, random)]
    # the last one is the teacher itself
    assert largest[0] < largest[1] / 10
    layers = inherited.metrics["candidates"][inherited.metrics["chosen"]]["architecture"]["num_hidden_layers"]
    assert len(inherited.metrics["imitated_layers"]) == layers and inherited.metrics["imitated_layers"][-1] == 3
    assert "imitated_layers" not in random.metrics


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert", "electra"])
def test_other_families(family, tmp_path):
    corpus = tiny_shards.write(tmp_path / "shards", family=family)
    options = {"embedding_size": 24} if family == "electra" else {}
    if family == "distilbert":
        options = {"n_layers": 3, "n_heads": 4, "dim": 32, "hidden_dim": 64}
    teacher = tiny_shards.masked_lm(tmp_path / "teacher", family, **options)
    settings = {**SMALL, "teacher": str(teacher), "corpus": corpus, "space": {"sizes": "num_hidden_layers=1,2"}}
    result = run_stage("extract", {**settings, "out": tmp_path / "out", "epsilon": 1})
    assert len(result.metrics["candidates"]) == 2
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "out/student").config.model_type == family


def test_each_theta_is_tried_and_the_winner_is_named(search):
    thetas = [{"learning_rate": 1e-9}, {"learning_rate": 3e-3}]
    space = {"sizes": "num_hidden_layers=1,2 hidden_size=32"}
    result, out = search(start="random", space=space, thetas=thetas, epsilon=1, steps=20, error="kl")
    rows = result.metrics["candidates"]
    assert [row["hyperparameters"] for row in rows] == [0, 0, 1, 1]
    assert rows[result.metrics["chosen"]]["hyperparameters"] == 1
    assert [theta["learning_rate"] for theta in result.metrics["hyperparameters"]] == [1e-9, 3e-3]
    assert {file.name for file in (out / "candidates").iterdir()} == {
        "000.json",
        "001.json",
        "000-theta1.json",
        "001-theta1.json",
    }


def test_theta_is_laid_over_the_loop():
    config = ExtractConfig(teacher="t", out="o", corpus="c", thetas=(Theta(), Theta(learning_rate=1.0, clip_norm=2.0)))
    first, second = config.loops
    assert first == config.loop
    assert (second.learning_rate, second.clip_norm, second.batch_size) == (1.0, 2.0, config.loop.batch_size)


def test_halving_gives_more_steps_to_the_better_ones(search):
    result, out = search(space={"sizes": SPACE}, epsilon=1, steps=9, halving=3)
    metrics = result.metrics
    assert metrics["rungs"] == [
        {"steps": 1, "measured": 12},
        {"steps": 3, "measured": 4},
        {"steps": 9, "measured": 1},
    ]
    rows = metrics["candidates"]
    assert [row["steps"] for row in rows] == [9] + [3] * 3 + [1] * 8 and metrics["chosen"] == 0
    assert len(list((out / "candidates").glob("*-steps1.json"))) == 12
    first = {json.dumps(row["architecture"]): row["w"] for row in rows if row["steps"] == 1}
    assert len({json.dumps(row["architecture"]) for row in rows}) == 12 and len(first) == 8


def test_a_killed_search_goes_on_and_repeats_nothing(corpus, teacher, tmp_path, faithful):
    from subarch.stages.extraction.corpus_candidates import CorpusWorkshop

    record = Record.open(f"sqlite:///{tmp_path / 'record.db'}")
    settings = {**SMALL, "preset": "bort", "space": {"sizes": SPACE}, "timing": {"sequence_lengths": [12]}}
    settings |= {"teacher": str(teacher), "corpus": corpus, "out": tmp_path / "out", "epsilon": 5}
    trained, whole = [], CorpusWorkshop.error_of

    def counted(self, attempt):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(attempt)
        return whole(self, attempt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CorpusWorkshop, "error_of", counted)
        with pytest.raises(KeyboardInterrupt):
            run_stage("extract", settings, session=Session(record=record))
    assert len(list((tmp_path / "out/candidates").iterdir())) == 2
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out/candidates").iterdir()}
    more = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CorpusWorkshop, "error_of", lambda self, attempt: more.append(attempt) or whole(self, attempt))
        result = run_stage("extract", settings, session=Session(record=record))
    assert len(more) == 3 and not set(more) & set(trained)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    expected = [row["error"] for row in faithful[0].metrics["candidates"]][::5]
    assert [row["error"] for row in result.metrics["candidates"]] == expected
    children = record.runs(parent=result.run_id)
    assert sorted(child["name"] for child in children) == [f"candidate {index}" for index in range(5)]
    assert {child["status"] for child in children} == {"FINISHED"}
    assert all({"parameters", "latency_ms", "error", "w"} <= child["metrics"].keys() for child in children)


def test_without_time_candidates_are_judged_by_what_they_inherit(search):
    events = []
    session = Session(deadline=Deadline.after(0.0), on_event=events.append)
    result, out = search(session, space={"sizes": SPACE})
    assert result.metrics["steps"] == 0 and len(result.metrics["candidates"]) == 6
    assert len({row["error"] for row in result.metrics["candidates"]}) > 3  # measured, not made up
    assert (out / "student" / "model.safetensors").exists()
    said = [event["detail"] for event in events if event.get("name") == "searching"]
    assert said == ["no time to train candidates: they are judged by the weights that they inherit"]


def test_without_time_the_smallest_of_random_candidates_is_taken_and_said(search):
    events = []
    session = Session(deadline=Deadline.after(0.0), on_event=events.append)
    result, out = search(session, space={"sizes": SPACE}, start="random")
    (only,) = result.metrics["candidates"]
    whole, _ = search(space={"sizes": SPACE}, epsilon=1, start="random")
    assert only["parameters"] == min(row["parameters"] for row in whole.metrics["candidates"])
    assert (out / "student" / "model.safetensors").exists()
    said = [event["detail"] for event in events if event.get("name") == "warning"]
    assert said == ["no time was left for the search, so the smallest student is taken: give a longer --budget"]


def test_a_stop_after_a_candidate_is_said(search):
    with pytest.raises(InterruptedRun, match="interrupted"):
        search(Session(stop_requested=lambda: True), space={"sizes": SPACE})


def test_a_candidate_that_diverged_is_left_out_and_named(search, tmp_path, monkeypatch):
    from subarch.stages.extraction.corpus_candidates import CorpusWorkshop

    whole = CorpusWorkshop.error_of

    def diverging(self, attempt):
        if attempt.candidate.num_hidden_layers == 2:
            raise DivergedError("the loss became nan at step 1")
        return whole(self, attempt)

    monkeypatch.setattr(CorpusWorkshop, "error_of", diverging)
    record = Record.open(f"sqlite:///{tmp_path / 'record.db'}")
    space = {"sizes": "num_hidden_layers=1,2,3 hidden_size=16"}
    result, _ = search(Session(record=record), space=space, epsilon=1)
    assert [row["architecture"]["num_hidden_layers"] for row in result.metrics["candidates"]] == [1, 3]
    (failed,) = result.metrics["failed"]
    assert failed["architecture"]["num_hidden_layers"] == 2 and "nan" in failed["reason"]
    statuses = {child["name"]: child["status"] for child in record.runs(parent=result.run_id)}
    assert statuses == {"candidate 0": "FINISHED", "candidate 1": "FAILED", "candidate 2": "FINISHED"}


def test_constraints_leave_candidates_out(search, faithful):
    rows = faithful[0].metrics["candidates"]
    middle = rows[12]["parameters"]
    result, _ = of_preset(search, max_parameters=middle)
    assert [row["parameters"] for row in result.metrics["candidates"]] == [
        row["parameters"] for row in rows if row["parameters"] <= middle
    ]
    limit = float(np.median([row["latency_ms"] for row in rows]))
    result, _ = of_preset(search, max_latency_ms=limit)
    kept = [row["latency_ms"] for row in rows if row["latency_ms"] <= limit]
    assert [row["latency_ms"] for row in result.metrics["candidates"]] == kept and len(kept) < 24


def test_candidates_that_gain_nothing_over_their_teacher_are_counted(search):
    events = []
    listening = Session(on_event=events.append)
    # The teacher has 3 layers, 32 wide, feed-forward 64: of the other three one is larger and slower.
    search(
        listening,
        space={"sizes": "num_hidden_layers=2,3 hidden_size=32 intermediate_size=64,128"},
        epsilon=1,
        start="random",
    )
    (said,) = [event["detail"] for event in events if event.get("name") == "warning"]
    assert re.match(r"1 of 3 candidates are no smaller or no faster than the teacher \(", said)
    assert said.endswith("W ranks them below the rest")
    events.clear()
    search(listening, space={"sizes": "num_hidden_layers=2,3 hidden_size=32"}, epsilon=1)
    assert not [event for event in events if event.get("name") == "warning"]


def test_latencies_are_measured_with_their_spread(search):
    timing = {"sequence_lengths": [4, 16], "batch_size": 2, "repeats": 3, "warmup": 1}
    result, _ = search(space={"sizes": SPACE}, epsilon=4, latency="measured", timing=timing)
    for row in (result.metrics["maximum_point"], *result.metrics["candidates"]):
        assert 0 < row.get("latency_ms_low", row.get("low_ms")) <= row["latency_ms"]


def test_groups_of_models_are_joined_by_their_teacher(search, monkeypatch):
    monkeypatch.setattr(timing, "HELD_PARAMETERS", 30_000)
    given = {"sequence_lengths": [4], "repeats": 3, "warmup": 0}
    result, _ = search(space={"sizes": SPACE}, epsilon=1, latency="measured", timing=given, steps=1)
    assert len(result.metrics["candidates"]) == 12
    assert all(row["latency_ms"] > 0 for row in result.metrics["candidates"])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"space": {"sizes": "num_attention_heads=5 hidden_size=16,32"}},
            ConfigError,
            "space is empty: no hidden_size",
        ),
        ({"space": {"sizes": "hidden_size=17"}, "start": "random"}, ConfigError, "space is empty"),
        ({"space": {"sizes": "num_hidden_layers=4"}}, ConfigError, "none of the 1 architectures .* can inherit"),
        ({"space": {"sizes": "layers=4"}}, ConfigError, "unknown size 'layers'"),
        ({"space": {"sizes": SPACE}, "epsilon": 13}, ConfigError, r"epsilon is 13, expected 1 to .*\(12\)"),
        ({"space": {"sizes": SPACE}, "epsilon": 0}, ConfigError, "epsilon is 0"),
        ({"space": {"sizes": SPACE}, "max_parameters": "1k"}, ConfigError, "smallest candidate has"),
        ({"max_parameters": "many"}, ConfigError, "the count is 'many'"),
        ({"space": {"sizes": SPACE}, "max_latency_ms": 1e-9}, ConfigError, "no candidate takes at most 1e-09 ms"),
        ({"halving": 1}, ConfigError, "halving is 1"),
        (
            {"timing": {"sequence_lengths": [999]}},
            ConfigError,
            "inputs of 999 tokens, but the teacher reads at most 48",
        ),
        ({"timing": {"batch_size": 0}}, ConfigError, "timing.batch_size is 0"),
        ({"corpus": "nowhere"}, DataError, "no shards.json in nowhere"),
        ({"task": "sst2"}, ConfigError, "both a task and --corpus"),
        ({"corpus": None}, ConfigError, "none of --task, --train and --corpus"),
    ],
)
def test_what_cannot_be_is_refused(changes, error, message, corpus, teacher, tmp_path):
    out = tmp_path / "out"
    given = {**SMALL, "teacher": str(teacher), "corpus": corpus, "out": out} | changes
    with pytest.raises(error, match=message) as caught:
        run_stage("extract", {key: value for key, value in given.items() if value is not None})
    assert caught.value.exit_code == 2 and "\n" not in caught.value.message
    assert not out.exists() or "max_latency_ms" in changes


def test_teachers_that_do_not_fit_the_corpus(corpus, tmp_path, teachers):
    settings = {**SMALL, "corpus": corpus, "out": tmp_path / "out"}
    with pytest.raises(ModelError, match="no masked-language-model head") as caught:
        run_stage("extract", settings | {"teacher": str(teachers())})
    assert "subarch pretrain --objective mlm --model" in caught.value.hint
    other = tiny_shards.masked_lm(tmp_path / "other", "roberta")
    with pytest.raises(DataError, match="made with another tokenizer"):
        run_stage("extract", settings | {"teacher": str(other)})
    diverged = tiny_shards.masked_lm(tmp_path / "diverged")
    weights = load_file(diverged / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"][0] = math.nan
    save_file(weights, diverged / "model.safetensors", {"format": "pt"})
    for stage, asked in (("extract", settings), ("pretrain", {"data": corpus, "out": tmp_path / "out"})):
        with pytest.raises(ModelError, match=r"layer\.0\.output\.dense\.bias in .* NaN"):
            run_stage(stage, asked | {"teacher" if stage == "extract" else "model": str(diverged)})
    assert not (tmp_path / "out").exists()


def test_counts():
    assert [parse_count(text) for text in ("20M", "1.5k", "7", "2 G", 7, None)] == [
        20_000_000,
        1500,
        7,
        2_000_000_000,
        7,
        None,
    ]


def test_the_teacher_reads_each_batch_once(search, monkeypatch):
    read, whole = [], corpus_candidates.encode
    monkeypatch.setattr(corpus_candidates, "encode", lambda model, inputs: read.append(model) or whole(model, inputs))
    settings = {"start": "random", "epsilon": 1, "steps": 3}
    result, _ = search(**settings, space={"sizes": "num_hidden_layers=1,2 hidden_size=16,32"})
    # three training batches and one held-out batch by the teacher; the held-out batch by each of four candidates
    assert len(read) == 3 + 1 + 4
    monkeypatch.setattr(corpus_candidates, "REMEMBERED_BYTES", 0)
    read.clear()
    again, _ = search(**settings, space={"sizes": "num_hidden_layers=1,2 hidden_size=16,32"})
    assert len(read) == 4 * 3 + 1 + 4
    assert again.metrics["candidates"] == result.metrics["candidates"]


def test_the_interval_is_over_blocks():
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(9), 5)
    of_block = rng.random(9)
    mean, (low, high), _ = _mean_of_blocks(of_block[blocks], blocks)
    # all positions of a block agree: what remains are nine observations
    expected = stats.t.interval(0.95, 8, of_block.mean(), stats.sem(of_block))
    assert mean == pytest.approx(of_block.mean()) and (low, high) == pytest.approx(expected)
    assert _mean_of_blocks(np.asarray([1.0, 2.0]), np.asarray([3, 3]))[:2] == (1.5, (0.0, math.inf))
    # Blocks of different lengths: what each adds has the same mean.
    mean, _, shares = _mean_of_blocks(np.asarray([1.0, 2.0, 6.0]), np.asarray([1, 1, 4]))
    assert mean == 3 and shares == pytest.approx([2, 4])


def test_one_block_leaves_the_upper_end_open(search):
    result, out = search(space={"sizes": SPACE}, epsilon=4, error_blocks=1)
    rows = result.metrics["candidates"]
    assert [row["error_interval"] for row in rows] == [[0.0, None]] * len(rows)
    assert len(result.metrics["tied"]) == sum(row["w"] > 0 for row in rows) - 1 > 0
    assert result.metrics == read_json(out / "result.json")["metrics"]
    with (out / "candidates.csv").open() as file:
        assert [(row["error_low"], row["error_high"]) for row in csv.DictReader(file)] == [("0.0", "")] * len(rows)


def test_a_search_that_an_older_version_began_is_read_on(corpus, teacher, tmp_path):
    """Its files lack the errors of each block, so ties are told by overlapping intervals."""
    settings = {**SMALL, "teacher": str(teacher), "corpus": corpus, "out": tmp_path / "out", "epsilon": 4}
    settings |= {"space": {"sizes": SPACE}}
    whole = run_stage("extract", settings)
    for file in (tmp_path / "out/candidates").iterdir():
        error = read_json(file)["error"]
        write_json(file, {"error": error, "error_interval": [0.5 * error, 2 * error]})
    (tmp_path / "out/result.json").unlink()
    again = run_stage("extract", settings)
    rows = again.metrics["candidates"]
    assert [row["w"] for row in rows] == [row["w"] for row in whole.metrics["candidates"]]
    lowest = rows[again.metrics["chosen"]]["w_interval"][0]
    overlapping = {index for index, row in enumerate(rows) if row["w_interval"][1] >= lowest and row["w"] > 0}
    assert set(again.metrics["tied"]) == overlapping - {again.metrics["chosen"]} > set(whole.metrics["tied"])


def test_random_candidates_on_a_task(tmp_path, rows):
    teacher = tiny.teacher(tmp_path / "teacher", labels=("good", "bad"))
    space = {"sizes": "num_hidden_layers=1,4 num_attention_heads=2 hidden_size=48", "vocabulary": 1.0}
    settings = {**tiny.FAST["extract"], "space": space, "start": "random", "max_length": 24, "train": rows}
    settings["force"] = True  # its teacher is noise
    result = run_stage("extract", {**settings, "teacher": str(teacher), "out": tmp_path / "out"})
    assert [row["architecture"]["num_hidden_layers"] for row in result.metrics["candidates"]] == [1, 4]
    kept = read_json(tmp_path / "out/result.json")["metrics"]["data"]
    assert kept["lines"][0] == "text 'text', label 'label': classification, 2 classes"
    assert any(line.startswith(f"the teacher {teacher}") for line in kept["found"])
    assert DataConfig(train=rows).train == rows
