"""How soon do `--help` and `describe` answer, against Python itself?

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from subarch.running.machine import describe_machine

SUBARCH = str(Path(sys.executable).parent / "subarch")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "subarch --help": [SUBARCH, "--help"],
    "subarch describe bort roberta-large": [SUBARCH, "describe", "bort", "roberta-large"],
}


def main(rounds: int = 15) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 2):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number >= 2:
                seconds[name].append(time.perf_counter() - started)
    base = seconds["python -c pass"]
    rows = {
        name: {
            "seconds_median": statistics.median(values),
            "seconds_low": min(values),
            "seconds_high": max(values),
            "ratio_to_python": statistics.median(a / b for a, b in zip(values, base, strict=True)),
        }
        for name, values in seconds.items()
    }
    print(json.dumps({"commands": rows, "machine": describe_machine()}, indent=2))


if __name__ == "__main__":
    main()
