"""HTML of a report: a table a set, a row a figure, the models side by side; and how far measuring is."""

from __future__ import annotations

from html import escape
from itertools import groupby

from demos.evaluation.labels import Label, describe_figure, describe_set
from demos.evaluation.reports import Report
from demos.pieces import visible

KEY = (
    '<p class="key"><span><b class="u">▲ blue</b> the right model does better</span>'
    '<span><b class="d">▼ orange</b> it does worse</span><span>Numbers in % unless they are of another kind; differences '
    "of percentages in points.</span></p>"
)


def scoreboard(report: Report, running: bool = False) -> str:
    """All sets with their figures; what is still to come, if anything, shows as an ellipsis."""
    cards = "".join(_set_card(report, data, running) for data in report.figures if report.figures[data] or running)
    return f'<div class="sets">{cards}</div>' if cards else ""


def _set_card(report: Report, data: str, running: bool) -> str:
    title, about = describe_set(data)
    labels = {name: describe_figure(name) for name in report.names(data) if not _is_curve(report, data, name)}
    main = {name: label for name, label in labels.items() if label.main}
    rest = {name: label for name, label in labels.items() if not label.main}
    more = (
        f"<details><summary>{len(rest)} more figures</summary>{_table(report, data, rest, running)}</details>" if rest else ""
    )
    lines = "".join(f"<small>{visible(sentence)}</small>" for sentence in report.left_out.get(data, ()))
    body = _table(report, data, main, running) if main else '<p class="hint">…</p>' if running else ""
    return f'<section class="set"><h3>{visible(title)}</h3><p>{visible(about)}</p>{body}{more}{lines}</section>'


def _table(report: Report, data: str, labels: dict[str, Label], running: bool) -> str:
    compared = len(report.titles) == 2
    heads = "".join(
        f'<th scope="col" class="{report.side(model)}">{visible(title)}</th>' for model, title in report.titles.items()
    )
    heads += '<th scope="col">Difference</th>' if compared else ""
    width = 1 + len(report.titles) + compared
    body = ""
    for group, members in groupby(labels, lambda name: labels[name].group):
        body += f'<tr class="group"><th colspan="{width}" scope="colgroup">{escape(group)}</th></tr>'
        body += "".join(_row(report, data, name, labels[name], running) for name in members)
    return f'<table class="figures"><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _row(report: Report, data: str, name: str, label: Label, running: bool) -> str:
    found = report.figures[data]
    cells, values = "", []
    for model in report.titles:
        figures = found.get(model, {})
        value = figures.get(name)
        values.append(value)
        missing = "…" if running and name not in figures else "–"
        bar = f'<i style="width:{min(100.0, value):.1f}%"></i>' if label.main and label.percent and value is not None else ""
        shown = missing if value is None else _number(value, label)
        cells += f'<td class="{report.side(model)}">{shown}{bar}</td>'
    if len(values) == 2:
        cells += _difference(values[0], values[1], label)
    technical = "" if label.text == name else f' title="{escape(name)}"'
    return f'<tr><th scope="row"{technical}>{visible(label.text)}</th>{cells}</tr>'


def _difference(left: float | None, right: float | None, label: Label) -> str:
    """How the right model's figure differs: marked by colour, sign and word where more or less is better."""
    if left is None or right is None:
        return "<td></td>"
    gap = right - left
    size = _number(abs(gap), label)
    if float(size) == 0:
        return '<td class="same">=</td>'
    if not label.better:
        return f"<td>{'+' if gap > 0 else '−'}{size}</td>"
    step, mark, word = ("up", "▲", "better") if gap * label.better > 0 else ("down", "▼", "worse")
    return f'<td class="{step}" title="the right model does {word}">{mark} {size}<span class="spoken"> {word}</span></td>'


def _number(value: float, label: Label) -> str:
    return f"{value:.1f}" if label.percent else f"{value:.4g}"


def _is_curve(report: Report, data: str, name: str) -> bool:
    return any(isinstance(figures.get(name), dict) for figures in report.figures[data].values())
