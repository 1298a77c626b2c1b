"""What a training or a search will take, before it is run: parameters, operations, memory, hours.

Operations and memory are closed forms. Hours divide them by what the hardware multiplies per second: by the makers'
data sheets, or as measured here, times a utilisation that is assumed and stated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.arch.training_memory import Workload, training_bytes
from subarch.errors import ConfigError
from subarch.inputs.models import ModelFolder
from subarch.optimize.halving import rung_steps
from subarch.stages.extraction.plan import candidate_space
from subarch.stages.extraction.settings import ExtractConfig
from subarch.training.precision import inference_dtype
from subarch.training.throughput import peak_flops, step_flops

HERE = "here"
UTILISATION: Mapping[str, float] = {"v100": 0.3, "a100": 0.4, "h100": 0.35, "h200": 0.35, HERE: 0.5}
"""Assumed shares of the peak that the model gets: ours, in the range that is reported for encoders in mixed precision.
Here the peak is that of a large matrix product, measured."""


def estimate_training(
    architecture: Architecture,
    teacher: Architecture | None,
    work: Workload | int,
    hardware: str | None = None,
    *,
    devices: int = 1,
) -> dict[str, Any]:
    """Estimate a pre-training, by distillation where there is a teacher.

    Args:
        architecture: The student.
        teacher: Its teacher, whose logits it imitates.
        work: How many tokens, or the whole workload.
        hardware: v100, a100, h100 or h200; None measures this machine.
        devices: Of that hardware; perfect scaling is assumed.

    Returns:
        `parameters`, `teacher_parameters`, `tokens`, `flops`, `memory_bytes` (per device, by part), `hardware`,
        `peak_flops`, `utilisation`, `devices`, `hours`, `gpu_hours` (of all devices together).

    Raises:
        ConfigError: Hardware that we do not know, or fewer than one device or token.
    """
    work = Workload(tokens=work) if isinstance(work, int) else work
    if devices < 1:
        raise ConfigError(f"devices is {devices}, expected at least 1")
    blocks, masked = work.tokens / work.sequence_length, work.masked * work.sequence_length
    total = blocks * step_flops(architecture, teacher, block_size=work.sequence_length, masked=masked)
    ours = blocks * step_flops(architecture, None, block_size=work.sequence_length, masked=masked)
    return {
        "parameters": parameters(architecture, "masked-lm").total,
        "teacher_parameters": None if teacher is None else parameters(teacher, "masked-lm").total,
        "tokens": work.tokens,
        "flops": {"student": ours, "teacher": total - ours, "total": total},
        "memory_bytes": training_bytes(architecture, teacher, work),
        **_hours(total, hardware, devices),
    }


def estimate_extraction(config: ExtractConfig, hardware: str | None = None) -> dict[str, Any]:
    """Estimate a search: the trainings of its candidates and the held-out errors, without timing the candidates.

    For a task, every input counts at the longest length allowed.

    Raises:
        UserError: A teacher, a corpus, a space or hardware that cannot be used.
    """
    teacher = ModelFolder.of(config.teacher).architecture
    vocab_size, length, held_out, masked = teacher.vocab_size, config.nominal_length, config.error_examples, 0.0
    length = min(length, teacher.max_length)
    if config.corpus is None:
        vocab_size = max(1, round(config.space.vocabulary * vocab_size))
    else:
        from subarch.tasks.corpus.shards import Shards

        length, held_out = Shards.open(config.corpus).block_size, config.error_blocks
        masked = Workload(tokens=1).masked * length
    space = candidate_space(config, teacher, vocab_size)
    epsilon = config.epsilon or math.ceil(len(space) / config.candidates)
    chosen = space[::epsilon]
    trained = evaluated = total = 0.0
    for loop in config.loops:
        for candidate in chosen:
            each = step_flops(candidate, teacher, block_size=length, masked=masked)
            forward = step_flops(candidate, None, block_size=length, masked=masked) / 3
            for steps, share in _shares(len(chosen) * len(config.loops), config):
                trained += share * steps
                evaluated += share
                total += share * (steps * loop.batch_size * each + held_out * forward)
    return {
        "space": len(space),
        "epsilon": epsilon,
        "candidates": len(chosen) * len(config.loops),
        "steps": round(trained),
        "trainings": round(evaluated),
        "parameters": {"smallest": parameters(space[0]).total, "largest": parameters(space[-1]).total},
        "flops": {"total": total},
        "memory_bytes": _largest_memory(config, space[-1], teacher, length),
        **_hours(total, hardware, 1),
    }


def render(estimate: Mapping[str, Any]) -> str:
    """The lines that a person wants."""
    hours = float(estimate["hours"])
    lines = []
    if "candidates" in estimate:
        sizes = estimate["parameters"]
        lines.append(
            f"{estimate['candidates']} of {estimate['space']} candidates (epsilon {estimate['epsilon']}), "
            f"{sizes['smallest'] / 1e6:.1f} to {sizes['largest'] / 1e6:.1f} M parameters, "
            f"{estimate['steps']} steps in all"
        )
    else:
        lines.append(f"{estimate['parameters'] / 1e6:.1f} M parameters, {estimate['tokens']:,} tokens")
    memory = estimate["memory_bytes"]
    lines.append(
        f"{estimate['flops']['total']:.3g} floating-point operations, "
        f"{memory['total'] / 1e9:.2f} GB of memory a device at most"
    )
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    lines.append(
        f"{spent} on {estimate['devices']} x {estimate['hardware']}, {estimate['gpu_hours']:.3g} device hours: "
        f"{estimate['utilisation']:.0%} (assumed) of {estimate['peak_flops'] / 1e12:.3g} TFLOP/s"
    )
    return "\n".join(lines)


def _hours(total: float, hardware: str | None, devices: int) -> dict[str, Any]:
    name = HERE if hardware is None else hardware.lower()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = inference_dtype("auto", device)
    peak = peak_flops(hardware, device, dtype)
    spent = total / (UTILISATION[name] * peak) / 3600
    return {
        "hardware": "this machine" if hardware is None else name,
        "peak_flops": peak,
        "utilisation": UTILISATION[name],
        "devices": devices,
        "hours": spent / devices,
        "gpu_hours": spent,
    }


def _shares(count: int, config: ExtractConfig) -> list[tuple[int, float]]:
    """(steps, the share of the candidates that come so far), for each rung."""
    if config.halving is None:
        return [(config.steps, 1.0)]
    rungs = rung_steps(count, config.steps, config.halving)
    return [(steps, max(1, count // config.halving**rung) / count) for rung, steps in enumerate(rungs)]


def _largest_memory(config: ExtractConfig, largest: Architecture, teacher: Architecture, length: int) -> dict[str, int]:
    batch = max(loop.batch_size for loop in config.loops)
    work = Workload(tokens=1, sequence_length=length, micro_batch=batch, fused_attention=False)
    found = training_bytes(largest, teacher, work)
    if config.corpus is None:
        found |= {"logits": 0, "total": found["total"] - found["logits"]}
    return found
