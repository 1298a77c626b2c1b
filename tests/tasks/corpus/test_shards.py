import json

import numpy as np
import pytest

from stages import tiny
from subarch.errors import DataError
from subarch.tasks.corpus.packing import ShardWriter
from subarch.tasks.corpus.shards import Shards, tokenizer_sha256


@pytest.fixture
def folder(tmp_path):
    """Five blocks of train in three files, one of validation, none of test."""
    splits = {}
    for name, count in (("train", 5), ("validation", 1), ("test", 0)):
        writer = ShardWriter(tmp_path, name, 8, file_bytes=2 * 16)
        writer.write(np.arange(count * 8, dtype="uint16").reshape(count, 8))
        writer.close()
        splits[name] = {"blocks": count, "tokens": count * 8, "files": writer.files}
    manifest = {"version": 1, "tokenizer_sha256": "t", "vocab_size": 64, "block_size": 8, "dtype": "uint16"}
    manifest |= {"pad_token_id": 0, "mask_token_id": 3, "special_token_ids": [0, 1, 2, 3], "splits": splits}
    (tmp_path / "shards.json").write_text(json.dumps(manifest))
    return tmp_path


def test_blocks_are_taken_in_any_order_across_files(folder):
    blocks = Shards.open(folder).split("train")
    found = blocks.take([4, 0, 3, 0])
    assert len(blocks) == 5 and found.dtype == "uint16"
    assert np.array_equal(found, np.arange(40).reshape(5, 8)[[4, 0, 3, 0]])
    assert blocks.take([]).shape == (0, 8)


@pytest.mark.parametrize("index", [-1, 5])
def test_a_block_that_is_not_there(folder, index):
    with pytest.raises(IndexError, match="expected 0 to 4"):
        Shards.open(folder).split("train").take([0, index])


def test_what_a_reader_needs_to_know(folder):
    shards = Shards.open(folder)
    assert (shards.block_size, shards.vocab_size, shards.pad_token_id, shards.mask_token_id) == (8, 64, 0, 3)
    assert shards.special_token_ids == (0, 1, 2, 3) and shards.tokenizer_folder == folder / "tokenizer"
    assert len(shards.split("test")) == 0


def test_the_fingerprint_is_that_of_the_blocks(folder):
    before = Shards.open(folder).fingerprint
    manifest = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps({**manifest, "corpus": {"bytes": 1}}))
    assert Shards.open(folder).fingerprint == before
    manifest["splits"]["train"]["files"][1]["sha256"] = "other"
    (folder / "shards.json").write_text(json.dumps(manifest))
    assert Shards.open(folder).fingerprint != before


def test_folders_that_are_no_shards(folder, tmp_path):
    with pytest.raises(DataError, match="has no split 'dev'"):
        Shards.open(folder).split("dev")
    with pytest.raises(DataError, match=r"no shards\.json in"):
        Shards.open(tmp_path / "nowhere")
    (folder / "train-00001.bin").write_bytes(b"1234")
    with pytest.raises(DataError, match=r"train-00001\.bin is 4 bytes, expected 32 bytes"):
        Shards.open(folder)
    (folder / "train-00001.bin").unlink()
    with pytest.raises(DataError, match=r"train-00001\.bin is missing"):
        Shards.open(folder)
    (folder / "shards.json").write_text('{"version": 9}')
    with pytest.raises(DataError, match="is of version 9, expected 1"):
        Shards.open(folder)
    (folder / "shards.json").write_text("{")
    with pytest.raises(DataError, match="is not valid JSON"):
        Shards.open(folder)


def test_a_tokenizer_is_known_by_what_it_does(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = tiny.wordpiece()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    again.backend_tokenizer.enable_truncation(4)
    assert tokenizer_sha256(again) == tokenizer_sha256(tokenizer)
    assert tokenizer_sha256(tiny.tokenizer_of("roberta")) != tokenizer_sha256(tokenizer)
