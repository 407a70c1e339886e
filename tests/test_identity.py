"""One embedder, one identity: what changes a feature changes the name, and nothing stale is used."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_galleries import fill

import longclip
from longclip import checkpoints
from longclip.cache import EmbeddingCache
from longclip.gallery import IMAGE, TEXT, Gallery, GalleryError
from longclip.index import StoredGallery, make_gallery
from longclip.tokenizer_files import save_tokenizer
from longclip.tokens import Tokenizer

TEXT_OF_MANY = "a red fox sits beside a small pond"


def negate_a_weight(folder: Path) -> None:
    read = checkpoints.read(folder)
    for name in ("visual.proj", "text_projection"):
        read.state[name][0].neg_()
    checkpoints.write(read, folder)


def mend_the_config(folder: Path) -> None:
    change_json(folder, "model_cfg", quick_gelu=False)


def mend_the_preprocessing(folder: Path) -> None:
    change_json(folder, "preprocess_cfg", mean=[0.1] * 3, std=[0.9] * 3)


def change_json(folder: Path, part: str, **settings: object) -> None:
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    content[part] |= settings
    path.write_text(json.dumps(content))


def swap_two_tokens(folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(folder)
    vocab = dict(tokenizer.vocab)
    vocab["a</w>"], vocab[".</w>"] = vocab[".</w>"], vocab["a</w>"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    save_tokenizer(folder, vocab, tokenizer.merges, tokenizer.context_length, tokenizer.words)


CHANGES = {
    "weights": (negate_a_weight, {IMAGE, TEXT}),
    "configuration": (mend_the_config, {IMAGE, TEXT}),
    "preprocessing": (mend_the_preprocessing, {IMAGE}),
    "tokenizer": (swap_two_tokens, {TEXT}),
}


@pytest.fixture
def folder(tmp_path, tiny_model_folder) -> Path:
    return Path(shutil.copytree(tiny_model_folder(77), tmp_path / "model"))


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_made_before_a_change_is_not_used_after_it(what, folder, tmp_path):
    """A cache, a gallery with stored embeddings, and an index of it, all made before the model's folder was changed."""
    change, changed = CHANGES[what]
    pictures, index, cache = fill(tmp_path / "pictures", 5, captions=True), tmp_path / "index", EmbeddingCache()
    first = longclip.load(folder, cache=cache)
    kept = Gallery.from_folder(pictures)
    kept.save_embeddings(first)
    make_gallery(str(pictures), index, [first])
    change(folder)
    second = longclip.load(folder, cache=cache)
    assert second.identity != first.identity and second.spec.name == first.spec.name
    fresh = longclip.load(folder)
    wanted = {IMAGE: fresh.encode_image(kept.pictures), TEXT: fresh.encode_text(kept.captions)}
    before = {IMAGE: first.encode_image(kept.pictures), TEXT: first.encode_text(kept.captions)}
    for kind in (IMAGE, TEXT):
        assert (np.abs(wanted[kind] - before[kind]).max() > 1e-3) == (kind in changed), "the change shows"
    for gallery in (kept, Gallery.from_folder(pictures)):
        assert np.allclose(gallery.embed(second), wanted[IMAGE], atol=1e-6)
        assert np.allclose(gallery.embed_captions(second), wanted[TEXT], atol=1e-6)
    with pytest.raises(GalleryError, match="is not embedded by model as it is now .* python -m longclip index"):
        StoredGallery(index).vectors(second)
    assert make_gallery(str(pictures), index, [second]).encoded == {IMAGE: 5, TEXT: 5}
    stored = StoredGallery(index)
    assert len(stored.models) == 1, "what the model can no longer be asked for is removed"
    for kind in (IMAGE, TEXT):
        assert np.allclose(stored.vectors(second, kind).joined(), wanted[kind], atol=1e-6)


def test_precision_counts(folder):
    encoder = longclip.load(folder)
    single, before = encoder.identity, encoder.encode_text([TEXT_OF_MANY])
    encoder.model.to(torch.bfloat16).to(torch.float32)
    assert encoder.identity != single, "the weights were rounded"
    assert np.abs(encoder.encode_text([TEXT_OF_MANY]) - before).max() > 1e-5, "and the cache does not hide it"
    halves = longclip.load(folder)
    halves.model.bfloat16()
    assert len({halves.identity, encoder.identity, single}) == 3


