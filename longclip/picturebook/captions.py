"""Captions written from a scene graph, each phrase knowing which things it speaks of.

A caption is realised from a plan: a tuple of sentences, each naming its form, its things and the seed of its wording.
The same plan realised for a scene in which one fact is changed gives the same text but for the words of that fact;
counterfactuals and late families are exact because of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from . import wording
from .scene import Scene, relations_of

#: Least and most words and marks of a long caption; most keeps it under 248 tokens.
SHORTEST, LONGEST = 80, 215
_FIELD = re.compile(r"\{(\w+)\}")
_UNITS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Phrase:
    """Characters `start` to `end` of a caption speak of `things` (indices into the scene; empty for setting and sky)."""

    start: int
    end: int
    things: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A text, its phrases, and the character span of each sentence."""

    text: str
    phrases: tuple[Phrase, ...]
    sentences: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sentence:
    """One sentence of a plan. form: summary, portrait, subject, time, weather, thing, pair or relation."""

    form: str
    things: tuple[int, ...]
    seed: int


Plan = tuple[Sentence, ...]


def count_units(text: str) -> int:
    """Words and marks in a text: never more than its CLIP tokens, start and end not counted."""
    return len(_UNITS.findall(text))


def plan_summary(rng: Random) -> Sentence:
    return Sentence("summary", (0,), rng.getrandbits(32))


def plan_caption(scene: Scene, summary: Sentence, rng: Random) -> Plan:
    """A long caption: the summary, then everything else in random order, then how some of the things stand to each other."""
    numbers = tuple(range(len(scene.things)))
    plan = (summary, *_shuffled(plan_details(scene, numbers[1:], rng), rng))
    wanted = rng.randint(4, 10) if rng.random() < 0.15 else rng.randint(0, 2)
    length = count_units(realise(plan, scene).text)
    while len(numbers) > 1 and length < LONGEST - 20 and (wanted > 0 or length < SHORTEST):
        plan = (*plan, _relation(scene, numbers, rng))
        length += count_units(realise(plan[-1:], scene).text)
        wanted -= 1
    return plan


def plan_late_caption(scene: Scene, summary: Sentence, late: tuple[int, ...], rng: Random, least: int = 76) -> Plan:
    """A caption whose first `least` words and marks say nothing of the things `late`; what is said of them comes last."""
    early = tuple(number for number in range(1, len(scene.things)) if number not in late)
    plan = [summary, *_shuffled(plan_details(scene, early, rng), rng)]
    while count_units(realise(tuple(plan), scene).text) < least:
        plan.append(_relation(scene, (0, *early), rng))
    tail = [Sentence("thing", (number,), rng.getrandbits(32)) for number in late]
    return (*plan, *_shuffled(tail, rng))


def plan_details(scene: Scene, numbers, rng: Random) -> list[Sentence]:
    """A sentence for the subject's looks, the time, the weather and each of the things `numbers`, some in pairs."""
    details = [
        Sentence(form, (0,) if form == "subject" else (), rng.getrandbits(32)) for form in ("subject", "time", "weather")
    ]
    left = list(numbers)
    rng.shuffle(left)
    while left:
        taken = [left.pop()]
        if left and rng.random() < 0.2:
            taken.append(left.pop())
        details.append(Sentence("pair" if len(taken) == 2 else "thing", tuple(taken), rng.getrandbits(32)))
    return details


def realise(plan: Plan, scene: Scene) -> Caption:
    """The text of a plan for a scene."""
    text, phrases, sentences = "", [], []
    for sentence in plan:
        if text:
            text += " "
        start = len(text)
        for piece, things in _pieces(sentence, scene):
            at = len(text)
            text += piece[0].upper() + piece[1:] if at == start and piece else piece
            if things is not None:
                phrases.append(Phrase(at, len(text), things))
        sentences.append((start, len(text)))
    return Caption(text, tuple(phrases), tuple(sentences))


