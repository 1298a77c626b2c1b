"""Blocks in memory, and how they are masked."""

import numpy as np

from subarch.training.masking import Masking

VOCAB = 60
MASKING = Masking(vocab_size=VOCAB, mask_token_id=4, special_token_ids=(0, 1, 2, 3, 4), pad_token_id=1)


class ArrayBlocks:
    """Each block repeats its own few tokens, so that there is something to learn."""

    def __init__(self, count=24, length=16, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = rng.integers(5, VOCAB, size=(count, 4)).repeat(length // 4, axis=1).astype(np.uint16)
        self.ids[:, 0], self.ids[:, -1] = 2, 3

    def __len__(self):
        return len(self.ids)

    def take(self, indices):
        return self.ids[indices]
