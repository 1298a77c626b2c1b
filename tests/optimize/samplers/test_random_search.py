import numpy as np

from subarch.optimize.samplers.random_search import RandomSampler
from subarch.optimize.trials import Trial


def test_draws_are_uniform_over_the_domain(mixed):
    drawn = [RandomSampler().suggest(mixed, (), np.random.default_rng(seed)) for seed in range(300)]
    layers = np.bincount([params["layers"] for params in drawn], minlength=7)[1:]
    assert layers.min() > 25 and layers.max() < 80
    assert 0.4 < np.mean([params["rate"] < 1e-3 for params in drawn]) < 0.6


def test_the_last_row_left_is_found(table):
    rows = table.domain.rows
    trials = [Trial(number=k, params=row, state="failed", reason="") for k, row in enumerate(rows[:-1])]
    assert RandomSampler().suggest(table, trials, np.random.default_rng(0)) == rows[-1]
