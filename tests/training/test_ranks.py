"""Two processes that train together end together, whatever each one's clock says."""

import json
import os
import socket
import subprocess
import sys

PROGRAM = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn
from subarch.errors import InterruptedRun
from subarch.training import loop
from subarch.training.losses import task_loss

rank, now = int(os.environ["RANK"]), [0.0]
loop.time = SimpleNamespace(monotonic=lambda: now[0])
batch = {"input_ids": torch.tensor([[1, rank]]), "labels": torch.tensor([rank]), "groups": torch.tensor([0])}
batches = loop.Batches(2, lambda number: iter([lambda: batch, lambda: batch]))
settings = loop.LoopConfig(epochs=1000, precision="fp32", learning_rate=0.1)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, input_ids):
        return SimpleNamespace(logits=self.linear(input_ids.float()))

def run(mode):
    torch.manual_seed(0)
    model, steps = Model(), []

    def tell(event):
        steps.append(event["step"])
        now[0] += 0.1 * (1 + 3 * rank)  # the second process has a faster clock

    context = loop.LoopContext(
        seconds=1.05 if mode == "time" and rank == 0 else 9.0,
        on_event=tell,
        checkpoint=Path(sys.argv[1]) / mode,
        stop_requested=lambda: mode == "stop" and rank == 0 and len(steps) == 3,
    )
    try:
        loop.train(model, batches, task_loss, config=settings, context=context)
        ended = "finished"
    except InterruptedRun:
        ended = "interrupted"
    return [ended, len(steps), [round(float(weight.detach()), 6) for weight in model.linear.weight.flatten()]]

print(json.dumps([run("time"), run("stop")]))
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_they_end_at_the_same_step_with_the_same_weights(tmp_path):
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert first == second
    assert [run[:2] for run in first] == [["finished", 12], ["interrupted", 3]]
