"""Standard streams whose other end may go away: who reads along must not stop the work."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO, cast


class LastingStream:
    """A text stream that is written to as long as somebody reads it; after that what is written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop it."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            drop(self._stream)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            drop(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_streams() -> None:
    """Give the process streams that last: stderr with or without a reader, and none that was closed before it began.

    Otherwise the next file that is opened would take the number of a closed one, and get what libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115  (for as long as we live)
    if not isinstance(sys.stderr, LastingStream):
        sys.stderr = cast("TextIO", LastingStream(sys.stderr))


def drop(stream: TextIO) -> None:
    """Let what is still written to a stream go nowhere: Python must not complain of it at exit either."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # of a stream in memory, or a closed one
        return
    target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, number)
    os.close(target)
