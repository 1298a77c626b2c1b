"""The task's data as students see them: one view a vocabulary, tokenised once and kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors.numpy import load_file, save_file

from subarch.inputs.models import ModelFolder
from subarch.kinds.base import Tokenised
from subarch.storage import replacing_folder
from subarch.students.vocabulary import cut_tokenizer
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.encode import Encoded
from subarch.tasks.windows import Windows
from subarch.training.classifier import EncodedData

CURVE_EXAMPLES = 2000
"""Validation rows, a fixed sample, that are scored while a student is trained; all of them score it in the end."""
DATA = "data.safetensors"
_FIELDS = ("input_ids", "offsets", "token_type_ids", "labels")
_PLACES = ("example", "starts", "ends")


@dataclass(frozen=True, kw_only=True)
class View:
    """What students with one vocabulary see."""

    model: ModelFolder
    """The folder of their tokenizer."""
    kept: tuple[int, ...] | None
    """The teacher's id of each of their tokens; None where they have all."""
    train: EncodedData
    validation: Tokenised
    curve: Tokenised
    """The sample of the validation data that is scored in between."""


def curve_examples(data: TaskData) -> Examples:
    """The validation rows that are scored while a student is trained."""
    return data.validation.sample(CURVE_EXAMPLES)


def open_view(data: TaskData, teacher: ModelFolder, length: int, folder: Path, share: float) -> View:
    """The view of students that keep this share of the teacher's vocabulary; made where it is not there yet.

    Several processes may ask for it at the same time.

    Args:
        data: The task's.
        teacher: Whose tokenizer is cut.
        length: Longest input in tokens.
        folder: Of all views.
        share: Above 0, at most 1. All tokens of the training data are kept in any case, so that students see them as
            the teacher does.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
    """
    path = folder / f"vocabulary-{min(share, 1.0)!r}"
    if not (path / DATA).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{path.name}.lock"):
            if not (path / DATA).exists():
                _make(data, teacher, length, path, share)
    return _read(path, teacher, folder)


def vocabulary_size(teacher: ModelFolder, folder: Path, share: float) -> int | None:
    """Tokens of students with this share; None where their view is not made yet."""
    if share >= 1:
        return teacher.architecture.vocab_size
    path = folder / f"vocabulary-{share!r}" / DATA
    return len(load_file(path)["kept"]) if path.exists() else None


def _make(data: TaskData, teacher: ModelFolder, length: int, path: Path, share: float) -> None:
    whole = None if share >= 1 else open_view(data, teacher, length, path.parent, 1.0)
    with replacing_folder(path) as temporary:
        model = teacher
        arrays: dict[str, Array] = {}
        if whole is None:
            arrays |= _arrays("train", teacher.tokenise(data.task, data.train, length))
        else:
            kept = cut_tokenizer(teacher, whole.train.encoded.input_ids, share, temporary)
            arrays["kept"] = np.asarray(kept, dtype=np.int64)
            model = ModelFolder(temporary)
        arrays |= _arrays("validation", model.tokenise(data.task, data.validation, length))
        sample = curve_examples(data)
        if len(sample) < len(data.validation):
            arrays |= _arrays("curve", model.tokenise(data.task, sample, length))
        save_file(arrays, temporary / DATA)


def _arrays(name: str, rows: Tokenised) -> dict[str, Array]:
    encoded, windows = rows.data.encoded, rows.windows
    arrays = {f"{name}/{field}": getattr(encoded, field) for field in _FIELDS if getattr(encoded, field) is not None}
    # Where the tokens of the training data stand is never asked.
    if windows is not None and name != "train":
        arrays |= {f"{name}/{field}": getattr(windows, field) for field in _PLACES}
        arrays[f"{name}/cls_index"] = np.asarray([windows.cls_index])
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


@lru_cache(maxsize=2)
def _read(path: Path, teacher: ModelFolder, folder: Path) -> View:
    arrays = load_file(path / DATA)
    if "kept" not in arrays:
        model, kept = teacher, None
        train = _encoded(arrays, "train")
    else:
        model, kept = ModelFolder(path), tuple(arrays["kept"].tolist())
        whole = _read(folder / f"vocabulary-{1.0!r}", teacher, folder).train.encoded
        new_ids = np.zeros(teacher.architecture.vocab_size, dtype=whole.input_ids.dtype)
        new_ids[arrays["kept"]] = np.arange(len(arrays["kept"]))
        train = replace(whole, input_ids=new_ids[whole.input_ids])
    pad = model.pad_token_id
    validation = _part(arrays, "validation", pad)
    return View(
        model=model,
        kept=kept,
        train=EncodedData(encoded=train, pad_token_id=pad),
        validation=validation,
        curve=_part(arrays, "curve", pad) if "curve/offsets" in arrays else validation,
    )


def _encoded(arrays: Mapping[str, Array], name: str) -> Encoded:
    return Encoded(**{field: arrays.get(f"{name}/{field}") for field in _FIELDS})  # type: ignore[arg-type]


def _part(arrays: Mapping[str, Array], name: str, pad: int) -> Tokenised:
    encoded = _encoded(arrays, name)
    windows = None
    if f"{name}/cls_index" in arrays:
        example, starts, ends = (arrays[f"{name}/{field}"] for field in _PLACES)
        windows = Windows(encoded, example, starts, ends, int(arrays[f"{name}/cls_index"][0]))
    return Tokenised(data=EncodedData(encoded=encoded, pad_token_id=pad), windows=windows)
