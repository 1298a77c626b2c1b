"""Answers in a text: the first and the last token of the second text that answer the first, or no answer.

Long texts come in windows. A model's folder says in `SETTINGS` from which score on there is no answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn
from transformers import AutoModelForQuestionAnswering, PreTrainedModel
from transformers import PreTrainedConfig as PretrainedConfig
from transformers.initialization import no_init_weights

from subarch.arch.costs import Head
from subarch.arch.pretrained import has_span_head, load_span_model
from subarch.deploy.formats.base import Opening
from subarch.errors import ConfigError, ModelError
from subarch.kinds.base import SETTINGS, Kind, Tokenised
from subarch.kinds.floors.baseline import Floors, Read, whole
from subarch.kinds.floors.overlap import empty, overlap
from subarch.kinds.span_files import holds_questions, load_question_file, load_question_files
from subarch.tasks.base import Array, Examples, Task, TaskData
from subarch.tasks.columns import Columns
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.spans import best_spans, tune_threshold
from subarch.tasks.suites.squad import load_squad_file
from subarch.tasks.windows import Windows, encode_windows
from subarch.training.classifier import EncodedData
from subarch.training.losses import Loss
from subarch.training.span import SpanDivergence, SpanModel, SpanTeacher, predict_spans, span_errors, span_loss

_WITHOUT_DROPOUT = ("bert", "roberta", "electra")
"""Families whose question-answering models have no dropout before their head."""
STRIDE = 128
"""Tokens that neighbouring windows share; a third of a window where that is less."""


_LINES = """\
{imports}
tokenizer = AutoTokenizer.from_pretrained("{folder}")
{load}
settings = json.loads(Path("{folder}/{settings}").read_text())
threshold = settings["no_answer_threshold"]  # null: every question has an answer
question, context = "a question", "a text that holds the answer"
windows = tokenizer(
    question, context, truncation="only_second", max_length={max_length}, stride={stride},
    return_overflowing_tokens=True, return_offsets_mapping=True,
)
outputs = []
for row in range(len(windows["input_ids"])):
    inputs = {{name: {array}([windows[name][row]]) for name in tokenizer.model_input_names}}
    outputs.append([each[0] for each in {ask}])
answer, best = "", -float("inf")
for count in (20, {max_length}):  # all tokens where the 20 best starts and ends hold no answer
    for row, (start, end) in enumerate(outputs):
        places, text = windows["offset_mapping"][row], windows.sequence_ids(row)
        for first in start.argsort()[-count:]:
            for last in end.argsort()[-count:]:
                if text[first] == text[last] == 1 and first <= last < first + 30:
                    begin, stop, score = places[first][0], places[last][1], start[first] + end[last]
                    if begin < stop and score > best:
                        answer, best = context[begin:stop], score
    if answer:
        break
