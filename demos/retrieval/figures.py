"""The curve of the retrieval tab as a Plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

from demos.figures import AXIS, GREY, LOOK, STYLES
from demos.pieces import numbers_table
from demos.retrieval.ranking import Point

HOVER = "rank %{y:,} with %{x} sentences<br>%{customdata[0]} tokens%{customdata[1]}<extra>%{fullData.name}</extra>"


def rank_figure(curves: Sequence[tuple[str, int | None, list[Point]]], total: int, what: str) -> Any:
    """Rank of the right answer (log axis, 1 on top) against the sentences kept, for (title, context length, points) of the left
    model and of the right one."""
    import plotly.graph_objects as go

    figure = go.Figure()
    longest = max((point.sentences for _, _, points in curves for point in points), default=1)
    for (title, limit, points), (colour, dash, symbol) in zip(curves, STYLES.values(), strict=True):
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


def rank_table(curves: Sequence[tuple[str, int | None, list[Point]]]) -> str:
    """The numbers of the plot as HTML: by the sentences kept, each model's count of tokens and its rank."""
    heads = [f"{what}, {title}" for title, _, points in curves if points for what in ("tokens", "rank")]
    found = [{point.sentences: point for point in points} for *_, points in curves if points]
    places = sorted({sentences for column in found for sentences in column})
    rows = []
    for place in places:
        points = [column.get(place) for column in found]
        values = [value for point in points for value in ((point.tokens, point.rank) if point else (None, None))]
        rows.append([place, *values])
    return numbers_table(["sentences kept", *heads], rows)


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
