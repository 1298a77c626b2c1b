"""The only training loop. Fine-tuning, distillation and the search's short trainings differ in batches and loss.

Progress runs from 0 to 1 over the planned steps, or over the time share if that ends first (Geiping & Goldstein,
Cramming, arXiv 2212.14034): the learning rate follows progress, so a wall-clock budget still ends at rate zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from subarch.errors import BudgetError, ConfigError, DataError, DivergedError, InterruptedRun
from subarch.training.checkpoint import Kept, TrainState, Weights, load_checkpoint, save_checkpoint
from subarch.training.losses import Batch, Loss, require_finite
from subarch.training.precision import MasterWeights, autocast, cast_weights, resolve_precision
from subarch.training.processes import (
    average_gradients,
    begin_alike,
    mean_of_all,
    of_any,
    of_main,
    process_state,
    require_same_step,
)
from subarch.training.schedules import places_apart, rate
from subarch.training.settings import LoopConfig

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "masked_positions")
"""What of a batch the model reads; everything else in it is for the loss."""

SMOOTHING = 0.95
"""Smoothing of the loss whose rise shows divergence: a mean over about the last twenty steps; ours."""

RANK_SEEDS = 2_654_435_769
"""Distance between the seeds of two processes: 2**32 over the golden ratio; a CPU's generator drops higher bits."""

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """An `on_event` that listens to nothing."""


@dataclass(frozen=True, kw_only=True)
class LoopContext:
    """What surrounds a training: where it saves, to whom it reports, when it must stop."""

    seed: int = 0
    checkpoint: Path | None = None
    seconds: float | None = None
    """The time share; None: as long as the planned steps take."""
    on_event: OnEvent = ignore_event
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    before_save: Callable[[], None] = field(default=lambda: None)
    """Called before each checkpoint, to save what the batches depend on."""
    frozen: tuple[str, ...] = ()
    """Parameters that stay as they are."""
    fresh: tuple[str, ...] = ()
    """Modules that start from noise; they learn at `LoopConfig.head_rate` times the rate."""
    standard_error: Callable[[], float] = field(default=lambda: 0.0)
    """Of the score that was taken last."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of it; the model passed in holds the best weights, in fp32."""

    steps: int
    seconds: float
    best_score: float | None
    """The validation score of the weights that it holds."""
    best_step: int
    averaged: bool = False
    """Whether they are the mean of those at the last two validations."""


class Batches:
    """The data side of training: `epoch(n)` gives the batches of epoch n, the same ones whenever it is asked.

    Each batch comes as a function that makes it, so that skipping to where a killed run was costs nothing.

    Args:
        count: Batches of an epoch.
        epoch: See above.
        split: Where batches can be parted: takes such a function and a number, and gives functions that make the
            parts. Their losses must add up to that of the batch, as means over processes.
        parts: Into how many each batch is parted.

    Raises:
        DataError: `count` is 0: an epoch without batches would never end.
    """

    def __init__(
        self,
        count: int,
        epoch: Callable[[int], Iterator[Callable[[], Batch]]],
        *,
        split: Callable[[Callable[[], Batch], int], Sequence[Callable[[], Batch]]] | None = None,
        parts: int = 1,
    ) -> None:
        if count < 1:
            raise DataError(f"{count} batches to train on, expected at least one", "give it training rows")
        self.count = count
        self.epoch = epoch
        self.split = split
        self.parts = parts


