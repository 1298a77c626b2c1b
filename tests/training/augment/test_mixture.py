import os
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import ConfigError
from subarch.tasks.registry import load_task
from subarch.training.augment.mixture import Ingredients, mixture
from subarch.training.augment.points import transform
from subarch.training.augment.segments import Exchange, SentenceOrder
from subarch.training.augment.window import Window


def names(given, *chosen):
    return [tau.name for tau in mixture(given, chosen)]


def test_what_suits_is_used(task_of, tokenizer, cased_tokenizer, masked_lm):
    plain = ["swap", "drop", "repeat", "typing"]
    assert names(Ingredients(task=task_of(), student_tokenizer=tokenizer)) == plain
    assert names(Ingredients(task=task_of("mrpc"), student_tokenizer=cased_tokenizer)) == [*plain, "casing", "segments"]
    model = (masked_lm, tokenizer)
    assert names(Ingredients(task=task_of(), student_tokenizer=tokenizer, masked_lm=model)) == [
        "refill",
        "synonym",
        *plain,
    ]
    assert names(Ingredients(task=task_of(), student_tokenizer=tokenizer, encoder=model)) == ["synonym", *plain]


def test_names_are_obeyed_where_that_is_possible(task_of, tokenizer):
    given = Ingredients(task=task_of(), student_tokenizer=tokenizer)
    assert names(given, "casing", "drop", "drop") == ["casing", "drop"]
    assert isinstance(mixture(given, ["segments"])[0], Exchange)
    passages = Ingredients(task=task_of("boolq"), student_tokenizer=tokenizer)
    assert isinstance(mixture(passages, ["segments"])[0], SentenceOrder)
    with pytest.raises(ConfigError, match="needs a masked-language model"):
        mixture(given, ["refill"])
    with pytest.raises(ConfigError, match="unknown transformation 'swop'"):
        mixture(given, ["swop"])


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("SUBARCH_DATA"), reason="no SUBARCH_DATA")
@pytest.mark.parametrize("name", ["sst2", "mrpc", "wic", "wsc", "copa", "record", "squad1"])
def test_real_examples_give_points(name, tokenizer, masked_lm):
    data = load_task(name, data_dir=Path(os.environ["SUBARCH_DATA"]))
    sources = data.validation.sample(12)
    given = Ingredients(task=data.task, student_tokenizer=tokenizer, masked_lm=(masked_lm, tokenizer))
    points = transform(sources, data.task, mixture(given), each=1, window=Window(), rng=np.random.default_rng(0))
    lost = sum(count.lost for count in points.counts.values())
    assert len(points) > len(sources) and lost <= 0.2 * sum(count.produced for count in points.counts.values())
    assert set(points.sources.tolist()) <= set(range(len(sources)))
