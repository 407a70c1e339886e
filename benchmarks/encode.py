"""Speed of text and image encoding at ViT-B/16 size against open_clip's own, on the same random weights.

    python benchmarks/encode.py [--captions FILE.jsonl] [--batches 4] [--json]

FILE holds one JSON object a line with a `caption`; without it, captions of the picture book are encoded. Each batch
of texts is encoded by both, in turns, open_clip's padded to 248 tokens. Prints a table, then one JSON line (with
`--json` that line only).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from longclip.model import build_model

WIDTH, LAYERS, LENGTH = 512, 12, 248
CONFIG = {
    "embed_dim": WIDTH,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": LAYERS, "width": 768, "patch_size": 16},
    "text_cfg": {"context_length": LENGTH, "vocab_size": 49408, "width": WIDTH, "heads": 8, "layers": LAYERS},
}
TARGETS = {"full captions": 2.2, "first ten words": 12.0}


def read_captions(path: Path | None, count: int) -> list[str]:
    """`count` captions of a file, or of the picture book's held-out scenes."""
    if path is None:
        from longclip.picturebook.pages import draw_page

        return [draw_page("held-out", 0, index).long.text for index in range(count)]
    with path.open() as lines:
        return [json.loads(line)["caption"] for line, _ in zip(lines, range(count), strict=False)]


def seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Wall-clock seconds of one call, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compare(plain: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> dict[str, float]:
    """Encode each batch with both, in turns, which one first changing: median ratio of times, quartiles, difference."""
    ours(batches[0][:8]), plain(batches[0][:8])
    pairs, difference = [], 0.0
    for number, batch in enumerate(batches):
        first, second = (plain, ours) if number % 2 else (ours, plain)
        (a, x), (b, y) = seconds(lambda: first(batch)), seconds(lambda: second(batch))  # noqa: B023  (called here)
        pairs.append((a, b) if number % 2 else (b, a))
        difference = max(difference, (x - y).abs().max().item())
    ratios = [slow / fast for slow, fast in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {
        "seconds": sum(fast for _, fast in pairs) / len(pairs),
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
        "difference": difference,
    }


def product_rate(size: int = 2048, repeats: int = 7) -> float:
    """Operations a second of this machine's fp32 matrix product, the best of some: others may be using it."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(seconds(lambda: a @ b)[0] for _ in range(repeats))


def operations(lengths: Sequence[int]) -> float:
    """Operations that texts of these lengths need: all blocks, of the last one what the pooled token reads."""
    block = sum(24 * n * WIDTH**2 + 2 * n * (n + 1) * WIDTH for n in lengths)
    last = sum(4 * n * WIDTH**2 + 20 * WIDTH**2 + 4 * n * WIDTH for n in lengths)
    return (LAYERS - 1) * block + last + 2 * len(lengths) * WIDTH**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--captions", type=Path, help="JSON lines with `caption`; without it, the picture book's")
    parser.add_argument("--batches", type=int, default=4, help="batches of 64 texts (16 images), each timed once")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    args = parser.parse_args()

    torch.manual_seed(0)
    ours = build_model(CONFIG).eval()
    plain = CLIP(**CONFIG).eval()
    plain.load_state_dict(ours.state_dict())
    tokenize = SimpleTokenizer(context_length=LENGTH)
    captions = read_captions(args.captions, 64 * args.batches)
    sets = {"full captions": captions, "first ten words": [" ".join(text.split()[:10]) for text in captions]}
    report = {}
    with torch.inference_mode():
        for name, texts in sets.items():
            ids = tokenize(texts)
            lengths = (ids.argmax(-1) + 1).tolist()
            before = product_rate()
            result = compare(plain.encode_text, ours.encode_text, ids.split(64))
            rate = max(before, product_rate())
            reached = operations(lengths) / len(ids.split(64)) / result["seconds"] / rate
            report[name] = result | {"tokens": statistics.mean(lengths), "share_of_product_rate": reached, "rate": rate}
        pictures = torch.randn(16 * args.batches, 3, 224, 224).split(16)
        report["images"] = compare(plain.encode_image, ours.encode_image, pictures)
    if not args.json:
        print(f"{'':16} {'ratio':>7} {'quartiles':>15} {'target':>7} {'ms/batch':>9} {'difference':>11} {'product rate':>13}")
        for name, row in report.items():
            share = f"{row['share_of_product_rate']:.0%}" if "share_of_product_rate" in row else ""
            spread = f"{row['ratio_low']:.2f} - {row['ratio_high']:.2f}"
            print(
                f"{name:16} {row['ratio']:7.2f} {spread:>15} {TARGETS.get(name, ''):>7} {1000 * row['seconds']:9.0f}"
                f" {row['difference']:11.1e} {share:>13}"
            )
    print(json.dumps({"threads": torch.get_num_threads(), **report}))


if __name__ == "__main__":
    main()
