"""What a visitor wants drawn: the form of the tab, checked, and as the details that a downloaded picture carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from demos.selection import is_shared
from longclip.generation.specs import EMBEDDED, SPECS

CUT, CHUNKS, LONG, MIX = "cut", "chunks", "long", "mix"
ARMS = {
    CUT: "Its own CLIP, cut at 77 tokens",
    CHUNKS: "Its own CLIP, in chunks of 75",
    LONG: "Long-CLIP in its place",
    MIX: "A mix of both",
}
LONGEST_PROMPT = 60_000
MOST_PICTURES, MOST_STEPS, MOST_PUBLIC_STEPS = 4, 100, 30
MOST_GUIDANCE, MOST_SKIPPED = 20, 3
LARGEST_SEED = 2**32 - 1
#: The fields that name what is loaded.
NAMES = ("pipeline", "model")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Order:
    """One press of the button. share: of Long-CLIP in the mix; seeds count up from `seed`, a picture each."""

    prompt: str = ""
    negative: str = ""
    pipeline: str = EMBEDDED
    model: str = "picturebook-longclip"
    arms: tuple[str, ...] = (CUT, CHUNKS, LONG)
    share: float = 0.5
    seed: int = 1
    count: int = 1
    steps: int = 20
    guidance: float = 3.0
    clip_skip: int = 0

    @classmethod
    def from_form(cls, public: bool, *values: Any) -> Order:
        """The order of a form, its fields in the order of this class. Raises ValueError, in a sentence, for bad input."""
        given = dict(zip([entry.name for entry in fields(cls)], values, strict=True))
        order = cls(
            **given
            | {
                "prompt": given["prompt"] or "",
                "negative": given["negative"] or "",
                "pipeline": (given["pipeline"] or "").strip(),
                "model": (given["model"] or "").strip(),
                "arms": tuple(arm for arm in ARMS if arm in (given["arms"] or ())),
                "seed": _whole(given["seed"], "seed", 0, LARGEST_SEED),
                "share": _number(given["share"], "Long-CLIP's share", 0, 1),
                "guidance": _number(given["guidance"], "guidance", 1, MOST_GUIDANCE),
                "count": _whole(given["count"], "number of pictures", 1, MOST_PICTURES),
                "steps": _whole(given["steps"], "number of steps", 1, most_steps(public)),
                "clip_skip": _whole(given["clip_skip"], "clip skip", 0, MOST_SKIPPED),
            }
        )
        if not order.arms:
            raise ValueError("Tick at least one way to read the prompt.")
        for text in (order.prompt, order.negative):
            if len(text) > LONGEST_PROMPT:
                raise ValueError(f"The prompt has {len(text):,} characters; at most {LONGEST_PROMPT:,} are read here.")
        if any(_SURROGATE.search(text) for text in (order.prompt, order.negative, order.pipeline, order.model)):
            raise ValueError("The text holds half a character (a lone surrogate); wanted whole ones.")
        return order

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple((self.seed + number) % (LARGEST_SEED + 1) for number in range(self.count))

    def details(self, arm: str, seed: int, revisions: Mapping[str, str]) -> dict[str, Any]:
        """What the picture of an arm and a seed carries: all but the names of files and of models trained here."""
        # A picture is passed on: names that only this visitor or this machine knows stay out of it.
        known = {name: value for name, value in asdict(self).items() if name not in NAMES or _is_passed_on(value)}
        known |= {"arms": [arm], "seed": seed, "count": 1}
        return known | {"revisions": {name: found for name, found in revisions.items() if _is_passed_on(name)}}

    def form(self) -> list[Any]:
        """The values of the form's fields."""
        return [list(value) if isinstance(value, tuple) else value for value in asdict(self).values()]

    @classmethod
    def from_details(cls, details: Mapping[str, Any], public: bool) -> Order:
        """The order a picture was drawn by, the usual names where it names none. Raises ValueError for details of others."""
        known = {name: details[name] for name in (entry.name for entry in fields(cls)) if name in details}
        texts = ("prompt", "negative", *NAMES)
        known_texts = all(isinstance(known.get(name, ""), str) for name in texts)
        if "prompt" not in known or not known_texts or not isinstance(known.get("arms", []), list):
            raise ValueError("The picture does not say how it was drawn: wanted a PNG that was downloaded from here.")
        values = asdict(cls()) | known
        return cls.from_form(public, *values.values())


def most_steps(public: bool) -> int:
    """Steps that may be asked for."""
    return MOST_PUBLIC_STEPS if public else MOST_STEPS


def _is_passed_on(name: str) -> bool:
    return is_shared(name) or any(name == spec.name for spec in SPECS)


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"The {name} is {str(value)[:40]!r}; wanted a number from {least} to {most}.")
    return value


def _whole(value: Any, name: str, least: int, most: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"The {name} is {repr(value)[:40]}; wanted a whole number from {least} to {most}.") from None
    if not least <= number <= most:
        raise ValueError(f"The {name} is {number}; wanted one from {least} to {most}.")
    return number
