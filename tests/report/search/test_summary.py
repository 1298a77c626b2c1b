from subarch.report.search import search_summary


def test_the_verdict_comes_first_then_the_front(content):
    lines = search_summary(content).splitlines()
    assert "are on the front" in lines[0]
    table = [line for line in lines if line.startswith("|")]
    assert table[0].startswith("| Trial | Exact match | Parameters | Exact match, untouched data |")
    assert len(table) == 2 + len({0, *content["front"]})
    assert "(baseline)" in "".join(table)


def test_failures_and_inert_parameters_are_told(content):
    text = search_summary(content)
    assert "## What failed" in text and "CUDA out of memory" in text and "batch_size 32 to 64" in text
    assert "weight\\_decay" not in text and "weight_decay makes no measurable difference" in text


def test_short_however_many_trials(make):
    assert len(search_summary(make(trials=300)).splitlines()) < 50


def test_nothing_yet():
    assert search_summary({}).startswith("No trial has ended yet.")


def test_running_is_said(content):
    content["running"] = True
    assert "Still running." in search_summary(content)
