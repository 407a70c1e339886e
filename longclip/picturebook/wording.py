"""The words of the picture book: noun phrases, places and the sentence templates that captions are made from."""

from __future__ import annotations

from random import Random

from .scene import Scene, Thing, relations_of

NUMBERS = {1: "one", 2: "two", 3: "three"}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "medium": ("",), "large": ("large", "big"), "subject": ("",)}
PATTERN_WORDS = {"plain": ("", "", "plain"), "striped": ("striped",), "spotted": ("spotted", "dotted")}
PATTERN_TAILS = {"plain": "", "striped": "with stripes", "spotted": "with spots"}
ROW_WORDS = {
    "air": ("up in the air", "high above", "overhead"),
    "back": ("at the back", "in the background", "further away"),
    "front": ("in front", "in the foreground", "close to us"),
}
COLUMN_WORDS = {
    "left": ("on the left", "on the left side", "to the left"),
    "middle": ("in the middle", "in the centre"),
    "right": ("on the right", "on the right side", "to the right"),
}
RELATION_WORDS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "behind": ("behind",),
    "front": ("in front of",),
}

SUMMARIES = (
    "{a} {place}.",
    "A picture of {a} {place}.",
    "There is {a} {place}.",
    "{a} {place}.",
    "We see {a} {place}.",
)
SUMMARIES_WITH_SKY = (
    "{a} {place} on a {weather} {time}.",
    "A {weather} {time} with {a} {place}.",
    "{a} {place}, {weather} {time}.",
)
THING_SENTENCES = (
    "There {is} {np} {where}.",
    "{where}, there {is} {np}.",
    "{where} you can see {np}.",
    "{np} {is} {where}.",
    "{np} can be seen {where}.",
    "One also finds {np} {where}.",
    "Somebody has put {np} {where}.",
    "The picture also shows {np} {where}.",
    "Look {where} and you will find {np}.",
    "{where} the artist has drawn {np}.",
)
PAIR_SENTENCES = (
    "There {is} {np} {where}, and {np2} {where2}.",
    "{where} there {is} {np}, while {np2} can be seen {where2}.",
    "{np} {is} {where} and {np2} {is2} {where2}.",
)
SUBJECT_SENTENCES = (
    "The {noun} is {looks}.",
    "The {noun} in the middle is {looks}.",
    "As the main figure, the {noun} is {looks}.",
    "The colour of the {noun} is {colour}, and it is {pattern}.",
    "The largest thing here is {np}.",
)
RELATION_SENTENCES = (
    "{the} {is} {relation} {other}.",
    "{the} can be found {relation} {other}.",
    "Notice that {the} {is} {relation} {other}.",
)
TIME_SENTENCES = {
    "morning": ("It is morning.", "The picture shows an early morning.", "The day has just begun, it is morning."),
    "noon": ("It is noon.", "The picture shows the middle of the day, at noon.", "It is about noon."),
    "evening": ("It is evening.", "The picture shows a warm evening.", "The day is ending, it is evening."),
    "night": ("It is night.", "The picture shows a dark night.", "It is late at night."),
}
WEATHER_SENTENCES = {
    "sunny": ("The weather is sunny.", "The sky is clear and the sun is out.", "It is sunny."),
    "clear": ("The weather is clear.", "The sky is clear and the stars are out.", "There are no clouds."),
    "cloudy": ("The weather is cloudy.", "Clouds cover the sky.", "The sky is full of clouds."),
    "rainy": ("The weather is rainy.", "It is raining.", "Rain is falling."),
    "snowy": ("The weather is snowy.", "It is snowing.", "Snow is falling."),
    "foggy": ("The weather is foggy.", "Fog hangs over everything.", "There is thick fog."),
}


def with_article(words: str) -> str:
    """`words` after "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def noun_phrase(thing: Thing, rng: Random) -> str:
    """Everything that can be said of a thing's looks, such as "two little spotted blue balls".

    Draws the same number of random choices whatever the thing is, so that a changed fact changes its own words only.
    """
    u, v, w, order = (rng.random() for _ in range(4))
    size = _pick(SIZE_WORDS[thing.size], u)
    pattern, tail = _pick(PATTERN_WORDS[thing.pattern], v), ""
    if w < 0.3 and thing.pattern != "plain":
        pattern, tail = "", PATTERN_TAILS[thing.pattern]
    noun = thing.spec.name if thing.count == 1 else thing.spec.plural
    adjectives = (pattern, thing.colour) if order < 0.6 else (thing.colour, pattern)
    words = " ".join(word for word in (size, *adjectives, noun, tail) if word)
    return with_article(words) if thing.count == 1 else f"{NUMBERS[thing.count]} {words}"


def where(thing: Thing, subject: Thing, rng: Random) -> tuple[str, bool]:
    """Where a thing is, and whether that is said by the subject's place."""
    u, v, mode, w = (rng.random() for _ in range(4))
    row, column = _pick(ROW_WORDS[thing.row], u), _pick(COLUMN_WORDS[thing.column], v)
    if mode < 0.25:
        relations = relations_of(thing, subject)
        if relations:
            relation = _pick(RELATION_WORDS[_pick(relations, w)], u)
            return f"{relation} the {subject.spec.name}", True
    if mode < 0.4:
        return column, False
    return (f"{row} {column}" if w < 0.5 else f"{column} {row}"), False


def definite(thing: Thing, rng: Random) -> str:
    """A thing already known, such as "the red chair"."""
    noun = thing.spec.name if thing.count == 1 else thing.spec.plural
    return f"the {thing.colour} {noun}" if rng.random() < 0.6 else f"the {noun}"


def verb(thing: Thing) -> str:
    return "is" if thing.count == 1 else "are"


def looks(thing: Thing, rng: Random) -> str:
    """The subject's colour and pattern as a predicate."""
    u, v = rng.random(), rng.random()
    if thing.pattern == "plain":
        return f"plain {thing.colour}" if u < 0.5 else thing.colour
    if u < 0.5:
        return f"{_pick(PATTERN_WORDS[thing.pattern], v)} and {thing.colour}"
    return f"{thing.colour} {PATTERN_TAILS[thing.pattern]}"


def sky(scene: Scene) -> dict[str, str]:
    """The weather and the time in words: a sunny night is a clear one."""
    weather = "clear" if scene.weather == "sunny" and scene.time == "night" else scene.weather
    return {"weather": weather, "time": scene.time}


def _pick(options, u: float):
    return options[int(u * len(options))]
