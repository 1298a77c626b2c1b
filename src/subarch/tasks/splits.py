"""Carving a part out of the examples: stratified by label, and never the same text on both sides."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

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


def carve_groups(
    examples: Examples, size: int, *, seed: int, blocks: Sequence[Hashable] | None = None
) -> tuple[Examples, Examples]:
    """Split into (rest, part) of at most `size` questions; whole blocks of rows stay together.

    A question is a group of rows, or a row where there are no groups. Labels are not stratified: blocks are drawn as
    they come. Both sides get at least one block.

    Args:
        examples: At least two blocks of them.
        size: Questions of the part.
        seed: Of the draw, which is the same for every casting of the same questions.
        blocks: (N,) what the rows that must stay together share, say a passage; the first text where not given.
            Rows of one group are together in any case.
    """
    keys = [key for key, _ in examples.text_keys()] if blocks is None else blocks
    groups = np.arange(len(examples)) if examples.groups is None else examples.groups
    block = _joined(np.asarray(groups), keys)
    questions, first = np.unique(groups, return_index=True)
    sizes = np.bincount(block[first], minlength=int(block.max()) + 1)
    part: list[int] = []
    left = min(size, len(questions) - 1)
    for number in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[number] <= left and len(part) < len(sizes) - 1:
            part.append(int(number))
            left -= int(sizes[number])
    if not part and len(sizes) > 1:
        part.append(int(sizes.argmin()))
    chosen = np.isin(block, part)
    return examples.take(np.flatnonzero(~chosen)), examples.take(np.flatnonzero(chosen))


def balanced(examples: Examples, *, seed: int) -> Examples:
    """Without as many rows of label 0, drawn at random, as they outnumber those of label 1."""
    if examples.labels is None:
        raise ValueError("examples without labels cannot be balanced")
    wrong = np.flatnonzero(examples.labels == 0)
    surplus = len(wrong) - int((examples.labels == 1).sum())
    if surplus <= 0:
        return examples
    dropped = np.random.default_rng(seed).permutation(wrong)[:surplus]
    return examples.take(np.setdiff1d(np.arange(len(examples)), dropped))


def without(examples: Examples, keys: Collection[tuple[str, str]]) -> Examples:
    """The examples whose texts are not among `keys`; of a group all go where one is."""
    seen = np.array([key in keys for key in examples.text_keys()], dtype=bool)
    if examples.groups is not None:
        seen = np.isin(examples.groups, examples.groups[seen])
    return examples.take(np.flatnonzero(~seen))


def _joined(groups: Array, keys: Sequence[Hashable]) -> Array:
    """(N,) int64 numbers from 0, equal where rows share a group or a key, directly or through other rows."""
    numbers: dict[Hashable, int] = {}
    named = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    _, group = np.unique(groups, return_inverse=True)
    edges = coo_matrix((np.ones(len(named)), (group, named + int(group.max()) + 1)), shape=[len(named) * 2] * 2)
    _, component = connected_components(edges, directed=False)
    _, block = np.unique(component[group], return_inverse=True)
    return np.asarray(block, dtype=np.int64)


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
