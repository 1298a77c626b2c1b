"""What a training or a search takes, before it is run."""

import json

import pytest

from stages import tiny_shards
from subarch.api import configured
from subarch.arch.costs import flops, parameters
from subarch.arch.published import PUBLISHED, bort_architecture
from subarch.arch.training_memory import Workload, training_bytes
from subarch.errors import ConfigError
from subarch.stages.extraction import estimate as module
from subarch.stages.extraction.estimate import estimate_extraction, estimate_training, render

BORT = PUBLISHED["bort"].architecture
TEACHER = PUBLISHED["roberta-large"].architecture
BORT_STEPS, BORT_SEQUENCES, BORT_LENGTH, BORT_HOURS = 44_100, 1024, 512, 288
"""The step in the name of the released checkpoint, the batch size of the released script read as sequences, and the
V100 hours of the abstract of arXiv 2010.10499. The global batch was not published: this is one reading."""
WITHIN = 2.5


def test_the_hours_of_bort_within_a_factor():
    found = estimate_training(BORT, TEACHER, BORT_STEPS * BORT_SEQUENCES * BORT_LENGTH, "v100")
    assert BORT_HOURS / WITHIN < found["gpu_hours"] < BORT_HOURS * WITHIN


def test_operations_by_hand():
    student, teacher = bort_architecture((2, 2, 8, 16)), bort_architecture((4, 2, 16, 64))
    work = Workload(tokens=1000, sequence_length=10, masked=0.2)
    found = estimate_training(student, teacher, work, "v100")

    def forward(one):
        V, H = one.vocab_size, one.hidden_size
        return 1000 / 10 * (flops(one, 10) + 2 * (2 * H * H + 2 * H * V))

    assert found["flops"]["student"] == pytest.approx(3 * forward(student))
    assert found["flops"]["teacher"] == pytest.approx(forward(teacher))
    assert found["flops"]["total"] == pytest.approx(3 * forward(student) + forward(teacher))
    assert found["gpu_hours"] == pytest.approx(found["flops"]["total"] / (0.3 * 125e12) / 3600)
    assert found["parameters"] == parameters(student, "masked-lm").total


def test_more_devices_take_less_time_and_the_same_device_hours():
    one, many = (estimate_training(BORT, None, 10**9, "h100", devices=n) for n in (1, 64))
    assert one["gpu_hours"] == many["gpu_hours"] == pytest.approx(64 * many["hours"])
    assert one["flops"]["teacher"] == 0 and one["teacher_parameters"] is None


def test_memory_by_hand():
    student, teacher = bort_architecture((2, 2, 8, 16)), bort_architecture((4, 2, 16, 64))
    work = Workload(tokens=1, sequence_length=10, masked=0.2, micro_batch=3)
    found = training_bytes(student, teacher, work)
    assert found["state"] == 18 * parameters(student, "masked-lm").total
    assert found["activations"] == 3 * 10 * 2 * (18 * 8 + 4 * 16)
    assert found["logits"] == 6 * 50265 * 16
    assert found["total"] == sum(value for name, value in found.items() if name != "total")
    stored = training_bytes(
        student, teacher, Workload(tokens=1, sequence_length=10, micro_batch=3, fused_attention=False)
    )
    assert stored["activations"] - found["activations"] == 3 * 10 * 2 * 5 * 2 * 10


def test_this_machine_is_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "peak_flops", lambda *words: asked.append(words) or 1e12)
    found = estimate_training(BORT, None, 10**6)
    assert asked[0][0] is None and found["hardware"] == "this machine"
    assert found["gpu_hours"] == pytest.approx(found["flops"]["total"] / 0.5e12 / 3600)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"hardware": "abacus"}, "unknown hardware 'abacus'"),
        ({"hardware": "v100", "devices": 0}, "devices is 0"),
        ({"hardware": "v100", "work": 0}, "tokens is 0"),
    ],
)
def test_what_cannot_be_estimated(words, message):
    with pytest.raises(ConfigError, match=message):
        estimate_training(BORT, None, words.pop("work", 1), **words)


@pytest.fixture
def search(tmp_path):
    teacher = tiny_shards.masked_lm(tmp_path / "teacher")
    shards = tiny_shards.write(tmp_path / "shards")

    def estimated(**settings):
        space = {"sizes": "num_hidden_layers=1,2,3 hidden_size=16,32 intermediate_size=32,64"}
        given = {"teacher": str(teacher), "corpus": shards, "out": tmp_path / "out", "space": space, "epsilon": 1}
        (config,) = configured("extract", given | settings).args
        return estimate_extraction(config, "a100")

    return estimated


def test_a_search_costs_its_candidates(search):
    whole, half = search(), search(epsilon=2)
    assert (whole["space"], whole["candidates"], half["candidates"]) == (12, 12, 6)
    assert half["hours"] < whole["hours"]
    assert whole["steps"] == 12 * 30 and search(thetas=[{}, {}])["hours"] == pytest.approx(2 * whole["hours"])
    # s enters linearly beside the held-out errors, which cost the same
    times = [search(steps=steps)["hours"] for steps in (10, 20, 30)]
    assert times[2] - times[1] == pytest.approx(times[1] - times[0])


def test_halving_costs_less(search):
    halved, whole = search(steps=27, halving=3), search(steps=27)
    assert halved["steps"] == 12 * 3 + 4 * 9 + 27 and halved["flops"]["total"] < whole["flops"]["total"] / 2


def test_the_lines_state_the_assumption(search):
    assert "40% (assumed) of 312 TFLOP/s" in render(search())
    assert "75.1 M" not in render(search()) and "76.2 M parameters" in render(estimate_training(BORT, None, 5, "v100"))
    json.dumps(search())
