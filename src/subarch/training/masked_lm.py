"""Pre-training as the one loop takes it: the model, its batches, its loss and its teacher.

Only masked positions go through a vocabulary head, the student's or the teacher's: elsewhere nothing is asked, and the
head is as dear as the whole of a small encoder. Shapes: B blocks of S tokens, M masked positions, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.arch.families import family_of
from subarch.errors import ConfigError
from subarch.training.loop import Batches
from subarch.training.losses import Batch, Loss
from subarch.training.masking import Masking, generator_at, mask_tokens
from subarch.training.order import shuffled
from subarch.training.precision import Precision, cast_weights, inference_dtype
from subarch.training.processes import process_state
from subarch.training.relations import query_key_value

Signal = Literal["logits", "relations", "hidden"]
"""What a student imitates of its teacher."""


class Blocks(Protocol):
    """One split of the shards."""

    def __len__(self) -> int:
        """Number of blocks."""
        ...

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Token ids (K, S) of these blocks."""
        ...


@dataclass
class MaskedOutput:
    """What the loop reads of a forward pass."""

    logits: Tensor
    """(M, V); empty where nobody asks for them."""
    loss_inputs: dict[str, Tensor]
    """What the loss needs beside them."""


class MaskedLanguageModel(nn.Module):
    """A `...ForMaskedLM` of `transformers` that decodes masked positions alone, and shows what a loss imitates.

    Args:
        model: The model; it is what is saved.
        signal: "relations" and "hidden" add `student_relations` (3, B, S, H), `student_hidden` (B, S, H).
        layer: Whose relations, -1 the last.
        project_to: Width to which a learned projection brings the hidden states.
        with_logits: Whether to decode.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        signal: Signal = "logits",
        layer: int = -1,
        project_to: int | None = None,
        with_logits: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.signal, self.with_logits = signal, with_logits
        self.family = family_of(model.config.model_type)
        self.layer = layer % int(model.config.num_hidden_layers)
        self.projection = None
        if project_to is not None:
            self.projection = nn.Linear(int(model.config.hidden_size), project_to, bias=False)

    def forward(self, *, masked_positions: Tensor, **inputs: Tensor) -> MaskedOutput:
        """`masked_positions` (M,) indexes the flattened tokens (B·S)."""
        found: dict[str, Tensor] = {}
        if self.signal == "relations":
            with query_key_value(self.model, self.family, self.layer) as vectors:
                hidden_BSH = encode(self.model, inputs)
                found["student_relations"] = vectors()
        else:
            hidden_BSH = encode(self.model, inputs)
        if self.signal == "hidden":
            found["student_hidden"] = hidden_BSH if self.projection is None else self.projection(hidden_BSH)
        logits = decode(self.model, hidden_BSH, masked_positions) if self.with_logits else hidden_BSH.new_zeros(0)
        return MaskedOutput(logits=logits, loss_inputs=found)


def encode(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states (B, S, H) of a masked-language model's encoder."""
    encoder = model.get_submodule(family_of(model.config.model_type).encoder_prefix)  # type: ignore[union-attr, arg-type]
    hidden: Tensor = encoder(**inputs).last_hidden_state
    return hidden


def decode(model: nn.Module, hidden_BSH: Tensor, positions: Tensor) -> Tensor:
    """Logits (M, V) at these positions of the flattened tokens."""
    values = hidden_BSH.flatten(0, 1).index_select(0, positions)
    for name in family_of(model.config.model_type).mlm_head:  # type: ignore[union-attr, arg-type]
        values = model.get_submodule(name)(values)
    return values


