"""What a visitor wants trained: the fields of the form, the recipe they make, and what will happen in words."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields

from demos.context import Context, Unavailable
from demos.pieces import visible
from longclip.registry import ModelSpec
from longclip.training.recipe import PICTURE_BOOK, Recipe

MATCHING, CONTRASTIVE = "primary-component", "contrastive"
SHORTEST, LONGEST = 1, 30
SMALLEST_BATCH, LARGEST_BATCH = 8, 128
# Held-out pairs on which recall is measured.
HELD_OUT = 120
# Of rates that suit a model of the drawn world, which has little to lose, and one that was trained for months.
RATE, GENTLE_RATE = 1e-4, 1e-5
RATES = (1e-3, 3e-4, RATE, 3e-5, GENTLE_RATE, 1e-6)
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
        name, base = (self.name or "").strip(), self.find_base(context)
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
            data=self._data(context) or PICTURE_BOOK,
            held_out=HELD_OUT,
            validate_on=HELD_OUT,
            objective=self.objective,
            positive_pairs=self.positive_pairs,
            hard_negatives=self.hard_negatives,
            distillation=self.distillation,
            token_states=self.token_states,
            summary_drop=self.summary_drop,
            sentences="sample" if self.sample else "all",
            family_share=self.families,
            subjects=8,
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
        return f'<p class="report">{visible(" ".join(sentences + self._extras()))}</p>'

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


def command_line(recipe: Recipe) -> str:
    """The command that does the same without a page."""
    changed = {entry.name: getattr(recipe, entry.name) for entry in fields(Recipe) if "help" in entry.metadata}
    fresh = {entry.name: entry.default for entry in fields(Recipe)}
    flags = (f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changed.items() if value != fresh[name])
    return " ".join(["python -m longclip train --out FOLDER", *flags])
