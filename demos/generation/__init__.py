"""The tab *Text to image*."""

from .studio import warm
from .tab import NAME, TITLE, build

__all__ = ["NAME", "TITLE", "build", "warm"]
