import io
import json
import os
import subprocess
import sys

import pytest

from subarch import command
from subarch.command import guarded, tell
from subarch.errors import DataError


def failing(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("a bad row", "mend it"), 2, "error: a bad row\nhint: mend it"),
        (RuntimeError("size mismatch\n  for a\n  for b"), 1, "error: unforeseen RuntimeError: size mismatch\nhint: "),
        (KeyError(), 1, "error: unforeseen KeyError\nhint: the same command with --debug"),
        (RecursionError("x" * 9999), 1, "error: unforeseen RecursionError: xxx"),
        (MemoryError(), 1, "error: out of memory\nhint: "),
        (KeyboardInterrupt(), 130, "stopped: interrupted at once"),
    ],
)
def test_every_failure_is_one_line(error, code, line, capsys):
    assert guarded(failing(error)) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and len(err) < 500 and "Traceback" not in err


def test_the_traceback_comes_with_debug_alone(capsys):
    assert guarded(failing(RuntimeError("why")), debug=True) == 1
    assert "Traceback" in (said := capsys.readouterr().err) and "in work" in said


def test_an_ascii_stdout_costs_nothing(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    tell("größer …")
    tell("", {"name": "größer"})
    lines = stream.buffer.getvalue().decode("ascii").split("\n", 1)
    assert lines[0] == "gr??er ?" and json.loads(lines[1]) == {"name": "größer"}


PROGRAM = (
    "import sys; from subarch.terminal import keep_streams; keep_streams()\n"
    "from subarch.command import guarded, tell\n"
    "from subarch.terminal import ProgressDisplay\n"
    "def work():\n"
    "    with ProgressDisplay() as display:\n"
    "        for _ in range(2000): display({'event': 'phase', 'name': 'x' * 100})\n"
    "    open(sys.argv[1], 'w').write('trained')\n"
    "    tell('answer')\n"
    "sys.exit(guarded(work))\n"
)


@pytest.mark.parametrize(
    "closed", ["2>&-", ">&-", ">&- 2>&-", "> /dev/full", "2> /dev/full", "<&-", "2>&1 | head -n 1"]
)
def test_a_reader_who_goes_away_stops_no_work(tmp_path, closed):
    words = f'"$0" -c "$1" "$2" {closed}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", words, sys.executable, PROGRAM, str(tmp_path / "file")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and (tmp_path / "file").read_text() == "trained"
    assert "Traceback" not in done.stdout + done.stderr and "Exception ignored" not in done.stderr


def test_that_nobody_could_read_the_answer_is_told(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.sys, "stdout", Full())
    tell("answer")
    assert "the answer could not be printed: No space left on device" in capsys.readouterr().err
