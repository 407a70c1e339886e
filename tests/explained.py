"""Explanations of a tiny pair of models, for the tests of the tab *Which words count*."""

from __future__ import annotations

from demos.attribution.answer import Explanation
from demos.attribution.explanations import Explanations
from demos.attribution.order import Order
from longclip.attribution import Match

LONG = "A red fox sits beside a small pond under a yellow moon, and three ducks swim past. " * 6


def form(order: Order) -> list:
    """The values of the form's fields."""
    return [order.pair, order.pair.caption, *order.models, order.level, order.method, order.removal, order.budget]


def explain(shower: Explanations, order: Order, before: Explanation | None = None) -> list[list]:
    """All that is shown, one after the other."""
    return list(shower.explain(before or Explanation(), *form(order)))


def found(shower: Explanations, order: Order) -> Explanation:
    """The last explanation that is shown."""
    return [values[2] for values in explain(shower, order) if isinstance(values[2], Explanation)][-1]


def plain_match(context, book, order, model):
    return Match.of_picture(context.encoder(model), order.pair.caption, book.pictures[book.index(order.pair.picture)])
