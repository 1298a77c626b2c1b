import errno
import math
import os
import signal
import subprocess
import sys

import pytest

from subarch.errors import OutputError, StorageError
from subarch.storage import (
    folder_bytes,
    read_json,
    replacing_file,
    replacing_files,
    replacing_folder,
    reserve,
    storage_errors,
    write_json,
)


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_json_comes_back(tmp_path):
    value = {"name": "größer", "numbers": [1, 2.5, None, True], "nested": {"a": {}}}
    write_json(tmp_path / "deep" / "er" / "value.json", value)
    assert read_json(tmp_path / "deep" / "er" / "value.json") == value
    assert everything(tmp_path) == ["deep", "deep/er", "deep/er/value.json"]


def test_json_is_readable(tmp_path):
    write_json(tmp_path / "a.json", {"name": "größer"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "name": "größer"\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_has_not_leaves_the_old_file(tmp_path, value):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", {"loss": value})
    assert read_json(tmp_path / "a.json") == 1
    assert everything(tmp_path) == ["a.json"]


def test_file_is_replaced_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert everything(tmp_path) == ["a.txt"]


def test_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert everything(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("there", [False, True])
def test_folder_is_replaced_whole(tmp_path, there):
    path = tmp_path / "model"
    if there:
        (path / "sub").mkdir(parents=True)
        (path / "sub" / "old.txt").write_text("old")
    with replacing_folder(path) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "new.txt").write_text("new")
        assert path.exists() == there
    assert everything(tmp_path) == ["model", "model/sub", "model/sub/new.txt"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(path) as temporary:
        (temporary / "half.txt").write_text("half")
        raise RuntimeError
    assert everything(tmp_path) == ["model", "model/old.txt"]


def test_files_come_together_and_the_one_that_needs_the_others_last(tmp_path, monkeypatch):
    path, moves = tmp_path / "graph", []
    for name in ("graph", "graph.data", "other"):
        (tmp_path / name).write_text("old")
    replace = os.replace

    def move(source, target):
        moves.append((target.name, path.exists()))
        replace(source, target)

    monkeypatch.setattr("subarch.storage.os.replace", move)
    with replacing_files(path) as folder:
        for name in ("graph", "graph.data"):
            (folder / name).write_text("new")
        assert path.read_text() == (tmp_path / "graph.data").read_text() == "old"
    assert moves == [("graph.data", False), ("graph", False)]  # an old graph never names new data
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "graph": "new",
        "graph.data": "new",
        "other": "old",
    }


def test_failed_files_leave_the_old_ones(tmp_path):
    (tmp_path / "graph").write_text("old")
    with pytest.raises(RuntimeError), replacing_files(tmp_path / "graph") as folder:
        (folder / "graph.data").write_text("half")
        raise RuntimeError
    assert everything(tmp_path) == ["graph"] and (tmp_path / "graph").read_text() == "old"


WRITER = """
import sys
from pathlib import Path
from subarch.storage import replacing_file
path = Path(sys.argv[1])
number = 0
while True:
    with replacing_file(path) as temporary:
        temporary.write_text(str(number) * 20000)
    print(number, flush=True)
    number = (number + 1) % 10
"""


def test_kill_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
    with process:
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    text = path.read_text()
    assert text == text[0] * 20000


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_line(tmp_path, code):
    with pytest.raises(StorageError, match="no space left") as caught, replacing_file(tmp_path / "a.txt"):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path / "a.txt") in caught.value.message
    assert "resumes" in caught.value.hint
    assert everything(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_read_only_disk_is_one_line(tmp_path, code):
    with pytest.raises(StorageError, match="cannot write"), storage_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(IsADirectoryError), storage_errors(tmp_path):
        raise OSError(errno.EISDIR, "a folder")


def test_folder_bytes(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "sub" / "b").write_bytes(b"x" * 5)
    assert folder_bytes(tmp_path) == 15
    assert folder_bytes(tmp_path / "a") == 10


def test_what_a_library_writes_for_the_owner_alone_gets_the_mode_of_its_neighbours(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing_folder(tmp_path / "model") as folder, replacing_file(tmp_path / "weights") as file:
        for path in (folder / "model.safetensors", file):
            path.write_text("")
            path.chmod(0o600)
    mode = (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "model/model.safetensors").stat().st_mode == (tmp_path / "weights").stat().st_mode == mode


@pytest.mark.parametrize("anew", [False, True])
def test_a_reserved_file_has_its_room(tmp_path, anew):
    file = tmp_path / "map"
    file.write_bytes(b"known")
    reserve(file, 100_000, anew=anew)
    assert file.read_bytes()[:5] == (bytes(5) if anew else b"known")
    assert file.stat().st_size == 100_000 and file.stat().st_blocks * 512 >= 100_000


def test_no_room_to_reserve_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="no space left on the disk while writing"):
        reserve(tmp_path / "map", 100, anew=True)
    assert everything(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "plan.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(OutputError, match=r"plan\.json is damaged: it is no JSON") as caught:
        read_json(tmp_path / "plan.json")
    assert "delete it" in caught.value.hint
