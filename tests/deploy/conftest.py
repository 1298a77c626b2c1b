import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

SIZES = {"vocab_size": 60, "max_position_embeddings": 40}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
OPTIONS = {
    "bert": LAYERS | {"type_vocab_size": 2},
    "roberta": LAYERS | {"type_vocab_size": 1},
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 32, "hidden_dim": 48},
    "electra": LAYERS | {"type_vocab_size": 2, "embedding_size": 24},
    "modernbert": LAYERS | {"local_attention": 8},
}
INPUTS_OF = {"bert": ("input_ids", "attention_mask", "token_type_ids")}
INPUTS_OF["electra"] = INPUTS_OF["bert"]
PAD = 1


@pytest.fixture(scope="session")
def classifier_of():
    """A tiny classifier of a family with three labels whose logits are about one apart, in evaluation mode."""

    def make(family):
        special = {f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")} | {"pad_token_id": PAD}
        config = CONFIG_MAPPING[family].from_dict(SIZES | OPTIONS[family] | special | {"num_labels": 3})
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.15 * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def inputs_of():
    """The arrays that a family takes, of some shape, with rows of different lengths."""

    def make(family, rows, length, seed=0):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, length + 1, size=(rows, 1))
        lengths[0] = length
        mask = np.arange(length) < lengths
        ids = np.where(mask, rng.integers(5, 60, size=(rows, length)), PAD)
        types = (mask & (np.arange(length) > lengths // 2)).astype(np.int64)
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": types}
        return {name: arrays[name] for name in INPUTS_OF.get(family, ("input_ids", "attention_mask"))}

    return make
