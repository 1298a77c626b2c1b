import numpy as np
import pytest

from stages import tiny
from subarch.errors import ConfigError
from subarch.tasks.base import Examples
from subarch.tasks.windows import encode_windows

FAMILIES = ("bert", "roberta", "modernbert")


def questions(count=12, seed=0):
    """Questions on contexts of 0 to 60 words, of which each has its answer somewhere; some have none."""
    rng = np.random.default_rng(seed)
    words = [*tiny.GOOD, *tiny.BAD, "naïve", "x-ray", "1,905", "…"]
    texts, contexts, answers, starts = [], [], [], []
    for number in range(count):
        context = "  ".join(str(word) for word in rng.choice(words, size=int(rng.integers(1, 60)))) + " ."
        answer = str(rng.choice(context.split()[:-1]))
        texts.append(" ".join(str(word) for word in rng.choice(tiny.PLAIN, size=int(rng.integers(1, 5)))))
        shared = number % 3 == 1
        contexts.append(contexts[-1] if shared else context)
        answers.append([answer] if number % 4 and not shared else [])
        # the place of a whole word
        starts.append([f" {context} ".index(f" {answer} ")] if answers[-1] else [])
    return Examples(texts, contexts, columns={"answers": answers, "answer_starts": starts})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("max_length", "stride"), [(48, 10), (30, 0), (300, 128)])
def test_the_windows_are_those_of_the_tokenizer(family, max_length, stride):
    tokenizer, examples = tiny.tokenizer_of(family), questions()
    windows = encode_windows(tokenizer, examples, max_length=max_length, stride=stride)
    whole = tokenizer(
        examples.texts,
        examples.pairs,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    encoded = windows.encoded
    assert windows.example.tolist() == whole["overflow_to_sample_mapping"]
    assert encoded.lengths.tolist() == [len(row) for row in whole["input_ids"]]
    assert encoded.input_ids.tolist() == [token for row in whole["input_ids"] for token in row]
    if encoded.token_type_ids is not None:
        assert encoded.token_type_ids.tolist() == [kind for row in whole["token_type_ids"] for kind in row]
    sides = [side for number in range(len(windows)) for side in whole.sequence_ids(number)]
    spans = [span for row in whole["offset_mapping"] for span in row]
    expected = [span if side == 1 else (-1, -1) for span, side in zip(spans, sides, strict=True)]
    assert list(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_point_at_the_answer_in_every_window_that_holds_it(family):
    examples = questions(40, seed=1)
    windows = encode_windows(tiny.tokenizer_of(family), examples, max_length=40, stride=12)
    whole = encode_windows(tiny.tokenizer_of(family), examples, max_length=2000, stride=12)
    pointed, elsewhere = set(), 0
    for number, (first, last) in enumerate(windows.encoded.labels):
        example, offset = windows.example[number], windows.encoded.offsets[number]
        answers = examples.columns["answers"][example]
        if first == windows.cls_index:
            assert last == windows.cls_index
            elsewhere += 1
            continue
        begin, end = windows.starts[offset + first], windows.ends[offset + last]
        assert begin <= examples.columns["answer_starts"][example][0]
        assert answers[0] in examples.pairs[example][begin:end]
        # No more than the tokens that the answer touches.
        assert len(examples.pairs[example][begin:end]) <= len(answers[0]) + 3
        pointed.add(int(example))
    assert elsewhere
    assert pointed == {int(row) for row in np.flatnonzero(whole.encoded.labels[:, 0] != whole.cls_index)}
    assert pointed == {row for row, answers in enumerate(examples.columns["answers"]) if answers}


def test_without_answers_there_are_no_labels():
    examples = Examples(["who?"], ["the actor was superb"])
    assert encode_windows(tiny.wordpiece(), examples, max_length=40, stride=4).encoded.labels is None


def test_an_answer_without_a_place_counts_as_none():
    examples = Examples(["who?"], ["the actor"], columns={"answers": [["nobody"]], "answer_starts": [[-1]]})
    windows = encode_windows(tiny.wordpiece(), examples, max_length=40, stride=4)
    assert windows.encoded.labels.tolist() == [[0, 0]]


def test_a_question_too_long_for_half_of_the_window_is_cut():
    examples = Examples(["superb " * 50, "why"], ["the actor was superb " * 9] * 2)
    windows = encode_windows(tiny.wordpiece(), examples, max_length=43, stride=5)
    assert windows.encoded.truncated == 1
    assert windows.encoded.lengths.max() == 43
    seen = windows.ends[windows.ends >= 0]
    assert seen.max() == len(examples.pairs[0].rstrip())


def test_no_room_for_a_window():
    with pytest.raises(ConfigError, match="max_length 20 with stride 10, expected at least 25"):
        encode_windows(tiny.wordpiece(), questions(), max_length=20, stride=10)
