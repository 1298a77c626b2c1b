"""Step 6 of Agora (arXiv 2010.07990): which hyperparameter sets leave Θ after an iteration.

| symbol | here                | in words                                                     |
|--------|---------------------|--------------------------------------------------------------|
| Θ      | `scored`            | the remaining sets, each with its accuracy in this iteration |
| θ      | `HyperparameterSet` | compared as the sequence of its (field, value) pairs         |
| CHS    | the last `kept`     | the set that outlasts all others                             |

Known: "Removes the hyperparameters belonging to the longest common sequence, rooted at the first element" of the sorted
sets (the author's post, "Bort: Algorithms and Applications"), and a cost of |θ|² for each set (the abstract). Ours: the
order is ascending, so that the worst is the root; the best one never leaves while others remain; pairs that all sets
have in common count for nothing; the other rules.
Cost: |Θ|·log|Θ| + |Θ|·|θ|² an iteration, and at most |Θ| iterations, since each removes its root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.hyperparameters import FIELDS, HyperparameterSet

Rule = Literal["lcs", "root", "prefix", "halving"]
Scored = tuple[HyperparameterSet, float | None]
"""A set and its accuracy, higher is better; None (or NaN) where its training failed."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What one iteration leaves of Θ."""

    kept: tuple[HyperparameterSet, ...]
    """Best first; empty ends the run."""
    removed: tuple[HyperparameterSet, ...]
    """Worst first."""
    root: HyperparameterSet
    """The worst of all."""
    common: int
    """Pairs that the removed sets share with the root but not with all; 0 where it leaves alone, and with `halving`."""


def prune(scored: Sequence[Scored], rule: Rule = "lcs") -> Pruned:
    """Remove the worst set and those like it, but never the best one unless it is the last.

    - `lcs`: all whose longest common subsequence with the root is as long as any set's is;
    - `prefix`: the same with the common prefix, so that sets that differ in the later fields leave together;
    - `root`: the root only;
    - `halving`: the worse half, whatever they are like (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    `lcs` and `prefix` do not look at pairs that all sets have, so that a field with one value changes nothing; where
    the root has no other pair in common with any set, it leaves alone. Failed trainings are worse than all others. Of
    equal scores the set whose first differing value is smaller, or absent, is the better one. The order of `scored` is
    without effect.

    Raises:
        ConfigError: No sets, a set given twice, or an unknown rule.
    """
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown pruning rule {rule!r}", did_you_mean(str(rule), get_args(Rule)))
    if not scored:
        raise ConfigError("no hyperparameter sets to prune, expected at least one")
    if len({theta for theta, _ in scored}) < len(scored):
        raise ConfigError("a hyperparameter set is scored twice, expected each once")
    ascending = _ascending(scored)
    if len(ascending) == 1:
        return Pruned(kept=(), removed=tuple(ascending), root=ascending[0], common=0)
    removed, common = _halved(ascending) if rule == "halving" else _like_the_root(ascending, _LIKENESS[rule])
    kept = tuple(theta for theta in reversed(ascending) if theta not in removed)
    return Pruned(kept=kept, removed=tuple(removed), root=ascending[0], common=common)


def longest_common_subsequence(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest sequence that is left of both when elements are dropped, by dynamic programming.

    Wagner and Fischer 1974; time |first|·|second|, one row of memory.
    """
    row = [0] * (len(second) + 1)
    for one in first:
        diagonal = 0  # the row before, one column to the left
        for column, other in enumerate(second, 1):
            above = row[column]
            row[column] = diagonal + 1 if one == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]


def common_prefix(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Number of elements before the first in which the sequences differ."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


_Likeness = Callable[[Sequence[Hashable], Sequence[Hashable]], int]
_LIKENESS: dict[str, _Likeness] = {
    "lcs": longest_common_subsequence,
    "prefix": common_prefix,
    "root": lambda first, second: 0,
}


def _ascending(scored: Sequence[Scored]) -> list[HyperparameterSet]:
    """Worst first (step 5)."""

    def tie_break(item: Scored) -> list[tuple[bool, float]]:
        values = [getattr(item[0], name) for name in FIELDS]
        return [(value is not None, value or 0.0) for value in values]

    def standing(item: Scored) -> tuple[bool, float]:
        failed = item[1] is None or math.isnan(item[1])
        return not failed, 0.0 if failed or item[1] is None else item[1]

    # Sorting keeps the order of equals, so the tie-break sorts first.
    return [theta for theta, _ in sorted(sorted(scored, key=tie_break, reverse=True), key=standing)]


def _like_the_root(ascending: Sequence[HyperparameterSet], likeness: _Likeness) -> tuple[list[HyperparameterSet], int]:
    of_all = set.intersection(*(set(theta.pairs) for theta in ascending))
    root, *others = ([pair for pair in theta.pairs if pair not in of_all] for theta in ascending)
    lengths = [likeness(root, other) for other in others]
    longest = max(lengths)
    # The last of all is the best one: it counts in the longest, and stays.
    between = zip(ascending[1:-1], lengths[:-1], strict=True)
    alike = [theta for theta, length in between if longest and length == longest]
    return [ascending[0], *alike], longest if alike else 0


def _halved(ascending: Sequence[HyperparameterSet]) -> tuple[list[HyperparameterSet], int]:
    return list(ascending[: -(len(ascending) // 2)]), 0
