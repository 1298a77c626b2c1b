"""The configuration of `pretrain`, which its parts read too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from subarch.errors import ConfigError, did_you_mean
from subarch.training.masked_lm import Signal
from subarch.training.settings import LoopConfig
from subarch.training.throughput import PEAK_FLOPS

CHECKPOINT = "checkpoint.safetensors"
Objective = Literal["distill", "mlm"]


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Which tokens are hidden."""

    probability: float = 0.15
    """Share of each block's tokens."""
    whole_words: bool = False
    """Whether words are hidden whole."""


@dataclass(frozen=True, kw_only=True)
class ImitationConfig:
    """alpha·MLM + beta·T²·KL + gamma·imitation; alpha, beta and T are those of the code released with Bort."""

    alpha: float = 0.1
    """Weight of the masked-language loss; without a teacher it is 1."""
    beta: float = 0.5
    """Weight of the divergence from the teacher's logits, for loss=logits."""
    temperature: float = 2.0
    """T."""
    gamma: float = 1.0
    """Weight of the relations or hidden states, for loss=relations and loss=hidden; ours."""
    relation_heads: int | None = None
    """Of both models; by default the largest number up to 48 that divides both hidden sizes."""
    teacher_layer: int | None = None
    """Whose relations are imitated, from 1; the last by default. MiniLMv2 takes one of the upper middle (21 of 24) of
    large teachers."""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}, expected a positive number")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """What to pre-train on what, and from where it starts: random weights, `model`, or the teacher's with `inherit`."""

    data: Path
    """Folder of shards."""
    out: Path
    architecture: str | None = None
    """A JSON file that `extract` wrote, or D,A,H,I (layers, heads, hidden and intermediate size)."""
    teacher: str | None = None
    """Folder or Hub id of the model to imitate."""
    model: str | None = None
    """Folder or Hub id of an encoder to go on from; one without a masked-language head gets one."""
    inherit: bool = False
    """Start from the teacher's most important weights."""
    objective: Objective | None = None
    """"distill" where there is a teacher, else "mlm"."""
    loss: Signal = "logits"
    """What is imitated: the teacher's logits, the self-attention relations of a layer (MiniLMv2), or the last hidden
    states through a learned projection."""
    steps: int | None = None
    """Optimiser steps; by default one pass over the data."""
    seed: int = 0
    micro_batch_size: int | None = None
    """Blocks of a forward pass and process; by default the whole batch, and less where memory does not suffice."""
    dropout: bool | None = None
    """Whether the model keeps its dropout; without a teacher alone by default."""
    validation_blocks: int = 64
    """Held-out blocks on which the model is measured."""
    hardware: str | None = None
    """Device whose peak the utilisation refers to, such as a100; by default the peak is measured."""
    log_every: int = 10
    """Steps between two points of the curves."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            learning_rate=5e-4,
            warmup=0.05,
            epochs=1.0,
            evaluations=10,
            average=False,  # one more copy of the weights in each checkpoint, for what a long run gains less from
            checkpoint_seconds=60.0,
            keep_checkpoints=2,
            divergence=3.0,
        )
    )
    """`batch_size` counts blocks over all processes."""

    def __post_init__(self) -> None:
        for name in ("steps", "micro_batch_size", "validation_blocks", "log_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1")
        if self.hardware is not None and self.hardware.lower() not in PEAK_FLOPS:
            raise ConfigError(f"unknown hardware {self.hardware!r}", did_you_mean(self.hardware, PEAK_FLOPS))
        self._check_start()
        if self.objective == "distill" and self.teacher is None:
            raise ConfigError("objective is distill, but there is no teacher", "give --teacher DIR")
        if self.distils and self.loss != "logits" and self.imitation.gamma == 0:
            raise ConfigError(f"gamma is 0, but loss is {self.loss}", "set imitation.gamma above 0")
        if self.distils and self.loss == "logits" and self.imitation.beta == 0:
            raise ConfigError("beta is 0, so that nothing is imitated", "set imitation.beta, or --objective mlm")

    def _check_start(self) -> None:
        if (self.architecture is None) == (self.model is None):
            given = "neither" if self.model is None else "both"
            raise ConfigError(
                f"got {given} of --architecture and --model, expected one of them",
                "--architecture for a new model, --model to go on from one",
            )
        if self.inherit and (self.teacher is None or self.model is not None):
            raise ConfigError("--inherit needs a teacher and an architecture", "give --teacher and --architecture")

    @property
    def distils(self) -> bool:
        """Whether a teacher is imitated."""
        return self.objective == "distill" or (self.objective is None and self.teacher is not None)

    @property
    def training(self) -> LoopConfig:
        """`loop`, with `steps`."""
        return self.loop if self.steps is None else replace(self.loop, max_steps=self.steps)
