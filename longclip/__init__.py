"""CLIP and Long-CLIP: load, encode, compare, and stretch one into the other.

>>> import longclip
>>> encoder = longclip.load("picturebook-longclip")
>>> encoder.encode_text(["A red fox sits beside a pond."]).shape[0]
1

Names are loaded when they are first used: importing this package reads no file and imports no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longclip.encoder import Encoder, load
    from longclip.positions import stretch_positions
    from longclip.registry import available

__version__ = "0.1.0"
__all__ = ["Encoder", "__version__", "available", "load", "stretch_positions"]

_HOMES = {"Encoder": "encoder", "available": "registry", "load": "encoder", "stretch_positions": "positions"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
