import pytest
import torch
from torch import nn

from subarch.errors import ConfigError
from subarch.training.optimizers import Adam, make_optimizer
from subarch.training.precision import MasterWeights
from subarch.training.settings import LoopConfig


def test_adams_settings_reach_it():
    config = LoopConfig(beta_1=0.8, beta_2=0.95, adam_epsilon=1e-6)
    masters = MasterWeights(nn.Linear(2, 3), learning_rate=1e-3, weight_decay=0.1, adam=config.adam)
    for group in masters.optimizer.param_groups:
        assert (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-6)


def test_by_default_they_are_pytorchs():
    weight = nn.Parameter(torch.ones(2))
    ours = make_optimizer("adamw", [{"params": [weight]}], 1e-3, Adam()).defaults
    theirs = torch.optim.AdamW([weight]).defaults
    assert (ours["betas"], ours["eps"]) == (theirs["betas"], theirs["eps"])


def test_sgd_is_plain():
    optimizer = make_optimizer("sgd", [{"params": [nn.Parameter(torch.ones(2))]}], 1e-3, Adam())
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta_1": 1.0}, r"beta_1 is 1.0, expected a share in \[0, 1\)"),
        ({"beta_2": -0.1}, "beta_2 is -0.1"),
        ({"adam_epsilon": 0.0}, "adam_epsilon is 0.0, expected a positive number"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LoopConfig(**settings)
