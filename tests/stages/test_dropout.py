"""Who trains with dropout: a model that learns from labels unless told otherwise, and a student only where asked."""

import pytest
import torch

from stages import tiny
from subarch.api import configured
from subarch.inputs.data import load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.stages.finetuning import training
from subarch.stages.finetuning.job import Job


@pytest.mark.parametrize(
    ("changes", "taught", "kept"),
    [
        ({}, False, True),
        ({"loop": {"dropout": False}}, False, False),
        ({}, True, False),
        ({"distillation": {"dropout": True}}, True, True),
        ({"loop": {"dropout": True}}, True, False),
    ],
)
def test_dropout(changes, taught, kept, rows, teachers, tmp_path):
    folder = tiny.teacher(tmp_path / "teacher", labels=("bad", "good"))
    given = {"model": str(teachers()), "out": tmp_path / "out", "train": rows, **changes}
    (config,) = configured("finetune", given | ({"teacher": str(folder)} if taught else {})).args
    teacher = ModelFolder.of(folder) if taught else None
    data = aligned(load_data(config.data), ModelFolder.of(folder))
    job = Job(data=data, model=ModelFolder.of(config.model), teacher=teacher)
    classifier, *_ = training._made_ready(config, job, tmp_path / "answers.safetensors", mean=False)
    shares = {module.p for module in classifier.modules() if isinstance(module, torch.nn.Dropout)}
    assert shares == ({0.1} if kept else {0.0})
