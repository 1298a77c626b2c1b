import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.tasks.base import Examples
from subarch.tasks.splits import carve, validation_size, without


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
