"""What only one process may do, and where teachers answer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from subarch.errors import ConfigError
from subarch.tasks.windows import Windows
from subarch.training import classifier, span
from subarch.training.classifier import TeacherOutputs
from subarch.training.processes import require_one_process
from subarch.training.span import SpanTeacher


def test_torchrun_is_refused_where_work_is_not_shared(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    require_one_process("finetune")
    monkeypatch.setenv("WORLD_SIZE", "1")
    require_one_process("finetune")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="finetune runs in one process, but was started as one of 4") as caught:
        require_one_process("finetune")
    assert "torchrun" in caught.value.hint and "\n" not in caught.value.message


def test_teachers_answer_in_bf16_on_an_accelerator(tiny, classifier_of, encoded_data, monkeypatch, tmp_path):
    state = SimpleNamespace(device=torch.device("meta"))
    for module in (classifier, span):
        monkeypatch.setattr(module, "process_state", lambda: state)
    data = encoded_data(4)
    outputs = TeacherOutputs(teacher=classifier_of(tiny()), data=data, path=tmp_path / "outputs.safetensors")
    places = data.encoded.input_ids
    windows = Windows(data.encoded, np.arange(4), starts=places, ends=places, cls_index=0)
    spans = SpanTeacher(teacher=classifier_of(tiny()), windows=windows, pad_token_id=1, path=tmp_path / "spans.st")
    for teacher in (outputs.teacher, spans.teacher):
        assert {(p.device.type, p.dtype) for p in teacher.parameters()} == {("meta", torch.bfloat16)}
