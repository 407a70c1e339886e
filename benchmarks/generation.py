"""Does a swapped text encoder get long prompts drawn? Object recall on held-out scenes, judged by a detector of its own.

    python benchmarks/generation.py [--prompts 200] [--pipeline picturebook-diffusion] [--long picturebook-longclip] [--padded]

Each prompt is the long caption of a scene that training never saw, its sentences in random order, and names things beyond
CLIP's 77th token; each is drawn from the same noise with the pipeline's own encoder (cut, and in chunks of 75), with Long-CLIP
in its place (`--padded`: also with pads up to its last position), and with a mix. Counted is, of the things named first before
the 77th token and of those named only after it, the share that the detector finds, and of those whose colour is said, the share
found in it; the same on one-sentence prompts; and of as many other scenes, all of whose sentences about the subject come last,
behind the 77th token, the subject, which is large. Intervals are 95 %, by resampling prompts; differences between arms are
taken prompt by prompt. Beside it: what the detector finds in the scenes' true pictures, and in the picture of the next prompt.
Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL.Image import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from longclip.diffusion.detector import Detector, load_detector
from longclip.diffusion.judge import find_mentions, judge
from longclip.encoder import load
from longclip.generation.drawing import Settings, draw
from longclip.generation.pipelines import load_pipeline, swap
from longclip.generation.prompts import embed, embed_in_chunks, mix
from longclip.generation.specs import EMBEDDED, SPECS
from longclip.picturebook.captions import realise
from longclip.picturebook.pages import Page, draw_page
from longclip.registry import assets
from longclip.tokens import Tokenizer

SEED = 7
RESAMPLED = 2000
CUT, CHUNKS, LONG = "cut at 77", "chunks of 75", "Long-CLIP"


def choose_prompts(tokenizer: Tokenizer, count: int, subject_last: bool = False) -> Iterator[tuple[Page, str]]:
    """Held-out pages with captions that name a thing first where CLIP reads no more; `subject_last`: that is the subject."""
    index = 0
    while count:
        page = draw_page("held-out", SEED, index)
        text = page.shuffled(Random(f"prompt/{SEED}/{index}"), subject_last).text
        index += 1
        late = {mention.kind for mention in find_mentions(text) if mention.start >= tokenizer(text).unseen_start}
        if (page.scene.subject.kind in late) if subject_last else late:
            count -= 1
            yield page, text


def count_found(
    detector: Detector, pictures: Sequence, texts: Sequence[str], subjects: Sequence[str], cut: Callable[[str], int]
) -> np.ndarray:
    """[prompts, 3 parts, (found, named, found in colour, named with a colour)]: early, late, subjects."""
    counts = np.zeros((len(texts), 3, 4))
    for row, (picture, text, subject) in enumerate(zip(pictures, texts, subjects, strict=True)):
        for verdict in judge(detector, [picture], text)[0]:
            seen = (verdict.found, 1, verdict.coloured or 0, verdict.coloured is not None)
            counts[row, int(verdict.mention.start >= cut(text))] += seen
            if verdict.mention.kind == subject:
                counts[row, 2] += seen
    return counts


def share(counts: np.ndarray, hits: int, of: int, base: np.ndarray | None = None) -> tuple[float, float, float]:
    """Percent over all prompts, and the ends of its interval; with `base`, counts of the same prompts, how much more."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(counts), size=(RESAMPLED, len(counts)))

    def percent(counts: np.ndarray) -> np.ndarray:
        """Of all prompts, then of each resampling of them."""
        drawn = np.concatenate([counts.sum(0)[None], counts[rows].sum(1)])
        return 100 * drawn[:, hits] / np.maximum(drawn[:, of], 1)

    found = percent(counts) if base is None else percent(counts) - percent(base)
    low, high = np.percentile(found[1:], (2.5, 97.5))
    return float(found[0]), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--pipeline", default=EMBEDDED, help="name or folder of a pipeline of the picture book")
    parser.add_argument("--long", default="picturebook-longclip")
    parser.add_argument("--detector", type=Path, default=assets() / "models" / EMBEDDED / "detector")
    parser.add_argument("--share", type=float, default=0.5, help="Long-CLIP's share of the mix")
    parser.add_argument("--padded", action="store_true", help="also fill prompts up to Long-CLIP's last position")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=next(spec.guidance for spec in SPECS if spec.name == EMBEDDED))
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    arguments = parser.parse_args()
    detector, pipeline, encoder = load_detector(arguments.detector), load_pipeline(arguments.pipeline), load(arguments.long)
    swapped = swap(pipeline, encoder)
    tokenizer = load("picturebook-clip").tokenizer
    pages, long = zip(*choose_prompts(tokenizer, arguments.prompts), strict=True)
    others, last = zip(*choose_prompts(tokenizer, arguments.prompts, subject_last=True), strict=True)
    scenes = {"long": pages, "last": others, "short": pages}
    prompts = {"long": long, "last": last, "short": [realise(page.plan[:1], page.scene).text for page in pages]}
    subjects = {kind: [page.scene.subject.kind for page in of] for kind, of in scenes.items()}
    readers = {
        CUT: lambda text: embed(pipeline, text),
        CHUNKS: lambda text: embed_in_chunks(pipeline, text),
        LONG: lambda text: embed(swapped, text),
        f"mix, {arguments.share:g} {LONG}": lambda text: mix(
            embed_in_chunks(pipeline, text), embed(swapped, text), arguments.share
        ),
    }

    if arguments.padded:
        readers[f"{LONG}, padded"] = lambda text: embed(swapped, text, length=encoder.context_length)

    seconds: list[float] = []
    known: dict[tuple, Image] = {}  # short prompts read the same way by two arms are drawn once

    def drawn(read: Callable, text: str, seed: int) -> Image:
        prompt = read(text)
        key = (seed, prompt.states.numpy().tobytes(), prompt.negative.numpy().tobytes())
        if key in known:
            return known[key]
        settings = Settings((seed,), arguments.steps, arguments.guidance, preview_every=0)
        begun = time.perf_counter()
        *_, last = draw(pipeline, prompt, settings)
        seconds.append(time.perf_counter() - begun)
        known[key] = last.pictures[0]
        return known[key]

    def cut(text: str) -> int:
        return tokenizer(text).unseen_start

    def counted(pictures: dict[str, list]) -> dict[str, np.ndarray]:
        long, last, short = (count_found(detector, pictures[kind], prompts[kind], subjects[kind], cut) for kind in prompts)
        return {"before 77": long[:, 0], "after 77": long[:, 1], "subject after 77": last[:, 2], "short": short[:, 0]}

    def figures(parts: dict[str, np.ndarray], base: dict[str, np.ndarray] | None = None) -> dict[str, tuple]:
        told = [(name, part, base and base[name]) for name, part in parts.items()]
        found = {f"{name}, found": share(part, 0, 1, other) for name, part, other in told}
        return found | {f"{name}, in its colour": share(part, 2, 3, other) for name, part, other in told if part[:, 3].any()}

    parts = {"true pictures": counted({kind: [page.scene.draw(detector.size) for page in of] for kind, of in scenes.items()})}
    for name, read in readers.items():
        pictures = {kind: [drawn(read, text, i) for i, text in enumerate(texts)] for kind, texts in prompts.items()}
        parts[name] = counted(pictures)
        if name == LONG:
            parts["its next picture"] = counted({kind: [*made[1:], made[0]] for kind, made in pictures.items()})
    rows = {name: figures(part) for name, part in parts.items()}
    # Drawn for the same prompts from the same noise: the difference varies less than either.
    rows |= {f"{LONG}, more than {name}": figures(parts[LONG], parts[name]) for name in (CUT, CHUNKS)}
    if not arguments.json:
        columns = list(rows["true pictures"])
        print("| | " + " | ".join(columns) + " |\n| --- |" + " --- |" * len(columns))
        for name, found in rows.items():
            cells = [f"{value:.1f} ({low:.1f}-{high:.1f})" for value, low, high in (found[column] for column in columns)]
            print(f"| {name} | " + " | ".join(cells) + " |")
        print(f"\n{statistics.median(seconds):.2f} seconds a picture of {arguments.steps} steps, previews left out")
    asked = {"prompts": len(pages), "steps": arguments.steps, "guidance": arguments.guidance}
    print(json.dumps(asked | {"seconds": statistics.median(seconds), "rows": rows}))


if __name__ == "__main__":
    main()
