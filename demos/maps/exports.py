"""A map's points as a file: Parquet or CSV for other programs, HTML that opens anywhere without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from demos.figures import LINES, LOOK
from demos.pieces import table_cell, visible
from longclip.gallery import Gallery
from longclip.tables import map_columns, write_table

CSV, HTML = "csv", "html"
FORMS = {"parquet": "Parquet", CSV: "CSV", HTML: "HTML"}
# Characters of a caption that the HTML shows on hover, and of a line of it.
_SHOWN, _LINE = 240, 60


def write_maps(path: Path, gallery: Gallery, points: Mapping[str, np.ndarray], titles: list[str], places: bool = True) -> Path:
    """Writes points [n, 2] or [2 n, 2] by model to a file that ends in .parquet, .csv or .html.

    places: whether a table says where on this machine the pictures are, or their names alone.
    """
    if path.suffix == f".{HTML}":
        path.write_text(draw_page(gallery, points, titles), "utf-8", "replace")
        return path
    columns = map_columns(gallery, points)
    # Small copies of pictures are for this page.
    columns = {name: values for name, values in columns.items() if name != "thumbnail"}
    if not places:
        columns["picture"] = [Path(name).name for name in columns["picture"]]
    if path.suffix == f".{CSV}":
        columns = {name: _cells(values) for name, values in columns.items()}
    return write_table(path, columns)


def draw_page(gallery: Gallery, points: Mapping[str, np.ndarray], titles: list[str]) -> str:
    """A page of its own with the maps side by side, each point with its name and the beginning of its caption."""
    from plotly.io import to_html
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(points), subplot_titles=[visible(title) for title in titles], horizontal_spacing=0.04)
    count = len(gallery)
    hovers = [f"<b>{visible(id)}</b><br>{_wrap(text)}" for id, text in zip(gallery.ids, gallery.captions, strict=True)]
    for column, places in enumerate(points.values(), 1):
        for kind, (start, style) in enumerate(zip(range(0, len(places), count), LINES, strict=False)):
            own = np.asarray(places[start : start + count], dtype=np.float32)
            figure.add_scattergl(
                x=own[:, 0],
                y=own[:, 1],
                mode="markers",
                name=("pictures", "captions")[kind],
                legendgroup=str(kind),
                showlegend=column == 1,
                marker={"size": 5, "color": style[0], "symbol": ("circle", "diamond")[kind], "opacity": 0.75},
                text=hovers,
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
                row=1,
                col=column,
            )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(**LOOK, dragmode="pan", margin={"l": 10, "r": 10, "t": 40, "b": 10})
    config: dict[str, Any] = {"scrollZoom": True, "displaylogo": False, "responsive": True}
    return to_html(figure, config, include_plotlyjs=True, default_height="95vh")


def _wrap(text: str) -> str:
    from textwrap import shorten, wrap

    return "<br>".join(visible(line) for line in wrap(shorten(text, _SHOWN, placeholder=" …"), _LINE))


def _cells(values: Any) -> Any:
    return values if isinstance(values, np.ndarray) else [table_cell(str(value)) for value in values]
