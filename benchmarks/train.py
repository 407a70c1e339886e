"""Speed and memory of a fine-tuning step at ViT-B/16 size against the plain way, on the same random weights and batch.

    python benchmarks/train.py [--captions FILE.jsonl] [--batch 40] [--steps 3] [--device cpu] [--json]

The plain way: `open_clip`'s own forward, both captions padded to 248 tokens, one pass each, the thin SVD differentiated.
Ours: `longclip.training` as it is. Steps are taken in turns; the text side (both captions, forward and backward) is timed
apart; peak memory comes from a process each. FILE holds one JSON object a line with a `caption`; without it, captions of
the picture book are used. Prints a table, then one JSON line (with `--json` that line only).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.encode import CONFIG, LAYERS, LENGTH, WIDTH, operations, product_rate, read_captions, seconds
from longclip.model import build_model
from longclip.objectives.primary_component import primary_component_losses
from longclip.preprocessing import Preprocessing
from longclip.sentences import split_sentences
from longclip.tokens import Tokenizer
from longclip.training.batches import Batch
from longclip.training.recipe import Recipe
from longclip.training.run import Run

TARGETS = {"whole step": 1.6, "text side": 2.2}
WAYS = ("ours", "plain")
PATCHES, VISION = 197, 768


def make_batch(captions: list[str]) -> Batch:
    """Random pictures, and the captions with their first sentences."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(captions), 3, 224, 224), dtype=torch.uint8, generator=generator)
    short = [text[slice(*split_sentences(text)[0])] for text in captions]
    return Batch(images, captions, short)


class Ours:
    """The project's own step."""

    def __init__(self, batch: int, device: str) -> None:
        recipe = Recipe(name="bench", base="ViT-B-16", steps=1000, batch=batch, learning_rate=1e-6, validate_on=0)
        torch.manual_seed(0)
        self.run = Run(recipe, Path(tempfile.gettempdir()), build_model(CONFIG), Tokenizer.full(LENGTH), Preprocessing())

    def step(self, batch: Batch) -> None:
        self.run.update([batch])

    def text(self, batch: Batch) -> None:
        ids = self.run.tokenizer.batch(batch.long + batch.short).to(self.run.device)
        self.run.model.encode_text(ids, normalize=True).sum().backward()


class Plain:
    """open_clip's forward passes and autograd."""

    def __init__(self, batch: int, device: str) -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = CLIP(**CONFIG).to(device)
        self.tokenize = SimpleTokenizer(context_length=LENGTH)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (Preprocessing.mean, Preprocessing.std))

    def step(self, batch: Batch) -> None:
        self.optimizer.zero_grad()
        pixels = (batch.images.to(self.device).float() / 255 - self.mean) / self.std
        image = self.model.encode_image(pixels, normalize=True)
        long, short = self._texts(batch)
        losses = primary_component_losses(image, long, short, self.model.logit_scale.exp(), through_basis=True)
        (losses["long"] + losses["short"]).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def text(self, batch: Batch) -> None:
        sum(features.sum() for features in self._texts(batch)).backward()

    def _texts(self, batch: Batch) -> list[Tensor]:
        ids = (self.tokenize(texts).to(self.device) for texts in (batch.long, batch.short))
        return [self.model.encode_text(part, normalize=True) for part in ids]


def step_operations(lengths: list[int], images: int) -> float:
    """Operations of a step, forward and backward (twice the forward's), of texts of these lengths and so many images."""
    block = 24 * PATCHES * VISION**2 + 4 * PATCHES**2 * VISION
    return 3 * (operations(lengths) + images * LAYERS * block)


def padded_operations(texts: int, images: int) -> float:
    """The same where each text is LENGTH long, and every block whole with attention over all pairs of tokens."""
    block = 24 * LENGTH * WIDTH**2 + 4 * LENGTH**2 * WIDTH
    return 3 * LAYERS * texts * block + step_operations([], images)


def compare(ours: Callable[[], None], plain: Callable[[], None], steps: int, wait: Callable[[], None]) -> dict[str, float]:
    """Both in turns, which one first changing: median ratio of times, its range, seconds of ours."""

    def timed(work: Callable[[], None]) -> float:
        return seconds(lambda: (work(), wait()))[0]

    timed(ours), timed(plain)
    pairs = []
    for number in range(steps):
        first, second = (plain, ours) if number % 2 else (ours, plain)
        a, b = timed(first), timed(second)
        pairs.append((a, b) if number % 2 else (b, a))
    ratios = [slow / fast for slow, fast in pairs]
    own = statistics.median(fast for _, fast in pairs)
    return {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios), "seconds": own}


def measure_peak(arguments: argparse.Namespace) -> None:
    """Two steps of one way in this process; prints the peak memory in bytes."""
    way = (Ours if arguments.peak == "ours" else Plain)(arguments.batch, arguments.device)
    batch = make_batch(read_captions(arguments.captions, arguments.batch))
    for _ in range(2):
        way.step(batch)
    on_gpu = arguments.device == "cuda"
    print(torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_of(way: str) -> float:
    """Peak gigabytes of a way, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--peak", way]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--captions", type=Path, help="JSON lines with `caption`; without it, the picture book's")
    parser.add_argument("--batch", type=int, default=40, help="pairs a step, at least 34")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each way")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    parser.add_argument("--peak", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        measure_peak(arguments)
        return
    batch = make_batch(read_captions(arguments.captions, arguments.batch))
    peaks = {way: peak_of(way) for way in WAYS}
    ours, plain = Ours(arguments.batch, arguments.device), Plain(arguments.batch, arguments.device)
    wait = torch.cuda.synchronize if arguments.device == "cuda" else lambda: None
    before = product_rate()
    report = {
        "whole step": compare(lambda: ours.step(batch), lambda: plain.step(batch), arguments.steps, wait),
        "text side": compare(lambda: ours.text(batch), lambda: plain.text(batch), arguments.steps, wait),
    }
    rate = max(before, product_rate())
    lengths = (ours.run.tokenizer.batch(batch.long + batch.short).argmax(1) + 1).tolist()
    images = len(batch)
    needed = {"whole step": step_operations(lengths, images), "text side": step_operations(lengths, 0)}
    ceiling = {
        "whole step": padded_operations(2 * images, images) / needed["whole step"],
        "text side": padded_operations(2 * images, 0) / needed["text side"],
    }
    for name, row in report.items():
        row |= {"ceiling": ceiling[name], "share_of_product_rate": needed[name] / row["seconds"] / rate}
    if not arguments.json:
        print(f"{'':12}{'ratio':>7}{'range':>15}{'target':>8}{'by operations':>15}{'s':>8}{'product rate':>14}")
        for name, row in report.items():
            span = f"{row['ratio_low']:.2f} - {row['ratio_high']:.2f}"
            print(
                f"{name:12}{row['ratio']:7.2f}{span:>15}{TARGETS[name]:>8}{row['ceiling']:>15.2f}{row['seconds']:>8.1f}"
                f"{row['share_of_product_rate']:>14.0%}"
            )
        print(f"peak memory: {peaks['ours']:.2f} GB, the plain way {peaks['plain']:.2f} GB")
    tokens = {"long": statistics.mean(lengths[:images]), "short": statistics.mean(lengths[images:])}
    print(json.dumps({"threads": torch.get_num_threads(), "tokens": tokens, "peak_gb": peaks, "rate": rate, **report}))


if __name__ == "__main__":
    main()
