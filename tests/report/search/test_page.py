import copy
import json
import random
import re
from html.parser import HTMLParser

import pytest

from subarch.report.search import search_page, search_summary

BAD = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a browser would see: elements, their nesting, scripts, and the text outside of them."""

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

    @property
    def ids(self):
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}


@pytest.fixture(autouse=True)
def light(request, monkeypatch):
    """Without Plotly's five megabytes, which take long to parse."""
    if request.function is not test_large:
        monkeypatch.setattr("subarch.report.document.get_plotlyjs", lambda: "")


def test_the_sections_in_their_order(content):
    headings = re.findall("<h2>(.*?)</h2>", search_page(content))
    assert headings == [
        "The front",
        "Progress",
        "Importance of the parameters",
        "Parallel coordinates",
        "Learning curves",
        "What failed and why",
        "The front side by side",
        "Slices",
        "The data",
        "Facts",
        "All trials",
    ]


def test_what_was_told_of_the_data_is_on_the_page(content):
    page = Page(search_page(content))
    assert all(note in page.text for note in content["notes"]) and len(content["notes"]) == 2


def test_the_page_loads_nothing(content):
    page = Page(search_page(content))
    assert not [attributes for _, attributes in page.elements if {"src", "href"} & set(attributes)]
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy and "unsafe-eval" not in policy


def test_the_script_finds_what_it_looks_for(content):
    page = Page(search_page(content))
    script = page.scripts[-1]
    wanted = set(re.findall(r'(?:\$|read|controlled)\("([a-z-]+)"', script))
    assert wanted == {"front", "front-choices", "lines", "lines-colour", "lines-front", "lines-chosen"}
    assert wanted | {"front-x", "front-y", "front-colour"} <= page.ids


def test_the_choices_are_those_of_the_data(content):
    page = Page(search_page(content))
    data = [json.loads(text) for text in page.scripts if text.startswith("{")]
    choices = next(value for value in data if "edges" in value)
    lines = next(value for value in data if set(value) == {"axes", "trials", "alt"})
    values = [attributes["value"] for attributes in page.all("option")]
    assert all(values.count(key) == 3 for key in choices["axes"])
    assert {str(index) for index in range(len(lines["axes"]))} <= set(values)
    chosen = [attributes["value"] for attributes in page.all("option") if "selected" in attributes]
    assert chosen == [choices["x"], choices["y"], "", "0"]


def test_a_running_search_says_so_and_loads_itself_again(content):
    assert 'http-equiv="refresh"' not in search_page(content)
    content["running"] = True
    page = search_page(content)
    assert '<meta http-equiv="refresh" content="30">' in page and "Still running" in page


def test_large(make):
    page = search_page(make(trials=500))
    assert len(page.encode()) < 6_000_000
    assert "plotly.js" in page[:2_000_000]


def test_the_classes_and_the_front_are_in_the_text_of_all_trials(content):
    words = "".join(Page(search_page(content)).text)
    assert "trial,class,exact_match,num_parameters" in words
    assert words.count("\n0,baseline,") == 1


def without(content, *keys):
    return {key: value for key, value in content.items() if key not in keys}


def test_every_part_may_be_missing(content):
    for key in content:
        Page(search_page(without(content, key)))
        search_summary(without(content, key))
    small = {key: content[key] for key in ("metrics", "trials")}
    assert "<h2>The front</h2>" in search_page(small)


def test_no_trials_is_a_page_without_scripts():
    page = search_page({})
    assert "No trial has ended yet" in page and "<script" not in page


def test_all_failed_has_no_empty_figures(content, classify):
    failed = [trial for trial in content["trials"] if trial["state"] == "failed"]
    page = search_page(
        classify(without(content, "importance", "curves", "slices") | {"trials": failed, "confirmed": []})
    )
    assert re.findall("<h2>(.*?)</h2>", page) == ["What failed and why", "The data", "Facts", "All trials"]
    assert 'class="plot"' not in page


def test_a_single_finished_trial(make):
    content = make(trials=1)
    page = search_page(without(content, "importance"))
    assert "So far only the baseline has finished" in page and "<h2>The front</h2>" in page


def poisoned(value):
    """The same content with the texts replaced that users write; names of metrics and classes stay."""
    kept = {"name", "class", "direction", "role", "kind", "state", "parameter", "inert"}
    if isinstance(value, dict):
        return {key: item if key in kept else poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return BAD if isinstance(value, str) else value


def test_every_text_is_escaped_everywhere(content):
    dirty = poisoned(content)
    dirty["facts"] = {BAD: BAD}
    dirty["slices"] = {0: {BAD: {BAD: {"count": 3, "exact_match": 50.0}}}}
    dirty["parameters"][0]["name"] = dirty["metrics"][2]["name"] = BAD
    dirty["inert"] = [BAD]
    for trial in dirty["trials"]:
        trial["params"][BAD] = BAD
        if trial["metrics"]:
            trial["metrics"][BAD] = 1.0
    page = Page(search_page(dirty))
    assert page.all("img") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert BAD in "".join(page.text)
    assert "<script" not in search_summary(dirty)


def holed(value, rng):
    """The content with about one value in eight replaced by None or NaN, at every depth."""
    if rng.random() < 0.12:
        return rng.choice([None, float("nan")])
    if isinstance(value, dict):
        kept = {"name", "number", "kind"}
        return {key: item if key in kept else holed(item, rng) for key, item in value.items()}
    return [holed(item, rng) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(12))
def test_missing_values_are_survived_and_never_shown(content, seed):
    rng = random.Random(seed)
    broken = {key: holed(copy.deepcopy(item), rng) for key, item in content.items()}
    page = Page(search_page(broken))
    words = " ".join(page.text)
    for shown in (words, search_summary(broken)):
        assert not re.search(r"\bNone\b|\bnan\b|\binf\b", shown.replace("became nan", ""))


def test_dark_and_narrow_are_thought_of(content):
    style = search_page(content).split("</style>")[0]
    assert "prefers-color-scheme: dark" in style and style.count("max-width: 640px") == 2
