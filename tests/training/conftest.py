import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, AutoModelForSequenceClassification

from subarch.arch.architecture import Architecture
from subarch.arch.families import FAMILIES
from subarch.tasks.encode import Encoded
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData
from subarch.training.importance import measure_importance
from subarch.training.inherit import inherit, select
from subarch.training.losses import divergence, task_loss

PAD = 1
"""RoBERTa counts positions from its padding token, which is 1."""
TOKEN_TYPES = {"bert": 2, "roberta": 1, "electra": 2}


@pytest.fixture(scope="session")
def tiny():
    """A tiny architecture of a family."""

    def make(family="bert", **changes):
        options = {"local_attention": 8} if family == "modernbert" else {}
        options |= {"embedding_size": 24} if family == "electra" else {}
        sizes = {
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "hidden_size": 32,
            "intermediate_size": 48,
            "vocab_size": 60,
            "max_position_embeddings": 40,
            "type_vocab_size": TOKEN_TYPES.get(family, 0),
        }
        return Architecture(family=family, **(sizes | options | changes))

    return make


@pytest.fixture(scope="session")
def classifier_of():
    """A classifier of an architecture with no weight, bias or norm at a special value, in evaluation mode."""

    def make(architecture, *, seed=0, num_labels=3, spread=0.1, **options):
        special = {f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")} | {"pad_token_id": PAD}
        values = architecture.config_changes() | special | {"num_labels": num_labels} | options
        config = CONFIG_MAPPING[architecture.family].from_dict(values)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(spread * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def masked_lm_of(tiny):
    """A masked-language model of an architecture, in evaluation mode."""

    def make(family="bert", *, seed=0, **changes):
        architecture = tiny(family, **changes)
        special = {f"{kind}_token_id": 2 for kind in ("bos", "eos", "cls", "sep")} | {"pad_token_id": 1}
        config = CONFIG_MAPPING[family].from_dict(architecture.config_changes() | special)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()

    return make


@pytest.fixture(scope="session")
def encoded_data():
    """Random examples of 3 to 12 tokens whose label is told by their second token."""

    def make(count=24, *, seed=0, classes=3, vocab_size=60, regression=False):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(3, 13, size=count)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        ids = rng.integers(5, vocab_size, size=offsets[-1]).astype(np.int32)
        labels = (ids[offsets[:-1] + 1] % classes).astype(np.float32 if regression else np.int64)
        return EncodedData(encoded=Encoded(ids, offsets, None, labels), pad_token_id=PAD)

    return make


@pytest.fixture(scope="session")
def logits_of():
    """Logits of all examples of an `EncodedData` in one batch."""

    @torch.no_grad()
    def compute(model, data):
        batch = dict(data.batch(np.arange(len(data.encoded))))
        batch.pop("labels")
        return model(**batch).logits

    return compute


def answers(model, batch):
    """Logits of a classifier."""
    return model(
        **{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
    ).logits


def kl(logits, batch):
    return divergence(logits, batch["teacher_logits"], 1.0)


@pytest.fixture
def school(tiny, classifier_of, encoded_data):
    """A teacher of a family, its importance on 96 examples, and `make(student)`: the student with what it inherits."""

    class School:
        def __init__(self, family, **changes):
            self.family = FAMILIES[family]
            self.architecture = tiny(family, **changes)
            self.model = classifier_of(self.architecture)
            self.data = encoded_data(96)
            self._importance = None

        @property
        def batches(self):
            return [self.data.batch(np.arange(start, start + 8)) for start in range(0, 96, 8)]

        @property
        def importance(self):
            if self._importance is None:
                self._importance = measure_importance(self.model, self.architecture, self.batches, task_loss)
            return self._importance

        def select(self, student, drop_order=(0, 1, 2), vocab=None):
            return select(student, self.architecture, self.importance, drop_order=drop_order, vocab=vocab)

        @property
        def calibration(self):
            return Calibration(
                teacher=self.model,
                architecture=self.architecture,
                batches=self.batches,
                outputs=answers,
                divergence=kl,
            )

        def make(self, student, selection, calibration=None):
            model = classifier_of(student, seed=99)
            inherit(model, self.model, (student, self.architecture), selection, calibration)
            return model

        def layer(self, index, name):
            return self.model.get_submodule(f"{self.family.layer_path(index)}.{name}")

    return School
