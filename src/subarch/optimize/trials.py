"""A trial: one configuration tried out, and what it reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from subarch.optimize.parameters import Value

State = Literal["running", "finished", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration and its fate."""

    number: int
    """0 for the first of a study; a retry keeps it."""
    params: Mapping[str, Value]
    """The active parameters only."""
    state: State = "running"
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of a stopped trial, what it had reached: never a final value."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard error of a metric, where it is known."""
    reason: str | None = None
    """Why it failed or was stopped."""

    @property
    def ended(self) -> bool:
        """Whether it will report nothing more."""
        return self.state != "running"

    def to_json(self) -> dict[str, Any]:
        """Plain values, floats kept exactly; `Trial(**values)` reads them back."""
        return asdict(self)
