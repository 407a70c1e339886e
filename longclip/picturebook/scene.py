"""Scene graphs: what stands where, in which colour, and the picture and masks drawn from that.

A scene's random stream comes from (split, seed, index): the same numbers give the same scene for ever. The split
`train` never holds the settings in `UNSEEN_SETTINGS` nor the colour that `unseen_colour` names for a kind; `held-out`
draws new scenes from the same distribution, `shifted` draws scenes of what training never saw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from random import Random

import numpy as np
from PIL import Image

from .canvas import Box, Canvas
from .kinds import KINDS, Kind
from .palette import COLOURS, thing_tones
from .settings import SETTINGS, TIMES, WEATHERS, draw_background

SPLITS = ("train", "held-out", "shifted")
PATTERNS = ("plain", "striped", "spotted")
#: The longer side of a thing, as a share of the picture. The subject has no size word of its own.
SIZES = {"small": 0.145, "medium": 0.20, "large": 0.27, "subject": 0.42}
COLUMNS = {"left": (0.09, 0.30), "middle": (0.42, 0.58), "right": (0.70, 0.91)}
ROWS = {"air": (0.16, 0.36), "back": (0.58, 0.65), "front": (0.88, 0.985)}
UNSEEN_SETTINGS = ("harbour", "museum")
_SETTINGS = {setting.name: setting for setting in SETTINGS}
_KIND_NUMBER = {name: number for number, name in enumerate(KINDS)}


@dataclass(frozen=True)
class Thing:
    """One entry of the graph: `count` copies of a kind side by side. (x, y) is the middle of its lower edge, in 0..1."""

    kind: str
    colour: str
    pattern: str
    size: str
    count: int
    x: float
    y: float

    @property
    def spec(self) -> Kind:
        return KINDS[self.kind]

    @property
    def copy_size(self) -> tuple[float, float]:
        """Width and height of one copy; several are drawn a little smaller, so that they fit side by side."""
        longer = SIZES[self.size] * (1.0 if self.count == 1 else 0.8)
        aspect = self.spec.aspect
        return (longer, longer / aspect) if aspect >= 1 else (longer * aspect, longer)

    @property
    def box(self) -> Box:
        """Left, top, right, bottom."""
        width, height = self.copy_size
        half = width * (1 + 1.08 * (self.count - 1)) / 2
        return (self.x - half, self.y - height, self.x + half, self.y)

    @property
    def column(self) -> str:
        return "left" if self.x < 0.36 else "right" if self.x > 0.64 else "middle"

    @property
    def row(self) -> str:
        return "air" if self.y < 0.5 else "back" if self.y < 0.72 else "front"


@dataclass(frozen=True)
class Scene:
    """A setting, a time of day, a weather and the things in it, the subject first."""

    setting: str
    time: str
    weather: str
    things: tuple[Thing, ...]
    seed: str

    @property
    def subject(self) -> Thing:
        return self.things[0]

    @property
    def place(self) -> str:
        """The setting as a phrase, such as "on the beach"."""
        return _SETTINGS[self.setting].place

    def canvas(self, size: int) -> tuple[Canvas, dict]:
        """The index image of `size` pixels a side, and the tones of each block."""
        canvas = Canvas(size)
        tones = {0: draw_background(canvas, _SETTINGS[self.setting], self.time, self.weather, Random(self.seed))}
        for number in sorted(range(len(self.things)), key=lambda i: self.things[i].y):
            thing = self.things[number]
            tones[number + 1] = thing_tones(thing.colour, self.time)
            width, height = thing.copy_size
            left = thing.box[0]
            for copy in range(thing.count):
                start = left + 1.08 * width * copy
                brush = canvas.brush((start, thing.y - height, start + width, thing.y), number + 1)
                thing.spec.draw(brush)
                brush.pattern(thing.pattern)
        return canvas, tones

    def draw(self, size: int = 256) -> Image.Image:
        """The picture, RGB, [size, size]."""
        canvas, tones = self.canvas(size)
        return canvas.rgb(tones)

    def masks(self, size: int = 256) -> np.ndarray:
        """Where each thing can be seen: bool [things, size, size], in the order of `things`."""
        canvas, _ = self.canvas(size)
        return np.stack([canvas.mask(number + 1) for number in range(len(self.things))])

    def graph(self) -> dict:
        """The scene as plain data, with boxes and each thing's relations to the subject."""
        things = [asdict(thing) | {"box": [round(v, 4) for v in thing.box]} for thing in self.things]
        relations = [[i, word, 0] for i, thing in enumerate(self.things) if i for word in relations_of(thing, self.subject)]
        return {
            "setting": self.setting,
            "time": self.time,
            "weather": self.weather,
            "things": things,
            "relations": relations,
        }


