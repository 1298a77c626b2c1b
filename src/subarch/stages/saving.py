"""A trained model as an ordinary Hugging Face folder, with a card that says how to use it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from subarch.arch.pretrained import quiet_transformers
from subarch.report.markdown import escape
from subarch.stages.inputs import ModelFolder
from subarch.storage import replacing_folder
from subarch.tasks.base import Kind, Task

PARTIAL = "model.partial"
TAGS: dict[Kind, str] = {
    "classification": "text-classification",
    "regression": "text-classification",
    "choice": "multiple-choice",
    "span": "question-answering",
}
_PIPELINE = """\
from transformers import pipeline
classify = pipeline("text-classification", model="PATH_OF_THIS_FOLDER")
"""
_CHOICE = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")
model = AutoModelForSequenceClassification.from_pretrained("PATH_OF_THIS_FOLDER")
# one row a choice; the row with the highest output is the answer
outputs = model(**tokenizer([text] * len(choices), choices, padding=True, return_tensors="pt")).logits[:, 0]
answer = choices[outputs.argmax()]
"""
_SPAN = """\
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")
model = AutoModelForQuestionAnswering.from_pretrained("PATH_OF_THIS_FOLDER")
output = model(**tokenizer(question, context, return_tensors="pt"))  # start_logits and end_logits of each token
"""
_USES: dict[Kind, str] = {"classification": _PIPELINE, "regression": _PIPELINE, "choice": _CHOICE, "span": _SPAN}
_OUTPUTS: dict[Kind, str] = {
    "regression": "One real-valued output.",
    "choice": "One output a row: how well the second text answers the first.",
    "span": "Two outputs a token: the start and the end of the answer.",
}


_MASKED = """\
from transformers import pipeline
fill = pipeline("fill-mask", model="PATH_OF_THIS_FOLDER")
"""


def save_model(
    path: Path, trained: PreTrainedModel, source: ModelFolder, task: Task, notes: Sequence[str] = ()
) -> None:
    """Write model, tokenizer and a model card with these notes; files appear whole or not at all."""
    _save(path, trained, source.tokenizer, _card(path.name, task, notes))


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
        (temporary / "README.md").write_text(_card(path.name, task), encoding="utf-8")
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


def _card(name: str, task: Task, notes: Sequence[str] = ()) -> str:
    labels = f"Labels: {', '.join(map(escape, task.labels))}." if task.labels else _OUTPUTS[task.kind]
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: {TAGS[task.kind]}\n---\n\n# {escape(name)}\n\n"
        f"A model for the task {escape(task.name)}, trained by subarch. {labels}\n\n"
        f"```python\n{_USES[task.kind]}```\n" + "".join(f"\n{note[:1].upper()}{note[1:]}.\n" for note in notes)
    )