def _pieces(sentence: Sentence, scene: Scene):
    """(text, things) for each part of a sentence; `things` is None for the template's own words."""
    rng = Random(sentence.seed)
    template, fields = _FORMS[sentence.form](sentence, scene, rng)
    for number, part in enumerate(_FIELD.split(template)):
        if number % 2:
            yield fields[part]
        elif part:
            yield part, None


def _summary(sentence: Sentence, scene: Scene, rng: Random):
    with_sky = rng.random() < 0.3
    template = rng.choice(wording.SUMMARIES_WITH_SKY if with_sky else wording.SUMMARIES)
    fields = {"a": (wording.with_article(scene.subject.spec.name), (0,)), "place": (scene.place, ())}
    return template, fields | {name: (word, ()) for name, word in wording.sky(scene).items()}


def _portrait(sentence: Sentence, scene: Scene, rng: Random):
    """A summary that says how the subject looks."""
    template, fields = _summary(sentence, scene, rng)
    return template, fields | {"a": (wording.noun_phrase(scene.subject, rng), (0,))}


def _subject(sentence: Sentence, scene: Scene, rng: Random):
    thing = scene.subject
    pattern = thing.pattern if thing.pattern != "plain" else "without any pattern"
    return rng.choice(wording.SUBJECT_SENTENCES), {
        "noun": (thing.spec.name, (0,)),
        "looks": (wording.looks(thing, rng), (0,)),
        "colour": (thing.colour, (0,)),
        "pattern": (pattern, (0,)),
        "np": (wording.noun_phrase(thing, rng), (0,)),
    }


def _time(sentence: Sentence, scene: Scene, rng: Random):
    return "{it}", {"it": (rng.choice(wording.TIME_SENTENCES[scene.time]), ())}


def _weather(sentence: Sentence, scene: Scene, rng: Random):
    return "{it}", {"it": (rng.choice(wording.WEATHER_SENTENCES[wording.sky(scene)["weather"]]), ())}


def _thing(sentence: Sentence, scene: Scene, rng: Random):
    return rng.choice(wording.THING_SENTENCES), _description(scene, sentence.things[0], "", rng)


def _pair(sentence: Sentence, scene: Scene, rng: Random):
    template = rng.choice(wording.PAIR_SENTENCES)
    first, second = sentence.things
    return template, _description(scene, first, "", rng) | _description(scene, second, "2", rng)


def _description(scene: Scene, number: int, suffix: str, rng: Random) -> dict:
    thing = scene.things[number]
    phrase = wording.noun_phrase(thing, rng)
    place, relative = wording.where(thing, scene.subject, rng)
    return {
        f"np{suffix}": (phrase, (number,)),
        f"where{suffix}": (place, (number, 0) if relative else (number,)),
        f"is{suffix}": (wording.verb(thing), None),
    }


def _relate(sentence: Sentence, scene: Scene, rng: Random):
    number, other = sentence.things
    template, u = rng.choice(wording.RELATION_SENTENCES), rng.random()
    words = [
        word
        for relation in relations_of(scene.things[number], scene.things[other])
        for word in wording.RELATION_WORDS[relation]
    ]
    relation = words[int(u * len(words))] if words else "near"
    return template, {
        "the": (wording.definite(scene.things[number], rng), (number,)),
        "is": (wording.verb(scene.things[number]), None),
        "relation": (relation, (number, other)),
        "other": (wording.definite(scene.things[other], rng), (other,)),
    }


_FORMS = {
    "summary": _summary,
    "portrait": _portrait,
    "subject": _subject,
    "time": _time,
    "weather": _weather,
    "thing": _thing,
    "pair": _pair,
    "relation": _relate,
}


def _relation(scene: Scene, numbers: tuple[int, ...], rng: Random) -> Sentence:
    return Sentence("relation", tuple(rng.sample(numbers, 2)), rng.getrandbits(32))


def _shuffled(items: list, rng: Random) -> list:
    rng.shuffle(items)
    return items
