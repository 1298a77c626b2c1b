"""From the bytes of a corpus to its documents: decoded, split, cleaned, and named by a hash of their text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from subarch.errors import DataError
from subarch.tasks.corpus.markup import strip_markup

Boundaries = Literal["blank-line", "line", "file"]
"""Where a document of plain text ends: at an empty line, at each line, or with its file."""
Format = Literal["text", "jsonl", "parquet"]

MAX_CHARACTERS = 2**22
"""A longer document is cut into several, at white space: a corpus must not have to fit into memory."""
HASH_BYTES = 16
_BLANK_LINE = re.compile(r"\n[ \t\r\f\v]*\n")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of an input that begins and ends with a document."""

    source: int
    """Index of the input."""
    name: str
    """Of the input, for messages."""
    offset: int
    """Where the part begins: a byte (of what was decompressed), or a row of Parquet."""
    end: int
    """Where the next part begins."""
    position: int
    """Bytes of the input as it lies on disk that were read up to here; for the progress."""
    format: Format
    payload: bytes | list[str | None]
    """Of Parquet its texts, else bytes."""
    cut: bool = False
    """Whether the part ends inside a document that is too long."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How documents are found and which are kept."""

    boundaries: Boundaries = "blank-line"
    text: str = "text"
    """Field of JSON lines, column of Parquet."""
    min_words: int = 0
    strip_markup: bool = False
    seed: int = 0
    """Of the hash of a document's text."""


@dataclass
class Tally:
    """What was read, and what was left out."""

    bytes: int = 0
    documents: int = 0
    """Those that are kept."""
    short_documents: int = 0
    """Dropped: fewer words than `min_words`."""
    cut_documents: int = 0
    """How often a document was too long and was cut in two."""
    undecodable_bytes: int = 0
    """Bytes that are not UTF-8, and NUL bytes."""
    first_undecodable: dict[str, Any] | None = None
    """`file` and `offset` of the first of them."""

    def add(self, other: Tally) -> None:
        """Count `other`, which was read after this one, too."""
        for name in ("bytes", "documents", "short_documents", "cut_documents", "undecodable_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.first_undecodable = self.first_undecodable or other.first_undecodable


@dataclass
class Documents:
    """The documents of some spans."""

    texts: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def hashes(self, seed: int) -> bytes:
        """`HASH_BYTES` for each text, one after the other."""
        key = seed.to_bytes(8, "little", signed=True)
        return b"".join(hashlib.blake2b(text.encode(), digest_size=HASH_BYTES, key=key).digest() for text in self.texts)


def read_documents(spans: Iterable[Span], reading: Reading) -> Documents:
    """The documents of spans, in their order.

    Raises:
        DataError: A line that is no JSON object with a text in the field.
    """
    found = Documents()
    clean: Callable[[str], str] = strip_markup if reading.strip_markup else str.strip
    for span in spans:
        found.tally.cut_documents += span.cut
        for text in _texts(span, reading, found.tally):
            cleaned = clean(text)
            if reading.min_words and len(cleaned.split()) < reading.min_words:
                found.tally.short_documents += bool(cleaned)
                continue
            pieces = list(_pieces(cleaned))
            found.tally.cut_documents += max(0, len(pieces) - 1)
            found.texts.extend(pieces)
    found.tally.documents = len(found.texts)
    return found


def _texts(span: Span, reading: Reading, tally: Tally) -> Iterator[str]:
    if isinstance(span.payload, list):
        for cell in span.payload:
            if cell is not None:
                tally.bytes += len(cell)
                yield _without_nul(cell)
        return
    tally.bytes += len(span.payload)
    text = _decode(span, tally)
    if span.format == "jsonl":
        yield from _json_texts(span, text, reading.text)
    elif reading.boundaries == "file":
        yield text
    elif reading.boundaries == "line":
        yield from text.split("\n")
    else:
        yield from _BLANK_LINE.split(text)


def _decode(span: Span, tally: Tally) -> str:
    """The text of a span; what is not UTF-8 becomes the replacement character, what is NUL is dropped."""
    raw = span.payload
    assert isinstance(raw, bytes)
    nul = raw.find(b"\0")
    try:
        text, first = raw.decode("utf-8"), nul
    except UnicodeDecodeError as error:
        text, first = raw.decode("utf-8", "replace"), error.start if nul < 0 else min(nul, error.start)
        # The decoder writes three bytes' worth for each run of bad bytes, and keeps the rest as it was.
        runs = text.count(_REPLACEMENT) - raw.count(_REPLACEMENT.encode())
        tally.undecodable_bytes += len(raw) - (len(text.encode()) - 3 * runs)
    if first >= 0:
        tally.undecodable_bytes += raw.count(b"\0")
        tally.first_undecodable = tally.first_undecodable or {"file": span.name, "offset": span.offset + first}
        text = text.replace("\0", "")
    text = text.replace("\r\n", "\n")
    return text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") if span.offset == 0 else text


def _json_texts(span: Span, text: str, name: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{span.name}, line {number} from byte {span.offset}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{place}: not JSON ({error})", "expected one object a line") from error
        if not isinstance(row, dict):
            raise DataError(f"{place}: a {type(row).__name__}, expected an object")
        if name not in row:
            raise DataError(f"{place}: no field {name!r} (text)", f"fields: {', '.join(sorted(row)) or 'none'}")
        value = row[name]
        if value is not None and not isinstance(value, str):
            raise DataError(f"{place}: {name!r} is a {type(value).__name__}, expected text")
        if value is not None:
            yield _without_nul(value)


def _without_nul(text: str) -> str:
    # JSON may hold half of a surrogate pair, which no encoding can write
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _pieces(text: str) -> Iterator[str]:
    """`text`, or if it is too long its parts, cut after white space where there is any; nothing where it is empty."""
    start = 0
    while len(text) - start > MAX_CHARACTERS:
        stop = start + MAX_CHARACTERS
        places = [text.rfind(mark, start + MAX_CHARACTERS // 2, stop) for mark in ("\n", " ")]
        stop = next((place + 1 for place in places if place >= 0), stop)
        if piece := text[start:stop].strip():
            yield piece
        start = stop
    if rest := text[start:].strip():
        yield rest
