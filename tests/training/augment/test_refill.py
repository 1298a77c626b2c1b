import numpy as np
import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM

from subarch.errors import ConfigError, ModelError
from subarch.training.augment.base import Source
from subarch.training.augment.refill import Refill
from subarch.training.augment.whole_words import WholeWords

MEANING = {"river", "harbour", "apple", "orange", "painter", "sailor", "quiet", "lovely", "bright", "green"}
MEANING |= {"walked", "sailed", "garden", "window", "letter", "summer"}


@pytest.fixture
def make(masked_lm, tokenizer):
    return lambda **more: Refill(model=masked_lm, tokenizer=tokenizer, precision="fp32", least=0.0, **more)


def changed(text, new):
    return [pair for pair in zip(text.split(), new.split(), strict=True) if pair[0] != pair[1]]


def test_words_become_other_whole_words(make):
    text = "The Painter walked to a quiet river in 1990 , not summer ."
    seen = set()
    for new in make(share=0.4)([Source(text=text)] * 60, np.random.default_rng(0)):
        for old, word in changed(text, new):
            seen.add(old)
            if old == "1990":
                assert word in {"12", "40"}
            elif old != "a":  # the article of the word that was replaced
                assert word.lower() in MEANING - {old.lower()}
                assert word[0].isupper() == old[0].isupper()
    assert {"Painter", "walked", "quiet", "river", "1990", "summer"} <= seen <= {"a", *text.split()}


def test_words_that_the_vocabulary_lacks_and_abbreviations_stay(make):
    assert make()([Source(text="Xanthippe gardens RIVER")], np.random.default_rng(0)) == [None]


def test_a_guess_does_not_repeat_its_neighbours(make):
    text = "green garden window"
    for new in make(share=0.3)([Source(text=text)] * 60, np.random.default_rng(0)):
        ((old, word),) = changed(text, new)
        assert word not in text.split() or {old, word} == {"green", "window"}


def test_punctuation_and_spacing_stay(make):
    text = '("garden"),  window...'
    (new,) = make(share=1.0)([Source(text=text)], np.random.default_rng(1))
    assert new.startswith('("') and '"),  ' in new and new.endswith("...")


def test_the_best_candidate_alone_is_what_the_model_says(masked_lm, tokenizer):
    """One blank, no temperature to speak of: the highest logit among the words that are allowed."""
    refill = Refill(model=masked_lm, tokenizer=tokenizer, precision="fp32", kinship=0.0, top_k=1)
    (new,) = refill([Source(text="the river")], np.random.default_rng(0))
    ids = tokenizer("the [MASK]", return_tensors="pt")
    with torch.no_grad():
        logits = masked_lm(**ids).logits[0, 2]
    best = max(MEANING - {"river"}, key=lambda word: float(logits[tokenizer.convert_tokens_to_ids(word)]))
    assert new == f"the {best}"


def test_batches_do_not_change_the_texts(make):
    texts = ["the green garden", "a river", "a quiet painter walked to the lovely bright summer window", "an apple"] * 3
    sources = [Source(text=text) for text in texts]
    whole = make()(sources, np.random.default_rng(0))
    assert make(batch_tokens=1)(sources, np.random.default_rng(0)) == whole
    assert None not in whole


def test_words_beyond_what_the_model_reads_stay(make):
    text = "the " * 40 + "river"
    assert make()([Source(text=text)], np.random.default_rng(0)) == [None]
    (new,) = make()([Source(text=f"river {text}")], np.random.default_rng(0))
    assert new.endswith("river") and not new.startswith("river")


@pytest.mark.parametrize("knob", [{"share": 0.0}, {"share": 1.1}, {"top_k": 0}, {"temperature": 0.0}])
def test_knobs_that_cannot_be(make, knob):
    with pytest.raises(ConfigError):
        make(**knob)


def test_a_tokenizer_without_masks_is_refused(masked_lm, tokenizer):
    class NoMask:
        mask_token_id = None
        is_fast = True

    with pytest.raises(ModelError, match="mask"):
        Refill(model=masked_lm, tokenizer=NoMask())


def test_whole_words_of_a_byte_level_vocabulary(byte_level_tokenizer):
    words = WholeWords.of(byte_level_tokenizer, len(byte_level_tokenizer) + 3)
    river, stem = byte_level_tokenizer.convert_tokens_to_ids(["Ġriver", "river"])
    assert words.surfaces[river] == "river" and words.is_word[river]
    assert words.surfaces[stem] == "" and words.ids["river"] == [river]
    assert len(words.is_word) == len(byte_level_tokenizer) + 3


def test_a_byte_level_model_fills_words_that_have_many_tokens(byte_level_tokenizer):
    config = RobertaConfig(
        vocab_size=len(byte_level_tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=66,
        pad_token_id=byte_level_tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RobertaForMaskedLM(config)
    refill = Refill(model=model, tokenizer=byte_level_tokenizer, least=0.0, kinship=0.0, precision="fp32")
    sources = [Source(text="The Window, (a river)!"), Source(text="garden")] * 8
    new = refill(sources, np.random.default_rng(0))
    assert set(new[::2]) <= {
        f"The {first}, (a {second})!"
        for first, second in (("Garden", "river"), ("River", "river"), ("Window", "garden"), ("Window", "window"))
    }
    assert set(new[1::2]) == {"river", "window"}


def test_pieces_special_tokens_and_function_words_are_no_candidates(tokenizer):
    words = WholeWords.of(tokenizer, len(tokenizer))
    assert {words.surfaces[index] for index in np.flatnonzero(words.is_word)} == MEANING
    assert {words.surfaces[index] for index in np.flatnonzero(words.is_number)} == {"12", "40", "1990"}
