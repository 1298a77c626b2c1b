"""The task that needs no download: which library does a piece of documentation come from?

The texts are docstrings of six installed packages, read from their source files (nothing is imported), with
the names that give them away masked. Their number and content depend on the installed versions, which the
notes name: compare only runs with equal fingerprints. No file of a package gives texts to two splits.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.prose import docstrings, snippets

PACKAGES = {
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "transformers": "transformers",
}
"""Importable name -> name of the distribution."""

SIZES = {"test": 250, "validation": 100, "train": 400}
"""Texts of each class, where every package has so many."""

PER_FILE = {"test": 20, "validation": 20, "train": 60}
"""Texts of one file at most, so that no single module makes up a class; fewer where they are scored."""

SKIPPED_FOLDERS = {
    "tests",
    "testing",
    "test",
    "externals",
    "extern",
    "vendored",
    "third_party",
    "f2py",
    "include",
}
LARGEST_FILE = 250_000
"""Bytes; larger sources are generated."""

FEWEST_QUOTES = 8
"""Triple quotes in a file worth parsing; one with fewer documents too little for the time it takes."""

PYDOC = Task(
    name="pydoc",
    kind="classification",
    labels=tuple(PACKAGES),
    text="text",
    label="package",
    metrics=("accuracy", "f1_macro"),
    main_metric="accuracy",
)

Files = list[tuple[str, list[str]]]
"""Path and snippets of each source file."""


def load_pydoc(*, seed: int = 0) -> TaskData:
    """Build the task from the packages installed here; takes seconds.

    Args:
        seed: Decides which files validate and which train, and the order of the texts; which texts are test
            does not depend on it.

    Raises:
        DataError: One of the packages is not installed with its sources.
    """
    files = {package: _read_package(package) for package in PACKAGES}
    _drop_shared(files)
    rows: dict[str, list[tuple[str, int]]] = {split: [] for split in SIZES}
    dealt = [_deal(files[package], seed) for package in PACKAGES]
    for split in SIZES:
        least = min(len(texts[split]) for texts in dealt)
        if least == 0:
            raise DataError(f"one of {', '.join(PACKAGES)} has too few docstrings, expected hundreds")
        rows[split] = [(text, label) for label, texts in enumerate(dealt) for text in texts[split][:least]]
    rng = np.random.default_rng(seed)
    test, validation, train = (_examples(rows[split], rng) for split in SIZES)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES.values())
    return TaskData(PYDOC, train, validation, test, (f"docstrings of {versions}",))


def _read_package(package: str) -> Files:
    """Files in an order that is random but fixed, until they hold a few more snippets than wanted."""
    files: Files = []
    seen: set[str] = set()
    wanted = 2.0 * sum(SIZES.values())  # the caps per file take many of them away
    for name, path in _sources(package):
        try:
            texts = _read_file(path, seen)
        except (SyntaxError, UnicodeDecodeError):
            # Templates and sources for other interpreters; the next file will do.
            continue
        if texts:
            files.append((name, texts))
        if sum(len(texts) for _, texts in files) >= wanted:
            break
    return files


def _read_file(path: Path, seen: set[str]) -> list[str]:
    """Snippets of a file that are not in `seen`, which grows by them."""
    source = path.read_text(encoding="utf-8")
    if source.count('"""') < FEWEST_QUOTES:
        return []
    texts: list[str] = []
    for docstring in sorted(docstrings(source), key=_digest):
        for text in snippets(docstring):
            if text not in seen:
                seen.add(text)
                texts.append(text)
        if len(texts) >= max(PER_FILE.values()):
            break
    return texts


def _sources(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package} is not installed, the task pydoc needs it", "pip install it")
    root = Path(spec.submodule_search_locations[0])
    names = (path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    for name in sorted(names, key=lambda name: _digest(f"{package}/{name}")):
        folders = name.split("/")[:-1]
        skipped = any(folder in SKIPPED_FOLDERS or folder.startswith("_vendor") for folder in folders)
        if not skipped and (root / name).stat().st_size <= LARGEST_FILE:
            yield f"{package}/{name}", root / name


def _drop_shared(files: dict[str, Files]) -> None:
    """Drop the texts that two packages have."""
    owners = Counter(text for rows in files.values() for text in {text for _, texts in rows for text in texts})
    for rows in files.values():
        for _, texts in rows:
            texts[:] = [text for text in texts if owners[text] == 1]


def _deal(files: Files, seed: int) -> dict[str, list[str]]:
    """Whole files to each split in turn; what a split's last file has too much is left out."""
    dealt: dict[str, list[str]] = {}
    left = list(files)
    for split, size in SIZES.items():
        texts: list[str] = []
        while left and len(texts) < size:
            texts.extend(left.pop(0)[1][: PER_FILE[split]])
        dealt[split] = texts[:size]
        if split == "test":
            left.sort(key=lambda row: _digest(f"{seed}:{row[0]}"))
    return dealt


def _examples(rows: list[tuple[str, int]], rng: np.random.Generator) -> Examples:
    order = rng.permutation(len(rows))
    return Examples([rows[row][0] for row in order], None, np.array([rows[row][1] for row in order], dtype=np.int64))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
