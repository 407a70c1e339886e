"""Files of weights: the one that is named, with the configuration beside it, named, or the only one that fits."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import open_clip
import pytest
import torch
from conftest import tiny_config
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import longclip
from longclip import checkpoints
from longclip.__main__ import main
from longclip.checkpoints import CheckpointError
from longclip.checkpoints.configurations import match_configuration
from longclip.registry import resolve

WORDS = 600
ODD = {  # neither what OpenAI's code runs nor what shapes tell: GELU, heads 32 wide, two text heads
    "embed_dim": 48,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": WORDS, "width": 64, "heads": 2, "layers": 2},
}


def theirs(config: dict = ODD, seed: int = 0) -> open_clip.model.CLIP:
    """open_clip's own model, with weights large enough that the activation shows."""
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**json.loads(json.dumps(config))).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.mul_(4 if value.ndim == 2 and "resblocks" in name else 1)
    return model


def check(checkpoint: checkpoints.Checkpoint, reference: open_clip.model.CLIP) -> None:
    """Hold features against open_clip's."""
    ids = torch.randint(1, WORDS - 1, (2, 16), generator=torch.Generator().manual_seed(1))
    ids[:, 9] = WORDS - 1
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    model = checkpoint.build()
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_text(ids, True), reference.encode_text(ids, True), atol=1e-5, rtol=0)
        torch.testing.assert_close(model.encode_image(pixels, True), reference.encode_image(pixels, True), atol=1e-5, rtol=0)


@pytest.fixture
def model() -> open_clip.model.CLIP:
    return theirs()


@pytest.fixture
def state(model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def write_config(path: Path, config: dict = ODD) -> None:
    path.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3}}))


@pytest.mark.parametrize(
    "beside", ["open_clip_config.json", "mine.safetensors.json", "mine.json", "elsewhere.json", "plain.json", "content"]
)
def test_the_configuration_is_taken_from_beside_the_file_or_by_name(tmp_path, model, state, beside):
    save_file(state, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json" if beside != "mine.json" else tmp_path / "x.json").write_text('{"recall": 0.5}')
    if beside == "plain.json":
        (tmp_path / beside).write_text(json.dumps(ODD))
    else:
        write_config(tmp_path / beside)
    named = {"elsewhere.json": tmp_path / beside, "plain.json": str(tmp_path / beside), "content": ODD}.get(beside)
    checkpoint = checkpoints.read(tmp_path / "mine.safetensors", named)
    check(checkpoint, model)
    assert checkpoint.preprocess == ({} if beside in ("plain.json", "content") else {"mean": [0.5] * 3})
    assert checkpoint.format == "open_clip" and "its configuration is" in checkpoint.notes[0]


def test_the_file_that_is_named_is_read_and_not_the_one_beside_it(tmp_path, model, state):
    other = theirs(seed=1)
    checkpoints.write(checkpoints.Checkpoint(ODD, other.state_dict(), "open_clip"), tmp_path)
    save_file(state, tmp_path / "mine.safetensors")
    torch.save({"state_dict": state}, tmp_path / "mine.pt")
    for name, reference in (
        ("mine.safetensors", model),
        ("mine.pt", model),
        ("open_clip_model.safetensors", other),
        ("", other),
    ):
        check(checkpoints.read(tmp_path / name), reference)


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.pth"])
def test_a_folder_with_one_file_of_weights_is_read(tmp_path, model, state, name):
    torch.save(state, tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name} holds weights without their configuration"):
        checkpoints.read(tmp_path)
    write_config(tmp_path / "open_clip_config.json")
    check(checkpoints.read(tmp_path), model)


def test_shards_are_read_by_their_index_or_folder(tmp_path, model, state):
    places = {name: f"open_clip_model-{1 + number % 2:05}-of-00002.safetensors" for number, name in enumerate(state)}
    for file in set(places.values()):
        save_file({name: value for name, value in state.items() if places[name] == file}, tmp_path / file)
    index = tmp_path / "open_clip_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    write_config(tmp_path / "open_clip_config.json")
    check(checkpoints.read(tmp_path), model)
    check(checkpoints.read(index), model)
    with pytest.raises(CheckpointError, match="missing key"):
        checkpoints.read(tmp_path / sorted(set(places.values()))[1])
    (tmp_path / places["logit_scale"]).unlink()
    with pytest.raises(CheckpointError, match="names open_clip_model-0000.*, which is not there"):
        checkpoints.read(tmp_path)


def test_what_does_not_fit_the_configuration_beside_it_is_refused(tmp_path, model, state):
    save_file(state, tmp_path / "mine.safetensors")
    write_config(tmp_path / "open_clip_config.json", tiny_config(16, WORDS + 1))
    with pytest.raises(CheckpointError, match="mine.safetensors does not fit open_clip_config.json beside it.*--config CONFIG"):
        checkpoints.read(tmp_path / "mine.safetensors")
    check(checkpoints.read(tmp_path / "mine.safetensors", ODD), model)
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="open_clip_config.json is no configuration of a CLIP"):
        checkpoints.read(tmp_path / "mine.safetensors")


