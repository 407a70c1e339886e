"""The tab *Long-text retrieval*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
