"""The student of a trial: its settings, the architecture that they mean, and how it is made from its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
)

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_config
from subarch.arch.families import family_of
from subarch.arch.vocabulary import cut_special_ids
from subarch.errors import ConfigError
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.tasks.base import Task
from subarch.training.calibration import Calibration
from subarch.training.importance import Importance
from subarch.training.inherit import inherit, select

LayersName = Literal["important", "first", "last", "spread"]
SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

_BERT_DROPOUTS: dict[str, tuple[str, ...]] = {name: (name,) for name in DROPOUTS}
_CONFIG_DROPOUTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "bert": _BERT_DROPOUTS,
    "roberta": _BERT_DROPOUTS,
    "electra": _BERT_DROPOUTS,
    "distilbert": {
        "hidden_dropout_prob": ("dropout",),
        "attention_probs_dropout_prob": ("attention_dropout",),
        "classifier_dropout": ("seq_classif_dropout", "qa_dropout"),
    },
    "modernbert": {
        "hidden_dropout_prob": ("embedding_dropout", "mlp_dropout"),
        "attention_probs_dropout_prob": ("attention_dropout",),
        "classifier_dropout": ("classifier_dropout",),
    },
}
"""How each family spells the dropouts in its config.json."""


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """What the student is; None is what the teacher has."""

    num_hidden_layers: int | None = None
    """More than the teacher's come after its last one, drawn at random."""
    num_attention_heads: int | None = None
    hidden_size: int | None = None
    """Where only one of heads and width is given, the other follows: heads stay as wide as the teacher's."""
    intermediate_size: int | None = None
    embedding_size: int | None = None
    """Width of the tables below a projection; only ELECTRA has one."""
    vocabulary: float = 1.0
    """Share of the teacher's tokens that is kept; tokens of the training data are kept in any case."""
    layers: LayersName = "important"
    """Which of the teacher's layers are inherited: those whose absence hurts most, the first, the last, or evenly
    spread ones."""
    start: Literal["inherited", "random"] = "inherited"
    """Start from the teacher's most important weights, or from noise."""
    hidden_dropout_prob: float | None = None
    """A given dropout is used; what is None is the teacher's, and only where `distillation.dropout` keeps it."""
    attention_probs_dropout_prob: float | None = None
    classifier_dropout: float | None = None
    """Before the head."""
    initializer_range: float | None = None
    """Standard deviation of weights that are drawn at random."""

    def __post_init__(self) -> None:
        for name in (*SIZES, "embedding_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1")
        if not 0 < self.vocabulary <= 1:
            raise ConfigError(f"vocabulary is {self.vocabulary}, expected a share above 0 and up to 1")
        for name in DROPOUTS:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}, expected a share from 0 to 1")
        if self.initializer_range is not None and self.initializer_range < 0:
            raise ConfigError(f"initializer_range is {self.initializer_range}, expected 0 or more")


def architecture_of(student: StudentConfig, teacher: Architecture, vocab_size: int | None = None) -> Architecture:
    """The sizes of a student of this teacher.

    Args:
        student: Its settings.
        teacher: The teacher's sizes.
        vocab_size: Tokens that the student keeps; all by default.

    Raises:
        ConfigError: Sizes that cannot be: heads that do not divide the width or are not as wide as those that are
            inherited, a width or a feed-forward network larger than the teacher's that is to inherit them, an
            `embedding_size` in a family without one.
    """
    heads, hidden = _heads_and_width(student, teacher)
    depth = student.num_hidden_layers or teacher.num_hidden_layers
    found = _of_depth(teacher, depth).replace(
        num_attention_heads=heads,
        hidden_size=hidden,
        intermediate_size=student.intermediate_size or teacher.intermediate_size,
        embedding_size=student.embedding_size or teacher.embedding_size,
        vocab_size=vocab_size or teacher.vocab_size,
    )
    if student.start == "inherited":
        _require_inheritable(found, teacher)
    return found


