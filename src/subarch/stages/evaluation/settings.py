"""The settings of `evaluate`, which it shares with the evaluation of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subarch.errors import ConfigError
from subarch.inputs.data import DataConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Which model, or whose predictions, on which split."""

    model: str | None = None
    """Folder (PyTorch or ONNX) or Hub id of a model that answers the task; of a suite the folder of its tasks'
    models."""
    engine: Path | None = None
    """Folder of an fp32 export of that model, which answers in its place: `compress` has checked that they agree."""
    predictions: Path | None = None
    """Score this file instead: our Parquet, or a format of SQuAD's or the suites' own."""
    out: Path
    data: DataConfig
    split: str = "dev"
    """"dev" selects nothing and has labels; "validation" selected the weights; "test" is the official test set, which
    can only be submitted. Or a file."""
    against: str | None = None
    """A second model, or a file of predictions: what this one differs from."""
    submission: Path | None = None
    """Folder for the file that the benchmark's server accepts."""
    slice: tuple[str, ...] = ()
    """Columns of the data by whose values scores are given too."""
    max_length: int | None = None
    """Tokens; by default as many as the task asks for."""
    examples: int | None = None
    """Score a random sample of so many; all by default."""
    seed: int = 0
    """Of the bootstrap and of the sample."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.predictions is None):
            given = "both" if self.model else "neither"
            raise ConfigError(f"got {given} of --model and --predictions, expected one of them")
