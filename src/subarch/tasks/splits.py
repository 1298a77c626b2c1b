"""Carving a part out of the examples: stratified by label, and never the same text on both sides."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from subarch.tasks.base import Array, Examples, Kind

BINS = 10
"""Quantile bins by which the scores of a regression are stratified."""


def validation_size(rows: int) -> int:
    """Rows to carve out of `rows` for validation: a tenth, from 200 to 1000, but at most a third."""
    return min(min(max(rows // 10, 200), 1000), rows // 3)


def carve(
    examples: Examples, size: int, *, kind: Kind, seed: int, keep: Collection[tuple[str, str]] = ()
) -> tuple[Examples, Examples]:
    """Split into (rest, part) of about `size` rows; every label keeps its share, and a text in the rest.

    Args:
        examples: With labels.
        size: Rows of the part; it gets fewer where copies of one text do not fit.
        kind: Scores of a regression are stratified by quantile.
        seed: Of the draw.
        keep: Keys (`Examples.text_keys`) of texts that stand in another split, so must stay in the rest.
    """
    keys = examples.text_keys()
    numbers: dict[tuple[str, str], int] = {}
    group = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    _, first, copies = np.unique(group, return_index=True, return_counts=True)
    strata = _strata(examples.labels, kind)
    movable = np.array([keys[row] not in keep for row in first], dtype=bool)
    rng = np.random.default_rng(seed)
    part: list[int] = []
    for stratum, quota in _quotas(strata, size).items():
        groups = np.flatnonzero((strata[first] == stratum) & movable)
        anchored = bool(((strata[first] == stratum) & ~movable).any())
        groups = rng.permutation(groups)[: len(groups) if anchored else max(len(groups) - 1, 0)]
        left = quota
        for number in groups:
            if left <= 0:
                break
            if copies[number] <= left:
                part.append(int(number))
                left -= int(copies[number])
    chosen = np.isin(group, part)
    return examples.take(np.flatnonzero(~chosen)), examples.take(np.flatnonzero(chosen))


def without(examples: Examples, keys: Collection[tuple[str, str]]) -> Examples:
    """The examples whose texts are not among `keys`."""
    return examples.take(np.flatnonzero([key not in keys for key in examples.text_keys()]))


def _strata(labels: Array | None, kind: Kind) -> Array:
    if labels is None:
        raise ValueError("examples without labels cannot be stratified")
    if kind == "classification":
        return labels
    edges = np.unique(np.quantile(labels, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, labels)


def _quotas(strata: Array, size: int) -> dict[int, int]:
    """Rows of each stratum, by largest remainder, adding up to `size`; at least 1 each where that fits."""
    names, counts = np.unique(strata, return_counts=True)
    exact = counts * size / counts.sum()
    quotas = np.floor(exact).astype(np.int64)
    for index in np.argsort(quotas - exact, kind="stable")[: size - int(quotas.sum())]:
        quotas[index] += 1
    while size >= len(names) and (quotas == 0).any():
        quotas[int(quotas.argmax())] -= 1
        quotas[int(quotas.argmin())] += 1
    return {int(name): int(quota) for name, quota in zip(names, quotas, strict=True)}
