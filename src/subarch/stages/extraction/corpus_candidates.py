"""The workshop of a corpus: candidates are masked language models, as in Bort's search.

ê is taken where held-out blocks are masked, between the last layers of a candidate and its teacher; candidates train
on that very loss. The cost of a candidate's head counts in neither p̂ nor î, because no task keeps the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_masked_lm
from subarch.arch.families import family_of
from subarch.arch.pretrained import check_finite, has_mlm_head, load_masked_lm, quiet_transformers
from subarch.errors import ConfigError, DataError, ModelError
from subarch.inputs.models import ModelFolder
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.extraction.settings import Attempt, ExtractConfig, SurrogateError, Timing, name_of_units
from subarch.stages.extraction.timing import nominal_timings, random_requests, time_in_turn
from subarch.storage import replacing_folder
from subarch.tasks.corpus.shards import Blocks, Shards, tokenizer_sha256
from subarch.training.calibration import Calibration
from subarch.training.importance import Importance, measure_importance
from subarch.training.inherit import inherit, rank_layers, select
from subarch.training.loop import LoopContext, train
from subarch.training.losses import Batch, divergence, surrogate_errors
from subarch.training.masked_lm import (
    MaskedLanguageModel,
    MaskedLmLoss,
    MaskedTeacher,
    decode,
    encode,
    masked_inputs,
    masked_lm_batches,
)
from subarch.training.masking import Masking, mask_tokens
from subarch.training.precision import cast_weights, inference_dtype, prepare_for_training
from subarch.training.processes import process_state
from subarch.training.stack import ENCODER_INPUTS, LayerStack

CALIBRATION_TOKENS = 4096
"""Tokens of the training blocks by which the teacher is weighed and students are corrected; ours."""
IGNORED = -100
RANKING_BLOCKS = 8
REMEMBERED_BYTES = 2**28
"""Of the teacher's hidden states; what comes beyond this is computed each time."""
HELD_OUT_TOKENS = 4096
"""Tokens of a batch in evaluation."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A batch of masked blocks, and what the teacher's encoder made of the masked positions."""

    inputs: dict[str, Tensor]
    positions: Tensor
    """(M,) indices into the flattened tokens."""
    blocks: np.ndarray
    """(M,) the block of each."""
    teacher_hidden: Tensor
    """(M, H)."""


@dataclass(kw_only=True)
class RememberedTeacher:
    """The teacher, which reads a batch once for all candidates: under one seed, all of them train on the same batches.

    Kept are the hidden states of the masked positions, thousands of times smaller than their logits.
    """

    teacher: MaskedTeacher
    known: dict[bytes, Tensor] = field(default_factory=dict)

    @property
    def model(self) -> PreTrainedModel:
        """The masked language model."""
        return self.teacher.inner.model

    @torch.no_grad()
    def __call__(self, inputs: dict[str, Tensor], positions: Tensor) -> dict[str, Tensor]:
        """`teacher_logits` (M, V)."""
        return {"teacher_logits": self.decode(self.hidden(inputs, positions))}

    @torch.no_grad()
    def hidden(self, inputs: dict[str, Tensor], positions: Tensor) -> Tensor:
        """The last hidden states (M, H) at these positions of the flattened tokens."""
        key = sha256(inputs["input_ids"].cpu().numpy().tobytes() + positions.cpu().numpy().tobytes()).digest()
        if key in self.known:
            return self.known[key]
        found = encode(self.model, inputs).flatten(0, 1).index_select(0, positions)
        if sum(one.nbytes for one in self.known.values()) + found.nbytes <= REMEMBERED_BYTES:
            self.known[key] = found
        return found

    @torch.no_grad()
    def decode(self, hidden_MH: Tensor) -> Tensor:
        """Logits (M, V)."""
        return decode(self.model, hidden_MH[None], torch.arange(len(hidden_MH), device=hidden_MH.device))


