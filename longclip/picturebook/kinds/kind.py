"""What the picture book knows of a kind of thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..canvas import Brush


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    name, plural: its words in a caption.
    draw: draws it with a brush; the tone "main" takes the thing's free colour and pattern, so it covers most of the thing.
    aspect: width / height of its box.
    floats: it hangs or flies in the upper third of the picture instead of standing on the ground.
    """

    name: str
    plural: str
    draw: Callable[[Brush], None]
    aspect: float = 1.0
    floats: bool = False
