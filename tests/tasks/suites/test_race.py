import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.suites.race import RACE, RACE_PAPER, load_race, load_race_test

DATA = os.environ.get("SUBARCH_DATA")


def write(root, split, numbers, text="article"):
    folder = root / "RACE" / split / "middle"
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        value = {
            "id": f"middle{number}.txt",
            "article": f"{text} {number}",
            "questions": [f"Why {number}?", "It is _ ."],
            "options": [["a", "b", "c", "d"], ["red", "green", "blue", "grey"]],
            "answers": ["B", "D"],
        }
        (folder / f"{number}.txt").write_text(json.dumps(value), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path):
    write(tmp_path, "train", range(1, 31))
    write(tmp_path, "dev", (7, 10, 9), "dev")
    return tmp_path


def test_without_a_test_folder_dev_reports_and_articles_are_carved(data):
    race = load_race(RACE["race_middle"], data_dir=data)
    assert [len(split) // 8 for split in (race.train, race.validation, race.test)] == [20, 10, 3]
    assert not set(race.train.texts) & set(race.validation.texts)
    assert race.test.columns["id"][::4] == [f"middle{n}.txt-{q}" + "-0" for n in (7, 9, 10) for q in (0, 1)]
    assert race.test.pairs[:2] == ["Why 7? a", "Why 7? b"]
    assert race.test.pairs[7] == "It is grey ."
    assert race.test.labels[:8].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert any("there is no test folder" in note for note in race.notes)
    assert any("30 articles with 60 questions, the official folder has 6409" in note for note in race.notes)


def test_with_a_test_folder_dev_selects(data):
    write(data, "test", (40, 41), "test")
    race = load_race(RACE["race_middle"], data_dir=data)
    assert [len(split) // 8 for split in (race.train, race.validation, race.test)] == [30, 3, 2]
    assert load_race_test(RACE["race_middle"], data_dir=data, split="test").texts == race.test.texts


def test_articles_of_other_splits_are_left_out_of_train(data):
    write(data, "train", (7, 9), "dev")
    race = load_race(RACE["race_middle"], data_dir=data)
    assert not set(race.train.texts + race.validation.texts) & set(race.test.texts)
    assert any("4 train questions on articles of the other splits" in note for note in race.notes)


def test_the_paper_balances_train_only(data):
    standard, paper = (load_race(table["race_middle"], data_dir=data) for table in (RACE, RACE_PAPER))
    assert paper.task.num_outputs == 2
    assert np.bincount(paper.train.labels).tolist() == [40, 40]
    assert paper.validation.columns["id"] == standard.validation.columns["id"]
    assert (np.bincount(paper.test.groups) == 4).all()
    kept = set(zip(paper.train.columns["id"], paper.train.labels.tolist(), strict=True))
    assert kept < set(zip(standard.train.columns["id"], standard.train.labels.tolist(), strict=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answers": ["B"]}, "7.txt: 2 questions and 1 answers, expected one each"),
        ({"answers": ["B", "E"]}, "7.txt, question 2: answer 'E' of 4 options"),
        ({"options": [["a"], ["b"]]}, "7.txt, question 1: answer 'B' of 1 options"),
        ({"id": "middle9.txt"}, "9.txt: the id middle9.txt-0 stands twice"),
    ],
)
def test_a_bad_file_is_named(data, change, says):
    path = data / "RACE" / "dev" / "middle" / "7.txt"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=re.escape(says)):
        load_race(RACE["race_middle"], data_dir=data)


def test_a_cut_file_and_a_missing_folder(data):
    path = data / "RACE" / "dev" / "middle" / "7.txt"
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=r"7\.txt: not JSON"):
        load_race(RACE["race_middle"], data_dir=data)
    with pytest.raises(DataError, match="RACE/train/high is missing"):
        load_race(RACE["race_high"], data_dir=data)


def test_the_hub_has_a_row_a_question(data, monkeypatch):
    import datasets

    write(data, "test", (40, 41), "test")

    def rows(split):
        for file in sorted((data / "RACE" / split / "middle").glob("*.txt"), key=lambda file: int(file.stem)):
            value = json.loads(file.read_text())
            for question, options, answer in zip(value["questions"], value["options"], value["answers"], strict=True):
                texts = {"article": value["article"], "question": question}
                yield texts | {"example_id": value["id"], "options": options, "answer": answer}

    def load(*names):
        assert names == ("ehovy/race", "middle")
        splits = {"train": "train", "validation": "dev", "test": "test"}
        return {name: datasets.Dataset.from_list(list(rows(split))) for name, split in splits.items()}

    monkeypatch.setattr(datasets, "load_dataset", load)
    online, files = (load_race(RACE["race_middle"], data_dir=home) for home in (None, data))
    assert online.fingerprint == files.fingerprint


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SUBARCH_DATA is not set")
@pytest.mark.parametrize(("name", "questions"), [("race_middle", 1436), ("race_high", 3451)])
def test_official_dev(name, questions, caplog):
    dev = load_race_test(RACE[name], data_dir=Path(DATA), split="dev")
    assert (len(dev), int(dev.labels.sum())) == (4 * questions, questions)
    assert not caplog.records