@dataclass(frozen=True, kw_only=True)
class CorpusWorkshop:
    """The teacher opened up on a corpus, ready to make masked language models of any size."""

    config: ExtractConfig
    teacher: ModelFolder
    model: PreTrainedModel
    """In fp32, to inherit from."""
    answering: RememberedTeacher
    masking: Masking
    train_blocks: Blocks
    held_out: tuple[HeldOut, ...]
    importance: Importance | None
    """None where candidates start from noise; likewise the two below."""
    drop_order: tuple[int, ...] | None
    calibration: Calibration | None

    def build(self, candidate: Architecture, *, correct: bool = True) -> PreTrainedModel:
        """A masked language model of this size, random or with the teacher's most important weights.

        Args:
            candidate: Its sizes.
            correct: Whether what was cut is made up for; what is only timed does not need it.
        """
        if self.importance is None or self.drop_order is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.seed)
                return build_masked_lm(candidate, self.teacher.config)
        weighed = self.importance, self.drop_order
        return _inherited(candidate, self.teacher, self.model, weighed, self.calibration if correct else None)

    def error_of(self, attempt: Attempt) -> SurrogateError:
        """Lines 7 and 8 of Algorithm 1: build, train for s steps, ê on held-out blocks."""
        student = self.build(attempt.candidate)
        if attempt.steps:
            self._train(student, attempt)
        device = process_state().device
        cast_weights(student.to(device), inference_dtype("auto", device)).eval()
        mean, interval, errors = _mean_of_blocks(*self._errors(student))
        return SurrogateError(error=mean, interval=interval, errors=tuple(errors.tolist()), units=self._units)

    @cached_property
    def _units(self) -> str:
        arrays = [(b.inputs["input_ids"], b.positions, b.teacher_hidden.float()) for b in self.held_out]
        return name_of_units(*(array.cpu().numpy() for batch in arrays for array in batch))

    def _train(self, student: PreTrainedModel, attempt: Attempt) -> None:
        settings = replace(self.config.loops[attempt.theta], max_steps=attempt.steps)
        prepare_for_training(student, dropout=False)
        batches = masked_lm_batches(
            self.train_blocks,
            self.masking,
            batch_size=settings.batch_size,
            seed=self.config.seed,
            teacher=self.answering,
        )
        # KL and cross-entropy to the teacher differ by a constant, so they train alike.
        loss = MaskedLmLoss(alpha=0.0, beta=1.0, temperature=1.0)
        context = LoopContext(seed=self.config.seed)
        train(MaskedLanguageModel(student), batches, loss, config=settings, context=context)

    @torch.inference_mode()
    def _errors(self, student: PreTrainedModel) -> tuple[np.ndarray, np.ndarray]:
        """(error of each masked position, its block)."""
        errors, blocks = [], []
        for batch in self.held_out:
            ours = decode(student, encode(student, batch.inputs), batch.positions)
            theirs = self.answering.decode(batch.teacher_hidden)
            found = surrogate_errors(ours, theirs, kind=self.config.error)
            errors.append(found.float().cpu().numpy())
            blocks.append(batch.blocks)
        return np.concatenate(errors), np.concatenate(blocks)

    def latencies(self, candidates: Sequence[Architecture]) -> tuple[Timing, list[Timing]]:
        """î of the teacher's encoder and of every candidate's, milliseconds for one batch, all in turn."""
        timing = self.config.timing
        if not timing.sequence_lengths:
            timing = replace(timing, sequence_lengths=(self.train_blocks.block_size,))
        architecture = self.teacher.architecture
        if self.config.latency == "nominal":
            teacher, *others = nominal_timings((architecture, *candidates), timing.sequence_lengths, timing.batch_size)
            return teacher, others
        requests = random_requests(timing, architecture.vocab_size)

        def encoder_of(candidate: Architecture) -> nn.Module:
            return _encoder(self.build(candidate, correct=False))

        return time_in_turn(timing, _encoder(self.model), candidates, encoder_of, requests)

    def save_student(self, candidate: Architecture, path: Path) -> None:
        """Write the untrained student with its tokenizer as a Hugging Face folder."""
        with replacing_folder(path) as temporary, quiet_transformers():
            self.build(candidate).save_pretrained(temporary)
            self.teacher.tokenizer.save_pretrained(temporary)

    def facts(self, candidate: Architecture) -> dict[str, Any]:
        """`error_name`, and `imitated_layers` where it inherits."""
        name = "KL divergence from" if self.config.error == "kl" else "cross-entropy to"
        facts: dict[str, Any] = {"error_name": f"{name} the teacher at masked tokens (nats)"}
        if self.drop_order is not None:
            layers = self.teacher.architecture.num_hidden_layers
            dropped = set(self.drop_order[: layers - candidate.num_hidden_layers])
            kept = [layer for layer in range(layers) if layer not in dropped]
            facts["imitated_layers"] = [*kept[1:], layers]
        return facts


