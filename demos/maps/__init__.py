"""The tab *Embedding maps*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
