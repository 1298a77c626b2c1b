"""What scores a model's test rows: PyTorch, or an exact export where that is faster and gives the same answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from subarch.deploy.formats.registry import EXACT, TOLERANCE
from subarch.inputs.models import ModelFolder
from subarch.session.session import Session
from subarch.stages.evaluate import opened
from subarch.stages.export import ExportConfig, export
from subarch.stages.latency import spread_over_lengths
from subarch.storage import read_json, write_json
from subarch.tasks.base import Examples, Task

ENGINES = "engines.json"
TEACHER_EXPORT = f"teacher-{EXACT.name}"
PROBE = 64
"""Test rows on which runtimes are compared."""
WORTH = 2.0
"""The teacher is exported only to be scored where that saves so many times what the export takes; ours."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What models are asked."""

    task: Task
    examples: Examples
    max_length: int
    """Tokens of a row."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """PyTorch and an export on the same rows."""

    torch_seconds: float
    """Of one row."""
    export_seconds: float
    agree: bool

    @property
    def faster(self) -> bool:
        """Whether the export may score in PyTorch's place."""
        return self.agree and self.export_seconds < self.torch_seconds

    @property
    def saved(self) -> float:
        """Seconds a row."""
        return self.torch_seconds - self.export_seconds if self.faster else 0.0


def choose_engines(
    out: Path,
    folders: Mapping[str, ModelFolder],
    asked: Asked,
    session: Session,
) -> dict[str, Path | None]:
    """The folder of the export that scores teacher and student; None for PyTorch. Decided once in an output folder.

    Args:
        out: Of the compression, with the student's exports in it.
        folders: The models "teacher" and "student".
        asked: The test rows.
        session: To tell of the teacher's export.
    """
    file = out / ENGINES
    if not file.exists():
        probe = replace(asked, examples=spread_over_lengths(asked.task, asked.examples, PROBE))
        raced = race(folders["student"], out / "export" / EXACT.name, probe)
        student = f"export/{EXACT.name}" if raced.faster else None
        # Of the teacher as of the student: that much less for each operation.
        larger = _seconds(folders["teacher"], folders["teacher"].path, probe)[0] / raced.torch_seconds
        teacher = None
        if len(asked.examples) * raced.saved * larger > WORTH * _export_seconds(out) * larger**0.5:
            teacher = _exported_teacher(out, folders["teacher"], probe, session)
        write_json(file, {"teacher": teacher, "student": student})
    return {name: None if path is None else out / path for name, path in read_json(file).items()}


def race(model: ModelFolder, exported: Path, probe: Asked) -> Race:
    """Time both on the same rows, each after a first pass that does not count."""
    torch_seconds, expected = _seconds(model, model.path, probe)
    export_seconds, found = _seconds(model, exported, probe)
    spread = float(expected.std()) or 1.0
    agree = float(np.abs(expected - found).max()) <= TOLERANCE * spread
    return Race(torch_seconds=torch_seconds, export_seconds=export_seconds, agree=agree)


def discard_engines(out: Path) -> None:
    """Remove the teacher's export, which was made to score."""
    shutil.rmtree(out / "evaluation" / TEACHER_EXPORT, ignore_errors=True)


def _exported_teacher(out: Path, teacher: ModelFolder, probe: Asked, session: Session) -> str | None:
    place = Path("evaluation") / TEACHER_EXPORT
    session.phase("exporting", "the teacher, to score it faster")
    export(ExportConfig(model=str(teacher.path), out=out / place, formats=(EXACT.name,)), session)
    return str(place / EXACT.name) if race(teacher, out / place / EXACT.name, probe).faster else None


def _export_seconds(out: Path) -> float:
    seconds: float = read_json(out / "export" / "result.json")["seconds"]
    return seconds


def _seconds(model: ModelFolder, folder: Path, probe: Asked) -> tuple[float, np.ndarray]:
    """Seconds an example, and the answers."""
    rows = model.tokenise(probe.task, probe.examples, probe.max_length)
    ask = opened(model, probe.task, folder)
    ask(rows)
    started = time.monotonic()
    outputs = ask(rows)
    return max(1e-6, time.monotonic() - started) / len(probe.examples), outputs