no_answer = min(start[0] + end[0] for start, end in outputs)  # the first token stands for no answer
print("" if threshold is not None and no_answer - best > threshold else answer)
"""
"""Braces are those of `str.format`."""


class Span(Kind):
    """Two outputs a token: the logits of the start and of the end of the answer."""

    name = "span"
    expected = "spans"
    head: ClassVar[Head] = "question-answering"
    problem_type = None
    words = "answers in a text"
    unit = "question"
    parts: ClassVar[Mapping[str, str]] = {"title": "article", "question_word": "question word"}
    pipeline_tag = "question-answering"
    outputs_note = "Two outputs a token: the start and the end of the answer."
    auto_class = "AutoModelForQuestionAnswering"
    output_names = ("start_logits", "end_logits")
    by_token = True
    further_metrics = tuple(
        f"{prefix}_{name}" for prefix in ("has_answer", "no_answer", "best") for name in ("exact_match", "f1")
    )
    has_settings = True
    draws_head = False
    pools = False
    cuts = False

    def has_dropout(self, family: str) -> bool:
        """BERT's and its nearest relatives have none."""
        return family not in _WITHOUT_DROPOUT

    def names_of_outputs(self, task: Task) -> dict[int, str] | None:
        """Start and end have no names."""
        return None

    def has_head(self, path: Path) -> bool:
        """Whether a question-answering head was saved."""
        return has_span_head(path)

    def exported(self, config: Mapping[str, Any]) -> bool:
        """Where config.json names a question-answering model."""
        return any(name.endswith("ForQuestionAnswering") for name in config.get("architectures") or ())

    def load(self, path: Path, task: Task, *, activated: bool = True) -> PreTrainedModel:
        """A question-answering model."""
        return load_span_model(path)

    def saved(self, path: Path) -> PreTrainedModel:
        """A question-answering model."""
        return load_span_model(path, attn_implementation="eager")

    def build(self, config: PretrainedConfig, *, empty: bool = False) -> PreTrainedModel:
        """A question-answering model."""
        with no_init_weights() if empty else nullcontext():
            model: PreTrainedModel = AutoModelForQuestionAnswering.from_config(config)
        return model

    def network(self, model: nn.Module) -> nn.Module:
        """Start and end logits as one."""
        return SpanModel(model)

    def recognises(self, train: Path, given: Columns) -> bool:
        """SQuAD's JSON, or columns for question, context and answers."""
        return holds_questions(train, given)

    def load_files(self, files: Mapping[str, Path], given: Columns, seed: int) -> TaskData:
        """Questions with answers in a text."""
        return load_question_files(files, given, seed)

    def load_split(self, path: Path, task: Task, keep: tuple[str, ...] = ()) -> Examples:
        """Further questions; of a published task in its official layout, which is repaired where it has to be."""
        return load_question_file(path, task, keep) if task.source is None else load_squad_file(path)[0]

    def labelled(self, examples: Examples) -> bool:
        """Whether the accepted answers are known."""
        return "answers" in examples.columns

    def tokenise(self, tokenizer: Any, examples: Examples, max_length: int, pad_token_id: int) -> Tokenised:
        """Windows, several a question where its context is long."""
        windows = encode_windows(tokenizer, examples, max_length=max_length, stride=_stride(max_length))
        return Tokenised(data=EncodedData(encoded=windows.encoded, pad_token_id=pad_token_id), windows=windows)

    def stored(self, train: EncodedData) -> Tokenised:
        """Windows whose texts are not known, only their tokens."""
        ids = train.encoded.input_ids
        return Tokenised(data=train, windows=Windows(train.encoded, np.arange(len(train.encoded)), ids, ids, 0))

    def require_same_rows(self, student: Tokenised, teacher: Tokenised, source: Path) -> None:
        """A span is imitated token by token; a cut vocabulary numbers the same tokens otherwise."""
        ours, theirs = student.windows, teacher.windows
        assert ours is not None
        assert theirs is not None
        same = np.array_equal(ours.encoded.offsets, theirs.encoded.offsets)
        if not (same and np.array_equal(ours.starts, theirs.starts) and np.array_equal(ours.ends, theirs.ends)):
            raise ConfigError(
                f"the tokenizer of {source} cuts texts otherwise than the student's, expected the same pieces",
                "a span is imitated token by token: take a teacher with the student's tokenizer",
            )

    def task_loss(self, labels: Array | None) -> Loss:
        """Cross-entropy of start and end."""
        return span_loss

    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """T²·KL over the tokens, mean of start and end."""
        return SpanDivergence(temperature=temperature)

    def imitable(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """The last."""
        return (-1,)

    def teacher_answers(
        self, teacher: PreTrainedModel, rows: Tokenised, path: Path, layers: tuple[int, ...] = ()
    ) -> SpanTeacher:
        """Two logits a token; of the hidden layers the last alone."""
        assert rows.windows is not None
        return SpanTeacher(
            teacher=teacher,
            windows=rows.windows,
            pad_token_id=rows.data.pad_token_id,
            path=path,
            with_hidden=bool(layers),
        )

    def predict(self, model: nn.Module, rows: Tokenised) -> Array:
        """(tokens, 2) logits of start and end."""
        assert rows.windows is not None
        inner = model.model if isinstance(model, SpanModel) else model
        return np.stack(predict_spans(inner, rows.windows, rows.data.pad_token_id), axis=1)

    def held_out_answers(
        self,
        teacher: PreTrainedModel,
        rows: Tokenised,
        kept: Sequence[int] | None,
        own: Callable[[], Tokenised],
    ) -> Array:
        """Both read the windows as the students' tokenizer cuts them: tokens are compared one by one.

        Each of its tokens is one of the teacher's, who meets words that the students have no token for in pieces.
        """
        if kept is None:
            return self.predict(teacher, rows)
        assert rows.windows is not None
        known = np.asarray(kept, dtype=rows.data.encoded.input_ids.dtype)
        encoded = replace(rows.data.encoded, input_ids=known[rows.data.encoded.input_ids])
        # The number of the padding is the students'; no output depends on it.
        data = EncodedData(encoded=encoded, pad_token_id=rows.data.pad_token_id)
        return self.predict(teacher, Tokenised(data=data, windows=replace(rows.windows, encoded=encoded)))

    def predictions(self, outputs: Array, rows: Tokenised, examples: Examples) -> Predictions:
        """The best text of each context, and how much higher "no answer" scores."""
        assert rows.windows is not None
        return best_spans(outputs[:, 0], outputs[:, 1], rows.windows, examples)

    def tuned(self, predictions: Predictions, examples: Examples) -> Predictions:
        """With the threshold of "no answer" that gives the best F1."""
        return replace(predictions, threshold=tune_threshold(predictions, examples))

    def as_set(self, predictions: Predictions, path: Path) -> Predictions:
        """At the folder's threshold of "no answer"."""
        return replace(predictions, threshold=read_threshold(path))

    def lines(self, task: Task, folder: str, max_length: int, opening: Opening) -> list[str]:
        """A question and its context in windows, decoded as `best_spans` does."""
        package = opening.array.split(".")[0]
        return _LINES.format(
            imports="\n".join(("import json", "from pathlib import Path", f"import {package}", *opening.imports)),
            folder=folder,
            load=opening.load,
            settings=SETTINGS,
            max_length=max_length,
            stride=_stride(max_length),
            array=opening.array,
            ask=opening.ask,
        ).splitlines()

    def settings_of(self, predictions: Predictions) -> dict[str, Any] | None:
        """The threshold; null where every question is answered."""
        threshold = float(predictions.threshold)
        return {"no_answer_threshold": threshold if math.isfinite(threshold) else None}

    def told_metrics(self, task: Task) -> tuple[str, ...]:
        """Exact match and F1, also of the questions with an answer and of those without."""
        return (*task.metrics, *(f"{which}_{name}" for which in ("has_answer", "no_answer") for name in task.metrics))

    def agree(self, one: Predictions, other: Predictions, examples: Examples) -> Array:
        """The same text, or no answer."""
        return np.asarray([mine == theirs for mine, theirs in zip(one.answers, other.answers, strict=True)])

    def compare(self, expected: Sequence[Array], found: Sequence[Array], masks: Sequence[Array]) -> tuple[float, float]:
        """The same tokens for start and end; padding has no say."""
        differences, same, real = [], [], []
        for wanted, got, mask in zip(expected, found, masks, strict=True):
            inside = mask.astype(bool)
            hidden = np.where(inside[:, :, None], 0.0, -np.inf)
            differences.append(np.abs(wanted - got)[inside])
            same.append(((wanted + hidden).argmax(1) == (got + hidden).argmax(1)).all(1))
            real.append(wanted[inside])
        spread = float(np.concatenate(real).std()) or 1.0
        return float(np.concatenate(differences).max()) / spread, float(np.concatenate(same).mean())

    def units(self, rows: Tokenised, examples: Examples) -> list[Array]:
        """A question with all its windows."""
        assert rows.windows is not None
        places = np.searchsorted(rows.windows.example, np.arange(1, len(examples)))
        return [part for part in np.split(np.arange(len(rows.windows)), places) if len(part)]

    def errors(self, student: Array, teacher: Array, rows: Tokenised, groups: Array | None, error: str) -> Array:
        """(questions,) mean of start and end, and over the windows of a question."""
        assert rows.windows is not None
        return span_errors(student, teacher, rows.windows, kind=error)

    def floors(self, data: TaskData, read: Read = whole) -> Floors:
        """No answer, and the words around which most of the question's stand."""
        return Floors(commonest=empty(data), simple=overlap(data, read))

    def floor_seconds(self, rows: int, outputs: int) -> float:
        """Most of it is the choice on validation, and the answers to test."""
        return 10.0


def _stride(max_length: int) -> int:
    return min(STRIDE, max_length // 3)


def read_threshold(path: Path) -> float:
    """The threshold of "no answer" saved with a model; 0 where there is none, infinite: always answer.

    Raises:
        ModelError: The file holds something else.
    """
    file = path / SETTINGS
    if not file.is_file():
        return 0.0
    try:
        value = json.loads(file.read_text(encoding="utf-8"))["no_answer_threshold"]
        return float("inf") if value is None else float(value)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f'{file} holds no threshold, expected {{"no_answer_threshold": number or null}}', "remove the file"
        ) from error
