import numpy as np
import pytest
import torch

from subarch.arch.families import FAMILIES
from subarch.training.inherit import rank_layers
from subarch.training.skipping import rank_by_skipping
from subarch.training.stack import LayerStack


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_run_one_by_one_are_the_model(school, logits_of, family):
    teacher = school(family)
    stack = LayerStack(teacher.model, teacher.family)
    batch = dict(teacher.data.batch(np.arange(96)))
    with torch.no_grad():
        entry = stack.enter(batch)
        state = entry.state
        for layer in range(3):
            state = stack.run(layer, state, entry)
        with stack.ending_with(state):
            found = logits_of(teacher.model, teacher.data)
    torch.testing.assert_close(found, logits_of(teacher.model, teacher.data))


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_come_back_whatever_happens(school, logits_of, family):
    teacher = school(family)
    before = logits_of(teacher.model, teacher.data)
    stack = LayerStack(teacher.model, teacher.family)
    with pytest.raises(RuntimeError, match="in between"), stack.keeping((0, 2)):
        assert not torch.allclose(logits_of(teacher.model, teacher.data), before)
        raise RuntimeError("in between")
    assert torch.equal(logits_of(teacher.model, teacher.data), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_ranking_is_that_of_the_teacher_without_the_layers(school, family):
    teacher = school(family, num_hidden_layers=5)
    calibration = teacher.calibration
    stack = LayerStack(teacher.model, teacher.family)
    seen, known = {}, {}

    @torch.no_grad()
    def error_of(layers):
        with stack.keeping(layers):
            errors = [
                float(calibration.divergence(calibration.outputs(teacher.model, batch), batch))
                for batch in calibration.answered[:4]
            ]
        seen[layers] = float(np.mean(errors))
        return seen[layers]

    expected = rank_layers(teacher.architecture, error_of)

    def note(architecture, found):
        def noted(layers):
            known[layers] = found(layers)
            return known[layers]

        return rank_layers(architecture, noted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("subarch.training.skipping.rank_layers", note)
        assert rank_by_skipping(calibration, 32) == expected
    assert known == pytest.approx(seen, rel=1e-4, abs=1e-7)
