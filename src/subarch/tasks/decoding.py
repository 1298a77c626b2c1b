"""From the bytes of a user's file to its text: unpacked, in the encoding that the file has, a piece at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

from subarch.errors import DataError

HEAD = 2**16
"""Bytes by which the encoding is told."""
BINARY_SHARE = 0.2
"""Share of NULs above which a file is no text."""

_GZIP = b"\x1f\x8b"
_SHEET = "save it as CSV in UTF-8 (in a spreadsheet: Save As), or unzip it if it is an archive"
_FORMATS = (
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or an Excel workbook", _SHEET),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old Excel workbook", _SHEET),
    (re.compile(rb"PAR1\x15"), "a Parquet file", "rename it to .parquet"),
    (re.compile(rb"BZh\d1AY&SY"), "packed by bzip2", "unpack it with bunzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "packed by xz", "unpack it with unxz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "packed by zstd", "unpack it with unzstd"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SPOILT = tuple(mark.decode("latin-1").encode() for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
"""How a UTF-8 file begins that was converted from UTF-16 as if that were WINDOWS-1252."""


@dataclass(frozen=True)
class TextFile:
    """A file of text whose encoding is known: UTF-8, or UTF-16 and UTF-32 as spreadsheets write them; maybe gzipped."""

    path: Path
    encoding: str
    packed: bool
    head: str
    """How it begins."""

    @classmethod
    def of(cls, path: Path) -> TextFile:
        """Look at the first bytes.

        Raises:
            DataError: The file is no text, or of a packed format other than gzip.
            OSError: It cannot be read.
        """
        with open(path, "rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        with _unpacked(path, packed) as stream:
            raw = stream.read(HEAD)
        encoding = _encoding(path, raw)
        head = codecs.getincrementaldecoder(encoding)("replace").decode(raw)
        return cls(path, encoding, packed, head)

    @property
    def line_end(self) -> str:
        r"""What ends a line: "\n", but "\r" where there is no other line end."""
        return "\r" if "\r" in self.head and "\n" not in self.head else "\n"

    @contextmanager
    def open(self, newline: str) -> Iterator[TextIO]:
        """Open it for reading; `newline` as of `io.open`, and nothing is translated.

        Raises:
            DataError: While it is read: a byte that its encoding has not (the message names line and byte), or a
                broken gzip file.
        """
        try:
            with (
                _unpacked(self.path, self.packed) as stream,
                io.TextIOWrapper(stream, encoding=self.encoding, newline=newline) as text,
            ):
                yield text
        except UnicodeDecodeError as error:
            raise self._undecodable() from error

    def _undecodable(self) -> DataError:
        with _unpacked(self.path, self.packed) as stream:
            raw = stream.read()
        try:
            raw.decode(self.encoding)
        except UnicodeDecodeError as error:
            line = raw[: error.start].decode(self.encoding, "ignore").count(self.line_end) + 1
            byte, place = raw[error.start], error.start
        else:
            return DataError(f"{self.path} changed while it was read", "start again when it is complete")
        name = self.path.name
        source = f"gunzip -c {name} | iconv" if self.packed else "iconv"
        target = f"{'' if self.packed else f'{name} '}> utf8{Path(self.path.stem).suffix or self.path.suffix}"
        expected = "-".join(self.encoding.upper().split("-")[:2])
        encoding, remark = ("WINDOWS-1252", " (or whichever encoding it has)") if _western(raw) else ("ENCODING", "")
        return DataError(
            f"{self.path}, line {line}: byte 0x{byte:02x} at {place}, expected {expected}",
            f"{source} -f {encoding} -t UTF-8 {target}{remark}",
        )


def read_text(path: Path) -> str:
    """The text of a file, as `TextFile` finds it; line ends are as they are.

    Raises:
        DataError: The file is of another encoding; the message names the line and the byte.
    """
    with TextFile.of(path).open("") as text:
        return text.read()


@contextmanager
def _unpacked(path: Path, packed: bool) -> Iterator[IO[bytes]]:
    if not packed:
        with open(path, "rb") as plain:
            yield plain
        return
    try:
        with gzip.open(path) as stream:
            yield cast("IO[bytes]", stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}", "copy it again") from error


def _encoding(path: Path, raw: bytes) -> str:
    for pattern, what, hint in _FORMATS:
        if pattern.match(raw):
            raise DataError(f"{path} is {what}, expected text", hint)
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return encoding
    if b"\0" not in raw:
        return "utf-8"
    if raw.startswith(_SPOILT):
        raise DataError(
            f"{path} is UTF-16 that was converted to UTF-8 as if it were another encoding, expected text",
            "convert the original: iconv -f UTF-16 -t UTF-8, or give it as it is",
        )
    for encoding, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        if _is_utf16(raw, encoding, place):
            return encoding
    if raw.count(b"\0") > BINARY_SHARE * len(raw):
        raise DataError(
            f"{path} is no text: {raw.count(0)} of its first {len(raw)} bytes are NUL", "is it another file?"
        )
    return "utf-8"


def _is_utf16(raw: bytes, encoding: str, place: int) -> bool:
    """Whether it is UTF-16 without a mark: nearly all NULs are the upper bytes of letters, and there are lines."""
    upper, lower = raw[place::2].count(0), raw[1 - place :: 2].count(0)
    if upper < 2 or lower * 20 > upper:
        return False
    text = raw[: len(raw) // 2 * 2].decode(encoding, "replace")
    return "\0" not in text and "\ufffd" not in text[:-1] and ("\n" in text or "\r" in text)


def _western(raw: bytes) -> bool:
    try:
        raw.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return b"\0" not in raw
