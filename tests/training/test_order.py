import numpy as np
import pytest

from subarch.training.order import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 1000])
def test_every_block_comes_once(count):
    assert sorted(shuffled(np.arange(count), count, (7, 0)).tolist()) == list(range(count))


def test_a_place_is_the_same_whoever_asks():
    whole = shuffled(np.arange(500), 500, (1, 2))
    assert (shuffled(np.arange(120, 140), 500, (1, 2)) == whole[120:140]).all()


def test_epochs_and_seeds_differ_and_neighbours_part():
    one, two, three = (shuffled(np.arange(1000), 1000, seeds) for seeds in ((0, 0), (0, 1), (1, 0)))
    assert np.mean(one == two) < 0.01 and np.mean(one == three) < 0.01
    assert abs(np.corrcoef(np.arange(1000), one)[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(one)) < 10) < 0.06


def test_a_corpus_of_a_terabyte_takes_no_memory():
    found = shuffled(np.arange(10**9, 10**9 + 1000), 2 * 10**9, (0, 0))
    assert len(np.unique(found)) == 1000 and found.max() > 10**9 and found.min() < 10**8
