"""Table 1 of the Bort paper: published numbers, the parameters really counted, and the error that each W implies.

    python benchmarks/table1.py

Nothing is trained or timed: the published seconds and W are taken as they are (arXiv 2010.10499). How many heads A2
and A3 have was not published; parameters and operations do not depend on it.
"""

from __future__ import annotations

import json

from subarch.arch.costs import flops, parameters
from subarch.arch.published import TABLE_1, counted_as_published
from subarch.optimize.fptas import Cost, w_coefficient

HEADER = ("", "D,A,H,I", "W", "published", "as counted there", "really", "s", "implied error", "GFLOP at 512")


def main() -> None:
    top = TABLE_1[-1]
    maximum = Cost(parameters=top.parameters, latency_ms=1000 * top.seconds)
    rows = []
    for row in TABLE_1:
        one = row.architecture
        cost = Cost(parameters=row.parameters, latency_ms=1000 * row.seconds)
        implied = None if row.w is None else w_coefficient(cost, 1.0, maximum) / row.w
        corrected = one.hidden_size == 1024 and row.w is not None  # A1 to A3, whose sizes the table swaps
        sizes = (one.num_hidden_layers, one.num_attention_heads, one.hidden_size, one.intermediate_size)
        rows.append(
            {
                "name": row.name,
                "sizes": sizes,
                "w": row.w,
                "published_parameters": row.parameters,
                "parameters_as_counted_there": counted_as_published(one) if corrected else None,
                "parameters": parameters(one).total,
                "seconds": row.seconds,
                "implied_error": implied,
                "flops": flops(one, 512),
            }
        )
    table = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADER))]
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(json.dumps(rows, indent=2))


def cells(row: dict) -> tuple[str, ...]:
    counted, implied = row["parameters_as_counted_there"], row["implied_error"]
    return (
        row["name"],
        ",".join(map(str, row["sizes"])),
        "-" if row["w"] is None else str(row["w"]),
        f"{row['published_parameters'] / 1e6:.2f} M",
        "-" if counted is None else f"{counted / 1e6:.2f} M",
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['seconds']:.3f}",
        "-" if implied is None else f"{implied:.3f}",
        f"{row['flops'] / 1e9:.1f}",
    )


if __name__ == "__main__":
    main()
