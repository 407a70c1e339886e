"""The tab *Fine-tune*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
