import itertools

import numpy as np
import pytest
from scipy import stats

from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.measures import measure
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.sign_flip import COUNTED, sign_flip, swap

RNG = np.random.default_rng


def two(metric, answers, labels, kind="classification"):
    """Measures of two models, from what they answer."""
    names = ("no", "yes") if kind == "classification" else ()
    task = Task(name="t", kind=kind, labels=names, text="x", label="y", metrics=(metric,), main_metric=metric)
    examples = Examples(["x"] * len(labels), labels=labels)
    outputs = [np.eye(2)[each] if kind == "classification" else each[:, None] for each in answers]
    return [measure(task, metric, Predictions(outputs=each), examples) for each in outputs]


@pytest.mark.parametrize(("better", "worse", "p"), [(4, 0, 0.125), (6, 0, 2 / 64), (3, 1, 0.625), (2, 2, 1.0)])
def test_right_and_wrong_answers_are_mcnemars_exact_test(better, worse, p):
    differences = np.r_[np.ones(better), -np.ones(worse), np.zeros(40)]
    assert sign_flip(differences, RNG(0), 1) == pytest.approx(p)
    assert sign_flip(-differences, RNG(0), 1) == pytest.approx(p)


def test_many_right_and_wrong_answers_are_exact_too():
    differences = np.r_[np.ones(70), -np.ones(40)]
    assert sign_flip(differences, RNG(0), 1) == pytest.approx(stats.binomtest(40, 110).pvalue)


def test_few_differences_of_any_size_are_counted_out():
    differences = RNG(1).normal(0.5, 1, 7)
    sums = [abs(differences @ signs) for signs in itertools.product((-1, 1), repeat=7)]
    expected = np.mean([one >= abs(differences.sum()) - 1e-9 for one in sums])
    assert sign_flip(np.r_[differences, 0, 0], RNG(0), 1) == pytest.approx(expected)
    assert sign_flip(np.zeros(5), RNG(0), 1) == 1.0


def test_drawn_flips_are_near_what_counting_gives():
    differences = np.round(RNG(2).normal(0.4, 1, COUNTED), 1)
    counted = sign_flip(differences, RNG(0), 1)
    drawn = stats.permutation_test(
        (differences, np.zeros(COUNTED)), lambda a, b: (a - b).sum(), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert counted == pytest.approx(drawn)
    doubled = np.r_[differences, differences]
    expected = stats.permutation_test(
        (doubled, np.zeros(len(doubled))),
        lambda a, b, axis: (a - b).sum(axis),
        permutation_type="samples",
        n_resamples=50_000,
        rng=RNG(3),
    ).pvalue
    assert sign_flip(doubled, RNG(0), 50_000) == pytest.approx(expected, abs=0.01)


def test_no_p_is_zero():
    assert sign_flip(np.linspace(1, 2, 100), RNG(0), 999) == 1 / 1000


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
def test_swaps_of_a_mean_are_its_sign_flips(metric):
    rng = RNG(4)
    kind = "regression" if metric == "rmse" else "classification"
    labels = rng.normal(size=60) if kind == "regression" else rng.integers(2, size=60)
    wrong = [rng.random(60) < share for share in (0.2, 0.4)]
    answers = [
        labels + rng.normal(0, s, 60) if kind == "regression" else labels ^ w
        for s, w in zip((1, 1.2), wrong, strict=True)
    ]
    one, other = two(metric, answers, labels, kind)
    flipped = sign_flip(other.parts - one.parts, rng, 20_000)
    assert 0.005 < flipped < 0.9
    assert swap(one, other, None, rng, 20_000) == pytest.approx(flipped, abs=0.02)


@pytest.mark.parametrize("metric", ["f1", "f1_macro", "matthews_correlation", "pearson", "spearman"])
def test_models_that_are_alike_are_told_apart_no_more_often_than_promised(metric):
    kind = "regression" if metric in ("pearson", "spearman") else "classification"
    found = []
    for seed in range(150):
        rng = RNG(seed)
        labels = rng.normal(size=40) if kind == "regression" else rng.integers(2, size=40)
        both = labels + 0.8 * rng.normal(size=40)
        said = [both + 0.5 * rng.normal(size=40) for _ in range(2)]
        answers = said if kind == "regression" else [(each > 0.5).astype(int) for each in said]
        found.append(swap(*two(metric, answers, labels, kind), np.arange(40), RNG(seed), 400))
    # 5 and 50 %, three standard errors; ties of a few answers make p larger
    assert np.mean(np.asarray(found) <= 0.05) <= 0.104
    assert 0.2 <= np.mean(np.asarray(found) <= 0.5) <= 0.63


@pytest.mark.parametrize("metric", ["f1", "pearson"])
def test_models_that_differ_are_told_apart(metric):
    rng = RNG(5)
    kind = "regression" if metric == "pearson" else "classification"
    labels = rng.normal(size=200) if kind == "regression" else rng.integers(2, size=200)
    answers = [labels + s * rng.normal(size=200) for s in (0.3, 1.0)]
    answers = answers if kind == "regression" else [(each > 0.5).astype(int) for each in answers]
    one, other = two(metric, answers, labels, kind)
    assert swap(one, other, None, RNG(0), 1999) == 1 / 2000
    assert swap(one, one, None, RNG(0), 99) == 1.0
