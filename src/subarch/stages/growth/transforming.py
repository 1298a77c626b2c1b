"""What a task and its models give to the transformations τ."""

from __future__ import annotations

from subarch.arch.pretrained import has_mlm_head, load_masked_lm
from subarch.errors import ConfigError, DataError
from subarch.inputs.models import ModelFolder
from subarch.stages.growth.settings import AgoraConfig
from subarch.tasks.base import Examples, TaskData
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
        encoder=(socrates.model_for(data.task), socrates.tokenizer),
    )
    named = [name for name in settings.transformations if name != MINING]
    return () if settings.transformations and not named else mixture(ingredients, named)


def mining_for(settings: AgoraConfig, data: TaskData) -> Mining | None:
    """The unlabelled texts, ready to be searched; None where there are none, or nobody wants them.

    Raises:
        DataError: A file, or a task, with which that cannot be.
    """
    texts = _unlabelled(settings, data)
    return None if texts is None else Mining.of(texts, _known(data))


def require_possible(settings: AgoraConfig, data: TaskData) -> None:
    """Refuse what the other functions of this file would refuse whatever the teacher is; no model is loaded.

    Raises:
        UserError: The model that refills has no head for it, or there are unlabelled texts that cannot be used.
    """
    if settings.masked_lm is not None:
        _refilling(settings.masked_lm)
    _unlabelled(settings, data)


def _unlabelled(settings: AgoraConfig, data: TaskData) -> Examples | None:
    if settings.unlabelled is None or (settings.transformations and MINING not in settings.transformations):
        return None
    if data.train.groups is not None:
        raise DataError(
            f"unlabelled texts for {data.task.name}, whose questions have several rows each, "
            "expected a task of one example a row",
            "leave --unlabelled out",
        )
    texts = load_unlabelled(settings.unlabelled, data.task)
    if set(texts.text_keys()) <= _known(data):
        raise DataError(
            f"all {len(texts)} texts of {settings.unlabelled} stand in the labelled data already, expected other ones"
        )
    return texts


def _known(data: TaskData) -> set[tuple[str, str]]:
    return {key for examples in (data.train, data.validation, data.test) for key in examples.text_keys()}


def _masked_lm(settings: AgoraConfig, socrates: ModelFolder) -> ModelFolder | None:
    if settings.masked_lm is None:
        return socrates if has_mlm_head(socrates.path) else None
    return _refilling(settings.masked_lm)


def _refilling(source: str) -> ModelFolder:
    found = ModelFolder.of(source)
    if not has_mlm_head(found.path):
        raise ConfigError(f"{found.path} has no head for masked words", "name a masked-language model")
    return found
