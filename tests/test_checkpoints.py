"""Checkpoint formats: a plain reference forward pass, the way there and back, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from rounding import EXACT
from safetensors.torch import load_file, save_file
from torch import Tensor

from longclip import checkpoints
from longclip.checkpoints import CheckpointError
from longclip.model import build_model, stretch_model

VISION, TEXT, EMBED, ROWS = 768, 512, 512, 248  # ViT-B/16


def official_state(layers: int = 2, words: int = 1000, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random weights in the official Long-CLIP layout, the unused rows of both tables far from the used ones."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int, std: float = 0.02, mean: float = 0.0) -> Tensor:
        return (mean + std * torch.randn(*shape, generator=random)).to(dtype)

    def norm(width: int, name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": normal(width, std=0.1, mean=1.0), f"{name}.bias": normal(width, std=0.1)}

    def tower(width: int, prefix: str) -> dict[str, Tensor]:
        state = {}
        for i in range(layers):
            block = f"{prefix}.resblocks.{i}"
            state |= norm(width, f"{block}.ln_1") | norm(width, f"{block}.ln_2")
            state |= {
                f"{block}.attn.in_proj_weight": normal(3 * width, width, std=width**-0.5),
                f"{block}.attn.in_proj_bias": normal(3 * width),
                f"{block}.attn.out_proj.weight": normal(width, width),
                f"{block}.attn.out_proj.bias": normal(width),
                f"{block}.mlp.c_fc.weight": normal(4 * width, width, std=width**-0.5),
                f"{block}.mlp.c_fc.bias": normal(4 * width),
                f"{block}.mlp.c_proj.weight": normal(width, 4 * width),
                f"{block}.mlp.c_proj.bias": normal(width),
            }
        return state

    return {
        "positional_embedding": normal(ROWS, TEXT, std=0.5),
        "positional_embedding_res": normal(ROWS, TEXT, std=0.5),
        "text_projection": normal(TEXT, EMBED, std=TEXT**-0.5),
        "logit_scale": torch.tensor(4.6052).to(dtype),
        "visual.class_embedding": normal(VISION),
        "visual.positional_embedding": normal(197, VISION),
        "visual.proj": normal(VISION, EMBED, std=VISION**-0.5),
        "visual.conv1.weight": normal(VISION, 3, 16, 16),
        "token_embedding.weight": normal(words, TEXT, std=0.5),
        **norm(VISION, "visual.ln_pre"),
        **norm(VISION, "visual.ln_post"),
        **norm(TEXT, "ln_final"),
        **tower(VISION, "visual.transformer"),
        **tower(TEXT, "transformer"),
    }


def reference(state: dict[str, Tensor], ids: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Image and text features of a state in the official layout, from the formulas, every text padded to 248."""
    state = {name: value.double() for name, value in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    def blocks(x: Tensor, prefix: str, mask: Tensor | float) -> Tensor:
        count, length, width = x.shape
        for i in range(sum(name.startswith(prefix) and name.endswith("ln_1.bias") for name in state)):
            block = f"{prefix}.resblocks.{i}"
            fused = norm(x, f"{block}.ln_1") @ state[f"{block}.attn.in_proj_weight"].T + state[f"{block}.attn.in_proj_bias"]
            q, k, v = fused.view(count, length, 3, width // 64, 64).permute(2, 0, 3, 1, 4)
            mixed = ((q @ k.mT / 8 + mask).softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
            x = x + mixed @ state[f"{block}.attn.out_proj.weight"].T + state[f"{block}.attn.out_proj.bias"]
            hidden = norm(x, f"{block}.ln_2") @ state[f"{block}.mlp.c_fc.weight"].T + state[f"{block}.mlp.c_fc.bias"]
            hidden = hidden * torch.sigmoid(1.702 * hidden)
            x = x + hidden @ state[f"{block}.mlp.c_proj.weight"].T + state[f"{block}.mlp.c_proj.bias"]
        return x

    patches = images.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
    x = patches @ state["visual.conv1.weight"].flatten(1).T
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + state["visual.positional_embedding"]
    x = blocks(norm(x, "visual.ln_pre"), "visual.transformer", 0.0)
    pictures = norm(x[:, 0], "visual.ln_post") @ state["visual.proj"]

    ends = ids.argmax(-1)
    ids = F.pad(ids, (0, ROWS - ids.shape[1]))
    used = torch.arange(ROWS)[:, None] < 20
    x = state["token_embedding.weight"][ids] + torch.where(
        used, state["positional_embedding"], state["positional_embedding_res"]
    )
    x = blocks(x, "transformer", torch.full((ROWS, ROWS), float("-inf")).triu(1))
    texts = norm(x[torch.arange(len(ids)), ends], "ln_final") @ state["text_projection"]
    return pictures, texts


def inputs(words: int) -> tuple[Tensor, Tensor]:
    """Texts of 248, 30 and 4 tokens, and two pictures in float64."""
    random = torch.Generator().manual_seed(1)
    ids = torch.zeros(3, ROWS, dtype=torch.long)
    for row, length in zip(ids, (248, 30, 4), strict=True):
        row[:length] = torch.randint(1, words - 2, (length,), generator=random)
        row[0], row[length - 1] = words - 2, words - 1
    return ids, torch.randn(2, 3, 224, 224, generator=random).double()


def check_features(model: torch.nn.Module, state: dict[str, Tensor], words: int) -> None:
    """Hold image and text features of unit length against the reference, in float64. The model stays in it."""
    ids, images = inputs(words)
    model.double()
    with torch.inference_mode():
        pictures, texts = reference(state, ids, images)
        torch.testing.assert_close(model.encode_image(images, True), F.normalize(pictures, dim=-1), atol=EXACT, rtol=0)
        torch.testing.assert_close(model.encode_text(ids, True), F.normalize(texts, dim=-1), atol=EXACT, rtol=0)


@pytest.fixture(scope="module")
def official() -> dict[str, Tensor]:
    return official_state()


@pytest.fixture(scope="module")
def file(official, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("official") / "longclip.pt"
    torch.save(official, path)
    return path


@pytest.mark.slow
def test_full_size_official_file_equals_the_reference(tmp_path):
    state = official_state(layers=12, words=49408)
    torch.save(state, tmp_path / "longclip-B.pt")
    checkpoint = checkpoints.read(tmp_path / "longclip-B.pt")
    (tmp_path / "longclip-B.pt").unlink()
    assert checkpoint.format == "longclip" and checkpoint.precision == "fp32"
    plain = json.loads((Path(open_clip.__file__).parent / "model_configs/ViT-B-16-quickgelu.json").read_text())
    plain["text_cfg"]["context_length"] = ROWS
    for tower in ("vision_cfg", "text_cfg"):
        plain[tower]["mlp_ratio"] = 4.0
    assert checkpoint.config == plain
    check_features(checkpoint.build(), state, 49408)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_official_layout_there_and_back(tmp_path, dtype):
    """Features by way of Hugging Face and back; used rows identical in the stored precision."""
    state = official_state(dtype=dtype)
    torch.save(state, tmp_path / "first.pt")
    first = checkpoints.read(tmp_path / "first.pt")
    assert all(value.dtype == dtype for value in first.state.values())
    check_features(first.build(), state, 1000)

    checkpoints.write(first, tmp_path / "face", "hugging_face")
    face = checkpoints.read(tmp_path / "face")
    assert face.precision == first.precision and face.format == "hugging_face"
    checkpoints.write(face, tmp_path / "second.pt", "longclip")
    again = torch.load(tmp_path / "second.pt", weights_only=True)
    assert set(again) == set(state)
    for name, value in again.items():
        if name == "positional_embedding":
            assert torch.equal(value[:20], state[name][:20])
        elif name == "positional_embedding_res":
            assert torch.equal(value[20:], state[name][20:])
        else:
            assert torch.equal(value, state[name]) and value.dtype == dtype, name
    check_features(checkpoints.read(tmp_path / "second.pt").build(), state, 1000)


def test_rows_come_from_both_tables(official, file):
    merged = checkpoints.read(file).state["positional_embedding"]
    assert torch.equal(merged[:20], official["positional_embedding"][:20])
    assert torch.equal(merged[20:], official["positional_embedding_res"][20:])
    one_table = {name: value for name, value in official.items() if name != "positional_embedding_res"}
    converted = checkpoints.weights.from_state(one_table, Path("one.pt"), checkpoints.read(file).config).build()
    with pytest.raises(AssertionError):  # what copying the first table only would give
        check_features(converted, official, 1000)


@pytest.mark.parametrize("quick", [True, False])
def test_transformers_gives_the_same_features(file, tmp_path, quick):
    transformers = pytest.importorskip("transformers")
    checkpoint = checkpoints.read(file)
    checkpoint.config["quick_gelu"] = quick
    checkpoints.write(checkpoint, tmp_path, "hugging_face")
    theirs = transformers.CLIPModel.from_pretrained(tmp_path).eval().double()
    assert theirs.config.text_config.max_position_embeddings == ROWS and theirs.config.text_config.eos_token_id == 999
    ids, images = inputs(1000)
    padded = torch.where(torch.arange(ROWS) > ids.argmax(-1, keepdim=True), 999, ids)
    model = checkpoint.build().double()
    with torch.inference_mode():
        for given in (ids, padded):
            output = theirs(input_ids=given, pixel_values=images)
            torch.testing.assert_close(model.encode_text(given, True), output.text_embeds, atol=EXACT, rtol=0)
            torch.testing.assert_close(model.encode_image(images, True), output.image_embeds, atol=EXACT, rtol=0)
        scale = model.logit_scale.exp()
        logits = scale * model.encode_text(padded, True) @ model.encode_image(images, True).T
        torch.testing.assert_close(output.logits_per_text, logits, atol=1e-4, rtol=0)


def test_models_saved_by_transformers_are_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    tower = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 300, "max_position_embeddings": 50, "eos_token_id": 299, "hidden_act": "gelu"},
        vision_config={**tower, "image_size": 64, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-3},
        projection_dim=32,
    )
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path, max_shard_size="200KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["text_config"]["max_position_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    checkpoint = checkpoints.read(tmp_path)
    assert checkpoint.config["text_cfg"]["context_length"] == 50
    ids, images = torch.randint(1, 299, (2, 50)), torch.randn(2, 3, 64, 64).double()
    ids[:, -1] = 299
    with torch.inference_mode():
        model, output = checkpoint.build().double(), theirs.double()(input_ids=ids, pixel_values=images)
        torch.testing.assert_close(model.encode_text(ids, True), output.text_embeds, atol=EXACT, rtol=0)
        torch.testing.assert_close(model.encode_image(images, True), output.image_embeds, atol=EXACT, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_own_folder_loads_in_open_clip(file, tmp_path, precision):
    checkpoint = checkpoints.read(file).cast(precision)
    checkpoints.write(checkpoint, tmp_path)
    again = checkpoints.read(tmp_path)
    assert again.precision == precision and again.config == checkpoint.config and again.format == "folder"
    theirs = open_clip.create_model(f"local-dir:{tmp_path}").eval().double()
    ids, images = inputs(1000)
    with torch.inference_mode():
        model = again.build().double()
        torch.testing.assert_close(model.encode_text(ids), theirs.encode_text(ids), atol=EXACT, rtol=0)
        torch.testing.assert_close(model.encode_image(images), theirs.encode_image(images), atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_open_clip_weights_there_and_back(tmp_path, name):
    model = stretch_model(build_model(SMALL))
    checkpoint = checkpoints.checkpoint_of(model)
    checkpoints.write(checkpoint, tmp_path / name, "open_clip")
    again = checkpoints.read(tmp_path / name)
    assert again.config == model.config and again.notes == (f"its configuration is {name}.json beside it",)
    assert all(torch.equal(value, again.state[key]) for key, value in model.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.json"}
    (tmp_path / f"{name}.json").unlink()
    assert checkpoints.read(tmp_path / name, config=model.config).config == model.config


SMALL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 64, "layers": 1, "mlp_ratio": 2.0},
    "text_cfg": {"context_length": 77, "vocab_size": 100, "width": 64, "heads": 1, "layers": 1},
}


def test_training_checkpoints_and_scalars_are_read(tmp_path):
    state = {f"module.{name}": value for name, value in build_model(SMALL).state_dict().items()}
    state |= {f"module.{name}": torch.tensor(77) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "epoch_3.pt")
    again = checkpoints.read(tmp_path / "epoch_3.pt")
    assert set(again.state) == set(build_model(SMALL).state_dict()) and again.config["quick_gelu"], "as OpenAI's are"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("ln_final.bias"), "missing key 'ln_final.bias'"),
        (lambda s: s.pop("text_projection"), "missing key 'text_projection'"),
        (lambda s: s.pop("visual.transformer.resblocks.1.attn.in_proj_bias"), "missing key 'visual.transformer.resblocks.1"),
        (lambda s: s.update(mask1=torch.ones(ROWS, 1)), "extra key 'mask1'"),
        (
            lambda s: s.update({"visual.proj": torch.zeros(VISION, 500)}),
            r"'visual.proj' has shape \[768, 500\], wanted \[768, 512\]",
        ),
        (lambda s: s.update(positional_embedding_res=torch.zeros(77, TEXT)), r"\[77, 512\], wanted \[248, 512\]"),
        (lambda s: s.update(positional_embedding=torch.zeros(TEXT)), r"shape \[512\]"),
    ],
)
def test_wrong_official_states_are_refused(official, tmp_path, change, message):
    state = dict(official)
    change(state)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(CheckpointError, match=f"read as longclip.*{message}"):
        checkpoints.read(tmp_path / "wrong.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("text_model.final_layer_norm.bias"), "missing key 'text_model.final_layer_norm.bias'"),
        (lambda s: s.pop("text_model.embeddings.position_embedding.weight"), "missing key 'text_model.embeddings.position"),
        (lambda s: s.update(more=torch.zeros(1)), "extra key 'more'"),
        (lambda s: s.update({"text_projection.weight": torch.zeros(32, 60)}), r"\[32, 60\], wanted \[32, 64\]"),
    ],
)
def test_wrong_hugging_face_states_are_refused(tmp_path, change, message):
    checkpoints.write(checkpoints.checkpoint_of(build_model(SMALL)), tmp_path, "hugging_face")
    state = load_file(tmp_path / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"read as hugging_face.*{message}"):
        checkpoints.read(tmp_path)


