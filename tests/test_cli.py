import errno
import json
import os
import subprocess
import sys

import pytest

from stages import tiny
from subarch import cli, storage
from subarch.api import CONFIGS
from subarch.tracking.record import NullRecord, Record

DATA = {
    "task",
    "train",
    "valid",
    "test",
    "text",
    "text-pair",
    "label",
    "kind",
    "data-dir",
    "casting",
    "labels",
    "drop-overlap",
    "force",
}
RUN = {"out", "recipe", "set", "json", "debug"}
READING = {"documents", "min-words", "deduplicate", "strip-markup", "processes"}
AGORA = {"agora", "sets", "masked-lm", "unlabelled", "expansion-set"}
FLAGS = {
    "compress": {"teacher", "budget", "seed"} | AGORA | DATA | RUN,
    "finetune": {"model", "teacher", "budget", "seed"} | AGORA | DATA | RUN,
    "extract": {"teacher", "corpus", "preset", "epsilon", "steps", "halving", "seed"}
    | {"space", "max-parameters", "max-latency-ms", "latency-device", "check", "estimate", "hardware"}
    | DATA
    | RUN,
    "evaluate": {"model", "predictions", "split", "against", "submission", "slice", "seed"} | DATA | RUN,
    "export": {"model", "format", "seed"} | RUN,
    "latency": {"models", "threads", "repeats"} | DATA | RUN,
    "prepare": {"input", "tokenizer", "train-tokenizer", "seed"} | READING | RUN,
    "pretrain": {"data", "architecture", "teacher", "model", "inherit", "objective", "loss", "steps", "seed"}
    | {"hardware", "estimate"}
    | RUN,
    "search": {"teacher", "trials", "workers", "ray", "budget", "set-threshold", "seed"} | DATA | RUN,
    "describe": {"sources", "sequence-length", "json", "debug"},
}
"""What a command can be told on the command line; adding to it is a decision, since the recipe holds the rest."""


