import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from subarch.errors import DataError, OutputError
from subarch.session.output import claim, plain

OURS = {"run.json", ".lock", ".unfinished"}


@dataclass(frozen=True, kw_only=True)
class Inner:
    epochs: float = 3.0
    sizes: tuple[float, ...] = (0.5,)


@dataclass(frozen=True, kw_only=True)
class Config:
    out: Path = Path("out")
    seed: int = 0
    inner: Inner = field(default_factory=Inner)


def test_a_new_folder_then_a_resumed_one(tmp_path):
    out = tmp_path / "a" / "b"
    with claim(out, "finetune", Config()) as folder:
        assert folder.result is None and folder.run_id is None
        folder.began("run-1")
    with claim(out, "finetune", Config()) as folder:
        assert folder.result is None and folder.run_id == "run-1"
        (out / "file").write_text("x")
        made = folder.finish({"score": 0.5}, {"file": out / "file"}, "run-1", 1.23456)
    with claim(out, "finetune", Config()) as folder:
        assert folder.result == made and folder.result.reused and not made.reused
    assert json.loads((out / "result.json").read_text()) == made.to_json()
    assert made.artifacts == {"file": "file"} and made.seconds == 1.235
    assert made.config == plain(Config())


@pytest.mark.parametrize(
    ("stage", "config", "fingerprint", "named"),
    [
        ("finetune", Config(inner=Inner(epochs=4.0)), "d", "config.inner.epochs is 3.0, this one's is 4.0"),
        ("finetune", Config(seed=1), "d", "config.seed is 0, this one's is 1"),
        ("extract", Config(), "d", "stage is 'finetune', this one's is 'extract'"),
        ("extract", Config(seed=1), "e", "stage is 'finetune', this one's is 'extract'"),
        ("finetune", Config(), "e", "data is 'd', this one's is 'e'"),
    ],
)
def test_another_run_is_told_what_differs(tmp_path, stage, config, fingerprint, named):
    with claim(tmp_path / "out", "finetune", Config(), "d"):
        pass
    before = (tmp_path / "out/run.json").read_bytes()
    with (
        pytest.raises(OutputError, match="belongs to another run") as caught,
        claim(tmp_path / "out", stage, config, fingerprint),
    ):
        pass
    assert caught.value.message.endswith(named) and "resume" in caught.value.hint
    assert (tmp_path / "out/run.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"is not empty \(thesis.txt\)"), claim(tmp_path, "finetune", Config()):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_is_no_folder(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(OutputError, match="file is a file, expected a folder"),
        claim(tmp_path / "file" / below, "finetune", Config()),
    ):
        pass


def test_an_empty_folder_will_do(tmp_path):
    with claim(tmp_path, "finetune", Config()) as folder:
        assert folder.result is None


def test_another_process_works_here(tmp_path):
    program = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    with claim(tmp_path / "out", "finetune", Config()):
        pass
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out/.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputError, match="another process is working in"),
            claim(tmp_path / "out", "finetune", Config()),
        ):
            pass
    finally:
        holder.communicate("")
    with claim(tmp_path / "out", "finetune", Config()) as folder:  # it ended, so it holds nothing
        assert folder.result is None


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    with claim(tmp_path, "finetune", Config()):
        pass
    program = (
        "import os, sys; from pathlib import Path; from subarch.storage import *\n"
        "out = Path(sys.argv[1]); write_json(out / 'candidates/001.json', {})\n"
        "with replacing_folder(out / 'student') as folder: (folder / 'config.json').touch()\n"
        "with replacing_file(out / 'candidates/000.json'), replacing_folder(out / 'student') as folder:\n"
        "    (folder / 'config.json').write_text('{')\n"
        "    os.replace(out / 'student', out / f'.student.{os.getpid()}.old')\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert len(list(tmp_path.rglob(".*.partial"))) == 2
    with claim(tmp_path, "finetune", Config()):
        names = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".old")}
    assert names == OURS | {"candidates"} and (tmp_path / "candidates/001.json").exists()
    assert not list(tmp_path.rglob(".*.partial"))


def test_a_finished_folder_has_no_list_of_what_is_unfinished(tmp_path):
    for _ in range(2):  # the second time all is done already
        with claim(tmp_path, "finetune", Config()) as folder:
            assert (tmp_path / ".unfinished").exists()
            if folder.result is None:
                folder.finish({}, {}, None, 0.0)
        assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".lock", "result.json"}
    with claim(tmp_path / "inner", "finetune", Config()) as folder:
        killed = tmp_path / "inner/.weights.1.partial"
        killed.touch()
        (tmp_path / "inner/.unfinished").write_text(".weights.1.partial\0.cut.2.par")
        folder.finish({}, {}, None, 0.0)
    assert not killed.exists() and not (tmp_path / "inner/.unfinished").exists()


@pytest.mark.parametrize("text", ["still to do: chapter 3", "\0notes\0", "a\0.b.1.partial\0"])
def test_somebody_elses_file_of_that_name_stays(tmp_path, text):
    (tmp_path / ".unfinished").write_text(text)
    with claim(tmp_path, "finetune", Config()):
        assert (tmp_path / ".unfinished").read_text().startswith(text)
    with claim(tmp_path, "finetune", Config()) as folder:
        folder.finish({}, {}, None, 0.0)
    assert (tmp_path / ".unfinished").read_text().startswith(text)


FOREIGN = (".bashrc.old", ".config.old/f", ".git/x/.notes.partial", ".notes.12.partial", ".student.7.old/weights")