def _heads_and_width(student: StudentConfig, teacher: Architecture) -> tuple[int, int]:
    heads, hidden, width = student.num_attention_heads, student.hidden_size, teacher.head_dim
    if hidden is None:
        heads = heads or teacher.num_attention_heads
        return heads, heads * width
    if heads is None:
        if hidden % width:
            raise ConfigError(
                f"hidden_size is {hidden}, expected a multiple of {width}, the width of the teacher's heads",
                "give num_attention_heads too, with start=random",
            )
        heads = hidden // width
    return heads, hidden


def _of_depth(teacher: Architecture, depth: int) -> Architecture:
    """The teacher with other layers' number; which of its layers stay is decided later, and changes no size."""
    known = teacher.num_hidden_layers
    if depth <= known:
        return teacher.keep_layers(range(depth))
    if teacher.local_attention is None:
        return teacher.replace(num_hidden_layers=depth)
    usual = teacher.replace(num_hidden_layers=depth, layer_types=None).attention_types
    return teacher.replace(num_hidden_layers=depth, layer_types=(*teacher.attention_types, *usual[known:]))


def _require_inheritable(student: Architecture, teacher: Architecture) -> None:
    hint = "use start=random, or sizes of the teacher's"
    if student.head_dim != teacher.head_dim:
        raise ConfigError(
            f"num_attention_heads {student.num_attention_heads} and hidden_size {student.hidden_size} make heads of "
            f"width {student.head_dim}, expected {teacher.head_dim} as the teacher's that are inherited",
            hint,
        )
    for name in ("hidden_size", "intermediate_size", "embedding_width"):
        own, theirs = getattr(student, name), getattr(teacher, name)
        if own > theirs:
            raise ConfigError(f"{name} is {own}, expected at most the teacher's {theirs}, which is inherited", hint)
    if (student.embedding_size is None) != (teacher.embedding_size is None):
        raise ConfigError(
            f"embedding_size is {student.embedding_width} of hidden_size {student.hidden_size}, the teacher's "
            f"{teacher.embedding_width} of {teacher.hidden_size}: only one of them projects its embeddings",
            hint,
        )


def inherited_layers(
    layers: LayersName, count: int, teacher: Architecture, drop_order: Sequence[int] | None
) -> tuple[int, ...]:
    """The teacher's layers that a student of `count` layers begins with, ascending; all where it is as deep or deeper.

    Args:
        layers: How they are chosen.
        count: The student's layers.
        teacher: The teacher's sizes.
        drop_order: Its layers, the most dispensable first; only "important" needs it.
    """
    depth = teacher.num_hidden_layers
    if count >= depth:
        return tuple(range(depth))
    if layers == "important":
        assert drop_order is not None
        return tuple(sorted(set(range(depth)) - set(drop_order[: depth - count])))
    if layers == "first":
        return tuple(range(count))
    if layers == "spread":
        return tuple(round(place) for place in np.linspace(0, depth - 1, count))
    last = tuple(range(depth - count, depth))
    return (0, *last[1:]) if family_of(teacher.family).keeps_first_layer else last


def imitated_layers(inherited: Sequence[int], depth: int) -> tuple[int, ...]:
    """For each layer that is inherited, the teacher's (from 1, of `depth`) whose output it imitates.

    It is the one before the next that is kept: a layer learns to do the work of those that were left out after it.
    """
    return (*inherited[1:], depth)


def require_meaning(student: StudentConfig, teacher: Architecture, task: Task) -> None:
    """Raise ConfigError for a setting that could have no effect in models of this family and kind of task."""
    kind = kind_of(task)
    if student.classifier_dropout is not None and not kind.has_dropout(teacher.family):
        raise ConfigError(
            f"student.classifier_dropout is {student.classifier_dropout}, but {teacher.family} models for "
            f"{kind.expected} have no dropout before their head",
            "leave it out",
        )


