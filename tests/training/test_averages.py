"""What a training returns: the mean of its last two validations' weights, unless a single one is clearly better."""

import pytest
import torch

from subarch.errors import ConfigError
from subarch.training.loop import Batches, LoopContext, train
from subarch.training.settings import LoopConfig

STEPS = 6


class Line(torch.nn.Module):
    """One number, which each step raises by the learning rate; and a table that no batch uses."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1, bias=False)
        self.head = torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.slope.weight.zero_()
            self.head.weight.zero_()

    def forward(self, input_ids):
        ones = input_ids.float()
        return type("Output", (), {"logits": self.slope(ones) + self.head(ones)})


def trained(evaluate, *, error=0.0, context=None, **changes):
    """A line whose weight is 1, 2, ... after each step of SGD at a constant rate of 1."""
    model = Line()
    batches = Batches(1, lambda number: iter([lambda: {"input_ids": torch.ones(1, 1)}]))
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0}
    settings |= {"max_steps": STEPS, "evaluations": 3, "clip_norm": 100.0, **changes}
    given = {"standard_error": lambda: error, "frozen": ("head.weight",), **(context or {})}
    result = train(
        model,
        batches,
        lambda logits, batch: -logits.mean(),
        config=LoopConfig(**settings),
        context=LoopContext(**given),
        evaluate=evaluate,
    )
    return model, result


def near(best):
    """A score that is highest where the weight is `best`."""
    return lambda model: -abs(float(model.slope.weight.detach()) - best)


def test_the_mean_of_the_last_two_validations_is_kept_where_it_scores_no_less():
    model, result = trained(near(5.0))  # validations at 2, 4 and 6
    assert model.slope.weight.item() == 5.0
    assert result.averaged and result.best_score == 0.0 and result.best_step == STEPS


def test_a_single_validation_that_is_clearly_better_stays():
    model, result = trained(near(2.0))
    assert model.slope.weight.item() == 2.0 and not result.averaged and result.best_step == 2


def test_within_a_standard_error_the_mean_stays():
    model, result = trained(near(2.0), error=3.0)
    assert model.slope.weight.item() == 5.0 and result.averaged and result.best_score == -3.0
    assert trained(near(2.0), error=2.9)[0].slope.weight.item() == 2.0


def test_it_can_be_switched_off_and_needs_two_validations():
    assert trained(near(5.0), average=False)[0].slope.weight.item() == 4.0
    model, result = trained(near(5.0), evaluations=1)
    assert model.slope.weight.item() == STEPS and not result.averaged


def test_a_finished_checkpoint_gives_the_same_mean(tmp_path):
    context = {"checkpoint": tmp_path / "c.safetensors"}
    first, result = trained(near(5.0), context=context)
    assert (tmp_path / "c.safetensors").exists()
    again, resumed = trained(near(5.0), context=context)
    assert torch.equal(first.slope.weight, again.slope.weight) and resumed == result


def test_frozen_parameters_stay_and_can_be_trained_afterwards():
    model, _ = trained(near(5.0))
    assert model.head.weight.item() == 0.0 and model.head.weight.requires_grad
    model, _ = trained(near(5.0), context={"frozen": ()})
    assert model.head.weight.item() == 5.0


@pytest.mark.parametrize("multiple", [1.0, 20.0])
def test_a_fresh_head_learns_so_many_times_as_fast(multiple):
    model, _ = trained(None, head_rate=multiple, context={"frozen": (), "fresh": ("head",)})
    assert model.head.weight.item() == multiple * STEPS and model.slope.weight.item() == STEPS


def test_rates_follow_the_width():
    config = LoopConfig()
    assert config.rate_for(768) == 5e-5 and config.rate_for(384) == 1e-4 and config.rate_for(1024) < 4e-5
    assert LoopConfig(learning_rate=3e-5).rate_for(384) == 3e-5
    assert config.for_width(384).learning_rate == 1e-4


def test_no_validation_before_its_share_of_the_progress():
    seen = []

    def score(model):
        seen.append(model.slope.weight.item())
        return 0.0

    trained(score, evaluations=6, evaluate_from=0.5, average=False)
    assert seen == [3.0, 4.0, 5.0, 6.0]
    with pytest.raises(ConfigError, match="evaluate_from is 1"):
        LoopConfig(evaluate_from=1.0)
