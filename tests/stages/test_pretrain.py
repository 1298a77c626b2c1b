import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from stages import tiny, tiny_shards
from starting import Started
from subarch.api import run_stage
from subarch.arch.pretrained import has_mlm_head, load_tokenizer
from subarch.errors import ConfigError, DataError, ModelError
from subarch.session.session import Session
from subarch.training.checkpoint import previous
from training.test_ranks import free_port

LOOP = {"batch_size": 8, "learning_rate": 3e-3, "evaluations": 3, "checkpoint_seconds": 1e-9, "precision": "fp32"}
FAST = {"loop": LOOP, "steps": 20, "validation_blocks": 8, "log_every": 5}
SMALL = "2,2,16,32"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards.write(tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny_shards.masked_lm(tmp_path_factory.mktemp("teacher") / "teacher")


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, shards, teacher, record):
    out, events = tmp_path_factory.mktemp("distilled") / "out", []
    settings = {**FAST, "data": str(shards), "architecture": SMALL, "teacher": str(teacher), "out": out}
    return run_stage("pretrain", settings, session=Session(record=record, on_event=events.append)), out, events


def test_the_metrics(distilled):
    metrics = distilled[0].metrics
    assert metrics["steps"] == 20 and metrics["tokens"] == 20 * 8 * 16 and metrics["held_out"] == "test"
    assert 0 <= metrics["mlm_accuracy"] <= 1 and 0 <= metrics["teacher_agreement"] <= 1
    assert metrics["mlm_loss"] > 0 and metrics["teacher_mlm_loss"] > 0
    assert metrics["tokens_per_second"] > 0 and 0 < metrics["flops_utilisation"] < 1


