"""Speed of leave-one-out at the size of ViT-B/16's text encoder, against open_clip encoding each variant padded to 248.

    python benchmarks/attribution.py [--tokens 200] [--sample 32] [--repeats 3] [--json]

Random weights; a caption made of the picture book's sentences, cut at `--tokens`. Ours is the call behind the
tokens, scores included. open_clip encodes the same captions without a word, in one batch, `--sample` of them evenly drawn from
all: its seconds are scaled to the number of all. In turns. Prints a table, then one JSON line (with `--json` that only).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from open_clip.model import CLIP

sys.path.insert(0, str(Path(__file__).parents[1]))

from longclip.attribution import Match, leave_one_out
from longclip.encoder import Encoder
from longclip.evaluation.length import cut_tokens
from longclip.model import build_model
from longclip.picturebook.pages import draw_page
from longclip.preprocessing import Preprocessing
from longclip.registry import ModelSpec
from longclip.tokens import Tokenizer, pad

LENGTH, TARGET = 248, 2.5
CONFIG = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": LENGTH, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tokens", type=int, default=200, help="length of the caption, start and end included")
    parser.add_argument("--sample", type=int, default=32, help="variants that open_clip encodes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    args = parser.parse_args()

    torch.manual_seed(0)
    model = build_model(CONFIG).eval().requires_grad_(False)
    plain = CLIP(**CONFIG).eval()
    plain.load_state_dict(model.state_dict())
    tokenizer = Tokenizer.full(LENGTH)
    encoder = Encoder(ModelSpec("random", "", "", LENGTH, "", "local"), model, tokenizer, Preprocessing())
    text = cut_tokens(tokenizer, " ".join(draw_page("held-out", 0, index).long.text for index in range(4)), args.tokens)
    direction = torch.nn.functional.normalize(torch.randn(512), dim=0).numpy()

    ours, theirs, difference = [], [], 0.0
    for _ in range(args.repeats):
        match = Match(encoder, text, direction)
        found = leave_one_out(match, removal="delete")
        ours.append(found.seconds)
        chosen = found.seen[:: max(1, len(found.seen) // args.sample)]
        ids = pad([match.without([found.units[number]], "delete").ids for number in chosen])
        ids = torch.nn.functional.pad(ids, (0, LENGTH - ids.shape[1]))
        began = time.perf_counter()
        with torch.inference_mode():
            scores = plain.encode_text(ids, normalize=True).numpy() @ direction
        theirs.append((time.perf_counter() - began) / len(chosen) * len(found.seen))
        difference = max(difference, abs(found.score - found.values[chosen] - scores).max())
    ratio = statistics.median(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    row = {
        "tokens": len(match.tokens),
        "variants": len(found.seen),
        "passes": found.passes,
        "seconds": statistics.median(ours),
        "open_clip seconds": statistics.median(theirs),
        "ratio": ratio,
        "target": TARGET,
        "difference": difference,
    }
    if not args.json:
        for name, value in row.items():
            print(f"{name:18} {value:.3g}")
    print(json.dumps({"threads": torch.get_num_threads(), "text at ViT-B/16 size": row}))


if __name__ == "__main__":
    main()
