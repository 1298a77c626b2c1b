"""Export a trained model in the formats of `deploy.formats`, and check that the exports agree with it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subarch.arch.architecture import Architecture
from subarch.arch.pretrained import quiet_transformers
from subarch.deploy.formats.base import INPUTS, Format, Graph
from subarch.deploy.formats.registry import FORMATS
from subarch.deploy.runtime import TorchRuntime
from subarch.errors import ConfigError, SubarchError, did_you_mean
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import SETTINGS, Kind
from subarch.session.output import Result, claim
from subarch.session.session import Session
from subarch.storage import folder_bytes, replacing_file, storage_errors, write_json
from subarch.training.processes import require_one_process

CHECK_LENGTHS = (3, 8, 17, 32, 64)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export."""

    model: str
    """Folder or Hub id of a model that answers a task."""
    out: Path
    """The model goes to a folder for each format in here."""
    formats: tuple[str, ...] = tuple(FORMATS)
    seed: int = 0
    """Of the inputs on which exports are checked."""

    def __post_init__(self) -> None:
        if not self.formats:
            raise ConfigError("no formats, expected at least one", f"known: {', '.join(FORMATS)}")
        for name in self.formats:
            if name not in FORMATS:
                raise ConfigError(f"no format {name!r}", did_you_mean(name, FORMATS))


def export(config: ExportConfig, session: Session | None = None) -> Result:
    """Write each format to its folder, with the tokenizer and the config beside it.

    Returns:
        Metrics by format: `max_difference` of the logits, relative to their spread, `agreement` (share of equal
        answers) on random inputs of several lengths, `model_bytes`.

    Raises:
        UserError: A model or an output folder that cannot be used.
        MissingExtraError: The extra of a format is not installed.
        SubarchError: An export that should say what PyTorch says does not.
    """
    require_one_process("export")
    written = _written(config.formats)
    for each in written:
        each.require()
    session = session or Session()
    model = ModelFolder.of(config.model)
    with claim(config.out, "export", config, models={"model": model.path}) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, "export") as run:
            started = time.monotonic()
            metrics = _export_all(config, session, model, written)
            for name, numbers in metrics.items():
                run.log({f"{name}.{key}": value for key, value in numbers.items()}, step=0)
            artifacts: dict[str, Path] = {name: config.out / name for name in config.formats}
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


def _written(names: Sequence[str]) -> list[Format]:
    """The formats of these names, and before each those that it is made of."""
    wanted = set(names)
    for each in reversed(FORMATS.values()):
        if each.name in wanted and each.made_of is not None:
            wanted.add(each.made_of)
    return [each for each in FORMATS.values() if each.name in wanted]


def _export_all(
    config: ExportConfig, session: Session, model: ModelFolder, written: Sequence[Format]
) -> dict[str, dict[str, float]]:
    # Eager attention: sdpa's graph guards every softmax against rows without any token, which costs an eighth of the
    # latency of a short input, and no row is without its [CLS].
    kind = model.exported_as
    network = kind.saved(model.path).eval()
    names = tuple(name for name in INPUTS if name in model.tokenizer.model_input_names)
    graph = Graph(network=network, inputs=names, outputs=kind.output_names)
    inputs = _random_inputs(names, model.architecture, config.seed)
    expected = [TorchRuntime(kind.network(network))(arrays) for arrays in inputs]
    metrics: dict[str, dict[str, float]] = {}
    for each in written:
        folder = config.out / each.name
        session.phase("exporting", each.name)
        each.write(graph, None if each.made_of is None else config.out / each.made_of, folder)
        if each.name in config.formats:
            _copy_companions(model, folder)
            bytes_ = {"model_bytes": sum(folder_bytes(file) for file in each.files(folder))}
            metrics[each.name] = _checked(each, folder, kind, (inputs, expected)) | bytes_
    for each in written:
        if each.name not in config.formats:
            shutil.rmtree(config.out / each.name)
    return {name: metrics[name] for name in config.formats}


def _checked(
    format_: Format, folder: Path, kind: Kind, asked: tuple[list[dict[str, np.ndarray]], list[np.ndarray]]
) -> dict[str, float]:
    """How far an export agrees with PyTorch on inputs with the outputs that are expected."""
    inputs, expected = asked
    runtime = format_.open(folder, threads=1)
    masks = [arrays["attention_mask"] for arrays in inputs]
    difference, agreement = kind.compare(expected, [runtime(arrays) for arrays in inputs], masks)
    if format_.tolerance is not None and difference > format_.tolerance:
        raise SubarchError(
            f"the {format_.words} differs from PyTorch by {difference:.2g}, expected at most {format_.tolerance}",
            "report this with the model's config.json",
        )
    return {"max_difference": difference, "agreement": agreement}


def _random_inputs(names: Sequence[str], architecture: Architecture, seed: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    inputs = []
    for length in (min(length, architecture.max_length) for length in CHECK_LENGTHS):
        ids = rng.integers(0, architecture.vocab_size, size=(4, length))
        mask = (np.arange(length) < rng.integers(1, length + 1, size=(4, 1))).astype(np.int64)
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        inputs.append({name: arrays[name] for name in names})
    return inputs


def _copy_companions(model: ModelFolder, folder: Path) -> None:
    """Config, tokenizer and what the kind says beside the weights: all that a service needs."""
    with storage_errors(folder), quiet_transformers():
        model.tokenizer.save_pretrained(folder)
        # What the graph does already, such as a sigmoid, and code that it never needs stay behind.
        write_json(folder / "config.json", model.config)
        if (model.path / SETTINGS).exists():
            with replacing_file(folder / SETTINGS) as temporary:
                shutil.copyfile(model.path / SETTINGS, temporary)
