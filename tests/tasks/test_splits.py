import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.tasks import families
from subarch.tasks.base import Examples, key_hash
from subarch.tasks.containment import RUN, Containment
from subarch.tasks.families import Relations
from subarch.tasks.splits import balanced, carve, carve_groups, carve_parts, validation_size, without
from subarch.tasks.wording import words


@pytest.mark.parametrize(
    ("rows", "size"),
    [(67349, 1000), (8551, 855), (2490, 249), (635, 200), (300, 100), (90, 30), (20_000, 1000)],
)
def test_validation_size(rows, size):
    assert validation_size(rows) == size


def labelled(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return Examples([f"text {i}" for i in range(len(labels))], None, labels)


def test_carve_is_stratified_exact_and_complete():
    rest, part = carve(labelled([700, 200, 100]), 100, kind="classification", seed=0)
    assert np.bincount(part.labels).tolist() == [70, 20, 10]
    assert sorted(rest.texts + part.texts) == sorted(labelled([700, 200, 100]).texts)


def test_carve_is_the_seed_and_nothing_else():
    whole = labelled([50, 50])
    first, again, other = (carve(whole, 20, kind="classification", seed=seed)[1].texts for seed in (1, 1, 2))
    assert first == again != other


def test_carve_gives_a_rare_class_to_both_sides():
    rest, part = carve(labelled([198, 2]), 10, kind="classification", seed=0)
    assert 1 in part.labels
    assert 1 in rest.labels


def test_carve_leaves_the_only_example_of_a_class_to_train():
    rest, part = carve(labelled([99, 1]), 10, kind="classification", seed=0)
    assert 1 in rest.labels
    assert 1 not in part.labels


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=10, max_size=60), st.integers(0, 3))
def test_a_text_never_straddles(numbers, seed):
    whole = Examples([f"Text {n}" if n % 2 else f"text  {n}" for n in numbers], None, np.array(numbers) % 2)
    rest, part = carve(whole, 5, kind="classification", seed=seed)
    assert not set(rest.text_keys()) & set(part.text_keys())
    assert len(rest) + len(part) == len(whole)
    assert len(part) <= 5


def test_carve_keeps_texts_of_another_split_in_the_rest():
    whole = labelled([20, 20])
    keep = set(whole.take(np.arange(15)).text_keys())
    rest, part = carve(whole, 10, kind="classification", seed=0, keep=keep)
    assert len(part) == 10
    assert keep <= set(rest.text_keys())


def test_carve_stratifies_scores_by_quantile():
    scores = np.random.default_rng(0).exponential(size=1000).astype(np.float32)
    rest, part = carve(Examples([str(i) for i in range(1000)], None, scores), 100, kind="regression", seed=0)
    edges = np.quantile(scores, [0.1, 0.5, 0.9])
    assert np.allclose((part.labels[:, None] <= edges).mean(0), [0.1, 0.5, 0.9], atol=0.011)
    assert len(rest) == 900


