"""Which of a teacher's hidden layers are kept while its students learn."""

from __future__ import annotations

from collections.abc import Sequence

from subarch.inputs.models import ModelFolder
from subarch.kinds.base import Kind
from subarch.training.classifier import EncodedData

HIDDEN_BYTES = 4_000_000_000
"""Above this only the last of the wanted layers is kept, or not even that; ours."""


def layers_that_fit(kind: Kind, wanted: Sequence[int], train: EncodedData, teacher: ModelFolder) -> tuple[int, ...]:
    """The wanted layers (from 1, -1 the last) that the kind can keep and that fit on the disk, in float16."""
    kept = kind.imitable(tuple(wanted))
    layer_bytes = len(train.encoded.input_ids) * teacher.architecture.hidden_size * 2
    for layers in (kept, kept[-1:]):
        if wanted and len(layers) * layer_bytes <= HIDDEN_BYTES:
            return layers
    return ()
