import numpy as np
import pytest

from subarch.tasks import cuts, trimming
from subarch.tasks.base import Examples
from subarch.tasks.cuts import as_read, measure_cut
from subarch.tasks.encode import encode
from tasks.test_encode import row, tokenizer

SHORT, LONG = "a b c", " ".join("abcdefgh" * 5)


def test_what_is_cut_is_counted_and_a_length_is_suggested():
    examples = Examples([SHORT] * 30 + [LONG] * 10)  # 5 and 42 tokens, with those at both ends
    cut = measure_cut(tokenizer(), examples, 20, longest=512)
    assert (cut.max_length, cut.share, cut.tokens) == (20, 0.25, 10 * 22)
    assert cut.token_share == pytest.approx(220 / (30 * 5 + 10 * 42))
    assert (cut.suggested, cut.whole) == (48, 1.0)
    assert cut.text == (
        "25 % of the texts are longer than 20 tokens: 220 tokens, 39 % of all, are cut and never read; "
        "--set max_length=48 reads 100 % of them whole"
    )


def test_both_texts_of_a_pair_count():
    cut = measure_cut(tokenizer(), Examples([SHORT] * 4, [LONG, SHORT, SHORT, SHORT]), 20, longest=512)
    assert cut.share == 0.25 and cut.tokens == 3 + 40 + 3 - 20


def test_a_rare_long_text_is_no_reason_to_read_longer():
    cut = measure_cut(tokenizer(), Examples([SHORT] * 995 + [LONG] * 5), 20, longest=512)
    assert cut.share == 0.005 and cut.suggested is None
    assert "0.5 % of the texts" in cut.text and "max_length" not in cut.text


def test_a_model_that_reads_no_more_is_not_asked_to():
    cut = measure_cut(tokenizer(), Examples([LONG] * 3), 128, longest=24)
    assert cut.max_length == 24 and cut.suggested is None and "this model reads no more" in cut.text
    assert measure_cut(tokenizer(), Examples([LONG] * 3), 16, longest=24).suggested == 24


def test_where_nothing_is_cut_nothing_is_said():
    cut = measure_cut(tokenizer(), Examples([SHORT, ""]), 8, longest=512)
    assert (cut.share, cut.tokens, cut.suggested, cut.text) == (0.0, 0, None, "")


def test_few_and_short_parts_of_many_and_long_texts_are_tokenised(monkeypatch):
    monkeypatch.setattr(cuts, "ROWS", 50)
    monkeypatch.setattr(cuts, "LONGEST", 40)
    monkeypatch.setattr(cuts, "CHARACTERS", 800)
    seen = []

    class Counting:
        def __init__(self):
            self.inner = tokenizer()

        def __call__(self, texts, **options):
            seen.extend(texts)
            return self.inner(texts, **options)

        def num_special_tokens_to_add(self, pair):
            return self.inner.num_special_tokens_to_add(pair=pair)

    cut = measure_cut(Counting(), Examples([LONG * 1000] * 300), 64, longest=512)
    assert len(seen) == 20 and max(map(len, seen)) == 40
    assert cut.share == 1.0 and cut.tokens == pytest.approx(300 * 40_000, rel=0.05)
    assert cut.estimated and cut.text.startswith("about 100 % of the texts are longer than 64 tokens: about 1")
    assert not measure_cut(tokenizer(), Examples(["a b c"] * 20), 64, longest=512).estimated


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pairs", [None, [SHORT, "h g " * 30, "", LONG]])
def test_texts_are_cut_where_their_tokens_are(pairs, side):
    examples = Examples([LONG, SHORT, "b  a\n" * 30, ""], pairs, np.array([0, 1, 0, 1]))
    reader = tokenizer()
    reader.truncation_side = side
    read = as_read(reader, examples, 16)
    whole, cut = encode(reader, examples, 16), encode(reader, read, 1000)
    assert [row(cut, index) for index in range(4)] == [row(whole, index) for index in range(4)]
    assert read.texts[1] == SHORT and read.texts[3] == "" and read.labels is examples.labels
    assert all(part in text for part, text in zip(read.texts, examples.texts, strict=True))


def test_chunks_make_no_difference(monkeypatch):
    examples = Examples([" ".join("abcdefgh"[: 1 + i % 8]) for i in range(20)])
    whole = as_read(tokenizer(), examples, 6)
    monkeypatch.setattr(trimming, "ROWS", 3)
    assert as_read(tokenizer(), examples, 6) == whole


def test_answers_to_one_question_stay_in_order():
    examples = Examples([SHORT] * 60, [LONG] * 60, groups=np.repeat(np.arange(20), 3))
    assert measure_cut(tokenizer(), examples, 20, longest=512).share == 1.0
