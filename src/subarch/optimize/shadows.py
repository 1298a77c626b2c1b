"""Which parameters do nothing: shuffled copies of them tell, without and with an effect planted in them.

A copy without an effect shows what chance gives (the shadows of Boruta: Kursa and Rudnicki 2010, Journal of Statistical
Software 36). A copy that does have an effect, of the size that would be worth naming, shows whether these trials could
have seen one. A parameter is inert where it does no more than chance, and less than nearly every planted effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subarch.optimize.attribution import Attribution, Design, attribute_by
from subarch.optimize.parameters import Array

STRONG = 4.0
"""Standard errors from which on an effect needs no comparison."""
TRACE = 0.001
"""Share of the explained variance up to which an effect is the model's own error."""
ROUNDS = 8
LEARNERS = 16
"""Learners a round."""
RISK = 0.05
"""Share of the shadows that may do more, and of the planted effects that may show less."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the shadows say about each parameter; where neither holds, the trials cannot tell."""

    shown: NDArray[np.bool_]
    inert: NDArray[np.bool_]


def compare(design: Design, y: Array, measured: Attribution, negligible: float, rng: np.random.Generator) -> Comparison:
    """Hold every parameter's total effect against those of its shadows.

    Args:
        design: The trials.
        y: Shape (trials,).
        measured: The effects on y of all parameters.
        negligible: Size of a planted effect, as a share of the explained variance.
        rng: Draws the shadows.
    """
    effects = measured.total.mean(0)
    errors = measured.total.std(0) / np.sqrt(len(y))
    explained = max(float(measured.explained.mean()), 0.0)
    trace = TRACE * explained
    shown = effects > np.maximum(STRONG * errors, trace)
    inert = np.zeros_like(shown)
    weak = np.flatnonzero(~shown)
    if not len(weak):
        return Comparison(shown=shown, inert=inert)
    chance, planted = [], []
    for turn in range(ROUNDS):
        # A single weak parameter is its own shadow in one round and has the effect in the next.
        count = min(4, len(weak) // 2) if len(weak) > 1 else turn % 2
        places = rng.permutation(len(weak))
        copies = design.shuffled(weak, rng)
        changed = y + sum(_effect(copies, weak[place], negligible * explained, rng) for place in places[:count])
        found = attribute_by(measured.additive, copies, changed, weak, LEARNERS, rng).total.mean(0)
        planted += found[places[:count]].tolist()
        chance += found[places[count:]].tolist()
    usual, visible = max(float(np.quantile(chance, 1 - RISK)), trace), float(np.quantile(planted, RISK))
    inert[weak] = effects[weak] <= min(usual, visible)
    shown[weak] = effects[weak] > max(*chance, trace)
    return Comparison(shown=shown, inert=inert)


def _effect(design: Design, parameter: int, variance: float, rng: np.random.Generator) -> Array:
    """A random effect of one parameter with this variance over all trials: a slope, a step, a valley, or levels."""
    active = design.active[:, parameter]
    own = design.values[np.ix_(active, design.columns[parameter])]
    if design.numeric[parameter]:
        place = own[:, 0]
        shapes = (place, (place - 0.5) ** 2, (place > rng.uniform(0.25, 0.75)).astype(float))
        effect = shapes[rng.integers(len(shapes))]
    else:
        effect = own @ rng.standard_normal(own.shape[1])
    effect = effect - effect.mean()
    full = np.zeros(len(active))
    full[active] = effect * np.sqrt(variance * len(active) / max(float(effect @ effect), 1e-12))
    return full
