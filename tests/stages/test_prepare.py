"""From files to shards: the same bytes however the work was divided, interrupted or repeated."""

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import tiny
from subarch import cli
from subarch.api import run_stage
from subarch.errors import ConfigError, DataError, InterruptedRun, ModelError, OutputError
from subarch.session.session import Session
from subarch.tasks.corpus import inputs as corpus
from subarch.tasks.corpus.shards import Shards, tokenizer_sha256
from subarch.tracking.record import Record

SMALL_UNITS = "from subarch.tasks.corpus import inputs; inputs.UNIT_BYTES = 3000; "


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return str(tiny.teacher(tmp_path_factory.mktemp("tokenizer") / "bert"))


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr(corpus, "UNIT_BYTES", 3000)


@pytest.fixture
def texts(tmp_path):
    """A folder with 600 documents in two files."""
    folder = tmp_path / "texts"
    folder.mkdir()
    found, _ = tiny.sentences(600)
    (folder / "a.txt").write_text("\n\n".join(found[:400]))
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in found[400:]))
    return folder


def prepared(out, tokenizer, *inputs, session=None, **more):
    settings = {"block_size": 32, "validation": 0.1, "test": 0.1, "processes": 1, **more}
    words = {"input": [str(path) for path in inputs], "tokenizer": tokenizer, "out": out, **settings}
    return run_stage("prepare", words, session=session)


def content(out):
    return {
        path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".bin",) or path.name == "shards.json"
    }


def words_of(out, split):
    """The documents of a split's blocks, in one list of words."""
    shards = Shards.open(out)
    blocks = shards.split(split)
    from subarch.arch.pretrained import load_tokenizer

    tokenizer = load_tokenizer(shards.tokenizer_folder)
    return tokenizer.decode(blocks.take(np.arange(len(blocks))).ravel(), skip_special_tokens=True).split()


def test_shards_hold_the_corpus(tmp_path, texts, tokenizer):
    result = prepared(tmp_path / "out", tokenizer, texts)
    shards, metrics = Shards.open(tmp_path / "out"), result.metrics
    assert metrics["documents"] == 600 and metrics["notes"] == [] and metrics["undecodable_bytes"] == 0
    assert metrics["input_bytes"] == sum(path.stat().st_size for path in texts.iterdir())
    assert 0.05 < metrics["splits"]["validation"]["documents"] / 600 < 0.15
    blocks = shards.split("train").take(np.arange(len(shards.split("train"))))
    assert blocks.shape == (metrics["splits"]["train"]["blocks"], 32) and blocks.dtype == "uint16"
    special = tiny.wordpiece()
    assert (blocks[:, 0] == special.cls_token_id).all() and (blocks[:, -1] == special.sep_token_id).all()
    assert (blocks[:, 1] != special.sep_token_id).all() and not (blocks == special.pad_token_id).any()
    assert shards.tokenizer_sha256 == tokenizer_sha256(special) and shards.mask_token_id == special.mask_token_id
    assert not list((tmp_path / "out").glob("units")) and not list((tmp_path / "out").glob(".*partial"))
    documents = [" ".join(text.split()) for text in tiny.sentences(600)[0]]
    found = " ".join(words_of(tmp_path / "out", "train"))
    left_over = metrics["splits"]["train"]["dropped_tokens"]
    count = metrics["splits"]["train"]["documents"]
    assert count - left_over <= sum(document in found for document in documents) <= count


def test_the_splits_share_no_text_and_order_and_company_do_not_matter(tmp_path, tokenizer):
    found = tiny.sentences(300)[0]
    for name, order in {"one": found, "two": found[::-1] + tiny.sentences(50, seed=3)[0]}.items():
        (tmp_path / f"{name}.txt").write_text("\n\n".join(order + order[:40]))
        prepared(tmp_path / name, tokenizer, tmp_path / f"{name}.txt")
    test = {split: " ".join(words_of(tmp_path / "one", split)) for split in ("train", "test")}
    in_test = [text for text in found if " ".join(text.split()) in test["test"]]
    assert len(in_test) > 10 and not any(" ".join(text.split()) in test["train"] for text in in_test)
    other = " ".join(words_of(tmp_path / "two", "test"))
    assert sum(" ".join(text.split()) in other for text in in_test) >= len(in_test) - 1  # the last may fill no block


