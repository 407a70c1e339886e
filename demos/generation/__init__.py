"""The tab *Text to image*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
