"""Ways from one tab to another: which tabs the page has, and how one is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from demos.context import Context

# Where a picture with its caption can be taken: the tab, the word on the button, and what it says of it.
RETRIEVAL, WORDS, DRAW, MAP = "retrieval", "attribute", "draw", "maps"
TITLES = {
    WORDS: ("words", "the tab of words and pixels"),
    DRAW: ("draw", "text to image, its caption as the prompt"),
    MAP: ("map", "the maps"),
}


@dataclass(frozen=True)
class Doors:
    """The tabs of a page, as a component in one of them sees them while the page is built.

    Later a running page takes some blocks from their parents: which tabs there are, the context says.
    """

    context: Context
    block: Block

    def hits(self) -> tuple[str, ...]:
        """The tabs that a hit can be taken to."""
        return tuple(name for name in TITLES if name in self.context.tabs)

    def tab(self) -> gr.Tab:
        """The tab that the component lies in."""
        return next(parent for parent in self._parents() if isinstance(parent, gr.Tab))

    def tabs(self) -> gr.Tabs:
        """The component that `open` is an update of."""
        return next(parent for parent in self._parents() if isinstance(parent, gr.Tabs))

    def open(self, name: str) -> gr.Tabs:
        """Opens a tab, if the page has it."""
        return gr.Tabs(selected=name) if name in self.context.tabs else gr.skip()

    def _parents(self) -> Iterator[Block]:
        parent = self.block.parent
        while parent is not None:
            yield parent
            parent = parent.parent
