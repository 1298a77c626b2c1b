"""Whether a model's tokenizer can read the texts at all: the share that it knows, before anything is trained."""

from __future__ import annotations

import numpy as np

from subarch.errors import ModelError
from subarch.inputs.models import ModelFolder
from subarch.session.session import Session
from subarch.tasks.base import Examples

ROWS = 200
"""Rows that are read."""
MOST_UNKNOWN = 0.5
"""Share of unknown tokens, or of texts without a known one, from which the texts are refused; ours."""
FEW_UNKNOWN = 0.05
"""Share of unknown tokens from which it is told; ours."""


def check_reading(model: ModelFolder, examples: Examples, max_length: int, session: Session) -> str | None:
    """Read some texts with the tokenizer of a model, and compare it with the texts and with the model's tables.

    Args:
        model: Its tokenizer and its sizes count.
        examples: Some of them are read.
        max_length: Tokens.
        session: To which a share of unknown tokens is told.

    Returns:
        The line that is told; None where all is well.

    Raises:
        ModelError: Ids beyond the model's tables, or texts that are mostly unknown to the tokenizer.
    """
    sample = examples.sample(ROWS)
    read = model.encode(sample, max_length).encoded
    tokenizer = model.tokenizer
    unknown_id = tokenizer.unk_token_id
    unknown = np.zeros(len(read.input_ids), dtype=bool) if unknown_id is None else read.input_ids == unknown_id
    special = np.isin(read.input_ids, [index for index in tokenizer.all_special_ids if index != unknown_id])
    counted = np.concatenate(([0], np.cumsum(~(special | unknown))))
    unread = float((np.diff(counted[read.offsets]) == 0).mean()) if len(sample) else 0.0
    words = int((~special).sum())
    share = float(unknown.sum()) / words if words else 0.0
    if max(unread, share) < FEW_UNKNOWN:
        return None
    line = (
        f"the tokenizer of {model.path} ({len(tokenizer):,} tokens) does not know {share:.0%} of the tokens of "
        f"{len(sample)} texts, and nothing of {unread:.0%} of these texts"
    )
    if max(unread, share) >= MOST_UNKNOWN:
        raise ModelError(
            line,
            "put its vocabulary into the folder (tokenizer.save_pretrained), or choose a model for this language",
        )
    session.tell("phase", name="warning", detail=line)
    return line
