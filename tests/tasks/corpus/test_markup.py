import time

import pytest

from subarch.tasks.corpus.markup import strip_markup


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("<p>One &amp; <b>two</b></p><p>three</p>", "One & two\n\nthree"),
        ("a<!-- b --> c <!-- d --> e", "a c e"),
        ("x<script type='a'>if (a < b) { }</script>y<style>p {}</style>z", "x y z"),
        ("1 < 2 and 3 > 2, a<b", "1 < 2 and 3 > 2, a<b"),
        ("''It'' is '''bold''' [[here]] and [[Some page|there]]s.", "It is bold here and theres."),
        ("{{Infobox|{{nested|a}}|b}}text{| class=x\n| cell\n|} more", "text more"),
        ("[[File:a.jpg|thumb|A [[linked]] caption]]After", "After"),
        ("== Heading ==\nbody\n=== Next ===", "Heading\nbody\nNext"),
        ("fact<ref name=a>{{cite}}</ref><ref name=b />.", "fact ."),
        ("see [https://example.org the page] or [https://example.org]", "see the page or"),
        ("* one\n** two\n# three", "one\ntwo\nthree"),
        ("[[Category:Things]]\n__NOTOC__\nend", "end"),
        ("plain words,\nkept as they are", "plain words,\nkept as they are"),
    ],
)
def test_prose_stays(marked, plain):
    assert strip_markup(marked) == plain


@pytest.mark.parametrize(
    "hostile", ["<!--", "<script>", "<ref>", "{{", "[[a|", "[http://a b ", "= ", "<a ", " ", "\n ", "'"]
)
def test_time_grows_with_the_text_and_not_faster(hostile):
    def seconds(count):
        started = time.process_time()
        strip_markup("x " + hostile * count + " y")
        return time.process_time() - started

    seconds(100)
    assert seconds(40_000) < 0.2 + 40 * seconds(4_000)
