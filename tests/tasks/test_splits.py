import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.tasks.base import Examples
from subarch.tasks.splits import balanced, carve, carve_groups, validation_size, without


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
