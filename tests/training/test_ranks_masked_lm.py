"""Two processes see the batches of one and learn the same, also where one of them runs short of memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.test_ranks import free_port

WORDS = ["logits roomy", "relations roomy", "logits short"]
"""Trainings: what the teacher gives, and whether the second process has room for a whole batch."""
PROGRAM = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
from transformers import BertConfig, BertForMaskedLM
from training.blocks import MASKING, ArrayBlocks
from subarch.training.loop import LoopContext, train
from subarch.training.settings import LoopConfig
from subarch.training.masked_lm import MaskedLanguageModel, MaskedLmLoss, MaskedTeacher, masked_lm_batches
from subarch.training.relations import RelationLoss

class Short(MaskedLanguageModel):
    def forward(self, *, masked_positions, **inputs):
        if os.environ.get("RANK") == "1" and len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no room")
        return super().forward(masked_positions=masked_positions, **inputs)

def model(seed, layers):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": layers}
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertForMaskedLM(BertConfig(vocab_size=60, max_position_embeddings=32, pad_token_id=1, **sizes, **none))

def trained(signal, room):
    teacher = MaskedTeacher(model(1, 2), signal=signal, precision="fp32")
    blocks = ArrayBlocks(count=25)
    blocks.ids[3, 2:9] = 3  # so that not every block has the same number of questions
    batches = masked_lm_batches(blocks, MASKING, batch_size=8, seed=5, teacher=teacher)
    loss = MaskedLmLoss(imitation=RelationLoss(heads=2) if signal == "relations" else None)
    events = []
    settings = LoopConfig(max_steps=8, learning_rate=3e-3, precision="fp32", clip_norm=0.5)
    student = (Short if room == "short" else MaskedLanguageModel)(model(2, 1), signal=signal)
    train(student, batches, loss, config=settings, context=LoopContext(on_event=events.append))
    losses = [event["loss"] for event in events if event["event"] == "step"]
    parts = sum(event["event"] == "phase" for event in events)
    return losses, float(student.model.bert.embeddings.word_embeddings.weight.detach().sum()), parts

print(json.dumps({word: trained(*word.split()) for word in sys.argv[2:]}))
"""


def run(world_size, words):
    common = {"WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "1"}
    common["MASTER_PORT"] = str(free_port())
    alone = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1]), *words],
            env={**alone, **(common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if world_size > 1 else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world_size, said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.fixture(scope="module")
def curves():
    """What one process learned, and two."""
    return run(1, ["logits roomy", "relations roomy"]) + run(2, WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_two_processes_have_the_loss_curve_of_one(curves, word):
    signal, room = word.split()
    alone, first, second = curves[0][f"{signal} roomy"], curves[1][word], curves[2][word]
    assert first == second
    assert first[0] == pytest.approx(alone[0], rel=1e-5)
    assert first[1] == pytest.approx(alone[1], rel=1e-4)
    assert first[2] == (room == "short")  # both part their batches where one has to