class MaskedTeacher:
    """A teacher on the training device, in the precision that is fastest there; it has no dropout and no gradient.

    Args:
        model: A masked-language model, or for "relations" and "hidden" any with the family's encoder.
        signal: What it shows.
        layer: Whose relations, -1 the last.
        precision: "fp32" keeps it in fp32.
    """

    def __init__(
        self, model: PreTrainedModel, *, signal: Signal = "logits", layer: int = -1, precision: Precision = "auto"
    ) -> None:
        device = process_state().device
        self.inner = MaskedLanguageModel(model, signal=signal, layer=layer, with_logits=signal == "logits")
        cast_weights(self.inner.to(device), inference_dtype(precision, device)).eval()

    @torch.no_grad()  # not inference_mode: its tensors cannot take part in the student's backward pass
    def __call__(self, inputs: dict[str, Tensor], positions: Tensor) -> dict[str, Tensor]:
        """`teacher_logits` (M, V), `teacher_relations` (3, B, S, H) or `teacher_hidden_states` (B, S, H)."""
        output = self.inner(masked_positions=positions, **inputs)
        match self.inner.signal:
            case "logits":
                return {"teacher_logits": output.logits}
            case "relations":
                return {"teacher_relations": output.loss_inputs["student_relations"]}
            case "hidden":
                return {"teacher_hidden_states": output.loss_inputs["student_hidden"]}


@dataclass(frozen=True, kw_only=True)
class MaskedLmLoss:
    """alpha·MLM + beta·T²·KL(teacher ‖ student), means over masked positions (nats), + gamma·imitation.

    The form that the code released with Bort intended, and its weights: there the softmax was taken twice, and the
    mean over the vocabulary too, so that the second term vanished. Each term is left out where the batch lacks it.
    """

    alpha: float = 0.1
    beta: float = 0.5
    temperature: float = 2.0
    gamma: float = 1.0
    imitation: Loss | None = None
    """A further loss, of `batch[imitates]`, mean over blocks."""
    imitates: str = "student_relations"

    def __call__(self, logits_MV: Tensor, batch: Batch) -> Tensor:
        """`batch` has `labels` (M,), perhaps `teacher_logits` (M, V); `masked_total` and `blocks_total` where it is one
        part of a batch, whose parts' losses add up."""
        terms = []
        if logits_MV.numel():
            masked = batch.get("masked_total", torch.tensor(float(len(batch["labels"]))))
            terms.append(self._of_logits(logits_MV.float(), batch) / masked)
        if self.imitation is not None and self.imitates in batch:
            share = len(batch["input_ids"]) / batch["blocks_total"] if "blocks_total" in batch else 1.0
            terms.append(self.gamma * share * self.imitation(batch[self.imitates], batch))
        if not terms:
            raise ConfigError("no term of the loss has a weight", "set alpha, or give a teacher")
        return torch.stack(terms).sum()

    def _of_logits(self, logits_MV: Tensor, batch: Batch) -> Tensor:
        """Sum over the masked positions."""
        total = logits_MV.new_zeros(())
        if self.alpha:
            total = total + self.alpha * functional.cross_entropy(logits_MV, batch["labels"], reduction="sum")
        if self.beta and "teacher_logits" in batch:
            student = functional.log_softmax(logits_MV / self.temperature, dim=-1)
            teacher = functional.log_softmax(batch["teacher_logits"].float() / self.temperature, dim=-1)
            divergence = functional.kl_div(student, teacher, reduction="sum", log_target=True)
            total = total + self.beta * self.temperature**2 * divergence
        return total


