"""Words named by the token states of a finished model, what it matches kept: how the weights that ship came by it.

    python benchmarks/name_words.py teach START OUT [--steps 4000] [--rate 1.5e-3] [--rows 24] [--kept 32]
    python benchmarks/name_words.py carry START BEFORE AFTER OUT

`teach` trains the text tower alone. Its texts are captions of drawn scenes, their sentences in random order, one behind the
other, so that every position of the context is full; their words are to be named (`objectives.word_naming`). The features of
other captions are kept near those of START (20 times the mean cosine distance). `carry` adds to START what teaching changed
in another model, BEFORE to AFTER (task arithmetic, Ilharco et al., arXiv 2212.04089): of a CLIP to the Long-CLIP that was made
from it, the table of positions stretched. On a CPU; prints the losses; benchmarks/LOG.md has the figures.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from longclip import checkpoints
from longclip.encoder import Encoder, load
from longclip.objectives.word_naming import word_codes, word_naming_loss
from longclip.picturebook.captions import realise
from longclip.picturebook.pages import draw_page
from longclip.positions import stretch_positions
from longclip.training.scenes import web_plan

SCENES, SEED = 6000, 77
KEPT_WEIGHT, WARMUP = 20.0, 100
# Tokens left out at the beginning of a text of joined captions, at most: it begins anywhere in a sentence.
OFFSET = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = parser.add_subparsers(dest="way", required=True)
    taught = ways.add_parser("teach")
    carried = ways.add_parser("carry")
    for way, names in ((taught, ("start", "out")), (carried, ("start", "before", "after", "out"))):
        for name in names:
            way.add_argument(name)
    taught.add_argument("--steps", type=int, default=4000)
    taught.add_argument("--rate", type=float, default=1.5e-3)
    taught.add_argument("--rows", type=int, default=24, help="texts a step whose words are named")
    taught.add_argument("--kept", type=int, default=32, help="captions a step whose features are kept")
    args = parser.parse_args()
    encoder = load(args.start)
    if args.way == "teach":
        teach(encoder, args.steps, args.rate, args.rows, args.kept)
    else:
        carry(encoder, load(args.before), load(args.after))
    write(encoder, args.out)


def teach(encoder: Encoder, steps: int, rate: float, rows: int, kept: int) -> None:
    """Train the text tower in place."""
    model, tokenizer, length = encoder.model, encoder.tokenizer, encoder.context_length
    words, captions = read_captions(encoder)
    with torch.no_grad():
        features = torch.cat([encoder.text_features(tokenizer.batch(captions[i : i + 100])) for i in range(0, SCENES, 100)])
    codes = word_codes(*model.token_embedding.weight.shape)
    model.train().requires_grad_(True)
    model.visual.requires_grad_(False)
    model.logit_scale.requires_grad_(False)
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    rng = Random(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARMUP) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        ids = torch.tensor([join(words, rng, length - 2, tokenizer.start_id, tokenizer.end_id) for _ in range(rows)])
        inside = (ids != tokenizer.start_id) & (ids != tokenizer.end_id)
        seen = model.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True)
        naming = word_naming_loss(seen["text_intermediates"][-1], ids, inside, codes)
        numbers = [rng.randrange(SCENES) for _ in range(kept)]
        again = model.encode_text(tokenizer.batch([captions[number] for number in numbers]), normalize=True)
        distance = (1 - (again * features[numbers]).sum(1)).mean()
        optimizer.zero_grad()
        (naming + KEPT_WEIGHT * distance).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: naming {naming.item():.3f}, cosine distance {distance.item():.4f}", flush=True)


def read_captions(encoder: Encoder) -> tuple[list[list[int]], list[str]]:
    """Word ids of whole captions of scenes of the split `train`, and captions as long as the model is used to."""
    pages = [draw_page("train", SEED, number) for number in range(SCENES)]
    whole = [page.shuffled(Random(n)).text for n, page in enumerate(pages)]
    web = [realise(web_plan(page, Random(n), 0.2), page.scene).text for n, page in enumerate(pages)]
    endless = encoder.tokenizer.with_length(1000)
    words = [list(endless(text).ids[1:-1]) for text in whole]
    return words, web if encoder.context_length == 77 else [(whole, web)[n % 2][n] for n in range(SCENES)]


def join(words: list[list[int]], rng: Random, length: int, start: int, end: int) -> list[int]:
    """Captions one behind the other, cut at both sides to so many words."""
    offset, row = rng.randrange(OFFSET), []
    while len(row) < length + offset:
        row += rng.choice(words)
    return [start, *row[offset : offset + length], end]


def carry(encoder: Encoder, before: Encoder, after: Encoder) -> None:
    """Add to the weights in place what changed between the two others."""
    old, new, own = (each.model.state_dict() for each in (before, after, encoder))
    changes = {name: new[name] - old[name] for name in own}
    if encoder.context_length != before.context_length:
        changes["positional_embedding"] = stretch_positions(changes["positional_embedding"])
    encoder.model.load_state_dict({name: weights + changes[name] for name, weights in own.items()})


def write(encoder: Encoder, out: str) -> None:
    """START's folder with these weights in half precision."""
    folder = Path(out)
    shutil.copytree(encoder.spec.folder, folder, dirs_exist_ok=True)
    config = (folder / "open_clip_config.json").read_bytes()  # names the tokenizer and the preprocessing too
    checkpoints.write(checkpoints.checkpoint_of(encoder.model.eval()).cast("fp16"), folder)
    (folder / "open_clip_config.json").write_bytes(config)


if __name__ == "__main__":
    main()
