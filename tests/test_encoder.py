from __future__ import annotations

import copy
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
import torch
from conftest import CORPUS
from PIL import Image

import longclip
from longclip import checkpoints
from longclip.cache import EmbeddingCache
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


def test_one_alone_gives_one_vector(encoder, pictures, tmp_path):
    assert np.array_equal(encoder.encode_text("a red fox"), encoder.encode_text(["a red fox"])[0])
    assert encoder.encode_text("").shape == (48,)
    pictures[0].save(tmp_path / "a.png")
    wanted = encoder.encode_image(pictures)[0]
    for one in (pictures[0], tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
        assert np.allclose(encoder.encode_image(one), wanted, atol=1e-6)


def test_anything_that_can_be_gone_through_is_a_list(encoder, pictures):
    wanted = encoder.encode_text(TEXTS)
    for texts in ((text for text in TEXTS), tuple(TEXTS), np.array(TEXTS), map(str, TEXTS)):
        assert np.array_equal(encoder.encode_text(texts), wanted)
    assert np.array_equal(encoder.encode_image(iter(pictures)), encoder.encode_image(pictures))


@pytest.mark.parametrize(
    ("call", "given", "sentence"),
    [
        ("encode_text", None, "got a NoneType, wanted a text or a list of texts"),
        ("encode_text", 5, "got an int, wanted a text"),
        ("encode_text", b"fox", "got a bytes, wanted a text"),
        ("encode_text", {"fox": 1}, "got a dict, wanted a text"),
        ("encode_text", {"fox"}, "got a set, wanted a text"),
        ("encode_text", ["fox", None], "number 1 of the list is a NoneType, wanted a text"),
        ("encode_text", [["fox"]], "number 0 of the list is a list, wanted a text"),
        ("encode_image", 5, "got an int, wanted a picture"),
        ("encode_image", [np.zeros((8, 8, 3), np.uint8)], "is a ndarray, of which Image.fromarray makes a picture, wanted"),
        ("encode_image", [torch.zeros(3, 8, 8)], "is a Tensor, of which Image.fromarray makes a picture, wanted"),
        ("encode_image", [None], "number 0 of the list is a NoneType, wanted a picture"),
    ],
)
def test_what_is_no_text_or_picture_is_refused(encoder, call, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        getattr(encoder, call)(given)
    for batch_size in (0, -1, 2.5):
        with pytest.raises(ValueError, match="wanted a whole number, 1 or more"):
            getattr(encoder, call)([], batch_size=batch_size)


def test_halves_of_characters_are_read(encoder):
    """As the replacement character, which is what a decoder writes for them."""
    vectors = encoder.encode_text(["a \ud83d b", "a \ufffd b", "\udc80", "\ufffd"])
    assert np.allclose(vectors[0], vectors[1], atol=1e-6) and np.allclose(vectors[2], vectors[3], atol=1e-6)


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


def test_progress_moves_with_every_batch_and_ends(encoder, tmp_path):
    """Also where pictures are known, and where some cannot be read."""
    (tmp_path / "notes.jpg").write_text("words")
    images = [Image.new("RGB", (8, 8), (seed, 0, 0)) for seed in range(40)]
    for batch_size in (None, 7):
        encoder.cache.clear()
        for _ in range(2):
            seen: list[tuple[int, int]] = []
            encoder.encode_image(
                [*images, tmp_path / "notes.jpg"],
                batch_size,
                lambda done, total, seen=seen: seen.append((done, total)),
                lambda number, error: None,
            )
            assert len(seen) > 1 and seen[-1] == (41, 41) and seen == sorted(set(seen))


def test_pictures_a_batch_follow_the_size_of_the_model(encoder):
    """About a second's work on one core, so that the first batch of ViT-B/16 is not half a minute."""
    from longclip.preprocessing import Preprocessing

    found = {}
    for size, patch in ((224, 16), (224, 32), (336, 14), (64, 8)):
        other = longclip.Encoder(encoder.spec, copy.deepcopy(encoder.model), encoder.tokenizer, Preprocessing((size, size)))
        other.model.visual.patch_size = (patch, patch)
        found[size, patch] = other._pictures_a_batch()
    assert found == {(224, 16): 8, (224, 32): 32, (336, 14): 2, (64, 8): 25}


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


@pytest.mark.parametrize("tower", ["visual.proj", "text_projection"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_features_that_are_not_finite_are_refused(encoder, pictures, tower, value):
    with torch.no_grad():
        encoder.model.get_parameter(tower).fill_(value)
    calls = {"visual.proj": (encoder.encode_image, pictures), "text_projection": (encoder.encode_text, TEXTS)}
    call, given = calls.pop(tower)
    with pytest.raises(ValueError, match="the model tiny-248 gives features that are not finite numbers"):
        call(given)
    assert len(encoder.cache) == 0
    ((call, given),) = calls.values()
    assert np.isfinite(call(given)).all(), "the other tower is whole"


def test_a_scale_that_is_not_finite_is_refused(tmp_path, tiny_model_folder):
    read = checkpoints.read(tiny_model_folder(77))
    read.state["logit_scale"].fill_(1000.0)
    checkpoints.write(read, tmp_path / "model")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_folder(77) / file, tmp_path / "model")
    with pytest.raises(ValueError, match="the model model has a logit scale that is not a finite number"):
        longclip.load(tmp_path / "model")


def test_whoever_has_the_turn_may_call(encoder, pictures):
    wanted = encoder.encode_text(["fox"]), encoder.encode_image(pictures[:1])
    encoder.cache.clear()
    found: list[np.ndarray] = []

    def use() -> None:
        with encoder.turn() as model, encoder.turn():
            found.extend((encoder.encode_text(["fox"]), encoder.encode_image(pictures[:1])))
            encoder.text_intermediates(encoder.tokenizer.batch(["fox"]))
            assert model is encoder.model

    thread = Thread(target=use, daemon=True)  # one that hangs must not hold up the end
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for itself"
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))
    assert np.allclose(encoder.encode_text(["fox"]), wanted[0], atol=1e-6), "and the turn was given back"


def test_pickled_and_copied(encoder, pictures):
    texts, images = encoder.encode_text(TEXTS), encoder.encode_image(pictures)
    for other in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder), copy.copy(encoder)):
        assert other.identity == encoder.identity and other.spec == encoder.spec
        assert np.allclose(other.encode_text(TEXTS), texts, atol=1e-6)
        assert np.allclose(other.encode_image(pictures), images, atol=1e-6)


