"""Components that several tabs have."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.context import Context
from demos.pieces import model_label


def model_picker(context: Context, value: str, label: str, **others: Any) -> gr.Dropdown:
    """A choice of all the page's models; where the page is not public, a name, file or folder can be typed."""
    models = [(model_label(spec), spec.name) for spec in context.models.values()]
    return gr.Dropdown(models, value=value, label=label, allow_custom_value=not context.public, **others)
