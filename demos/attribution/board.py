"""HTML of both models' answers: how well the caption matches, its words in colour, the picture they speak of, the table."""

from __future__ import annotations

import base64
from html import escape
from zlib import crc32

import numpy as np

from demos.attribution.answer import Answer, Explanation
from demos.attribution.order import GRADIENTS, LEAVE_ONE_OUT, QUICK, REMOVALS, ROLLOUT, SHAPLEY, Order
from demos.attribution.words import coloured, legend, spell
from demos.pictures import picture_tag
from demos.pieces import note, visible
from longclip.gallery import Gallery

ABOUT = {
    LEAVE_ONE_OUT: "what the score loses when a {unit} goes, {removal}",
    GRADIENTS: "gradients of the score on the way from fillers to the caption",
    SHAPLEY: "what a {unit} adds, averaged over the orders in which they come in; {removal} while it is out",
    QUICK: "the slope at the caption: a quick look, not what happens when a {unit} goes",
    ROLLOUT: "what flows to the end token: it knows nothing of the picture and explains no match",
}
_MATCH_KEY = '<span><b class="u">blue</b> adds to the match</span><span><b class="d">orange, dotted</b> takes from it</span>'
_SCALES = (
    "Each model has a scale of its own. A map shows what a covered patch takes from what a word does when it is left out, on "
    "the scale of its strongest place."
)
# Steps that the strongest place of all maps is away from 0: the maps travel as whole numbers of 16 bits.
_FINEST = 32767


def key(method: str) -> str:
    """What the colours of a method's answers mean."""
    told = _MATCH_KEY if method != ROLLOUT else '<span><b class="u">blue</b> flows to the end token</span>'
    return f'<p class="key">{told}<span>{_SCALES}</span></p>'


def board(explanation: Explanation, gallery: Gallery, row: int) -> str:
    """All answers side by side, and the table behind them; nothing where there is none."""
    if not explanation.answers:
        return ""
    sections = "".join(
        _reader(answer, explanation.side(answer), explanation.order, picture_tag(gallery, row))
        for answer in explanation.answers
    )
    pair = explanation.order.pair
    of = crc32(f"{pair.gallery} {pair.picture} {pair.caption}".encode("utf-8", "replace"))
    return f'<div class="readers" data-of="{of}">{sections}</div>{table(explanation)}'


def _reader(answer: Answer, side: str, order: Order, picture: str) -> str:
    parts = [f"<h3>{visible(answer.title)}</h3>"]
    found, tokens = answer.attribution, answer.tokens
    if answer.problem:
        parts.append(note(answer.problem))
    elif found is None or tokens is None:
        parts.append('<p class="hint">waits for its turn …</p>')
    else:
        unseen = tokens.total - len(tokens)
        fits = f'<em class="cut">{unseen:,} not seen</em>' if unseen else "<em>all of it is read</em>"
        parts.append(f'<p class="count"><span><b>{found.score:.3f}</b> cosine</span><span>{len(tokens):,} of')
        parts.append(f" {tokens.total:,} tokens · {fits}</span></p>")
        parts.append(
            f'<div class="look"><figure class="shot" tabindex="0" aria-label="The picture: choose a place with the arrow keys">'
            f'{picture}<canvas hidden></canvas><i class="cell" hidden></i></figure>'
            f'<p class="said hint" aria-live="polite"></p></div>'
        )
        parts.append(f'<div class="told">{legend(found)}{coloured(found, tokens)}')
        parts.append(f'<p class="hint">{_facts(answer, order)}</p></div>')
    return f'<section class="reader {side}"{_maps(answer)}>{"".join(parts)}</section>'


def _maps(answer: Answer) -> str:
    """The maps of all units as data: rows, columns, and 16-bit whole numbers, little end first."""
    if answer.maps is None:
        return ""
    _, rows, columns = answer.maps.shape
    highest = float(np.abs(answer.maps).max(initial=0.0))
    steps = np.round(answer.maps * (_FINEST / highest)) if highest else np.zeros_like(answer.maps)
    data = base64.b64encode(steps.astype("<i2").tobytes()).decode()
    return f' data-rows="{rows}" data-columns="{columns}" data-maps="{data}"'


def _facts(answer: Answer, order: Order) -> str:
    found = answer.attribution
    assert found is not None
    unit = order.level.removesuffix("s")
    about = ABOUT[found.method].format(unit=unit, removal=REMOVALS[order.removal])
    facts = [f"{about[0].upper()}{about[1:]}"]
    if found.base is not None:
        without = "a caption of fillers" if found.method == GRADIENTS else f"without any {unit}"
        facts.append(f"{without}: {found.base:.3f}")
    if found.gap is not None:
        moved = abs(found.score - (found.base or 0.0))
        share = f" ({100 * abs(found.gap) / moved:.2g} %)" if moved else ""
        facts.append(f"completeness gap {found.gap:.1e}{share}")
    facts.append(f"{found.passes:,} passes, {found.seconds:.2f} s")
    return escape(" · ".join(facts))


def table(explanation: Explanation) -> str:
    """What each unit adds, a column a model; units that no model reads are left out."""
    told, values = explanation.told, explanation.values()
    if not told:
        return ""
    heads = "".join(f'<th scope="col" class="{explanation.side(answer)}">{visible(answer.title)}</th>' for answer, _ in told)
    text, method = explanation.order.pair.caption, explanation.order.method
    rows = ""
    for start, end in explanation.spans:
        cells = "".join(
            f"<td>{spell(method, *column[start, end]) if (start, end) in column else '–'}</td>" for column in values
        )
        rows += f'<tr><th scope="row">{visible(text[start:end])}</th>{cells}</tr>'
    return (
        f'<details class="behind"><summary>The numbers</summary><div><table class="figures"><thead><tr><td></td>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )
