"""What machine this is: a latency or a throughput means nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one is Arm's


def describe_machine(cpuinfo: str | None = None) -> dict[str, Any]:
    """Describe the processor, memory and Python of this machine.

    Args:
        cpuinfo: The text of Linux's /proc/cpuinfo; read from there by default.

    Returns:
        `cpu` (model name), `physical_cores`, `threads` (that this process may use), `memory_bytes` (None
        where the system does not say), `bf16` (whether the processor multiplies bfloat16 itself; known on
        Linux only), `platform` and `python`.
    """
    processors = _processors(_read_cpuinfo() if cpuinfo is None else cpuinfo)
    first = processors[0] if processors else {}
    threads = _threads()
    cores = {(p["physical id"], p["core id"]) for p in processors if "physical id" in p and "core id" in p}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    return {
        "cpu": first.get("model name") or platform.processor() or platform.machine(),
        "physical_cores": len(cores) or len(processors) or threads,
        "threads": threads,
        "memory_bytes": _memory_bytes(),
        "bf16": bool(flags & _BF16_FLAGS),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _read_cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _processors(cpuinfo: str) -> list[dict[str, str]]:
    """One mapping a logical processor: blocks of `key : value` lines, parted by an empty line."""
    blocks = [
        {
            key.strip(): value.strip()
            for key, separator, value in (line.partition(":") for line in block.splitlines())
            if separator
        }
        for block in cpuinfo.split("\n\n")
    ]
    return [block for block in blocks if "processor" in block]


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