def test_the_folder_is_an_ordinary_model(distilled):
    out = distilled[1]
    program = (
        "import sys, torch\n"
        "from transformers import AutoModelForMaskedLM, AutoTokenizer\n"
        "model, info = AutoModelForMaskedLM.from_pretrained(sys.argv[1], output_loading_info=True)\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "assert not info['missing_keys'] and not info['unexpected_keys'], info\n"
        "logits = model(**tokenizer('the film was [MASK]', return_tensors='pt')).logits\n"
        "assert logits.shape[-1] == len(tokenizer) and torch.isfinite(logits).all()\n"
        "assert 'subarch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(out)], check=True, capture_output=True)
    assert has_mlm_head(out)
    config = json.loads((out / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (2, 16)
    assert not [file.name for file in out.iterdir() if "checkpoint" in file.name]


def test_the_record_has_the_curves(distilled, record):
    history = {name: record.history(distilled[0].run_id, name) for name in ("loss", "mlm_loss", "tokens_per_second")}
    assert [step for step, _ in history["loss"]] == [5, 10, 15, 20]
    assert len(history["mlm_loss"]) == 3 and len(history["tokens_per_second"]) == 4
    steps = [event for event in distilled[2] if event["event"] == "step"]
    assert len(steps) == 20 and all(event["stage"] == "pretrain" for event in steps)


def test_a_finished_run_is_not_done_again(distilled, shards, teacher, record):
    settings = {**FAST, "data": str(shards), "architecture": SMALL, "teacher": str(teacher), "out": distilled[1]}
    again = run_stage("pretrain", settings, session=Session(record=record))
    assert again.reused and again == distilled[0]


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_an_encoder_without_a_head_is_given_one(family, teachers, tmp_path):
    data, encoder = tiny_shards.write(tmp_path / "shards", family), teachers(family)
    assert not has_mlm_head(encoder)
    settings = {**FAST, "data": str(data), "out": tmp_path / "out"}
    with pytest.raises(ModelError, match="has no masked-language head") as caught:
        run_stage("pretrain", {**settings, "architecture": SMALL, "teacher": str(encoder)})
    assert f"subarch pretrain --objective mlm --model {encoder} --data {data}" in caught.value.hint
    assert not (tmp_path / "out").exists()
    result = run_stage("pretrain", {**settings, "model": str(encoder), "objective": "mlm"})
    assert has_mlm_head(tmp_path / "out") and "teacher_agreement" not in result.metrics
    taught = {**settings, "architecture": SMALL, "teacher": str(tmp_path / "out"), "out": tmp_path / "student"}
    assert "teacher_agreement" in run_stage("pretrain", taught).metrics


@pytest.mark.parametrize("loss", ["relations", "hidden"])
def test_relations_and_hidden_states_need_no_head_of_the_teacher(loss, shards, teachers, tmp_path):
    settings = {**FAST, "data": str(shards), "architecture": SMALL, "teacher": str(teachers()), "loss": loss}
    metrics = run_stage("pretrain", {**settings, "out": tmp_path / "out"}).metrics
    assert metrics["steps"] == 20 and "teacher_agreement" not in metrics
    assert "projection.weight" not in load_file(tmp_path / "out/model.safetensors")
    alone = {**settings, "imitation": {"alpha": 0.0}, "out": tmp_path / "alone"}
    assert run_stage("pretrain", alone).metrics["best_step"] == 0  # nothing to select by


def test_it_learns_from_the_text(shards, tmp_path):
    settings = {**FAST, "data": str(shards), "architecture": SMALL, "objective": "mlm", "steps": 150}
    trained = run_stage("pretrain", {**settings, "out": tmp_path / "out"}).metrics["mlm_loss"]
    untrained = run_stage("pretrain", {**settings, "steps": 1, "out": tmp_path / "fresh"}).metrics["mlm_loss"]
    assert trained < untrained - 0.3


def test_inherited_weights_start_where_the_teacher_is(shards, teacher, tmp_path):
    settings = {**FAST, "data": str(shards), "teacher": str(teacher), "steps": 1, "architecture": "3,4,32,64"}
    settings |= {"loop": {**LOOP, "learning_rate": 1e-7}, "seed": 3}
    fresh = run_stage("pretrain", {**settings, "out": tmp_path / "fresh"}).metrics
    inherited = run_stage("pretrain", {**settings, "inherit": True, "out": tmp_path / "inherited"}).metrics
    assert inherited["teacher_agreement"] == 1.0 > fresh["teacher_agreement"]


def test_architectures_come_from_extract_too(shards, teacher, tmp_path, distilled):
    from subarch.arch.architecture import Architecture

    file = tmp_path / "architecture.json"
    config = json.loads((distilled[1] / "config.json").read_text())
    file.write_text(json.dumps(Architecture.from_config(config).to_json()))
    settings = {**FAST, "data": str(shards), "teacher": str(teacher), "steps": 2, "architecture": str(file)}
    run_stage("pretrain", {**settings, "out": tmp_path / "out"})
    assert json.loads((tmp_path / "out/config.json").read_text()) == config


def test_whole_words_and_noam(shards, teacher, tmp_path):
    settings = {**FAST, "data": str(shards), "model": str(teacher), "objective": "mlm", "micro_batch_size": 3}
    settings |= {"masking": {"whole_words": True}, "loop": {**LOOP, "schedule": "noam", "warmup": 0.2}}
    assert run_stage("pretrain", {**settings, "out": tmp_path / "out"}).metrics["steps"] == 20


def settings_of(shards, teacher, /, **changes):
    return {**FAST, "data": str(shards), "architecture": SMALL, "teacher": str(teacher), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": None}, "got neither of --architecture and --model"),
        ({"model": "x"}, "got both of --architecture and --model"),
        ({"architecture": "4,8"}, "got '4,8', expected four whole numbers"),
        ({"architecture": "4,3,16,32"}, "hidden_size 16 is not a multiple of num_attention_heads 3"),
        ({"architecture": "nothing.json"}, "cannot read the architecture nothing.json"),
        ({"teacher": None, "objective": "distill"}, "objective is distill, but there is no teacher"),
        ({"teacher": None, "inherit": True}, "--inherit needs a teacher and an architecture"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"imitation": {"alpha": -1.0}}, "alpha is -1.0, expected 0 or more"),
        ({"imitation": {"temperature": 0.0}}, "temperature is 0.0, expected a positive number"),
        ({"imitation": {"beta": 0.0}}, "beta is 0, so that nothing is imitated"),
        ({"loss": "relations", "imitation": {"relation_heads": 3}}, "relation_heads is 3, expected a divisor"),
        ({"loss": "relations", "imitation": {"teacher_layer": 4}}, "teacher_layer is 4, expected 1 to 3"),
        ({"hardware": "abacus"}, "unknown hardware 'abacus'"),
        ({"masking": {"probability": 1.5}}, "probability is 1.5, expected a share between 0 and 1"),
    ],
)
def test_settings_that_cannot_be(changes, message, shards, teacher, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError) as caught:
        run_stage("pretrain", settings_of(shards, teacher, out=out, **changes))
    assert message in caught.value.message and "\n" not in caught.value.message
    assert not out.exists()


def test_shards_of_another_tokenizer(teacher, tmp_path):
    data = tiny_shards.write(tmp_path / "shards", "modernbert")
    with pytest.raises(ModelError, match="has another tokenizer than the one that made the shards") as caught:
        run_stage("pretrain", settings_of(data, teacher, out=tmp_path / "out"))
    assert f"--tokenizer {teacher}" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_vocabularies_that_differ(shards, teacher, tmp_path):
    value = {"family": "bert", "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
    value |= {"intermediate_size": 32, "max_position_embeddings": 48, "type_vocab_size": 2}
    file = tmp_path / "a.json"
    for size, message in ((50, "a vocabulary of 50 tokens, but the shards"), (9000, "and the student one of 9000")):
        file.write_text(json.dumps(value | {"vocab_size": size}))
        with pytest.raises(ModelError, match=message):
            run_stage("pretrain", settings_of(shards, teacher, architecture=str(file), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [("4,4,32,64", "num_hidden_layers 4 is larger than the teacher's 3"), (SMALL.replace("2,16", "4,16"), "heads of")],
)
def test_a_student_that_cannot_inherit(sizes, message, shards, teacher, tmp_path):
    with pytest.raises(ModelError, match=message):
        run_stage("pretrain", settings_of(shards, teacher, architecture=sizes, inherit=True, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_blocks_longer_than_the_model_reads(teacher, tmp_path):
    data = tiny_shards.write(tmp_path / "shards", block_size=64)
    with pytest.raises(ConfigError, match="blocks have 64 tokens, but the model reads at most 48"):
        run_stage("pretrain", settings_of(data, teacher, out=tmp_path / "out"))


def test_no_shards_and_no_block(teacher, tmp_path):
    with pytest.raises(DataError, match=r"no shards\.json in"):
        run_stage("pretrain", settings_of(tmp_path, teacher, out=tmp_path / "out"))
    data = tiny_shards.write(tmp_path / "shards", counts=(0, 10, 10))
    with pytest.raises(DataError, match="has no full block to train on"):
        run_stage("pretrain", settings_of(data, teacher, out=tmp_path / "out"))


def test_an_estimate_writes_nothing(shards, teacher, tmp_path, monkeypatch, capsys):
    from subarch import cli

    words = ["pretrain", "--data", shards, "--architecture", SMALL, "--teacher", teacher, "--steps", 50, "--json"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["subarch", *map(str, words), "--estimate", "--hardware", "a100"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    estimate = json.loads(capsys.readouterr().out)["estimate"]
    assert estimate["tokens"] == 50 * 32 * 16 and estimate["hardware"] == "a100" and estimate["hours"] > 0
    assert not list(tmp_path.iterdir())


def command(shards, teacher, out, steps=60):
    words = ["pretrain", "--data", shards, "--architecture", SMALL, "--teacher", teacher, "--steps", steps]
    words += ["--out", out, "--json", *tiny.settings({"loop": LOOP, "validation_blocks": 8, "log_every": 1})]
    return [*map(str, words)]


@pytest.fixture
def environment(record):
    return {"MLFLOW_TRACKING_URI": record.uri}


def test_killed_at_a_random_step_it_ends_as_if_it_had_not_been(shards, teacher, tmp_path, environment):
    weights, metrics = [], []
    for name in ("whole", "killed"):
        out = tmp_path / name
        words = command(shards, teacher, out)
        if name == "killed":
            process = Started(words, environment, tmp_path / "said")
            wait = float(np.random.default_rng().uniform(0.0, 0.1))
            process.wait_for(previous(out / "checkpoint.safetensors"))
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
            process.ended()
            assert not (out / "result.json").exists(), f"killed too late, after {wait} s"
        done = Started(words, environment, tmp_path / "said")
        stdout, stderr = done.ended()
        assert done.returncode == 0, stderr
        weights.append(load_file(out / "model.safetensors"))
        metrics.append(json.loads(stdout)["metrics"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    for name in ("mlm_loss", "mlm_accuracy", "teacher_agreement", "steps", "best_step"):
        assert metrics[0][name] == metrics[1][name]


def test_two_processes_own_one_folder(shards, teacher, tmp_path, environment):
    out = tmp_path / "out"
    words = command(shards, teacher, out, steps=12)
    common = environment | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    said = []
    for _ in range(2):  # the second time there is nothing left to do
        processes = [
            Started(words, common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, tmp_path / f"said {rank}")
            for rank in range(2)
        ]
        said = [process.ended() for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        assert said[1][0] == "" and json.loads(said[0][0])["metrics"]["steps"] == 12
    alone = run_stage(
        "pretrain", settings_of(shards, teacher, out=tmp_path / "alone", steps=12), session=Session()
    ).metrics
    assert json.loads(said[0][0])["metrics"]["mlm_loss"] == pytest.approx(alone["mlm_loss"], rel=1e-4)
    assert len(load_tokenizer(out)) == AutoModelForMaskedLM.from_pretrained(out).config.vocab_size
