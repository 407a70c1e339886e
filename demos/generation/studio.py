"""Where the drawing is done: pipelines and swaps kept in memory, and an order drawn arm by arm."""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demos.context import Context, Unavailable
from demos.generation.order import ARMS, CHUNKS, CUT, LONG, Order
from demos.messages import explain, is_spoken
from demos.work import Progress
from longclip.generation.specs import EMBEDDED, SIGLIP, SPECS
from longclip.manifest import MANIFEST
from longclip.registry import assets

if TYPE_CHECKING:
    from longclip.generation.pipelines import DiffusionPipeline
    from longclip.generation.prompts import Prompt

log = logging.getLogger(__name__)

DETECTOR, NOBODY = "detector", ""
# Sentences of a prompt that a model judges by.
MOST_SENTENCES = 64
# Swapped pipelines kept: each holds a text encoder of its own.
KEEP_SWAPS = 4
# Sides of the word maps that are shown; finer ones are averaged.
FINEST_MAP = 16
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """Characters of the prompt, and where they drew: bytes of a square, row by row, 255 where most; empty where unread."""

    start: int
    end: int
    places: bytes = b""


@dataclass(frozen=True)
class Finding:
    """What the judge says of one thing or sentence of the prompt."""

    text: str
    start: int
    score: float
    found: bool | None = None
    coloured: bool | None = None


@dataclass(frozen=True)
class Sketch:
    """One arm as far as it is drawn. pictures: PNG files, one a seed. findings: of the first picture.

    unseen_start: the first character that this arm does not read; clip_end: the first that the pipeline's own CLIP does not.
    blanked: pictures that the pipeline's safety checker made black.
    """

    arm: str
    prompt: str
    read: int = 0
    total: int = 0
    unseen_start: int = 0
    clip_end: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float = 0.0
    pictures: tuple[bytes, ...] = ()
    words: tuple[Word, ...] = ()
    findings: tuple[Finding, ...] = ()
    judged_by: str = ""
    unjudged: str = ""
    problem: str = ""
    blanked: int = 0

    @property
    def title(self) -> str:
        return ARMS[self.arm]

    @property
    def finished(self) -> bool:
        return bool(self.problem) or 0 < self.steps == self.step


