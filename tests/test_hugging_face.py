"""Folders of Hugging Face, drawn at random, against transformers' own reading of them; and back again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

import longclip
from longclip import checkpoints
from longclip.checkpoints import CheckpointError
from longclip.tokenizer_files import make_tokenizer
from longclip.tokens import Tokenizer
from longclip.vocabulary import reduce_vocabulary

DRAWN = 40
WORDS = ("a photo of a <my-thing> on a chair, and a cat.", "Two red kites above the <Barn Door> and sks-dog!", "A dog.", "")
VOCAB, MERGES = reduce_vocabulary(WORDS)
NEW = (
    AddedToken("<my-thing>"),
    AddedToken("<Barn Door>", normalized=False),
    AddedToken("sks-dog", single_word=True),
    AddedToken("KITES", lstrip=True),
    AddedToken("<|padding|>", special=True),
    AddedToken("<ob>", special=True),
)
# Plain characters: texts are cleaned as by the code of CLIP, which mends more than transformers does.
TEXTS = (
    *WORDS,
    "kites<my-thing>kites <MY-THING>",
    "asks-dogs <Barn Door><barn door>",
    "x <ob> y" * 40,
    "it's 3 cats' <my-thing",
)


def make_folder(folder: Path, rng: Random) -> str:
    """A folder with a drawn layout; returns what was drawn."""
    size, side = rng.choice([16, 32]), rng.choice([0, 3, 9])
    processor: dict[str, Any] = {"crop_size": {"height": size, "width": size}, "resample": rng.choice([2, 3])}
    squash = rng.random() < 0.3
    processor["size"] = {"height": size, "width": size} if squash else {"shortest_edge": size + side}
    processor["do_center_crop"] = not squash or rng.random() < 0.5
    processor |= rng.choice([{}, {"do_normalize": False}, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}])
    processor |= rng.choice([{}, {}, {"rescale_factor": 1 / 127.5}])
    tokenizer = make_tokenizer(VOCAB, MERGES, rng.choice([24, 77]))
    added = rng.sample(NEW, rng.randint(0, 4))
    for token in added:
        tokenizer.add_tokens([token])
    filled = rng.choice([0, 0, 8])
    words = -(-len(tokenizer) // filled) * filled if filled else len(tokenizer)
    tower = {"hidden_size": 64, "intermediate_size": rng.choice([96, 256]), "num_hidden_layers": 2, "projection_dim": 24}
    activation = rng.choice(["gelu", "quick_gelu"])
    text = {
        **tower,
        "num_attention_heads": rng.choice([1, 2, 4]),
        "vocab_size": words,
        "max_position_embeddings": tokenizer.model_max_length,
        "hidden_act": activation,
        # Configs of old say 2: then the highest id is read, an added one if there is one.
        "eos_token_id": rng.choice([tokenizer.eos_token_id, 2]),
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**tower, "num_attention_heads": rng.choice([2, 4]), "image_size": size, "patch_size": 8, "hidden_act": activation}
    torch.manual_seed(rng.randrange(1 << 30))
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(3 if weights.ndim == 2 else 1)
    layout = rng.choice(["safetensors", "shards", "pickle", "own name"])
    model.save_pretrained(folder, max_shard_size="60KB" if layout == "shards" else "1GB")
    if layout in ("pickle", "own name"):
        state = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        if layout == "pickle":
            torch.save(state, folder / "pytorch_model.bin")
        else:
            save_file(state, folder / "fine-tuned.safetensors", {"format": "pt"})
    images = CLIPImageProcessor(**processor)
    nested = rng.random() < 0.5
    if nested:
        CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    else:
        images.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    parts = rng.random() < 0.3
    if parts:
        take_apart(folder, tokenizer)
    return f"{layout}, nested {nested}, parts {parts}, {processor}, {added}, {text}"


def take_apart(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """The files of transformers 4 in place of tokenizer.json."""
    whole = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]), "utf-8")
    lines = [" ".join(merge) for merge in whole["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", "utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    fields = ("content", "lstrip", "rstrip", "normalized", "single_word", "special")
    settings["added_tokens_decoder"] = {
        str(number): {name: getattr(token, name) for name in fields} for number, token in tokenizer.added_tokens_decoder.items()
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def picture(rng: Random) -> Image.Image:
    shape = rng.randint(20, 60), rng.randint(20, 60), 3
    return Image.fromarray(np.random.default_rng(rng.randrange(99)).integers(0, 256, shape, dtype=np.uint8)).resize((90, 70))


def their_features(folder: Path, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    named = folder / "fine-tuned.safetensors"
    if named.is_file():
        model = CLIPModel(CLIPConfig.from_pretrained(folder)).eval()
        model.load_state_dict(load_file(named))
    else:
        model = CLIPModel.from_pretrained(folder).eval()
    tokenizer, images = CLIPTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    length = model.config.text_config.max_position_embeddings
    ids = tokenizer(list(TEXTS), padding="max_length", truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        text = model.get_text_features(ids)
        pixels = images(images=image, return_tensors="pt")["pixel_values"].float()
        features = model.get_image_features(pixels)
    return tuple(normalize(getattr(part, "pooler_output", part), dim=-1).numpy() for part in (features, text))


@pytest.mark.numeric
def test_forty_drawn_folders_give_transformers_own_features(tmp_path):
    largest, exported = 0.0, 0
    for number in range(DRAWN):
        rng = Random(number)
        folder = tmp_path / str(number)
        drawn = make_folder(folder, rng)
        image = picture(rng)
        encoder, theirs = longclip.load(folder), their_features(folder, image)
        ours = encoder.encode_image([image]), encoder.encode_text(list(TEXTS))
        for what, mine, wanted in zip(("picture", "text"), ours, theirs, strict=True):
            assert np.abs(mine - wanted).max() < 1e-5, f"{number}: {what}, {drawn}"
            largest = max(largest, float(np.abs(mine - wanted).max()))
        # And back: written whole, read by transformers and by us.
        out = tmp_path / f"{number}-out"
        checkpoints.write(checkpoints.read(folder), out, "hugging_face")
        encoder.tokenizer.save(out)
        again = longclip.load(out)
        assert again.identity == encoder.identity, drawn
        for mine, wanted in zip(ours, their_features(out, image), strict=True):
            assert np.abs(mine - wanted).max() < 1e-5, drawn
        exported += exports_to_open_clip(folder, tmp_path / f"{number}-open", encoder, ours)
        shutil.rmtree(folder)
    print(f"\n{DRAWN} folders: largest difference {largest:.1e}; {exported} can be said in open_clip's terms")
    assert 0 < exported < DRAWN


def exports_to_open_clip(folder: Path, out: Path, encoder: longclip.Encoder, ours: tuple[np.ndarray, np.ndarray]) -> int:
    """Whether a folder of open_clip's can hold the model; then it is read back to the same features."""
    try:
        checkpoints.write(checkpoints.read(folder), out)
    except CheckpointError as error:
        assert "open_clip cannot lay out pictures" in str(error)
        return 0
    encoder.tokenizer.save(out)
    assert longclip.load(out).identity == encoder.identity
    return 1


