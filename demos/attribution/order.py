"""What a visitor wants explained: a caption and a picture, two models, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from demos.context import Context
from demos.selection import BY_SUM, PICTURE_BOOK, Selection

LEVELS = ("words", "phrases", "sentences")
LEAVE_ONE_OUT, GRADIENTS, SHAPLEY = "leave-one-out", "integrated-gradients", "shapley"
QUICK, ROLLOUT = "gradient-x-input", "attention-rollout"
METHODS = {
    LEAVE_ONE_OUT: "Leave one out",
    GRADIENTS: "Integrated gradients",
    SHAPLEY: "Shapley values",
    QUICK: "Gradient × input, a quick look",
    ROLLOUT: "What the encoder attends to (rollout)",
}
REMOVALS = {"mask": "masked: nobody attends to it", "delete": "deleted: the rest closes up", "replace": "replaced by “a”"}
LEAST_BUDGET, BUDGET, MOST_BUDGET, MOST_PUBLIC_BUDGET = 100, 500, 5000, 1000


@dataclass(frozen=True)
class Pair:
    """A caption and a picture: `gallery` is a key of `demos.context.Context`, `picture` the id of one of its rows."""

    caption: str = ""
    gallery: str = PICTURE_BOOK
    picture: str | None = None

    @classmethod
    def of_selection(cls, selection: Selection, context: Context) -> Pair:
        """What the visitor looks at in the retrieval tab; an uploaded picture comes before one of a gallery.

        A sum of texts and pictures is no caption: none then.
        """
        caption = "" if selection.search == BY_SUM else selection.caption
        if selection.upload:
            return cls(caption, selection.upload, context.gallery(selection.upload).ids[0])
        return cls(caption, selection.gallery, selection.picture)


@dataclass(frozen=True)
class Order:
    """One press of the button. budget: passes that Shapley values may take."""

    pair: Pair = Pair()
    models: tuple[str, ...] = ()
    level: str = LEVELS[0]
    method: str = LEAVE_ONE_OUT
    removal: str = next(iter(REMOVALS))
    budget: int = BUDGET

    @classmethod
    def from_form(
        cls,
        context: Context,
        pair: Pair,
        caption: str | None,
        left: str | None,
        right: str | None,
        level: str,
        method: str,
        removal: str,
        budget: Any,
    ) -> Order:
        """The order of a form. Raises ValueError, in a sentence, for bad input."""
        names = ((name or "").strip() for name in (left, right))
        order = cls(replace(pair, caption=caption or ""), tuple(dict.fromkeys(names)), level, method, removal, BUDGET)
        longest = context.longest_caption
        if not order.pair.caption.strip():
            raise ValueError("Write a caption first, or start from one of the examples.")
        if len(order.pair.caption) > longest:
            raise ValueError(f"The caption has {len(order.pair.caption):,} characters; at most {longest:,} are read here.")
        if pair.picture is None:
            raise ValueError("Pick a picture first: an example, that of the retrieval tab, or one of your own.")
        for what, value, choices in (("level", level, LEVELS), ("method", method, METHODS), ("removal", removal, REMOVALS)):
            if value not in choices:
                raise ValueError(f"The {what} is {value!r}; there are {', '.join(choices)}.")
        return replace(order, budget=_budget(budget, most_budget(context)) if method == SHAPLEY else BUDGET)

    def of_words(self) -> Order:
        """The same by leaving one out: what the maps of words are made of."""
        return replace(self, method=LEAVE_ONE_OUT, budget=BUDGET)

    def of_caption(self, caption: str) -> Order:
        """The same for another caption of the picture."""
        return replace(self, pair=replace(self.pair, caption=caption))


def most_budget(context: Context) -> int:
    """Passes that Shapley values may take."""
    return MOST_PUBLIC_BUDGET if context.public else MOST_BUDGET


def _budget(value: Any, most: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"The budget is {value!r}; wanted a whole number from {LEAST_BUDGET} to {most:,} passes.") from None
    if not LEAST_BUDGET <= number <= most:
        raise ValueError(f"The budget is {number:,} passes; wanted {LEAST_BUDGET} to {most:,}.")
    return number
