"""Pages: a scene with its captions; families of pages that share a summary; pages with one fact changed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from .captions import Caption, Plan, Sentence, plan_caption, plan_late_caption, plan_summary, realise
from .kinds import KINDS
from .palette import COLOURS
from .scene import COLUMNS, PATTERNS, ROWS, Scene, Thing, add_thing, draw_scene, draw_thing, is_free, place_thing, unseen_colour

CHANGES = ("colour", "pattern", "kind", "count", "place")
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Page:
    """A scene, the plan of its long caption (the summary is the plan's first sentence) and the family it belongs to."""

    scene: Scene
    plan: Plan
    family: str | None = None

    @property
    def short(self) -> Caption:
        """The one-sentence summary."""
        return realise(self.plan[:1], self.scene)

    @property
    def long(self) -> Caption:
        """The whole caption, summary first."""
        return realise(self.plan, self.scene)

    def shuffled(self, rng: Random, subject_last: bool = False) -> Caption:
        """The whole caption with its sentences in random order; `subject_last`: those that speak of the subject at the end."""
        plan = rng.sample(self.plan, len(self.plan))
        if subject_last:
            plan.sort(key=lambda sentence: any(0 in phrase.things for phrase in realise((sentence,), self.scene).phrases))
        return realise(tuple(plan), self.scene)


@dataclass(frozen=True)
class Counterfactual:
    """A page with one fact of one thing changed, and the character spans of the words that differ on either side."""

    page: Page
    change: str
    thing: int
    removed: tuple[tuple[int, int], ...]
    added: tuple[tuple[int, int], ...]


def draw_page(split: str, seed: int, index: int, others: tuple[int, int] = (3, 8)) -> Page:
    """Page `index` of a split, independent of all others, with `others` (least, most) things beside the subject."""
    scene = draw_scene(split, seed, index, others)
    rng = Random(f"{scene.seed}/words")
    return Page(scene, plan_caption(scene, plan_summary(rng), rng))


def draw_family(split: str, seed: int, index: int, size: int = 8, late: bool = False) -> list[Page]:
    """`size` pages with the very same summary, setting, time, weather and subject.

    Ordinary members keep each further thing of the first page with probability one half, differ in at least two, and
    are each described in their own words and order. `late` members share their first 77 tokens to the letter: they
    differ only in two or three things, all spoken of behind that.
    """
    sort = "late" if late else "hard"
    scene = draw_scene(split, f"{seed}/{sort}", index, others=(5, 8))
    rng = Random(f"{scene.seed}/words")
    summary = plan_summary(rng)
    name = f"{sort}/{split}/{seed}/{index}"
    members = _late_members(scene, summary, size, rng) if late else _members(scene, summary, size, rng)
    return [Page(member, plan, name) for member, plan in members]


def _members(scene: Scene, summary: Sentence, size: int, rng: Random) -> list[tuple[Scene, Plan]]:
    members: list[tuple[Scene, Plan]] = []
    texts: set[str] = set()
    while len(members) < size:
        kept = [thing for thing in scene.things[1:] if rng.random() < 0.5][: len(scene.things) - 3]
        member = replace(scene, things=(scene.subject, *kept), seed=f"{scene.seed}/{len(members)}")
        for _ in range(len(scene.things) - len(member.things)):
            member = add_thing(member, rng)
        plan = plan_caption(member, summary, rng)
        text = realise(plan, member).text
        if text not in texts:
            texts.add(text)
            members.append((member, plan))
    return members


def _late_members(scene: Scene, summary: Sentence, size: int, rng: Random) -> list[tuple[Scene, Plan]]:
    late = tuple(range(len(scene.things) - rng.choice((2, 3)), len(scene.things)))
    plan = plan_late_caption(scene, summary, late, rng)
    members: list[tuple[Scene, Plan]] = []
    looks: set[tuple] = set()
    while len(members) < size:
        member = replace(scene, seed=f"{scene.seed}/{len(members)}")
        for number in late:
            member = _redrawn(member, number, rng)
        facts = tuple((t.kind, t.colour, t.pattern, t.size, t.count, t.column, t.row) for t in member.things)
        if facts not in looks:
            looks.add(facts)
            members.append((member, plan))
    return members


def _redrawn(scene: Scene, number: int, rng: Random) -> Scene:
    """The scene with thing `number` replaced by another one, at another place where one is free."""
    others = scene.things[:number] + scene.things[number + 1 :]
    kind = rng.choice([name for name in KINDS if all(name != other.kind for other in others)])
    thing = place_thing(draw_thing(rng, kind), others, rng)
    return _with_thing(scene, number, thing) if thing else scene


def counterfactual(
    page: Page, seed: int, change: str | None = None, things: tuple[int, ...] | None = None
) -> Counterfactual | None:
    """The page with one fact changed: the `colour`, `pattern`, `kind`, `count` or `place` of one thing.

    `things` limits which thing may change. None where this scene leaves no such change, such as no room for a third copy.
    Raises ValueError for an unknown change.
    """
    if change is not None and change not in CHANGES:
        raise ValueError(f"change {change!r} is unknown; there are {', '.join(CHANGES)}")
    rng = Random(f"{page.scene.seed}/counterfactual/{seed}")
    numbers = list(things if things is not None else range(1, len(page.scene.things)))
    rng.shuffle(numbers)
    before = page.long
    for number in numbers:
        for kind_of_change in [change] if change else rng.sample(CHANGES, len(CHANGES)):
            thing = _changed(page.scene, number, kind_of_change, rng)
            if thing is None:
                continue
            changed = Page(_with_thing(page.scene, number, thing), page.plan, page.family)
            removed, added = changed_spans(before.text, changed.long.text)
            if removed and added:
                return Counterfactual(changed, kind_of_change, number, removed, added)
    return None


def _changed(scene: Scene, number: int, change: str, rng: Random) -> Thing | None:
    thing = scene.things[number]
    others = scene.things[:number] + scene.things[number + 1 :]
    if change == "colour":
        never = unseen_colour(thing.kind)
        return replace(thing, colour=rng.choice([c for c in COLOURS if c not in (thing.colour, never)]))
    if change == "pattern":
        return replace(thing, pattern=rng.choice([p for p in PATTERNS if p != thing.pattern]))
    if change == "kind":
        taken = {other.kind for other in scene.things}
        alike = [k for k in KINDS.values() if k.name not in taken and k.floats == thing.spec.floats]
        rng.shuffle(alike)
        candidates = [replace(thing, kind=k.name) for k in alike if unseen_colour(k.name) != thing.colour]
    elif change == "count":
        counts = [count for count in (1, 2, 3) if count != thing.count] if number else []
        candidates = [replace(thing, count=count) for count in rng.sample(counts, len(counts))]
    else:
        places = [
            (rng.uniform(*COLUMNS[column]), rng.uniform(*ROWS[row]))
            for column in COLUMNS
            for row in (("air",) if thing.spec.floats else ("back", "front"))
            for _ in range(8)
            if column != thing.column
        ]
        rng.shuffle(places)
        candidates = [replace(thing, x=round(x, 3), y=round(y, 3)) for x, y in places]
    return next((candidate for candidate in candidates if is_free(candidate, others)), None)


def _with_thing(scene: Scene, number: int, thing: Thing) -> Scene:
    return replace(scene, things=scene.things[:number] + (thing,) + scene.things[number + 1 :])


def changed_spans(a: str, b: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """The character spans of the words that stand only in `a`, and of those that stand only in `b`."""
    words = [[(m.group(), m.span()) for m in _WORD.finditer(text)] for text in (a, b)]
    matcher = difflib.SequenceMatcher(None, *([word for word, _ in side] for side in words), autojunk=False)
    spans: tuple[list, list] = ([], [])
    for tag, *ends in matcher.get_opcodes():
        if tag != "equal":
            for side, (start, end) in enumerate((ends[:2], ends[2:])):
                spans[side].extend(span for _, span in words[side][start:end])
    return tuple(spans[0]), tuple(spans[1])


def draw_pages(split: str, seed: int, count: int, family_size: int = 0, late: bool = False) -> Iterator[Page]:
    """`count` pages: independent ones, or families of `family_size` one after the other."""
    if not family_size:
        yield from (draw_page(split, seed, index) for index in range(count))
        return
    for index in range(-(-count // family_size)):
        yield from draw_family(split, seed, index, min(family_size, count - index * family_size), late)
