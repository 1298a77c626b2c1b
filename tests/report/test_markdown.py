import pytest

from subarch.report.markdown import escape, render_markdown
from subarch.report.verdict import verdict


def test_the_first_line_is_the_verdict(report, regression):
    for given in (report, regression, {}):
        assert render_markdown(given).splitlines()[0] == verdict(given).sentence


def test_sections_stand_in_their_order(report):
    headings = [line[3:] for line in render_markdown(report).splitlines() if line.startswith("## ")]
    assert headings == [
        "Models",
        "Architecture",
        "Candidates",
        "Where the time went",
        "How to load it",
        "Notes and warnings",
        "How to reproduce it",
    ]


def test_tables_have_as_many_cells_in_each_line(report):
    blocks = [block for block in render_markdown(report).split("\n\n") if block.startswith("|")]
    assert len(blocks) == 5
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_what_is_missing_is_left_out(regression):
    text = render_markdown(regression)
    assert "None" not in text and "nan" not in text
    assert "Candidates" not in text and "How to load it" not in text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:alert(1))", "[x\\](javascript:alert(1))"),
        ("[x]: http://example", "[x\\]: http://example"),
        ("a | b\nc", "a \\| b c"),
        ("*bold* `code` _em_", "\\*bold\\* \\`code\\` \\_em\\_"),
        ("num_hidden_layers [1, 2]", "num_hidden_layers [1, 2]"),
        ("# heading", "\\# heading"),
    ],
)
def test_user_text_is_shown_literally(text, safe):
    assert escape(text) == safe


def test_no_user_text_becomes_html(report):
    bad = "<script>alert(1)</script>"
    report["title"] = report["models"][0]["label"] = report["models"][1]["path"] = bad
    report["warnings"] = report["task"]["notes"] = [bad]
    report["environment"]["cpu"] = report["stages"][0]["name"] = bad
    assert "<script" not in render_markdown(report)


def test_code_with_a_fence_in_it_stays_in_its_block(report):
    report["load"] = {"student": "```\n# not a heading\n```"}
    assert "````python\n```\n# not a heading\n```\n````" in render_markdown(report)


def test_the_command_and_configuration_are_given(report):
    report["command"] = "subarch compress --teacher x"
    text = render_markdown(report)
    assert "```sh\nsubarch compress --teacher x\n```" in text
    assert '"seed": 13' in text
