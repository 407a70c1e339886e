"""What a visitor wants trained: the fields of the form, the recipe they make, and what will happen in words."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

from demos.context import Context, Unavailable
from demos.pieces import visible
from longclip.registry import ModelSpec
from longclip.training.preview import Preview, Warned, preview
from longclip.training.recipe import PICTURE_BOOK, Recipe
from longclip.training.sources import read_training_data

MATCHING, CONTRASTIVE = "primary-component", "contrastive"
SHORTEST, LONGEST = 1, 30
SMALLEST_BATCH, LARGEST_BATCH = 8, 128
# Held-out pairs on which recall is measured.
HELD_OUT = 120
# Of rates that suit a model of the drawn world, which has little to lose, and one that was trained for months.
RATE, GENTLE_RATE = 1e-4, 1e-5
RATES = (1e-3, 3e-4, RATE, 3e-5, GENTLE_RATE, 1e-6)
# Steps of a plan whose number of steps is not known yet: more than anybody would warn of. Bytes of a data set's file up to
# which it is read while the form is filled in.
MANY, READ_AT_ONCE = 1_000_000, 8_000_000
_NAME = re.compile(r"\w[\w.-]{0,39}")


@dataclass(frozen=True)
class Plan:
    """The form, field by field in its order. `recipe` may raise; nothing else does, whatever the fields hold."""

    name: str = "my-longclip"
    base: str = "picturebook-clip"
    data: str = ""
    minutes: float = 3
    objective: str = MATCHING
    positive_pairs: float = 0.0
    hard_negatives: float = 0.0
    distillation: float = 0.0
    token_states: float = 0.0
    summary_drop: float = 0.7
    sample: bool = True
    families: float = 0.25
    batch: float = 64
    components: float = 16
    rate: float = RATE

    def find_base(self, context: Context) -> ModelSpec:
        """The base, which on a public page is one that needs no download. Raises Unavailable, with a sentence."""
        name = (self.base or "").strip()
        spec = context.spec(name)
        if spec is None:
            raise Unavailable(f"{name or 'A base without a name'} is not among the models of this page.")
        if context.public and spec.source == "hub":
            raise Unavailable(f"{spec.title} is too large to be fine-tuned on this page: choose a model of the picture book.")
        return spec

    def recipe(self, context: Context) -> Recipe:
        """What is to be trained, its number of steps left open. Raises ValueError or Unavailable, with a sentence."""
        name, base, data = (self.name or "").strip(), self.find_base(context), self._data(context)
        if not _NAME.fullmatch(name):
            raise ValueError(f"The model's name is {name!r}: wanted up to 40 letters, digits, dots and dashes.")
        if not SHORTEST <= self.minutes <= LONGEST:
            raise ValueError(f"{self.minutes:g} minutes: wanted {SHORTEST} to {LONGEST}.")
        if not SMALLEST_BATCH <= self.batch <= LARGEST_BATCH:
            raise ValueError(f"A batch of {self.batch:g}: wanted {SMALLEST_BATCH} to {LARGEST_BATCH} pairs.")
        if not self.rate or not 0 < self.rate < 1:
            raise ValueError(f"The learning rate is {self.rate}: wanted a number such as {RATE:g}.")
        return Recipe(
            name,
            str(base.path) if base.source in ("local", "trained") else base.name,
            data=data or PICTURE_BOOK,
            # A tenth of a data set, of which so many are measured.
            validate_on=HELD_OUT,
            objective=self.objective,
            positive_pairs=self.positive_pairs,
            hard_negatives=self.hard_negatives,
            distillation=self.distillation,
            token_states=self.token_states,
            summary_drop=self.summary_drop,
            sentences="sample" if self.sample else "all",
            # Of drawn scenes alone.
            family_share=0.0 if data else self.families,
            subjects=0 if data else 8,
            batch=int(self.batch),
            components=int(self.components),
            short_details=0.5,
            smoothing=0.05,
            learning_rate=self.rate,
            weight_decay=0.05,
            beta2=0.98,
            crop=0.9,
            stored="fp16",
            keep=1,
        )

    def describe(self, context: Context) -> str:
        """HTML: what pressing Start will do."""
        try:
            base = self.find_base(context)
        except Unavailable as error:
            return f'<p class="notice" role="alert">{visible(str(error))}</p>'
        data = self._data(context)
        what = f"pairs of {data}" if data else "scenes of the picture book, drawn as they are needed"
        sentences = [
            f"For about {self.minutes:g} minute{'s' if self.minutes != 1 else ''}, {base.title} is shown {what}: "
            f"{self.batch:g} at a time, as many as this machine manages, to learn which caption belongs to which picture."
        ]
        if base.context_length and base.context_length <= 77:
            sentences.append("Its 77 text positions are stretched to 248 first.")
        sentences.append(
            f"Each picture is matched with its long caption, and its {self.components:g} principal components with a short "
            "one: half the time the summary, half the time a few details."
            if self.objective == MATCHING
            else "Each picture is matched with its long caption only."
        )
        if self.families and not data:
            sentences.append(
                f"{100 * self.families:.0f} % of a batch come in families of one summary: only details tell them apart."
            )
        if self.summary_drop:
            sentences.append(
                f"{100 * self.summary_drop:.0f} % of the long captions lose their summary, so that the rest must be read."
            )
        found, wrong = self._about_data(context) if data else ([], "")
        return f'<p class="report">{visible(" ".join(sentences + found + self._extras()))}</p>{wrong}'

    def _about_data(self, context: Context) -> tuple[list[str], str]:
        """What there is in a data set, in sentences, and as HTML what is wrong with it; its steps are not known yet."""
        try:
            given = replace(self.recipe(context), steps=MANY)
            path = Path(given.data.partition(":")[2] or given.data)
            if path.is_file() and path.stat().st_size > READ_AT_ONCE:
                return ["The data set is large: it is read when the training starts."], ""
            ahead = _look_at(json.dumps(asdict(given)), path.stat().st_mtime_ns if path.exists() else 0)
        except (ValueError, OSError, Unavailable) as error:
            return [], f'<p class="notice">{visible(sentence(error))}</p>'
        # The first fact is how many pairs there are, the last how many rows of a batch are alike.
        return [f"It {ahead.facts[0]}; {ahead.facts[-1]}."], warnings(ahead.warnings)

    def _data(self, context: Context) -> str:
        """The data set of the visitor's own machine, if any: a public page opens no file."""
        return "" if context.public else (self.data or "").strip()

    def _extras(self) -> list[str]:
        told = {
            "positive_pairs": "Right pairs are also pulled together.",
            "hard_negatives": "Captions with one fact changed are further wrong answers.",
            "distillation": "Towards the end, the model's own guesses soften what counts as wrong.",
            "token_states": "On short captions its token states are held near those of the base.",
        }
        return [sentence for name, sentence in told.items() if getattr(self, name)]


