"""Which words moved a match, which pixels a word speaks of, and where reading stops.

>>> from longclip.attribution import Match, leave_one_out
>>> match = Match.of_picture(encoder, "A red fox sits beside a pond.", "fox.png")
>>> found = leave_one_out(match, level="words", removal="mask")
>>> [(unit.text, value) for unit, value in zip(found.units, found.values)]

The score is the cosine of caption and picture. Whatever takes long takes `progress`, called with (done, all) after each
batch: what it raises ends the work.
"""

from __future__ import annotations

from .gradients import gradient_times_input, integrated_gradients
from .leave_one_out import leave_one_out
from .length import average_changes, average_curves, length_curve, position_changes
from .match import Attribution, Match
from .pixels import gradient_map, integrated_gradients_map, occlude, word_effects
from .removal import REMOVALS
from .rollout import attention_rollout
from .shapley import shapley_values
from .units import LEVELS, Unit, split_units

__all__ = [
    "LEVELS",
    "REMOVALS",
    "Attribution",
    "Match",
    "Unit",
    "attention_rollout",
    "average_changes",
    "average_curves",
    "gradient_map",
    "gradient_times_input",
    "integrated_gradients",
    "integrated_gradients_map",
    "leave_one_out",
    "length_curve",
    "occlude",
    "position_changes",
    "shapley_values",
    "split_units",
    "word_effects",
]
