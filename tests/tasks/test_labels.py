import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.cells import Faults
from subarch.tasks.labels import class_indices, class_names, guess_kind, is_missing, match_names, read_labels, scores
from subarch.tasks.tables import Table


def labels(cells, separator=None):
    table = Table(Path("t.csv"), {"y": list(cells)}, None, separator)
    faults = Faults(table.place)
    found = read_labels(table, "y", faults)
    faults.check()
    return found


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["good", "bad", "good"], "classification"),
        (["0", "1", "1"], "classification"),
        ([1, 2, 3, 4, 5] * 4, "classification"),
        ([1.0, 0.0], "classification"),
        ([True, False, True], "classification"),
        (["0.5", "1.25", "3"], "regression"),
        (["0.50", "1.25", "3.00"], "regression"),
        (["1e-05", "2.5e+10", "3.000E+38"], "regression"),
        (list(range(150)), "regression"),
        (["1", "unsure", "2"], "classification"),
        (["007.1", "008.45", "038.11"], "classification"),
        (["1E2", "2E5"], "classification"),
        (["1,0", "1,5", "2"], "regression"),
        (["1.250,5", "3,5"], "regression"),
        ([Decimal("1.50"), Decimal("2")], "regression"),
    ],
)
def test_kinds(cells, kind):
    assert guess_kind(labels(cells)) == kind


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (list(range(50)) * 3, "50 different whole numbers, which may be classes or a scale"),
        ([1, 2, 3, 4], "may be classes or a scale"),
        (["1", "1.0", "2"], "holds '1' and '1.0', one number in two spellings"),
        (["2.10", "2.1"], "holds '2.10' and '2.1'"),
        ([f"0{n}" for n in range(30)], "30 different numbers in 30 rows, written as codes are"),
        ([*(f"{n}.5" for n in range(30)), "inf"], "row 31: label 'inf' is not a finite number, as 30 of 31 others are"),
        (["1,5", "2.5", "3"], "row 1: label '1,5' has a decimal comma and other labels have a point"),
        (["1,250", "3,125"], "row 1: label '1,250' may be a fraction with a decimal comma or thousands"),
    ],
)
def test_a_doubtful_kind_is_asked(cells, message):
    with pytest.raises(DataError) as caught:
        guess_kind(labels(cells))
    assert message in caught.value.message
    assert "--kind classification" in caught.value.hint


def test_a_column_of_texts_is_no_label():
    with pytest.raises(DataError, match="30 different texts in 30 rows"):
        guess_kind(labels(f"text {i}" for i in range(30)))


@pytest.mark.parametrize(
    "codes",
    [
        ("0101", "101", "0202"),
        ("995279394541916024", "995279394541916025", "7"),
        ("1E2", "100", "2E5"),
        ("007.1", "008.45", "038.11"),
        ("001", "01", "1", "1_0", "10"),
        ("+1", "1", "-1"),
        ("1.0", "2.0"),
        ("٣", "3"),
        ("Yes", "yes"),
        ("True", "TRUE", "False"),
        ("none", "None of them"),
    ],
)
def test_what_differs_in_the_file_differs_to_the_letter(codes):
    found = labels(codes * 10)
    assert guess_kind(found) == "classification"
    names = class_names(found)
    assert sorted(names) == sorted(codes)
    assert [names[index] for index in class_indices(found, names)] == list(codes * 10)


@pytest.mark.parametrize(
    "cells", [["True", "False"], ["TRUE", "FALSE"], [True, False], ["true", False], [b"true", "False"]]
)
def test_truth_values_are_one_pair_in_every_format(cells):
    assert class_names(labels(cells * 3)) == ("false", "true")


def test_numbers_match_across_formats_only_where_they_are_exact():
    assert match_names(["1.0", "0", "01", "2"], ["0", "1"]) == {"1.0": 1, "0": 0}
    assert match_names(["1", "0.0"], ["0.0", "1.0"]) == {"1": 1, "0.0": 0}
    assert match_names(["1", "1.00"], ["1", "1.0", "x"]) == {"1": 0}
    assert match_names(["995279394541916025"], ["995279394541916024", "7"]) == {}


