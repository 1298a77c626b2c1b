"""describe: the sizes of encoders, their parameters and their arithmetic, without loading any weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.arch.costs import Head, flops, parameters
from subarch.arch.families import family_of
from subarch.arch.folders import read_config
from subarch.arch.published import PUBLISHED, Published, bort_architecture
from subarch.errors import ConfigError, ModelError, did_you_mean

_FIELDS = (
    "family",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_COLUMNS = (
    "model",
    "family",
    "layers",
    "heads",
    "hidden",
    "intermediate",
    "vocabulary",
    "head",
    "parameters",
    "published",
    "embeddings",
    "encoder",
    "FLOPs",
)
_LEFT_ALIGNED = ("model", "family", "head")


def describe(sources: Sequence[str], *, sequence_length: int = 128) -> list[dict[str, Any]]:
    """Describe encoders by their sizes.

    Args:
        sources: Names of `PUBLISHED`; "D,A,H,I" such as "4,8,1024,768" for an encoder of Bort's search space;
            folders and Hub ids with a config.json.
        sequence_length: Tokens of the input whose forward pass `flops` counts.

    Returns:
        One JSON object a source. "head" says what "parameters" and "flops" count after the encoder: what the
        published number counts; else the pooler where the family has one.

    Raises:
        ModelError: A source that is none of these, or a family that subarch does not know.
        ConfigError: Sizes or a sequence length that cannot be.
    """
    return [_description(source, sequence_length) for source in sources]


def render(descriptions: Sequence[dict[str, Any]]) -> str:
    """A plain-text table of descriptions, with a line below it for every note."""
    rows = [_COLUMNS, *(_row(description) for description in descriptions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if title in _LEFT_ALIGNED else cell.rjust(width)
            for title, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lengths = sorted({description["sequence_length"] for description in descriptions})
    lines.append(f"FLOPs of one forward pass on {', '.join(map(str, lengths))} tokens")
    lines.extend(
        f"{description['name']}: {note}"
        for description in descriptions
        if (note := (description["published"] or {}).get("note"))
    )
    return "\n".join(lines)


def _description(source: str, sequence_length: int) -> dict[str, Any]:
    architecture, head, published = _look_up(source)
    count = parameters(architecture, head)
    return {
        "name": source,
        **{field: getattr(architecture, field) for field in _FIELDS},
        "head": head,
        "parameters": {
            "total": count.total,
            "embeddings": count.embeddings,
            "encoder": count.encoder,
            "head": count.head,
        },
        "flops": flops(architecture, sequence_length, head),
        "sequence_length": sequence_length,
        "published": published
        and {"parameters": published.parameters, "source": published.source, "note": published.note},
    }


def _look_up(source: str) -> tuple[Architecture, Head, Published | None]:
    if source in PUBLISHED:
        published = PUBLISHED[source]
        return published.architecture, published.head, published
    if "," in source:
        return bort_architecture(_sizes(source)), "none", None
    architecture = Architecture.from_config(_config(source))
    return architecture, "pooler" if family_of(architecture.family).has_pooler else "none", None


def _config(source: str) -> dict[str, Any]:
    try:
        return read_config(source)
    except ModelError as error:
        if Path(source).exists():
            raise
        # a published name was meant as often as a model
        hints = (error.hint, did_you_mean(source, PUBLISHED))
        raise ModelError(error.message, "; ".join(hint for hint in hints if hint)) from error


def _sizes(source: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", source)
    if match is None:
        raise ConfigError(
            f"got {source!r}, expected four whole numbers: layers, heads, hidden and intermediate size",
            "for example 4,8,1024,768",
        )
    layers, heads, hidden, intermediate = map(int, match.groups())
    return layers, heads, hidden, intermediate


def _row(description: dict[str, Any]) -> tuple[str, ...]:
    count = description["parameters"]
    published = (description["published"] or {}).get("parameters")
    return (
        description["name"],
        description["family"],
        str(description["num_hidden_layers"]),
        str(description["num_attention_heads"]),
        str(description["hidden_size"]),
        str(description["intermediate_size"]),
        str(description["vocab_size"]),
        description["head"],
        _human(count["total"]),
        "-" if published is None else _human(published),
        _human(count["embeddings"]),
        _human(count["encoder"]),
        _human(description["flops"]),
    )


def _human(number: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)
