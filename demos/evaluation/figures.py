"""Plots of the *Evaluate* tab: curves of a report to Plotly figures, one line a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demos.evaluation.reports import Report
from demos.figures import AXIS, GREY, LOOK, STYLES
from demos.pieces import numbers_table

Curves = Sequence[tuple[str, str, dict[float, float]]]

TO_IMAGE, TO_TEXT = "text to image", "image to text"
# Where CLIP stops reading, in tokens.
LIMIT = 77


@dataclass(frozen=True)
class Plot:
    """A plot of one curve. curve: the figure's name, with {} for the direction; x, y: titles of the axes; hover: what a point
    says; percent: whether y ends at 0 and 100; logarithmic: whether x is; mark: a place on x with a line, and its name."""

    title: str
    about: str
    curve: str
    x: str
    y: str
    hover: str
    percent: bool = True
    logarithmic: bool = False
    mark: tuple[float, str] | None = None

    def curves(self, report: Report, data: str | None, direction: str) -> Curves:
        """(title, side, {place: figure}) for each model; empty where it was not measured."""
        return report.curves(data, self.curve.format(direction))


PLOTS = (
    Plot(
        "Who reads on past token 77?",
        "Captions cut after so many tokens, and how often they still find their picture first.",
        "text to image R@1 by tokens",
        "tokens kept",
        "recall at 1 (%)",
        "%{y} % found with %{x} tokens",
        mark=(LIMIT, f"{LIMIT} tokens"),
    ),
    Plot(
        "How clear are the answers?",
        "The margin: cosine of the right pair less that of its best wrong one. Below 0 the wrong one wins.",
        "margin {}, deciles",
        "share of the pairs (%)",
        "margin",
        "%{x} % of the pairs have a margin below %{y}",
        percent=False,
    ),
    Plot(
        "How many wrong pairs come close?",
        "The share of all wrong pairs whose cosine lies above the right one's less γ: margins of γ that are violated.",
        "negatives above S_ii − γ, {} (%)",
        "γ",
        "violations (%)",
        "%{y} % of the wrong pairs within γ = %{x}",
    ),
    Plot(
        "How long a list is needed?",
        "The share of queries whose right answer is not among the best r (top-r error).",
        "top-r error, {} (%)",
        "r",
        "missed (%)",
        "%{y} % not among the best %{x}",
        logarithmic=True,
    ),
)


def curve_table(plot: Plot, curves: Curves) -> str:
    """The numbers of the plot as HTML."""
    places = sorted({place for *_, points in curves for place in points})
    rows = [[f"{place:g}", *(points.get(place) for *_, points in curves)] for place in places]
    return numbers_table([plot.x, *(title for title, *_ in curves)], rows, plot.y)


def curve_figure(plot: Plot, curves: Curves) -> Any:
    """The plot of the curves of at most two models."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for title, side, points in curves:
        colour, dash, symbol = STYLES[side]
        figure.add_scatter(
            x=list(points),
            y=list(points.values()),
            name=title,
            showlegend=bool(points),
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 8, "color": colour, "line": {"width": 2, "color": colour}},
            hovertemplate=plot.hover + "<extra>%{fullData.name}</extra>",
            cliponaxis=False,
        )
    figure.update_layout(
        **LOOK,
        height=320,
        margin={"l": 54, "r": 18, "t": 66, "b": 46},
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0, "font": {"size": 13}},
        xaxis={**AXIS, "title": plot.x},
        yaxis={**AXIS, "title": plot.y},
    )
    if plot.logarithmic:
        places = sorted({place for *_, points in curves for place in points})
        figure.update_xaxes(type="log", tickvals=places, ticktext=[f"{place:g}" for place in places])
    if plot.percent:
        highest = max((value for *_, points in curves for value in points.values()), default=0)
        figure.update_yaxes(range=[0, max(5, min(100, 1.15 * highest))], rangemode="tozero")
    else:
        figure.add_hline(y=0, line={"color": GREY, "width": 1})
    if plot.mark:
        place, name = plot.mark
        figure.add_vline(x=place, line={"color": GREY, "width": 1, "dash": "dash"})
        figure.add_annotation(x=place, y=1, yref="paper", yanchor="bottom", text=name, showarrow=False)
    return figure
