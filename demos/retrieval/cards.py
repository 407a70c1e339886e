"""HTML of ranked results. Whatever comes from a caption or a file name is escaped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from demos.doors import TITLES
from demos.pictures import picture_tag
from demos.pieces import visible
from demos.retrieval.ranking import Ranking
from demos.selection import TO_CAPTIONS
from demos.work import Progress
from longclip.gallery import Gallery

# Cards shown of each ranking; the right answer is added where it stands further down.
SHOWN = 12


@dataclass(frozen=True)
class Results:
    """What the cards of both models share.

    The gallery, what is searched in it, the right row and those that look alike, and the tabs that a hit can be taken to.
    """

    gallery: Gallery
    search: str
    right: int | None
    alike: frozenset[int]
    doors: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        return "caption" if self.search == TO_CAPTIONS else "picture"


def ranked_cards(results: Results, ranking: Ranking, other: Ranking | None, other_title: str) -> str:
    """The verdict and the best cards of one model, each compared with its rank in the other."""
    rows = [int(row) for row in ranking.order[:SHOWN]]
    cards = [_card(results, row, ranking, other, other_title) for row in rows]
    if results.right is not None and results.right not in rows:
        cards.append('<li class="gap" aria-hidden="true">⋯</li>')
        cards.append(_card(results, results.right, ranking, other, other_title))
    return f'<div class="ranking">{_verdict(results, ranking)}<ol class="cards {results.noun}s">{"".join(cards)}</ol></div>'


def _verdict(results: Results, ranking: Ranking) -> str:
    total = len(ranking.order)
    if results.right is None:
        return f'<p class="verdict unknown"><b>Best of {total:,} {results.noun}s</b></p>'
    rank = int(ranking.ranks[results.right])
    first, told = int(ranking.first_ranks[results.right]), []
    if first < rank:
        told.append(
            f"{rank - first + 1:,} {results.noun}s score the same and share ranks {first:,} to {rank:,}: the last counts"
        )
    if results.alike:
        ahead = ranking.before(results.right)
        before = sum(bool(ahead[row]) for row in results.alike)
        rivals = f"{before} of its {len(results.alike)} look-alikes score as high or higher"
        told.append(rivals if before else "ahead of all its look-alikes")
    return (
        f'<p class="verdict {"first" if rank == 1 else "later"}"><b>Right {results.noun} at rank {rank:,}</b>'
        f"<span>of {total:,}</span>{''.join(f'<small>{sentence}</small>' for sentence in told)}</p>"
    )


def _card(results: Results, row: int, ranking: Ranking, other: Ranking | None, other_title: str) -> str:
    gallery, rank, score = results.gallery, int(ranking.ranks[row]), float(ranking.scores[row])
    change, spoken, step = _change(rank, int(other.ranks[row]), other_title) if other else ("", "", "")
    kind, tag = ("right", f"right {results.noun}") if row == results.right else ("", "")
    if row in results.alike:
        kind, tag = "alike", "look-alike"
    place = ranking.place(row)
    shared = "" if place == f"{rank:,}" else "s"
    label = ", ".join(part for part in (f"Rank{shared} {place}, cosine {score:.3f}", spoken, tag) if part)
    shot = f'<span class="shot">{picture_tag(gallery, row)}<span class="rank">{place}</span></span>'
    words = f'<span class="words">{visible(gallery.captions[row])}</span>' if results.search == TO_CAPTIONS else ""
    return (
        f'<li><button type="button" class="card {kind} {step}" data-pick="{visible(gallery.ids[row])}" title="{escape(label)}">'
        f'{shot}{words}<span class="facts"><span class="score">{score:.3f}</span>{change}</span>'
        f"{f'<span class=tag>{tag}</span>' if tag else ''}</button>{_ways(results, row)}</li>"
    )


def _ways(results: Results, row: int) -> str:
    """Where to go on with a hit: more of its kind, and other tabs."""
    name = visible(results.gallery.ids[row])
    ways = [f'<button type="button" data-like="{name}" title="More pictures like this one">more</button>']
    for door in results.doors:
        word, place = TITLES[door]
        ways.append(f'<button type="button" data-door="{door}" data-name="{name}" title="Open in {place}">{word}</button>')
    return f'<span class="ways">{"".join(ways)}</span>'


def _change(rank: int, there: int, other_title: str) -> tuple[str, str, str]:
    """How much better this model ranks a row than the other: the mark, the words, and the class of its colour."""
    gain = there - rank
    if gain == 0:
        return '<span class="change">=</span>', f"the same in {other_title}", "same"
    strength = min(3, max(1, round(abs(math.log2(there / rank)) / 1.6)))
    direction, mark, word = ("up", "▲", "better") if gain > 0 else ("down", "▼", "worse")
    spoken = f"{abs(gain):,} places {word} than in {other_title} (rank {there:,} there)"
    return f'<span class="change">{mark} {abs(gain):,}</span>', spoken, f"{direction} by-{strength}"


def waiting(title: str, step: Progress, what: str) -> str:
    """A model that is on its way: what it is doing or waits for, and how far it is."""
    share = f"waiting for {step.waits_for}" if step.waits_for else ""
    bar = 'class="unknown"'
    if step.share is not None:
        share, bar = f"{100 * step.share:.0f} %", f'style="width:{100 * step.share:.1f}%"'
    return (
        f'<div class="ranking"><p class="verdict unknown" role="status"><b>{escape(what)} {escape(title)} …</b>'
        f"<span>{share}</span></p>"
        f'<div class="meter busy"><i {bar}></i></div>'
        f'<div class="ghosts" aria-hidden="true">{"<i></i>" * 8}</div></div>'
    )


def is_waiting(html: str) -> bool:
    """Whether this is what `waiting` made."""
    return 'class="meter busy"' in html


def notice(sentence: str) -> str:
    """A sentence in place of results."""
    return f'<div class="ranking"><p class="notice" role="alert">{visible(sentence)}</p></div>'


def grid(gallery: Gallery, rows: list[int]) -> str:
    """Pictures to pick from."""
    cards = (
        f'<li><button type="button" class="card" data-pick="{visible(gallery.ids[row])}" '
        f'title="{visible(gallery.short_captions[row] or gallery.ids[row])}">{picture_tag(gallery, row)}</button></li>'
        for row in rows
    )
    return f'<ol class="cards browse">{"".join(cards)}</ol>'
