"""A folder of sentence-transformers, whose vector of a text is the mean over its tokens."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from stages import tiny
from subarch.api import run_stage
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import MEAN_ROWS, ModelFolder
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.finetuning.training import fresh_modules


@pytest.fixture(scope="module")
def pooled(tmp_path_factory, teachers):
    folder = tmp_path_factory.mktemp("pooled") / "encoder"
    shutil.copytree(teachers(), folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


@pytest.fixture(scope="module")
def data(rows):
    return load_data(DataConfig(train=rows))


@pytest.fixture(scope="module")
def compressed_pooled(tmp_path_factory, record, rows, pooled):
    out = tmp_path_factory.mktemp("compressed_pooled") / "out"
    result = run_stage("compress", {**tiny.FAST, "teacher": str(pooled), "out": out, "train": rows})
    return result, out


def test_its_classifier_has_one_layer_more_than_the_encoder(pooled, teachers, data):
    folder = ModelFolder.of(str(pooled))
    assert folder.reads_mean(data)
    assert folder.architecture.num_hidden_layers == 3
    assert folder.architecture_for(data).num_hidden_layers == 4
    assert not ModelFolder.of(str(teachers())).reads_mean(data)


def test_with_many_rows_a_class_the_first_token_learns_as_much(pooled, data):
    folder = ModelFolder.of(str(pooled))
    many = replace(data, train=data.train.take(np.arange(2 * MEAN_ROWS) % len(data.train)))
    assert not folder.reads_mean(many)
    assert folder.architecture_for(many).num_hidden_layers == 3
    assert folder.reads_mean(replace(many, train=many.train.take(np.arange(2 * MEAN_ROWS - 1))))


def test_teacher_and_student_are_plain_models(compressed_pooled):
    result, out = compressed_pooled
    teacher = AutoModelForSequenceClassification.from_pretrained(out / "teacher")
    assert teacher.config.num_hidden_layers == 4
    student, report = AutoModelForSequenceClassification.from_pretrained(out / "student", output_loading_info=True)
    assert student.config.num_hidden_layers < 4
    assert not any(report.values())
    assert result.metrics["exports"]["onnx"]["agreement"] > 0.99


def test_what_has_a_head_is_not_pooled_again(compressed_pooled, pooled, data, tmp_path):
    _, out = compressed_pooled
    folder = tmp_path / "again"
    shutil.copytree(out / "teacher", folder)
    shutil.copy(pooled / "modules.json", folder)
    shutil.copytree(pooled / "1_Pooling", folder / "1_Pooling")
    assert not ModelFolder.of(str(folder)).reads_mean(data)
    assert ModelFolder.of(str(folder)).architecture_for(data).num_hidden_layers == 4


def test_all_above_its_encoder_learns_at_the_rate_of_a_new_head(pooled, rows, data, tmp_path):
    config = FinetuneConfig(model="", out=tmp_path, data=DataConfig(train=rows))
    found = fresh_modules(ModelFolder.of(str(pooled)), data.task, config, mean=True)
    assert found == ("bert.pooler.dense", "classifier")
