"""Components that several tabs have."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.context import Context
from demos.pieces import model_label


def folder_box(context: Context, elem_id: str, visible: bool = False) -> gr.Textbox:
    """Where the folder of a gallery is named; never shown on a public page."""
    return gr.Textbox(
        label="Or the folder of a gallery that python -m longclip index made on this machine",
        placeholder="/data/galleries/birds",
        visible=visible and not context.public,
        elem_id=elem_id,
    )


def model_picker(context: Context, value: str, label: str, **others: Any) -> gr.Dropdown:
    """A choice of all the page's models; where the page is not public, a name, file or folder can be typed."""
    models = [(model_label(spec), spec.name) for spec in context.models.values()]
    return gr.Dropdown(models, value=value, label=label, allow_custom_value=not context.public, **others)
