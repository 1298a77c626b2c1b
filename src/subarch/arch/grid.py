"""The search space as lists of absolute sizes, as Bort's: Ξ is their product where the heads divide the width."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.errors import ConfigError, did_you_mean

AXES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
BORT_SIZES = (
    "num_hidden_layers=2,4,6,8,10,12 num_attention_heads=4,8,12,16 "
    "hidden_size=512,768,1024 intermediate_size=256,512,768,1024,3072"
)
"""Bort's Ξ (arXiv 2010.10499, section 3.3): 300 architectures, since 10 of the 12 pairs of heads and widths divide."""
_EXAMPLE = 'for example --space "num_hidden_layers=2,4,6 hidden_size=256,384"'


def parse_sizes(text: str) -> dict[str, tuple[int, ...]]:
    """Read "num_hidden_layers=2,4,6 hidden_size=256,384": ascending sizes of each axis, each once.

    Raises:
        ConfigError: An unknown axis, one given twice, or a size that is no whole number above zero.
    """
    sizes: dict[str, tuple[int, ...]] = {}
    for word in text.split():
        name, equals, values = word.partition("=")
        if not equals or not re.fullmatch(r"\d+(,\d+)*", values):
            raise ConfigError(f"the space holds {word!r}, expected a name and whole numbers", _EXAMPLE)
        if name not in AXES:
            raise ConfigError(f"the space holds an unknown size {name!r}", did_you_mean(name, AXES))
        if name in sizes:
            raise ConfigError(f"the space gives {name} twice", f"write {name}=A,B in one word")
        sizes[name] = tuple(sorted({int(value) for value in values.split(",")}))
        if sizes[name][0] == 0:
            raise ConfigError(f"{name} is 0, expected sizes above zero", _EXAMPLE)
    if not sizes:
        raise ConfigError("the search space is empty: it names no sizes", _EXAMPLE)
    return sizes


def grid(
    teacher: Architecture, sizes: Mapping[str, tuple[int, ...]], vocab_size: int, *, inheritable: bool
) -> list[Architecture]:
    """Every combination of `sizes` that can be, sorted by parameter count.

    Args:
        teacher: Gives everything that `sizes` does not name; where that is the heads, their width.
        sizes: From `parse_sizes`.
        vocab_size: Tokens that the student keeps.
        inheritable: Only students that can take the teacher's weights: no larger, and heads of the same width.

    Raises:
        ConfigError: No combination can be.
    """
    found = list(_combinations(teacher, sizes))
    if not found:
        raise ConfigError(
            f"the search space is empty: no hidden_size of {_listed(sizes, 'hidden_size', teacher)} is a multiple of "
            f"any num_attention_heads of {_listed(sizes, 'num_attention_heads', teacher)}",
            "give heads that divide a width",
        )
    students = [student.replace(vocab_size=vocab_size) for student in found]
    if inheritable:
        students = [student for student in students if can_inherit(student, teacher)]
    if not students:
        raise ConfigError(
            f"none of the {len(found)} architectures of the space can inherit from the teacher: they are larger, or "
            f"their heads are not {teacher.head_dim} wide as its are",
            "use --set start=random, or sizes of the teacher's head width",
        )
    return sorted(students, key=lambda student: (parameters(student).total, str(student)))


def can_inherit(student: Architecture, teacher: Architecture) -> bool:
    """Whether the student can take its weights from the teacher's."""
    smaller = all(getattr(student, axis) <= getattr(teacher, axis) for axis in (*AXES, "vocab_size"))
    projected = (student.embedding_size is None) == (teacher.embedding_size is None)
    return smaller and projected and student.head_dim == teacher.head_dim


def _combinations(teacher: Architecture, sizes: Mapping[str, tuple[int, ...]]) -> Iterator[Architecture]:
    options = {axis: sizes.get(axis, (getattr(teacher, axis),)) for axis in AXES}
    for layers, hidden, intermediate in itertools.product(
        options["num_hidden_layers"], options["hidden_size"], options["intermediate_size"]
    ):
        heads_of = sizes.get("num_attention_heads", (max(1, hidden // teacher.head_dim),))
        for heads in heads_of:
            if hidden % heads == 0:
                yield _deep(teacher, layers).replace(
                    num_attention_heads=heads, hidden_size=hidden, intermediate_size=intermediate
                )


def _deep(teacher: Architecture, layers: int) -> Architecture:
    if layers <= teacher.num_hidden_layers:
        return teacher.keep_layers(range(layers))
    return teacher.replace(num_hidden_layers=layers, layer_types=None)


def _listed(sizes: Mapping[str, tuple[int, ...]], axis: str, teacher: Architecture) -> str:
    return ", ".join(map(str, sizes.get(axis, (getattr(teacher, axis),))))
