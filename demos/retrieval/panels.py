"""HTML around the results: the right answer, reports, headings."""

from __future__ import annotations

import re
from html import escape

from demos.pictures import picture_tag
from demos.pieces import visible
from demos.selection import BY_SUM, TO_CAPTIONS, TO_PICTURES, Selection
from longclip.gallery import Gallery

_HINTS = {
    TO_PICTURES: "Not known for this caption. Pick a scene, or mark one of your pictures, to see where the right one ranks.",
    TO_CAPTIONS: "Pick a picture below, press Surprise me, or add one of your own.",
    BY_SUM: "Write, say, <code>2:a red boat + 0.5:like:000012.webp - snow</code>: texts, and pictures of the gallery by their "
    "names. <code>photo.jpg</code> stands for the picture that you add below.",
}
CURVE_HEADING = (
    "<h2>How much of the caption does each model need?</h2>"
    "<p>The caption is cut after its first sentence, its second, and so on; each time, where does the right answer rank?</p>"
)
KEY = (
    '<p class="key"><span>Click a card to search with it.</span>'
    '<span title="The cosine of the angle between the two embeddings: 1 is the same direction, 0 is unrelated. It compares '
    'pictures within one model, not models with one another.">Number: <b>cosine</b> of text and picture.</span>'
    '<span><b class="u">▲ blue</b> ranked better than in the other model</span>'
    '<span><b class="d">▼ orange</b> ranked worse</span>'
    "<span><b>dashed</b> a look-alike: the same summary</span></p>"
)
_LINK = '<button type="button" class="quiet" data-copy>Copy link</button>'
_CLEAR = '<button type="button" class="quiet" data-clear>Forget it</button>'
_FOLDER = re.compile(r"(?<![^\s'\"])/(?:[^\s/]+/)+")
# Of a report on skipped files, this many are named.
_NAMED = 5


def answer_panel(selection: Selection, gallery: Gallery, row: int | None, address: str) -> str:
    """The right picture of a caption, or the picture that is searched with, and the link to this page."""
    to_pictures = selection.search != TO_CAPTIONS
    heading = "The right picture" if to_pictures else "You search with"
    if selection.search == BY_SUM:
        heading, row = "Terms and their weights", None
    if row is None:
        body, clear = f'<p class="hint">{_HINTS[selection.search]}</p>', ""
    else:
        body, clear = picture_tag(gallery, row), _CLEAR if to_pictures else ""
    return (
        f'<div class="answer{" empty" if row is None else ""}" data-address="{escape(address)}"><h3>{heading}</h3>{body}'
        f'<div class="tools">{clear}{_LINK}</div></div>'
    )


def upload_report(gallery: Gallery) -> str:
    """How many pictures were taken, and which files were not and why."""
    taken = f"{len(gallery):,} picture{'s' if len(gallery) != 1 else ''} added."
    return _report(taken, gallery) if gallery.skipped else f'<p class="report" role="status">{taken}</p>'


def left_out_report(gallery: Gallery) -> str:
    """What of a gallery cannot be shown and why, beside the results from the rest; nothing where that is all of it."""
    return _report("These results are from the rest of the gallery.", gallery) if gallery.skipped else ""


def _report(said: str, gallery: Gallery) -> str:
    # By their names alone: where files lie on the server is nobody's business.
    sentences = [_FOLDER.sub("", sentence) for sentence in gallery.skipped[:_NAMED]]
    items = "".join(f"<li>{visible(sentence)}</li>" for sentence in sentences)
    more = len(gallery.skipped) - _NAMED
    rest = f"<li>and {more:,} more</li>" if more > 0 else ""
    return f'<div class="report" role="status"><p>{said} Left out:</p><ul>{items}{rest}</ul></div>'
