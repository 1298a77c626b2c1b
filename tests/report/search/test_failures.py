from subarch.report.search.failures import failures_table, headline, reasons, shared
from subarch.report.search.outcome import read


def test_reasons_that_differ_in_numbers_are_one(content):
    search = read(content)
    groups = reasons(search.of("failed"))
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True) and len(groups) == 2
    assert sum(map(len, groups)) == len(search.of("failed"))


def test_what_failing_trials_share_is_told(content):
    search = read(content)
    memory, diverged = reasons(search.of("failed"))
    assert {text.split(" ")[0] for text in shared(search, memory)} == {"batch_size", "num_hidden_layers"}
    assert [text.split(" ")[0] for text in shared(search, diverged)] == ["learning_rate"]


def test_chance_is_not_told(content):
    """Trials picked by their number alone share nothing worth telling."""
    search = read(content)
    for start in range(6):
        assert shared(search, search.trials[start::6]) == []
    assert shared(search, search.trials[:1]) == []


def test_a_value_in_common_is_told(content):
    for trial in content["trials"]:
        if trial["params"]["student.layers"] == "first":
            trial |= {"state": "failed", "class": "failed", "reason": "bad", "metrics": {}}
    search = read(content)
    group = [trial for trial in search.of("failed") if trial.reason == "bad"]
    assert shared(search, group) == ["layers = first"]


def test_the_table_has_failures_then_stops(content):
    table = failures_table(read(content))
    reason, count, common, numbers = (cell.text for cell in table.rows[0].cells)
    assert reason == "CUDA out of memory: tried to allocate … GiB" and "batch_size 32 to 64" in common
    assert numbers.endswith("more") and int(count) > 12
    assert [row.tag for row in table.rows] == ["", "", "stopped early"]


def test_nothing_failed(content):
    content["trials"] = [trial for trial in content["trials"] if trial["state"] == "finished"]
    assert failures_table(read(content)) is None and headline(read(content)) == ""


def test_a_failure_without_a_reason_is_told(content):
    content["trials"] = [{"number": 1, "class": "failed"}, {"number": 2, "class": "failed", "reason": " \n"}]
    table = failures_table(read(content))
    assert [row.cells[0].text for row in table.rows] == ["no reason was recorded"]
    assert [column.heading for column in table.columns] == ["Reason", "Trials", "Numbers"]
