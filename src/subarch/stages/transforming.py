"""What a task and its models give to the transformations τ."""

from __future__ import annotations

from subarch.arch.pretrained import has_mlm_head, load_masked_lm
from subarch.errors import ConfigError
from subarch.stages.growing import AgoraConfig
from subarch.stages.inputs import ModelFolder
from subarch.tasks.base import TaskData
from subarch.tasks.custom import load_unlabelled
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.mining import NAME as MINING
from subarch.training.augment.mining import Mining
from subarch.training.augment.mixture import Ingredients, mixture


def transformations_for(
    settings: AgoraConfig, data: TaskData, model: ModelFolder, socrates: ModelFolder
) -> tuple[AnyTransformation, ...]:
    """τ: those that the settings name, or all that are possible.

    Args:
        settings: Of Agora.
        data: Whose task says whether pairs and sentences have an order.
        model: Timaeus, whose tokenizer may see no casing.
        socrates: His embeddings know synonyms; he refills where no other model is named and he has the head.

    Raises:
        ConfigError: A transformation by name that is not possible here.
    """
    masked_lm = _masked_lm(settings, socrates)
    ingredients = Ingredients(
        task=data.task,
        student_tokenizer=model.tokenizer,
        masked_lm=None if masked_lm is None else (load_masked_lm(masked_lm.path), masked_lm.tokenizer),
        encoder=(socrates.classifier(data.task), socrates.tokenizer),
    )
    named = [name for name in settings.transformations if name != MINING]
    return () if settings.transformations and not named else mixture(ingredients, named)


def mining_for(settings: AgoraConfig, data: TaskData) -> Mining | None:
    """The unlabelled texts, ready to be searched; None where there are none, or nobody wants them."""
    if settings.unlabelled is None or (settings.transformations and MINING not in settings.transformations):
        return None
    known = {key for examples in (data.train, data.validation, data.test) for key in examples.text_keys()}
    return Mining.of(load_unlabelled(settings.unlabelled, data.task), known)


def _masked_lm(settings: AgoraConfig, socrates: ModelFolder) -> ModelFolder | None:
    if settings.masked_lm is None:
        return socrates if has_mlm_head(socrates.path) else None
    found = ModelFolder.of(settings.masked_lm)
    if not has_mlm_head(found.path):
        raise ConfigError(f"{found.path} has no head for masked words", "name a masked-language model")
    return found
