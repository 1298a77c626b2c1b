"""The tokens that students keep of their teacher's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from subarch.arch.pretrained import quiet_transformers
from subarch.arch.vocabulary import cut_tokenizer_files, keep_tokens
from subarch.inputs.models import ModelFolder
from subarch.storage import read_json
from subarch.tasks.base import Array


def cut_tokenizer(teacher: ModelFolder, ids: Array, share: float, folder: Path) -> list[int]:
    """Write a tokenizer with a share of the teacher's tokens, and with all that training data need, into a folder.

    Args:
        teacher: Whose tokenizer is cut.
        ids: Tokens of the training data, in any order. All of them stay, so that students see these data as the
            teacher does.
        share: Of the teacher's vocabulary, above 0 and at most 1.
        folder: It is there already.

    Returns:
        The teacher's ids that were kept, ascending.

    Raises:
        ModelError: A kind of tokenizer that cannot be cut.
    """
    teacher.tokenizer.backend_tokenizer.no_truncation()  # which encoding leaves in it
    with quiet_transformers():
        teacher.tokenizer.save_pretrained(folder)
    # The tokenizer's class is found through a config.json.
    (folder / "config.json").write_bytes((teacher.path / "config.json").read_bytes())
    found, occurrences = np.unique(ids, return_counts=True)
    counts = dict(zip(found.tolist(), occurrences.tolist(), strict=True))
    kept = _kept(read_json(folder / "tokenizer.json"), counts, round(share * teacher.architecture.vocab_size))
    cut_tokenizer_files(folder, kept)
    return kept


def _kept(tokenizer_json: Mapping[str, object], counts: Mapping[int, int], size: int) -> list[int]:
    """The tokens to keep, ascending: about `size`, and in any case all that are counted."""
    size = max(size, len(counts))
    kept = keep_tokens(tokenizer_json, counts, size)
    while lost := counts.keys() - set(kept):
        # What is always kept, such as single characters, came first: room is made for the rest.
        size = max(size, len(kept)) + len(lost)
        kept = keep_tokens(tokenizer_json, counts, size)
    return kept
