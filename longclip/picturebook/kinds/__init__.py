"""Everything a scene can hold: one module a family, each with its kinds' drawing functions and a tuple `KINDS`."""

from __future__ import annotations

from . import animals, buildings, clothing, food, furniture, household, instruments, plants, tools, toys, vehicles
from .kind import Kind

__all__ = ["FAMILIES", "KINDS", "Kind"]

FAMILIES: dict[str, tuple[Kind, ...]] = {
    module.__name__.rpartition(".")[2]: module.KINDS
    for module in (animals, buildings, clothing, food, furniture, household, instruments, plants, tools, toys, vehicles)
}
KINDS: dict[str, Kind] = {kind.name: kind for family in FAMILIES.values() for kind in family}