@dataclass
class Studio:
    """Loads and draws for one running app; one drawing at a time is the page's to see to."""

    context: Context
    _swaps: OrderedDict[tuple[str, str], Any] = field(default_factory=OrderedDict)

    def names(self) -> list[tuple[str, str]]:
        """(label, name) of the pipelines that can be chosen; on a public page those that can be drawn with in a minute."""
        specs = [spec for spec in SPECS if spec.repository is None or not self.context.public or self.context.device != "cpu"]
        return [
            (f"{spec.name} · {spec.size} px" + (" · needs download" if spec.repository else ""), spec.name) for spec in specs
        ]

    def terms(self, pipeline: str) -> str | None:
        """What is said under the picker of pipelines: the licence of the one chosen, or what else can be."""
        spec = next((spec for spec in SPECS if spec.name == pipeline and spec.repository), None)
        if spec is not None:
            return f"licence: {spec.licence}"
        return None if self.context.public else "or a folder of this machine, or hf-hub:owner/name"

    def preparing(self, order: Order, judge: str) -> Iterator[tuple[str, Progress]]:
        """Loads what an order needs: yields (name, progress). Raises Unavailable."""
        if judge in _readers(order):
            raise Unavailable(f"{judge} reads the prompt for this drawing: choose another judge, one that does not.")
        if judge == DETECTOR and draws_other_things(order.pipeline):
            raise Unavailable("The detector knows the picture book alone: choose a model to judge this pipeline, or nobody.")
        if order.pipeline not in {name for _, name in self.names()} and self.context.public:
            raise Unavailable(f"{order.pipeline or 'A pipeline without a name'} is not among the pipelines of this page.")
        self._forget_swaps(order)
        for step in self.context.loading_pipeline(order.pipeline):
            yield order.pipeline, step
        self.context.pipeline(order.pipeline)
        if set(order.arms) - {CUT, CHUNKS}:
            for step in self.context.loading(order.model):
                yield order.model, step
        if judge == DETECTOR:
            self.context.detector()
        elif judge:
            for step in self.context.loading_judge(judge):
                yield judge, step
            self.context.judge(judge)

    def draw(self, order: Order, judge: str) -> Iterator[list[Sketch]]:
        """Each arm in turn, step by step; what is yielded is all of them so far. Closing it ends the drawing."""
        sketches = [Sketch(arm, order.prompt) for arm in order.arms]
        for number, sketch in enumerate(sketches):
            try:
                for news in self._draw_arm(order, sketch, judge):
                    sketches[number] = news
                    yield list(sketches)
            except Exception as error:  # whatever it is, the other arms are drawn
                sketches[number] = replace(sketch, problem=_explain(error, self.context.public))
                yield list(sketches)

    def _draw_arm(self, order: Order, sketch: Sketch, judge: str) -> Iterator[Sketch]:
        from longclip.generation.drawing import Settings, draw
        from longclip.generation.pictures import write_png
        from longclip.generation.text_models import own_tokenizer
        from longclip.generation.word_maps import WordMaps

        pipeline = self.context.pipeline(order.pipeline)
        prompt = self._read(order, sketch.arm, pipeline)
        tokens = prompt.tokens
        own = own_tokenizer(pipeline.tokenizer)(order.prompt)
        sketch = replace(sketch, read=len(tokens), total=own.total, unseen_start=tokens.unseen_start, steps=order.steps)
        sketch = replace(sketch, clip_end=own.unseen_start)
        side = pipeline.unet.config.sample_size
        maps = WordMaps(side, side)
        settings = Settings(order.seeds, order.steps, order.guidance, preview_every=3 if order.pipeline == EMBEDDED else 4)
        for step in draw(pipeline, prompt, settings, maps):
            shown, blanked = step.pictures, step.blanked
            if step.finished:
                break
            pictures = tuple(write_png(picture, {}) for picture in shown) or sketch.pictures
            sketch = replace(sketch, step=step.number, pictures=pictures, seconds_left=step.seconds_left)
            yield sketch
        revisions = self._revisions(order)
        files = [
            write_png(picture, order.details(sketch.arm, seed, revisions))
            for picture, seed in zip(shown, order.seeds, strict=True)
        ]
        sketch = replace(sketch, step=order.steps, pictures=tuple(files), seconds_left=0.0, blanked=sum(blanked))
        sketch = replace(sketch, words=place_words(prompt, maps.result().numpy()))
        yield sketch
        if any(blanked[:1]):  # there is nothing to judge
            return
        try:
            findings, judged_by = self._judge(order.prompt, shown[0], judge)
        except Exception as error:  # what was drawn stays
            yield replace(sketch, unjudged=f"The judge could not look at it: {_explain(error, self.context.public)}")
        else:
            yield replace(sketch, findings=findings, judged_by=judged_by)

    def _read(self, order: Order, arm: str, pipeline: DiffusionPipeline) -> Prompt:
        from longclip.generation.prompts import embed, embed_in_chunks, mix

        words = (order.prompt, order.negative, order.clip_skip)
        if arm == CUT:
            return embed(pipeline, *words)
        if arm == CHUNKS:
            return embed_in_chunks(pipeline, *words)
        whole = embed(self._swapped(order, pipeline), *words)
        return whole if arm == LONG else mix(embed_in_chunks(pipeline, *words), whole, order.share)

    def _swapped(self, order: Order, pipeline: DiffusionPipeline) -> DiffusionPipeline:
        from longclip.generation.pipelines import swap

        encoder = self.context.encoder(order.model)
        key = (order.pipeline, f"{order.model}@{encoder.identity}")
        known, swapped = self._swaps.get(key, (None, None))
        # A pipeline that was dropped and loaded anew is another one.
        if known is not pipeline:
            swapped = swap(pipeline, encoder)
            self._swaps[key] = (pipeline, swapped)
        self._swaps.move_to_end(key)
        self._forget_swaps(order)
        return swapped

    def _forget_swaps(self, order: Order) -> None:
        """A swap holds its pipeline: those of pipelines that are no longer used go with them."""
        used = [other for other in self._swaps if other[0] in (EMBEDDED, order.pipeline)]
        for other in self._swaps.keys() - used[-KEEP_SWAPS:]:
            del self._swaps[other]

    def _revisions(self, order: Order) -> dict[str, str]:
        found = {order.pipeline: revision_of(self.context.pipeline(order.pipeline))}
        if self.context.ready(order.model) and set(order.arms) - {CUT, CHUNKS}:
            encoder = self.context.encoder(order.model)
            found[order.model] = encoder.spec.revision or encoder.identity
        return found

    def _judge(self, prompt: str, picture: Any, judge: str) -> tuple[tuple[Finding, ...], str]:
        """What the judge finds, and who it is; nothing where there is none or nothing to judge."""
        if not prompt.strip() or not judge:
            return (), ""
        if judge == DETECTOR:
            from longclip.diffusion.judge import judge as look

            verdicts = look(self.context.detector(), [picture], prompt)[0]
            return tuple(
                Finding(
                    f"{v.mention.colour} {v.mention.kind}" if v.mention.colour else v.mention.kind,
                    v.mention.start,
                    float(v.found),
                    v.found,
                    v.coloured,
                )
                for v in verdicts
            ), "the picture book's detector"
        from longclip.generation.agreement import measure_agreement

        model = self.context.judge(judge)
        scores, spans = measure_agreement(model, [picture], prompt, MOST_SENTENCES)
        findings = [Finding(prompt[a:b], a, float(score)) for score, (a, b) in zip(scores[0], spans, strict=True)]
        return tuple(findings), "SigLIP 2" if judge == SIGLIP else model.spec.title