@pytest.mark.parametrize("change", [{"text_cfg": {"vocab_size": 90}}, {"vision_cfg": {"hf_model": 1}}, {"custom_text": True}])
def test_folders_with_another_config_are_refused(tmp_path, change):
    checkpoints.write(checkpoints.checkpoint_of(build_model(SMALL)), tmp_path)
    content = json.loads((tmp_path / "open_clip_config.json").read_text())
    for key, value in change.items():
        content["model_cfg"][key] = {**content["model_cfg"].get(key, {}), **value} if isinstance(value, dict) else value
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="read as folder"):
        checkpoints.read(tmp_path)


class Code:
    """Unpickled carelessly, it would make a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save):
    save({"positional_embedding": Code(tmp_path / "ran")}, tmp_path / "code.pt")
    with pytest.raises(CheckpointError, match="code.pt is a pickle with code in it"):
        checkpoints.read(tmp_path / "code.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, name, share):
    path = tmp_path / name
    checkpoints.write(checkpoints.checkpoint_of(build_model(SMALL)), path, "open_clip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=f"{name} is .*(cut short|no checkpoint)"):
        checkpoints.read(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no weights at all")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"names": "and words"}, tmp_path / "words.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    (tmp_path / "empty").mkdir()
    refusals = {
        "text.pt": "no checkpoint",
        "list.pt": "holds a list",
        "words.pt": "'names' of type str, wanted names and tensors",
        "script.pt": "TorchScript",
        "missing.pt": "no file",
        ".": "has 4 files of weights: name one of list.pt, script.pt, text.pt, words.pt",
        "empty": "neither open_clip_config.json nor config.json, nor weights",
    }
    for name, message in refusals.items():
        with pytest.raises(CheckpointError, match=message):
            checkpoints.read(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "format", "message"),
    [
        ({}, "longclip", "context length 77, wanted 248; GELU, wanted QuickGELU"),
        ({"vision_cfg": {"ls_init_value": 0.1}}, "hugging_face", "no place for 'visual.transformer.resblocks.0.ls_1.gamma'"),
        ({"vision_cfg": {"pool_type": "avg"}}, "hugging_face", "'avg'"),
        ({}, "onnx", "'onnx', wanted one of open_clip, longclip, hugging_face, folder"),
    ],
)
def test_models_that_a_format_cannot_hold_are_refused(tmp_path, change, format, message):
    config = {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], **change.get("vision_cfg", {})}}
    with pytest.raises(CheckpointError, match=message):
        checkpoints.write(checkpoints.checkpoint_of(build_model(config)), tmp_path / "out", format)
    assert not (tmp_path / "out").exists()
