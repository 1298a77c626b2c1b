"""Memory of pre-training by distillation, in closed form, before anything is run.

D num_hidden_layers, H hidden_size, I intermediate_size, A num_attention_heads, V vocab_size, n sequence_length.
Activations follow Korthikanti et al. 2022 (arXiv 2205.05198, section 4), with I in place of their 4H.
"""

from __future__ import annotations

from dataclasses import dataclass

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.errors import ConfigError

MASKED_SHARE = 0.15
STATE_BYTES = 18
"""A trained parameter: fp32 weight, gradient and two moments of AdamW, and a bf16 copy."""
TEACHER_BYTES = 2
LOGIT_BYTES = 16
"""A masked position and token of the vocabulary: fp32 logits and log-probabilities of student and teacher."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The form in which the tokens of a training come."""

    tokens: int
    """Seen in training, repeats counted."""
    sequence_length: int = 512
    masked: float = MASKED_SHARE
    """Share of the positions that go through the vocabulary head."""
    micro_batch: int = 8
    """Sequences that a device holds at a time."""
    fused_attention: bool = True
    """Whether the n² attention weights of a layer are never stored."""

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence_length", "micro_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 < self.masked <= 1:
            raise ConfigError(f"masked is {self.masked}, expected a share above 0 and up to 1")


def training_bytes(student: Architecture, teacher: Architecture | None, work: Workload) -> dict[str, int]:
    """Memory of one device in mixed precision: `state`, `teacher`, `activations`, `logits`, `total`."""
    H, I = student.hidden_size, student.intermediate_size  # noqa: E741
    positions = work.micro_batch * work.sequence_length
    weights = 0 if work.fused_attention else 5 * student.num_attention_heads * work.sequence_length
    found = {
        "state": STATE_BYTES * parameters(student, "masked-lm").total,
        "teacher": 0 if teacher is None else TEACHER_BYTES * parameters(teacher, "masked-lm").total,
        "activations": positions * student.num_hidden_layers * (18 * H + 4 * I + weights),
        "logits": round(positions * work.masked * student.vocab_size * LOGIT_BYTES),
    }
    return found | {"total": sum(found.values())}