@pytest.fixture
def folder(tmp_path) -> Path:
    tokenizer = make_tokenizer(VOCAB, MERGES, 77)
    tokenizer.add_tokens(list(NEW))
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 16}
    text = {
        **tower,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    vision = {**tower, "image_size": 16, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    return tmp_path


def test_spans_and_the_unread_tail_of_added_tokens(folder):
    tokenizer = Tokenizer.from_folder(folder)
    text = "A  <my-thing>, asks-dog sks-dog"
    found = tokenizer(text)
    words = [text[start:end] for start, end in found.spans[1:-1]]
    assert words[:3] == ["A", "<my-thing>", ","] and words[-1] == "sks-dog" and "sks-dog" not in words[:-1]
    short = tokenizer.with_length(4)(text)
    assert short.unseen == ", asks-dog sks-dog" and short.total == found.total and short.ids[1:-1] == found.ids[1:3]
    again = tokenizer.with_length(10_000)
    assert again("<my-thing> " * 9000).total == 9002


def test_typed_names_of_special_tokens_stay_text(folder):
    tokenizer = Tokenizer.from_folder(folder)
    for typed in ("<|endoftext|>", "a <|startoftext|> b"):
        inner = tokenizer(typed).ids[1:-1]
        assert tokenizer.start_id not in inner and tokenizer.end_id not in inner
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": "<|padding|>"}), "utf-8")
    padded = Tokenizer.from_folder(folder)
    assert padded.vocab["<|padding|>"] not in padded("a <|padding|> b").ids


def change(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text("utf-8"))
    for name, value in changes.items():
        target = content
        *parents, last = name.split("__")
        for parent in parents:
            target = target[parent]
        target[last] = value
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("config.json", {"text_config__eos_token_id": 49407}, "ends with id 49407"),
        ("config.json", {"text_config__eos_token_id": 7}, "wanted one id in both"),
        ("config.json", {"text_config__hidden_act": "relu", "vision_config__hidden_act": "relu"}, "relu"),
        ("config.json", {"model_type": "siglip"}, "siglip"),
        ("config.json", {"model_type": "chinese_clip"}, "chinese_clip"),
        ("tokenizer_config.json", {"eos_token": "</s>"}, "eos_token"),
        ("tokenizer.json", {"normalizer": None}, "other tokens"),
        ("preprocessor_config.json", {"crop_size": {"height": 20, "width": 20}}, "the model reads 16 x 16"),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "my.Code"}}, "code of its own"),
    ],
)
def test_what_would_be_read_wrong_is_refused(folder, file, changes, said):
    assert longclip.load(folder).encode_text(["A dog."]).shape == (1, 16)
    change(folder / file, **changes)
    with pytest.raises(ValueError, match=said):
        longclip.load(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match="no tokenizer"):
        longclip.load(folder)


