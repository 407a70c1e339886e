"""Ways from one tab to another: which tabs the page has, and how one is opened."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

# Where a picture with its caption can be taken: the tab, the word on the button, and what it says of it.
RETRIEVAL, WORDS, DRAW, MAP = "retrieval", "attribute", "draw", "maps"
TITLES = {
    WORDS: ("words", "the tab of words and pixels"),
    DRAW: ("draw", "text to image, its caption as the prompt"),
    MAP: ("map", "the maps"),
}


@dataclass(frozen=True)
class Doors:
    """The tabs that a component lies among. They are all known once the page is built, not before."""

    block: Block

    def names(self) -> list[str]:
        """The tabs of the page by name; none for a component that lies in no tab."""
        tabs = self._tabs()
        return [tab.id for tab in tabs.children if isinstance(tab, gr.Tab)] if tabs else []

    def hits(self) -> tuple[str, ...]:
        """The tabs that a hit can be taken to."""
        names = self.names()
        return tuple(name for name in TITLES if name in names)

    def tab(self) -> gr.Tab:
        """The tab that the component lies in."""
        return next(parent for parent in self._parents() if isinstance(parent, gr.Tab))

    def tabs(self) -> gr.Tabs:
        """The component that `open` is an update of."""
        tabs = self._tabs()
        assert tabs is not None
        return tabs

    def open(self, name: str) -> gr.Tabs:
        """Opens a tab, if the page has it."""
        return gr.Tabs(selected=name) if name in self.names() else gr.skip()

    def _tabs(self) -> gr.Tabs | None:
        return next((parent for parent in self._parents() if isinstance(parent, gr.Tabs)), None)

    def _parents(self):
        parent = self.block.parent
        while parent is not None:
            yield parent
            parent = parent.parent
