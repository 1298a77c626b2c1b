"""Carving a part out of the examples: stratified by label, and no text of it stands in the rest, alone or in others."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from subarch.tasks.base import Array, Examples, KindName
from subarch.tasks.containment import find_contained
from subarch.tasks.drawing import draw
from subarch.tasks.families import Families, Relations

BINS = 10
"""Quantile bins by which the scores of a regression are stratified."""

COPIES = "too many rows are related: only copies were kept on one side of the split"
UNSEEN = "too much text to look up: not every text that stands inside another was kept with it"


def validation_size(rows: int) -> int:
    """Rows to carve out of `rows` for validation: a tenth, from 200 to 1000, but at most a third."""
    return min(min(max(rows // 10, 200), 1000), rows // 3)


def carve(
    examples: Examples,
    size: int,
    *,
    kind: KindName,
    seed: int,
    keep: Collection[tuple[str, str]] = (),
    notes: list[str] | None = None,
) -> tuple[Examples, Examples]:
    """Split into (rest, part) of about `size` rows; every label keeps its share, and a text in the rest.

    Rows stay together where their texts are equal, where the whole text of one stands inside the other's, and where
    pairs share a text, directly or through other rows. Texts below `containment.RUN` words count only as equal rows.
    A family that does not fit stays in the rest. Where too few fit, texts that relate very many rows relate none of
    them, fewer and fewer, until nine tenths of the size fit, or as many as can; below half of it only copies count.

    Args:
        examples: With labels.
        size: Rows of the part; it gets fewer where families do not fit.
        kind: Scores of a regression are stratified by quantile.
        seed: Of the draw.
        keep: Keys (`Examples.text_keys`) of texts that stand in another split: what is related to them must stay in
            the rest.
        notes: Gets a line on what was kept together, where that is more than copies.
    """
    rest, [(part, told)] = carve_parts(examples, size, kind=kind, seeds=[seed], keep=keep)
    if notes is not None:
        notes.extend(told)
    return rest, part


def carve_parts(
    examples: Examples, size: int, *, kind: KindName, seeds: Sequence[int], keep: Collection[tuple[str, str]] = ()
) -> tuple[Examples, list[tuple[Examples, list[str]]]]:
    """Carve one part after the other out of what the one before left, each as `carve` does, at about half the cost.

    Args:
        examples: With labels.
        size: Rows of each part.
        kind: As of `carve`.
        seeds: One for each part.
        keep: As of `carve`.

    Returns:
        The rest, and each part with what is to be told of it.
    """
    relations, rows = Relations(examples, keep), np.arange(len(examples))
    parts = []
    for seed in seeds:
        labels = None if examples.labels is None else examples.labels[rows]
        names, strata = np.unique(_strata(labels, kind), return_inverse=True)
        quotas = _quotas(strata, len(names), size)
        chosen, told = _chosen(relations, strata, quotas, seed)
        parts.append((examples.take(rows[chosen]), told))
        relations, rows = relations.rest(chosen), rows[~chosen]
    return examples.take(rows), parts


def _chosen(relations: Relations, strata: Array, quotas: Array, seed: int) -> tuple[Array, list[str]]:
    """(N,) whether a row is in the part, and what is to be told of it."""
    copies = relations.copies()
    loosest = draw(copies, strata, quotas, seed)
    told = [] if relations.complete else [UNSEEN]
    if not relations.any:
        return loosest, told
    best, line = loosest, COPIES
    most_rows = int(loosest.sum() - 1) // 2
    for most in relations.limits(int(quotas.sum())):
        families = relations.families(most)
        chosen = draw(families, strata, quotas, seed)
        rows = int(chosen.sum())
        # A part out of a few odd families would not be like the rest, nor one that lacks a label.
        alike = 2 * _open(families, quotas) >= _open(copies, quotas) and set(strata[chosen]) >= set(strata[loosest])
        if alike and rows > most_rows:
            best, most_rows, line = chosen, rows, _line(families, most)
            if 10 * rows >= 9 * loosest.sum():
                break
    return best, [*told, line] if line else told


def _line(families: Families, most: float) -> str:
    told = []
    if families.joined:
        told.append(
            f"{families.joined:,} rows contain one another or share a text: such rows stay on one side of the split"
        )
    if most < np.inf:
        told.append(
            f"texts that relate more than {most:,} rows were not kept together, since too few rows would be left"
        )
    return "; ".join(told)


def _open(families: Families, quotas: Array) -> int:
    """Rows in families that could be drawn."""
    sizes = np.bincount(families.family)
    return int((families.movable & (sizes[families.family] <= quotas.sum())).sum())


def carve_groups(
    examples: Examples, size: int, *, seed: int, blocks: Sequence[Hashable] | None = None
) -> tuple[Examples, Examples]:
    """Split into (rest, part) of at most `size` questions; whole blocks of rows stay together.

    So do blocks whose text stands inside the text of another.

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
    """(N,) int64 numbers from 0, equal where rows share a group or a key, or the key of one stands inside the other's.

    Directly or through other rows.
    """
    numbers: dict[Hashable, int] = {}
    named = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    _, group = np.unique(groups, return_inverse=True)
    found = find_contained([[str(key) for key in numbers]])
    known = np.flatnonzero(found.texts[0] >= 0)
    # Nodes: groups, keys, texts.
    after_groups = int(group.max()) + 1
    after_keys = after_groups + len(numbers)
    starts = np.concatenate([group, known + after_groups, found.inner + after_keys])
    ends = np.concatenate([named + after_groups, found.texts[0][known] + after_keys, found.outer + after_keys])
    edges = coo_matrix((np.ones(len(starts), dtype=bool), (starts, ends)), shape=[after_keys + found.count] * 2)
    _, component = connected_components(edges, directed=False)
    _, block = np.unique(component[group], return_inverse=True)
    return np.asarray(block, dtype=np.int64)


def _strata(labels: Array | None, kind: KindName) -> Array:
    if labels is None:
        raise ValueError("examples without labels cannot be stratified")
    if kind == "classification":
        return labels
    edges = np.unique(np.quantile(labels, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, labels)


def _quotas(strata: Array, count: int, size: int) -> Array:
    """(count,) rows of each stratum, by largest remainder, adding up to `size`; at least 1 each where that fits."""
    rows = np.bincount(strata, minlength=count)
    exact = rows * size / rows.sum()
    quotas: Array = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: size - int(quotas.sum())]] += 1
    if size >= count:
        largest = [(-int(quota), stratum) for stratum, quota in enumerate(quotas)]
        heapq.heapify(largest)
        for stratum in np.flatnonzero(quotas == 0):
            quota, giver = heapq.heappop(largest)
            heapq.heappush(largest, (quota + 1, giver))
            quotas[giver] -= 1
            quotas[stratum] += 1
    return quotas