def test_foreign_hidden_files_stay(tmp_path):
    for name in FOREIGN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    (tmp_path / ".unfinished").write_text("../above.1.partial\0.bashrc.old\0/etc/.x.1.partial")
    (tmp_path.parent / "above.1.partial").write_text("precious")
    for _ in range(2):
        with claim(tmp_path, "finetune", Config()):
            pass
    assert {(tmp_path / name).read_text() for name in FOREIGN} == {"precious"}
    assert (tmp_path.parent / "above.1.partial").read_text() == "precious"


@pytest.mark.parametrize("there", [None, [], [".git"]])
def test_a_refusal_leaves_the_folder_as_it_was(tmp_path, there):
    out = tmp_path / "deep" / "out"
    if there is not None:
        out.mkdir(parents=True)
        for name in there:
            (out / name).mkdir()
    with pytest.raises(DataError), claim(out, "finetune", Config(seed=1)):
        (out / "plan.json").write_text("{}")
        raise DataError("a bad row")
    assert (tmp_path / "deep").exists() == (there is not None)
    assert there is None or sorted(entry.name for entry in out.iterdir()) == there
    with claim(out, "finetune", Config()) as folder:  # the corrected command
        assert folder.result is None


def test_a_refusal_keeps_work(tmp_path):
    with pytest.raises(DataError), claim(tmp_path, "finetune", Config()):
        (tmp_path / "checkpoint.safetensors").write_text("hours")
        raise DataError("no time left")
    assert (tmp_path / "run.json").exists() and (tmp_path / "checkpoint.safetensors").exists()


def test_a_refusal_of_a_resumed_run_keeps_the_claim(tmp_path):
    with claim(tmp_path, "finetune", Config()):
        pass
    with pytest.raises(DataError), claim(tmp_path, "finetune", Config()):
        raise DataError("a bad row")
    assert (tmp_path / "run.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"stage": 1}', '{"a": 1}', "\0", "[" * 100000])
def test_a_damaged_run_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json is damaged") as caught, claim(tmp_path, "finetune", Config()):
        pass
    assert "choose another --out" in caught.value.hint
    assert (tmp_path / "run.json").read_text() == text


def finished(out):
    with claim(out, "finetune", Config()) as folder:
        (out / "file").write_text("x")
        return folder.finish({"score": 0.5}, {"file": out / "file"}, "run-1", 1.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stage": "finetune"}', "null"])
def test_a_damaged_result_is_named(tmp_path, text):
    finished(tmp_path)
    (tmp_path / "result.json").write_text(text)
    with claim(tmp_path, "finetune", Config()) as folder:
        with pytest.raises(OutputError, match=r"result\.json is damaged") as caught:
            assert folder.result
        assert "delete it" in caught.value.hint


def test_fields_of_another_version_break_no_folder(tmp_path):
    made = finished(tmp_path)
    for name in ("run.json", "result.json"):
        values = json.loads((tmp_path / name).read_text())
        values["new"] = values["config"]["new"] = values["config"]["inner"]["new"] = 1
        if name == "run.json":
            del values["config"]["inner"]["sizes"], values["models"]  # as an older version wrote it
        (tmp_path / name).write_text(json.dumps(values))
    with claim(tmp_path, "finetune", Config()) as folder:
        assert folder.result.metrics == made.metrics and folder.run_id is None
    with (
        pytest.raises(OutputError, match=r"config\.inner\.sizes is None, this one's is \[0\.25\]"),
        claim(tmp_path, "finetune", Config(inner=Inner(sizes=(0.25,)))),
    ):
        pass


def model_in(folder, head):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(100_000) + head)
    return folder


def test_other_weights_under_the_same_path_are_another_run(tmp_path):
    model, out = model_in(tmp_path / "m", b"head"), tmp_path / "out"
    models = {"model": model, "teacher": None}
    with claim(out, "finetune", Config(), "d", models):
        pass
    shutil.rmtree(model)
    model_in(model, b"head")
    (model / "checkpoint.safetensors").write_text("what a training leaves beside it")
    with claim(out, "finetune", Config(), "d", models):  # equal files are the same model, whenever they were written
        pass
    model_in(model, b"HEAD")
    with (
        pytest.raises(OutputError, match="what model names holds other files than when that run began") as caught,
        claim(out, "finetune", Config(), "d", models),
    ):
        pass
    assert "choose another --out" in caught.value.hint


@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json"])
def test_what_says_how_a_text_is_pooled_belongs_to_the_model(tmp_path, name):
    """It decides whether a classifier gets a layer for the mean."""
    model, out = model_in(tmp_path / "m", b"head"), tmp_path / "out"
    (model / "1_Pooling").mkdir()
    for text in ("mean", "mean", "first"):
        (model / name).write_text(text)
        refused = nullcontext() if text == "mean" else pytest.raises(OutputError, match="other files")
        with refused, claim(out, "finetune", Config(), "d", {"model": model}):
            pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 256, "cannot be a folder: File name too long"),
        ("dangling", "is a link to nowhere, which does not exist"),
        ("dangling/below", "is a link to nowhere, which does not exist"),
        ("loop", "is a link to itself"),
        ("/proc/foo", "/proc/foo"),
    ],
)
def test_paths_that_can_be_no_folder(tmp_path, name, message):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match=message) as caught, claim(tmp_path / name, "finetune", Config()):
        pass
    assert caught.value.hint == "choose another --out"
    assert {entry.name for entry in tmp_path.iterdir()} == {"dangling", "loop"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    from subarch.errors import StorageError

    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot write"), claim(tmp_path / "out", "finetune", Config()):
        pass