def test_hugging_face_weights_by_file(tmp_path):
    """Another file beside model.safetensors, with the folder's config.json; where there is none, by a configuration named."""
    config = {**ODD, "vision_cfg": {**ODD["vision_cfg"]}, "text_cfg": {**ODD["text_cfg"]}}
    models = [theirs(config, seed) for seed in (0, 1)]
    for number, name in enumerate(("mine", "model")):
        given = checkpoints.Checkpoint(config, models[number].state_dict(), "open_clip")
        checkpoints.write(given, tmp_path / name, "hugging_face")
    moved = (tmp_path / "mine" / "model.safetensors").rename(tmp_path / "model" / "mine.safetensors")
    check(checkpoints.read(moved), models[0])
    check(checkpoints.read(tmp_path / "model"), models[1])
    alone = moved.rename(tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match="alone.safetensors holds weights without their configuration"):
        checkpoints.read(alone)
    check(checkpoints.read(alone, config), models[0])
    check(checkpoints.read(alone, tmp_path / "model" / "config.json"), models[0])


def shapes_of(name: str) -> dict[str, Tensor]:
    """The state dict of an open_clip configuration's model, without contents."""
    config = open_clip.get_model_config(name)
    kind = open_clip.model.CustomTextCLIP if config.pop("custom_text", False) else open_clip.model.CLIP
    with torch.device("meta"):
        return kind(**config).state_dict()


def test_shapes_that_fit_one_configuration_are_read_as_that():
    config, note = match_configuration(shapes_of("ViT-g-14"), "mine.pt")
    assert config == open_clip.get_model_config("ViT-g-14") and config["vision_cfg"]["head_width"] == 88
    assert note == "its shapes fit one of open_clip's 144 configurations, ViT-g-14: it is read as that"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ViT-B-32",
            r"several of open_clip's 144 have their shapes: ViT-B-32 and ViT-B-32-quickgelu \(OpenAI's.*mine.pt#CONFIG",
        ),
        ("RN50", "RN50 and RN50-quickgelu"),
        ("ViT-H-14", "ViT-H-14 and ViT-H-14-quickgelu"),
        ("convnext_base_w", "convnext_base_w and convnext_base_w_320"),
        ("ViT-L-14-CLIPA", "shapes of open_clip's ViT-L-14-CLIPA, which cannot be read here: .*'last'|not causal"),
        ("ViT-B-16-SigLIP", "shapes of open_clip's ViT-B-16-SigLIP, which cannot be read here: .*CustomTextCLIP"),
    ],
)
def test_shapes_that_fit_several_or_nothing_that_can_be_built_are_refused(name, message):
    with pytest.raises(CheckpointError, match=message):
        match_configuration(shapes_of(name), "mine.pt")


def test_weights_of_another_length_or_picture_size_fit_but_for_that():
    state = shapes_of("ViT-M-16")
    state["positional_embedding"] = torch.empty(248, 512, device="meta")
    state["visual.positional_embedding"] = torch.empty(1 + 20 * 20, 512, device="meta")
    config, note = match_configuration(state, "mine.pt")
    assert (config["text_cfg"]["context_length"], config["vision_cfg"]["image_size"]) == (248, 320)
    assert "ViT-M-16, but for context length 248 in place of 77 and pictures of 320 pixels in place of 224" in note
    state = shapes_of("ViT-B-16") | {"positional_embedding": torch.empty(248, 512, device="meta")}
    with pytest.raises(CheckpointError, match="but for context length 248 in place of 77: ViT-B-16 and ViT-B-16-quickgelu"):
        match_configuration(state, "mine.pt")


def test_text_prefix_and_logit_bias(tmp_path, model, state):
    """A CLIP held as a CustomTextCLIP, and one trained with a sigmoid loss."""
    text = ("positional_embedding", "token_embedding.", "transformer.", "ln_final.", "text_projection")
    torch.save(
        {f"text.{name}" if name.startswith(text) else name: value for name, value in state.items()}, tmp_path / "text.pt"
    )
    check(checkpoints.read(tmp_path / "text.pt", ODD), model)
    torch.save(state | {"logit_bias": torch.tensor([-10.0])}, tmp_path / "bias.pt")
    checkpoint = checkpoints.read(tmp_path / "bias.pt", ODD)
    check(checkpoint, model)
    assert checkpoint.build().logit_bias.item() == -10


