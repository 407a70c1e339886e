"""Data to Plotly figures. Backgrounds are transparent and greys of middle strength, for a light page and a dark one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from demos.ranking import Point

GREY, FAINT = "#7c8594", "rgba(125,135,150,.22)"
# One colour, line and marker a model, the left one first: told apart without colour too.
STYLES = (("#b07d1e", "dot", "circle-open"), ("#8268e8", "solid", "square"))
# The same for more than two lines.
LINES = (*reversed(STYLES), ("#2f9e8f", "dash", "diamond"), ("#c4587a", "dashdot", "triangle-up"), (GREY, "longdash", "x"))
AXIS = {"gridcolor": FAINT, "linecolor": FAINT, "zeroline": False, "fixedrange": True}
LOOK = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": GREY},
    "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
}
# Of a long run, about this many steps are drawn.
DRAWN = 200

HOVER = "rank %{y:,} with %{x} sentences<br>%{customdata[0]} tokens%{customdata[1]}<extra>%{fullData.name}</extra>"


def rank_figure(curves: Sequence[tuple[str, int | None, list[Point]]], total: int, what: str) -> Any:
    """Rank of the right answer (log axis, 1 on top) against the sentences kept, for (title, context length, points) each."""
    import plotly.graph_objects as go

    figure = go.Figure()
    longest = max((point.sentences for _, _, points in curves for point in points), default=1)
    for (title, limit, points), (colour, dash, symbol) in zip(curves, STYLES, strict=False):
        figure.add_scatter(
            x=[point.sentences for point in points],
            y=[point.rank for point in points],
            customdata=[(point.tokens, "" if not limit or point.tokens <= limit else ", cut") for point in points],
            name=title,
            showlegend=bool(points),
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
            hovertemplate=HOVER,
            cliponaxis=False,
        )
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if tick <= max(10, total)]
    figure.update_layout(
        **LOOK,
        height=350,
        margin={"l": 54, "r": 18, "t": 66, "b": 46},
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "font": {"size": 13}},
        xaxis={**AXIS, "title": "sentences kept", "range": [0.7, longest + 0.3]},
        yaxis={**AXIS, "title": f"rank of the right {what}", "type": "log", "tickvals": ticks, "range": _range(curves)},
    )
    if longest <= 16:
        figure.update_xaxes(dtick=1)
    for limit, first in _limits(curves).items():
        figure.add_vline(x=first - 0.5, line={"color": GREY, "width": 1, "dash": "dash"})
        figure.add_annotation(
            x=first - 0.5, y=1, yref="paper", xanchor="center", yanchor="bottom", text=f"{limit} tokens", showarrow=False
        )
    return figure


def training_figure(
    losses: Mapping[str, Sequence[tuple[int, float]]], recalls: Mapping[str, Sequence[tuple[int, float]]], steps: int
) -> Any:
    """Recall in percent above the losses, both against the step: (step, value) of each line by its name."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for lines, axis, mode in ((recalls, "y", "lines+markers"), (losses, "y2", "lines")):
        for number, (name, points) in enumerate(lines.items()):
            colour, dash, symbol = LINES[number % len(LINES)]
            thinned = points[:: max(1, len(points) // DRAWN)] if mode == "lines" else points
            figure.add_scatter(
                x=[step for step, _ in thinned],
                y=[value for _, value in thinned],
                yaxis=axis,
                name=name,
                legend="legend" if axis == "y" else "legend2",
                mode=mode,
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 8},
                hovertemplate="%{y:.3g}<extra>%{fullData.name}, step %{x:,}</extra>",
                cliponaxis=False,
            )
    legend = {"orientation": "h", "x": 0, "yanchor": "bottom", "font": {"size": 12}, "bgcolor": "rgba(0,0,0,0)"}
    figure.update_layout(
        **LOOK,
        height=440,
        margin={"l": 54, "r": 18, "t": 40, "b": 46},
        legend={**legend, "y": 1.0},
        legend2={**legend, "y": 0.43},
        xaxis={**AXIS, "title": "step", "range": [0, max(1, steps)], "anchor": "y2"},
        yaxis={**AXIS, "title": "held-out recall, %", "domain": [0.58, 1], "rangemode": "tozero"},
        yaxis2={**AXIS, "title": "loss", "domain": [0, 0.42]},
    )
    return figure


def _limits(curves: Sequence[tuple[str, int | None, list[Point]]]) -> dict[int, int]:
    """For each context length that the caption passes, the number of sentences with which it first does."""
    return {
        limit: next(point.sentences for point in points if point.tokens > limit)
        for _, limit, points in curves
        if limit and any(point.tokens > limit for point in points)
    }


def _range(curves: Sequence[tuple[str, int | None, list[Point]]]) -> list[float]:
    """Ends of the log axis, the worst rank at the bottom."""
    worst = max((point.rank for _, _, points in curves for point in points), default=1)
    return [log10(max(10, worst)) + 0.12, -0.12]