class CorpusSource:
    """Shards, and a teacher that answers where they are masked."""

    def __init__(self, config: ExtractConfig, shards: Shards, teacher: ModelFolder) -> None:
        self.config, self.shards, self.teacher = config, shards, teacher
        self.name, self.fingerprint = shards.path.name, shards.fingerprint
        self.least_vocabulary = teacher.architecture.vocab_size

    @classmethod
    def of(cls, config: ExtractConfig, teacher: ModelFolder) -> CorpusSource:
        """Checked.

        Raises:
            ModelError: A teacher without a masked-language-model head.
            DataError: No shards, shards of another tokenizer, or nothing in them to train or judge on.
            ConfigError: Lengths that the teacher cannot read.
        """
        assert config.corpus is not None
        shards = Shards.open(config.corpus)
        if not has_mlm_head(teacher.path):
            raise ModelError(
                f"{teacher.path} has no masked-language-model head, expected one to judge candidates by",
                f"give it one: subarch pretrain --objective mlm --model {teacher.path} --data {config.corpus}",
            )
        if tokenizer_sha256(teacher.tokenizer) != shards.tokenizer_sha256:
            raise DataError(
                f"{shards.path} was made with another tokenizer than the teacher's",
                f"make it anew: subarch prepare --tokenizer {config.teacher}",
            )
        for split in ("train", "validation"):
            if not len(shards.split(split)):
                raise DataError(f"{shards.path} has no {split} blocks", "prepare more text")
        longest = max((shards.block_size, *config.timing.sequence_lengths))
        if longest > teacher.architecture.max_length:
            raise ConfigError(
                f"inputs of {longest} tokens, but the teacher reads at most {teacher.architecture.max_length}",
                "prepare shorter blocks, or set timing.sequence_lengths",
            )
        return cls(config, shards, teacher)

    def look(self, session: Session) -> dict[str, Any]:
        """Nothing to tell: `of` has compared the shards with the teacher; texts are as `prepare` told."""
        check_finite(self.teacher.path)
        return {}

    def open(self, folder: Path, deadline: Deadline) -> tuple[CorpusWorkshop, int]:
        """The workshop, and the vocabulary of its students; its teacher is weighed by a few blocks in any case."""
        teacher, config = self.teacher, self.config
        model = load_masked_lm(teacher.path)
        masking = Masking(
            vocab_size=self.shards.vocab_size,
            mask_token_id=self.shards.mask_token_id,
            special_token_ids=self.shards.special_token_ids,
            pad_token_id=self.shards.pad_token_id,
        )
        answering = RememberedTeacher(teacher=MaskedTeacher(load_masked_lm(teacher.path)))
        train_blocks, validation = self.shards.split("train"), self.shards.split("validation")
        chosen = np.sort(np.random.default_rng(config.seed).permutation(len(validation))[: config.error_blocks])
        workshop = CorpusWorkshop(
            config=config,
            teacher=teacher,
            model=model,
            answering=answering,
            masking=masking,
            train_blocks=train_blocks,
            held_out=tuple(_held_out(validation.take(chosen), masking, answering, config.seed)),
            importance=None,
            drop_order=None,
            calibration=None,
        )
        if config.start == "inherited":
            workshop = _weighed(workshop)
        return workshop, teacher.architecture.vocab_size


