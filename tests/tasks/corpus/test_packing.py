import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.tasks.corpus.packing import Layout, Packer, ShardWriter

CLS, SEP, PAD = 1, 2, 0
LAYOUT = Layout(block_size=6, vocab_size=100, cls_token_id=CLS, sep_token_id=SEP, pad_token_id=PAD)


def stream(*documents):
    return np.asarray([token for document in documents for token in (*document, SEP)], dtype="uint16")


def packed(*parts, empty=False):
    packer = Packer(LAYOUT)
    blocks = [packer.add(part) for part in parts]
    last, dropped = packer.finish(empty=empty)
    return np.concatenate([*blocks, last]).tolist(), dropped


def test_documents_are_joined_by_a_separator_and_go_on_in_the_next_block():
    blocks, dropped = packed(stream([11, 12, 13], [21, 22, 23, 24, 25]))
    assert blocks == [[CLS, 11, 12, 13, SEP, SEP], [CLS, 21, 22, 23, 24, SEP]]
    assert dropped == 1


def test_where_a_document_ends_with_a_block_one_separator_does():
    blocks, dropped = packed(stream([11, 12, 13, 14], [21, 22], [31]))
    assert blocks == [[CLS, 11, 12, 13, 14, SEP], [CLS, 21, 22, SEP, 31, SEP]]
    assert dropped == 0


@given(
    documents=st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=15), max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_nothing_depends_on_how_the_stream_arrives(documents, cuts):
    whole = stream(*documents)
    assert packed(*np.split(whole, sorted(cuts))) == packed(whole)


@given(documents=st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=15), min_size=1, max_size=12))
def test_every_token_is_there_once_in_order_and_no_content_begins_with_a_separator(documents):
    blocks, dropped = packed(stream(*documents))
    tokens = [token for document in documents for token in document]
    found = [token for block in blocks for token in block[1:-1] if token != SEP]
    assert found == tokens[: len(found)]
    assert len(tokens) - len(found) <= dropped <= 4
    for block in blocks:
        assert len(block) == 6 and (block[0], block[-1]) == (CLS, SEP) and block[1] != SEP


def test_an_empty_split_keeps_its_only_block_with_padding():
    assert packed(stream([11, 12]), empty=True) == ([[CLS, 11, 12, SEP, PAD, PAD]], 0)
    assert packed(stream([11, 12])) == ([], 2)
    assert packed(empty=True) == ([], 0)


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, "uint16"), (2**16 + 1, "int32")])
def test_ids_take_two_bytes_where_they_fit(vocab_size, dtype):
    layout = Layout(block_size=6, vocab_size=vocab_size, cls_token_id=CLS, sep_token_id=SEP, pad_token_id=PAD)
    blocks = Packer(layout).add(np.full(9, vocab_size - 1, dtype="int64"))
    assert blocks.dtype == dtype and blocks.shape == (2, 6) and blocks[0, 1] == vocab_size - 1


def test_files_have_a_size_and_a_hash(tmp_path):
    writer = ShardWriter(tmp_path, "train", 6, file_bytes=3 * 12)
    blocks = np.arange(7 * 6, dtype="uint16").reshape(7, 6)
    writer.write(blocks[:1])
    writer.write(blocks[1:])
    assert sorted(path.name for path in tmp_path.glob("*.bin")) == ["train-00000.bin", "train-00001.bin"]
    assert writer.blocks == 7
    writer.close()
    assert [entry["blocks"] for entry in writer.files] == [3, 3, 1] and not list(tmp_path.glob(".*"))
    assert b"".join((tmp_path / entry["name"]).read_bytes() for entry in writer.files) == blocks.tobytes()
    assert writer.files[2]["sha256"] == hashlib.sha256(blocks[6:].tobytes()).hexdigest()
