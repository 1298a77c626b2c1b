"""Numbers as people read them: `91.4`, `22.7 M`, `90.9 MB`, `3.12 ms`, `11.2x`, `3 min 20 s`.

Every function takes None for a number that was not measured and gives an empty string back, so that a report
leaves out what it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_METRIC_NAMES = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1_macro": "macro F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "pearsonr": "Pearson correlation",
    "spearmanr": "Spearman correlation",
    "exact_match": "exact match",
    "r2": "R²",
    "has_answer_exact_match": "exact match, with an answer",
    "has_answer_f1": "F1, with an answer",
    "no_answer_exact_match": "exact match, without an answer",
    "no_answer_f1": "F1, without an answer",
    "best_exact_match": "exact match, best threshold",
    "best_f1": "F1, best threshold",
    "best_exact_match_threshold": "best threshold for exact match",
    "best_f1_threshold": "best threshold for F1",
}


def metric_name(name: str) -> str:
    """The words for a metric's key: `matthews_correlation` becomes "Matthews correlation"."""
    return _METRIC_NAMES.get(name, name.replace("_", " "))


def is_share(name: str) -> bool:
    """Whether a metric is a share or a correlation; errors and thresholds have units of their own."""
    return name != "rmse" and not name.endswith("_threshold")


def capital(text: str) -> str:
    """The text with its first letter capital, the others as they are."""
    return text[:1].upper() + text[1:]


def significant(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits and never in scientific notation."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    # Rounding first: 9.996 has one digit more before its point than its logarithm says.
    rounded = round(value, decimals)
    decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    return f"{rounded:,.{decimals}f}"


def score(value: float | None, *, percent: bool) -> str:
    """A score: of 100 with one decimal where `percent`, else with three significant digits."""
    if value is None:
        return ""
    return _signless_zero(f"{100 * value:.1f}") if percent else significant(value)


def interval(bounds: Sequence[float] | None, *, percent: bool) -> str:
    """The two ends of an interval, as `score` writes them, in brackets."""
    if bounds is None:
        return ""
    return f"[{score(bounds[0], percent=percent)}, {score(bounds[1], percent=percent)}]"


def count(value: float | None) -> str:
    """How many, rounded: 950, 10.9 k, 22.7 M, 1.31 B."""
    if value is None:
        return ""
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return significant(value / size) + unit
    return significant(value) if value != int(value) else str(int(value))


def size(value: float | None) -> str:
    """Bytes in decimal units, as disks and downloads count them: 43.1 kB, 90.9 MB, 1.34 GB."""
    if value is None:
        return ""
    for power, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * power:
            return f"{significant(value / power)} {unit}"
    return f"{int(value)} B"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds, three significant digits."""
    return "" if value is None else f"{significant(value)} ms"


def speedup(value: float | None) -> str:
    """How many times faster: 0.84x, 1.24x, 11.2x, 112x."""
    if value is None:
        return ""
    decimals = 2 if value < 1.995 else 1 if value < 99.95 else 0
    return f"{value:,.{decimals}f}x"


def percentage(share: float | None, decimals: int = 0) -> str:
    """A share of one as per cent; a share below one per cent keeps a decimal."""
    if share is None:
        return ""
    if decimals == 0 and 0 < abs(share) < 0.01:
        decimals = 1
    return f"{_signless_zero(f'{100 * share:.{decimals}f}')} %"


def seconds(value: float | None) -> str:
    """A duration: 0.4 s, 45 s, 3 min 20 s, 2 h 05 min."""
    if value is None:
        return ""
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def _signless_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text
