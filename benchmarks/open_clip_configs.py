"""Weights of each of open_clip's configurations, read bare and with their configuration, against open_clip's own features.

    python benchmarks/open_clip_configs.py [NAME ...] [--out TABLE.md]

At full size, without contents, the shapes are matched with all configurations. Then every plain CLIP is made small: two
layers, two heads a tower, as wide as the original's, its activation, its image pooling; MLPs sized so that what has other
shapes at full size has others here too. `open_clip.create_model` reads the file it is saved to, and so does
`longclip.load`, bare and with its configuration named; a picture and texts go through both. A bare file must give
those features to 1e-5, or be refused with its configuration's name among the candidates; with its configuration it
must give them, or be refused with the reason why its kind is not read. Prints a table and its totals.
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

import longclip
from longclip.checkpoints.checkpoint import CheckpointError, mlp_ratio
from longclip.checkpoints.configurations import match_configuration
from longclip.checkpoints.foreign import name_weights
from longclip.checkpoints.weights import from_state

BOUND = 1e-5
TEXTS = ["a photo of a dog", "A red kite above the old barn, and a cat."]
# timm's towers, each as a small relative of its own; the others are small enough.
SMALLER = {
    "convnext_tiny": "convnext_atto",
    "convnext_small": "convnext_femto",
    "convnext_base": "convnext_pico",
    "convnext_large": "convnext_nano",
    "convnext_xlarge": "convnext_atto",
    "convnext_xxlarge": "convnext_atto",
    "swin_base_patch4_window7_224": "swin_tiny_patch4_window7_224",
}
Config = dict[str, Any]


def is_plain(config: Config) -> bool:
    """Whether a configuration is of a CLIP with its own text tower."""
    return not config.get("custom_text") and "hf_model_name" not in config["text_cfg"]


def shrink(config: Config) -> Config:
    """A small CLIP of the same kind: its heads as wide, its other sizes still apart from those of other configurations."""
    config = copy.deepcopy(config)
    text, vision = config["text_cfg"], config["vision_cfg"]
    shrink_tower(text, text.get("width", 512), text.get("width", 512) // text.get("heads", 8))
    text["heads"] = 2
    if text.get("vocab_size", 49408) != 49408:
        text["vocab_size"] //= 100
    if "timm_model_name" in vision:
        if vision["timm_model_name"] in SMALLER and "convnext" in vision["timm_model_name"]:
            vision["image_size"] //= 4
        vision["timm_model_name"] = SMALLER.get(vision["timm_model_name"], vision["timm_model_name"])
    elif isinstance(vision["layers"], list):
        vision["image_size"] = 32 * (vision["image_size"] // 64)
        vision["layers"], vision["width"] = [1, 1, 1, 1], 16
    else:
        grid = vision["image_size"] // vision["patch_size"]
        vision["image_size"] = vision["patch_size"] * max(2, grid - 6 if grid < 16 else grid // 2)
        shrink_tower(vision, vision["width"], vision.get("head_width", 64))
    return config


def shrink_tower(tower: Config, width: int, head: int) -> None:
    """Two layers of two heads; the MLP tells how wide and deep the tower was."""
    hidden = int(width * tower.get("mlp_ratio", 4.0)) // 16 + tower.get("layers", 12)
    tower |= {"width": 2 * head, "layers": 2, "mlp_ratio": mlp_ratio(hidden, 2 * head)}


@contextmanager
def known_as(configs: dict[str, Config]) -> Iterator[None]:
    """Lets open_clip know these configurations and no other."""
    known = open_clip.factory._MODEL_CONFIGS
    open_clip.factory._MODEL_CONFIGS = configs
    try:
        yield
    finally:
        open_clip.factory._MODEL_CONFIGS = known


def save_random(name: str, path: Path) -> None:
    """A file of random weights as open_clip saves them, large enough that heads and activation show in the features."""
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    with torch.no_grad():
        for key, value in model.named_parameters():
            value.mul_(3 if value.ndim == 2 and ("resblocks" in key or "blocks" in key) else 1)
    torch.save({"epoch": 1, "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}, path)


def compare(name: str, path: Path, named: str | None) -> str:
    """The largest difference of features of a file from open_clip's, or why the file is refused."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 200, 3), dtype=np.uint8)).resize((400, 160))
    try:
        encoder = longclip.load(path, config=named)
    except (ValueError, FileNotFoundError) as error:
        return f"refused: {error}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(path))
    ids = open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        image = model.eval().encode_image(preprocess(picture)[None], normalize=True).numpy()
        text = model.encode_text(ids, normalize=True).numpy()
    difference = max(np.abs(encoder.encode_image([picture]) - image).max(), np.abs(encoder.encode_text(TEXTS) - text).max())
    return f"equal to {difference:.0e}" if difference <= BOUND else f"WRONG by {difference:.0e}"