@pytest.mark.parametrize(
    "cell",
    [None, "", "  ", "\u200b", "nan", "NaN", "NULL", "null", "NA", "N/A", "n/a", "None", "<NA>", "#N/A", float("nan")],
)
def test_what_is_missing(cell):
    assert is_missing(cell)
    found = labels(["a", "b", cell, "a"])
    assert (list(found.rows), found.names, list(found.missing)) == ([0, 1, 3], ["a", "b", "a"], [2])
    assert found.note().startswith("1 of 4 rows of t.csv have no label")
    assert found.note().endswith("and are left out, the first at row 3")


@pytest.mark.parametrize("cell", ["none", "NONE", "na", "0", 0, False, "-", "nano"])
def test_what_is_not_missing(cell):
    assert not is_missing(cell)


def test_the_words_that_count_as_missing_are_told():
    assert "have no label (or 'NULL', 'NA') and are left out" in labels([*"aabbab", "NULL", "", "NA"]).note()


def test_half_of_the_labels_missing_is_refused():
    with pytest.raises(
        DataError, match=r"row 1: label 'y' is missing \(or 'nan'\).*\(50 of 100 rows are such\)"
    ) as caught:
        labels(["nan", "ok"] * 50)
    assert "--label" in caught.value.hint


@pytest.mark.parametrize(
    ("cell", "name"),
    [(1, "1"), (1.0, "1"), ("1", "1"), (b"pos", "pos"), (" pos ", "pos"), (Decimal("2.00"), "2"), (0.5, "0.5")],
)
def test_names(cell, name):
    assert labels([cell, "x"]).names[0] == name


def test_dates_are_words():
    assert labels([dt.date(2024, 1, 2), "x"]).names[0] == "2024-01-02"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["y"], "label is a list, expected a word or a number"),
        ({"a": 1}, "label is a dict"),
        (10**399, "has 400 digits, expected a number or a text"),
        ("a\ud800", r"label 'a\ud800' holds half of a UTF-16 pair"),
        ("a\0b", r"label 'a\x00b' holds a NUL"),
        (b"\xff\xfe", r"label is b'\xff\xfe', bytes that are not UTF-8"),
    ],
)
def test_cells_that_are_no_labels_are_counted_in_one_message(cell, message):
    with pytest.raises(DataError) as caught:
        labels(["x", "y", cell, "x", cell])
    assert message in caught.value.message
    assert "row 3" in caught.value.message and "(2 such rows)" in caught.value.message


def test_floats_that_cannot_be_told_apart_are_no_classes():
    found = labels([9007199254740993.0, 9007199254740995.0] * 5)
    with pytest.raises(DataError, match=r"above 2\*\*53") as caught:
        class_names(found)
    assert caught.value.hint == "write such ids as text, in quotes"
    assert scores(found).tolist()[0] == np.float32(2**53)


def test_scores_in_every_notation():
    assert scores(labels(["1", "-.5", "1E2", "+3."])).tolist() == [1, -0.5, 100, 3]
    assert scores(labels(["1,5", "1.250,25", "3"])).tolist() == [1.5, 1250.25, 3]
    assert scores(labels(["1,250", "3,125"], ";")).tolist() == [1.25, 3.125]
    assert scores(labels([0.1, 2])).dtype == np.float32


def test_scores_that_are_none_are_counted():
    with pytest.raises(DataError) as caught:
        scores(labels(["1", "much", 1e300, "more", "inf"]))
    assert caught.value.message == (
        "t.csv, row 2: label 'much' is not a finite number, expected a score (3 such rows); "
        "t.csv, row 3: label '1e+300' is beyond 3.4e38, expected a score in single precision"
    )


def test_unknown_classes_are_counted():
    with pytest.raises(DataError, match=r"row 2: label 'c' is not in train, expected one of a, b \(2 such rows\)"):
        class_indices(labels("acad"), ("a", "b"))
