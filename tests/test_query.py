from __future__ import annotations

import json

import numpy as np
import pytest
from small_galleries import MEAN, fill, png

import longclip
from longclip.__main__ import main
from longclip.gallery import GalleryError
from longclip.images import ImageError
from longclip.index import StoredGallery, make_gallery
from longclip.index.query import LIKE, PICTURE, TEXT, Term, embed_query, parse_query


@pytest.fixture(scope="module")
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, encoder):
    place = tmp_path_factory.mktemp("searched")
    make_gallery(str(fill(place / "pictures", 30, captions=True)), place / "gallery", [encoder], mean=MEAN)
    return place / "gallery"


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("a red boat", [(1, TEXT, "a red boat")]),
        (
            "2:a red boat + 0.5:photo.jpg - snow",
            [(2, TEXT, "a red boat"), (0.5, PICTURE, "photo.jpg"), (-1, TEXT, "snow")],
        ),
        ("- snow", [(-1, TEXT, "snow")]),
        ("  - .5: snow − fog", [(-0.5, TEXT, "snow"), (-1, TEXT, "fog")]),
        ("a half-timbered house, 12:30 at night", [(1, TEXT, "a half-timbered house, 12:30 at night")]),
        ("12:30 at night", [(1, TEXT, "12:30 at night")]),
        ('"2 + 2 - 1.jpg" - "3:like:this"', [(1, TEXT, "2 + 2 - 1.jpg"), (-1, TEXT, "3:like:this")]),
        ('3:"a + b"', [(3, TEXT, "a + b")]),
        ("like:in/a b.png + a fox", [(1, LIKE, "in/a b.png"), (1, TEXT, "a fox")]),
        ("2:my photo.JPEG", [(2, PICTURE, "my photo.JPEG")]),
        ("日本の猫 + кот", [(1, TEXT, "日本の猫"), (1, TEXT, "кот")]),
        ("C++ and a-b", [(1, TEXT, "C++ and a-b")]),
    ],
)
def test_queries(query, terms):
    assert parse_query(query) == [Term(*term) for term in terms]


@pytest.mark.parametrize("query", ["", " ", "a + + b", "a - ", "2:", '""', "- "])
def test_empty_terms(query):
    with pytest.raises(ValueError, match="has an empty term: wanted"):
        parse_query(query)


def test_a_sum_is_that_of_its_terms(folder, encoder, tmp_path):
    gallery = StoredGallery(folder)
    vectors = gallery.vectors(encoder)
    (tmp_path / "photo.png").write_bytes(png(99))
    query = f"2:a red fox + 0.5:{tmp_path / 'photo.png'} - three ducks + like:0004.png"
    fox, ducks = encoder.encode_text(["a red fox", "three ducks"])
    expected = 2 * fox + 0.5 * encoder.encode_image([png(99)])[0] - ducks + encoder.encode_image([png(4)])[0]
    found = embed_query(parse_query(query), encoder, gallery, vectors)
    assert np.allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    with pytest.raises(ValueError, match="cancel each other out"):
        embed_query(parse_query("a red fox - a red fox"), encoder, gallery, vectors)
    with pytest.raises(GalleryError, match="no picture 'x' among the 30"):
        embed_query(parse_query("like:x"), encoder, gallery, vectors)
    with pytest.raises(ImageError, match="there is no file none.jpg"):
        embed_query(parse_query("none.jpg"), encoder, gallery, vectors)


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_index_and_search(capsys, tmp_path, tiny_model_folder, encoder):
    source, folder, model = fill(tmp_path / "pictures", 20, captions=True), tmp_path / "gallery", tiny_model_folder(77)
    (source / "bad.png").write_text("words")
    code, out, _ = call(capsys, "index", source, "--out", folder, "--model", model, "--json")
    made = json.loads(out)
    assert code == 0 and made["encoded"] == {"image": 20, "text": 20} and made["pictures"] == 21 and made["broken"] == 1
    code, out, _ = call(capsys, "index", source, "--out", folder, "--model", model)
    assert code == 0 and "has 21 pictures\n0 pictures and captions were encoded, the others were known\n" in out

    code, out, _ = call(capsys, "search", folder, "a red fox", "--top", 3, "--json")
    found = json.loads(out)
    scores = encoder.encode_text(["a red fox"]) @ encoder.encode_image([png(seed) for seed in range(20)]).T
    expected = np.argsort(-scores[0])[:3]
    assert [answer["id"] for answer in found["found"]] == [f"{row:04d}.png" for row in expected]
    assert np.allclose([answer["cosine"] for answer in found["found"]], scores[0, expected], atol=1e-4)
    code, out, _ = call(capsys, "search", folder, "- a red fox", "--top", 1)
    assert out.split()[1] == f"{np.argmin(scores[0]):04d}.png"
    code, out, _ = call(capsys, "search", folder, "--like", "0003.png", "--top", 2)
    assert code == 0 and len(out.splitlines()) == 2 and "0003.png" not in out
    code, out, _ = call(capsys, "search", folder, source / "0005.png", "--top", 1)
    assert out.split()[1] == "0005.png" and out.startswith("+1.0000")
    code, out, _ = call(capsys, "search", folder, "Picture 8 of a fox.", "--captions", "--top", 1, "--model", model)
    assert out.startswith("+1.0000  0008.png  Picture 8 of a fox.")


def test_index_and_search_through_milvus(capsys, tmp_path, tiny_model_folder, folder):
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    engine, source = tmp_path / "vectors.db", folder.parent / "pictures"
    arguments = ("index", source, "--out", folder, "--model", tiny_model_folder(77), "--milvus", engine, "--json")
    code, out, _ = call(capsys, *arguments)
    assert code == 0 and json.loads(out)["sent"] == 60
    exact, through = (
        json.loads(call(capsys, "search", folder, "a red fox", "--json", *more)[1])["found"]
        for more in ((), ("--milvus", engine))
    )
    assert [answer["id"] for answer in exact] == [answer["id"] for answer in through]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, _, error = call(capsys, "index", source, "--out", folder, "--milvus", "http://127.0.0.1:9")
    assert code == 2 and error.startswith("error: Milvus at http://127.0.0.1:9 does not answer") and error.count("\n") == 1
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "x"], "is no stored gallery: make one with"),
        (["GALLERY"], "wanted either a query or --like ID"),
        (["GALLERY", "x", "--like", "0001.png"], "wanted either a query or --like ID"),
        (["GALLERY", "x", "--top", "0"], "--top is 0"),
        (["GALLERY", "--like", "none"], "no picture 'none' among the 30"),
        (["GALLERY", "none.jpg"], "there is no file none.jpg"),
    ],
)
def test_refusals(capsys, folder, arguments, message):
    code, _, error = call(capsys, "search", *[folder if argument == "GALLERY" else argument for argument in arguments])
    # Before it, how the model was read and where it computes.
    assert code == 2 and message in error.splitlines()[-1] and error.count("error: ") == 1 and "Traceback" not in error
