"""How the learning rate rises and falls over a run, and how far it can take a weight."""

from __future__ import annotations

import math

#: Share of the highest rate that is left at the end, where nothing else is said.
LAST = 0.01


def schedule(step: int, warmup: int, steps: int, last: float = LAST) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine down to `last`."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2


def warmup_steps(warmup: float, steps: int) -> int:
    """Steps of warm-up: below 1 it is a share of the run's steps, at least one of them; from 1 on it is their number."""
    if warmup >= 1:
        return int(warmup)
    return max(1, round(warmup * steps)) if warmup else 0


def shares(warmup: int, steps: int, last: float = LAST) -> tuple[float, float]:
    """The largest share of the learning rate that a run of so many steps reaches, and the sum of the shares of all steps."""
    rising = min(warmup, steps)
    falling = steps - rising
    # The cosines of a falling schedule sum to 1.
    total = rising * (rising + 1) / 2 / max(1, warmup) + (last * falling + (1 - last) * (falling + 1) / 2 if falling else 0.0)
    return (1.0 if falling else rising / warmup if warmup else 0.0), total
