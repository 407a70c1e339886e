"""A dozen of open_clip's configurations, as the benchmark has all of them: equal to open_clip, or refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import open_clip
import pytest
import torch

from longclip import checkpoints

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from open_clip_configs import BOUND, known_as, save_random, shrink

ALONE = ("ViT-g-14", "ViT-e-14", "ViT-S-16-alt", "ViT-M-16-alt")  # heads 88 and 112 wide; 10 text layers; layer scale
SEVERAL = ("ViT-B-32", "ViT-B-32-quickgelu", "ViT-H-14", "ViT-bigG-14-quickgelu", "RN50", "RN50-quickgelu", "convnext_xxlarge")
REFUSED = {"ViT-L-14-CLIPA": "not causal", "ViT-H-14-CLIPA-336": "not causal"}


@pytest.fixture(scope="module")
def small():
    """The configurations, small and with few words, in place of open_clip's own."""
    names = (*ALONE, *SEVERAL, *REFUSED, "convnext_xxlarge_320", "ViT-H-14-quickgelu", "ViT-bigG-14")
    configs = {name: shrink(open_clip.get_model_config(name)) for name in names}
    for config in configs.values():
        config["text_cfg"]["vocab_size"] //= 64
    with known_as(configs):
        yield configs


def difference(checkpoint: checkpoints.Checkpoint, name: str, path: Path) -> float:
    """The largest difference of unit features from those of the model that open_clip makes of the same file."""
    model = checkpoint.build()
    reference = open_clip.create_model(name, pretrained=str(path)).eval()
    size = reference.visual.image_size
    pixels = torch.randn(2, 3, *((size, size) if isinstance(size, int) else size), generator=torch.Generator().manual_seed(1))
    ids = torch.randint(1, 700, (2, 77), generator=torch.Generator().manual_seed(2))
    ids[:, 40] = model.vocab_size - 1
    with torch.inference_mode():
        image = model.encode_image(pixels, True) - reference.encode_image(pixels, True)
        return max(
            float(image.abs().max()), float((model.encode_text(ids, True) - reference.encode_text(ids, True)).abs().max())
        )


@pytest.mark.parametrize("name", [*ALONE, *SEVERAL, *REFUSED])
def test_features_are_those_of_open_clip(tmp_path, small, name):
    path = tmp_path / "weights.pt"
    save_random(name, path)
    if name in ALONE:
        assert difference(checkpoints.read(path), name, path) <= BOUND
    else:
        with pytest.raises(checkpoints.CheckpointError, match=f" {name}[, ]"):
            checkpoints.read(path)
    if name in REFUSED:
        with pytest.raises(checkpoints.CheckpointError, match=REFUSED[name]):
            checkpoints.read(path, name)
    else:
        assert difference(checkpoints.read(path, name), name, path) <= BOUND


def test_another_activation_or_width_of_heads_would_show(tmp_path, small):
    path = tmp_path / "weights.pt"
    save_random("ViT-B-32", path)
    assert difference(checkpoints.read(path, "ViT-B-32-quickgelu"), "ViT-B-32", path) > 100 * BOUND
    save_random("ViT-g-14", path)
    narrow = open_clip.get_model_config("ViT-g-14")
    narrow["vision_cfg"]["head_width"] = 44
    assert difference(checkpoints.read(path, narrow), "ViT-g-14", path) > 100 * BOUND