@dataclass(frozen=True, kw_only=True)
class _MaskedBlocks:
    """Where batches come from; which tokens are masked does not depend on how a batch is parted."""

    blocks: Blocks
    masking: Masking
    rows: int
    """Blocks of a batch and process."""
    seed: int
    teacher: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]] | None
    state: Any = field(default_factory=process_state)

    def parts(self, epoch: int, step: int, parts: int) -> list[Callable[[], Batch]]:
        """The batch of a step, in so many micro-batches, each to be made when its turn comes."""
        start = (step * self.state.num_processes + self.state.process_index) * self.rows
        places = np.arange(start, start + self.rows) % len(self.blocks)
        ids = self.blocks.take(shuffled(places, len(self.blocks), (self.seed, epoch))).astype(np.int64)
        rng = generator_at((self.seed, epoch), start, ids.shape[1])
        masked, positions = mask_tokens(ids, rng, self.masking)
        totals = {"masked_total": self._mean_of_ranks(len(positions)), "blocks_total": torch.tensor(float(self.rows))}
        made: list[Callable[[], Batch]] = []
        for rows in np.array_split(np.arange(self.rows), parts):
            low, high = rows[0] * ids.shape[1], (rows[-1] + 1) * ids.shape[1]
            inside = positions[np.searchsorted(positions, low) : np.searchsorted(positions, high)]
            made.append(partial(self._make, ids[rows], masked[rows], inside - low, totals))
        return made

    def _make(self, ids: np.ndarray, masked: np.ndarray, positions: np.ndarray, totals: Batch) -> Batch:
        device = self.state.device
        batch = masked_inputs(masked, self.masking.pad_token_id, device)
        places = torch.from_numpy(positions).to(device)
        labels = torch.from_numpy(ids.reshape(-1)[positions]).to(device)
        answers = {} if self.teacher is None else self.teacher(batch, places)
        return {**batch, **answers, **totals, "masked_positions": places, "labels": labels}

    def _mean_of_ranks(self, number: float) -> Tensor:
        value = torch.tensor(float(number), device=self.state.device)
        mean: Tensor = value if self.state.num_processes == 1 else reduce(value, "mean")
        return mean


def masked_inputs(ids: np.ndarray, pad_token_id: int, device: torch.device) -> dict[str, Tensor]:
    """Blocks (B, S) as a model's inputs; an attention mask only where there is padding, since without it is faster."""
    inputs = {"input_ids": torch.from_numpy(ids).to(device)}
    real = ids != pad_token_id
    if not real.all():
        inputs["attention_mask"] = torch.from_numpy(real.astype(np.int64)).to(device)
    return inputs


def masked_lm_batches(
    blocks: Blocks,
    masking: Masking,
    *,
    batch_size: int,
    seed: int,
    teacher: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]] | None = None,
    parts: int = 1,
) -> Batches:
    """Batches of blocks in random order, masked anew each epoch, with what the teacher says of them.

    The same seed gives the same blocks and masks whatever the number of processes and parts.

    Args:
        blocks: The training split.
        masking: How to mask.
        batch_size: Blocks of a step over all processes; more than there are come several times.
        seed: Of the order and of the masks.
        teacher: A `MaskedTeacher`.
        parts: Micro-batches of a step, one after the other (gradient accumulation).

    Raises:
        ConfigError: A batch that the processes cannot share, or more parts than blocks.
    """
    state = process_state()
    rows, rest = divmod(batch_size, state.num_processes)
    if rest or not rows:
        raise ConfigError(f"a batch of {batch_size} for {state.num_processes} processes, expected a multiple of them")
    if not 1 <= parts <= rows:
        raise ConfigError(f"{parts} micro-batches of {rows} blocks, expected 1 to {rows}")
    source = _MaskedBlocks(blocks=blocks, masking=masking, rows=rows, seed=seed, teacher=teacher)
    count = max(1, len(blocks) // batch_size) if len(blocks) else 0

    def epoch(number: int) -> Iterator[Callable[[], Batch]]:
        for step in range(count):
            yield _Step(source, number, step)

    return Batches(count, epoch, split=_split, parts=parts)


@dataclass(frozen=True)
class _Step:
    source: _MaskedBlocks
    epoch: int
    number: int

    def __call__(self) -> Batch:
        return self.source.parts(self.epoch, self.number, 1)[0]()


def _split(make: Callable[[], Batch], parts: int) -> Sequence[Callable[[], Batch]]:
    assert isinstance(make, _Step)
    return make.source.parts(make.epoch, make.number, min(parts, make.source.rows))
