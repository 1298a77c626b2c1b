"""Pre-train an encoder as a masked-language model, alone or by imitating a teacher (Bort, arXiv 2010.10499, section 4).

Several processes (torchrun) train one model; the first of them owns the folder and the record.
"""

from __future__ import annotations

import math
import time
from typing import Any

from accelerate.utils import broadcast_object_list
from torch import nn
from transformers import PreTrainedModel

from subarch.errors import OutputError
from subarch.session.output import RESULT_FILE, OutputFolder, Result, claim, read_result
from subarch.session.session import Session
from subarch.stages.finetuning.saving import save_masked_lm
from subarch.stages.pretraining.models import Inputs, open_inputs
from subarch.stages.pretraining.settings import CHECKPOINT, ImitationConfig, MaskingConfig, PretrainConfig
from subarch.tracking.record import NullRun, Run
from subarch.training.checkpoint import previous
from subarch.training.held_out import HeldOut
from subarch.training.loop import Event, LoopContext, OnEvent, TrainResult, train
from subarch.training.masked_lm import masked_lm_batches
from subarch.training.precision import inference_dtype, prepare_for_training
from subarch.training.processes import process_state
from subarch.training.throughput import Meter, peak_flops, step_flops

__all__ = ["ImitationConfig", "MaskingConfig", "PretrainConfig", "pretrain"]

_CURVES = ("loss", "learning_rate", "tokens_per_second", "flops_utilisation")


def pretrain(config: PretrainConfig, session: Session | None = None) -> Result:
    """Train the model and leave it in `config.out` as an ordinary Hugging Face folder with a masked-language head.

    Returns:
        Metrics: `mlm_loss` (nats) and `mlm_accuracy` on the test split (`held_out` says which it was),
        `teacher_mlm_loss`, `teacher_mlm_accuracy` and `teacher_agreement` where there is a teacher that guesses,
        `tokens_per_second`, `flops_utilisation`, `steps`, `best_step`, `tokens`, `seconds`.

    Raises:
        UserError: Shards, models or an output folder that cannot be used.
        InterruptedRun: Stopped by the user, after saving.
        DivergedError: The loss is no number or rises beyond bounds; the last checkpoint stays.
    """
    session = session or Session()
    inputs = open_inputs(config)
    if not process_state().is_main_process:
        return _follow(config, session, inputs)
    folders = {"teacher": inputs.teacher, "model": inputs.start}
    models = {name: None if folder is None else folder.path for name, folder in folders.items()}
    with claim(config.out, "pretrain", config, inputs.shards.fingerprint, models) as folder:
        if _told_by_main(folder.result is not None):
            assert folder.result is not None
            return folder.result
        with session.recorded(folder, f"pretrain {config.out.name}") as run:
            started = time.monotonic()
            metrics, model = _train(config, session, inputs, run)
            save_masked_lm(folder.path, model, inputs.tokenizer)
        result = _finish(folder, metrics, run.run_id, time.monotonic() - started)
    process_state().wait_for_everyone()
    return result


def _follow(config: PretrainConfig, session: Session, inputs: Inputs) -> Result:
    """What the other processes do: the same training, and none of the writing."""
    if not _told_by_main(False):
        _train(config, Session(stop_requested=session.stop_requested), inputs, NullRun())
        process_state().wait_for_everyone()
    file = config.out / RESULT_FILE
    if not file.exists():
        raise OutputError(f"the first process left no {file}", "use a folder that all machines share")
    return read_result(config.out)


def _told_by_main(done: bool) -> bool:
    found = [done]
    broadcast_object_list(found)
    return found[0]