@pytest.fixture(autouse=True)
def own_record(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.getbasetemp() / 'cli.db'}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with rows.csv, an `encoder` and a `classifier` for them."""
    folder = tmp_path_factory.mktemp("folders")
    tiny.classes(folder / "rows.csv")
    tiny.teacher(folder / "encoder")
    tiny.teacher(folder / "classifier", labels=("bad", "good"))
    tiny.teacher(folder / "other", labels=("yes", "no"))
    return folder


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["subarch", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capsys.readouterr()

    return call


def test_every_stage_is_a_command():
    assert {*CONFIGS, "describe"} == FLAGS.keys()


@pytest.mark.parametrize("command", FLAGS)
def test_the_flags_are_these(command, run):
    parameters = {
        name.removeprefix("--").lower()
        for argument in cli.app[command].assemble_argument_collection()
        if not argument.children
        for name in argument.names
    }
    assert parameters == FLAGS[command]
    code, out, _ = run(command, "--help")
    assert code == 0 and all(f"--{name}" in out for name in FLAGS[command] - {"models", "sources"})


@pytest.mark.parametrize("command", CONFIGS)
def test_every_flag_is_a_field(command):
    import dataclasses
    import importlib

    from subarch.inputs.data import DataConfig
    from subarch.stages.growth.settings import AgoraConfig

    assert {name.replace("-", "_") for name in AGORA} <= {field.name for field in dataclasses.fields(AgoraConfig)} | {
        "agora"
    }
    config = getattr(importlib.import_module(f"subarch.stages.{command}"), CONFIGS[command])
    fields = {field.name.replace("_", "-") for field in dataclasses.fields(config)}
    assert {field.name.replace("_", "-") for field in dataclasses.fields(DataConfig)} == DATA
    other = {"format": "formats", "latency-device": "timing"}
    told = {"check", "estimate", "hardware"}  # these run nothing
    own = {other.get(name, name) for name in FLAGS[command] - (RUN - {"out"}) - (AGORA - {"agora"}) - DATA - told}
    assert own <= fields and (("data" in fields) == bool(FLAGS[command] & {*DATA, "data"}))


@pytest.mark.parametrize("words", [["--help"], ["compress", "--help"], ["describe", "bort"], ["compress", "--nope"]])
def test_what_needs_no_model_imports_neither_torch_nor_transformers(words):
    program = (
        "import sys\nfrom subarch import cli\n"
        f"sys.argv = ['subarch', *{words!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'mlflow', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_json_is_all_there_is_on_stdout(folders, tmp_path, run):
    words = ["--model", folders / "classifier", "--train", folders / "rows.csv", "--set", "max_length=24"]
    code, out, _ = run("evaluate", *words, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out/result.json").read_text())
    code, out, _ = run("evaluate", *words, "--out", tmp_path / "out")  # the result is reused
    assert code == 0 and out.splitlines()[-1] == f"result: {tmp_path}/out/result.json"
    assert "accuracy" in out


def test_a_damaged_record_keeps_no_finished_folder_from_answering(folders, tmp_path, run, monkeypatch):
    words = ["evaluate", "--model", folders / "classifier", "--train", folders / "rows.csv", "--set", "max_length=24"]
    assert run(*words, "--out", tmp_path / "out")[0] == 0
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + b"no" * 3000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/damaged.db")
    code, out, _ = run(*words, "--out", tmp_path / "out")
    assert code == 0 and "accuracy" in out
    code, _, err = run(*words, "--out", tmp_path / "new")
    assert code != 0 and "damaged.db" in err and not (tmp_path / "new").exists()


def test_flags_win_over_settings_and_settings_over_the_recipe(folders, tmp_path, run):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[evaluate]\nseed = 1\nsplit = "validation"\nmax_length = 20\ntrain = "{folders}/rows.csv"\n')
    words = ["--recipe", recipe, "--set", "seed=2", "--set", "split=test", "--model", folders / "classifier"]
    code, out, err = run("evaluate", *words, "--seed", 3, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    config = json.loads(out)["config"]
    assert (config["seed"], config["split"], config["max_length"]) == (3, "test", 20)


def test_describe_prints_a_list(run):
    code, out, _ = run("describe", "bort", "--json", "--sequence-length", 64)
    assert code == 0 and [item["name"] for item in json.loads(out)] == ["bort"]


def without(folder, tmp_path, *names, pickled=False):
    copy = tmp_path / "broken"
    copy.mkdir()
    for file in folder.iterdir():
        if file.name not in names:
            (copy / file.name).write_bytes(file.read_bytes())
    if pickled:
        (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return copy


def rows_file(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


MANY = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(60))
BAD_DATA = {
    "unknown task": (["--task", "sst3"], "unknown task 'sst3'", "did you mean sst2"),
    "task and files": (["--task", "sst2", "--train", "ROWS"], "got both of --task and --train", ""),
    "no data": ([], "got neither of --task and --train", ""),
    "unknown column": (["--train", "ROWS", "--text", "txt"], "no column 'txt' (--text)", "did you mean text"),
    "missing file": (["--train", "FOLDER/row.csv"], "is no file", "rows.csv"),
}
BAD_FILES = {
    "empty": ("rows.csv", "", "has no rows"),
    "only a header": ("rows.csv", "text,label\n", "has no rows"),
    "one class": ("rows.csv", "text,label\n" + "a b,x\nb c,x\n" * 30, "every label in 'label' is 'x'"),
    "broken csv": ("rows.csv", MANY + "a,b,c\n", "line 62: 3 fields, expected 2"),
    "open quote": ("rows.csv", MANY + '"open,a\n', "line 62: broken row"),
    "broken jsonl": ("rows.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', "line 2: not JSON"),
    "encoding": ("rows.csv", MANY.encode() + b"caf\xe9,a\n", "line 62: byte 0xe9"),
    "too few": ("rows.csv", "text,label\na,x\nb,y\n", "has 2 rows"),
}


def refused(found, out, code=2):
    """One `error:` line, perhaps a `hint:` line, no traceback, no folder."""
    rc, stdout, stderr = found
    assert rc == code and stdout == "" and "Traceback" not in stderr
    # What was understood of the data may have been told before.
    lines = [line for line in stderr.splitlines() if not line.startswith(("data (", "note (", "warning ("))]
    assert [line.split(":")[0] for line in lines] in (["error"], ["error", "hint"]), stderr
    assert out is None or not out.exists()
    return lines


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be(case, folders, tmp_path, run):
    words, message, hint = BAD_DATA[case]
    words = [word.replace("ROWS", f"{folders}/rows.csv").replace("FOLDER", str(folders)) for word in words]
    out = tmp_path / "out"
    lines = refused(run("compress", "--teacher", folders / "encoder", "--out", out, *words), out)
    assert message in lines[0] and hint in lines[-1]


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_cannot_be(case, folders, tmp_path, run):
    name, content, message = BAD_FILES[case]
    file, out = rows_file(tmp_path, name, content), tmp_path / "out"
    lines = refused(run("compress", "--teacher", folders / "encoder", "--out", out, "--train", file), out)
    assert message in lines[0]


def test_a_label_that_training_does_not_have(folders, tmp_path, run):
    test, out = rows_file(tmp_path, "test.csv", "text,label\na b,good\nb c,ugly\n"), tmp_path / "out"
    words = ["--teacher", folders / "encoder", "--train", folders / "rows.csv", "--test", test, "--out", out]
    lines = refused(run("compress", *words), out)
    assert "test.csv, line 3: label 'ugly' is not in train, expected one of bad, good" in lines[0]


@pytest.mark.parametrize(
    ("absent", "pickled", "message"),
    [
        (["model.safetensors"], False, "no model.safetensors in"),
        (["model.safetensors"], True, "only pytorch_model.bin, a pickle that could run code"),
        (["tokenizer.json", "vocab.txt"], False, "no tokenizer in"),
        (["config.json"], False, "no config.json in"),
    ],
)
def test_teachers_that_cannot_be(absent, pickled, message, folders, tmp_path, run):
    broken, out = without(folders / "encoder", tmp_path, *absent, pickled=pickled), tmp_path / "out"
    words = ["--train", folders / "rows.csv", "--out", out]
    assert message in refused(run("compress", "--teacher", broken, *words), out)[0]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--teacher", "./nowhere"], "no folder ./nowhere", "Hub id"),
        ([], "--teacher is missing", "--recipe"),
        (["--teacher", "ENCODER", "--budget", "10s"], "the budget is 10s, too short", "longer --budget"),
        (["--teacher", "ENCODER", "--budget", "soon"], "the duration is 'soon'", "write 90s"),
        (["--teacher", "ENCODER", "--set", "distil.epoch=3"], "unknown setting distil.epoch", "did you mean epochs"),
        (["--teacher", "ENCODER", "--set", "epochs"], "--set 'epochs', expected section.field=value", "for example"),
        (["--teacher", "ENCODER", "--recipe", "RECIPE"], "unknown setting extract.step", "did you mean steps"),
        (["--teacher", "ENCODER", "--recipe", "nowhere.toml"], "no recipe nowhere.toml", ""),
        (["--teacher", "ENCODER", "--kind", "clasification"], 'invalid value "clasification" for --kind', ""),
        (["--teacher", "ENCODER", "--nope"], "unknown option: --nope", "--help"),
    ],
)
def test_settings_that_cannot_be(words, message, hint, folders, tmp_path, run):
    recipe, out = rows_file(tmp_path, "recipe.toml", "[compress.extract]\nstep = 3\n"), tmp_path / "out"
    words = [word.replace("ENCODER", str(folders / "encoder")).replace("RECIPE", str(recipe)) for word in words]
    lines = refused(run("compress", *words, "--train", folders / "rows.csv", "--out", out), out)
    assert message in lines[0] and hint in lines[-1]


def test_the_users_mistakes_leave_no_record(folders, tmp_path, run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    refused(run("compress", "--teacher", folders / "encoder", "--out", tmp_path / "out"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_head_with_other_labels_is_no_teacher(folders, tmp_path, run):
    out = tmp_path / "out"
    words = ["--model", folders / "encoder", "--train", folders / "rows.csv", "--out", out]
    lines = refused(run("finetune", *words, "--teacher", folders / "other"), out)
    assert "has yes, no, expected a model for bad, good" in lines[0]


def test_output_folders_that_cannot_be(folders, tmp_path, run):
    words = ["--model", folders / "classifier", "--train", folders / "rows.csv", "--set", "max_length=24"]
    thesis = rows_file(tmp_path, "thesis.txt", "mine")
    assert "is a file, expected a folder" in refused(run("evaluate", *words, "--out", thesis), None)[0]
    assert "is not empty (thesis.txt)" in refused(run("evaluate", *words, "--out", tmp_path), None)[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
    out = tmp_path / "out"
    assert run("evaluate", *words, "--out", out)[0] == 0
    lines = refused(run("evaluate", *words, "--out", out, "--seed", 5), None)
    assert lines[0].endswith("its config.seed is 0, this one's is 5")
    lines = refused(run("export", "--model", folders / "classifier", "--out", out), None)
    assert "belongs to another run" in lines[0]


@pytest.mark.parametrize("library", ["os", "safetensors"])
def test_a_full_disk_then_the_same_command(library, folders, tmp_path, run, monkeypatch):
    out = tmp_path / "out"
    words = ["finetune", "--model", folders / "encoder", "--train", folders / "rows.csv", "--out", out]
    words += tiny.settings({"max_length": 24, "loop": {"max_steps": 3, "evaluations": 1}})
    with monkeypatch.context() as patch:
        if library == "os":

            def full(source, target, *, replace=os.replace):
                if "model" in str(target):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                replace(source, target)

            patch.setattr(storage.os, "replace", full)
        else:
            from safetensors import SafetensorError

            def save(*args, **options):
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

            patch.setattr("subarch.training.checkpoint.save_file", save)
        code, stdout, stderr = run(*words)
    assert code == 1 and stdout == "" and "Traceback" not in stderr
    error, hint = stderr.splitlines()[-2:]
    assert error.startswith(f"error: no space left on the disk while writing {out}") and "it resumes" in hint
    assert not (out / "result.json").exists() and not (out / "config.json").exists()
    assert run(*words)[0] == 0 and (out / "model.safetensors").exists()


def test_a_file_size_limit(folders, tmp_path, run, monkeypatch):
    """The same by the system itself: writing fails in the middle of a file."""
    import resource

    monkeypatch.setattr(Record, "open", lambda **named: NullRecord())
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    words = ["export", "--model", folders / "classifier", "--out", tmp_path / "out"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code, _, stderr = run(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert code == 1 and "Traceback" not in stderr and stderr.splitlines()[-2].startswith("error: cannot write")
    assert not (tmp_path / "out/result.json").exists()


def test_an_interrupt_outside_a_stage(run, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("subarch.stages.describe.describe", interrupt)
    code, _, stderr = run("describe", "bort")
    assert code == 130 and stderr.startswith("stopped: ")


def test_extract_tells_without_training(folders, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--teacher", folders / "classifier", "--train", folders / "rows.csv", "--hardware", "a100"]
    words += ["--space", "num_hidden_layers=1,2", "--set", "space.vocabulary=1", "--set", "max_length=24"]
    code, out, err = run("extract", *words, "--check", "--estimate", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["estimate"]["space"] == 2 and told["estimate"]["hardware"] == "a100"
    assert {"depths", "optimiser"} <= {condition["name"] for condition in told["conditions"]}
    code, out, _ = run("extract", *words, "--check")
    assert code == 0 and "weak ABⁿC: holds" in out and "device hours" not in out
    assert not list(tmp_path.iterdir())


def test_extract_takes_sizes_and_constraints(folders, tmp_path, run):
    words = ["--teacher", folders / "classifier", "--train", folders / "rows.csv", "--out", tmp_path / "out"]
    words += ["--space", "num_hidden_layers=1,2,3 intermediate_size=32", "--latency-device", "flops", "--epsilon", 1]
    words += ["--set", "space.vocabulary=1", "--set", "max_length=24", "--set", "steps=1", "--json"]
    code, out, err = run("extract", *words, "--max-parameters", "25k", "--force")  # the teacher is noise
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    assert [row["architecture"]["num_hidden_layers"] for row in metrics["candidates"]] == [1, 2]
    assert all(row["parameters"] <= 25_000 for row in metrics["candidates"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space", "hidden_size=17"], "error: the search space is empty: no hidden_size of 17"),
        (["--space", "num_hidden_layers=1,2", "--epsilon", "3"], "error: epsilon is 3, expected 1 to the size of"),
        (["--max-parameters", "lots"], "error: the count is 'lots'"),
        (["--corpus", "shards"], "error: got both a task and --corpus"),
        (["--hardware", "abacus", "--estimate"], "error: unknown hardware 'abacus'"),
    ],
)
def test_a_search_that_cannot_be(words, message, folders, tmp_path, run):
    given = ["--teacher", folders / "classifier", "--train", folders / "rows.csv", "--out", tmp_path / "out"]
    code, _, err = run("extract", *given, *words)
    assert code == 2 and err.startswith(message) and "Traceback" not in err
    assert not (tmp_path / "out").exists()


SEARCH = """
[search]
max_length = 24
trials = 2
sampler = "random"
[search.metrics]
accuracy = {}
num_parameters = {}
[search.parameters.student]
num_hidden_layers = { low = 1, high = 3 }
[search.student]
layers = "first"
[search.loop]
max_steps = 2
evaluations = 1
[search.confirm]
members = 0
"""


def test_search_takes_a_recipe_and_then_its_folder_alone(folders, tmp_path, run):
    recipe, out = rows_file(tmp_path, "recipe.toml", SEARCH), tmp_path / "out"
    words = ["--teacher", folders / "classifier", "--train", folders / "rows.csv", "--out", out]
    code, stdout, err = run("search", recipe, *words, "--force")  # the teacher is noise
    assert code == 0, err
    assert stdout.splitlines()[-1] == f"report: {out}/report.html" and "2 trials, 0 failed" in stdout
    code, stdout, _ = run("search", "--out", out, "--set-threshold", "num_parameters=5", "--json")
    assert code == 0 and json.loads(stdout)["metrics"]["front"] == []
    code, stdout, _ = run("search", "--out", out, "--set-threshold", "num_parameters=none", "--trials", 3, "--json")
    found = json.loads(stdout)
    assert code == 0 and found["metrics"]["trials"] == 3 and found["metrics"]["front"]
    assert found["metrics"]["thresholds"] == {} and found["config"]["teacher"] == str(folders / "classifier")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--set-threshold", "accuracy"], "error: --set-threshold 'accuracy', expected NAME=VALUE", "for example"),
        (["--set-threshold", "acc=1"], "error: the search has no metric 'acc'", "did you mean accuracy"),
        (["--set", "metrics.acuracy.store=true"], "error: unknown metric 'acuracy'", "did you mean accuracy"),
        (["--set", "parameters.student.hiden_size.low=1"], "error: unknown parameter 'student.hiden_size'", "hidden"),
        (["--workers", "999"], "error: workers is 999, but this machine has", "--ray ADDRESS"),
    ],
)
def test_a_multimetric_search_that_cannot_be(words, message, hint, folders, tmp_path, run):
    recipe, out = rows_file(tmp_path, "recipe.toml", SEARCH), tmp_path / "out"
    given = ["--recipe", recipe, "--teacher", folders / "classifier", "--train", folders / "rows.csv", "--out", out]
    lines = refused(run("search", *given, *words, "--force"), out)
    assert lines[0].startswith(message) and hint in lines[-1]
