import errno
import math
import os
import signal
import subprocess
import sys

import pytest

from subarch.errors import StorageError
from subarch.storage import (
    folder_bytes,
    read_json,
    replacing_file,
    replacing_folder,
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
