"""What training puts around weights, and files that hold no CLIP: read as the same weights, or named as what they are."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from longclip import checkpoints
from longclip.checkpoints import CheckpointError

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 16, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 90, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**json.loads(json.dumps(CONFIG)))
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def others(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value + 1 for name, value in state.items()}


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
MASK = torch.full((12, 12), float("-inf")).triu(1)
WRAPPERS = {
    "state_dict": lambda s: {
        "epoch": 1,
        "name": "x",
        "state_dict": prefixed(s, "module."),
        "optimizer": OPTIMIZER,
        "scaler": {},
    },
    "model": lambda s: {
        "model": s,
        "optimizer": OPTIMIZER,
        "epoch": 3,
        "loss": 0.5,
        "args": {"lr": 1e-3, "betas": [0.9, 0.98]},
    },
    "model_state_dict": lambda s: {"model_state_dict": OrderedDict(s), "optimizer_state_dict": OPTIMIZER},
    "net": lambda s: {"net": prefixed(s, "_orig_mod.")},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": prefixed(s, "module._orig_mod.")}}, "step": 4},
    "lightning": lambda s: {
        "state_dict": prefixed(s, "model."),
        "pytorch-lightning_version": "2",
        "optimizer_states": [OPTIMIZER],
    },
    "lightning, compiled": lambda s: {"state_dict": prefixed(s, "model._orig_mod.")},
    "another prefix": lambda s: prefixed(s, "net.clip_model."),
    "a part compiled": lambda s: {name.replace("visual.", "visual._orig_mod."): value for name, value in s.items()},
    "numbers beside": lambda s: {**s, "epoch": 3, "best": 0.5, "history": [1, 2]},
    "an average": lambda s: {"module." + name: value for name, value in s.items()} | {"n_averaged": torch.tensor(7)},
    "average and weights": lambda s: {"model": others(s), "model_ema": prefixed(s, "module."), "epoch": 1},
    "average by prefix": lambda s: prefixed(others(s), "model.") | prefixed(s, "ema_model.") | {"step": torch.tensor(1)},
    "state_dict_ema": lambda s: {"state_dict": others(s), "state_dict_ema": s},
    "scale of one number": lambda s: s | {"logit_scale": s["logit_scale"].reshape(1)},
    "buffers": lambda s: (
        s | {"attn_mask": torch.full((12, 12), float("-inf")).triu(1), "text.position_ids": torch.arange(12)[None]}
    ),
    "parameters": lambda s: {name: nn.Parameter(value) for name, value in s.items()},
    "geometric": lambda s: {
        key: part
        for name, value in s.items()
        for key, part in (
            {name[:-6] + "r": value.norm(dim=1, keepdim=True), name[:-6] + "theta": 3 * value}
            if name.endswith(("c_fc.weight", "c_proj.weight"))
            else {name: value}
        ).items()
    },
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_weights_come_out_of_what_is_around_them(tmp_path, state, kind):
    torch.save(WRAPPERS[kind](state), tmp_path / "w.pt")
    checkpoint = checkpoints.read(tmp_path / "w.pt", CONFIG)
    assert set(checkpoint.state) == set(state)
    for name, value in checkpoint.state.items():
        torch.testing.assert_close(value, state[name], atol=1e-7, rtol=0)
    twice = kind in ("average and weights", "average by prefix", "state_dict_ema")
    assert any("weights twice" in note and "is read" in note for note in checkpoint.notes) == twice
    checkpoint.build()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_is_read(tmp_path, state, dtype):
    torch.save({name: value.to(dtype) for name, value in state.items()}, tmp_path / "w.pt")
    checkpoint = checkpoints.read(tmp_path / "w.pt", CONFIG)
    assert checkpoint.precision == {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "float64"}[dtype]
    built = checkpoint.build().state_dict()
    assert all(torch.equal(built[name], value.to(dtype).float()) for name, value in state.items())


def test_the_content_says_how_a_file_is_written(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").rename(tmp_path / "tensors.pt")
    torch.save(state, tmp_path / "pickle.safetensors")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("tensors.pt", "pickle.safetensors", "old.bin"):
        assert torch.equal(checkpoints.read(tmp_path / name, CONFIG).state["text_projection"], state["text_projection"])


def test_shared_tensors_of_safetensors_come_back(tmp_path, state):
    model = open_clip.model.CLIP(**json.loads(json.dumps(CONFIG)))
    model.ln_final.weight = model.transformer.resblocks[0].ln_1.weight
    save_model(model, str(tmp_path / "w.safetensors"))
    again = checkpoints.read(tmp_path / "w.safetensors", CONFIG).state
    assert torch.equal(again["ln_final.weight"], model.ln_final.weight) and set(again) == set(state)


ONES = torch.ones(1)
NO_CLIP = {
    "a LoRA": lambda s: {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 2)},
    "a LoRA, of peft": lambda s: {"base_model.model.visual.conv1.lora_A.weight": torch.ones(2, 2)},
    "a whole diffusion model": lambda s: {
        "model.diffusion_model.out.2.bias": torch.ones(4),
        **prefixed(s, "cond_stage_model.model."),
    },
    "U-Net": lambda s: {"down_blocks.0.resnets.0.conv1.weight": ONES, "up_blocks.0.x": ONES},
    "a VAE": lambda s: {"encoder.down_blocks.0.resnets.0.conv1.weight": ONES, "quant_conv.bias": ONES},
    "a CoCa": lambda s: s | {"text_decoder.ln_final.weight": torch.ones(3)},
    "a SigLIP": lambda s: {"vision_model.head.probe": ONES, "text_model.head.weight": ONES},
    "an optimiser's state": lambda s: OPTIMIZER,
    "a text tower alone": lambda s: {k: v for k, v in s.items() if not k.startswith("visual.")},
    "a text tower alone, of transformers": lambda s: {"text_model.embeddings.token_embedding.weight": torch.ones(9, 2)},
    "a vision tower alone": lambda s: {k: v for k, v in s.items() if k.startswith("visual.")},
    "a vision tower alone, bare": lambda s: {k[7:]: v for k, v in s.items() if k.startswith("visual.")},
    "an image model": lambda s: {
        "conv1.weight": ONES,
        "layer1.0.conv1.weight": ONES,
        "fc.bias": ONES,
    },
    "a language model": lambda s: {"model.layers.0.self_attn.q_proj.weight": ONES},
    "textual inversion": lambda s: {"<my-thing>": torch.ones(768)},
    "holds 2 models, in 'student', 'teacher'": lambda s: {"student": s, "teacher": s},
    "no plain tensor": lambda s: s | {"ln_final.bias": torch.ones(32, 32).to_sparse()},
    "wanted floating point: a quantised model": lambda s: s | {"text_projection": torch.ones(32, 24, dtype=torch.int8)},
    "'attn_mask' is not that of a CLIP": lambda s: s | {"attn_mask": torch.zeros(12, 12)},
    "a length for each row": lambda s: s | {"visual.x.theta": torch.ones(3, 2), "visual.x.r": torch.ones(2, 1)},
    "extra key 'classifier.weight'": lambda s: prefixed(s, "model.") | {"classifier.weight": torch.ones(2, 2)},
    "'ln_final.bias' holds NaN": lambda s: s | {"ln_final.bias": torch.full((32,), float("nan"))},
    "'visual.conv1.weight' holds infinity": lambda s: s | {"visual.conv1.weight": s["visual.conv1.weight"].half() / 0},
}


@pytest.mark.parametrize("kind", NO_CLIP)
def test_what_is_no_whole_clip_is_named(tmp_path, state, kind):
    torch.save(NO_CLIP[kind](state), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=kind.partition(",")[0] if kind.startswith("a ") else kind) as refused:
        checkpoints.read(tmp_path / "w.pt", CONFIG)
    assert str(refused.value).count("\n") == 0 and str(tmp_path) not in str(refused.value)


def test_infinite_sums_of_finite_weights_are_read(tmp_path, state):
    torch.save(state | {"logit_scale": torch.tensor(4.0), "ln_final.bias": torch.full((32,), 3e38)}, tmp_path / "w.pt")
    checkpoints.read(tmp_path / "w.pt", CONFIG)


def test_files_of_other_kinds_are_named(tmp_path):
    files = {
        "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
        "page.pt": (b"<!DOCTYPE html>\n<html>Entry not found</html>", "a web page"),
        "error.safetensors": (b"Entry not found", "it is text"),
        "model.gguf": (b"GGUF\3\0\0\0", "a GGUF file"),
        "model.onnx": (b"\x08\x07\x12\x07pytorch", "an ONNX graph"),
        "model.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        "flax_model.msgpack": (b"\x82\xa5model", "Flax's weights"),
        "nothing.pt": (b"", "an empty file"),
        "noise.pt": (bytes(range(200, 256)) * 9, "neither, or cut short"),
        "packed.pt": (b"\x1f\x8b\x08\0", "a gzip archive"),
        "config.json": (b"{}", "wanted the file of the weights"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            checkpoints.read(tmp_path / name)
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("model.safetensors", b"")
    for name, message in (("arrays.npz", "a NumPy archive"), ("zip.pt", "a zip archive: unpack it")):
        with pytest.raises(CheckpointError, match=message):
            checkpoints.read(tmp_path / name)


def test_a_flipped_bit_in_what_torch_saved_is_found(tmp_path, state):
    torch.save(state, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="w.pt is broken: its part 'w/data/.*has changed since it was written"):
        checkpoints.read(tmp_path / "w.pt", CONFIG)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    checkpoints.read(tmp_path / "w.pt", CONFIG)


def test_an_object_that_code_would_make_is_named(tmp_path, state):
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="code in it.*argparse.Namespace"):
        checkpoints.read(tmp_path / "w.pt", CONFIG)


def test_a_folder_of_another_library_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "flax_model.msgpack").write_bytes(b"\x82")
    with pytest.raises(CheckpointError, match="has flax_model.msgpack, Flax's weights in msgpack"):
        checkpoints.read(tmp_path)


def test_a_pipeline_is_named(tmp_path):
    Path(tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a diffusion pipeline, wanted a CLIP"):
        checkpoints.read(tmp_path)