def draws_other_things(pipeline: str) -> bool:
    """Whether a pipeline draws what the detector does not know: any but the embedded one and those trained as it was."""
    if any(spec.repository for spec in SPECS if spec.name == pipeline) or pipeline.startswith("hf-hub:"):
        return True
    return bool(pipeline) and Path(pipeline).is_dir() and not (Path(pipeline) / DETECTOR).is_dir()


def revision_of(pipeline: DiffusionPipeline) -> str:
    """The commit a pipeline was fetched at; of the embedded one the hash of its files; empty for another of this machine."""
    folder = Path(str(pipeline.config.get("_name_or_path", "")))
    if folder.parent.name == "snapshots":
        return folder.name
    part, manifest = f"models/{EMBEDDED}", assets() / MANIFEST
    if folder != assets() / part or not manifest.is_file():
        return ""
    return json.loads(manifest.read_text("utf-8")).get(part, {}).get("sha256", "")


def _readers(order: Order) -> set[str]:
    """The models that read an order's prompt."""
    own = next((spec.reads_with for spec in SPECS if spec.name == order.pipeline), ())
    return {*own, order.model} if set(order.arms) - {CUT, CHUNKS} else set(own)


def _explain(error: Exception, public: bool) -> str:
    """A sentence for the visitor."""
    from longclip.generation.drawing import NO_MEMORY, DrawingError, lacks_memory

    if isinstance(error, DrawingError) or is_spoken(error):
        return explain(error, public) if is_spoken(error) else str(error)
    if lacks_memory(error):
        return NO_MEMORY
    log.exception("an arm could not be drawn", exc_info=error)
    return f"This could not be drawn ({type(error).__name__})."


def place_words(prompt: Prompt, maps: np.ndarray) -> tuple[Word, ...]:
    """The words of a prompt with their maps: maps [positions, height, width] summed over a word's tokens."""
    tokens = prompt.tokens
    spans = tokens.spans[1 : len(prompt.columns) + 1]
    words = []
    for match in _WORD.finditer(tokens.text[: tokens.unseen_start]):
        start, end = match.span()
        columns = [column for column, (a, b) in zip(prompt.columns, spans, strict=True) if a < end and b > start]
        words.append(Word(start, end, _as_bytes(maps[columns].sum(0)) if columns else b""))
    return tuple(words)


def _as_bytes(places: np.ndarray) -> bytes:
    """A square of at most `FINEST_MAP` a side, 255 at its highest, 0 at its lowest."""
    factor = max(1, len(places) // FINEST_MAP)
    side = len(places) // factor
    square = places[: side * factor, : side * factor].reshape(side, factor, side, factor).mean((1, 3))
    low, high = square.min(), square.max()
    scaled = np.zeros_like(square) if high <= low else (square - low) / (high - low)
    return np.round(255 * scaled).astype(np.uint8).tobytes()


def count_found(findings: Sequence[Finding]) -> tuple[int, int]:
    """(found, all)."""
    return sum(bool(finding.found) for finding in findings), len(findings)


def warm(context: Context) -> None:
    """Draw a step with each reader and judge it, so that what is only ever done once is not done while somebody waits.

    Raises Unavailable where the embedded pipeline cannot be loaded.
    """
    context.pipeline(EMBEDDED)
    for _ in Studio(context).draw(Order(prompt="a kite", arms=tuple(ARMS), steps=1), DETECTOR):
        pass