def test_openai_weights_say_what_they_are(tmp_path):
    config = tiny_config(16, WORDS)
    reference = theirs(config)
    numbers = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(16), "vocab_size": torch.tensor(WORDS)}
    torch.save(reference.state_dict() | numbers, tmp_path / "openai.pt")
    check(checkpoints.read(tmp_path / "openai.pt"), reference)
    check(checkpoints.read(tmp_path / "openai.pt", config), reference)
    with pytest.raises(CheckpointError, match="openai.pt is OpenAI's state dict, and the configuration given.*QuickGELU False"):
        checkpoints.read(tmp_path / "openai.pt", config | {"quick_gelu": False})


def test_names_with_a_configuration(tmp_path, model, state):
    file, sharp, config = tmp_path / "mine.pt", tmp_path / "a#b.pt", tmp_path / "c#d.json"
    for path in (file, sharp):
        torch.save(state, path)
    write_config(config)
    spec = resolve(f"{file}#ViT-B-32")
    assert (spec.path, spec.config, spec.location, spec.name) == (file, "ViT-B-32", f"{file}#ViT-B-32", "mine")
    assert resolve(sharp).config is None
    assert resolve(f"{sharp}#{config}").path == sharp and resolve(f"{sharp}#{config}").config == str(config)
    assert resolve("hf-hub:owner/name@v1#ViT-B-32").config == "ViT-B-32"
    check(checkpoints.read(sharp, resolve(f"{sharp}#{config}").config), model)
    with pytest.raises(CheckpointError, match="mine.pt does not fit open_clip's ViT-B-32: read as open_clip"):
        checkpoints.read(file, "ViT-B-32")
    with pytest.raises(CheckpointError, match="no configuration 'ViT-B32'.*alike are .*ViT-B-32"):
        checkpoints.read(file, "ViT-B32")
    with pytest.raises(ValueError, match="no model"):
        resolve(f"{tmp_path}/none.pt#ViT-B-32")


def test_load_and_every_command_take_a_configuration(tmp_path, capsys, caplog, tiny_model_folder):
    base = checkpoints.read(tiny_model_folder(77))
    assert main(["export", str(tiny_model_folder(77)), "--format", "open_clip", "--out", str(tmp_path / "w.pt")]) == 0
    for name in ("tokenizer.json", "tokenizer_config.json"):  # of these words, which lie beside the configuration
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "c" / name)
    config = str((tmp_path / "w.pt.json").rename(tmp_path / "c" / "configuration.json"))
    file, texts = str(tmp_path / "w.pt"), ["A red fox sits beside a small pond."]
    with pytest.raises(ValueError, match="without their configuration"):
        longclip.load(file)
    wanted = longclip.load(tiny_model_folder(77)).encode_text(texts)
    with caplog.at_level(logging.INFO, "longclip"):
        encoder = longclip.load(file, config=config)
    assert "its configuration is configuration.json" in caplog.text and "configuration.json" in encoder.spec.note
    for given in (encoder, longclip.load(f"{file}#{config}")):
        assert (given.encode_text(texts) == wanted).all()
    with pytest.raises(FileNotFoundError, match="w.pt has .* tokens where CLIP has 49,408, and no tokenizer"):
        longclip.load(file, config=base.config)
    with pytest.raises(ValueError, match="names a configuration already"):
        longclip.load(f"{file}#{config}", config=config)
    with pytest.raises(ValueError, match="has its own configuration|with its own configuration"):
        longclip.load(tiny_model_folder(77), config=config)
    picture = tmp_path / "pictures" / "one.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8)).save(picture)
    commands = [
        ["info", file],
        ["encode", "--model", file, "--text", *texts],
        ["index", str(picture.parent), "--out", str(tmp_path / "gallery"), "--model", file],
        ["search", str(tmp_path / "gallery"), "fox", "--model", file],
        ["export", file, "--format", "folder", "--out", str(tmp_path / "again")],
        ["evaluate", "length", "--scenes", "2", "--families", "1", "--model", file],
    ]
    for command in commands:
        capsys.readouterr()
        assert main([*command, "--config", config]) == 0, command
    assert checkpoints.read(tmp_path / "again").config == base.config
    assert main(["encode", "--model", "picturebook-clip", "--text", "fox", "--config", config]) == 2
    assert "picturebook-clip is none: leave it away" in capsys.readouterr().err


def test_exports_of_two_models_in_one_folder_stay_apart(tmp_path, capsys, tiny_model_folder):
    def export(name: str, out: str) -> int:
        return main(["export", name, "--format", "open_clip", "--out", str(tmp_path / out)])

    for length in (77, 248):
        for ending in ("pt", "safetensors"):
            assert export(str(tiny_model_folder(length)), f"{length}.{ending}") == 0
            again = longclip.load(tmp_path / f"{length}.{ending}")
            assert (again.encode_text(["a fox"]) == longclip.load(tiny_model_folder(length)).encode_text(["a fox"])).all()
    assert export("picturebook-clip", "book.pt") == 2, "its tokenizer is another"
    assert "holds the tokenizer of another model" in capsys.readouterr().err and not (tmp_path / "book.pt").exists()
