"""Export a trained model to ONNX, in fp32 or int8, and check that the export agrees with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from subarch.arch.architecture import Architecture
from subarch.arch.pretrained import quiet_transformers
from subarch.deploy.onnx_export import INPUTS, export_onnx, quantize_int8, require_onnx
from subarch.deploy.runtime import ONNX_FILE, OnnxRuntime, TorchRuntime
from subarch.errors import SubarchError
from subarch.stages.inputs import ModelFolder
from subarch.stages.output import Result, claim
from subarch.stages.session import Session
from subarch.storage import folder_bytes, storage_errors, write_json
from subarch.tasks.base import Task

Format = Literal["onnx", "onnx-int8"]
TOLERANCE = 1e-3
"""Largest difference of an fp32 export's logits from PyTorch's, relative to the logits' spread."""
CHECK_LENGTHS = (3, 8, 17, 32, 64)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export."""

    model: str
    """Folder or Hub id of a sequence classifier."""
    out: Path
    """The model goes to a folder for each format in here."""
    formats: tuple[Format, ...] = ("onnx", "onnx-int8")
    seed: int = 0
    """Of the inputs on which exports are checked."""


def export(config: ExportConfig, session: Session | None = None) -> Result:
    """Write each format to its folder, with the tokenizer and the config beside it.

    Returns:
        Metrics by format: `max_difference` of the logits, relative to their spread, `agreement` (share of equal
        answers) on random inputs of several lengths, `model_bytes`.

    Raises:
        UserError: A model or an output folder that cannot be used.
        MissingExtraError: The extra `onnx` is not installed.
        SubarchError: An fp32 export does not agree with PyTorch.
    """
    require_onnx()
    session = session or Session()
    model = ModelFolder.of(config.model)
    with claim(config.out, "export", config, models={"model": model.path}) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, "export") as run:
            started = time.monotonic()
            metrics = _export_all(config, session, model)
            for name, numbers in metrics.items():
                run.log({f"{name}.{key}": value for key, value in numbers.items()}, step=0)
            artifacts: dict[str, Path] = {name: config.out / name for name in config.formats}
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


def _export_all(config: ExportConfig, session: Session, model: ModelFolder) -> dict[str, dict[str, float]]:
    # Eager attention: sdpa's graph guards every softmax against rows without any token, which costs an eighth of the
    # latency of a short input, and no row is without its [CLS].
    kind = model.exported_as
    network = kind.saved(model.path).eval()
    names = tuple(name for name in INPUTS if name in model.tokenizer.model_input_names)
    inputs = _random_inputs(names, model.architecture, config.seed)
    expected = [TorchRuntime(kind.network(network))(arrays) for arrays in inputs]
    plain = config.out / "onnx" / ONNX_FILE
    session.phase("exporting", "onnx")
    export_onnx(network, names, kind.output_names, plain)
    metrics: dict[str, dict[str, float]] = {}
    for name in config.formats:
        target = config.out / name / ONNX_FILE
        if name == "onnx-int8":
            session.phase("exporting", name)
            quantize_int8(plain, target)
        _copy_companions(model, target.parent)
        outputs = [OnnxRuntime(target, threads=1)(arrays) for arrays in inputs]
        masks = [arrays["attention_mask"] for arrays in inputs]
        difference, agreement = kind.compare(expected, outputs, masks)
        metrics[name] = {"max_difference": difference, "agreement": agreement} | {"model_bytes": folder_bytes(target)}
        if name == "onnx" and metrics[name]["max_difference"] > TOLERANCE:
            raise SubarchError(
                f"the ONNX export differs from PyTorch by {metrics[name]['max_difference']:.2g}, expected at most "
                f"{TOLERANCE}",
                "report this with the model's config.json",
            )
    if "onnx" not in config.formats:
        plain.unlink()
        plain.parent.rmdir()
    return metrics


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
    """Config and tokenizer beside the graph: all that a service needs."""
    with storage_errors(folder), quiet_transformers():
        model.tokenizer.save_pretrained(folder)
        # What the graph does already, such as a sigmoid, and code that it never needs stay behind.
        write_json(folder / "config.json", model.config)


def load_lines(format_: str, folder: Path, task: Task) -> str:
    """Three lines of Python that load the student or an export and answer one input."""
    if format_ == "student":
        one = '{"text": "one text", "text_pair": "another"}' if task.text_pair else '"a text"'
        return (
            "from transformers import pipeline\n"
            f'classify = pipeline("text-classification", model="{folder}")\n'
            f"print(classify({one}))"
        )
    one = '"one text", "another"' if task.text_pair else '"a text"'
    choice = ".argmax(1)" if task.labels else ""
    return (
        "import onnxruntime, transformers\n"
        f'tokenizer, session = transformers.AutoTokenizer.from_pretrained("{folder}"), '
        f'onnxruntime.InferenceSession("{folder}/{ONNX_FILE}")\n'
        f'print(session.run(None, dict(tokenizer({one}, return_tensors="np")))[0]{choice})'
    )
