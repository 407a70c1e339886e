"""Buttons that save: the file is made when one is clicked, and goes to the browser's downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

# By the address of the file that has come: the link of a download button may still be that of the file before it, or of none.
_GIVE = """(file) => {
  const link = document.createElement('a');
  Object.assign(link, { href: file.url, download: file.orig_name });
  link.click();
}"""


def save_on_click(makers: Mapping[gr.Button, Callable[..., str]], inputs: Any, **event: Any) -> None:
    """Each of the buttons downloads the file whose path its maker returns; a `gr.Error` of a maker is shown, nothing saved."""
    file = gr.File(visible="hidden")
    for button, make in makers.items():
        button.click(make, inputs, file, **event).success(None, file, js=_GIVE, **event)