def _held_out(ids: np.ndarray, masking: Masking, teacher: RememberedTeacher, seed: int) -> Iterator[HeldOut]:
    device = process_state().device
    masked, positions = mask_tokens(ids, np.random.default_rng(seed), masking)
    length = ids.shape[1]
    rows = max(1, HELD_OUT_TOKENS // length)
    for start in range(0, len(ids), rows):
        low, high = start * length, min(start + rows, len(ids)) * length
        inside = positions[np.searchsorted(positions, low) : np.searchsorted(positions, high)]
        inputs = masked_inputs(masked[start : start + rows], masking.pad_token_id, device)
        places = torch.from_numpy(inside - low).to(device)
        hidden = teacher.hidden(inputs, places)
        yield HeldOut(inputs=inputs, positions=places, blocks=inside // length, teacher_hidden=hidden)


def _mean_of_blocks(errors: np.ndarray, blocks: np.ndarray) -> tuple[float, tuple[float, float], np.ndarray]:
    """The mean over positions, its 95 % interval, and what each block adds to it, (B,), whose mean it is too.

    Positions of one block are not independent, blocks are: a ratio estimate with Student's t over blocks. Of one block
    nothing is known but that the error is not negative: the interval is (0, inf).
    """
    numbers, sums = np.unique(blocks, return_inverse=True)[1], np.bincount
    totals, counts = sums(numbers, errors.astype(np.float64)), sums(numbers)
    mean = float(totals.sum() / counts.sum())
    shares = totals * (len(counts) / counts.sum())
    if len(counts) < 2:
        return mean, (0.0, math.inf), shares
    spread = ((totals - mean * counts) ** 2).sum() * len(counts) / (len(counts) - 1)
    half = float(stdtrit(len(counts) - 1, 0.975)) * float(np.sqrt(spread)) / float(counts.sum())
    return mean, (max(0.0, mean - half), mean + half), shares


def _weighed(workshop: CorpusWorkshop) -> CorpusWorkshop:
    """The workshop with the importance of the teacher's parts, and its layers from the most dispensable on."""
    architecture, model = workshop.teacher.architecture, workshop.model.eval()
    batches = tuple(_calibration(workshop))
    importance = measure_importance(model, architecture, batches, _masked_cross_entropy)
    calibration = Calibration(
        teacher=model, architecture=architecture, batches=batches, outputs=_answers, divergence=_divergence
    )
    sample = replace(workshop.config, error="kl")
    ids = workshop.train_blocks.take(np.arange(min(RANKING_BLOCKS, len(workshop.train_blocks))))
    judged = tuple(_held_out(ids, workshop.masking, workshop.answering, workshop.config.seed))
    judge = replace(workshop, config=sample, held_out=judged)
    answering = workshop.answering.model
    stack = LayerStack(answering, family_of(architecture.family))

    def error_of(layers: tuple[int, ...]) -> float:
        with stack.keeping(layers):
            return float(judge._errors(answering)[0].mean())

    order = tuple(rank_layers(architecture, error_of))
    return replace(workshop, importance=importance, calibration=calibration, drop_order=order)


@torch.no_grad()
def _answers(model: nn.Module, batch: Batch) -> Tensor:
    """Logits (M, V) at the masked positions."""
    inputs = {name: batch[name] for name in ENCODER_INPUTS if name in batch}
    return decode(model, encode(model, inputs), torch.nonzero(batch["labels"].flatten() != IGNORED).squeeze(1))


def _divergence(logits_MV: Tensor, batch: Batch) -> Tensor:
    return divergence(logits_MV, batch["teacher_logits"], 1.0)


def _calibration(workshop: CorpusWorkshop) -> Iterator[Batch]:
    blocks = workshop.train_blocks
    count = min(len(blocks), max(1, CALIBRATION_TOKENS // blocks.block_size))
    rng = np.random.default_rng(workshop.config.seed)
    ids = blocks.take(np.sort(rng.permutation(len(blocks))[:count])).astype(np.int64)
    masked, positions = mask_tokens(ids, rng, workshop.masking)
    labels = np.full(ids.size, IGNORED)
    labels[positions] = ids.reshape(-1)[positions]
    for row in range(count):
        yield {
            "input_ids": torch.from_numpy(masked[row : row + 1]),
            "attention_mask": torch.from_numpy((ids[row : row + 1] != workshop.masking.pad_token_id).astype(np.int64)),
            "labels": torch.from_numpy(labels.reshape(ids.shape)[row : row + 1]),
        }


def _masked_cross_entropy(logits_BSV: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_BSV.flatten(0, 1).float(), batch["labels"].flatten())


def _inherited(
    candidate: Architecture,
    teacher: ModelFolder,
    model: PreTrainedModel,
    weighed: tuple[Importance, tuple[int, ...]],
    calibration: Calibration | None,
) -> PreTrainedModel:
    full, (importance, drop_order) = teacher.architecture, weighed
    selection = select(candidate, full, importance, drop_order=drop_order)
    student = build_masked_lm(candidate, teacher.config, layers=selection.layers, empty=True)
    student.tie_weights()  # an empty model is not tied, and then its decoder would be one parameter more
    inherit(student, model, (candidate, full), selection, calibration)
    return student


def _encoder(model: PreTrainedModel) -> nn.Module:
    encoder: nn.Module = model.get_submodule(family_of(model.config.model_type).encoder_prefix)
    return encoder
