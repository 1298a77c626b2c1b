import numpy as np
import pytest

from subarch.errors import ConfigError, DataError
from subarch.training.masking import Masking, generator_at, mask_tokens, word_continuations

VOCAB, MASK, SPECIAL = 200, 4, (0, 1, 2, 3, 4)


def blocks(count=40, length=32, seed=0):
    ids = np.random.default_rng(seed).integers(5, VOCAB, size=(count, length)).astype(np.uint16)
    ids[:, 0], ids[:, -1] = 2, 3
    return ids


@pytest.fixture
def masking():
    return Masking(vocab_size=VOCAB, mask_token_id=MASK, special_token_ids=SPECIAL)


def test_every_block_has_its_share_and_no_special_token_is_chosen(masking):
    ids = blocks()
    masked, positions = mask_tokens(ids, np.random.default_rng(1), masking)
    rows = positions // ids.shape[1]
    assert (np.bincount(rows) == round(0.15 * 30)).all()
    assert not np.isin(ids.reshape(-1)[positions], SPECIAL).any()
    untouched = np.setdiff1d(np.arange(ids.size), positions)
    assert (masked.reshape(-1)[untouched] == ids.reshape(-1)[untouched]).all()


def test_eighty_ten_ten(masking):
    ids = blocks(2000)
    masked, positions = mask_tokens(ids, np.random.default_rng(1), masking)
    before, after = ids.reshape(-1)[positions], masked.reshape(-1)[positions]
    assert np.mean(after == MASK) == pytest.approx(0.8, abs=0.02)
    replaced = (after != MASK) & (after != before)
    assert np.mean(replaced) == pytest.approx(0.1, abs=0.02)
    assert not np.isin(after[replaced], SPECIAL).any()
    assert len(np.unique(after[replaced])) > 150  # of 195: drawn from the whole vocabulary


def test_the_same_generator_gives_the_same_masks_and_another_does_not(masking):
    first, again, other = (mask_tokens(blocks(), np.random.default_rng(seed), masking) for seed in (1, 1, 2))
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("length", [31, 32])
def test_a_blocks_masks_do_not_depend_on_its_batch(masking, length):
    ids = blocks(length=length)
    whole, _ = mask_tokens(ids, generator_at((3, 1), 100, length), masking)
    part, _ = mask_tokens(ids[13:21], generator_at((3, 1), 113, length), masking)
    assert (whole[13:21] == part).all()
    assert not np.array_equal(mask_tokens(ids, generator_at((3, 2), 100, length), masking)[0], whole)


def test_short_blocks_still_have_a_question_and_empty_ones_none(masking):
    ids = np.asarray([[2, 9, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]])
    _, positions = mask_tokens(ids, np.random.default_rng(0), masking)
    assert positions.tolist() == [1]


def test_whole_words():
    # Tokens from 100 on go on the word before them; a row is six words of three tokens each.
    continues = np.arange(VOCAB) >= 100
    masking = Masking(vocab_size=VOCAB, mask_token_id=MASK, special_token_ids=SPECIAL, continues=continues)
    ids = np.asarray([[2, *([10, 110, 120] * 6), 3]] * 50)
    _, positions = mask_tokens(ids, np.random.default_rng(0), masking)
    chosen = np.zeros(ids.shape, dtype=bool)
    chosen.reshape(-1)[positions] = True
    words = chosen[:, 1:-1].reshape(50, 6, 3)
    assert (words.all(-1) == words.any(-1)).all()
    assert (words.all(-1).sum(1) == 1).all()  # 15 % of 18 tokens is a word
    assert len(np.unique(words.all(-1).argmax(1))) > 3


def test_word_continuations():
    assert word_continuations(["[CLS]", "a", "##b", "##"]).tolist() == [False, False, True, False]
    assert word_continuations(["<s>", "Ġa", "b"]).tolist() == [True, False, True]


def test_what_cannot_be_masked():
    with pytest.raises(ConfigError, match=r"probability is 1\.0, expected a share between 0 and 1"):
        Masking(vocab_size=9, mask_token_id=4, special_token_ids=SPECIAL, probability=1.0)
    with pytest.raises(DataError, match="all 5 tokens are special"):
        Masking(vocab_size=5, mask_token_id=4, special_token_ids=SPECIAL)
