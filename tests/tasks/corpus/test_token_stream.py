import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import tiny
from subarch.tasks.corpus import token_stream
from subarch.tasks.corpus.token_stream import TokenStream, depends_on_words_alone

TEXT = st.text(
    st.one_of(
        st.sampled_from(" \n\t\r.,'-!abcde\u00e9\u0301\u00df\u0130\u4e2d\x0b\x0c\x1c\x85\u00a0\u2028"),
        st.characters(exclude_characters="\0", codec="utf-8"),
    ),
    max_size=40,
)


def stream(tokenizer):
    return TokenStream(tokenizer.backend_tokenizer.to_str(), tokenizer.sep_token_id, "uint16")


def plainly(tokenizer, documents):
    """What the tokenizer itself says, document by document."""
    backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = True
    return [[*backend.encode(text, add_special_tokens=False).ids, tokenizer.sep_token_id] for text in documents]


def check(found, expected):
    tokens, lengths = found
    assert lengths.tolist() == [len(ids) for ids in expected] and lengths.dtype == np.int64
    assert tokens.tolist() == [token for ids in expected for token in ids] and tokens.dtype == np.uint16


@settings(deadline=None)
@given(documents=st.lists(TEXT, max_size=6))
def test_words_looked_up_are_what_the_tokenizer_says(documents):
    tokenizer = tiny.wordpiece()
    assert depends_on_words_alone(json.loads(tokenizer.backend_tokenizer.to_str()))
    check(stream(tokenizer).encode(documents), plainly(tokenizer, documents))


@pytest.mark.parametrize("changes", [{"lowercase": False}, {"strip_accents": True}, {"clean_text": False}])
@settings(deadline=None, max_examples=40)
@given(documents=st.lists(TEXT, max_size=4))
def test_so_they_are_for_every_normaliser_of_bert(changes, documents):
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    backend = type(tiny.wordpiece().backend_tokenizer).from_str(tiny.wordpiece().backend_tokenizer.to_str())
    backend.normalizer = normalizers.BertNormalizer(**changes)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, sep_token="[SEP]", unk_token="[UNK]")
    check(stream(tokenizer).encode(documents), plainly(tokenizer, documents))


@settings(deadline=None)
@given(documents=st.lists(TEXT, max_size=6))
def test_other_tokenizers_read_the_text(documents):
    tokenizer = tiny.tokenizer_of("roberta")
    check(stream(tokenizer).encode(documents), plainly(tokenizer, documents))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_long_documents_and_many_words(family, monkeypatch):
    monkeypatch.setattr(token_stream, "_PIECE_CHARACTERS", 20)
    monkeypatch.setattr(token_stream, "BATCH_CHARACTERS", 200)
    monkeypatch.setattr(token_stream, "MAX_WORDS", 30)
    tokenizer = tiny.tokenizer_of(family)
    texts, _ = tiny.sentences(60)
    documents = ["\n".join(texts[:40]), *texts, "  \n\n ".join(texts[40:]), "", "w" * 300]
    encoder = stream(tokenizer)
    for _ in range(2):
        check(encoder.encode(documents), plainly(tokenizer, documents))
    assert len(encoder._memory) < 300


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_special_tokens_in_a_text_are_text(family):
    tokenizer = tiny.tokenizer_of(family)
    tokens, _ = stream(tokenizer).encode([f"a {tokenizer.sep_token} b {tokenizer.mask_token} c"])
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert np.isin(tokens, list(special)).nonzero()[0].tolist() == [len(tokens) - 1]


def test_nothing_to_encode():
    tokens, lengths = stream(tiny.wordpiece()).encode([])
    assert tokens.shape == (0,) and lengths.shape == (0,)


@pytest.mark.data
@pytest.mark.skipif("SUBARCH_DATA" not in os.environ, reason="no official data")
@pytest.mark.parametrize(("name", "lowercase"), [("bert-base-uncased", True), ("bert-base-cased", False)])
def test_a_novel_in_the_published_vocabularies(name, lowercase):
    from tokenizers.implementations import BertWordPieceTokenizer

    folder = Path(os.environ["SUBARCH_DATA"])
    vocabulary = str(folder / "tokenizers" / name / "vocab.txt")
    backend = BertWordPieceTokenizer(vocabulary, lowercase=lowercase)._tokenizer
    raw = (folder / "corpora" / "english_novels" / "Schreiner_Trooper_1897.txt").read_text(encoding="utf-8")
    documents = raw.split("\n\n")
    separator = backend.token_to_id("[SEP]")
    tokens, lengths = TokenStream(backend.to_str(), separator, "uint16").encode(documents)
    expected = [[*one.ids, separator] for one in backend.encode_batch(documents, add_special_tokens=False)]
    assert tokens.tolist() == [token for ids in expected for token in ids]
    assert lengths.tolist() == [len(ids) for ids in expected] and len(tokens) > 30_000
