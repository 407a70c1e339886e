from __future__ import annotations

import socket

import numpy as np
import pytest
from small_galleries import MEAN, fill, png

import longclip
from longclip.gallery import TEXT
from longclip.index import StoredGallery, make_gallery

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

from longclip.index.milvus import Milvus, MilvusError, collection_name


@pytest.fixture(scope="module")
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


@pytest.fixture
def milvus(tmp_path):
    milvus = Milvus(tmp_path / "vectors.db")
    yield milvus
    milvus.close()


def test_the_same_rows_as_exact_search(tmp_path, encoder, milvus):
    source, folder = fill(tmp_path / "Bilder", 60, captions=True), tmp_path / "gallery 猫"
    (source / "0007.png").write_bytes(b"words")
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    gallery = StoredGallery(folder)
    assert milvus.send(gallery, encoder) == 59 and milvus.send(gallery, encoder) == 0
    assert milvus.send(gallery, encoder, TEXT) == 60
    queries = encoder.encode_text(["a red fox", "two ducks", "a quiet street"])
    for kind in ("image", TEXT):
        rows, scores = milvus.search(gallery, encoder, queries, 8, kind)
        expected, cosines = gallery.vectors(encoder, kind).search(queries, 8)
        assert np.allclose(scores, cosines, atol=1e-5)
        assert np.array_equal(np.sort(rows), np.sort(expected))
    rows, scores = milvus.search(gallery, encoder, queries, 99)
    assert (rows >= 0).sum(axis=1).tolist() == [59] * 3 and np.isneginf(scores[:, 59:]).all()


def test_only_what_changed_is_sent(tmp_path, encoder, milvus):
    source, folder = fill(tmp_path / "pictures", 60), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    milvus.send(StoredGallery(folder), encoder)
    (source / "0030.png").write_bytes(png(500))
    (source / "0055.png").unlink()
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    gallery = StoredGallery(folder)
    assert 0 < milvus.send(gallery, encoder) <= 4 * MEAN
    query = gallery.vectors(encoder)[30][None]
    rows, scores = milvus.search(gallery, encoder, query, 60)
    assert rows[0, 0] == 30 and sorted(rows[0]) == [-1, *range(59)]
    assert np.allclose(scores[0, :59], gallery.vectors(encoder).search(query, 59)[1][0], atol=1e-5)


def test_sentences(tmp_path, encoder, milvus):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MilvusError, match=f"^Milvus at http://127.0.0.1:{port} does not answer, or refuses [^\n]*$"):
        Milvus(f"http://127.0.0.1:{port}", timeout=2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(MilvusError, match="does not answer"):
        Milvus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
    with pytest.raises(MilvusError, match="is no address of Milvus: wanted a file that ends in .db"):
        Milvus("gallery")
    make_gallery(str(fill(tmp_path / "pictures", 2)), tmp_path / "gallery", [encoder])
    with pytest.raises(MilvusError, match="does not hold g_gallery_image_.*: index the gallery again with"):
        milvus.search(StoredGallery(tmp_path / "gallery"), encoder, np.ones((1, 48), np.float32))


def test_names_of_collections(tmp_path, encoder):
    make_gallery(str(fill(tmp_path / "pictures", 1)), tmp_path / "галерея", [encoder])
    gallery = StoredGallery(tmp_path / "галерея")
    names = {collection_name(gallery, encoder, kind) for kind in ("image", TEXT)}
    assert len(names) == 2 and all(name.isascii() and name.isidentifier() for name in names)
