"""HTML of a caption in the colours of what its words do: blue adds to the match, orange takes from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from demos.attribution.order import ROLLOUT
from demos.pieces import visible

if TYPE_CHECKING:
    from longclip.attribution import Attribution
    from longclip.tokens import Tokens

# Characters of what is not read that are shown.
SHOWN = 2500
# Below this share of the strongest word's value a word has no mark beside its colour.
_WEAK = 0.08

Spans = Sequence[tuple[int, int]]


def coloured(found: Attribution, tokens: Tokens, clickable: bool = True, changed: Spans = ()) -> str:
    """The caption, each unit in the colour of its value, and what is not read struck through.

    clickable: units are buttons. changed: spans of words that are outlined.
    """
    strongest = scale_of(found)
    unseen = found.text[tokens.unseen_start :]
    tail = f'<s title="beyond the limit: not read">{_cut(unseen)}</s>' if unseen.strip() else ""
    pieces = "".join(_pieces(found, tokens.unseen_start, strongest, clickable, changed))
    return f'<p class="text words {found.level}" dir="auto">{pieces}{tail}</p>'


def scale_of(found: Attribution) -> float:
    """The value that has the full colour: that of the strongest unit."""
    return float(np.abs(found.values).max(initial=0.0))


def spell(method: str, value: float, error: float | None = None) -> str:
    """What a unit adds, with its sign and its standard error where it has one; of rollout, its share."""
    if method == ROLLOUT:
        return f"{100 * value:.1f} %"
    shown = f"{value:+.4f}".replace("-", "−")
    return shown if error is None or np.isnan(error) else f"{shown} ± {error:.4f}"


def legend(found: Attribution) -> str:
    """The colours' scale: each model has its own, as cosines of two models are not compared."""
    strongest = scale_of(found)
    if found.method == ROLLOUT:
        return (
            '<p class="ramp one-sided"><span>0</span><i aria-hidden="true"></i>'
            f"<span>{100 * strongest:.1f} % of what the end token attends to</span></p>"
        )
    return (
        f'<p class="ramp"><span><b class="d">takes</b> −{strongest:.3f}</span><i aria-hidden="true"></i>'
        f'<span>+{strongest:.3f} <b class="u">adds</b></span></p>'
    )


def _pieces(found: Attribution, end: int, strongest: float, clickable: bool, changed: Spans) -> Iterator[str]:
    place = 0
    for number, at in enumerate(found.seen):
        unit, value = found.units[at], found.values[at]
        yield visible(found.text[place : unit.start])
        share = abs(value) / strongest if strongest else 0.0
        kinds = ["word", "up" if value >= 0 else "down"]
        kinds += ["weak"] if share < _WEAK else []
        kinds += ["edited"] if any(unit.start < b and a < unit.end for a, b in changed) else []
        button = (
            f' role="button" tabindex="{0 if number == 0 else -1}" aria-pressed="false" data-unit="{number}"'
            f' data-start="{unit.start}" data-end="{unit.end}"'
            if clickable
            else ""
        )
        shown = f'class="{" ".join(kinds)}" style="--share:{share:.2f}" title="{spell(found.method, value)}"'
        yield f"<span {shown}{button}>{visible(found.text[unit.start : unit.read_end])}</span>"
        place = unit.read_end
    yield visible(found.text[place:end])


def _cut(text: str) -> str:
    more = f"<small> … and {len(text) - SHOWN:,} more characters</small>" if len(text) > SHOWN else ""
    return visible(text[:SHOWN]) + more