def test_a_copy_keeps_its_name_until_it_is_changed(folder):
    encoder = longclip.load(folder)
    other = copy.deepcopy(encoder.model)
    twin = longclip.Encoder(encoder.spec, other, encoder.tokenizer, encoder.preprocessing, fixed=True)
    assert twin.identity == encoder.identity
    before = twin.encode_text([TEXT_OF_MANY])
    with torch.no_grad():
        other.text_projection.neg_()
    assert twin.identity != encoder.identity and np.allclose(twin.encode_text([TEXT_OF_MANY]), -before, atol=1e-6)
    other.text_projection.data = -other.text_projection.data.clone()
    assert twin.identity == encoder.identity, "what is as it was has its name again"


def test_a_part_that_is_replaced_counts(folder, tiny_model_folder):
    encoder = longclip.load(folder)
    names = {encoder.identity}
    encoder.preprocessing = replace(encoder.preprocessing, mean=(0.1, 0.1, 0.1))
    names.add(encoder.identity)
    encoder.tokenizer = encoder.tokenizer.with_length(60)
    names.add(encoder.identity)
    encoder.model.load_state_dict({name: value + 1 for name, value in encoder.model.state_dict().items()})
    names.add(encoder.identity)
    assert len(names) == 4 and longclip.load(folder).identity in names


def test_the_name_is_of_what_was_built_and_not_of_the_file(folder, tmp_path):
    """A copy elsewhere, and the same numbers in single precision, are the same embedder."""
    name = longclip.load(folder).identity
    assert len(name) == 32 and set(name) <= set("0123456789abcdef")
    assert longclip.load(shutil.copytree(folder, tmp_path / "copy")).identity == name
    shutil.copytree(folder, tmp_path / "single")
    checkpoints.write(checkpoints.read(folder).cast("fp32"), tmp_path / "single")
    assert longclip.load(tmp_path / "single").identity == name
    (folder / "notes.bin").write_bytes(b"words")
    (folder / "words.txt").unlink()
    assert longclip.load(folder).identity == name, "other files, and what only marks words, change no feature"


def test_every_tensor_counts_by_name_shape_and_contents():
    """Held against the slow plain way, one tensor after the other."""
    from longclip.identity import VERSION, identify

    model = torch.nn.Module()
    model.register_buffer("b", torch.arange(6, dtype=torch.int64))
    model.a = torch.nn.Parameter(torch.randn(2, 3, dtype=torch.bfloat16))
    parts = []
    for name, tensor in (("a", model.a), ("b", model.b)):
        raw = bytes(tensor.detach().contiguous().view(torch.uint8).flatten().tolist())
        parts.append([name, str(tensor.dtype), list(tensor.shape), hashlib.sha256(raw).hexdigest()])
    text = json.dumps([VERSION, json.dumps({"x": 1, "y": 2}), "tokens", "pixels", parts])
    name = identify(model, {"y": 2, "x": 1}, "tokens", "pixels")
    assert name == hashlib.sha256(text.encode()).hexdigest()[:32]
    names = {name, identify(model, {}, "tokens", "pixels"), identify(model, {"x": 1, "y": 2}, "token", "spixels")}
    model.a = torch.nn.Parameter(model.a.detach().T.contiguous().T)  # other strides, the same numbers
    assert identify(model, {"x": 1, "y": 2}, "tokens", "pixels") == name
    model.a = torch.nn.Parameter(model.a.detach().reshape(3, 2))
    names.add(identify(model, {"x": 1, "y": 2}, "tokens", "pixels"))
    model.b[5] = 7
    names.add(identify(model, {"x": 1, "y": 2}, "tokens", "pixels"))
    assert len(names) == 5


def test_models_of_one_name_are_told_apart_in_one_gallery(tmp_path, tiny_model_folder):
    encoders = [longclip.load(shutil.copytree(tiny_model_folder(n), tmp_path / str(n) / "model")) for n in (77, 248)]
    assert encoders[0].spec.name == encoders[1].spec.name
    gallery = Gallery.from_folder(fill(tmp_path / "pictures", 3))
    embedded = [gallery.embed(encoder) for encoder in encoders]
    assert [gallery.embed(encoder) is known for encoder, known in zip(encoders, embedded, strict=True)] == [True, True]
    make_gallery(str(tmp_path / "pictures"), tmp_path / "index", encoders)
    for encoder, wanted in zip(encoders, embedded, strict=True):
        assert np.allclose(StoredGallery(tmp_path / "index").vectors(encoder).joined(), wanted, atol=1e-6)
    with pytest.raises(GalleryError, match="two of the models model, model are the same"):
        make_gallery(str(tmp_path / "pictures"), tmp_path / "index", encoders[:1] * 2)
