import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from subarch.tasks import trimming
from subarch.tasks.base import Examples
from subarch.tasks.cuts import as_read
from subarch.tasks.encode import encode
from subarch.tasks.trimming import chunks, trimmed
from tasks.test_encode import row
from tasks.test_encode import tokenizer as word_level

CORPUS = [
    "the weather was wonderful and the whole weather report was wonderfully wrong",
    "nothing matters more than mother and father, rather than brothers or others: aaaa aa aaaaaaaa",
    "天气很好我们今天去公园看花 明天也去",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=160, special_tokens=SPECIAL, show_progress=False)


def byte_level_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(" {2,}", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False
    )


def fast(kind):
    inner, trainer = {"WordPiece": wordpiece, "byte-level BPE": byte_level_bpe, "Unigram": unigram}[kind]()
    inner.train_from_iterator(CORPUS * 20, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, inner.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


KINDS = {kind: fast(kind) for kind in ("WordPiece", "byte-level BPE", "Unigram")}

PIECES = [
    *("the weather was ", "wonderful, ", "aa", "x", "aaaa ", "wonderfulweather", "天气很好", "我们今天去公园看花。"),
    *(" ", "\t\n", "   ", "\u3000", "\x00", "\u200b", "e\u0301", "\u0301", "\ufdfa", "ﬁ", "½", "İ", "ß", "😀"),
    *("[SEP]", "[MASK] ", "it's ", "'re", "12345", "-", "!?"),
]
parts = st.tuples(st.sampled_from(PIECES), st.sampled_from([1, 1, 2, 7, 60, 300]))
few_parts = st.tuples(st.sampled_from(PIECES), st.sampled_from([1, 2, 7, 40]))
long_texts = st.lists(parts, max_size=9).map(lambda some: "".join(piece * count for piece, count in some))
# Of two long texts the library makes one encoding for each part of one with each part of the other.
half_texts = st.lists(few_parts, max_size=7).map(lambda some: "".join(piece * count for piece, count in some))


def whole(tokenizer, texts, pairs, max_length):
    """Tokens and types where texts are tokenised whole and truncated."""
    found = tokenizer(texts, pairs, truncation="longest_first", max_length=max_length)
    lost = sum(bool(encoding.overflowing) for encoding in found.encodings)
    return found["input_ids"], found["token_type_ids"], lost


def check(tokenizer, texts, pairs, max_length):
    encoded = encode(tokenizer, Examples(texts, pairs), max_length)
    ids, types, lost = whole(tokenizer, texts, pairs, max_length)
    same = [row(encoded, index) == ids[index] for index in range(len(texts))]
    assert all(same), (texts, pairs, max_length)
    assert encoded.token_type_ids.tolist() == [kind for of_row in types for kind in of_row]
    assert encoded.truncated == lost


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None, derandomize=True)
@given(texts=st.lists(long_texts, min_size=1, max_size=3), max_length=st.integers(4, 40))
def test_ids_are_those_of_whole_texts(kind, texts, max_length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trimming, "LONG", 2)
        check(KINDS[kind], texts, None, max_length)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(both=st.lists(st.tuples(half_texts, half_texts), min_size=1, max_size=3), max_length=st.integers(15, 40))
def test_ids_are_those_of_whole_pairs(kind, both, max_length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trimming, "LONG", 1)
        check(KINDS[kind], [text for text, _ in both], [pair for _, pair in both], max_length)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", ["the weather ", "天气很好", "我们。", "x,", "\u3000wonderful"])
def test_a_very_long_text_is_tokenised_in_small_part(kind, piece):
    text = piece * (300_000 // len(piece))
    for pairs in (None, [text + "x"]):
        heads, others = trimmed(KINDS[kind], [text], pairs, 32)
        assert len(heads[0]) < 5000 and text.startswith(heads[0])
        assert others is None or len(others[0]) < 5000


def test_where_no_cut_is_found_the_text_ends_at_a_limit(monkeypatch):
    monkeypatch.setattr(trimming, "MOST", 4000)
    texts = ["a" * 9000 + " b", " " * 9000 + "a b", "a" * 1500 + " b" * 3000, "c"]
    heads, _ = trimmed(word_level(), texts, None, 8)
    assert (heads[0], heads[1], heads[3]) == ("a" * 4000, "a b", "c")
    assert len(heads[2]) < 4000 and texts[2].startswith(heads[2])
    assert as_read(word_level(), Examples(texts), 8).texts[:2] == ["a" * 4000, "a b"]


def test_a_tokenizer_that_keeps_the_end_gets_the_end(monkeypatch):
    monkeypatch.setattr(trimming, "MOST", 100)
    reader = word_level()
    reader.truncation_side = "left"
    text = "a b " * 50 + "c d"
    assert trimmed(reader, [text, "a"], ["b", text], 8) == ([text[-100:], "a"], ["b", text[-100:]])


def test_texts_too_long_to_be_compared_go_by_their_characters(monkeypatch):
    monkeypatch.setattr(trimming, "COMPARED", 300)
    few, many = "a" * 90 + " b" * 5000, "a b c " * 800  # 5,001 tokens of 10,090 characters, 2,400 of 4,800
    for texts, pairs in (([few], [many]), ([many], [few])):
        check(word_level(), texts, pairs, 16)


def test_texts_are_tokenised_a_few_at_once(monkeypatch):
    monkeypatch.setattr(trimming, "CHARACTERS", 1000)
    monkeypatch.setattr(trimming, "ROWS", 5)
    texts = ["a" * 300] * 4 + ["b" * 5000] + ["c"] * 12
    found = list(chunks(texts, None, 100))
    assert [(part.start, part.stop) for part in found] == [(0, 3), (3, 4), (4, 5), (5, 10), (10, 15), (15, 17)]
    assert [part.stop for part in chunks(texts[:4], texts[:4], 100)] == [1, 2, 3, 4]
    assert list(chunks([], None, 100)) == []
