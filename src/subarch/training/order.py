"""The order of an epoch's blocks: a random permutation that takes no memory, however many blocks there are.

A Feistel network permutes the numbers below a power of four, and numbers beyond the count are sent through it again
until they fall inside ("cycle walking", Black and Rogaway 2002).
"""

from __future__ import annotations

import numpy as np

ROUNDS = 6
_ODD = np.uint64(0x9E3779B97F4A7C15)


def shuffled(places: np.ndarray, count: int, seeds: tuple[int, int]) -> np.ndarray:
    """The blocks at these places of the order.

    Args:
        places: (K,) whole numbers from 0 to count - 1.
        count: Blocks in all.
        seeds: Seed and epoch: all the randomness.

    Returns:
        (K,) int64; over all places every block comes once.
    """
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(seeds).generate_state(ROUNDS, np.uint64)
    values = _permuted(places.astype(np.uint64), half, keys)
    while (outside := values >= count).any():
        values[outside] = _permuted(values[outside], half, keys)
    return values.astype(np.int64)


def _permuted(values: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    permuted: np.ndarray = (left << bits) | right
    return permuted


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of 64-bit numbers (the finaliser of splitmix64)."""
    values = values * _ODD
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