def phrases(count, seed=0):
    """Sentences of ten words of their own, each with six of its phrases, which have labels of their own."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for sentence in range(count):
        found = [f"s{sentence}w{word}" for word in range(10)]
        for start, length in [(0, 10), (0, 7), (1, 5), (2, 4), (6, 4), (5, 5), (8, 2)]:
            texts.append(" ".join(found[start : start + length]))
            labels.append(int(rng.integers(0, 2)))
    return Examples(texts, None, np.array(labels))


def stand_inside(inner, outer):
    """Texts of `RUN` words or more that stand whole inside a text of the others."""
    padded = [f" {' '.join(words(text))} " for text in outer]
    long = [f" {' '.join(words(text))} " for text in inner if len(words(text)) >= RUN]
    return [text for text in long if any(text in other for other in padded)]


def test_phrases_of_a_sentence_stay_on_one_side():
    whole = phrases(100)
    notes = []
    rest, part = carve(whole, 70, kind="classification", seed=0, notes=notes)
    assert not stand_inside(part.texts, rest.texts)
    assert not stand_inside(rest.texts, part.texts)
    assert 63 <= len(part) <= 70
    assert abs(part.labels.mean() - whole.labels.mean()) < 0.05
    assert not {text.split("w")[0] for text in part.texts} & {text.split("w")[0] for text in rest.texts}
    assert notes == ["700 rows contain one another or share a text: such rows stay on one side of the split"]


def test_families_are_drawn_by_the_seed():
    first, again, other = (carve(phrases(50), 35, kind="classification", seed=seed)[1].texts for seed in (1, 1, 2))
    assert first == again != other


def test_a_short_phrase_joins_nothing():
    texts = [*(f"the movie number {number} is one of many" for number in range(90)), *["the movie", "of many"] * 5]
    whole = Examples(texts, None, np.arange(100) % 2)
    notes = []
    _, part = carve(whole, 20, kind="classification", seed=0, notes=notes)
    assert len(part) == 20
    assert not notes


def test_a_phrase_of_too_many_texts_joins_none_of_them_and_stays_in_the_rest():
    texts = [f"it is one of the best films of {year}" for year in range(1900, 1990)]
    whole = Examples([*texts, "one of the best films", "One of the best films of"], None, np.arange(92) % 2)
    for seed in range(10):
        notes = []
        rest, part = carve(whole, 20, kind="classification", seed=seed, notes=notes)
        assert len(part) == 20
        assert {"one of the best films", "One of the best films of"} <= set(rest.texts)
        assert len(notes) <= 1


def test_a_family_larger_than_the_part_stays_in_the_rest():
    sentence = " ".join(f"w{number}" for number in range(40))
    inside = [" ".join(sentence.split()[start : start + 5]) for start in range(36)]
    whole = Examples([sentence, *inside, *(f"other text {n}" for n in range(100))], None, np.arange(137) % 2)
    rest, part = carve(whole, 20, kind="classification", seed=0)
    assert {sentence, *inside} <= set(rest.texts)
    assert len(part) == 20


def test_a_label_that_only_large_families_have_is_in_both_sides():
    texts = [f"rare thing {family} of some kind" for family in range(4)] * 3 + [f"text {n}" for n in range(300)]
    whole = Examples(texts, None, np.array([1] * 12 + [0] * 300))
    rest, part = carve(whole, 30, kind="classification", seed=0)
    assert 1 in part.labels and 1 in rest.labels
    assert len(part) <= 30


def test_pairs_that_share_a_text_stay_on_one_side():
    passages = [f"passage {number} says a number of things" for number in range(40)]
    whole = Examples(
        [f"What is it that question {number} asks?" for number in range(200)],
        [passages[number % 40] for number in range(200)],
        np.arange(200) % 2,
    )
    rest, part = carve(whole, 40, kind="classification", seed=0)
    assert len(part) == 40
    assert not set(rest.pairs) & set(part.pairs)


def test_a_text_that_every_pair_has_relates_none():
    whole = Examples(
        [f"premise number {number} is like this" for number in range(100)],
        ["This text is about sports."] * 50 + ["This text is about money."] * 50,
        np.arange(100) % 2,
    )
    premises = [f"premise number {number} is like this" for number in range(10)]
    whole = whole.joined(Examples(premises, ["An odd hypothesis about this."] * 10, np.arange(10) % 2))
    notes = []
    rest, part = carve(whole, 20, kind="classification", seed=0, notes=notes)
    assert np.bincount(part.labels).tolist() == [10, 10]
    assert not set(rest.texts) & set(part.texts)
    assert len(notes) == 1 and notes[0].startswith("20 rows contain one another or share a text: such rows stay on")
    assert "; texts that relate more than 16 rows were not kept together" in notes[0]


def test_a_part_does_not_come_out_of_the_few_rows_that_nothing_relates():
    hypotheses = ["This text is about sports."] * 75 + [f"This text is about topic {number}." for number in range(25)]
    whole = Examples([f"premise number {number} is like this" for number in range(100)], hypotheses, np.arange(100) % 2)
    _, part = carve(whole, 20, kind="classification", seed=0)
    assert 10 <= part.pairs.count("This text is about sports.") < 20


def test_a_part_that_families_do_not_fill_parts_the_largest():
    passages = [f"passage {number // 15} says a number of things" for number in range(60)]
    whole = Examples([f"What does question {number} ask?" for number in range(60)], passages, np.arange(60) % 2)
    notes = []
    _, part = carve(whole, 20, kind="classification", seed=0, notes=notes)
    assert len(part) == 20
    assert notes == ["texts that relate more than 8 rows were not kept together, since too few rows would be left"]


def test_a_short_phrase_of_two_sentences_goes_with_neither():
    sentences = ["a film of quiet power tonight", "a play of quiet power tomorrow", "all about great beauty here"]
    whole = Examples([*sentences, "quiet power", "great beauty"], None, np.arange(5) % 2)
    family = Relations(whole, ()).families(np.inf).family
    assert len(set(family[:4])) == 4
    assert family[4] == family[2]


def test_what_is_related_to_a_kept_text_stays_in_the_rest():
    whole = phrases(30)
    keep = {key for number in range(10) for key in whole.take(np.array([7 * number + 1])).text_keys()}
    _, part = carve(whole, 20, kind="classification", seed=0, keep=keep)
    assert len(part) == 14
    assert not {text.split("w")[0] for text in part.texts} & {f"s{number}" for number in range(10)}
    other = {("before s20w0 s20w1 s20w2 s20w3 s20w4 s20w5 s20w6 s20w7 s20w8 s20w9 after", "")}
    for seed in range(20):
        _, part = carve(whole, 20, kind="classification", seed=seed, keep=other)
        assert not any(text.startswith("s20w") for text in part.texts)


def test_where_everything_is_related_only_copies_stay_together():
    texts = [" ".join(f"w{word}" for word in range(number, number + 12)) for number in range(60)]
    longer = [" ".join(f"w{word}" for word in range(number, number + 18)) for number in range(60)]
    whole = Examples(texts + longer, None, np.arange(120) % 2)
    notes = []
    rest, part = carve(whole, 12, kind="classification", seed=0, notes=notes)
    assert len(part) >= 11
    assert len(rest) + len(part) == 120
    assert notes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), min_size=12, max_size=60),
    st.integers(1, 12),
    st.integers(0, 3),
    st.integers(2, 4),
)
def test_a_carved_part_keeps_its_promises(texts, size, seed, classes):
    labels = np.array([sum(text) % classes for text in texts])
    whole = Examples([" ".join(f"w{word}" for word in text) for text in texts], None, labels)
    notes = []
    rest, part = carve(whole, size, kind="classification", seed=seed, notes=notes)
    assert sorted(rest.texts + part.texts) == sorted(whole.texts)
    assert len(part) <= size
    assert set(rest.labels) == set(labels)
    assert not set(rest.text_keys()) & set(part.text_keys())
    if not any("only copies" in note for note in notes):
        assert not stand_inside(part.texts, rest.texts)


def test_blocks_inside_other_blocks_stay_together():
    passages = [f"passage {number} tells a story of some length" for number in range(20)]
    texts = [*passages, *(f"Before: {passage}. And after" for passage in passages)]
    rest, part = carve_groups(Examples(texts), 10, seed=0)
    assert len(part) == 10
    assert not stand_inside(part.texts, rest.texts) and not stand_inside(rest.texts, part.texts)


def test_without_removes_every_copy():
    left = without(Examples(["a", "B", "b ", "c"]), {("b", "")})
    assert left.texts == ["a", "c"]


def grouped(passages, questions, answers):
    """Rows of `answers` to each of `questions` on each of `passages`, the first answer right."""
    rows = [(p, q, a) for p in range(passages) for q in range(questions) for a in range(answers)]
    return Examples(
        [f"passage {p}" for p, _, _ in rows],
        [f"{q} {a}" for _, q, a in rows],
        np.array([int(a == 0) for *_, a in rows]),
        np.array([p * questions + q for p, q, _ in rows]),
    )


@given(st.integers(2, 20), st.integers(1, 4), st.integers(1, 30), st.integers(0, 5))
@settings(deadline=None)
def test_carved_groups_stay_with_their_passage(passages, questions, size, seed):
    whole = grouped(passages, questions, 3)
    rest, part = carve_groups(whole, size, seed=seed)
    assert len(rest) + len(part) == len(whole)
    assert len(rest) and len(part)
    assert not set(rest.texts) & set(part.texts)
    assert len(np.unique(part.groups)) <= max(size, questions)
    assert carve_groups(whole, size, seed=seed)[1].texts == part.texts


def test_rows_without_groups_are_questions_and_blocks_may_be_given():
    whole = Examples([str(number) for number in range(30)])
    rest, part = carve_groups(whole, 9, seed=0, blocks=[number // 3 for number in range(30)])
    assert len(part) == 9
    assert {int(text) // 3 for text in part.texts}.isdisjoint(int(text) // 3 for text in rest.texts)


def test_a_group_joins_the_blocks_of_its_rows():
    whole = Examples(list("abcdef"), groups=np.array([0, 0, 1, 1, 2, 3]))
    blocks = ["x", "y", "y", "z", "u", "v"]
    rest, part = carve_groups(whole, 1, seed=3, blocks=blocks)
    assert part.texts in (["e"], ["f"])
    assert "".join(rest.texts).startswith("abcd")


def test_balanced_drops_the_surplus_of_wrong_rows():
    whole = grouped(5, 2, 4)
    fewer = balanced(whole, seed=1)
    assert np.bincount(fewer.labels).tolist() == [10, 10]
    assert (np.diff(fewer.groups) >= 0).all()
    assert balanced(fewer, seed=1) is fewer
    assert balanced(whole, seed=1).pairs == fewer.pairs != balanced(whole, seed=2).pairs


def test_without_takes_whole_groups():
    whole = grouped(2, 2, 3)
    assert without(whole, {("passage 0", "1 2")}).groups.tolist() == [0] * 3 + [2] * 3 + [3] * 3


@pytest.mark.parametrize("seed", range(3))
def test_parts_that_are_carved_together_are_those_that_are_carved_one_by_one(seed):
    whole = phrases(30)
    keep = set(whole.take(np.arange(0, 40, 9)).text_keys())
    rest, parts = carve_parts(whole, 20, kind="classification", seeds=[seed, seed + 1], keep=keep)
    once, first = carve(whole, 20, kind="classification", seed=seed, keep=keep)
    twice, second = carve(once, 20, kind="classification", seed=seed + 1, keep=keep | set(first.text_keys()))
    assert [rest.texts, *(part.texts for part, _ in parts)] == [twice.texts, first.texts, second.texts]


def test_thousands_of_classes_are_carved_in_a_moment():
    labels = np.arange(20_000) % 5_000
    whole = Examples([f"text{number}" for number in range(20_000)], None, labels)
    started = time.process_time()
    rest, part = carve(whole, 5_000, kind="classification", seed=0)
    assert time.process_time() - started < 3
    assert np.bincount(part.labels).tolist() == [1] * 5_000
    assert np.bincount(rest.labels).tolist() == [3] * 5_000


def test_every_class_gets_a_row_where_they_fit():
    labels = np.array([0] * 90 + [1, 1, 2, 2, 3, 3])
    whole = Examples([f"text{number}" for number in range(len(labels))], None, labels)
    _, part = carve(whole, 10, kind="classification", seed=0)
    assert np.bincount(part.labels).tolist() == [7, 1, 1, 1]


def plainly_contained(columns, *, short=False):
    """`find_contained` as its rule says it, text by text."""
    rows = [[" ".join(words(text)) for text in column] for column in columns]
    lines = list(dict.fromkeys(line for column in rows for line in column))
    longs = {line: number for number, line in enumerate(line for line in lines if line.count(" ") >= RUN - 1)}
    shorts = {line: number for number, line in enumerate(line for line in lines if line not in longs)}
    texts = [np.array([longs.get(line, ~shorts.get(line, 0)) for line in column], dtype=np.int64) for column in rows]
    inside = [(longs[a], longs[b]) for a in longs for b in longs if a != b and f" {a} " in f" {b} "]
    few = [(shorts[a], longs[b]) for a in shorts for b in longs if a and f" {a} " in f" {b} "] if short else []
    pairs, around = (np.array(found, dtype=np.int64).reshape(-1, 2).T for found in (inside, few))
    return Containment(texts, len(longs), pairs[0], pairs[1], 0, True, (around[0], around[1]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("paired", [False, True])
def test_rows_are_assigned_as_the_rule_says_it(seed, paired, monkeypatch):
    rng = np.random.default_rng(seed)

    def drawn():
        text = " ".join(rng.choice(list("abcdefghijklmnop"), rng.integers(1, 9)))
        return text.upper() + ("!" if rng.random() < 0.2 else " é" if rng.random() < 0.1 else "")

    texts = [drawn() for _ in range(120)]
    pairs = [texts[row] if rng.random() < 0.1 else drawn() for row in range(120)] if paired else None
    examples = Examples(texts, pairs, rng.integers(0, 2, 120))
    keep = set(examples.text_keys()[:3]) | {("a b c d e", "a" if paired else "")}
    ours = carve_parts(examples, 12, kind="classification", seeds=[seed, seed + 1], keep=keep)
    monkeypatch.setattr(families, "find_contained", plainly_contained)
    assert str(carve_parts(examples, 12, kind="classification", seeds=[seed, seed + 1], keep=keep)) == str(ours)


def test_hashes_of_keys_go_along_with_the_rows():
    examples = Examples(["A  b", "a B", "c", "a b\udc80"], ["x", "X ", "", "y"])
    hashes = examples.key_hashes
    assert hashes[0] == hashes[1] and len(set(hashes.tolist())) == 3
    assert hashes.tolist() == [key_hash(key) for key in examples.each_key()]
    taken = examples.take(np.array([3, 0]))
    assert taken.__dict__["key_hashes"].tolist() == Examples(taken.texts, taken.pairs).key_hashes.tolist()
