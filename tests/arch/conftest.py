import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from subarch.arch.architecture import Architecture

CLASSES = {
    "none": AutoModel,
    "pooler": AutoModel,
    "sequence-classification": AutoModelForSequenceClassification,
    "masked-lm": AutoModelForMaskedLM,
    "question-answering": AutoModelForQuestionAnswering,
}
TOKEN_TYPES = {"bert": 2, "roberta": 1, "electra": 2}
MODEL_SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "vocab_size": 60,
    "max_position_embeddings": 40,
}
SPECIAL_IDS = {f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "cls", "sep")}


@pytest.fixture(scope="session")
def tiny():
    """A tiny architecture of a family."""

    def make(family, **changes):
        options = {"local_attention": 8} if family == "modernbert" else {}
        options |= {"embedding_size": 6} if family == "electra" else {}
        sizes = {
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "hidden_size": 8,
            "intermediate_size": 14,
            "vocab_size": 40,
            "max_position_embeddings": 20,
            "type_vocab_size": TOKEN_TYPES.get(family, 0),
        }
        return Architecture(family=family, **(sizes | options | changes))

    return make


@pytest.fixture(scope="session")
def model_of():
    """A small model of a family with other weights than a fresh one, whose biases are zero, in evaluation mode."""

    def make(family, *, attention="sdpa", auto=AutoModelForSequenceClassification, **changes):
        options = {"electra": {"embedding_size": 16}, "modernbert": {"local_attention": 8}}.get(family, {})
        types = TOKEN_TYPES.get(family, 0)
        architecture = Architecture(family=family, **MODEL_SIZES, type_vocab_size=types, **options)
        config = CONFIG_MAPPING[family].from_dict(architecture.config_changes() | {"pad_token_id": 1} | changes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = auto.from_config(config, attn_implementation=attention)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def config_of():
    """The Hugging Face configuration of an architecture, all else at its defaults."""

    def make(architecture, **options):
        values = architecture.config_changes() | SPECIAL_IDS | options
        return CONFIG_MAPPING[architecture.family].from_dict(values)

    return make


@pytest.fixture(scope="session")
def meta_model(config_of):
    """The model of an architecture without memory for its weights."""

    def make(architecture, head, num_labels=2):
        options = {"add_pooling_layer": False} if head == "none" and architecture.family in ("bert", "roberta") else {}
        config = config_of(architecture, num_labels=num_labels)
        with torch.device("meta"):
            return CLASSES[head].from_config(config, **options)

    return make