@pytest.mark.parametrize("deduplicate", [False, True])
def test_the_number_of_processes_does_not_matter(tmp_path, texts, tokenizer, deduplicate):
    settings = {"deduplicate": deduplicate, "min_words": 4}
    first = prepared(tmp_path / "one", tokenizer, texts, **settings)
    second = prepared(tmp_path / "two", tokenizer, texts, processes=2, **settings)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    timing = {"input_mb_per_second"}
    assert {**first.metrics, **dict.fromkeys(timing)} == {**second.metrics, **dict.fromkeys(timing)}


def test_formats_hold_the_same_documents(tmp_path, tokenizer):
    found = tiny.sentences(200)[0]
    (tmp_path / "a.txt").write_text("\n".join(found))
    rows = "".join(json.dumps({"body": text}) + "\n" for text in found).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows))
    pq.write_table(pa.table({"body": found}), tmp_path / "a.parquet")
    folder = tmp_path / "files"
    folder.mkdir()
    for number, text in enumerate(found):
        (folder / f"{number:04d}").write_text(text)
    for name, more in {"a.txt": "line", "a.jsonl.gz": "line", "a.parquet": "line", "files": "file"}.items():
        prepared(tmp_path / f"out-{name}", tokenizer, tmp_path / name, text="body", documents=more)
    seen = [
        {name: raw for name, raw in content(path).items() if name != "shards.json"} for path in tmp_path.glob("out-*")
    ]
    assert len(seen) == 4 and all(one == seen[0] for one in seen)


def test_duplicates_are_dropped(tmp_path, tokenizer):
    found = tiny.sentences(200)[0]
    (tmp_path / "a.txt").write_text("\n\n".join(found))
    (tmp_path / "b.txt").write_text("\n\n".join(found + found[::-1] + [f"  {found[0]} "]))
    prepared(tmp_path / "once", tokenizer, tmp_path / "a.txt")
    result = prepared(tmp_path / "twice", tokenizer, tmp_path / "b.txt", deduplicate=True)
    assert result.metrics["dropped_documents"] == 201 and result.metrics["documents"] == 200
    once, twice = content(tmp_path / "once"), content(tmp_path / "twice")
    assert {name: once[name] for name in once if name != "shards.json"} == {
        name: twice[name] for name in twice if name != "shards.json"
    }


def stopping_after(count):
    """A session that asks to stop when so many units are done."""
    done = []
    return Session(
        on_event=lambda event: event["event"] == "bytes" and done.append(event),
        stop_requested=lambda: len(done) >= count,
    )


