"""A trained model as an ordinary Hugging Face folder, with a card that says how to use it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from subarch.arch.pretrained import quiet_transformers
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import SETTINGS
from subarch.kinds.registry import kind_of
from subarch.report.markdown import escape
from subarch.storage import replacing_folder, write_json
from subarch.tasks.base import Task
from subarch.tasks.scoring.predictions import Predictions

PARTIAL = "model.partial"
_MASKED = """\
from transformers import pipeline
fill = pipeline("fill-mask", model="PATH_OF_THIS_FOLDER")
"""


def save_model(
    path: Path,
    trained: PreTrainedModel,
    source: ModelFolder,
    task: Task,
    notes: Sequence[str] = (),
    said: Predictions | None = None,
) -> None:
    """Write model, tokenizer and a model card with these notes; files appear whole or not at all.

    `said` are its answers to validation data, where its kind takes settings from them (`Kind.settings_of`).
    """
    settings = None if said is None else kind_of(task).settings_of(said)
    if settings is not None:
        write_json(path / SETTINGS, settings)
    _save(path, trained, source.tokenizer, _card(path.name, task, source, notes))


def save_masked_lm(path: Path, trained: PreTrainedModel, tokenizer: Any) -> None:
    """Write a masked-language model, its tokenizer and a model card; files appear whole or not at all."""
    card = (
        f"---\nlibrary_name: transformers\npipeline_tag: fill-mask\n---\n\n# {escape(path.name)}\n\n"
        f"A masked-language model, pre-trained by subarch.\n\n```python\n{_MASKED}```\n"
    )
    _save(path, trained, tokenizer, card)


def take_model(source: Path, path: Path, task: Task, others: Collection[str]) -> None:
    """Copy the model of one folder to another, all but the files that are called `others`; whole or not at all."""
    with replacing_folder(path / PARTIAL) as temporary:
        for file in source.iterdir():
            if file.is_file() and file.name not in others:
                shutil.copy2(file, temporary / file.name)
        # A run that was killed after this step finds the model in `path` already, and nothing of it in `source`.
        model = ModelFolder(source if (source / "config.json").exists() else path)
        (temporary / "README.md").write_text(_card(path.name, task, model), encoding="utf-8")
    _unpack(path)


def _save(path: Path, trained: PreTrainedModel, tokenizer: Any, card: str) -> None:
    with replacing_folder(path / PARTIAL) as temporary, quiet_transformers():
        trained.to("cpu").save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        (temporary / "README.md").write_text(card, encoding="utf-8")
    _unpack(path)


def _unpack(path: Path) -> None:
    # config.json last: without it the folder is no model.
    for file in sorted((path / PARTIAL).iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(path / file.name)
    (path / PARTIAL).rmdir()


def _card(name: str, task: Task, model: ModelFolder, notes: Sequence[str] = ()) -> str:
    kind = kind_of(task)
    lines = kind.load_lines(task, "PATH_OF_THIS_FOLDER", min(task.max_length, model.architecture.max_length))
    labels = f"Labels: {', '.join(map(escape, task.labels))}." if task.labels else kind.outputs_note
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: {kind.pipeline_tag}\n---\n\n# {escape(name)}\n\n"
        f"A model for the task {escape(task.name)}, trained by subarch. {labels}\n\n"
        f"```python\n{lines}\n```\n" + "".join(f"\n{note[:1].upper()}{note[1:]}.\n" for note in notes)
    )
