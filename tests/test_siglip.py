"""SigLIP 2 as a judge: a small one of random weights, from its folder and from a hub."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

from demos.context import Context, Unavailable
from demos.generation.drawings import Drawings
from demos.generation.order import CUT, Order
from longclip.generation import siglip
from longclip.generation.agreement import measure_agreement
from longclip.generation.siglip import choose_files, load_siglip
from longclip.generation.specs import SIGLIP
from longclip.hub import HubError
from longclip.registry import resolve

TEXT = "A red kite above a barn. A dog sleeps."
WORDS = ["<pad>", "<eos>", "<bos>", "<unk>", *"abcdefghijklmnopqrstuvwxyz.", "▁"]
LENGTH, SIDE = 16, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("siglip")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = small | {"vocab_size": len(WORDS), "max_position_embeddings": LENGTH, "projection_size": 32}
    config = SiglipConfig(text_config=text, vision_config=small | {"image_size": SIDE, "patch_size": 8})
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(WORDS)}, [], unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Replace(" ", "▁"), pre_tokenizers.Split("▁", "isolated")
    tokenizer.enable_padding(length=99)  # the published file pads by itself
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_texts_are_read_in_lower_case_with_an_end_and_all_their_pads(folder):
    model = SiglipModel.from_pretrained(folder)
    ids = [WORDS.index(letter) for letter in "a▁dog."] + [1] + [0] * (LENGTH - 7)
    with torch.no_grad():
        wanted = model.get_text_features(torch.tensor([ids])).pooler_output
    found = load_siglip(folder).encode_text(["A Dog.", "a dog."])
    assert found[0] == pytest.approx((wanted / wanted.norm()).numpy()[0], abs=1e-5)
    assert np.array_equal(found[0], found[1])


def test_what_goes_beyond_the_context_is_not_read(folder):
    judge = load_siglip(folder)
    one, other = judge.encode_text(["a" * (LENGTH - 1), "a" * 400])
    assert np.allclose(one, other, atol=1e-6) and not np.allclose(one, judge.encode_text(["a" * (LENGTH - 2)])[0], atol=1e-3)


def test_pictures_are_squashed_to_its_size(folder):
    model = SiglipModel.from_pretrained(folder)
    picture = Image.new("RGBA", (SIDE, SIDE), (255, 0, 51, 255))
    pixels = torch.tensor([1.0, -1.0, -0.6]).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = model.get_image_features(pixels).pooler_output
    found = load_siglip(folder).encode_image([picture, Image.new("RGB", (90, 40), (255, 0, 51))])
    assert found == pytest.approx(np.repeat((wanted / wanted.norm()).numpy(), 2, 0), abs=1e-5)


def test_it_judges_sentence_by_sentence(folder, context_with, tiny_pipeline):
    drawings = Drawings(context_with(folder))
    order = Order(TEXT, pipeline=tiny_pipeline, arms=(CUT,), steps=1)
    *_, (*_, begun) = drawings.prepare(None, SIGLIP, *order.form())
    *_, shown = drawings.draw(begun)
    (sketch,) = shown[2]
    assert [finding.text for finding in sketch.findings] == ["A red kite above a barn.", "A dog sleeps."]
    assert sketch.judged_by == "SigLIP 2" and "says SigLIP 2" in shown[1]
    judge = load_siglip(folder)
    picture = Image.new("RGB", (64, 64))
    cosines, spans = measure_agreement(judge, [picture], TEXT)
    sentences = judge.encode_text([TEXT[start:end] for start, end in spans])
    assert cosines == pytest.approx(judge.encode_image([picture]) @ sentences.T, abs=1e-6)


@pytest.fixture
def context_with(monkeypatch):
    def make(folder):
        monkeypatch.setattr(siglip, "resolve", lambda name: resolve(folder))
        return Context()

    return make


@pytest.fixture(scope="module")
def tiny_pipeline(tiny_model_folder, tmp_path_factory):
    from small_pipelines import sd_pipeline

    import longclip

    folder = tmp_path_factory.mktemp("pipeline")
    sd_pipeline(longclip.load(tiny_model_folder(77))).save_pretrained(folder)
    return str(folder)


def test_without_a_hub_it_is_a_sentence():
    with pytest.raises(Unavailable, match="not in the cache"):
        Context().judge(SIGLIP)


def test_files_are_chosen_and_what_lacks_is_named():
    spec, whole = resolve(SIGLIP), {"config.json", "preprocessor_config.json", "tokenizer.json"}
    shards = {"model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"}
    assert set(choose_files(spec, whole | shards | {"README.md", "model.bin", "onnx/a.safetensors"})) == whole | shards
    with pytest.raises(HubError, match="siglip2-base-patch16-224 has no safetensors at revision main"):
        choose_files(spec, whole | {"pytorch_model.bin"})
    with pytest.raises(HubError, match="has no tokenizer.json at"):
        choose_files(spec, {"config.json", "preprocessor_config.json", "spiece.model", "model.safetensors"})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "is no SigLIP 2"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "is no SigLIP 2"),
        (lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "siglip2"})), "says 'siglip2'"),
        (lambda folder: Tokenizer(models.BPE({"<pad>": 0}, [])).save(str(folder / "tokenizer.json")), "has no <eos>"),
    ],
    ids=["no tokens", "broken", "naflex", "no end"],
)
def test_what_is_no_siglip_is_one_sentence(spoil, sentence, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil(tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_siglip(tmp_path)
    assert "\n" not in str(caught.value)
