import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.report import tables


def test_the_models_table_has_each_model_and_marks_the_recommended(report):
    table = tables.models_table(report)
    assert [column.heading for column in table.columns][:3] == ["Model", "Accuracy", "Parameters"]
    assert len(table.rows) == 6
    assert [row.cells[0].text for row in table.rows if row.emphasis] == ["Student (ONNX int8)"]
    assert [row.tag for row in table.rows if row.tag] == ["recommended"]
    assert table.rows[0].cells[1].full == "93.0 [91.2, 94.6]"


def test_columns_and_rows_that_say_nothing_are_left_out(regression):
    table = tables.models_table(regression)
    assert [column.heading for column in table.columns] == [
        "Model",
        "Pearson correlation",
        "Parameters",
        "Latency",
        "Speed-up",
    ]
    assert [row.cells[0].text for row in table.rows] == ["Teacher", "Student"]


def test_candidates_begin_with_the_chosen_one_and_descend_by_w(report):
    table = tables.candidates_table(report)
    assert len(table.rows) == tables.CANDIDATES_SHOWN
    assert "12 of 20" in table.caption
    assert table.rows[0].emphasis and "chosen" in table.rows[0].cells[-1].text
    heading = [column.heading for column in table.columns].index("W")
    weights = [float(row.cells[heading].text) for row in table.rows[1:]]
    assert weights == sorted(weights, reverse=True)


def test_a_chosen_candidate_stays_first_whatever_its_w(report):
    for candidate in report["candidates"]:
        candidate["chosen"] = candidate is report["candidates"][-1]
    table = tables.candidates_table(report)
    assert [cell.text for cell in table.rows[0].cells[:2]] == ["6", "384"]


def test_architectures_mark_what_differs(report):
    table = tables.architectures_table(report)
    assert {row.cells[0].text for row in table.rows if row.emphasis} == {
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
    }
    report["architectures"]["student"] = None
    assert tables.architectures_table(report) is None


def test_stages_say_what_was_reused_and_what_the_whole_took(report):
    rows = {row.cells[0].text: row.cells[1].full for row in tables.stages_table(report).rows}
    assert rows["finetune"] == "reused"
    assert rows["distil"] == "6 min 42 s"
    assert rows["total"] == "8 min 41 s of 10 min"


@pytest.mark.parametrize(
    "make",
    [
        tables.models_table,
        tables.candidates_table,
        tables.architectures_table,
        tables.stages_table,
        tables.environment_table,
    ],
)
def test_nothing_gives_no_table(make):
    assert make({}) is None


def test_the_terminal_table_is_aligned_and_marks_the_recommended(report):
    text = tables.text_table(report)
    lines = text.splitlines()
    assert lines[0].split() == ["Model", "Accuracy", "Parameters", "Size", "Latency", "Speed-up", "Agreement"]
    assert lines[4].startswith("Student (ONNX int8) *")
    assert lines[-1] == "* recommended"
    end = lines[0].index("Accuracy") + len("Accuracy")
    assert all(line[:end].endswith("]") and line[end : end + 2].strip() == "" for line in lines[1:-1])


def test_the_terminal_table_of_nothing_is_empty():
    assert tables.text_table({}) == ""


def test_control_characters_do_not_reach_the_terminal(report):
    report["models"][0]["label"] = "evil\x1b[2J\nname"
    assert "evil [2J name" in tables.text_table(report)


@given(label=st.text(max_size=120), metric=st.text(max_size=60))
def test_the_terminal_table_fits_whatever_the_names(label, metric):
    models = [
        {
            "name": name,
            "label": label + "模型" * 10,
            "score": 0.5,
            "score_interval": [0.4, 0.6],
            "parameters": 10_000_000,
            "model_bytes": 123_456_789,
            "latency_ms": 123.4,
            "speedup": 11.2,
            "agreement": 1.0,
        }
        for name in ("teacher", "student")
    ]
    text = tables.text_table({"task": {"main_metric": metric}, "models": models})
    lines = text.split("\n")
    assert len(lines) == 4
    assert all(tables._width(line) <= tables.TERMINAL_WIDTH for line in lines)
    assert " *" in lines[2]


def test_tables_leave_the_report_as_it_was(report):
    before = copy.deepcopy(report)
    tables.text_table(report)
    tables.candidates_table(report)
    assert report == before