def relations_of(thing: Thing, other: Thing) -> list[str]:
    """The relations that clearly hold from `thing` to `other`, of: left, right, above, below, behind, front."""
    found = []
    if abs(thing.x - other.x) > 0.15:
        found.append("left" if thing.x < other.x else "right")
    if (thing.row == "air") != (other.row == "air"):
        found.append("above" if thing.row == "air" else "below")
    elif abs(thing.y - other.y) > 0.1 and thing.row != "air":
        found.append("behind" if thing.y < other.y else "front")
    return found


def unseen_colour(kind: str) -> str:
    """The one colour that the split `train` never gives to this kind."""
    return tuple(COLOURS)[_KIND_NUMBER[kind] * 7 % len(COLOURS)]


def draw_scene(split: str, seed: int, index: int, others: tuple[int, int] = (3, 8)) -> Scene:
    """Scene `index` of a split: a subject and `others` (least, most) further things.

    Raises ValueError for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; there are {', '.join(SPLITS)}")
    name = f"{split}/{seed}/{index}"
    rng = Random(name)
    seen = [setting.name for setting in SETTINGS if setting.name not in UNSEEN_SETTINGS]
    shifted = split == "shifted"
    setting = rng.choice(UNSEEN_SETTINGS if shifted and rng.random() < 0.5 else seen)
    ground = [kind.name for kind in KINDS.values() if not kind.floats]
    subject = draw_thing(rng, rng.choice(ground), size="subject", unseen=shifted)
    scene = Scene(setting, rng.choice(TIMES), rng.choice(WEATHERS), (subject,), name)
    for _ in range(rng.randint(*others)):
        scene = add_thing(scene, rng)
    return scene


def draw_thing(rng: Random, kind: str, size: str | None = None, unseen: bool = False) -> Thing:
    """A thing of this kind with random looks; only the subject (size "subject") has a place yet."""
    never = unseen_colour(kind)
    colour = never if unseen else rng.choice([colour for colour in COLOURS if colour != never])
    pattern = rng.choices(PATTERNS, (0.5, 0.25, 0.25))[0]
    count = 1 if size == "subject" else rng.choices((1, 2, 3), (0.72, 0.16, 0.12))[0]
    size = size or rng.choice(("small", "medium", "large") if count == 1 else ("small", "medium"))
    return Thing(kind, colour, pattern, size, count, round(rng.uniform(0.44, 0.56), 3), round(rng.uniform(0.8, 0.84), 3))


def add_thing(scene: Scene, rng: Random) -> Scene:
    """The scene with one more thing, of a kind it has not yet; unchanged where no free place is found."""
    present = {thing.kind for thing in scene.things}
    kind = rng.choice([name for name in KINDS if name not in present])
    thing = place_thing(draw_thing(rng, kind), scene.things, rng)
    return replace(scene, things=(*scene.things, thing)) if thing else scene


def place_thing(thing: Thing, others: tuple[Thing, ...], rng: Random) -> Thing | None:
    """The thing at a free place, or None after 40 attempts (from the 20th on it is small and single)."""
    rows = ("air",) if thing.spec.floats else ("back", "front")
    for attempt in range(40):
        if attempt == 20:
            thing = replace(thing, size="small", count=1)
        column, row = rng.choice(tuple(COLUMNS)), rng.choice(rows)
        placed = replace(thing, x=round(rng.uniform(*COLUMNS[column]), 3), y=round(rng.uniform(*ROWS[row]), 3))
        if is_free(placed, others):
            return placed
    return None


def is_free(thing: Thing, others: tuple[Thing, ...]) -> bool:
    """Whether a thing lies inside the picture and hides (or is hidden by) at most a tenth of any other."""
    left, top, right, bottom = thing.box
    if left < 0.005 or right > 0.995 or top < 0.005:
        return False
    for other in others:
        a, b, c, d = other.box
        shared = max(0.0, min(right, c) - max(left, a)) * max(0.0, min(bottom, d) - max(top, b))
        if shared > 0.1 * min((right - left) * (bottom - top), (c - a) * (d - b)):
            return False
    return True
