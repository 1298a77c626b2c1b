"""The τ by name, and which of them suit a task where the user names none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from subarch.errors import ConfigError, did_you_mean
from subarch.tasks.base import Task
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.edits import Drop, Repeat, Swap
from subarch.training.augment.noise import Casing, Typing, sees_casing
from subarch.training.augment.refill import Refill
from subarch.training.augment.segments import Exchange, SentenceOrder, has_passages, is_symmetric
from subarch.training.augment.synonyms import Synonyms


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What transformations are made of."""

    task: Task
    student_tokenizer: Any
    """Casing is left out where it does not see it."""
    masked_lm: tuple[PreTrainedModel, Any] | None = None
    """Model and tokenizer of `Refill`."""
    encoder: tuple[PreTrainedModel, Any] | None = None
    """Model and tokenizer whose embeddings `Synonyms` uses; without, those of `masked_lm`."""

    @property
    def embeddings(self) -> tuple[PreTrainedModel, Any] | None:
        """Of the encoder or the masked-language model."""
        return self.encoder or self.masked_lm


@dataclass(frozen=True, kw_only=True)
class _Row:
    make: Callable[[Ingredients], AnyTransformation]
    possible: Callable[[Ingredients], bool] = lambda given: True
    """Whether it can be made at all."""
    suits: Callable[[Ingredients], bool] = lambda given: True
    """Whether it is used unasked."""
    needs: str = ""
    """What is missing where it is not possible."""


def _refill(given: Ingredients) -> AnyTransformation:
    assert given.masked_lm is not None
    return Refill(model=given.masked_lm[0], tokenizer=given.masked_lm[1])


def _synonym(given: Ingredients) -> AnyTransformation:
    assert given.embeddings is not None
    return Synonyms(model=given.embeddings[0], tokenizer=given.embeddings[1])


_ROWS: dict[str, _Row] = {
    "refill": _Row(
        make=_refill, possible=lambda given: given.masked_lm is not None, needs="a masked-language model with its head"
    ),
    "synonym": _Row(make=_synonym, possible=lambda given: given.embeddings is not None, needs="an encoder"),
    "swap": _Row(make=lambda given: Swap()),
    "drop": _Row(make=lambda given: Drop()),
    "repeat": _Row(make=lambda given: Repeat()),
    "typing": _Row(make=lambda given: Typing()),
    "casing": _Row(make=lambda given: Casing(), suits=lambda given: sees_casing(given.student_tokenizer)),
    "segments": _Row(
        # If the table does not say that a pair may be exchanged, only the user's own choice exchanges it.
        make=lambda given: SentenceOrder() if has_passages(given.task) or not given.task.text_pair else Exchange(),
        suits=lambda given: is_symmetric(given.task) or has_passages(given.task),
    ),
}
NAMES = tuple(_ROWS)


def mixture(given: Ingredients, names: Sequence[str] = ()) -> tuple[AnyTransformation, ...]:
    """The τ of these names; without names all that can be made and suit the task and the student.

    Raises:
        ConfigError: An unknown name, or a τ for which something is missing.
    """
    for name in names:
        if name not in _ROWS:
            raise ConfigError(f"unknown transformation {name!r}", did_you_mean(name, NAMES))
        if not _ROWS[name].possible(given):
            raise ConfigError(f"the transformation {name} needs {_ROWS[name].needs}, but there is none")
    chosen = names or [name for name, row in _ROWS.items() if row.possible(given) and row.suits(given)]
    return tuple(_ROWS[name].make(given) for name in dict.fromkeys(chosen))
