"""Models as other projects store them, from tiny random weights: pickles of transformers, CLIPs with a ResNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from conftest import CORPUS
from PIL import Image

import longclip
from longclip import checkpoints
from longclip.checkpoints import CheckpointError
from longclip.model import LongCLIP, build_model, stretch_model

RESNET = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "patch_size": None, "width": 8, "layers": [1, 2, 1, 1]},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1, "mlp_ratio": 4.0},
}


@pytest.fixture
def theirs(tmp_path) -> Any:
    """A `transformers.CLIPModel` whose config lies in `tmp_path`."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    config.save_pretrained(tmp_path)
    return transformers.CLIPModel(config).eval()


def save_whole(state: dict[str, torch.Tensor], folder: Path) -> None:
    torch.save(state, folder / "pytorch_model.bin")


def save_shards(state: dict[str, torch.Tensor], folder: Path) -> None:
    places = {name: f"pytorch_model-{1 + number % 2:05}-of-00002.bin" for number, name in enumerate(state)}
    for file in set(places.values()):
        torch.save({name: value for name, value in state.items() if places[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("save", [save_whole, save_shards])
def test_a_pickle_of_transformers_is_read(tmp_path, theirs, save):
    save(theirs.state_dict(), tmp_path)
    encoder = longclip.load(tmp_path)
    ids, pixels = encoder.tokenizer.batch(CORPUS), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        output = theirs(input_ids=ids, pixel_values=pixels)
        torch.testing.assert_close(encoder.text_features(ids), output.text_embeds, atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder.image_features(pixels), output.image_embeds, atol=1e-5, rtol=0)
    assert encoder.identity, "its embeddings can be cached"


def test_a_config_without_weights_is_told(tmp_path, theirs):
    with pytest.raises(CheckpointError, match="no weights: neither .* nor model.safetensors nor pytorch_model.bin"):
        longclip.load(tmp_path)


@pytest.fixture(scope="module")
def resnet() -> LongCLIP:
    torch.manual_seed(0)
    return build_model(RESNET).eval()


def test_a_resnet_in_our_own_folder(tmp_path, resnet):
    checkpoints.write(checkpoints.checkpoint_of(resnet), tmp_path)
    encoder, reference = longclip.load(tmp_path), open_clip.create_model(f"local-dir:{tmp_path}").eval()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8))
    pixels, ids = encoder.preprocessing(picture)[None], F.pad(encoder.tokenizer.batch(CORPUS), (0, 77))[:, :77]
    with torch.inference_mode():
        wanted = F.normalize(reference.encode_image(pixels), dim=-1).numpy()
        texts = F.normalize(reference.encode_text(ids), dim=-1).numpy()
    assert np.allclose(encoder.encode_image([picture]), wanted, atol=1e-5)
    assert np.allclose(encoder.encode_text(CORPUS), texts, atol=1e-5)


@pytest.mark.parametrize("format", ["open_clip", "longclip"])
def test_a_bare_file_of_a_resnet_tells_its_sizes(tmp_path, resnet, format):
    model = stretch_model(resnet) if format == "longclip" else resnet
    checkpoints.write(checkpoints.checkpoint_of(model), tmp_path / "weights.pt", format)
    again = checkpoints.read(tmp_path / "weights.pt")
    assert again.config == model.config and again.format == format
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(again.build().encode_image(pixels), model.encode_image(pixels))


def test_a_resnet_of_another_shape_is_told(tmp_path, resnet):
    state = resnet.state_dict()
    state |= {"visual.attnpool.positional_embedding": torch.zeros(8, 256), "vocab_size": torch.tensor(49408)}
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="'visual.attnpool.positional_embedding' has 8 rows, wanted a square and 1"):
        checkpoints.read(tmp_path / "weights.pt")


def test_transformers_has_no_resnet(tmp_path, resnet):
    with pytest.raises(CheckpointError, match="cannot hold a CLIP with a ResNet"):
        checkpoints.write(checkpoints.checkpoint_of(resnet), tmp_path / "out", "hugging_face")
    assert not (tmp_path / "out").exists()
