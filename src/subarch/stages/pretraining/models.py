"""What `pretrain` reads, checked before anything is written: shards, teacher, and the model in its first state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_masked_lm
from subarch.arch.pretrained import check_finite, has_mlm_head, load_masked_lm, load_tokenizer
from subarch.arch.published import bort_architecture
from subarch.errors import ConfigError, DataError, ModelError
from subarch.inputs.models import ModelFolder
from subarch.stages.pretraining.settings import PretrainConfig
from subarch.storage import read_json
from subarch.tasks.corpus.shards import Blocks, Shards, tokenizer_sha256
from subarch.training.inherit import require_inheritable
from subarch.training.inherit_masked_lm import inherited_masked_lm
from subarch.training.masked_lm import MaskedLanguageModel, MaskedLmLoss, MaskedTeacher
from subarch.training.masking import Masking, word_continuations
from subarch.training.relations import HiddenLoss, RelationLoss, relation_heads


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that a pre-training reads; made by `open_inputs`."""

    config: PretrainConfig
    shards: Shards
    teacher: ModelFolder | None
    start: ModelFolder | None
    architecture: Architecture

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that made the shards."""
        return load_tokenizer(self.shards.tokenizer_folder)

    @cached_property
    def masking(self) -> Masking:
        """How blocks are masked."""
        settings = self.config.masking
        size = self.shards.vocab_size
        continues = None
        if settings.whole_words:
            names = [name or "" for name in self.tokenizer.convert_ids_to_tokens(list(range(size)))]
            continues = word_continuations(names)
        return Masking(
            vocab_size=size,
            mask_token_id=self.shards.mask_token_id,
            special_token_ids=self.shards.special_token_ids,
            pad_token_id=self.shards.pad_token_id,
            probability=settings.probability,
            continues=continues,
        )

    @property
    def train(self) -> Blocks:
        """Blocks to learn from."""
        return self.shards.split("train")

    @property
    def validation(self) -> Blocks:
        """Blocks that select; those to learn from where there are no others."""
        found = self.shards.split("validation")
        return found if len(found) else self.train

    def student(self) -> PreTrainedModel:
        """The model in its first state, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            if self.start is not None:
                return load_masked_lm(self.start.path)
            if self.config.inherit:
                assert self.teacher is not None
                teacher = load_masked_lm(self.teacher.path)
                return inherited_masked_lm(self.architecture, teacher, self.train, self.masking, seed=self.config.seed)
            return build_masked_lm(self.architecture, self._base_config())

    def wrapped(self, model: PreTrainedModel) -> MaskedLanguageModel:
        """The model as the loop trains it; a projection is drawn from the seed."""
        signal = self.config.loss if self.config.distils else "logits"
        width = self.teacher.architecture.hidden_size if self.teacher and signal == "hidden" else None
        decoded = signal == "logits" or self.config.imitation.alpha > 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return MaskedLanguageModel(model, signal=signal, project_to=width, with_logits=decoded)

    def imitated(self) -> MaskedTeacher | None:
        """The teacher, loaded; None where nothing is imitated."""
        if self.teacher is None or not self.config.distils:
            return None
        layer = self.config.imitation.teacher_layer
        return MaskedTeacher(
            load_masked_lm(self.teacher.path),
            signal=self.config.loss,
            layer=-1 if layer is None else layer - 1,
            precision=self.config.loop.precision,
        )

    def loss(self) -> MaskedLmLoss:
        """What is minimised."""
        settings = self.config.imitation
        if not self.config.distils:
            return MaskedLmLoss(alpha=1.0, beta=0.0)
        weights = MaskedLmLoss(alpha=settings.alpha, temperature=settings.temperature, gamma=settings.gamma)
        match self.config.loss:
            case "logits":
                return replace(weights, beta=settings.beta)
            case "hidden":
                return replace(weights, beta=0.0, imitation=HiddenLoss(), imitates="student_hidden")
            case "relations":
                assert self.teacher is not None
                widths = (self.teacher.architecture.hidden_size, self.architecture.hidden_size)
                heads = relation_heads(*widths, settings.relation_heads)
                return replace(weights, beta=0.0, imitation=RelationLoss(heads=heads))

    def judge(self, imitated: MaskedTeacher | None) -> PreTrainedModel | None:
        """The teacher as a model to compare with, imitated or not; None without one that has learned to guess."""
        if self.teacher is None or not has_mlm_head(self.teacher.path):
            return None
        known = imitated or MaskedTeacher(load_masked_lm(self.teacher.path), precision=self.config.loop.precision)
        return known.inner.model

    def _base_config(self) -> Mapping[str, Any]:
        """What a new model has besides its sizes: the teacher's, or the family's defaults with the tokenizer's ids."""
        if self.teacher is not None and self.teacher.architecture.family == self.architecture.family:
            return self.teacher.config
        config: dict[str, Any] = CONFIG_MAPPING[self.architecture.family]().to_dict()
        names = ("pad", "bos", "eos", "cls", "sep")
        config |= {f"{name}_token_id": getattr(self.tokenizer, f"{name}_token_id") for name in names}
        # A config of defaults need not fit this architecture: only what is not a size counts.
        return {**config, **self.architecture.config_changes()}


