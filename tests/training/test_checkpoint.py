import pytest
import torch

from subarch.training import checkpoint
from subarch.training.checkpoint import Kept, TrainState, load_checkpoint, save_checkpoint
from subarch.training.precision import MasterWeights


@pytest.fixture
def masters():
    def make(seed):
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.fill_(seed + number)
        optimizer = MasterWeights(model, learning_rate=0.1, weight_decay=0.0)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step(0.1, 1.0)
        return optimizer

    return make


def test_the_round_trip(masters, tmp_path):
    state = TrainState(step=3, epoch=1, batch_in_epoch=2, seconds=1.5, best_score=0.25, best_step=2, next_evaluation=4)
    saved, best = masters(1), {"weight": torch.ones(2, 3)}
    kept = Kept(best=best, earlier=best)  # one tensor under two names, as after a validation
    save_checkpoint(tmp_path / "c.safetensors", state, saved, kept)
    restored = masters(5)
    found_state, found = load_checkpoint(tmp_path / "c.safetensors", restored)
    assert found_state == state
    assert torch.equal(found.best["weight"], best["weight"]) and torch.equal(found.earlier["weight"], best["weight"])
    for name, weight in saved.weights().items():
        assert torch.equal(restored.weights()[name], weight)
    moments = dict(restored.moments())
    assert {name.split("/")[0] for name in moments} == {"step", "exp_avg", "exp_avg_sq"}
    for name, moment in saved.moments():
        assert torch.equal(moments[name], moment)


def test_no_checkpoint_and_no_best_weights(masters, tmp_path):
    assert load_checkpoint(tmp_path / "c.safetensors", masters(1)) is None
    save_checkpoint(tmp_path / "c.safetensors", TrainState(), masters(1), Kept())
    assert load_checkpoint(tmp_path / "c.safetensors", masters(1))[1] == Kept()


def test_a_failing_write_leaves_the_old_checkpoint(masters, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, TrainState(step=1), masters(1), Kept())
    whole = path.read_bytes()

    def half_a_file(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError("the machine went away")

    monkeypatch.setattr(checkpoint, "save_file", half_a_file)
    with pytest.raises(OSError, match="went away"):
        save_checkpoint(path, TrainState(step=2), masters(1), Kept())
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_damaged_checkpoint_changes_nothing(masters, tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, TrainState(step=1), masters(1), Kept())
    path.write_bytes(path.read_bytes()[:-7])
    untouched = masters(5)
    before = untouched.weights()
    assert load_checkpoint(path, untouched) is None
    assert all(torch.equal(before[name], weight) for name, weight in untouched.weights().items())


@pytest.mark.parametrize("metadata", [None, {"other": "{}"}, {"state": '{"steps": 3}'}, {"state": "{"}])
def test_a_checkpoint_of_another_version_is_none(masters, tmp_path, metadata):
    from safetensors.torch import save_file

    save_file({"weights/weight": torch.ones(2, 3)}, tmp_path / "c.safetensors", metadata=metadata)
    assert load_checkpoint(tmp_path / "c.safetensors", masters(1)) is None
