"""Galleries whose files are damaged, replaced, moved or of another model: made anew or a sentence, never a wrong figure."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from small_galleries import MEAN, fill, png

import longclip
from longclip.gallery import IMAGE, Gallery, GalleryError
from longclip.images import ImageError
from longclip.index import StoredGallery, make_gallery


@pytest.fixture(scope="module")
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


def wider(vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([vectors, vectors], axis=1) / np.float32(2**0.5)


def first_nan(vectors: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(vectors))[:, None] == 0, np.nan, vectors).astype(vectors.dtype)


FAULTS = {
    "wider": wider,
    "fewer": lambda vectors: vectors[:-1],
    "flat": lambda vectors: vectors.ravel(),
    "NaN": first_nan,
    "zero": np.zeros_like,
    "whole numbers": lambda vectors: np.ones(vectors.shape, np.uint8),
    "double": lambda vectors: vectors.astype(np.float64),
}


def spoil(path: Path, change) -> None:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        origin = file.metadata()
    arrays = load_file(path)
    save_file({name: change(array) if name == IMAGE else array for name, array in arrays.items()}, path, origin)


@pytest.mark.parametrize("fault", [*FAULTS, "cut short"])
def test_stored_embeddings_that_do_not_fit_are_made_anew(fault, tmp_path, encoder):
    pictures = fill(tmp_path / "pictures", 4)
    path = Gallery.from_folder(pictures).save_embeddings(encoder)
    if fault == "cut short":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        spoil(path, FAULTS[fault])
    gallery = Gallery.from_folder(pictures)
    assert np.allclose(gallery.embed(encoder), encoder.encode_image(gallery.pictures), atol=1e-6)


@pytest.mark.parametrize("fault", ["wider", "fewer", "flat", "whole numbers", "cut short"])
def test_a_part_that_does_not_fit_is_a_sentence_until_it_is_indexed(fault, tmp_path, encoder):
    source, folder = fill(tmp_path / "pictures", 20), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    wanted = StoredGallery(folder).vectors(encoder).joined().copy()
    file = sorted(folder.rglob("*.safetensors"))[0]
    if fault == "cut short":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        spoil(file, FAULTS[fault])
    with pytest.raises(ValueError, match="index again"):
        StoredGallery(folder).vectors(encoder)
    for mean in (MEAN, 5):  # as a part that is there, and as what is left over of one
        make_gallery(str(source), folder, [encoder], mean=mean)
        assert np.allclose(StoredGallery(folder).vectors(encoder).joined(), wanted, atol=1e-6)


@pytest.mark.parametrize("fault", [*FAULTS, "cut short"])
def test_what_is_left_over_of_a_faulty_part_is_not_used_again(fault, tmp_path, encoder):
    source, folder = fill(tmp_path / "pictures", 20), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    wanted = StoredGallery(folder).vectors(encoder).joined().copy()
    for file in folder.rglob("*.safetensors"):
        if fault == "cut short":
            file.write_bytes(file.read_bytes()[:-10])
        else:
            spoil(file, FAULTS[fault])
    make_gallery(str(source), folder, [encoder])
    assert np.allclose(StoredGallery(folder).vectors(encoder).joined(), wanted, atol=1e-6)


def test_a_picture_of_the_same_size_and_time_is_another(tmp_path, encoder):
    """As a tool writes it that sets times back."""
    source, folder = tmp_path / "pictures", tmp_path / "index"
    source.mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(source / "a.bmp")
    Image.new("RGB", (8, 8), (9, 9, 9)).save(source / "b.bmp")
    os.utime(source / "a.bmp", ns=(10, 10))
    Gallery.from_folder(source).save_embeddings(encoder)
    make_gallery(str(source), folder, [encoder])
    size = (source / "a.bmp").stat().st_size
    Image.new("RGB", (8, 8), (0, 0, 255)).save(source / "a.bmp")
    os.utime(source / "a.bmp", ns=(10, 10))
    assert (source / "a.bmp").stat().st_size == size
    make_gallery(str(source), folder, [encoder])
    wanted = encoder.encode_image([Image.new("RGB", (8, 8), colour) for colour in ((0, 0, 255), (9, 9, 9))])
    assert np.allclose(Gallery.from_folder(source).embed(encoder), wanted, atol=1e-3)
    assert np.allclose(StoredGallery(folder).vectors(encoder).joined(), wanted, atol=1e-6)


def test_an_old_gallery_is_refused_and_brought_up_to_date(tmp_path, tiny_model_folder, capsys):
    """The keys of before, which named a file's bytes and knew nothing of the configuration."""
    from longclip.__main__ import main

    model = shutil.copytree(tiny_model_folder(77), tmp_path / "model")
    source, folder = fill(tmp_path / "pictures", 12), tmp_path / "gallery"
    make_gallery(str(source), folder, [longclip.load(model)], mean=MEAN)
    (vectors,) = (folder / "vectors").iterdir()
    for file in vectors.iterdir():
        arrays = load_file(file)
        origin = {"model": str(model), "name": "model", "weights": "0" * 32, "broken": "{}"}
        save_file({name: -array if name == IMAGE else array for name, array in arrays.items()}, file, origin)
    vectors.rename(vectors.with_name("model@0123456789abcdef"))
    assert main(["search", str(folder), "fox"]) == 2
    assert "is not embedded by model as it is now" in capsys.readouterr().err
    assert main(["index", str(source), "--out", str(folder), "--model", str(model)]) == 0
    assert main(["search", str(folder), "fox", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["found"]
    encoder = longclip.load(model)
    cosines = encoder.encode_image([row["picture"] for row in found]) @ encoder.encode_text("fox")
    assert np.allclose(cosines, [row["cosine"] for row in found], atol=1e-5) and len(list((folder / "vectors").iterdir())) == 1


def test_a_gallery_of_a_model_with_a_relative_path_works_from_elsewhere(tmp_path, tiny_model_folder, monkeypatch, capsys):
    from longclip.__main__ import main

    shutil.copytree(tiny_model_folder(77), tmp_path / "here" / "model")
    fill(tmp_path / "here" / "pictures", 3)
    monkeypatch.chdir(tmp_path / "here")
    assert main(["index", "pictures", "--out", "gallery", "--model", "model"]) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["search", "here/gallery", "fox", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["found"]) == 3


def test_progress_of_an_index_moves_within_a_part(tmp_path, encoder):
    """A part is about a thousand pictures: at the size of ViT-B/16 minutes."""
    source = fill(tmp_path / "pictures", 90, captions=True)
    encoder.cache.clear()
    seen: list[int] = []
    make_gallery(str(source), tmp_path / "gallery", [encoder], progress=lambda done, total: seen.append(done))
    assert len(list((tmp_path / "gallery" / "rows").iterdir())) == 1
    assert seen == sorted(seen) and seen[-1] == 90 and len({done for done in seen if 0 < done < 90}) >= 4


def test_files_of_many_bytes_are_not_held_together(tmp_path, encoder, monkeypatch):
    from longclip.index import embedding

    monkeypatch.setattr(embedding, "CHUNK_BYTES", 1)
    source = fill(tmp_path / "pictures", 5)
    (source / "0002.png").write_bytes(b"words")
    made = make_gallery(str(source), tmp_path / "gallery", [encoder])
    assert made.pictures - made.broken <= 5 and made.encoded[IMAGE] == 4
    gallery = StoredGallery(tmp_path / "gallery")
    whole = [number for number in range(len(gallery)) if not np.isnan(gallery.vectors(encoder)[number][0])]
    wanted = encoder.encode_image([gallery.row(number).picture for number in whole])
    assert np.allclose(gallery.vectors(encoder).joined()[whole], wanted, atol=1e-6) and len(whole) == 4


def test_one_unreadable_picture_leaves_the_rest(tmp_path, encoder):
    source = fill(tmp_path / "pictures", 4)
    gallery = Gallery.from_folder(source)
    assert gallery.readable() is gallery
    (source / "0001.png").write_bytes(png(1)[:90])
    with pytest.raises(ImageError, match="0001.png"):
        Gallery.from_folder(source).embed(encoder)
    left = Gallery.from_folder(source).readable()
    assert left.ids == ["0000.png", "0002.png", "0003.png"] and len(left.skipped) == 1 and "0001.png" in left.skipped[0]
    assert np.allclose(left.embed(encoder), encoder.encode_image([png(seed) for seed in (0, 2, 3)]), atol=1e-6)
    for path in source.iterdir():
        path.write_bytes(png(1)[:90])
    with pytest.raises(GalleryError, match="none of the 4 pictures can be read: 0000.png"):
        Gallery.from_folder(source).readable()


def test_what_was_embedded_is_not_decoded_to_see_that_it_can_be(tmp_path, encoder, monkeypatch):
    source = fill(tmp_path / "pictures", 3)
    Gallery.from_folder(source).save_embeddings(encoder)
    monkeypatch.setattr("longclip.gallery.open_image", None)
    gallery = Gallery.from_folder(source)
    assert gallery.readable() is gallery


def test_the_picture_book_opens_without_what_cannot_be_read(tmp_path, monkeypatch):
    from demos.context import Context
    from demos.selection import PICTURE_BOOK

    source = fill(tmp_path / "gallery", 4)
    (source / "0002.png").write_text("words")
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    book = Context().gallery(PICTURE_BOOK)
    assert len(book) == 3 and len(book.skipped) == 1 and "0002.png" in book.skipped[0]
