import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.suites.glue import GLUE, GLUE_EVALUATION, load_glue, load_glue_test

DATA = os.environ.get("SUBARCH_DATA")


def write(folder, name, header, rows, start=""):
    folder.mkdir(parents=True, exist_ok=True)
    lines = ([header] if header else []) + rows
    (folder / name).write_text(start + "\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def sst2(tmp_path):
    folder = tmp_path / "GLUE" / "SST-2"
    write(folder, "train.tsv", "sentence\tlabel", [f'a "text {i}\t{i % 2}' for i in range(90)])
    write(folder, "dev.tsv", "sentence\tlabel", [f"dev {i}\t{i % 2}" for i in range(10)] + ['A "text  7\t1'])
    return tmp_path


def test_dev_reports_and_train_is_carved(sst2):
    data = load_glue(GLUE["sst2"], data_dir=sst2)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [60, 29, 11]
    assert data.test.labels.tolist() == [0, 1] * 5 + [1]
    assert data.train.texts[0].startswith('a "text')
    assert any("1 train rows that also stand" in note for note in data.notes)
    assert not set(data.train.text_keys() + data.validation.text_keys()) & set(data.test.text_keys())


def test_the_seed_moves_validation_and_never_test(sst2):
    one, same, two = (load_glue(GLUE["sst2"], data_dir=sst2, seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint == same.fingerprint != two.fingerprint
    assert one.test.texts == two.test.texts


def test_a_wrong_number_of_rows_is_told(sst2, caplog):
    with caplog.at_level(logging.WARNING):
        data = load_glue(GLUE["sst2"], data_dir=sst2)
    assert "train.tsv has 90 rows, the official file has 67349" in caplog.text
    assert any("the official file has 872" in note for note in data.notes)


@pytest.mark.parametrize("home", ["GLUE/MRPC", "glue_data/MRPC", "MRPC"])
def test_mrpc_has_a_byte_order_mark_and_its_label_first(tmp_path, home):
    for name in ("train.tsv", "dev.tsv"):
        rows = [f"{i % 2}\t1\t2\t{name} {i}\tsecond {i}" for i in range(30)]
        write(tmp_path / home, name, "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", rows, "\ufeff")
    test = load_glue(GLUE["mrpc"], data_dir=tmp_path).test
    assert (len(test), test.texts[1], test.pairs[1], test.labels[1]) == (30, "dev.tsv 1", "second 1", 1)


def test_cola_has_no_header_and_scores_are_numbers(tmp_path):
    for name in ("train.tsv", "dev.tsv"):
        write(tmp_path / "CoLA", name, "", [f"gj04\t{i % 2}\t\t{name} {i}" for i in range(30)])
        header = "\t".join(["index", *"abcdef", "sentence1", "sentence2", "score"])
        rows = ["\t".join([str(i), *"abcdef", f"{name} {i}", "x", f"{i / 10:.3f}"]) for i in range(30)]
        write(tmp_path / "STS-B", name, header, rows)
    assert load_glue(GLUE["cola"], data_dir=tmp_path).test.texts[0] == "dev.tsv 0"
    stsb = load_glue(GLUE["stsb"], data_dir=tmp_path).test
    assert stsb.labels.dtype == np.float32
    assert stsb.labels[29] == pytest.approx(2.9)


def test_qqp_skips_malformed_rows_unquotes_and_takes_a_sample(tmp_path):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    rows = [f'{i}\t\t\t"a ""quoted"" {i}?"\twhy {i}?\t{i % 2}' for i in range(40)]
    write(tmp_path / "QQP", "train_sample.tsv", header, [*rows, "1\t2\tbroken"])
    write(tmp_path / "QQP", "dev_sample.tsv", header, [row.replace("why", "how") for row in rows])
    data = load_glue(GLUE["qqp"], data_dir=tmp_path)
    assert data.test.texts[3] == 'a "quoted" 3?'
    assert any("1 malformed rows skipped" in note for note in data.notes)
    assert any("sample file train_sample.tsv" in note for note in data.notes)


def test_a_missing_file_is_named(sst2):
    (sst2 / "GLUE" / "SST-2" / "train.tsv").unlink()
    with pytest.raises(DataError, match=re.escape("GLUE/SST-2/train.tsv is missing")) as caught:
        load_glue(GLUE["sst2"], data_dir=sst2)
    assert "--data-dir" in caught.value.hint


def test_a_file_of_another_layout_is_refused(sst2):
    write(sst2 / "GLUE" / "SST-2", "train.tsv", "index\tsentence", [f"{i}\ttext {i}" for i in range(40)])
    with pytest.raises(DataError, match="40 of 40 rows have no known label in column 2, expected 0 or 1"):
        load_glue(GLUE["sst2"], data_dir=sst2)


def test_without_files_it_is_the_hub(monkeypatch):
    import datasets

    split = {"sentence1": [f"s {i}" for i in range(30)], "sentence2": ["x"] * 30, "label": [0, 1] * 15}
    dev = split | {"sentence1": [f"d {i}" for i in range(30)]}
    asked = []

    def load(*names):
        asked.append(names)
        return {"train": split, "validation": dev}

    monkeypatch.setattr(datasets, "load_dataset", load)
    data = load_glue(GLUE["rte"], data_dir=None)
    assert asked == [("nyu-mll/glue", "rte")]
    assert (data.test.texts[0], len(data.train) + len(data.validation)) == ("d 0", 30)


def test_a_hub_out_of_reach_points_to_the_files(monkeypatch):
    import datasets

    def load(*names):
        raise ConnectionError("Couldn't reach 'nyu-mll/glue' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match="cannot read nyu-mll/glue") as caught:
        load_glue(GLUE["rte"], data_dir=None)
    assert "SUBARCH_DATA" in caught.value.hint


def test_the_rows_of_the_table_agree_with_themselves():
    for name, task in GLUE.items():
        assert name == task.name == task.source.hub_config
        assert task.main_metric == task.metrics[0]
        assert len(task.source.values) == len(task.labels)
        assert len(task.source.columns) == (3 if task.text_pair else 2)


def test_the_test_set_has_no_labels_and_its_own_columns(sst2):
    write(sst2 / "SST-2", "test.tsv", "index\tsentence", ["0\ta fine film", "1\ta film"])
    examples = load_glue_test(GLUE["sst2"], data_dir=sst2 / "GLUE", split="dev")
    assert len(examples) == len(examples.labels) == 11
    hidden = load_glue_test(GLUE["sst2"], data_dir=sst2, split="test")
    assert (hidden.texts, hidden.labels, hidden.columns["id"]) == (["a fine film", "a film"], None, ["0", "1"])


def mnli_row(number, label):
    return "\t".join([str(number), *"abcdefg", f"premise {number}", f"hypothesis {number}", *"12345", label])


def test_mnli_has_a_second_dev_set(tmp_path, caplog):
    header = "\t".join(["index", *"abcdefg", "sentence1", "sentence2", *"12345", "gold_label"])
    rows = [mnli_row(number, "neutral") for number in range(3)]
    write(tmp_path / "MNLI", "dev_mismatched.tsv", header, rows)
    one = load_glue_test(GLUE["mnli"], data_dir=tmp_path, split="dev_mismatched")
    two = load_glue_test(GLUE_EVALUATION["mnli_mismatched"], data_dir=tmp_path, split="dev")
    assert (one.texts, one.labels.tolist(), one.columns) == (two.texts, [1, 1, 1], {"id": ["0", "1", "2"]})
    assert "dev_mismatched.tsv has 3 rows, the official file has 9832" in caplog.text


def test_ax_is_only_predicted(tmp_path):
    write(tmp_path / "glue_data" / "diagnostic", "diagnostic.tsv", "index\tsentence1\tsentence2", ["0\tp\th"])
    examples = load_glue_test(GLUE_EVALUATION["ax"], data_dir=tmp_path, split="test")
    assert (examples.texts, examples.pairs, examples.labels) == (["p"], ["h"], None)
    with pytest.raises(DataError, match="ax has no split 'dev'"):
        load_glue_test(GLUE_EVALUATION["ax"], data_dir=tmp_path, split="dev")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["0\tfine", "1"], "test.tsv, line 3: 1 fields, expected 2 or more (1 of 2 rows are such)"),
        (["0\tfine", "0\talso"], "line 3: the id 0 stands twice (before: "),
    ],
)
def test_no_row_of_a_test_set_is_skipped(tmp_path, rows, says):
    write(tmp_path / "SST-2", "test.tsv", "index\tsentence", rows)
    with pytest.raises(DataError, match=re.escape(says)):
        load_glue_test(GLUE["sst2"], data_dir=tmp_path, split="test")


def test_a_score_that_is_no_number_is_named(tmp_path):
    header = "\t".join(["index", *"abcdef", "sentence1", "sentence2", "score"])
    write(tmp_path / "STS-B", "dev.tsv", header, ["\t".join(["0", *"abcdef", "x", "y", "high"])])
    with pytest.raises(DataError, match=r"dev\.tsv, line 2: the score is 'high', expected a number"):
        load_glue_test(GLUE["stsb"], data_dir=tmp_path, split="dev")


def test_the_hub_hides_the_labels_of_a_test_set(monkeypatch):
    import datasets

    rows = {"premise": ["p"], "hypothesis": ["h"], "label": [-1], "idx": [4]}
    asked = []

    def load(*names):
        asked.append(names[1])
        return {split: datasets.Dataset.from_dict(rows) for split in ("test", "test_mismatched")}

    monkeypatch.setattr(datasets, "load_dataset", load)
    for task, split in ((GLUE_EVALUATION["ax"], "test"), (GLUE["mnli"], "test_mismatched")):
        examples = load_glue_test(task, data_dir=None, split=split)
        assert (examples.labels, examples.columns) == (None, {"id": ["4"]})
    assert asked == ["ax", "mnli"]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
@pytest.mark.parametrize(
    ("name", "rows"),
    [("cola", 1063), ("sst2", 1821), ("mrpc", 1725), ("stsb", 1379), ("qnli", 5463), ("rte", 3000), ("wnli", 146)],
)
def test_official_test_files(name, rows, caplog):
    examples = load_glue_test(GLUE[name], data_dir=Path(DATA), split="test")
    assert (len(examples), examples.columns["id"]) == (rows, [str(number) for number in range(rows)])
    assert not caplog.records


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("cola", 8535, 1043), ("mrpc", 3668, 408), ("stsb", 5743, 1500), ("rte", 2490, 277), ("wnli", 635, 71)],
)
def test_official_files(name, train, test):
    data = load_glue(GLUE[name], data_dir=Path(DATA))
    assert (len(data.train) + len(data.validation), len(data.test)) == (train, test)
    assert not [note for note in data.notes if "official file has" in note or "skipped" in note]
    keys = [set(split.text_keys()) for split in (data.train, data.validation, data.test)]
    assert not keys[0] & keys[1]
    assert not (keys[0] | keys[1]) & keys[2]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
def test_official_mnli_without_train():
    if (Path(DATA) / "GLUE" / "MNLI" / "train.tsv").is_file():
        pytest.skip("MNLI is complete here")
    with pytest.raises(DataError, match=re.escape("MNLI/train.tsv is missing")):
        load_glue(GLUE["mnli"], data_dir=Path(DATA))
