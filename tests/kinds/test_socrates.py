import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from subarch.kinds.registry import KINDS
from subarch.tasks.base import Examples
from subarch.training.socrates import GRADES, asked, balanced, graded

quick = settings(deadline=None, derandomize=True)


def rows(labels, groups=None):
    return Examples(
        ["text"] * len(labels), None, np.asarray(labels), None if groups is None else np.asarray(groups, np.int64)
    )


def test_classes_are_answered_with_their_probability():
    found = KINDS["classification"].said(np.log([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).astype(np.float32) + 7, None)
    assert found.labels.tolist() == [1, 2] and found.labels.dtype == np.int64
    assert found.confidence == pytest.approx([0.5, 0.8], abs=1e-6)


def test_large_logits_do_not_overflow():
    found = KINDS["classification"].said(np.array([[5000.0, -5000.0]], dtype=np.float32), None)
    assert found.labels.tolist() == [0] and found.confidence.tolist() == [1.0]


def test_of_a_group_one_row_is_chosen_with_the_probability_among_its_rows():
    groups = np.array([3, 3, 5, 5, 5, 8])
    outputs = np.array([[0.0], [np.log(3.0)], [1.0], [1.0], [0.5], [-9.0]], dtype=np.float32)
    found = KINDS["choice"].said(outputs, groups)
    assert found.labels.tolist() == [0, 1, 1, 0, 0, 1]  # of equal ones the first
    even = 1 / (2 + np.exp(-0.5))
    assert found.confidence == pytest.approx([0.75, 0.75, even, even, even, 1.0], abs=1e-6)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes), arrays.arrays(np.float32, (sum(sizes), 1), elements=st.floats(-50, 50, width=32))
        )
    )
)
@quick
def test_every_group_gets_one_answer_at_least_as_sure_as_by_chance(given):
    sizes, outputs = given
    groups = np.repeat(np.arange(len(sizes)), sizes)
    found = KINDS["choice"].said(outputs, groups)
    assert np.bincount(groups, found.labels).tolist() == [1] * len(sizes)
    weights = np.exp(outputs[:, 0].astype(np.float64))
    shares = weights / np.bincount(groups, weights)[groups]
    assert found.confidence == pytest.approx(
        np.maximum.reduceat(shares, np.searchsorted(groups, range(len(sizes))))[groups]
    )
    assert (found.confidence >= 1 / np.asarray(sizes)[groups] - 1e-9).all()


@given(arrays.arrays(np.float32, (7, 3), elements=st.floats(-30, 30, width=32)))
@quick
def test_the_probabilities_of_the_classes_sum_to_one(outputs):
    found = KINDS["classification"].said(outputs, None).confidence
    shifted = [KINDS["classification"].said(np.roll(outputs, turn, axis=1), None).confidence for turn in (1, 2)]
    assert all(each == pytest.approx(found) for each in shifted)  # whichever class it is
    weights = np.exp(outputs.astype(np.float64))
    assert found == pytest.approx(weights.max(1) / weights.sum(1))
    assert ((found >= 1 / 3 - 1e-9) & (found <= 1)).all()


def test_a_number_is_its_own_answer():
    found = KINDS["regression"].said(np.array([[1.5], [-2.0]], dtype=np.float32), None)
    assert found.labels.tolist() == [1.5, -2.0] and found.labels.dtype == np.float32
    assert found.confidence.tolist() == [1.0, 1.0]


def test_wrong_classes():
    assert KINDS["classification"].wrong(np.array([0, 1, 2]), rows([0, 2, 2])).tolist() == [False, True, False]


def test_a_wrong_choice_is_a_wrong_group():
    examples = rows([1, 0, 0, 1, 0], [0, 0, 1, 1, 1])
    found = KINDS["choice"].said(np.array([[2.0], [1.0], [3.0], [1.0], [0.0]]), examples.groups)
    assert KINDS["choice"].wrong(found.labels, examples).tolist() == [False, False, True, True, True]


def test_a_question_with_several_right_rows_needs_one_of_them():
    examples = rows([1, 1, 0, 1, 1, 0], [4, 4, 4, 7, 7, 7])
    found = KINDS["choice"].said(np.array([[0.0], [1.0], [0.0], [0.0], [0.0], [1.0]]), examples.groups)
    assert KINDS["choice"].wrong(found.labels, examples).tolist() == [False] * 3 + [True] * 3


def test_numbers_of_stsb_are_rounded_to_fifths_as_in_t5():
    labels = np.array([0.0, 5.0, 3.4, 3.4, 3.4, 3.4, 2.0], dtype=np.float32)
    found = np.array([0.09, 4.91, 3.31, 3.49, 3.29, 3.51, 2.0], dtype=np.float32)
    wrong = KINDS["regression"].wrong(found, rows(labels))
    assert wrong.tolist() == [False, False, False, False, True, True, False]
    # To whole numbers 2.55 and 3.4 would round alike.
    assert KINDS["regression"].wrong(np.array([2.55]), rows([3.4]), labels).tolist() == [True]


def test_every_step_of_the_scale_is_its_own_grade():
    scale = np.arange(0, 26) / 5
    for values in (scale, scale.astype(np.float32), 100 - 30 * scale):
        assert set(graded(values, values).tolist()) == set(range(GRADES + 1))


def test_what_lies_outside_the_scale_counts_as_its_end():
    assert graded(np.array([-3.0, 0.0, 5.0, 7.0]), np.array([0.0, 5.0])).tolist() == [0, 0, GRADES, GRADES]


def test_a_scale_is_given_or_that_of_the_labels():
    assert graded(np.array([10.0, 11.9, 12.1, 60.0]), np.array([10.0, 60.0])).tolist() == [0, 1, 1, GRADES]
    assert graded(np.array([3.0, 3.4, 4.0]), np.array([3.0, 3.0])).tolist() == [0, 0, 1]  # all labels are the same
    part, whole = rows([2.0, 2.5]), np.array([0.0, 5.0])
    assert KINDS["regression"].wrong(np.array([2.05, 2.5]), part).tolist() == [True, False]
    assert KINDS["regression"].wrong(np.array([2.05, 2.5]), part, whole).tolist() == [False, False]


def test_what_is_asked_are_rows_or_groups():
    assert asked(rows([0, 1, 1])) == 3
    assert asked(rows([0, 1, 1], [2, 2, 9])) == 2
    assert asked(rows([])) == asked(rows([], [])) == 0


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 9), st.none() | st.integers(0, 9))
@quick
def test_balance(labels, seed, most):
    labels = np.asarray(labels, dtype=np.int64)
    kept = balanced(labels, 4, np.random.default_rng(seed), most)
    rarest = np.bincount(labels, minlength=4).min()
    assert np.bincount(labels[kept], minlength=4).tolist() == [rarest if most is None else min(rarest, most)] * 4
    assert (np.diff(kept) > 0).all()
    assert kept.tolist() == balanced(labels, 4, np.random.default_rng(seed), most).tolist()


def test_what_balance_discards_is_drawn():
    labels = np.array([0] * 40 + [1] * 5)
    drawn = {tuple(balanced(labels, 2, np.random.default_rng(seed))) for seed in range(5)}
    assert len(drawn) == 5 and all(set(range(40, 45)) <= set(rows) for rows in drawn)
