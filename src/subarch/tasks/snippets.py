"""The task of the quickstart: is a snippet of a movie review negative or positive?

The snippets are those of the VADER paper (Hutto and Gilbert 2014), under the MIT licence. They lie in the source
distribution of vaderSentiment, and in no wheel. `make install` fetches it; without make:

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python -m subarch.tasks.snippets vaderSentiment-3.3.2.tar.gz
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from subarch.errors import DataError, StorageError, SubarchError
from subarch.storage import replacing_file
from subarch.tasks.base import Array, Examples, Task, TaskData
from subarch.tasks.splits import carve, validation_size

RELEASE = "vaderSentiment-3.3.2"
FILE = "movieReviewSnippets_GroundTruth.txt"
"""Lines of id, mean rating from -4 to 4, and text, separated by tabs."""
SHA256 = "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"
"""Of the file; with the right one its lines need no further check."""
MEMBERS = (f"{RELEASE}/additional_resources/hutto_ICWSM_2014.tar.gz", f"hutto_ICWSM_2014/{FILE}")
"""An archive in the source distribution, and the file in that archive."""
HOME = Path(sys.prefix) / "share" / "subarch"
"""Where the file is installed."""
HINT = (
    "run make install, or: pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 && "
    f"python -m subarch.tasks.snippets {RELEASE}.tar.gz"
)

LEAST = 0.5
"""A snippet whose mean rating is nearer to 0 is undecided, and left out."""
TEST_ROWS = 1500

SNIPPETS = Task(
    name="snippets",
    kind="classification",
    labels=("negative", "positive"),
    text="text",
    label="label",
    metrics=("accuracy", "f1_macro"),
    main_metric="accuracy",
)


def load_snippets(*, data_dir: Path | None = None, seed: int = 0) -> TaskData:
    """Read the task.

    Args:
        data_dir: Folder that may hold the file, in `VADER/` or by itself; else the installed one is read.
        seed: Of the carving of validation out of train. The test rows are those whose texts have the smallest hashes.

    Raises:
        DataError: The file is not there, or only one of another content.
    """
    rows = [line.split("\t") for line in _read(data_dir).decode("utf-8").splitlines()]
    decided = [row for row in rows if abs(float(row[1])) >= LEAST]
    labels = np.array([float(rating) > 0 for _, rating, _ in decided], dtype=np.int64)
    examples = Examples([text for *_, text in decided], None, labels, None, {"id": [number for number, *_ in decided]})
    test = _smallest_hashes(examples, TEST_ROWS)
    rest = examples.take(np.setdiff1d(np.arange(len(examples)), test))
    train, validation = carve(rest, validation_size(len(rest)), kind=SNIPPETS.kind, seed=seed)
    notes = (
        f"{len(rows)} snippets of movie reviews from {RELEASE}, each rated by 15 to 29 people (Hutto and Gilbert 2014)",
        f"{len(rows) - len(decided)} of them were left out as undecided: mean rating between -{LEAST} and {LEAST}",
        "copies of a text, in whatever case and spacing, are all in one split",
        "SST-2 is made of the same reviews: what was trained on one of the two is not measured by the other",
    )
    return TaskData(SNIPPETS, train, validation, examples.take(test), notes)


def install(sdist: Path, folder: Path | None = None) -> Path:
    """Put the file where `load_snippets` finds it.

    Args:
        sdist: The source distribution of vaderSentiment; nothing of it is unpacked but this one file.
        folder: In place of `HOME`.

    Raises:
        DataError: There is no such file in it, or one of another content.
        StorageError: The folder cannot be written.
    """
    try:
        with tarfile.open(sdist) as outer, tarfile.open(fileobj=_member(outer, MEMBERS[0])) as inner:
            raw = _member(inner, MEMBERS[1]).read()
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{sdist} is not the source distribution {RELEASE}.tar.gz", HINT) from error
    path = (HOME if folder is None else folder) / FILE
    try:
        with replacing_file(path) as temporary:
            temporary.write_bytes(_checked(raw, sdist))
    except StorageError as error:
        raise StorageError(error.message, "name another folder after the archive, for --data-dir") from error
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Install the file from the command line."""
    parser = argparse.ArgumentParser(prog="python -m subarch.tasks.snippets", description="Install the task snippets.")
    parser.add_argument("sdist", type=Path, help=f"{RELEASE}.tar.gz")
    parser.add_argument("folder", type=Path, nargs="?", help=f"for a later --data-dir; {HOME} by default")
    given = parser.parse_args(arguments)
    try:
        install(given.sdist, given.folder)
    except SubarchError as error:
        raise SystemExit(f"error: {error}") from error


def _read(data_dir: Path | None) -> bytes:
    """The file from the first place where it has the right content."""
    folders = [] if data_dir is None else [data_dir / "VADER", data_dir]
    found = [folder / FILE for folder in (*folders, HOME) if (folder / FILE).is_file()]
    if not found:
        raise DataError("the file of the task snippets is not installed", HINT)
    contents = [path.read_bytes() for path in found]
    right = next((raw for raw in contents if _sha256(raw) == SHA256), None)
    return _checked(contents[0], found[0]) if right is None else right


def _checked(raw: bytes, path: Path) -> bytes:
    if _sha256(raw) != SHA256:
        raise DataError(f"{path}: snippets with sha256 {_sha256(raw)[:12]}…, expected {SHA256[:12]}…", HINT)
    return raw


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def _smallest_hashes(examples: Examples, size: int) -> Array:
    """Rows, in ascending order, of the texts with the smallest hashes; copies of a text only where all of them fit."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, (text, _) in enumerate(examples.text_keys()):
        rows[_sha256(text.encode("utf-8"))].append(row)
    drawn: list[int] = []
    for key in sorted(rows):
        if len(drawn) + len(rows[key]) <= size:
            drawn += rows[key]
    return np.sort(np.array(drawn, dtype=np.int64))


if __name__ == "__main__":
    main()
