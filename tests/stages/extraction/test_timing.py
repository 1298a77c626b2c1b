"""Where models are while they are timed."""

import numpy as np
import torch
from torch import nn

from subarch.arch.architecture import Architecture
from subarch.stages.extraction import timing
from subarch.stages.extraction.settings import TimingConfig

SMALL = Architecture(
    family="bert",
    num_hidden_layers=1,
    num_attention_heads=2,
    hidden_size=8,
    intermediate_size=16,
    vocab_size=20,
    max_position_embeddings=16,
    type_vocab_size=2,
)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, input_ids):
        return input_ids * self.weight


def test_the_teacher_stays_where_candidates_are_cut_from_it(monkeypatch):
    monkeypatch.setattr(timing, "timing_device", lambda name: torch.device("meta"))
    monkeypatch.setattr(timing, "HELD_PARAMETERS", 1)  # each candidate is built after the one before was timed
    teacher, seen = Model(), []

    def build(candidate):
        seen.append(teacher.weight.device.type)
        return Model()

    requests = [{"input_ids": np.ones((1, 3), dtype=np.int64)}]
    config = TimingConfig(repeats=1, warmup=0)
    whole, found = timing.time_in_turn(config, teacher, [SMALL, SMALL], build, requests)
    assert seen == ["cpu", "cpu"] and len(found) == 2 and whole.latency_ms > 0
    assert teacher.weight.tolist() == [1.0, 1.0, 1.0]  # on the other device nothing would be left of it


def test_where_models_are_timed_on_their_own_device_nothing_is_copied(monkeypatch):
    monkeypatch.setattr(timing, "deepcopy", None)
    requests = [{"input_ids": np.ones((1, 3), dtype=np.int64)}]
    config = TimingConfig(repeats=1, warmup=0)
    assert timing.time_in_turn(config, Model(), [SMALL], lambda candidate: Model(), requests)[0].latency_ms > 0
