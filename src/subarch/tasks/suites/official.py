"""Official files of the benchmarks: where they lie, rows that know their line, and the Hub where there are none."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subarch.errors import DataError
from subarch.tasks.decoding import read_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """An object of a JSON file, and where it stands."""

    place: str
    """The file and the line, for messages."""
    value: dict[str, Any]

    def text(self, key: str) -> str:
        """A string; DataError where there is none."""
        return str(self._typed(key, str, "a string"))

    def integer(self, key: str) -> int:
        """A whole number, also where it is written as a string (AX-b numbers its rows so)."""
        value = self.value.get(key)
        if isinstance(value, str) and value.isdecimal():
            return int(value)
        return int(self._typed(key, int, "a whole number"))

    def row(self, key: str) -> Row:
        """An object inside this one."""
        return Row(self.place, self._typed(key, dict, "an object"))

    def rows(self, key: str) -> list[Row]:
        """The objects of a list."""
        values = self._typed(key, list, "a list of objects")
        if not all(isinstance(value, dict) for value in values):
            raise DataError(f"{self.place}: {key!r} is no list of objects, expected the official layout")
        return [Row(self.place, value) for value in values]

    def texts(self, key: str) -> list[str]:
        """The strings of a list."""
        values = self._typed(key, list, "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise DataError(f"{self.place}: {key!r} is no list of strings, expected the official layout")
        return list(values)

    def label(self, values: Sequence[Any]) -> int | None:
        """Index of "label" among `values`, or None where there is no label; DataError where it is another."""
        value = self.value.get("label")
        if value is None:
            return None
        # True equals 1 and False equals 0, which files of other versions write for each other.
        if value not in values:
            known = " or ".join(json.dumps(known) for known in values)
            raise DataError(f"{self.place}: unknown label {json.dumps(value)}, expected {known}")
        return list(values).index(value)

    def _typed(self, key: str, kind: type, words: str) -> Any:
        if key not in self.value:
            raise DataError(
                f"{self.place}: no {key!r}, expected {words}", f"it has {', '.join(map(repr, self.value)) or 'nothing'}"
            )
        value = self.value[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DataError(f"{self.place}: {key!r} is {json.dumps(value)[:40]}, expected {words}")
        return value


def find_file(homes: Sequence[Path], names: Sequence[str]) -> Path:
    """The first of `names` that lies in one of the folders `homes`.

    Raises:
        DataError: None does; the message names the first name in the folder that is there.
    """
    for name in names:
        for home in homes:
            if (home / name).is_file():
                return home / name
    home = next((home for home in homes if home.is_dir()), homes[0])
    raise DataError(
        f"{home / names[0]} is missing, expected the official file",
        "put it there, choose another --data-dir (or SUBARCH_DATA), or leave both out to read the Hub",
    )


def read_json_lines(path: Path) -> list[Row]:
    """One object a line; DataError names the line of a broken one."""
    rows = []
    # Only line feeds end a row: the texts hold other characters that splitlines() takes for line ends.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            rows.append(Row(f"{path}, line {number}", read_object(line, f"{path}, line {number}")))
    return rows


def read_object(text: str, place: str) -> dict[str, Any]:
    """A JSON object; DataError names `place` where it is broken or something else."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
    except _KeyTwice as error:
        raise DataError(f"{place}: {error.args[0]!r} stands twice in one object, expected each key once") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, character {error.colno}" if error.lineno > 1 else f"character {error.colno}"
        raise DataError(
            f"{place}: not JSON ({error.msg}, {where}), expected an object",
            "is the file complete? download it again",
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: a JSON {type(value).__name__}, expected an object")
    return value


class _KeyTwice(ValueError):
    pass


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _KeyTwice(next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number])))
    return value


def row_notes(path: Path, names: Sequence[str], got: int, expected: int, unit: str = "rows") -> list[str]:
    """What the report says of a file that is not the official one of `names`, or has not its number of rows."""
    if path.name != names[0]:
        return [f"sample file {path.name} stands in for the official {names[0]}: scores do not compare"]
    if got == expected:
        return []
    log.warning("%s has %d %s, the official file has %d", path, got, unit, expected)
    return [f"{path.name} has {got} {unit}, the official file has {expected}"]


def check_unique(ids: Iterable[str], places: Iterable[str]) -> None:
    """Raise DataError at the first id that stands a second time; `places` (files and lines) go with `ids`."""
    first: dict[str, str] = {}
    for name, place in zip(ids, places, strict=True):
        if name in first:
            raise DataError(f"{place}: the id {name} stands twice (before: {first[name]}), expected each once")
        first[name] = place


def load_hub(hub_id: str, config: str) -> Any:
    """The data set of that name on the Hub: a mapping of splits.

    Raises:
        DataError: The Hub, or the data set, is out of reach.
    """
    # Takes seconds to import, and a user with local files never needs it.
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        return datasets.load_dataset(hub_id, config)
    except (OSError, DatasetsError) as error:
        raise DataError(
            f"cannot read {hub_id} ({config}) from the Hub: {str(error).splitlines()[0]}",
            "go online, or give a folder with the official files by --data-dir or SUBARCH_DATA",
        ) from error


def hub_split(loaded: Any, split: str, hub_id: str) -> Any:
    """A split of what `load_hub` gave; DataError where it is missing."""
    if split not in loaded:
        raise DataError(f"{hub_id} has no split {split!r}, expected one of {', '.join(loaded)}")
    return loaded[split]


def hub_columns(split: Any) -> list[str]:
    """Names of the columns of a split."""
    return list(getattr(split, "column_names", split))


def hub_rows(split: Any, place: str) -> Iterator[Row]:
    """The rows of a split on the Hub; -1, its mark of a hidden label, becomes no label."""
    columns = {name: list(split[name]) for name in hub_columns(split)}
    names = list(columns)
    for number, values in enumerate(zip(*columns.values(), strict=True), start=1):
        value = dict(zip(names, values, strict=True))
        if value.get("label") == -1:
            value["label"] = None
        yield Row(f"{place}, row {number}", value)
