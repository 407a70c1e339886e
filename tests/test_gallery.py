from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import longclip
from longclip.gallery import Gallery, GalleryError
from longclip.images import ImageError


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8))


def content(seed: int) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "gallery"
    (folder / "in").mkdir(parents=True)
    rows = [
        {"file_name": "b.png", "long_caption": "A long one.", "short_caption": "Short.", "family": "f1"},
        {"file_name": "in/a.png", "caption": "Another.", "id": "first", "extra": {"x": 1}},
        {"file_name": "c.png", "text": "A third.", "long_caption": ""},
        {"file_name": "d.png"},
    ]
    for seed, row in enumerate(rows):
        picture(seed).save(folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return folder


@pytest.fixture
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


def test_an_image_folder_with_metadata(folder):
    gallery = Gallery.from_folder(folder)
    assert gallery.ids == ["b.png", "first", "c.png", "d.png"] and len(gallery) == 4
    assert gallery.captions == ["A long one.", "Another.", "A third.", ""]
    assert gallery.short_captions == ["Short.", "", "", ""]
    assert gallery.metadata[0]["family"] == "f1" and gallery.metadata[1]["extra"] == {"x": 1}
    assert gallery.index("first") == 1 and gallery.open(1).size == (24, 24)


def test_a_plain_folder(folder):
    (folder / "metadata.jsonl").unlink()
    (folder / "c.txt").write_text("Beside it.\n")
    (folder / "notes.md").write_text("words")
    gallery = Gallery.from_folder(folder)
    assert gallery.ids == ["b.png", "c.png", "d.png", "in/a.png"]
    assert gallery.captions == ["", "Beside it.", "", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 of .* is not JSON"),
        ("[]", r"line 1 of .* is \[\], wanted an object"),
        ('{"file_name": ""}', "line 1 of .* has no picture: wanted a file name"),
        ('{"file_name": "../secret.png"}', "lies outside the pictures' folder"),
        ('{"file_name": "/etc/hostname"}', "lies outside the pictures' folder"),
        ('{"file_name": "none.png"}', "'none.png', which is not there"),
        ('{"file_name": "b.png", "id": 1}\n{"file_name": "c.png", "id": 1}', "'1' occurs more than once"),
        ("", "holds no picture"),
    ],
)
def test_faulty_metadata_is_named(folder, line, message):
    (folder / "metadata.jsonl").write_text(line)
    with pytest.raises(GalleryError, match=message):
        Gallery.from_folder(folder)


def test_the_rest_of_a_gallery_is_kept_and_what_is_left_out_is_named(folder):
    lines = (folder / "metadata.jsonl").read_text().replace('"d.png"}', '"d.png"')
    (folder / "metadata.jsonl").write_text(lines + '{"file_name": "../x.png"}\n{"file_name": "none.png"}\n')
    gallery = Gallery.from_folder(folder)
    assert gallery.ids == ["b.png", "first", "c.png"]
    found = " ".join(gallery.skipped)
    assert len(gallery.skipped) == 3 and "line 4 of" in found and "'../x.png'" in found and "'none.png'" in found


def test_lines_of_one_picture_are_one_with_all_captions(folder):
    rows = [
        {"file_name": "b.png", "caption": ["One.", "Two."], "family": "f"},
        {"file_name": "c.png", "title": 5},
        {"file_name": "./in/../b.png", "captions": [{"raw": "Three."}], "short_caption": float("nan")},
        {"file_name": "d.png", "caption": float("nan"), "caption_1": "Last.", "caption_0": "First."},
    ]
    (folder / "metadata.jsonl").write_text("\r\n".join(map(json.dumps, rows)), encoding="utf-16")
    gallery = Gallery.from_folder(folder)
    assert gallery.ids == ["b.png", "c.png", "d.png"] and gallery.captions == ["One.", "5", "First."]
    assert [fields.get("captions") for fields in gallery.metadata] == [["Two.", "Three."], None, ["Last."]]
    assert gallery.metadata[0]["family"] == "f" and gallery.short_captions == ["", "", ""]


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        Gallery.from_folder(tmp_path / "none")


def test_uploads_with_faults(folder):
    (folder / "notes.jpg").write_text("words")
    files = [folder / "b.png", folder / "notes.jpg", ("b.png", content(9)), ("bad.png", content(9)[:100]), folder / "none.png"]
    gallery = Gallery.from_pictures(files)
    assert gallery.ids == ["b.png", "b-2.png"] and gallery.pictures[1] == content(9)
    assert [sentence.split()[0] for sentence in gallery.skipped] == ["notes.jpg", "bad.png", "there"]


def test_uploads_are_capped(folder):
    gallery = Gallery.from_pictures([(f"{seed}.png", content(seed)) for seed in range(5)], limit=3)
    assert len(gallery) == 3 and gallery.skipped == ("2 more files were left out: at most 3 pictures are taken",)
    assert len(Gallery.from_pictures([])) == 0


def test_embeddings_are_the_encoders(folder, encoder):
    gallery = Gallery.from_folder(folder)
    seen: list[tuple[int, int]] = []
    embedded = gallery.embed(encoder, lambda done, total: seen.append((done, total)))
    assert np.array_equal(embedded, encoder.encode_image(gallery.pictures)) and seen[-1] == (4, 4)
    assert gallery.embeddings[encoder.identity] is embedded is gallery.embed(encoder)