@dataclass(frozen=True, kw_only=True)
class Donor:
    """What students are made from: the teacher, opened up."""

    task: Task
    teacher: ModelFolder
    model: PreTrainedModel
    """The teacher in fp32, on the CPU, with its head for the task."""
    importance: Importance | None
    """None where nothing is inherited."""
    drop_order: tuple[int, ...] | None
    """The teacher's layers, the most dispensable first; None where that was not asked for."""
    calibration: Calibration | None = None
    """Rows on which what students lost is made up for; without them it is not."""

    def build(
        self, student: StudentConfig, kept_tokens: tuple[int, ...] | None, *, dropout: bool, seed: int
    ) -> PreTrainedModel:
        """A student in fp32 on the CPU; the same one for the same arguments.

        Args:
            student: Its settings.
            kept_tokens: The teacher's id of each of its tokens; None keeps all.
            dropout: Whether dropouts that the settings do not give are the teacher's; else they are 0.
            seed: Of the weights that are drawn.

        Raises:
            ConfigError: As `architecture_of`.
        """
        vocab_size = None if kept_tokens is None else len(kept_tokens)
        architecture = architecture_of(student, self.teacher.architecture, vocab_size)
        base = student_config(student, self._base(kept_tokens), dropout=dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if student.start == "random":
                return self._built(architecture, base, None)
            return self._inheriting(student, architecture, base, kept_tokens)

    def fresh(self, architecture: Architecture) -> PreTrainedModel:
        """A model of these sizes, drawn from torch's generator."""
        return self._built(architecture, self.teacher.config, None)

    def _inheriting(
        self,
        student: StudentConfig,
        architecture: Architecture,
        base: Mapping[str, Any],
        kept_tokens: tuple[int, ...] | None,
    ) -> PreTrainedModel:
        depth, known = architecture.num_hidden_layers, self.teacher.architecture.num_hidden_layers
        layers = inherited_layers(student.layers, depth, self.teacher.architecture, self.drop_order)
        if depth <= known:
            return self._heir(architecture, base, layers, kept_tokens)
        heir = self._heir(architecture.keep_layers(range(known)), base, layers, kept_tokens)
        deep = self._built(architecture, base, None)
        deep.load_state_dict(heir.state_dict(), strict=False)
        return deep

    def _heir(
        self,
        architecture: Architecture,
        base: Mapping[str, Any],
        layers: tuple[int, ...],
        kept_tokens: tuple[int, ...] | None,
    ) -> PreTrainedModel:
        """A student that is no deeper than the teacher, filled with its weights."""
        assert self.importance is not None
        teacher = self.teacher.architecture
        gone = [layer for layer in range(teacher.num_hidden_layers) if layer not in layers]
        selection = select(architecture, teacher, self.importance, drop_order=gone, vocab=kept_tokens)
        model = self._built(architecture, base, layers, empty=True)
        inherit(model, self.model, (architecture, teacher), selection, self.calibration)
        return model

    def _built(
        self,
        architecture: Architecture,
        base: Mapping[str, Any],
        layers: tuple[int, ...] | None,
        *,
        empty: bool = False,
    ) -> PreTrainedModel:
        kind = kind_of(self.task)
        config = build_config(
            architecture,
            base,
            num_labels=self.task.num_outputs,
            id2label=kind.names_of_outputs(self.task),
            problem_type=self.model.config.problem_type,
            layers=layers,
        )
        return kind.build(config, empty=empty)

    def _base(self, kept_tokens: tuple[int, ...] | None) -> dict[str, Any]:
        return self.teacher.config if kept_tokens is None else cut_special_ids(self.teacher.config, kept_tokens)


def restore_dropouts(model: PreTrainedModel, student: StudentConfig, teacher_config: Mapping[str, Any]) -> None:
    """Write the dropouts of `student_config` with `dropout` into a trained model's config, for who trains it on."""
    wanted = student_config(student, teacher_config, dropout=True)
    for keys in _CONFIG_DROPOUTS[model.config.model_type].values():
        for key in keys:
            if key in wanted:
                setattr(model.config, key, wanted[key])


def student_config(student: StudentConfig, base: Mapping[str, Any], *, dropout: bool) -> dict[str, Any]:
    """The teacher's config.json with the student's dropouts and `initializer_range`.

    Args:
        student: Its settings.
        base: The teacher's config.json.
        dropout: Whether dropouts that are not given stay as they are; else they become 0.
    """
    changed = dict(base)
    for name, keys in _CONFIG_DROPOUTS[str(base["model_type"])].items():
        value = getattr(student, name)
        if value is not None or not dropout:
            changed |= dict.fromkeys(keys, value or 0.0)
    if student.initializer_range is not None:
        changed["initializer_range"] = student.initializer_range
    return changed
