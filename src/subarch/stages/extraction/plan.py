"""The plan of a search: which candidates of Ξ are trained, for how many steps, and what p̂ and î they have."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.arch.space import space_around
from subarch.errors import ConfigError
from subarch.optimize import fptas
from subarch.session.session import Session, seconds_left
from subarch.stages.extraction.settings import Attempt, ExtractConfig, Timing, Workshop
from subarch.storage import read_json, write_json

LEAST_CANDIDATES = 6
"""Candidates that are judged whatever the budget, where Ξ has so many."""
LEAST_STEPS = 8
"""Steps below which candidates are judged without training; ours."""
REHEARSED_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Written once, so that a resumed run measures nothing twice."""

    space: int
    """|Ξ| within the constraints."""
    epsilon: int
    steps: int
    maximum_point: Timing
    maximum_parameters: int
    candidates: tuple[Architecture, ...]
    timings: tuple[Timing, ...]

    @property
    def costs(self) -> dict[Architecture, fptas.Cost]:
        """p̂ and î of each candidate."""
        return {
            candidate: fptas.Cost(parameters=size_of(candidate), latency_ms=timing.latency_ms)
            for candidate, timing in zip(self.candidates, self.timings, strict=True)
        }

    @property
    def maximum_cost(self) -> fptas.Cost:
        """p̂(T) and î(T)."""
        return fptas.Cost(parameters=self.maximum_parameters, latency_ms=self.maximum_point.latency_ms)

    def to_json(self) -> dict[str, Any]:
        """The content of `plan.json`."""
        return asdict(self) | {"candidates": [candidate.to_json() for candidate in self.candidates]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        known = {
            "maximum_point": Timing(**value["maximum_point"]),
            "candidates": tuple(Architecture.from_json(candidate) for candidate in value["candidates"]),
            "timings": tuple(Timing(**timing) for timing in value["timings"]),
        }
        return cls(**{**value, **known})


def candidate_space(config: ExtractConfig, teacher: Architecture, vocab_size: int) -> list[Architecture]:
    """Ξ within what can be known without measuring, sorted by parameter count.

    Raises:
        ConfigError: It is empty, or ε is not from 1 to its size.
    """
    limits = config.space
    if config.corpus is not None:
        limits = replace(limits, vocabulary=1.0, max_total=1.0)
    space = space_around(teacher, limits, vocab_size, inheritable=config.start == "inherited")
    if config.max_parameters is not None:
        smallest = size_of(space[0])
        space = [candidate for candidate in space if size_of(candidate) <= config.max_parameters]
        if not space:
            raise ConfigError(
                f"the search space is empty: its smallest candidate has {smallest:,} parameters, more than "
                f"max_parameters ({config.max_parameters:,})",
                "raise --max-parameters, or give smaller sizes with --space",
            )
    if config.epsilon is not None:
        fptas.every_epsilon(space, size_of, config.epsilon)
    return space


def size_of(architecture: Architecture) -> int:
    """p̂: parameters of the encoder with its embeddings, without a head."""
    return parameters(architecture).total


def read_or_make_plan(
    config: ExtractConfig, session: Session, workshop: Workshop, space: Sequence[Architecture], folder: Path
) -> Plan:
    """The plan in `folder`, or a new one, written there.

    Raises:
        ConfigError: No candidate is fast enough, or ε is larger than what is left of Ξ.
    """
    file = folder / "plan.json"
    if not file.exists():
        write_json(file, _plan(config, session, workshop, space).to_json())
    plan = Plan.from_json(read_json(file))
    _warn_of_no_gain(plan, workshop.teacher.architecture, session)
    return plan


def _warn_of_no_gain(plan: Plan, teacher: Architecture, session: Session) -> None:
    """Say how many candidates T does not dominate, T itself aside: W is made for a T that is a maximum point."""
    costs, top = plan.costs, plan.maximum_cost
    others = [candidate for candidate in plan.candidates if candidate != teacher]
    beyond = [c for c in others if costs[c].parameters >= top.parameters or costs[c].latency_ms >= top.latency_ms]
    if beyond:
        detail = (
            f"{len(beyond)} of {len(others)} candidates are no smaller or no faster than the teacher "
            f"({top.parameters / 1e6:.3g} M parameters, {top.latency_ms:.3g} ms); W ranks them below the rest"
        )
        session.tell("phase", name="warning", detail=detail)


def _plan(config: ExtractConfig, session: Session, workshop: Workshop, space: Sequence[Architecture]) -> Plan:
    known: dict[Architecture, Timing] = {}
    teacher_timing = None
    if config.max_latency_ms is not None:
        session.phase("timing candidates")
        teacher_timing, timings = workshop.latencies(space)
        known = dict(zip(space, timings, strict=True))
        space = _fast_enough(space, known, config.max_latency_ms)
    steps, epsilon = _affordable(config, session, workshop, space)
    candidates = fptas.every_epsilon(space, size_of, epsilon)
    if teacher_timing is None:
        session.phase("timing candidates")
        teacher_timing, timings = workshop.latencies(candidates)
        known = dict(zip(candidates, timings, strict=True))
    return Plan(
        space=len(space),
        epsilon=epsilon,
        steps=steps,
        maximum_point=teacher_timing,
        maximum_parameters=size_of(workshop.teacher.architecture),
        candidates=tuple(candidates),
        timings=tuple(known[candidate] for candidate in candidates),
    )


def _fast_enough(
    space: Sequence[Architecture], known: dict[Architecture, Timing], limit_ms: float
) -> list[Architecture]:
    kept = [candidate for candidate in space if known[candidate].latency_ms <= limit_ms]
    if not kept:
        fastest = min(timing.latency_ms for timing in known.values())
        raise ConfigError(
            f"no candidate takes at most {limit_ms} ms, the fastest takes {fastest:.3g}",
            "raise --max-latency-ms, or give smaller sizes with --space",
        )
    return kept


def _affordable(
    config: ExtractConfig, session: Session, workshop: Workshop, space: Sequence[Architecture]
) -> tuple[int, int]:
    """(s, ε) that the time allows.

    Fewer steps first, down to none: inherited weights alone tell candidates apart, and a handful of steps in the
    warm-up adds only noise. Then fewer candidates, but never fewer than `LEAST_CANDIDATES`: a search of one candidate
    is none.
    """
    epsilon = config.epsilon or math.ceil(len(space) / config.candidates)
    if seconds_left(session.deadline) is None:
        return config.steps, epsilon
    if seconds_left(session.deadline) == 0 and config.start == "random":
        # On a slow machine what comes before takes it all. Noise that was not trained tells nothing apart.
        detail = "no time was left for the search, so the smallest student is taken: give a longer --budget"
        session.tell("phase", name="warning", detail=detail)
        return 0, config.epsilon or len(space)
    fixed, each = _seconds_of_a_candidate(workshop, space[len(space) // 2])
    total = 0.9 * (seconds_left(session.deadline) or 0.0)
    wanted = math.ceil(len(space) / epsilon)
    steps = int(min(config.steps, max(0.0, (total / wanted - fixed) / each)))
    if steps < min(LEAST_STEPS, config.steps) and config.start == "inherited":
        steps = 0
        detail = "no time to train candidates: they are judged by the weights that they inherit"
        session.tell("phase", name="searching", detail=detail)
    if config.epsilon is None:
        affordable = max(LEAST_CANDIDATES, int(total / (fixed + steps * each)))
        epsilon = max(epsilon, len(space) // min(len(space), affordable))
    return steps, epsilon


def _seconds_of_a_candidate(workshop: Workshop, candidate: Architecture) -> tuple[float, float]:
    """What a middling candidate takes without training, and what a step takes beside that."""
    times = []
    for steps in (0, REHEARSED_STEPS):
        started = time.monotonic()
        workshop.error_of(Attempt(candidate=candidate, theta=0, steps=steps))
        times.append(time.monotonic() - started)
    return times[0], max(1e-3, (times[1] - times[0]) / REHEARSED_STEPS)
