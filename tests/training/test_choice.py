import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.training.choice import grouped_batches


def rows_of(sizes, seed=0):
    groups = np.repeat(np.arange(len(sizes)) * 2, sizes)
    return np.random.default_rng(seed).integers(1, 50, size=len(groups)), groups


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40),
    batch_size=st.integers(1, 20),
    world_size=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_every_row_comes_once_with_its_whole_question(sizes, batch_size, world_size, epoch):
    lengths, groups = rows_of(sizes)
    shares = [
        grouped_batches(lengths, groups, batch_size=batch_size, seeds=(1, epoch), rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1 and len(shares[0]) > 0
    batches = [batch for share in shares for batch in share]
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(groups)))
    for batch in batches:
        of_batch = groups[batch]
        for group in np.unique(of_batch):
            assert (of_batch == group).sum() == (groups == group).sum()
        assert (np.diff(batch) > 0).all()
        if world_size == 1:
            assert len(batch) <= max(batch_size, (groups == of_batch[0]).sum())


def test_batches_are_the_same_for_the_same_seeds_only():
    lengths, groups = rows_of([4] * 50)

    def made(*seeds):
        return [batch.tolist() for batch in grouped_batches(lengths, groups, batch_size=16, seeds=seeds)]

    assert made(1, 0) == made(1, 0)
    assert made(1, 0) != made(1, 1) and made(1, 0) != made(2, 0)


def test_questions_of_a_batch_are_alike_in_length():
    lengths, groups = rows_of([4] * 200)
    batches = grouped_batches(lengths, groups, batch_size=16, seeds=(0, 0))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    anyhow = np.random.default_rng(0).permutation(200).reshape(50, 4)
    rows = [np.concatenate([np.arange(4 * g, 4 * g + 4) for g in batch]) for batch in anyhow]
    assert padded < sum(len(batch) * lengths[batch].max() for batch in rows) < 2 * padded


def test_fewer_questions_than_processes_are_refused():
    lengths, groups = rows_of([4, 4])
    with pytest.raises(ConfigError, match="2 questions for 3 processes"):
        grouped_batches(lengths, groups, batch_size=8, seeds=(0, 0), world_size=3)
    with pytest.raises(ConfigError, match="0 questions"):
        grouped_batches(lengths[:0], groups[:0], batch_size=8, seeds=(0, 0))
