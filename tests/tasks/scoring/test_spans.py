import numpy as np
import pytest

from stages import tiny
from subarch.tasks.base import Examples
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.spans import best_spans, n_best_spans, tune_threshold
from subarch.tasks.windows import encode_windows
from tasks.test_windows import questions


def listed(starts, ends, windows, examples, limits=(20, 30)):
    """Candidates (score, text) and the null score of each example, pair by pair as the `run_qa` example does it."""
    found = [[] for _ in range(len(examples))]
    null = [np.inf] * len(examples)
    for number, example in enumerate(windows.example.tolist()):
        low, high = windows.encoded.offsets[number], windows.encoded.offsets[number + 1]
        start, end = starts[low:high], ends[low:high]
        null[example] = min(null[example], float(start[0] + end[0]))
        firsts = np.argsort(start, kind="stable")[: -limits[0] - 1 : -1]
        lasts = np.argsort(end, kind="stable")[: -limits[0] - 1 : -1]
        for first in firsts.tolist():
            for last in lasts.tolist():
                begin, stop = windows.starts[low + first], windows.ends[low + last]
                if begin < 0 or windows.ends[low + last] < 0:
                    continue
                if last < first or last - first + 1 > limits[1] or begin == stop:
                    continue
                found[example].append((float(start[first] + end[last]), examples.pairs[example][begin:stop]))
    return [sorted(rows, key=lambda row: row[0], reverse=True) for rows in found], np.array(null)


def random_logits(windows, seed, step=None):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, len(windows.starts))).astype(np.float32) * 3
    return logits if step is None else (np.round(logits / step) * step).astype(np.float32)


@pytest.mark.parametrize("step", [None, 1.0, 4.0])
@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("limits", [(20, 30), (3, 4), (40, 2)])
def test_the_same_spans_as_the_plain_search(family, step, limits):
    examples = questions(30, seed=3)
    windows = encode_windows(tiny.tokenizer_of(family), examples, max_length=44, stride=9)
    for seed in range(5):
        logits = random_logits(windows, seed, step)
        expected, null = listed(*logits, windows, examples, limits)
        options = {"n_best": limits[0], "max_answer_tokens": limits[1]}
        found = best_spans(*logits, windows, examples, **options)
        lists = n_best_spans(*logits, windows, examples, **options)
        for row, candidates in enumerate(expected):
            if not candidates:
                continue
            assert found.texts[row] == candidates[0][1]
            assert found.no_answer[row] == pytest.approx(null[row] - candidates[0][0], abs=1e-5)
            scores = [span.start_logit + span.end_logit for span in lists[row]]
            assert scores == pytest.approx([score for score, _ in candidates[: limits[0]]])
            assert [span.text for span in lists[row]] == [text for _, text in candidates[: limits[0]]]
            weights = np.exp(np.array(scores) - scores[0])
            assert [span.probability for span in lists[row]] == pytest.approx(list(weights / weights.sum()), rel=1e-4)


def test_every_question_gets_an_answer_where_the_best_tokens_are_all_in_the_question():
    examples = Examples(["superb funny"], ["the actor was superb"])
    windows = encode_windows(tiny.wordpiece(), examples, max_length=40, stride=4)
    starts = np.where(windows.starts < 0, 9.0, windows.starts).astype(np.float32)
    ends = np.where(windows.starts < 0, 9.0, -windows.starts).astype(np.float32)
    assert listed(starts, ends, windows, examples, (2, 30))[0] == [[]]
    found = best_spans(starts, ends, windows, examples, n_best=2, max_answer_tokens=1)
    # In the context the scores of start and end cancel out, and "no answer" has 9 + 9.
    assert found.texts[0] in ("the", "actor", "was", "superb")
    assert found.no_answer.tolist() == [18.0]
    assert [[span.text for span in spans] for spans in n_best_spans(starts, ends, windows, examples, n_best=2)] != [[]]


def test_a_context_without_tokens_has_no_answer():
    examples = Examples(["who?", "who?"], ["\u200b", "superb"])
    windows = encode_windows(tiny.wordpiece(), examples, max_length=40, stride=4)
    found = best_spans(*random_logits(windows, 0), windows, examples)
    assert found.texts == ["", "superb"]
    assert found.no_answer[0] == np.inf


def test_the_threshold_is_the_one_with_the_best_f1():
    rng = np.random.default_rng(0)
    examples = Examples(["q"] * 40, ["c"] * 40, columns={"answers": [["c"] if row % 2 else [] for row in range(40)]})
    no_answer = rng.normal(size=40) - np.arange(40) % 2
    predictions = Predictions(texts=["c"] * 40, no_answer=no_answer)

    def f1(threshold):
        texts = ["" if value > threshold else "c" for value in no_answer]
        return exact_and_f1(texts, examples.columns["answers"])[1].mean()

    assert f1(tune_threshold(predictions, examples)) == max(f1(value) for value in np.linspace(-5, 5, 2001))


def test_where_all_is_answerable_all_is_answered():
    examples = Examples(["q"], ["c"], columns={"answers": [["c"]]})
    assert tune_threshold(Predictions(texts=["x"], no_answer=np.array([5.0])), examples) == np.inf