def test_select(folder, encoder):
    gallery = Gallery.from_folder(folder)
    gallery.embed(encoder)
    chosen = gallery.select([2, 0])
    assert chosen.ids == ["c.png", "b.png"] and chosen.captions == ["A third.", "A long one."]
    assert np.array_equal(chosen.embed(encoder), gallery.embed(encoder)[[2, 0]])


def test_stored_embeddings_are_used(folder, encoder, monkeypatch):
    first = Gallery.from_folder(folder)
    path = first.save_embeddings(encoder)
    assert path.parent == folder / "embeddings" and path.suffix == ".safetensors"
    monkeypatch.setattr(encoder, "encode_image", None)
    stored = Gallery.from_folder(folder).embed(encoder)
    assert stored.dtype == np.float32 and np.allclose(stored, first.embed(encoder), atol=1e-3)
    assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)


def test_stale_embeddings_are_not_used(folder, encoder, tiny_model_folder, tmp_path):
    Gallery.from_folder(folder).save_embeddings(encoder)
    # Other weights under the same name.
    other = tmp_path / tiny_model_folder(77).name
    shutil.copytree(tiny_model_folder(248), other)
    retrained = longclip.load(other)
    assert retrained.spec.name == encoder.spec.name
    gallery = Gallery.from_folder(folder)
    assert np.array_equal(gallery.embed(retrained), retrained.encode_image(gallery.pictures))
    assert np.allclose(gallery.embed(encoder), encoder.encode_image(gallery.pictures), atol=1e-3)


def test_embeddings_of_other_rows_are_not_used(folder, encoder):
    Gallery.from_folder(folder).save_embeddings(encoder)
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join(reversed(lines)))
    gallery = Gallery.from_folder(folder)
    assert np.array_equal(gallery.embed(encoder), encoder.encode_image(gallery.pictures))


def test_captions_are_embedded_once(folder, encoder):
    gallery = Gallery.from_folder(folder)
    seen: list[tuple[int, int]] = []
    embedded = gallery.embed_captions(encoder, lambda done, total: seen.append((done, total)), batch_size=2)
    assert np.allclose(embedded, encoder.encode_text(gallery.captions), atol=1e-6) and seen == [(2, 4), (4, 4)]
    assert gallery.caption_embeddings[encoder.identity] is embedded is gallery.embed_captions(encoder)
    assert gallery.embeddings == {}
    assert np.array_equal(gallery.select([3, 1]).embed_captions(encoder), embedded[[3, 1]])


def test_stored_captions_are_used_while_they_are_the_same(folder, encoder, monkeypatch):
    first = Gallery.from_folder(folder)
    first.save_embeddings(encoder)
    encode_text = encoder.encode_text
    monkeypatch.setattr(encoder, "encode_text", None)
    stored = Gallery.from_folder(folder).embed_captions(encoder)
    assert stored.dtype == np.float32 and np.allclose(stored, first.embed_captions(encoder), atol=1e-7)
    monkeypatch.setattr(encoder, "encode_text", encode_text)
    metadata = folder / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace("A third.", "A fourth."))
    changed = Gallery.from_folder(folder)
    assert np.allclose(changed.embed_captions(encoder), encode_text(changed.captions), atol=1e-6)
    monkeypatch.setattr(encoder, "encode_image", None)
    assert changed.embed(encoder).shape == (4, 48), "the pictures are the same"


def test_a_replaced_picture_is_noticed(folder, encoder):
    Gallery.from_folder(folder).save_embeddings(encoder)
    Image.new("RGB", (24, 24), "red").save(folder / "b.png")
    gallery = Gallery.from_folder(folder)
    assert np.array_equal(gallery.embed(encoder), encoder.encode_image(gallery.pictures))


def test_a_stored_file_has_the_permissions_of_any_other(folder, encoder):
    (folder / "plain").touch()
    path = Gallery.from_folder(folder).save_embeddings(encoder)
    assert path.stat().st_mode == (folder / "plain").stat().st_mode
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_damaged_embeddings_are_computed_anew(folder, encoder):
    Gallery.from_folder(folder).save_embeddings(encoder).write_bytes(b"words")
    gallery = Gallery.from_folder(folder)
    assert gallery.embed(encoder).shape == gallery.embed_captions(encoder).shape == (4, 48)


def test_refusals(folder, encoder):
    gallery = Gallery.from_folder(folder)
    with pytest.raises(GalleryError, match="no picture 'x' among the 4"):
        gallery.index("x")
    with pytest.raises(GalleryError, match="with a folder"):
        gallery.select([0]).save_embeddings(encoder)
    with pytest.raises(GalleryError, match="1 ids, but 0"):
        Gallery(["a"], [], [], [], [])
    (folder / "d.png").write_text("words")
    with pytest.raises(ImageError, match="d.png is not"):
        gallery.embed(encoder)
    (folder / "d.png").unlink()
    with pytest.raises(ImageError, match="there is no file .*d.png"):
        gallery.embed(encoder)
