"""HTML of the arms: what each reads, what it drew so far, what the judge found, and its words to click."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

from demos.generation.studio import Finding, Sketch, Word, count_found
from demos.pieces import note, visible

# Words to click, and characters beyond them, that are shown of a prompt.
MOST_WORDS, SHOWN = 400, 2500
_SHORTENED = 90


def arms(sketches: Sequence[Sketch]) -> str:
    """All arms side by side."""
    return f'<div class="arms" data-count="{len(sketches)}">{"".join(map(_arm, sketches))}</div>' if sketches else ""


def _arm(sketch: Sketch) -> str:
    parts = [f"<h3>{visible(sketch.title)}</h3>"]
    if sketch.problem:
        parts.append(note(sketch.problem))
    elif not sketch.steps:
        parts.append('<p class="hint">waits for its turn …</p>')
    else:
        parts += [_count(sketch), _pictures(sketch)]
        if not sketch.finished:
            share = 100 * sketch.step / sketch.steps
            parts.append(f'<div class="meter busy"><i style="width:{share:.0f}%"></i></div>')
        if sketch.blanked:
            parts.append(note(_blanked(sketch)))
        if sketch.unjudged:
            parts.append(note(sketch.unjudged))
        if sketch.findings:
            parts.append(_findings(sketch))
        if sketch.words:
            parts.append(_words(sketch))
    return f'<section class="arm" data-arm="{escape(sketch.arm)}">{"".join(parts)}</section>'


def _count(sketch: Sketch) -> str:
    unseen = "not read to its end" if sketch.prompt[sketch.unseen_start :].strip() else "read to its end"
    cut = ' class="cut"' if unseen.startswith("not") else ""
    return f'<p class="count"><b>{sketch.total:,} tokens</b><em{cut}>{unseen}</em></p>'


def _pictures(sketch: Sketch) -> str:
    shots = []
    for number, picture in enumerate(sketch.pictures):
        source = "data:image/png;base64," + base64.b64encode(picture).decode()
        caption = ""
        if sketch.finished:
            # The page gives the link its address when it is clicked: the picture comes but once.
            name = f"longclip-{sketch.arm}-{number + 1}.png"
            caption = f'<figcaption><a href="#" download="{name}">PNG</a></figcaption>'
        shots.append(
            f'<figure class="shot"><img src="{source}" alt="What was drawn by: {escape(sketch.title)}">'
            f"<canvas hidden></canvas>{caption}</figure>"
        )
    return f'<div class="shots">{"".join(shots) or "<figure class=shot></figure>"}</div>'


def _blanked(sketch: Sketch) -> str:
    which = "this picture" if len(sketch.pictures) == 1 else f"{sketch.blanked} of {len(sketch.pictures)} pictures"
    return f"The pipeline's safety checker made {which} black: try another seed, or other words."


def _findings(sketch: Sketch) -> str:
    if sketch.findings[0].found is None:
        rows = "".join(
            f"<li><span>{visible(_shorten(finding.text))}</span><b>{finding.score:.3f}</b></li>" for finding in sketch.findings
        )
        who = f"{visible(sketch.judged_by)}{_and_count(sketch)}"
        return (
            f'<details class="judged" open><summary>Sentence by sentence, says {who}</summary>'
            f'<ul class="cosines">{rows}</ul></details>'
        )
    found, named = count_found(sketch.findings)
    late = [finding for finding in sketch.findings if finding.start >= sketch.clip_end]
    beyond = " · <b>{} of {}</b> beyond token 77".format(*count_found(late)) if late else ""
    chips = "".join(_chip(finding) for finding in sketch.findings)
    return (
        f'<div class="judged"><p><b>{found} of {named}</b> things found{beyond}</p><ul class="found">{chips}</ul>'
        f'<p class="hint">says {visible(sketch.judged_by)}, which never saw a text encoder{_and_count(sketch)}</p></div>'
    )


def _and_count(sketch: Sketch) -> str:
    return "; of the first picture" if len(sketch.pictures) > 1 else ""


def _chip(finding: Finding) -> str:
    text = visible(finding.text)
    if not finding.found:
        return f'<li class="no"><span aria-hidden="true">✗</span> <span class="spoken">not found: </span>{text}</li>'
    if finding.coloured is False:
        return f'<li class="half"><span aria-hidden="true">~</span> {text}<span class="spoken">, in another colour</span></li>'
    return f'<li class="yes"><span aria-hidden="true">✓</span> {text}</li>'


def _words(sketch: Sketch) -> str:
    pieces = "".join(_pieces(sketch.prompt, sketch.words[:MOST_WORDS]))
    place = sketch.words[min(len(sketch.words), MOST_WORDS) - 1].end
    rest = sketch.prompt[place : sketch.unseen_start]
    unseen = sketch.prompt[sketch.unseen_start :]
    tail = _cut(rest) + (f'<s title="beyond the limit: not read">{_cut(unseen)}</s>' if unseen.strip() else "")
    return f'<div class="reading"><p class="text words" dir="auto">{pieces}{tail}</p></div>'


def _pieces(prompt: str, words: Sequence[Word]) -> Iterator[str]:
    place, index = 0, 0
    for word in words:
        yield visible(prompt[place : word.start])
        text = visible(prompt[word.start : word.end])
        if word.places:
            places = base64.b64encode(word.places).decode()
            # One stop of the Tab key for all of them; the arrow keys go on from word to word.
            yield (
                f'<button type="button" class="word" tabindex="{index}" aria-pressed="false" data-start="{word.start}" '
                f'data-map="{places}">{text}</button>'
            )
            index = -1
        else:
            yield text
        place = word.end


def _cut(text: str) -> str:
    more = f"<small> … and {len(text) - SHOWN:,} more characters</small>" if len(text) > SHOWN else ""
    return visible(text[:SHOWN]) + more


def _shorten(text: str) -> str:
    return text if len(text) <= _SHORTENED else text[: _SHORTENED - 1] + "…"
