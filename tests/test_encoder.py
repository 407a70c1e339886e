from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import CORPUS
from PIL import Image

import longclip
from longclip import checkpoints
from longclip.cache import EmbeddingCache, content_key
from longclip.images import ImageError

TEXTS = ["", "fox", *CORPUS, " ".join(CORPUS), " ".join(CORPUS * 8), "fox"]


@pytest.fixture
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(248))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)) for i in range(7)]


def test_load_describes_the_model(encoder, tiny_model_folder):
    assert (encoder.context_length, encoder.dim, encoder.spec.family) == (248, 48, "Long-CLIP")
    assert encoder.spec.context_length == 248
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)
    assert encoder.tokenize("a red fox").text == "a red fox"
    short = longclip.load(tiny_model_folder(77))
    assert (short.context_length, short.spec.family) == (77, "CLIP")


def test_half_precision_files_compute_in_single(encoder, tiny_model_folder):
    assert checkpoints.read(tiny_model_folder(248)).precision == "fp16"
    assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}


def test_texts_in_a_batch_equal_texts_alone_in_open_clip(encoder, tiny_model_folder):
    import open_clip

    theirs = open_clip.create_model(f"local-dir:{tiny_model_folder(248)}").eval()
    vectors = encoder.encode_text(TEXTS, batch_size=3)
    assert vectors.shape == (len(TEXTS), 48) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = torch.zeros(1, 248, dtype=torch.long)
        tokens = encoder.tokenize(text).ids
        ids[0, : len(tokens)] = torch.tensor(tokens)
        with torch.inference_mode():
            assert np.allclose(theirs.encode_text(ids, normalize=True)[0].numpy(), vector, atol=1e-5)


def test_pictures_in_a_batch_equal_pictures_alone_in_open_clip(encoder, pictures, tiny_model_folder):
    import open_clip

    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_model_folder(248)}")
    theirs.eval()
    vectors = encoder.encode_image(pictures, batch_size=3)
    for picture, vector in zip(pictures, vectors, strict=True):
        with torch.inference_mode():
            expected = theirs.encode_image(transform(picture).unsqueeze(0), normalize=True)[0].numpy()
        assert np.allclose(expected, vector, atol=1e-5)


def test_pictures_of_every_kind(encoder, pictures, tmp_path):
    path = tmp_path / "a.png"
    pictures[0].save(path)
    vectors = encoder.encode_image([path, str(path), path.read_bytes(), pictures[0]])
    assert np.allclose(vectors, vectors[0], atol=1e-6)


def test_nothing_to_encode(encoder):
    assert encoder.encode_text([]).shape == (0, 48) and encoder.encode_image([]).shape == (0, 48)


def test_one_instead_of_a_list_is_refused(encoder, pictures):
    with pytest.raises(ValueError, match="a list of texts"):
        encoder.encode_text("a red fox")
    for one in ("a.png", b"", pictures[0]):
        with pytest.raises(ValueError, match="a list of pictures"):
            encoder.encode_image(one)


def test_a_refused_picture_is_named(encoder, pictures, tmp_path):
    (tmp_path / "notes.jpg").write_text("words")
    with pytest.raises(ImageError, match="notes.jpg is not"):
        encoder.encode_image([*pictures, tmp_path / "notes.jpg"], batch_size=2)