@lru_cache(maxsize=4)
def _look_at(recipe: str, changed: int) -> Preview:
    """What training by a recipe, as JSON, will do; looked at again where its data were `changed`."""
    given = Recipe(**json.loads(recipe))
    fitted, data, held_out = read_training_data(given)
    return preview(given, fitted, data, held_out)


def warnings(found: Sequence[Warned]) -> str:
    """HTML: why a training may learn little; nothing where it may learn much."""
    return "".join(f'<p class="notice">{visible(_told(warned))}</p>' for warned in found)


def _told(warned: Warned) -> str:
    """A warning in the words of the form, whose steps are as many as its minutes allow."""
    words = {"steps": "more minutes", "epochs": "more minutes", "warmup": "more minutes"}
    words |= {"batch": "a batch of {:g}", "learning_rate": "a learning rate of {:g}"}
    better = list(dict.fromkeys(words[name].format(value) for name, value in warned.better.items() if name in words))
    advice = f" Better: {', '.join(better)}." if better else ""
    return f"{warned.sentence[:1].upper()}{warned.sentence[1:]}.{advice}"


def sentence(error: Exception) -> str:
    """The first line of an error's message as a sentence."""
    text = (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def command_line(recipe: Recipe) -> str:
    """The command that does the same without a page."""
    changed = {entry.name: getattr(recipe, entry.name) for entry in fields(Recipe) if "help" in entry.metadata}
    fresh = {entry.name: entry.default for entry in fields(Recipe)}
    flags = (f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changed.items() if value != fresh[name])
    return " ".join(["python -m longclip train --out FOLDER", *flags])
