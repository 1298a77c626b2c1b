import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from subarch.errors import ConfigError
from subarch.tasks import trimming
from subarch.tasks.base import Examples
from subarch.tasks.encode import Encoded, bucketed_batches, encode, ordered_batches, pad

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]


def tokenizer(inputs=("input_ids", "token_type_ids", "attention_mask")):
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_input_names=list(inputs)
    )


def row(encoded, index):
    return encoded.input_ids[encoded.offsets[index] : encoded.offsets[index + 1]].tolist()


def test_single_texts():
    encoded = encode(tokenizer(), Examples(["a b", "c"], None, np.array([1, 0])), 8)
    assert [row(encoded, 0), row(encoded, 1)] == [[2, 4, 5, 3], [2, 6, 3]]
    assert encoded.lengths.tolist() == [4, 3]
    assert encoded.labels.tolist() == [1, 0]
    assert (encoded.input_ids.dtype, encoded.offsets.dtype, encoded.truncated) == (np.int32, np.int64, 0)


def test_pairs_have_types_and_lose_the_longer_text_first():
    encoded = encode(tokenizer(), Examples(["a b c d e f", "a"], ["g h", "b"]), 8)
    assert row(encoded, 0) == [2, 4, 5, 6, 3, 10, 11, 3]
    assert encoded.token_type_ids[:8].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert encoded.truncated == 1


def test_a_model_without_token_types_gets_none():
    assert encode(tokenizer(("input_ids", "attention_mask")), Examples(["a"]), 8).token_type_ids is None


def test_chunks_make_no_difference(monkeypatch):
    examples = Examples([" ".join("abcdefgh"[: 1 + i % 8]) for i in range(20)])
    whole = encode(tokenizer(), examples, 6)
    monkeypatch.setattr(trimming, "ROWS", 3)
    parts = encode(tokenizer(), examples, 6)
    assert whole.input_ids.tolist() == parts.input_ids.tolist()
    assert whole.offsets.tolist() == parts.offsets.tolist()
    assert whole.truncated == parts.truncated == 8


def test_no_examples_and_no_room():
    assert len(encode(tokenizer(), Examples([]), 8)) == 0
    with pytest.raises(ConfigError, match="more than the 3 special tokens"):
        encode(tokenizer(), Examples(["a"], ["b"]), 3)


def test_take_and_pad():
    encoded = encode(tokenizer(), Examples(["a b c", "d", "e f"], None, np.array([0, 1, 2])), 8)
    taken = encoded.take(np.array([2, 1]))
    assert [row(taken, 0), row(taken, 1)] == [[2, 8, 9, 3], [2, 7, 3]]
    batch = pad(encoded, np.array([2, 1]), pad_token_id=9, multiple_of=8)
    assert batch["input_ids"].tolist() == [[2, 8, 9, 3, 9, 9, 9, 9], [2, 7, 3, 9, 9, 9, 9, 9]]
    assert batch["attention_mask"].sum(1).tolist() == [4, 3]
    assert batch["token_type_ids"].shape == (2, 8)
    assert batch["labels"].tolist() == [2, 1]
    assert pad(encoded, np.array([2, 1]), 0)["input_ids"].shape == (2, 4)


def test_pad_leaves_out_what_is_not_there():
    encoded = Encoded(np.array([5, 6], np.int32), np.array([0, 2]))
    assert set(pad(encoded, np.array([0]), 0)) == {"input_ids", "attention_mask"}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(1, 4), st.integers(0, 5))
def test_every_example_once_and_ranks_in_step(count, batch_size, world_size, epoch):
    assume(count >= world_size)
    lengths = np.random.default_rng(count).integers(3, 60, size=count)
    shares = [
        bucketed_batches(lengths, batch_size=batch_size, seed=1, epoch=epoch, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert all(0 < len(batch) <= batch_size + 1 for share in shares for batch in share)
    assert sorted(np.concatenate([batch for share in shares for batch in share])) == list(range(count))


def test_batches_are_alike_in_length_yet_random():
    lengths = np.random.default_rng(0).integers(3, 120, size=4000)
    batches = bucketed_batches(lengths, batch_size=32, seed=0, epoch=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.05 * lengths.sum()
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_batches_depend_on_seed_and_epoch_only():
    lengths = np.arange(100)

    def order(seed, epoch):
        return np.concatenate(bucketed_batches(lengths, batch_size=4, seed=seed, epoch=epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_fewer_examples_than_processes():
    with pytest.raises(ConfigError, match="2 examples for 3 processes"):
        bucketed_batches(np.ones(2), batch_size=1, seed=0, epoch=0, world_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), max_size=80), st.integers(1, 200))
def test_ordered_batches_fit(lengths, max_tokens):
    lengths = np.array(lengths, dtype=np.int64)
    batches = ordered_batches(lengths, max_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= max_tokens
    if len(lengths):
        assert lengths[batches[0]].max() == lengths.max()


def test_a_tokenizer_that_keeps_the_end_gets_all_of_the_text():
    reader = tokenizer()
    reader.truncation_side = "left"
    encoded = encode(reader, Examples(["a " * 5000 + "b"]), 4)
    assert row(encoded, 0) == [2, 4, 5, 3]