def test_progress_counts_to_the_end(encoder, pictures):
    seen: list[tuple[int, int]] = []
    encoder.encode_text(TEXTS, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXTS), len(TEXTS)) and seen == sorted(seen)
    seen.clear()
    encoder.encode_image(pictures, batch_size=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_nothing_is_computed_twice(encoder, pictures, monkeypatch):
    texts, images = encoder.encode_text(TEXTS), encoder.encode_image(pictures)
    monkeypatch.setattr(encoder.model, "encode_text", None)
    monkeypatch.setattr(encoder.model, "encode_image", None)
    assert np.array_equal(encoder.encode_text(TEXTS[::-1]), texts[::-1])
    assert np.array_equal(encoder.encode_image(pictures), images)


def test_a_shared_cache_tells_models_apart(tiny_model_folder):
    cache = EmbeddingCache()
    first, second = (longclip.load(tiny_model_folder(length), cache=cache) for length in (77, 248))
    assert not np.allclose(first.encode_text(["fox"]), second.encode_text(["fox"]))
    assert len(cache) == 2


def test_weights_that_may_change_are_not_cached(encoder):
    training = longclip.Encoder(encoder.spec, encoder.model, encoder.tokenizer, encoder.preprocessing)
    before = training.encode_text(["fox"])
    with torch.no_grad():
        training.model.text_projection.neg_()
    assert np.allclose(training.encode_text(["fox"]), -before, atol=1e-6) and len(training.cache) == 0


def test_features_are_differentiable(encoder, pictures):
    encoder.model.requires_grad_(True)
    ids = encoder.tokenizer.batch(TEXTS)
    (encoder.text_features(ids)[0] @ encoder.text_features(ids)[-1]).backward()
    assert encoder.model.token_embedding.weight.grad.abs().sum() > 0
    pixels = encoder.preprocessing.batch(pictures[:2]).requires_grad_()
    encoder.image_features(pixels).sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_intermediates_agree_with_the_features(encoder, pictures):
    ids = encoder.tokenizer.batch(CORPUS)
    text = encoder.text_intermediates(ids)
    assert torch.allclose(text["text_features"], encoder.text_features(ids), atol=1e-5)
    assert [state.shape for state in text["text_intermediates"]] == [(3, ids.shape[1], 64)] * 2
    pixels = encoder.preprocessing.batch(pictures[:2])
    image = encoder.image_intermediates(pixels)
    assert torch.allclose(image["image_features"], encoder.image_features(pixels), atol=1e-5)
    assert [state.shape for state in image["image_intermediates"]] == [(2, 64, 4, 4)] * 2


def test_threads_take_turns(encoder):
    texts = [f"{count} ducks and {count} boats" for count in range(60)]
    expected = longclip.load(encoder.spec.path).encode_text(texts)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: encoder.encode_text(texts, batch_size=7), range(8)):
            assert np.allclose(vectors, expected, atol=1e-5)


def test_load_refuses_in_sentences(tmp_path, monkeypatch, tiny_model_folder):
    with pytest.raises(ValueError, match="picturebook-clip"):
        longclip.load("nothing")
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has not been built"):
        longclip.load("picturebook-clip")
    with pytest.raises(ValueError, match="neither open_clip_config.json"):
        longclip.load(tmp_path)
    (tmp_path / "words.pt").write_text("words")
    with pytest.raises(ValueError, match="no checkpoint"):
        longclip.load(tmp_path / "words.pt")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"):
            longclip.load(tiny_model_folder(77), device="cuda")


def test_embedded_models_come_from_the_assets(tmp_path, monkeypatch, tiny_model_folder):
    (tmp_path / "models").mkdir()
    os.symlink(tiny_model_folder(248), tmp_path / "models" / "picturebook-longclip")
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    encoder = longclip.load("picturebook-longclip")
    assert encoder.spec == longclip.available()[1] and encoder.identity


def test_cache_drops_the_least_recently_used():
    row = np.ones(8, dtype=np.float32)
    cache = EmbeddingCache(max_bytes=3 * (32 + 1))
    for key in (b"a", b"b", b"c"):
        cache.put(key, row)
    assert cache.get(b"a") is not None
    cache.put(b"d", row)
    assert cache.get(b"b") is None and cache.get(b"a") is not None and len(cache) == 3
    assert cache.bytes == 99 and (cache.hits, cache.misses) == (2, 1)
    cache.put(b"d", row[:4])
    assert cache.bytes == 83
    cache.put(b"e", np.ones(1000))
    assert cache.get(b"e") is None and len(cache) == 3
    cache.clear()
    assert len(cache) == cache.bytes == 0
    with pytest.raises(ValueError, match="max_bytes"):
        EmbeddingCache(-1)


def test_cached_rows_are_copies_that_cannot_be_changed():
    cache, row = EmbeddingCache(), np.ones(4)
    cache.put(b"a", row)
    row[0] = 5
    assert cache.get(b"a")[0] == 1
    with pytest.raises(ValueError):
        cache.get(b"a")[0] = 2


def test_content_keys_differ_where_the_parts_do():
    assert len({content_key(*parts) for parts in (("text", "m", b"a"), ("image", "m", b"a"), ("text", "ma", b""))}) == 3
