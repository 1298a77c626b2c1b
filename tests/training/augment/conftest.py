import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, BertTokenizer, RobertaTokenizer

from subarch.tasks.base import Task

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = [
    "the",
    "a",
    "an",
    "of",
    "and",
    "to",
    "in",
    "not",
    "river",
    "harbour",
    "apple",
    "orange",
    "painter",
    "sailor",
    "quiet",
    "lovely",
    "bright",
    "green",
    "walked",
    "sailed",
    "garden",
    "window",
    "letter",
    "summer",
    "12",
    "40",
    "1990",
    ",",
    ".",
    "!",
    "s",
]
PIECES = ("##s", "##ing", "##er")


@pytest.fixture(scope="session")
def tokenizer():
    return BertTokenizer(vocab={word: number for number, word in enumerate((*SPECIAL, *WORDS, *PIECES))})


@pytest.fixture(scope="session")
def cased_tokenizer():
    words = (*SPECIAL, "the", "The", "THE", "word", "Word", "WORD")
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)}, do_lower_case=False)


@pytest.fixture(scope="session")
def byte_level_tokenizer():
    """Each byte, and a few words with the space before them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
        *letters,
        "Ġr",
        "ri",
        "ver",
        "river",
        "Ġriver",
        "Ġgarden",
        "Ġwindow",
        "Ġlé",
    ]
    return RobertaTokenizer(vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges=[])


@pytest.fixture
def masked_lm(tokenizer):
    """Random, but always of the same weights; made anew, since τ takes its model over."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertForMaskedLM(config).eval()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def task_of():
    def make(name="own", *, kind="classification", pair=True, casting="standard"):
        return Task(
            name=name,
            kind=kind,
            labels=("no", "yes") if kind == "classification" else (),
            text="text",
            text_pair="pair" if pair else None,
            label="label",
            casting=casting,
            metrics=("accuracy",),
            main_metric="accuracy",
        )

    return make
