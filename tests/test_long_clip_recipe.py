"""The recipe `long-clip` against the authors' training written out plainly: their model, loss, schedule and optimiser."""

from __future__ import annotations

from math import cos, log, pi

import pytest
import torch
import torch.nn.functional as F
from small_runs import fine_tuning
from torch import nn

from longclip.encoder import load
from longclip.positions import stretch_positions
from longclip.training.recipe import read_recipe
from longclip.training.run import start
from longclip.training.scenes import SceneBatches

STEPS, WARMUP, RATE, COMPONENTS = 4, 2, 1e-3, 8
# Of AdamW, in which a gradient of rounding size still moves a weight by the rate.
CLOSE = 0.01


class Theirs(nn.Module):
    """Two tables of positions, of which rows 0-19 of one and the others of the other are read; the scale begins at 100."""

    def __init__(self, clip) -> None:
        super().__init__()
        table = stretch_positions(clip.positional_embedding.detach())
        self.clip = clip
        clip.logit_scale = nn.Parameter(torch.tensor(log(100)))
        self.kept, self.res = nn.Parameter(table.clone(), requires_grad=False), nn.Parameter(table.clone())
        mask = torch.full((248, 248), float("-inf")).triu(1)
        self.register_buffer("mask", mask)
        self.first = (torch.arange(248) < 20).float()[:, None]

    def text(self, ids):
        clip = self.clip
        x = clip.token_embedding(ids) + self.kept * self.first + self.res * (1 - self.first)
        x = clip.ln_final(clip.transformer(x, attn_mask=self.mask))
        return F.normalize(x[torch.arange(len(ids)), ids.argmax(1)] @ clip.text_projection, dim=1)

    def forward(self, pixels, long, short):
        image = F.normalize(self.clip.visual(pixels), dim=1)
        mean = image.mean(0)
        directions = torch.linalg.svd(image - mean, full_matrices=False)[2].T[:, :COMPONENTS]
        coarse = (image - mean) @ directions @ directions.T + mean
        loss = 0
        for pictures, texts in ((image, self.text(long)), (coarse, self.text(short))):
            logits = self.clip.logit_scale.exp() * pictures @ texts.T
            target = torch.arange(len(logits))
            for way in (logits, logits.T):
                loss = loss + F.cross_entropy(way, target, label_smoothing=0.1) / 2
        return loss


def padded(tokenizer, texts):
    ids = torch.zeros(len(texts), 248, dtype=torch.long)
    for row, text in enumerate(texts):
        found = tokenizer(text).ids
        ids[row, : len(found)] = torch.tensor(found)
    return ids


@pytest.mark.parametrize(
    ("changes", "same"),
    [({}, True), ({"decay": "matrices"}, False), ({"clip_norm": 1.0}, False), ({"logit_scale": 0}, False)],
    ids=str,
)
def test_the_recipe_trains_as_the_authors_code_does(changes, same, tmp_path, tiny_clip):
    recipe = read_recipe(
        "long-clip",
        **{"base": str(tiny_clip), "steps": STEPS, "warmup": WARMUP, "learning_rate": RATE, "weight_decay": 20.0}
        | {"batch": 36, "components": COMPONENTS, "basis": "differentiated", "validate_on": 0}
        | changes,
    )
    mine, scenes = start(recipe, tmp_path), SceneBatches(fine_tuning("base", batch=36, family_share=0.0), 32)
    theirs = Theirs(load(tiny_clip).model.requires_grad_(True))
    before = {name: weights.clone() for name, weights in mine.model.named_parameters()}
    optimizer = torch.optim.AdamW(
        [weights for weights in theirs.parameters() if weights.requires_grad], RATE, weight_decay=20.0
    )
    for step in range(STEPS):
        batch = scenes[step]
        rate = RATE * (step + 1) / WARMUP if step < WARMUP else RATE / 2 * (1 + cos(pi * (step - WARMUP) / (STEPS - WARMUP)))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        theirs(mine.pixels(batch.images), padded(mine.tokenizer, batch.long), padded(mine.tokenizer, batch.short)).backward()
        optimizer.step()
        mine.update([batch])
        assert mine.rate == pytest.approx(rate)
    wanted = dict(theirs.clip.named_parameters())
    wanted["positional_embedding"] = theirs.kept * theirs.first + theirs.res * (1 - theirs.first)
    wanted["logit_scale"] = wanted["logit_scale"].clamp(max=log(100))
    off = moved = 0.0
    for name, weights in mine.model.named_parameters():
        off += (weights - wanted[name]).abs().sum().item()
        moved += (weights - before[name]).abs().sum().item()
    assert (off < CLOSE * moved) == same, off / moved
    assert torch.equal(mine.model.positional_embedding[:20], before["positional_embedding"][:20])
