"""As many of very many examples as a budget leaves time to read; a training within it could not learn from more."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from subarch.inputs.models import ModelFolder
from subarch.session.session import Session
from subarch.stages.finetuning.settings import ROWS_READ, FinetuneConfig
from subarch.storage import read_json, write_json
from subarch.tasks.base import TaskData

SHARE = 0.25
"""Of the time left, what reading may take. A step of training takes far longer than reading its examples."""
TIMED = 2000
"""Examples by which the speed of reading is told."""


def ration(config: FinetuneConfig, session: Session, data: TaskData, readers: Sequence[ModelFolder]) -> TaskData:
    """The data with as many examples of train, drawn at random, as can be read in a share of the time that is left.

    How many they are stays in the output folder, so that a training that is resumed goes on with the same ones.

    Args:
        config: Of the training.
        session: Its deadline counts.
        data: All that there are.
        readers: The models whose tokenizers read them: the one that is trained, and its teacher.
    """
    place = config.out / ROWS_READ
    if place.exists():
        return replace(data, train=data.train.sample(int(read_json(place)["rows"]), seed=config.seed))
    left = session.deadline.remaining()
    if math.isinf(left) or len(data.train) <= TIMED:
        return data
    begun = time.monotonic()
    for model in readers:
        model.tokenise(data.task, data.train.sample(TIMED), config.length_for(data.task))
    each = max(1e-9, (time.monotonic() - begun) / TIMED)
    rows = max(TIMED, int(SHARE * left / each))
    if rows >= len(data.train):
        return data
    few = data.train.sample(rows, seed=config.seed)
    write_json(place, {"rows": rows})
    session.tell(
        "phase",
        name="note",
        detail=f"the budget leaves time for {len(few):,} of the {len(data.train):,} examples, drawn at random",
    )
    return replace(data, train=few)