def train(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    config: LoopConfig,
    context: LoopContext,
    evaluate: Callable[[nn.Module], float] | None = None,
) -> TrainResult:
    """Train `model` in place and leave the best weights in it, or an average (`LoopConfig.average`).

    Without `evaluate` they are the last ones.

    Args:
        model: A transformers model whose forward takes those of `INPUTS` that the batch has, and returns `.logits`.
        batches: Its epochs must be deterministic, since a resumed run skips to where it was.
        loss: Takes the logits and the batch.
        config: How to train.
        context: Where to save, when to stop, to whom to report.
        evaluate: The score that selects, higher is better; on validation data only.

    Raises:
        InterruptedRun: After a checkpoint, when `context.stop_requested()`.
        BudgetError: There is no time for a first step.
        DivergedError: A loss or gradients that are no numbers, or a loss that rose beyond `config.divergence`; the
            last checkpoint stays.
    """
    run = _Run(model, batches, config, context, evaluate)
    if run.progress >= 1.0 and run.state.step == 0:
        raise BudgetError("the time share ended before the first training step", "give a longer --budget")
    for make_batch in run.batches_to_come():
        run.step(make_batch, loss)
        run.evaluate_if_due()
        run.save_if_due()
    return run.finish()


class _Run:
    """The parts of one training that a step needs."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: LoopConfig,
        context: LoopContext,
        evaluate: Callable[[nn.Module], float] | None,
    ) -> None:
        process_state()  # says how the processes meet, which the accelerator then finds
        self.accelerator = Accelerator(mixed_precision="no")
        self.raw_model = model.to(self.accelerator.device)
        begin_alike(self.raw_model)
        self.dtype = resolve_precision(config.precision, self.accelerator.device)
        self.peak_rate = _peak_rate(config, self.raw_model)
        fp32_weights = {name: p.detach().clone() for name, p in self.raw_model.named_parameters()}
        self.frozen = {name: fp32_weights[name] for name in context.frozen}
        for name in self.frozen:
            self.raw_model.get_parameter(name).requires_grad_(False)
        cast_weights(self.raw_model, self.dtype)
        self.masters = MasterWeights(
            self.raw_model,
            learning_rate=self.peak_rate,
            weight_decay=config.weight_decay,
            optimizer=config.optimizer,
            adam=config.adam,
        )
        self.masters.hasten(context.fresh, config.head_rate)
        self.masters.load_weights(fp32_weights)
        # Parts are summed up before the processes share their gradients, which `_share_gradients` does.
        self.model = self.raw_model if batches.split else self.accelerator.prepare(self.raw_model)
        self.batches, self.config, self.context, self.evaluate = batches, config, context, evaluate
        self.total_steps = config.max_steps or max(1, round(config.epochs * batches.count))
        self.state = TrainState(parts=batches.parts)
        self.kept, self.averaged = Kept(), False
        if context.checkpoint and (found := load_checkpoint(context.checkpoint, self.masters)):
            self.state, self.kept = found
        require_same_step(self.state.step)
        self.seconds = None if context.seconds is None else of_main(context.seconds)
        self.clock = time.monotonic() - self.state.seconds
        self.last_save, self.save_cost = time.monotonic(), 0.0

    @property
    def progress(self) -> float:
        """How far training is, in [0, 1]."""
        done = self.state.step / self.total_steps
        if self.config.max_steps is None and self.seconds is not None:
            done = max(done, self.state.seconds / self.seconds) if self.seconds > 0 else 1.0
        return min(1.0, done)

    def batches_to_come(self) -> Iterator[Callable[[], Batch]]:
        """Epoch after epoch, what makes the batches not seen yet, until training is finished."""
        while True:
            start = self.state.batch_in_epoch
            for index, make_batch in enumerate(self.batches.epoch(self.state.epoch)):
                if self.state.finished:
                    return
                if index >= start:
                    yield make_batch
                    self.state.batch_in_epoch = index + 1
            self.state.epoch, self.state.batch_in_epoch = self.state.epoch + 1, 0

    def step(self, make_batch: Callable[[], Batch], loss: Loss) -> None:
        """One optimiser step."""
        self.model.train()
        number = self._fill_gradients(make_batch, loss)
        self._watch(number)
        peak_share = rate(self.config.schedule, self.progress, self.config.warmup)
        learning_rate = self.peak_rate * peak_share
        self.masters.step(learning_rate, self.config.clip_norm)
        self.state.step += 1
        self.state.seconds = of_main(time.monotonic() - self.clock)
        self.context.on_event(
            {"event": "step", "step": self.state.step, "loss": number, "learning_rate": learning_rate}
            | {"progress": self.progress, "seconds": self.state.seconds}
        )
        self.state.finished = self.progress >= 1.0

    def _fill_gradients(self, make_batch: Callable[[], Batch], loss: Loss) -> float:
        """Backward through a batch, in as many parts as memory asks for; returns its loss."""
        if self.batches.split is None:
            self._seed()
            return self._backward(make_batch, loss)
        while True:
            self._seed()
            number, parts = 0.0, self.batches.split(make_batch, self.state.parts)
            failed = False
            try:
                for part in parts:
                    number += self._backward(part, loss)
            except torch.OutOfMemoryError:
                if len(parts) < self.state.parts:
                    raise  # one row a part, and still too much
                failed = True
            if not of_any(failed):
                return self._share_gradients(number)
            self._halve()

    def _seed(self) -> None:
        """Draw the dropout of a step: the same after a resume or for want of memory, another in each process."""
        drawn = self.context.seed * 1_000_003 + self.state.step + self.accelerator.process_index * RANK_SEEDS
        torch.manual_seed(drawn % 2**63)

    def _backward(self, make_batch: Callable[[], Batch], loss: Loss) -> float:
        batch = {name: tensor.to(self.accelerator.device) for name, tensor in make_batch().items()}
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        hidden = {"output_hidden_states": True} if "teacher_hidden" in batch else {}
        with autocast(self.config.precision, self.accelerator.device):
            output = self.model(**inputs, **hidden)
        if hidden:
            layers = batch["teacher_hidden"].shape[2]
            batch["student_hidden"] = torch.stack(output.hidden_states[-layers:], dim=2)
        batch |= getattr(output, "loss_inputs", {})
        batch["progress"] = torch.tensor(self.progress)
        value = loss(output.logits, batch)
        number = require_finite(value, self.state.step)
        self.accelerator.backward(value)
        return number

    def _halve(self) -> None:
        """Half the rows at a time from now on."""
        self.masters.clear()
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        self.state.parts *= 2
        detail = f"{self.state.parts} micro-batches a step from now on, of half the rows; the batch stays the same"
        self.context.on_event({"event": "phase", "name": "out of memory", "detail": detail})

    def _share_gradients(self, number: float) -> float:
        """Average the gradients over the processes, and the loss."""
        if self.accelerator.num_processes > 1:
            average_gradients([p.grad for p in self.masters.working if p.grad is not None])
        return mean_of_all(number)

    def _watch(self, number: float) -> None:
        """Raise DivergedError where the smoothed loss has left its lowest too far behind."""
        limit, state = self.config.divergence, self.state
        if limit is None:
            return
        old = number if state.smoothed_loss is None else state.smoothed_loss
        state.smoothed_loss = SMOOTHING * old + (1.0 - SMOOTHING) * number
        lowest = state.smoothed_loss if state.lowest_loss is None else state.lowest_loss
        state.lowest_loss = min(lowest, state.smoothed_loss)
        if state.smoothed_loss > limit * state.lowest_loss:
            raise DivergedError(
                f"the loss diverges: {state.smoothed_loss:.3f} at step {state.step}, smoothed, after "
                f"{state.lowest_loss:.3f} at its lowest",
                "lower the learning rate; the last checkpoint is kept",
            )

    def evaluate_if_due(self) -> None:
        """Score on validation data `config.evaluations` times, and keep the best weights."""
        next_place = self.state.next_evaluation / self.config.evaluations
        due = self.progress >= max(next_place, self.config.evaluate_from)
        if self.evaluate is None or not (due or self.state.finished):
            return
        begun = time.monotonic()
        score = self._score(self.evaluate)
        cost = of_main(time.monotonic() - begun)
        timed = self.seconds if self.config.max_steps is None else None
        apart = places_apart(self.config.evaluations, cost, timed)
        self.state.next_evaluation = int(self.progress * self.config.evaluations) + apart
        self.context.on_event(
            {"event": "evaluation", "step": self.state.step, "score": score, "progress": self.progress}
        )
        if self.state.best_score is None or score > self.state.best_score:
            self.state.best_score, self.state.best_step = score, self.state.step
            self.kept.best = self.masters.weights()
        self.state.seconds = of_main(time.monotonic() - self.clock)
        self.state.finished = self.progress >= 1.0
        if self.config.average and not self.state.finished:
            newest = self.state.best_step == self.state.step and self.kept.best is not None
            self.kept.earlier = self.kept.best if newest else self.masters.weights()

    def _score(self, evaluate: Callable[[nn.Module], float]) -> float:
        with autocast(self.config.precision, self.accelerator.device):
            return evaluate(self.raw_model)

    def save_if_due(self) -> None:
        """Checkpoint every `checkpoint_seconds`, spending at most about 3 % of the time; and before an interrupt."""
        stopping = bool(of_main(self.context.stop_requested())) and not self.state.finished
        if self.context.checkpoint is None:
            if stopping:
                raise InterruptedRun("interrupted before anything was saved")
            return
        due = time.monotonic() - self.last_save > max(self.config.checkpoint_seconds, 30.0 * self.save_cost)
        if not (due or stopping or self.state.finished):
            return
        if self.accelerator.is_main_process:
            started = time.monotonic()
            self.context.before_save()
            state = self.state
            # The batch in hand is done although the iterator has not advanced yet.
            snapshot = TrainState(**{**vars(state), "batch_in_epoch": state.batch_in_epoch + 1})
            keep = self.config.keep_checkpoints
            save_checkpoint(self.context.checkpoint, snapshot, self.masters, self.kept, keep=keep)
            self.last_save, self.save_cost = time.monotonic(), time.monotonic() - started
        if stopping:
            raise InterruptedRun(f"interrupted at step {self.state.step}, saved", "the same command resumes")

    def finish(self) -> TrainResult:
        """Put the chosen weights into the model, in fp32."""
        weights = self._average_if_good() or self.kept.best or self.masters.weights()
        cast_weights(self.raw_model, torch.float32)
        with torch.no_grad():
            for name, weight in {**weights, **self.frozen}.items():
                self.raw_model.get_parameter(name).copy_(weight)
        for name in self.frozen:
            self.raw_model.get_parameter(name).requires_grad_(True)
        self.raw_model.eval()
        state = self.state
        return TrainResult(
            steps=state.step,
            seconds=state.seconds,
            best_score=state.best_score,
            best_step=state.best_step,
            averaged=self.averaged,
        )

    def _average_if_good(self) -> Weights | None:
        """The mean of the weights at the last two validations, unless the best score is above its by an error."""
        earlier, best = self.kept.earlier, self.state.best_score
        if not self.config.average or self.evaluate is None or earlier is None or best is None:
            return None
        mean = {name: (weight + earlier[name]) / 2 for name, weight in self.masters.weights().items()}
        self.masters.load_weights(mean)
        score = self._score(self.evaluate)
        if score < best - self.context.standard_error():
            return None
        self.averaged, self.state.best_score, self.state.best_step = True, score, self.state.step
        return mean


def _peak_rate(config: LoopConfig, model: nn.Module) -> float:
    """The configured rate, or that for the width which the model's own configuration names."""
    if config.learning_rate is not None:
        return config.learning_rate
    for module in model.modules():
        width = getattr(getattr(module, "config", None), "hidden_size", None)
        if width is not None:
            return config.rate_for(int(width))
    raise ConfigError("no learning_rate, and a model that does not name its hidden_size", "set learning_rate")
