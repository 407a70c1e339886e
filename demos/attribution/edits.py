"""The counterfactual: what an edit of the caption does to the score, and where it shows among the words."""

from __future__ import annotations

from random import Random

from demos.attribution.answer import Answer, Explanation
from demos.attribution.words import Spans, coloured, legend
from demos.pieces import note, visible
from longclip.tokens import Tokens

# Changed words that are named.
NAMED = 6
# Scores that differ by less are equal: the same text among other ones rounds differently.
ROUNDING = 1e-6


def comparison(before: Explanation, after: Explanation) -> str:
    """Both models' scores before and after an edit, and the edited caption in colour, new words outlined."""
    sections = "".join(
        _change(old, new, side) for old, new, side in zip(before.answers, after.answers, ("left", "right"), strict=False)
    )
    return f'<div class="readers edited-caption">{sections}</div>' if sections else ""


def change_colour(caption: str, generator: Random) -> str | None:
    """The caption with one of its colours changed to another; None where it names none."""
    from longclip.picturebook.palette import COLOURS

    words = [(start, end) for start, end in _words(caption) if caption[start:end].lower() in COLOURS]
    if not words:
        return None
    start, end = generator.choice(words)
    other = generator.choice([colour for colour in COLOURS if colour != caption[start:end].lower()])
    return caption[:start] + other + caption[end:]


def _change(old: Answer, new: Answer, side: str) -> str:
    parts = [f"<h3>{visible(new.title)}</h3>"]
    if new.problem or new.attribution is None or new.tokens is None or old.attribution is None or old.tokens is None:
        parts.append(note(new.problem or old.problem) or '<p class="hint">waits for its turn …</p>')
    else:
        gain = new.attribution.score - old.attribution.score
        gain = gain if abs(gain) > ROUNDING else 0.0
        removed, added = _changed(old, new)
        parts.append(
            f'<p class="verdict {"unknown" if not gain else "first" if gain > 0 else "later"}">'
            f"<b>{old.attribution.score:.3f} → {new.attribution.score:.3f}</b><span>{_said(gain)}</span>"
            f"<small>{_named(old.tokens, removed, new.tokens, added)}</small></p>"
        )
        parts.append(legend(new.attribution) + coloured(new.attribution, new.tokens, clickable=False, changed=added))
    return f'<section class="reader {side}">{"".join(parts)}</section>'


def _said(gain: float) -> str:
    if not gain:
        return "nothing changes"
    by = "less than 0.0001" if abs(gain) < 0.0001 else f"{abs(gain):.4f}"
    return f"{'▲ fits better' if gain > 0 else '▼ fits worse'} by {by}"


def _named(old: Tokens, removed: Spans, new: Tokens, added: Spans) -> str:
    if removed or added:
        return " → ".join(_quoted(side.text, spans) or "nothing" for side, spans in ((old, removed), (new, added)))
    if old.text == new.text:
        return "The caption is the same."
    if old.text.split() == new.text.split():
        return "Only white space was changed."
    return "This model does not read the words that were changed."


def _quoted(text: str, spans: Spans) -> str:
    more = f" and {len(spans) - NAMED} more" if len(spans) > NAMED else ""
    return ", ".join(f"“{visible(text[start:end])}”" for start, end in spans[:NAMED]) + more


def _changed(old: Answer, new: Answer) -> tuple[Spans, Spans]:
    """The words of what a model reads that stand only in the old caption, and only in the new one."""
    from longclip.picturebook.pages import changed_spans

    assert old.tokens is not None and new.tokens is not None
    return changed_spans(*(tokens.text[: tokens.unseen_start] for tokens in (old.tokens, new.tokens)))


def _words(text: str) -> list[tuple[int, int]]:
    from longclip.attribution.units import word_spans

    return word_spans(text)