@pytest.mark.parametrize(
    ("token", "typed"), [("dog", "A dog and dogs"), ("12", "12 kites"), ("x", "fox x"), ("!", "a dog! dogs!!")]
)
def test_added_tokens_may_be_plain_words_and_marks(folder, token, typed):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([token], special_tokens=token == "!")
    if token == "!":
        tokenizer.pad_token = token
    tokenizer.save_pretrained(folder)
    assert list(Tokenizer.from_folder(folder)(typed).ids) == tokenizer(typed)["input_ids"]


def test_a_word_that_letters_touch_hides_the_tokens_in_it(tmp_path):
    theirs = make_tokenizer(VOCAB, MERGES, 77)
    theirs.add_tokens([AddedToken("<a>12", single_word=True), AddedToken("<a>")])
    theirs.save_pretrained(tmp_path)
    ours = Tokenizer.from_folder(tmp_path)
    for text in ("cat <a>12cat <a>", "<a>12", "12<a>12", "é<a>12"):
        assert list(ours(text).ids) == theirs(text)["input_ids"]


@pytest.mark.parametrize(
    "changes", [{"text_config": [1]}, {"text_config__hidden_size": "32"}, {"text_config__num_attention_heads": 3}]
)
def test_a_config_of_the_wrong_kind_is_refused_in_a_sentence(folder, changes):
    change(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match="config"):
        longclip.load(folder)


def test_a_limit_of_the_tokenizer_is_said(folder):
    change(folder / "tokenizer_config.json", model_max_length=20)
    assert any("says 20 tokens; the model has 77" in note for note in checkpoints.read(folder).notes)
    change(folder / "tokenizer_config.json", model_max_length="20")
    with pytest.raises(ValueError, match="model_max_length"):
        longclip.load(folder)