def _train(
    config: PretrainConfig, session: Session, inputs: Inputs, run: Run
) -> tuple[dict[str, Any], PreTrainedModel]:
    session.phase("reading", f"{len(inputs.train):,} blocks of {inputs.shards.block_size} tokens")
    teacher = inputs.imitated()
    student = inputs.student()
    keeps = not config.distils if config.dropout is None else config.dropout
    model = inputs.wrapped(student)
    model.to(process_state().device)
    prepare_for_training(student, dropout=keeps)
    device = process_state().device
    held_out = HeldOut(
        blocks=inputs.validation,
        masking=inputs.masking,
        count=config.validation_blocks,
        device=device,
        teacher=inputs.judge(teacher),
    )
    meter = _meter(config, inputs)
    latest: dict[str, float] = {}

    def evaluate(current: nn.Module) -> float:
        latest.update(held_out.metrics(current))
        return math.exp(-latest["mlm_loss"])  # the geometric mean of the right token's probability

    batches = masked_lm_batches(
        inputs.train,
        inputs.masking,
        batch_size=config.loop.batch_size,
        seed=config.seed,
        teacher=teacher,
        parts=_parts(config),
    )
    outcome = train(
        model,
        batches,
        inputs.loss(),
        config=config.training,
        context=LoopContext(
            seed=config.seed,
            checkpoint=config.out / CHECKPOINT,
            on_event=_listener(config, session, run, meter, latest),
            stop_requested=session.stop_requested,
        ),
        evaluate=evaluate if model.with_logits else None,
    )
    return _metrics(config, inputs, outcome, meter, _final(inputs, held_out, student)), student


def _final(inputs: Inputs, held_out: HeldOut, model: nn.Module) -> dict[str, Any]:
    """Measured where nothing was selected, if there is such a split."""
    test = inputs.shards.split("test")
    name = "test" if len(test) else "validation" if len(inputs.shards.split("validation")) else "train"
    if name == "test":
        held_out = HeldOut(
            blocks=test,
            masking=held_out.masking,
            count=held_out.count,
            device=held_out.device,
            teacher=held_out.teacher,
        )
    return {**held_out.metrics(model), "held_out": name}


def _metrics(
    config: PretrainConfig, inputs: Inputs, outcome: TrainResult, meter: Meter, held_out: dict[str, Any]
) -> dict[str, Any]:
    tokens = outcome.steps * config.loop.batch_size * inputs.shards.block_size
    rates = meter.rates or {"tokens_per_second": tokens / max(outcome.seconds, 1e-9)}
    counts = {"steps": outcome.steps, "best_step": outcome.best_step, "tokens": tokens, "seconds": outcome.seconds}
    return {**held_out, **rates, **counts}


def _parts(config: PretrainConfig) -> int:
    if config.micro_batch_size is None:
        return 1
    rows = config.loop.batch_size // int(process_state().num_processes)
    return max(1, math.ceil(rows / config.micro_batch_size))


def _meter(config: PretrainConfig, inputs: Inputs) -> Meter:
    state = process_state()
    dtype = inference_dtype(config.loop.precision, state.device)
    size = inputs.shards.block_size
    operations = step_flops(
        inputs.architecture,
        inputs.teacher.architecture if inputs.teacher and config.distils else None,
        block_size=size,
        masked=config.masking.probability * size,
        signal=config.loss,
    )
    return Meter(
        config.loop.batch_size * size,
        config.loop.batch_size * operations,
        peak_flops(config.hardware, state.device, dtype) * state.num_processes,
    )


def _listener(config: PretrainConfig, session: Session, run: Run, meter: Meter, latest: dict[str, float]) -> OnEvent:
    """Adds rates and held-out metrics to the events, and draws the curves of `run`."""

    def on_event(event: Event) -> None:
        event = meter(event)
        if event["event"] == "evaluation":
            event = {**event, **latest}
            run.log({"score": event["score"], **latest}, step=int(event["step"]))
        elif event["event"] == "step" and (event["step"] % config.log_every == 0 or event["progress"] >= 1.0):
            run.log({name: float(event[name]) for name in _CURVES if name in event}, step=int(event["step"]))
        session.on_event({**event, "stage": "pretrain"})

    return on_event


def _finish(folder: OutputFolder, metrics: dict[str, Any], run_id: str | None, seconds: float) -> Result:
    result = folder.finish(metrics, {"model": folder.path / "model.safetensors"}, run_id, seconds)
    # Only now: with `result.json` written, nothing will ask for these again.
    for file in (folder.path / CHECKPOINT, previous(folder.path / CHECKPOINT)):
        file.unlink(missing_ok=True)
    return result