def shapes_of(config: Config) -> dict[str, Tensor]:
    """The state dict of a configuration's model, without contents; of a text tower of transformers only its first name."""
    config = copy.deepcopy(config)
    coca, custom = config.pop("multimodal_cfg", None), config.pop("custom_text", False)
    text = config["text_cfg"]
    others = {}
    if "hf_model_name" in text:
        others["text.transformer.embeddings.word_embeddings.weight"] = torch.empty(9, 9, device="meta")
        config["text_cfg"], custom = {}, False
    if coca:
        others["text_decoder.ln_final.weight"] = torch.empty(9, device="meta")
    with torch.device("meta"):
        state = (CustomTextCLIP if custom else CLIP)(**config).state_dict()
    if "hf_model_name" in text:
        state = {name: value for name, value in state.items() if name.startswith(("visual.", "logit_"))}
    return state | others


def match(state: dict[str, Tensor], name: str) -> str:
    """What full-size weights without a configuration are taken for."""
    try:
        if foreign := name_weights(state):
            raise CheckpointError(f"weights.pt holds {foreign}")
        config, _ = match_configuration(state, "weights.pt")
    except CheckpointError as error:
        return f"refused: {error}"
    return "taken for it" if config == open_clip.get_model_config(name) else "WRONG"


def refuse(state: dict[str, Tensor], name: str) -> str:
    """What becomes of full-size weights of another kind with their configuration."""
    if foreign := name_weights(state):
        return f"refused: it holds {foreign}"
    try:
        from_state(state, Path("weights.pt"), name)
    except CheckpointError as error:
        return f"refused: {error}"
    return "WRONG"


def check(name: str, config: Config, folder: Path, small: dict[str, Config]) -> tuple[str, str, str, str]:
    """(name, bare at full size, bare and small, with configuration), each in words."""
    state = shapes_of(config)
    full = match(state, name)
    if not is_plain(config):
        return name, full, "–", refuse(state, name)
    path = folder / f"{name}.pt"
    with known_as(small):
        save_random(name, path)
        rows = name, full, compare(name, path, None), compare(name, path, name)
    path.unlink()
    return rows


def is_right(row: tuple[str, str, str, str]) -> bool:
    """Equal to open_clip, or refused in a sentence; where a bare file is refused, its configuration is named or its kind is."""
    name, full, bare, configured = row
    named = all(
        not cell.startswith("refused") or name in cell or " holds a " in cell or "tokenizer" in cell for cell in (full, bare)
    )
    return named and "WRONG" not in "".join(row) and configured.startswith(("equal", "refused"))


def shorten(cell: str) -> str:
    """A refusal by its reason."""
    for words, short in {
        "several of open_clip's": "refused, the candidates named",
        "not causal": "refused: text attention that is not causal",
        "'last'": "refused: another pooling of the text",
        "CustomTextCLIP": "refused: a CustomTextCLIP",
        "CoCa": "refused: a CoCa",
        "a text tower from transformers": "refused: a text tower from transformers",
        "no tokenizer": "refused: a tokenizer that is not CLIP's",
        "none of open_clip's": "refused: no configuration fits",
    }.items():
        if cell.startswith("refused") and words in cell:
            return short
    return cell


def main() -> int:
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that weights are random, which they are meant to be
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="configurations (default: all)")
    parser.add_argument("--out", type=Path, help="a file for the table, with every sentence whole")
    args = parser.parse_args()
    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    small = {name: shrink(config) for name, config in configs.items() if is_plain(config)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or configs:
            rows.append(check(name, configs[name], Path(folder), small))
            print(" | ".join(["right" if is_right(rows[-1]) else "WRONG", *map(shorten, rows[-1])]), flush=True)
    header = ["| configuration | bare, full size | bare, small | with its configuration |", "| --- | --- | --- | --- |"]
    if args.out:
        args.out.write_text("\n".join([*header, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n")
    for number, title in enumerate(("bare, full size", "bare, small", "with its configuration"), 1):
        counted = Counter("equal to 1e-5" if row[number].startswith("equal") else shorten(row[number]) for row in rows)
        print(f"{title}: " + "; ".join(f"{count} {outcome}" for outcome, count in counted.most_common()))
    wrong = [row[0] for row in rows if not is_right(row)]
    print(
        f"{len(rows) - len(wrong)} of {len(rows)} configurations right or refused with a sentence"
        + (f"; WRONG: {wrong}" if wrong else "")
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
