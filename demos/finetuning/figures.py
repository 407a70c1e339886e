"""A training's losses and recall as a Plotly figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demos.figures import AXIS, LINES, LOOK

# Of a long run, about this many steps are drawn.
DRAWN = 200


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
