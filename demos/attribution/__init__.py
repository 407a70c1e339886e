"""The tab *Which words count*."""

from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build"]
