import json
import random
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from subarch.report.html import render_html
from subarch.report.markdown import render_markdown
from subarch.report.tables import text_table

BAD = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a browser would see: elements with attributes, their nesting, and the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def poisoned(value):
    """The same report with every text in it replaced, keys and the names that mean something apart."""
    if isinstance(value, dict):
        return {k: v if k == "name" and v in NAMES else poisoned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return BAD if isinstance(value, str) else value


NAMES = {"teacher", "student", "onnx", "onnx-int8", "majority", "tfidf"}


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Without Plotly's five megabytes, which take long to parse."""
    monkeypatch.setattr("subarch.report.document.get_plotlyjs", lambda: "")


@pytest.fixture
def page(report):
    return Page(render_html(report))


def test_plotly_is_written_into_the_page_once(report, monkeypatch):
    monkeypatch.undo()
    assert render_html(report).count(get_plotlyjs()) == 1


def test_the_page_loads_nothing(report, page):
    text = render_html(report)
    assert not [attributes for _, attributes in page.elements if {"src", "href"} & set(attributes)]
    assert "@import" not in text.split("</style>")[0] and "url(" not in text.split("</style>")[0]
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_every_figure_has_its_data_its_words_and_its_place(page):
    plots = [attributes for attributes in page.all("div") if attributes.get("class") == "plot"]
    assert [plot["data-figure"] for plot in plots] == [
        "trade-off",
        "candidates",
        "curve-0",
        "curve-1",
        "time",
    ]
    ids = {attributes["id"] for attributes in page.all("script") if "id" in attributes}
    assert ids == {plot["data-figure"] for plot in plots} | {"templates"}
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 20 for plot in plots)


def test_the_data_of_the_scripts_is_json(page):
    kinds = [attributes.get("type") for attributes in page.all("script")]
    parsed = [json.loads(text) for kind, text in zip(kinds, page.scripts, strict=True) if kind == "application/json"]
    assert len(parsed) == 6
    assert {"light", "dark"} in [set(value) for value in parsed]
    assert all("meta" in value["layout"] for value in parsed if "layout" in value)


def test_tables_have_captions_and_headings_with_a_scope(page):
    assert len(page.all("table")) == len(page.all("caption")) == 5
    assert all(attributes["scope"] in {"row", "col"} for attributes in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1


def test_the_recommended_model_is_highlighted(report):
    rows = re.findall(r'<tr role="row" class="emphasis">.*?</tr>', render_html(report))
    assert any("Student (ONNX int8)" in row and "recommended" in row for row in rows)


def test_every_text_is_escaped_everywhere(report):
    clean, dirty = Page(render_html(report)), Page(render_html(poisoned(report)))
    assert [tag for tag, _ in dirty.elements].count("script") == [tag for tag, _ in clean.elements].count("script")
    assert dirty.all("img") == []
    assert not [a for _, attributes in dirty.elements for a in attributes if a.startswith("on")]
    assert BAD in "".join(dirty.text)


def test_keys_are_escaped_too(report):
    report["environment"] = report["load"] = report["config"] = {BAD: BAD}
    report["curves"] = {BAD: [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]}
    report["architectures"] = {"teacher": {BAD: 1}, "student": {BAD: 2}}
    assert Page(render_html(report)).all("img") == []


def test_missing_parts_are_left_out(regression):
    text = render_html(regression)
    words = "".join(Page(text).text)
    assert "None" not in words and "nan" not in words
    assert "Candidates" not in words and "How to load it" not in words


def test_an_empty_report_is_a_page_without_scripts():
    text = render_html({})
    assert "no verdict" in text and "<script" not in text and len(text) < 20_000


def holed(value, rng):
    """The report with about one value in six replaced by None or NaN, at every depth."""
    if rng.random() < 0.16:
        return rng.choice([None, float("nan")])
    if isinstance(value, dict):
        return {key: item if key == "name" else holed(item, rng) for key, item in value.items()}
    return [holed(item, rng) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(16))
def test_missing_values_are_survived_and_never_shown(report, seed):
    rng = random.Random(seed)
    report["candidates"] = report["candidates"][:4]
    broken = {key: holed(item, rng) for key, item in report.items()}
    words = " ".join(Page(render_html(broken)).text)
    for shown in (words, render_markdown(broken), text_table(broken)):
        assert not re.search(r"\bNone\b|\bnan\b", shown)


def test_dark_scheme_phone_and_print_are_thought_of(report):
    style = render_html(report).split("</style>")[0]
    assert "prefers-color-scheme: dark" in style and "@media print" in style and "max-width: 640px" in style