def test_interrupted_it_goes_on_with_what_is_left(tmp_path, texts, tokenizer):
    out = tmp_path / "out"
    with pytest.raises(InterruptedRun, match="is saved"):
        prepared(out, tokenizer, texts, session=stopping_after(4))
    stamps = {path.name: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert len(stamps) == 4
    with pytest.raises(InterruptedRun):
        prepared(out, tokenizer, texts, session=stopping_after(3), processes=2)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert len(after) >= 7 and stamps.items() <= after.items()
    prepared(out, tokenizer, texts)
    prepared(tmp_path / "straight", tokenizer, texts)
    assert content(out) == content(tmp_path / "straight")


def test_killed_it_resumes_to_the_same_bytes(tmp_path, texts, tokenizer):
    out = tmp_path / "out"
    words = ["prepare", "--input", texts, "--tokenizer", tokenizer, "--out", out, "--processes", "2"]
    words += ["--set", "block_size=32", "--set", "validation=0.1", "--set", "test=0.1", "--deduplicate"]
    run = [sys.executable, "-c", SMALL_UNITS + "from subarch.cli import main; main()", *map(str, words)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/record.db", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(run, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 120
        while not (out / "units" / "00000002.safetensors").exists():
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    (out / ".train-00000.bin.1.partial").write_bytes(b"half")
    with (out / ".unfinished").open("a") as list_of_the_killed:
        list_of_the_killed.write(".train-00000.bin.1.partial\0")
    done = {path.name: path.stat().st_mtime_ns for path in (out / "units").glob("*.safetensors")}
    seen = []
    prepared(out, tokenizer, texts, deduplicate=True, session=Session(on_event=seen.append))
    assert len([event for event in seen if event["event"] == "bytes"]) <= 20 - len(done)
    assert not list(out.glob(".*partial"))
    prepared(tmp_path / "straight", tokenizer, texts, deduplicate=True)
    assert content(out) == content(tmp_path / "straight")


def test_interrupted_while_packing_it_packs_anew(tmp_path, texts, tokenizer):
    out, events = tmp_path / "out", []
    session = Session(
        on_event=events.append, stop_requested=lambda: bool(events) and events[-1].get("name") == "packing"
    )
    with pytest.raises(InterruptedRun):
        prepared(out, tokenizer, texts, session=session)
    assert (out / "units").is_dir() and not (out / "shards.json").exists()
    events.clear()
    prepared(out, tokenizer, texts, session=Session(on_event=events.append))
    assert not [event for event in events if event["event"] == "bytes"]
    prepared(tmp_path / "straight", tokenizer, texts)
    assert content(out) == content(tmp_path / "straight")


def test_standard_input_resumes_if_it_is_the_same(tmp_path, tokenizer, monkeypatch):
    raw = "\n\n".join(tiny.sentences(400)[0]).encode()

    def piped(data, out, session=None):
        (tmp_path / "piped").write_bytes(data)
        with (tmp_path / "piped").open("rb") as file:
            monkeypatch.setattr(corpus.sys, "stdin", file)
            return prepared(out, tokenizer, "-", session=session)

    out = tmp_path / "out"
    with pytest.raises(InterruptedRun):
        piped(raw, out, stopping_after(3))
    assert len(list((out / "units").iterdir())) == 3
    piped(raw, out)
    piped(raw, tmp_path / "straight")
    assert content(out) == content(tmp_path / "straight")
    with pytest.raises(InterruptedRun):
        piped(raw, tmp_path / "other", stopping_after(3))
    with pytest.raises(DataError, match="standard input differs from that of the earlier run"):
        piped(raw.replace(b"the", b"one"), tmp_path / "other")


def test_progress_is_told_in_bytes_with_the_time_left(tmp_path, texts, tokenizer):
    events = []
    prepared(tmp_path / "out", tokenizer, texts, session=Session(on_event=events.append))
    told = [event for event in events if event["event"] == "bytes"]
    total = sum(path.stat().st_size for path in texts.iterdir())
    assert [event["total_bytes"] for event in told] == [total] * len(told) and told[-1]["done_bytes"] == total
    assert all(one["done_bytes"] < other["done_bytes"] for one, other in itertools.pairwise(told))
    assert told[0]["seconds_left"] is None and told[-1]["seconds_left"] == 0


def test_a_tokenizer_of_ones_own(tmp_path, texts, tokenizer):
    roberta = str(tiny.teacher(tmp_path / "teacher", "roberta"))
    for name, base, size in (
        ("bert", tokenizer, 250),
        ("again", tokenizer, 250),
        ("roberta", roberta, 300),
        ("roberta again", roberta, 300),
    ):
        prepared(tmp_path / name, base, texts, train_tokenizer=size)
        shards = Shards.open(tmp_path / name)
        assert shards.vocab_size == size and len(set(shards.special_token_ids)) == 5
        blocks = shards.split("train")
        assert blocks.take([0])[0, 0] in shards.special_token_ids and blocks.take(range(len(blocks))).max() < size
    assert content(tmp_path / "bert") == content(tmp_path / "again")
    assert content(tmp_path / "roberta") == content(tmp_path / "roberta again")
    text = " ".join(words_of(tmp_path / "bert", "train"))
    assert "garden" in text and "[UNK]" not in text


def refused(error, message, out, *arguments, **more):
    with pytest.raises(error, match=message):
        prepared(out, *arguments, **more)
    assert not out.exists()


def test_corpora_that_cannot_be(tmp_path, tokenizer, texts):
    out = tmp_path / "out"
    (tmp_path / "short.txt").write_text("too short a text")
    refused(DataError, "not one full block of 32", out, tokenizer, tmp_path / "short.txt")
    refused(DataError, "has no document", out, tokenizer, texts, min_words=1000)
    (tmp_path / "latin.txt").write_bytes("d\u00e9j\u00e0 vu ".encode("latin-1") * 400)
    message = r"800 of \d+ bytes are no UTF-8 text, the first in .*latin\.txt at byte 1; expected at most 0\.10%"
    refused(DataError, message, out, tokenizer, tmp_path / "latin.txt", documents="line")
    prepared(out, tokenizer, tmp_path / "latin.txt", max_undecodable=0.3, validation=0, test=0)
    (tmp_path / "broken.jsonl").write_text('{"text": "a b c"}\n{"text"')
    refused(
        DataError, r"broken\.jsonl, line 2 from byte 0: not JSON", tmp_path / "no", tokenizer, tmp_path / "broken.jsonl"
    )


def test_settings_that_cannot_be(tmp_path, tokenizer, texts):
    out = tmp_path / "out"
    for message, more in {
        "block_size is 4, expected at least 8": {"block_size": 4},
        "validation is 1.0, expected a share": {"validation": 1.0},
        "get 1.2 of the corpus": {"validation": 0.6, "test": 0.6},
        "processes is 0": {"processes": 0},
        "fewer than the .* of single characters": {"train_tokenizer": 20},
    }.items():
        refused(ConfigError, message, out, tokenizer, texts, **more)
    refused(ConfigError, "cannot be trained on standard input", out, tokenizer, "-", train_tokenizer=300)
    refused(ModelError, "no folder", out, "./nowhere", texts)
    refused(DataError, "no file for --input", out, tokenizer, tmp_path / "nothing*.txt")


def test_a_folder_belongs_to_one_command(tmp_path, tokenizer, texts):
    out = tmp_path / "out"
    first = prepared(out, tokenizer, texts)
    before = content(out)
    again = prepared(out, tokenizer, texts, processes=2)
    assert again.reused and again.metrics == first.metrics
    with pytest.raises(OutputError, match=r"config\.block_size is 32, this one's is 64"):
        prepared(out, tokenizer, texts, block_size=64)
    (texts / "a.txt").write_text("changed")
    with pytest.raises(OutputError, match="its data is"):
        prepared(out, tokenizer, texts)
    assert content(out) == before


def test_an_empty_split_is_noted(tmp_path, tokenizer, texts):
    result = prepared(tmp_path / "out", tokenizer, texts, validation=0.0)
    assert result.metrics["notes"] == ["no document went to validation; give it a larger share"]
    assert len(Shards.open(tmp_path / "out").split("validation")) == 0


def test_the_command_says_what_it_made(tmp_path, tokenizer, texts, capsys, monkeypatch):
    monkeypatch.setattr(Record, "open", lambda **named: Session().record)
    words = ["prepare", "--input", f"{texts}/a.txt", "--input", f"{texts}/b.jsonl", "--tokenizer", tokenizer]
    words += ["--out", str(tmp_path / "out"), "--processes", "1", "--min-words", "2", "--set", "block_size=32"]
    monkeypatch.setattr(sys, "argv", ["subarch", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr().out.splitlines()
    assert caught.value.code == 0 and out[-1] == f"result: {tmp_path}/out/result.json"
    assert out[0].startswith("600 documents, ") and "blocks: train " in out[0]
