"""Under which conditions the FPTAS keeps its promise, and which of them a search fulfils; nothing is trained.

Weak ABⁿC (arXiv 2010.10499, appendices B and C; arXiv 2010.08512): f = C∘Bₙ∘…∘B₁∘A, the parameters and steps of the
input layer A and the output layer C are dominated by those of any intermediate layer. Strong ABⁿC: weak, a smooth and
bounded surrogate loss, bounded stochastic gradients, and SGD. The ratio needs strong convexity besides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from subarch.arch.architecture import Architecture
from subarch.arch.costs import flops, parameters
from subarch.inputs.models import ModelFolder
from subarch.optimize.fptas import every_epsilon
from subarch.stages.extraction.plan import candidate_space, size_of
from subarch.stages.extraction.settings import ExtractConfig

Status = Literal["holds", "fails", "cannot be had"]
SMOOTH = ("gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_python", "gelu_fast", "silu", "swish", "tanh", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition and how it stands here."""

    name: str
    needed_for: Literal["weak", "strong", "ratio"]
    status: Status
    detail: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dict(vars(self))


def conditions(config: ExtractConfig) -> list[Condition]:
    """Every condition, for this space and this training.

    Raises:
        UserError: A teacher or a space that cannot be used.
    """
    teacher = ModelFolder.of(config.teacher)
    vocab_size = teacher.architecture.vocab_size
    if config.corpus is None:
        vocab_size = max(1, round(config.space.vocabulary * vocab_size))
    space = candidate_space(config, teacher.architecture, vocab_size)
    activation = str(teacher.config.get("hidden_act", teacher.config.get("hidden_activation", "gelu")))
    length = max(config.timing.sequence_lengths, default=min(config.nominal_length, teacher.architecture.max_length))
    return [
        *_weak(space, length),
        _maximum_point(space, teacher.architecture, length),
        *_strong(config, teacher.architecture.hidden_size, activation),
        *_ratio(config, space),
    ]


def render(found: Sequence[Condition]) -> str:
    """One line a condition, and two that sum up."""
    width = max(len(condition.status) for condition in found)
    lines = [f"{c.status.ljust(width)}  {c.needed_for.ljust(6)}  {c.name}: {c.detail}" for c in found]
    for name in ("weak", "strong"):
        needed = ("weak",) if name == "weak" else ("weak", "strong")
        missing = [c.name for c in found if c.needed_for in needed and c.status != "holds"]
        lines.append(f"{name} ABⁿC: {'holds' if not missing else 'fails for ' + ', '.join(missing)}")
    lines.append("the published ratio of approximation is no promise here, since it needs what cannot be had")
    return "\n".join(lines)


def _weak(space: Sequence[Architecture], length: int) -> list[Condition]:
    depths = sorted({candidate.num_hidden_layers for candidate in space})
    even = all(depth % 2 == 0 for depth in depths)
    geometric = len({b / a for a, b in itertools.pairwise(depths)}) <= 1
    kind = "even (Lemma 3)" if even else "a geometric progression (Remark 1)" if geometric else "neither"
    listed = ", ".join(map(str, depths))
    tables = [c for c in space if parameters(c).embeddings > _layer(c)]
    norms = [c for c in space if _without_tables(c) > _layer(c)]
    heads = [c for c in space if c.hidden_size**2 + c.hidden_size > _layer(c)]
    decoders = [c for c in space if _decoder_flops(c) > _layer_flops(c, length) / length]
    return [
        Condition(
            name="depths",
            needed_for="weak",
            status="holds" if even or geometric else "fails",
            detail=f"{listed}: {kind}; even depths or a geometric progression are asked for",
        ),
        Condition(
            name="input layer",
            needed_for="weak",
            status="fails" if norms else "holds",
            detail=f"without its tables it has more parameters than a layer in {len(norms)} of {len(space)}; with them "
            f"in {len(tables)}, which the paper sets aside as looking up",
        ),
        Condition(
            name="output layer",
            needed_for="weak",
            status="fails" if heads else "holds",
            detail=f"the dense output layer has more parameters than a layer in {len(heads)} of {len(space)}; a "
            f"decoder over the vocabulary would take more operations than one in {len(decoders)}, and is not counted",
        ),
    ]


