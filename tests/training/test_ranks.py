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


def both(program, *arguments):
    """What two processes print that train together."""
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
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
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def test_they_end_at_the_same_step_with_the_same_weights(tmp_path):
    first, second = both(PROGRAM, str(tmp_path))
    assert first == second
    assert [run[:2] for run in first] == [["finished", 12], ["interrupted", 3]]


APART = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn
from subarch.errors import ConfigError
from subarch.training import loop
from subarch.training.losses import task_loss

rank = int(os.environ["RANK"])
batch = {"input_ids": torch.tensor([[1, 2]]), "labels": torch.tensor([1])}

class Model(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.linear, self.fixed, self.drawn = nn.Linear(2, 2), nn.Linear(2, 2), []

    def forward(self, input_ids):
        self.drawn.append(round(float(torch.rand(1)), 6))
        return SimpleNamespace(logits=self.linear(self.fixed(input_ids.float())))

def trained(model, steps, split=None, checkpoint=None):
    batches = loop.Batches(2, lambda number: iter([lambda: batch, lambda: batch]), split=split)
    settings = loop.LoopConfig(max_steps=steps, precision="fp32", learning_rate=0.1, checkpoint_seconds=0.0)
    context = loop.LoopContext(checkpoint=checkpoint, frozen=("fixed.weight",))
    loop.train(model, batches, task_loss, config=settings, context=context)
    return [round(float(w), 6) for p in model.parameters() for w in p.detach().flatten()]

first = Model(rank)
parts = trained(first, 2, split=lambda make, parts: [make])
whole = trained(Model(rank), 2)
file = Path(sys.argv[1]) / str(rank) / "checkpoint"  # a folder that they do not share
file.parent.mkdir()
trained(Model(rank), 2, checkpoint=file)
try:
    trained(Model(rank), 4, checkpoint=file)
    said = "trained"
except ConfigError as error:
    said = error.message
print(json.dumps([parts, whole, first.drawn, said]))
"""


def test_two_that_begin_apart_become_one_model_and_draw_their_own_dropout(tmp_path):
    (parts, whole, drawn, said), (parts_of_second, whole_of_second, drawn_by_second, said_by_second) = both(
        APART, str(tmp_path)
    )
    assert parts == parts_of_second and whole == whole_of_second and parts == whole
    assert len(drawn) == len(drawn_by_second) == 2 and not set(drawn) & set(drawn_by_second)
    assert said == "the processes resume from different steps: the first one from 2, this one from 2"
    assert said_by_second == "the processes resume from different steps: the first one from 2, this one from 0"
