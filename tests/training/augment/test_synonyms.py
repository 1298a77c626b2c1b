import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from subarch.errors import ConfigError
from subarch.training.augment.base import Source
from subarch.training.augment.synonyms import Synonyms

TABLE = {
    "large": (1.0, 0.1, 0),
    "huge": (1.0, 0.2, 0),
    "largest": (1.0, 0.15, 0),  # another form
    "enlarge": (1.0, 0.1, 0.05),
    "vast": (0.9, 0.3, 0),
    "Boston": (1.0, 0.1, 0.01),
    "##huge": (1.0, 0.1, 0),
    "!": (1.0, 0.1, 0),
    "the": (1.0, 0.1, 0),
    "rivers": (0, 1.0, 0),
    "streams": (0, 1.0, 0.1),
    "brook": (0, 1.0, 0.05),  # one, not many
    "lonely": (-1.0, -1.0, -1.0),
    "not": (0, 0, 1.0),
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Encoder:
    def __init__(self):
        rows = [(0.0, 0.0, 0.0)] * len(SPECIAL) + list(TABLE.values())
        self.table = torch.nn.Embedding.from_pretrained(torch.tensor(rows))

    def get_input_embeddings(self):
        return self.table


@pytest.fixture
def synonyms():
    names = BertTokenizer(vocab={word: n for n, word in enumerate((*SPECIAL, *TABLE))}, do_lower_case=False)
    return lambda **more: Synonyms(model=Encoder(), tokenizer=names, **more)


def test_near_words_without_forms_pieces_names_and_signs(synonyms):
    assert set(synonyms().near("large")) == {"huge", "vast"}
    assert synonyms().near("Rivers") == ["streams"]
    assert synonyms().near("lonely") == []
    assert synonyms().near("unheard") == []
    assert synonyms(neighbours=1).near("large") == ["huge"]
    assert len(synonyms(least=0.999).near("large")) < 2


def test_words_are_replaced_in_their_capitals_and_abbreviations_stay(synonyms):
    texts = synonyms(share=1.0, neighbours=1)([Source(text="LARGE Rivers, the large!")], np.random.default_rng(0))
    assert texts == ["LARGE Streams, the huge!"]


def test_function_words_and_negations_stay(synonyms):
    assert synonyms(least=-1.0)([Source(text="the not")], np.random.default_rng(0)) == [None]


def test_embeddings_are_read_once_and_when_needed(synonyms):
    tau = synonyms()
    assert not tau._table
    tau([Source(text="large"), Source(text="vast large")], np.random.default_rng(0))
    assert set(tau._known) == {"large", "vast"}


@pytest.mark.parametrize("knob", [{"share": 0.0}, {"neighbours": 0}])
def test_knobs_that_cannot_be(synonyms, knob):
    with pytest.raises(ConfigError):
        synonyms(**knob)
