"""The curves of the tab as a Plotly figure."""

from __future__ import annotations

from math import log10
from typing import Any

from demos.attribution.curves import Drawing, Line
from demos.figures import AXIS, GREY, LOOK, STYLES

_TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


def curve_figure(drawing: Drawing) -> Any:
    """Both models' lines, with their bands where there are some, and the landmarks."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for line in drawing.lines:
        colour, dash, _ = STYLES[line.side]
        if line.low is not None:
            figure.add_scatter(**_band(line, colour))
        figure.add_scatter(
            x=line.x,
            y=line.y,
            name=line.title,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate="%{y:.4g} at %{x}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        **LOOK,
        height=360,
        margin={"l": 58, "r": 18, "t": 66, "b": 46},
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "font": {"size": 13}},
        xaxis={**AXIS, "title": drawing.x},
        yaxis={**AXIS, "title": drawing.y},
    )
    if drawing.ranked:
        worst = max((float(line.y.max()) for line in drawing.lines), default=10)
        ticks = [tick for tick in _TICKS if tick <= drawing.worst]
        figure.update_yaxes(type="log", tickvals=ticks, range=[log10(max(10, worst)) + 0.12, -0.12])
    for place, name in drawing.marks.items():
        figure.add_vline(x=place, line={"color": GREY, "width": 1, "dash": "dash"})
        figure.add_annotation(x=place, y=1, yref="paper", yanchor="bottom", text=name, showarrow=False)
    return figure


def _band(line: Line, colour: str) -> dict[str, Any]:
    """The outline of a band, there and back."""
    assert line.low is not None and line.high is not None
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return {
        "x": [*line.x, *line.x[::-1]],
        "y": [*line.high, *line.low[::-1]],
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},.18)",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
    }
