import pytest

from subarch.errors import ConfigError
from subarch.training.schedules import rate
from subarch.training.settings import LoopConfig


@pytest.mark.parametrize("schedule", ["linear", "noam", "constant"])
def test_all_warm_up_to_the_peak(schedule):
    rising = [rate(schedule, progress, 0.1) for progress in (0.0, 0.03, 0.09)]
    assert 0 < rising[0] < rising[1] < rising[2] < 1
    assert rate(schedule, 0.1, 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("schedule", "halfway", "end"), [("linear", 5 / 9, 0.0), ("noam", 0.2**0.5, 0.1**0.5), ("constant", 1.0, 1.0)]
)
def test_what_comes_after(schedule, halfway, end):
    assert rate(schedule, 0.5, 0.1) == pytest.approx(halfway)
    assert rate(schedule, 1.0, 0.1) == pytest.approx(end)


def test_noam_is_that_of_the_paper_up_to_its_scale():
    steps, warmup, width = 400, 40, 64
    paper = [width**-0.5 * min(step**-0.5, step * warmup**-1.5) for step in range(50, steps)]
    ours = [rate("noam", step / steps, warmup / steps) for step in range(50, steps)]
    assert ours == pytest.approx([value / (width * warmup) ** -0.5 for value in paper])


def test_noam_without_a_warm_up_is_refused():
    with pytest.raises(ConfigError, match="the noam schedule needs a warmup, got 0"):
        LoopConfig(schedule="noam", warmup=0.0)
