"""HTML of a text as a model reads it: a token counter, the unseen tail struck through, words new to the model underlined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from demos.pieces import visible
from longclip.registry import ModelSpec

# Of each part of a text, what is read and what is not, this many characters are shown.
SHOWN = 2500


def reading(spec: ModelSpec, text: str, tokens: object | None, words: Iterable[object] = ()) -> str:
    """The counter and the text, for `longclip.tokens.Tokens` of the text and its `Word`s; None where the model is not there."""
    if tokens is None or not text.strip():
        limit = f"reads up to {spec.context_length} tokens" if spec.context_length else ""
        return f'<div class="reading"><div class="count"><span>{limit}</span></div></div>'
    split = tokens.unseen_start
    new = [(word.start, word.end) for word in words if not word.known]
    share = 100 * len(tokens) / max(1, tokens.total)
    cut = tokens.total - len(tokens)
    fits = f'<em class="cut">{cut:,} not seen</em>' if cut else "<em>all of it is read</em>"
    legend = '<span class="legend"><u class="new">dotted</u> = a word its training never saw</span>' if new else ""
    return (
        f'<div class="reading"><div class="count"><b>{len(tokens):,} of {tokens.total:,} tokens</b>{fits}</div>'
        f'<div class="meter" role="img" aria-label="{len(tokens)} of {tokens.total} tokens are read">'
        f'<i style="width:{share:.1f}%"></i></div>'
        f'<p class="text" dir="auto" tabindex="0" aria-label="The text as {escape(spec.title)} reads it">'
        f"{_part(text, 0, split, new)}{_unseen(text, split, new)}</p>{legend}</div>"
    )


def _unseen(text: str, split: int, new: list[tuple[int, int]]) -> str:
    return f'<s title="beyond the limit: not read">{_part(text, split, len(text), new)}</s>' if text[split:].strip() else ""


def _part(text: str, start: int, end: int, new: list[tuple[int, int]]) -> str:
    shown = min(end, start + SHOWN)
    html = "".join(_marked(text, start, shown, new))
    return html + (f"<small> … and {end - shown:,} more characters</small>" if shown < end else "")


def _marked(text: str, start: int, end: int, new: list[tuple[int, int]]) -> Iterator[str]:
    place = start
    for first, last in new:
        first, last = max(first, place), min(last, end)
        if first < last:
            yield visible(text[place:first])
            yield f'<u class="new">{visible(text[first:last])}</u>'
            place = last
    yield visible(text[place:end])
