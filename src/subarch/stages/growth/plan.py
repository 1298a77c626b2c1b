"""What a budget is spent on: whether the data grow, and whether sets are pruned on the way.

Data are scarce only where there is time to see them again and again, and a training that hardly saw them tells no
hyperparameter set from another. So a few steps are rehearsed, and what they took says how often the budget lets
trainings see D. Ours; the paper knows no budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from subarch.session.session import Session, seconds_left
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.finetuning.training import step_seconds
from subarch.stages.growth.academy import SPARE, following, trainings_to_come
from subarch.stages.growth.admission import settings_of

BATCHES = 2
"""That are rehearsed."""
REHEARSAL = 0.08
"""Share of the time left that the rehearsal may take."""
RANDOM_GROWTH = 1.0
"""Points around random training examples, as a share of D, where there is time to learn them but not to iterate."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How Agora goes about it."""

    iterations: int | None
    """End after so many; None until Θ is empty."""
    first_growth: float
    """Points around random training examples before the first, as a share of D."""
    passes: float | None = None
    """Over D, that each training would see in a single iteration; None where nobody had to know."""

    @property
    def reason(self) -> str:
        """Why it is not the whole algorithm; empty where it is."""
        if self.passes is None or self.iterations != 1:
            return ""
        seen = f"the budget gives each training about {self.passes:.1f} passes over the training data"
        if self.first_growth:
            return f"{seen}: too few to iterate, so points around random examples come first, and then one iteration"
        return f"{seen}: time is scarcer than data, so nothing grows, and the sets compete once"


def plan_for(config: FinetuneConfig, session: Session, job: Job, sets: int) -> Plan:
    """The plan for so many sets; under a budget, and where the settings leave it open, by rehearsed steps."""
    settings = settings_of(config)
    seconds = seconds_left(session.deadline)
    asked = Plan(iterations=settings.rounds(sets), first_growth=settings.first_growth or 0.0)
    left_open = settings.iterations is None and settings.first_growth is None and settings.least_passes > 0
    if seconds is None or config.loop.max_steps is not None or not left_open:
        return asked
    data, model, socrates = job.data, job.model, job.teacher
    session.phase("rehearsing", "a few steps, to see how far the budget goes")
    teacher = socrates if settings.soft_labels else None
    asking, again = step_seconds(config, session, Job(data=data, model=model, teacher=teacher), BATCHES, REHEARSAL)
    left = (seconds_left(session.deadline) or 0.0) * (1 - SPARE)
    batches = len(data.train) / config.loop.batch_size

    def passes(share: float) -> float:
        """Passes of each set if all sets get this share of the time: Socrates is asked once, for all of them."""
        each = share * left / batches
        more = (each - (asking - again)) / (sets * again)
        return more if more >= 1 else each / (asking - again + sets * again)

    follow = following(sets, 1, asked.iterations)
    alone, first = passes(1.0), passes(sets / (sets + trainings_to_come(sets, follow, settings.last)))
    least = min(settings.least_passes, config.loop.epochs)
    if alone < least:
        return Plan(iterations=1, first_growth=0.0, passes=alone)
    if first < least:
        return Plan(iterations=1, first_growth=RANDOM_GROWTH, passes=alone)
    return replace(asked, passes=alone)
