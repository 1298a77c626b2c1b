import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from subarch.errors import OutputError
from subarch.stages.output import claim, plain


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
    inner = tmp_path / "candidates"
    inner.mkdir()
    (inner / ".000.json.123.partial").write_text("{")
    (tmp_path / ".student.123.partial").mkdir()
    (tmp_path / ".student.123.partial" / "config.json").write_text("{")
    (tmp_path / ".student.123.old").mkdir()
    (inner / "001.json").write_text("{}")
    with claim(tmp_path, "finetune", Config()):
        names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"run.json", ".lock", "candidates", "001.json"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    from subarch.errors import StorageError

    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot write"), claim(tmp_path / "out", "finetune", Config()):
        pass