def _maximum_point(space: Sequence[Architecture], teacher: Architecture, length: int) -> Condition:
    larger = [c for c in space if size_of(c) >= size_of(teacher)]
    slower = [
        c for c in space if flops(c, min(length, c.max_length)) >= flops(teacher, min(length, teacher.max_length))
    ]
    return Condition(
        name="maximum point",
        needed_for="ratio",
        status="fails" if larger or slower else "holds",
        detail=f"{len(larger)} of {len(space)} candidates have no fewer parameters than the teacher, {len(slower)} no "
        "fewer operations; such ones rank last",
    )


def _strong(config: ExtractConfig, width: int, activation: str) -> list[Condition]:
    optimizers = sorted({loop.optimizer for loop in config.loops})
    clips = ", ".join(f"{loop.clip_norm:g}" for loop in config.loops)
    radius = max(config.steps * loop.rate_for(width) * loop.clip_norm for loop in config.loops)
    sgd = optimizers == ["sgd"]
    ball = f"plain SGD, {config.steps} clipped steps: no further than {radius:.3g} from the start, weight decay aside"
    smooth = activation in SMOOTH
    return [
        Condition(
            name="optimiser",
            needed_for="strong",
            status="holds" if sgd else "fails",
            detail=f"{', '.join(optimizers)}; SGD is asked for (--set loop.optimizer=sgd), others are allowed to "
            "converge faster",
        ),
        Condition(
            name="bounded stochastic gradients",
            needed_for="strong",
            status="holds",
            detail=f"clipped to a global norm of {clips}",
        ),
        Condition(
            name="compact weights",
            needed_for="strong",
            status="holds",
            detail=ball if sgd else "finitely many steps of bounded size; AdamW bounds each by about its rate",
        ),
        Condition(
            name="smooth loss",
            needed_for="strong",
            status="holds" if smooth else "fails",
            detail=f"{activation}, softmax and layer norms are smooth, so on a compact set the gradient is Lipschitz; "
            "the constant is not known"
            if smooth
            else f"{activation} has no gradient everywhere",
        ),
        Condition(
            name="bounded loss",
            needed_for="strong",
            status="holds",
            detail=f"{config.error} is at least 0, and bounded above on a compact set",
        ),
    ]


def _ratio(config: ExtractConfig, space: Sequence[Architecture]) -> list[Condition]:
    epsilon = config.epsilon or -(-len(space) // config.candidates)
    trained = len(every_epsilon(space, size_of, epsilon))
    return [
        Condition(
            name="interval",
            needed_for="ratio",
            status="holds",
            detail=f"epsilon {epsilon} of 1 to {len(space)}: {trained} candidates are trained, and the ratio would be "
            f"at most |1 - epsilon| = {abs(1 - epsilon)}",
        ),
        Condition(
            name="strong convexity",
            needed_for="ratio",
            status="cannot be had",
            detail="the loss of a transformer is not convex in its weights",
        ),
    ]


def _layer(architecture: Architecture) -> int:
    return parameters(architecture).encoder // architecture.num_hidden_layers


def _without_tables(architecture: Architecture) -> int:
    """Parameters of the input layer that take part in arithmetic: its norm, and a projection."""
    E, H = architecture.embedding_width, architecture.hidden_size
    return 2 * E + (0 if architecture.embedding_size is None else E * H + H)


def _layer_flops(architecture: Architecture, length: int) -> float:
    return flops(architecture, min(length, architecture.max_length)) / architecture.num_hidden_layers


def _decoder_flops(architecture: Architecture) -> int:
    return flops(architecture, 1, "masked-lm") - flops(architecture, 1)
