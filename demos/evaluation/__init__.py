"""The tab *Evaluate*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
