import copy

import pytest

from subarch.report.search import members
from subarch.report.search.outcome import read


def rows(table):
    return {row.cells[0].text: row.cells[1:] for row in table.rows}


def test_the_search_value_stands_over_the_confirmed_one(content):
    table = members.members_table(read(content))
    found = rows(table)
    assert [column.heading for column in table.columns][:2] == ["", "#0 baseline"]
    assert len(table.columns) == 1 + len(set(content["front"]) | {0})
    assert list(found)[:3] == ["Exact match", "Exact match, untouched data", "Parameters"]
    mean = content["confirmed"][0]["metrics"]["exact_match"]["mean"]
    assert found["Exact match, untouched data"][0].text.startswith(f"{mean:.1f} ± ")
    assert found["Exact match, untouched data"][0].detail == "3 seeds"


def test_what_no_seed_changes_is_not_confirmed_again(content):
    assert "Parameters, untouched data" not in rows(members.members_table(read(content)))


def test_one_seed_is_told_too(content):
    for row in content["confirmed"]:
        row["metrics"]["exact_match"] |= {"std": 0.0, "count": 1}
    assert rows(members.members_table(read(content)))["Exact match, untouched data"][0].detail == "1 seed"


def test_differences_are_against_the_baseline(content):
    search = read(content)
    cell = rows(members.members_table(search))["Parameters"][1]
    best = search.members[0]
    assert cell.text == search.metrics[1].written(best.metrics["num_parameters"])
    change = search.metrics[1].change(best.metrics["num_parameters"], search.reference.metrics["num_parameters"])
    assert cell.detail == change


def test_only_parameters_that_differ_are_rows(content):
    for trial in content["trials"]:
        trial["params"]["loop.batch_size"] = 16
    search = read(content)
    assert "batch_size" not in rows(members.members_table(search))
    assert members.same_in_all(search) == "The same in all of them: batch_size 16."
    assert "–" in [cell.text for cell in rows(members.members_table(search))["temperature"]]


def test_a_long_front_is_thinned_evenly_with_both_ends(content):
    model = next(trial for trial in content["trials"] if trial["state"] == "finished")
    extra = [copy.deepcopy(model) | {"number": 100 + index, "class": "front"} for index in range(50)]
    for index, trial in enumerate(extra):
        trial["metrics"]["exact_match"] = 50.0 + index
    content |= {"trials": extra, "front": [trial["number"] for trial in extra], "baseline": None}
    shown = [trial.number for trial in members.compared(read(content))]
    assert len(shown) == members.SHOWN and shown[0] == 149 and shown[-1] == 100


def test_worst_slices_come_first(content):
    (name, table, count), (other, _, few) = members.slices_tables(read(content))
    assert (name, count, other, few) == ("topic", 15, "answerable", 2)
    means = [sum(float(cell.text) for cell in row.cells[2:]) / len(row.cells[2:]) for row in table.rows]
    assert means == sorted(means)
    assert table.rows[0].cells[1].text in {"40", "53"}
    assert "Sky (UK)" in [row.cells[0].text for row in table.rows]


def test_of_an_error_the_highest_is_the_worst(content):
    content["metrics"] = [{"name": "loss", "direction": "minimize", "role": "objective"}]
    content["front"] = [0]
    content["slices"] = {0: {"topic": {"a": {"loss": 1.0}, "b": {"loss": 2.0}}}}
    content["baseline"] = None
    content["trials"][0] |= {"metrics": {"loss": 1.5}, "class": "front"}
    ((_, table, _),) = members.slices_tables(read(content))
    assert [row.cells[0].text for row in table.rows] == ["b", "a"]


def test_a_slice_that_one_member_lacks_is_blank(content):
    first = next(iter(content["slices"]))
    del content["slices"][first]["answerable"]["no"]["exact_match"]
    (_, _, _), (_, table, _) = members.slices_tables(read(content))
    assert sum(cell.text == "" for row in table.rows for cell in row.cells) == 1


@pytest.mark.parametrize("content_", [{}, {"front": [3]}])
def test_no_members_no_table(content_):
    assert members.members_table(read(content_)) is None and members.slices_tables(read(content_)) == []