def open_inputs(config: PretrainConfig) -> Inputs:
    """Read and check everything, before a model is built.

    Raises:
        DataError: No shards, or none to train on.
        ModelError: A teacher without a head, models of another tokenizer or vocabulary, or with NaN in them.
        ConfigError: An architecture that cannot be, or blocks longer than a model reads.
    """
    shards = Shards.open(config.data)
    if not len(shards.split("train")):
        raise DataError(f"{config.data} has no full block to train on", "prepare a longer corpus, or smaller blocks")
    teacher = ModelFolder.of(config.teacher) if config.teacher else None
    start = ModelFolder.of(config.model) if config.model else None
    for folder in (teacher, start):
        if folder is not None:
            _require_tokenizer(shards, folder)
            check_finite(folder.path)
    architecture = start.architecture if start else _architecture(str(config.architecture), teacher, shards)
    inputs = Inputs(config=config, shards=shards, teacher=teacher, start=start, architecture=architecture)
    _require_vocabulary(inputs)
    _require_length(inputs)
    if config.distils:
        _require_teacher(inputs)
    if config.inherit:
        _require_inheritable(inputs)
    assert len(inputs.masking.ordinary)  # settings of the masks are checked here, before anything is written
    return inputs


def _require_inheritable(inputs: Inputs) -> None:
    assert inputs.teacher is not None
    theirs, own = inputs.teacher.architecture, inputs.architecture
    if theirs.family != own.family or theirs.vocab_size != own.vocab_size:
        raise ModelError(
            f"a {own.family} model with {own.vocab_size} tokens cannot inherit from a {theirs.family} model with "
            f"{theirs.vocab_size}",
            "leave out --inherit, or give an architecture of the teacher's family and vocabulary",
        )
    require_inheritable(own, theirs)


def _architecture(text: str, teacher: ModelFolder | None, shards: Shards) -> Architecture:
    if re.fullmatch(r"[\d,\s]+", text):
        sizes = tuple(int(number) for number in re.findall(r"\d+", text))
        if len(sizes) != 4:
            raise ConfigError(
                f"got {text!r}, expected four whole numbers: layers, heads, hidden and intermediate size",
                "for example 4,8,1024,768",
            )
        return _of_sizes(sizes, teacher, shards)
    try:
        value = read_json(Path(text))
    except OSError as error:
        raise ConfigError(f"cannot read the architecture {text}: {error.strerror}", "or give sizes D,A,H,I") from error
    except ValueError as error:
        raise ConfigError(f"{text} is not valid JSON") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{text} holds a {type(value).__name__}, expected a JSON object")
    return Architecture.from_json(value)


def _of_sizes(sizes: tuple[int, ...], teacher: ModelFolder | None, shards: Shards) -> Architecture:
    layers, heads, hidden, intermediate = sizes
    if teacher is None:
        plain = bort_architecture((layers, heads, hidden, intermediate))
        longest = max(plain.max_position_embeddings, shards.block_size)
        return plain.replace(vocab_size=shards.vocab_size, type_vocab_size=2, max_position_embeddings=longest)
    return teacher.architecture.replace(
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=hidden,
        intermediate_size=intermediate,
        layer_types=None,
    )


def _require_tokenizer(shards: Shards, folder: ModelFolder) -> None:
    if tokenizer_sha256(folder.tokenizer) != shards.tokenizer_sha256:
        raise ModelError(
            f"{folder.path} has another tokenizer than the one that made the shards {shards.path}",
            f"prepare the corpus with --tokenizer {folder.path}",
        )


def _require_vocabulary(inputs: Inputs) -> None:
    own, needed = inputs.architecture.vocab_size, inputs.shards.vocab_size
    if own < needed:
        raise ModelError(f"the model has a vocabulary of {own} tokens, but the shards have ids up to {needed - 1}")
    if inputs.teacher is None:
        return
    theirs = inputs.teacher.architecture.vocab_size
    logits = inputs.config.distils and inputs.config.loss == "logits"
    if theirs < needed or (logits and theirs != own):
        raise ModelError(
            f"the teacher has a vocabulary of {theirs} tokens and the student one of {own}, expected the same",
            "give the architecture the teacher's vocab_size, or imitate relations: --loss relations",
        )


def _require_length(inputs: Inputs) -> None:
    known = {"model": inputs.architecture, **({"teacher": inputs.teacher.architecture} if inputs.teacher else {})}
    size = inputs.shards.block_size
    for name, architecture in known.items():
        if architecture.max_length < size:
            raise ConfigError(
                f"blocks have {size} tokens, but the {name} reads at most {architecture.max_length}",
                "prepare the corpus with smaller blocks",
            )


def _require_teacher(inputs: Inputs) -> None:
    config, teacher = inputs.config, inputs.teacher
    assert teacher is not None
    if config.loss == "logits" and not has_mlm_head(teacher.path):
        raise ModelError(
            f"{teacher.path} has no masked-language head, so it has no logits to imitate",
            f"give it one: subarch pretrain --objective mlm --model {teacher.path} --data {config.data} --out DIR; "
            "or imitate its relations: --loss relations",
        )
    if config.loss == "relations":
        widths = (teacher.architecture.hidden_size, inputs.architecture.hidden_size)
        relation_heads(*widths, config.imitation.relation_heads)
    layer, depth = config.imitation.teacher_layer, teacher.architecture.num_hidden_layers
    if layer is not None and not 1 <= layer <= depth:
        raise ConfigError(f"teacher_layer is {layer}, expected 1 to {depth}")
