"""What all tabs write into the page: text made safe, a model by name and terms, one sentence to the visitor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from longclip.registry import ModelSpec

if TYPE_CHECKING:
    from demos.context import Context

# Control characters become their visible pictures; marks that reverse the direction of the page's text, a placeholder.
_VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_VISIBLE |= dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """Any text, safe inside HTML."""
    return escape(text.translate(_VISIBLE))


def note(sentence: str) -> str:
    """One sentence to the visitor, or nothing."""
    return f'<p class="notice" role="alert">{visible(sentence)}</p>' if sentence else ""


def progress(text: str, done: float | None, seconds: float | None = None) -> str:
    """What is being done, how much of all is (0 to 1), and the seconds it still takes, where known."""
    bar = 'class="unknown"' if done is None else f'style="width:{100 * done:.1f}%"'
    left = f"{spell_time(seconds)} left" if seconds is not None else ""
    return (
        f'<div class="measuring"><p role="status"><b>{visible(text)} …</b><span>{left}</span></p>'
        f'<div class="meter busy"><i {bar}></i></div></div>'
    )


def spell_time(seconds: float) -> str:
    """A time in plain words, such as "about 20 seconds"."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 50:
        return f"about {round(seconds / 10) * 10} seconds"
    if seconds < 90:
        return "about a minute"
    if seconds < 3000:
        return f"about {round(seconds / 60)} minutes"
    hours = max(1, round(seconds / 3600))
    return "about an hour" if hours == 1 else f"about {hours} hours"


def numbers_table(heads: Sequence[str], rows: Iterable[Sequence[object]], about: str = "") -> str:
    """What a plot shows as a table, folded away: a row a place, which stands first. Nothing where there is no row.

    None is an empty place. Numbers have four digits, whole ones all of theirs.
    """
    body = "".join(
        f'<tr><th scope="row">{_spell(first)}</th>{"".join(f"<td>{_spell(value)}</td>" for value in rest)}</tr>'
        for first, *rest in rows
    )
    if not body:
        return ""
    head = "".join(f'<th scope="col">{visible(name)}</th>' for name in heads)
    said = f"<caption>{visible(about)}</caption>" if about else ""
    return (
        f'<details class="behind"><summary>The numbers</summary><div><table class="figures">{said}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _spell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return visible(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def table_cell(text: str) -> str:
    """Any text as a cell of a CSV file: one that a spreadsheet would take for a formula is marked as text."""
    return "'" + text if text.startswith(_FORMULA) else text


def model_label(spec: ModelSpec) -> str:
    """A model in a picker."""
    length = f" · {spec.context_length} tokens" if spec.context_length else ""
    return f"{spec.title}{length}{'' if spec.source != 'hub' else ' · needs download'}"


def model_terms(context: Context, name: str | None) -> str:
    """What a model is, where it comes from and what one may do with it; nothing for a name that is no model's."""
    spec = context.spec((name or "").strip())
    if spec is None:
        return ""
    if not spec.note and context.ready(name.strip()):
        spec = context.encoder(name.strip()).spec  # what it is read as is known once it is
    licence = f"licence: <b>{visible(spec.licence)}</b>" if spec.source == "hub" else f"licence: {visible(spec.licence)}"
    origin = {
        "hub": f"fetched on first use from <code>{visible(spec.location)}</code>",
        "local": f"read from <code>{visible(spec.location)}</code>",
        "embedded": "ships with this page",
        "trained": "only you see it, for an hour after its last use",
    }[spec.source]
    return f'<p class="terms">{visible(spec.note or spec.family or "not listed here")} · {licence} · {origin}</p>'