def test_the_device_is_said_and_the_fastest_is_taken(tiny_model_folder, monkeypatch, caplog):
    with caplog.at_level("INFO", "longclip"):
        assert longclip.load(tiny_model_folder(77), device="cpu").device.type == "cpu"
    assert "tiny-77 computes on cpu" in caplog.messages
    from longclip.devices import choose_device

    here = {"cuda": torch.cuda, "mps": torch.backends.mps}
    for cuda, mps, fastest in ((True, True, "cuda:1"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(here["cuda"], "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(here["cuda"], "device_count", lambda: 2)
        monkeypatch.setattr(here["mps"], "is_available", lambda mps=mps: mps)
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert str(choose_device()) == str(choose_device("auto")) == fastest
        assert str(choose_device("cpu")) == "cpu"
    with pytest.raises(ValueError, match="no CUDA device that torch can use; wanted auto or one of cpu"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="no MPS device"):
        choose_device("mps")
    for name in ("gpu", "", 3.5):
        with pytest.raises(ValueError, match="is no device that torch knows; wanted auto or one of cpu"):
            choose_device(name)
    monkeypatch.setattr(here["cuda"], "is_available", lambda: True)
    assert str(choose_device("cuda:0")) == "cuda:0"
    with pytest.raises(ValueError, match="2 CUDA devices, counted from 0"):
        choose_device("cuda:2")


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
