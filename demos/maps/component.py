"""The component that draws the maps: points by WebGL in the browser, clicks and lassos back to Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

SCRIPT = Path(__file__).with_name("maps.js")
_MAP = '<figure class="map {side}"><figcaption></figcaption><div class="plot"></div><svg aria-hidden="true"></svg></figure>'
_TEMPLATE = (
    '<div class="colouring"><label hidden>Colour by <select></select></label><span class="legend"></span></div>'
    '<div class="maps" data-plotly="{plotly}" hidden>{left}{right}<div class="hovering" role="status" hidden></div></div>'
)


def linked_maps(describe: Callable[[Any], str], elem_id: str) -> gr.HTML:
    """Two scatter plots of the same points. The value is what `demos.maps.points.draw_points` makes.

    `colours` (of `find_colourings`) and `marks` are set by ``gr.update``. Events: `pick` with a `point`, `lasso` with `points`.
    describe: the HTML of the card beside a point, for [gallery key, point].
    """

    # Gradio marks the function as one that the page may call, which a bound method does not allow.
    def described(asked: Any) -> str:
        return describe(asked)

    maps = {side: _MAP.format(side=side) for side in ("left", "right")}
    return gr.HTML(
        html_template=_TEMPLATE.format(plotly="gradio_api/file=" + quote(str(plotly_file())), **maps),
        js_on_load=SCRIPT.read_text("utf-8"),
        server_functions=[described],
        apply_default_css=False,
        elem_id=elem_id,
        colours=None,
        marks=None,
    )


def plotly_file() -> Path:
    """The plotly.js that Plotly's Python package holds."""
    import plotly

    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
