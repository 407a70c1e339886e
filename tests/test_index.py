"""Galleries on disk: what they hold, what is encoded again and what is not, and sources that are damaged or strange."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_galleries import MEAN, files, fill, png, write_shard

import longclip
from longclip.data.pairs import DataError
from longclip.gallery import IMAGE, TEXT, GalleryError
from longclip.index import StoredGallery, make_gallery
from longclip.index.plan import cut
from longclip.index.rows import Row, Source


@pytest.fixture(scope="module")
def encoder(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(77))


@pytest.fixture(scope="module")
def other(tiny_model_folder) -> longclip.Encoder:
    return longclip.load(tiny_model_folder(248))


@pytest.fixture
def counted(encoder, monkeypatch) -> list[int]:
    """How many pictures went through the model, in every call; nothing comes from the encoder's own cache."""
    encoder.cache.clear()
    sizes: list[int] = []
    features = encoder.image_features
    monkeypatch.setattr(encoder, "image_features", lambda pixels: sizes.append(len(pixels)) or features(pixels))
    return sizes


def test_a_folder_becomes_a_gallery(tmp_path, encoder):
    source, folder = fill(tmp_path / "pictures", 40, captions=True), tmp_path / "gallery"
    seen: list[tuple[int, int]] = []
    made = make_gallery(str(source), folder, [encoder], progress=lambda done, total: seen.append((done, total)), mean=MEAN)
    gallery = StoredGallery(folder)
    assert len(gallery) == made.pictures == 40 and len(gallery.plan.parts) > 2
    assert made.encoded == {IMAGE: 40, TEXT: 40} and not made.skipped and not list((folder / "locks").iterdir())
    assert seen[-1] == (40, 40) and seen == sorted(seen)
    rows = list(gallery.rows())
    assert [row.id for row in rows] == [f"{seed:04d}.png" for seed in range(40)]
    assert rows[7].caption == "Picture 7 of a fox." and gallery.row(7) == rows[7] and gallery.find("0007.png") == 7
    paths = [row.picture for row in rows]
    assert np.allclose(gallery.vectors(encoder).joined(), encoder.encode_image(paths), atol=1e-6)
    assert np.allclose(gallery.vectors(encoder, TEXT).joined(), encoder.encode_text([row.caption for row in rows]), atol=1e-6)
    assert isinstance(gallery.vectors(encoder).blocks[0], np.memmap)


def test_search_equals_that_in_one_matrix(tmp_path, encoder):
    source, folder = fill(tmp_path / "pictures", 40), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    vectors = StoredGallery(folder).vectors(encoder)
    queries = encoder.encode_text(["a red fox", "two ducks", "a quiet street"])
    rows, scores = vectors.search(queries, 7)
    whole = queries @ vectors.joined().T
    expected = np.argsort(-whole, axis=1, kind="stable")[:, :7]
    assert np.array_equal(rows, expected) and np.allclose(scores, np.take_along_axis(whole, expected, axis=1), atol=1e-6)


def test_ten_thousand_pictures_of_which_ten_change(tmp_path, encoder, counted):
    """Pictures of a few contents, so that the test is quick: each of the ten gets one that there was not."""
    source, folder = tmp_path / "pictures", tmp_path / "gallery"
    source.mkdir()
    contents = [png(seed) for seed in range(50)]
    for number in range(10_000):
        (source / f"{number:05d}.png").write_bytes(contents[number % 50])
    made = make_gallery(str(source), folder, [encoder])
    assert made.pictures == 10_000 and made.encoded[IMAGE] + made.reused[IMAGE] == 10_000
    before = StoredGallery(folder)
    old = before.vectors(encoder).joined().copy()
    counted.clear()
    changed = [17 + 999 * number for number in range(10)]
    for number in changed:
        (source / f"{number:05d}.png").write_bytes(png(1000 + number))
    encoder.cache.clear()
    again = make_gallery(str(source), folder, [encoder])
    assert again.encoded == {IMAGE: 10} and sum(counted) == 10
    new = StoredGallery(folder).vectors(encoder).joined()
    same = np.setdiff1d(np.arange(10_000), changed)
    assert np.array_equal(new[same], old[same])
    assert np.allclose(new[changed], encoder.encode_image([png(1000 + number) for number in changed]), atol=1e-6)
    counted.clear()
    assert not make_gallery(str(source), folder, [encoder]).encoded and not counted


def test_a_new_and_a_removed_picture_touch_one_part_each(tmp_path, encoder, counted):
    source, folder = fill(tmp_path / "pictures", 60), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    before = set(files(folder))
    (source / "0020b.png").write_bytes(png(500))
    (source / "0050.png").unlink()
    encoder.cache.clear()
    made = make_gallery(str(source), folder, [encoder], mean=MEAN)
    assert made.encoded == {IMAGE: 1} and made.pictures == 60
    after = set(files(folder))
    assert len(after - before) <= 8 and len(before & after) >= 4, "a part is a file of rows and one of vectors"
    ids = [row.id for row in StoredGallery(folder).rows()]
    assert "0020b.png" in ids and "0050.png" not in ids
    fresh = tmp_path / "fresh"
    make_gallery(str(source), fresh, [encoder], mean=MEAN)
    assert set(files(fresh)) == after, "the same source makes the same gallery, whatever there was before"


def test_touched_and_moved_pictures_are_not_encoded_again(tmp_path, encoder, counted):
    source, folder = fill(tmp_path / "pictures", 30), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    for path in source.iterdir():
        os.utime(path, (1, 1))
    (source / "0003.png").rename(source / "zebra.png")
    encoder.cache.clear(), counted.clear()
    made = make_gallery(str(source), folder, [encoder], mean=MEAN)
    assert not made.encoded and made.reused == {IMAGE: 30} and not counted


def test_two_models(tmp_path, encoder, other):
    source, folder = fill(tmp_path / "pictures", 20, captions=True), tmp_path / "gallery"
    make_gallery(str(source), folder, [encoder], mean=MEAN)
    with pytest.raises(GalleryError, match="is not embedded by tiny-248 as it is now .*; it is by: .*tiny-77"):
        StoredGallery(folder).vectors(other)
    made = make_gallery(str(source), folder, [encoder, other], mean=MEAN)
    assert made.encoded == {IMAGE: 20, TEXT: 20}, "only by the second"
    gallery = StoredGallery(folder)
    assert list(map(os.path.basename, gallery.models.values())) == ["tiny-248", "tiny-77"]
    assert len(gallery.vectors(other)) == len(gallery.vectors(next(iter(gallery.models)))) == 20


def test_in_memory_for_the_tabs(tmp_path, encoder, other, monkeypatch):
    source, folder = fill(tmp_path / "pictures", 12, captions=True), tmp_path / "gallery"
    (source / "0004.png").write_bytes(b"words")
    make_gallery(str(source), folder, [encoder, other], mean=MEAN)
    monkeypatch.setattr(encoder, "encode_image", None)
    gallery = StoredGallery(folder).gallery([encoder, other])
    assert len(gallery) == 11 and "0004.png" not in gallery.ids and any("0004.png" in sentence for sentence in gallery.skipped)
    assert np.array_equal(gallery.embed(encoder)[4], StoredGallery(folder).vectors(encoder)[5])
    assert gallery.embed_captions(other).shape == (11, 48) and gallery.open(0).size == (8, 8)
    assert len(StoredGallery(folder).gallery(limit=5)) == 5


def test_hostile_galleries(tmp_path, encoder):
    """Unreadable files, captions of 100,000 characters, names in any script, copies: a sentence each, nothing lost."""
    source, folder = tmp_path / "Bilder für 猫", tmp_path / "галерея"
    source.mkdir()
    names = ["ß ö.png", "猫.png", "кот.png", "🐈.png", "a'b\"c.png", "copy.png", "copy of copy.png"]
    for number, name in enumerate(names):
        (source / name).write_bytes(png(min(number, 5)))
    (source / "猫.txt").write_text("a fox " * 17_000)
    (source / "🐈.txt").write_text("\N{CAT} <|endoftext|>")
    (source / "words.png").write_text("words")
    (source / "empty.jpg").touch()
    (source / "cut.png").write_bytes(png(1)[:60])
    (source / "again.png").write_bytes(png(1)[:60])
    (source / "gone.png").symlink_to(source / "nowhere.png")
    os.mkfifo(source / "pipe.png")
    made = make_gallery(str(source), folder, [encoder], mean=MEAN)
    assert made.broken == 4 and len(made.skipped) == 5
    assert made.skipped[0] == "links that lead nowhere, and what is no file: 2 left out (gone.png, pipe.png)"
    assert make_gallery(str(source), folder, [encoder], mean=MEAN).skipped == made.skipped, "told again, though not tried again"
    for name in ("words.png", "empty.jpg", "cut.png", "again.png"):
        assert sum(sentence.startswith(name) for sentence in made.skipped) == 1, made.skipped
    gallery = StoredGallery(folder)
    ids = [row.id for row in gallery.rows()]
    assert set(names) <= set(ids) and len(gallery.row(ids.index("猫.png")).caption) > 100_000
    vectors = gallery.vectors(encoder)
    rows, scores = vectors.search(vectors[ids.index("copy.png")][None], 99)
    found = [ids[row] for row in rows[0] if row >= 0]
    assert set(found[:2]) == {"copy.png", "copy of copy.png"} and set(found) == set(names)
    texts, _ = gallery.vectors(encoder, TEXT).search(encoder.encode_text(["a fox"]), 5)
    assert {ids[row] for row in texts[0] if row >= 0} == {"猫.png", "🐈.png"}
    assert len(gallery.gallery([encoder])) == len(names)


@pytest.mark.parametrize("count", [1, 2])
def test_galleries_of_one_and_two_pictures(tmp_path, encoder, count):
    make_gallery(str(fill(tmp_path / "pictures", count)), tmp_path / "gallery", [encoder])
    rows, scores = StoredGallery(tmp_path / "gallery").vectors(encoder).search(encoder.encode_text(["a fox"]), 10)
    assert sorted(rows[0]) == list(range(count)) and np.isfinite(scores).all()


def test_a_mended_picture_is_encoded(tmp_path, encoder):
    source, folder = fill(tmp_path / "pictures", 5), tmp_path / "gallery"
    (source / "0002.png").write_bytes(b"words")
    assert make_gallery(str(source), folder, [encoder]).broken == 1
    (source / "0002.png").write_bytes(png(2))
    made = make_gallery(str(source), folder, [encoder])
    assert made.encoded == {IMAGE: 1} and not made.broken
    assert not np.isnan(StoredGallery(folder).vectors(encoder).joined()).any()


def test_tables_keep_their_columns(tmp_path, encoder):
    source = fill(tmp_path / "pictures", 3)
    rows = [
        {"file_name": "0000.png", "long_caption": "A fox.", "short_caption": "Fox.", "setting": "meadow", "scene": {"x": 1}},
        {"file_name": "0001.png", "id": "second"},
        {"file_name": "gone.png", "caption": "Not there."},
    ]
    (source / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = make_gallery(str(source), tmp_path / "gallery", [encoder])
    first, second = StoredGallery(tmp_path / "gallery").rows()
    assert (first.caption, first.short_caption, first.metadata) == ("A fox.", "Fox.", {"setting": "meadow"})
    assert (second.id, second.caption) == ("second", "") and made.skipped == ["gone.png is not there"]


def test_shards(tmp_path, encoder, counted):
    source, folder = tmp_path / "shards", tmp_path / "gallery"
    source.mkdir()
    for number in range(3):
        write_shard(source / f"{number:03d}.tar", range(10 * number, 10 * number + 10))
    made = make_gallery(str(source / "{000..002}.tar"), folder, [encoder], mean=MEAN)
    assert made.encoded == {IMAGE: 30, TEXT: 30}
    gallery = StoredGallery(folder)
    assert gallery.row(13).caption == "Picture 13." and len(gallery.gallery([encoder])) == 30
    assert np.allclose(gallery.vectors(encoder).joined()[13], encoder.encode_image([png(13)])[0], atol=1e-6)
    write_shard(source / "001.tar", range(12, 22))
    (source / "002.tar").write_bytes((source / "002.tar").read_bytes()[:5000])
    encoder.cache.clear(), counted.clear()
    made = make_gallery(str(source / "{000..002}.tar"), folder, [encoder], mean=MEAN)
    assert made.pictures == 20 and sum(counted) == 0, "pictures 20 and 21 were in the third shard"
    assert len(made.skipped) == 1 and "002.tar is" in made.skipped[0]


def test_a_shard_that_is_as_it_was_is_not_read(tmp_path, encoder, monkeypatch):
    from longclip.index import rows

    source, folder = tmp_path / "shards", tmp_path / "gallery"
    source.mkdir()
    write_shard(source / "000.tar", range(5))
    make_gallery(str(source), folder, [encoder])
    write_shard(source / "001.tar", range(5, 9))
    read: list[str] = []
    reader = rows.read_webdataset
    monkeypatch.setattr(rows, "read_webdataset", lambda path, left_out: read.append(path.name) or reader(path, left_out))
    assert make_gallery(str(source), folder, [encoder]).pictures == 9 and read == ["001.tar"]


def test_refusals(tmp_path, encoder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GalleryError, match="holds no picture"):
        make_gallery(str(tmp_path / "empty"), tmp_path / "gallery", [encoder])
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.png").write_text("words")
    with pytest.raises(GalleryError, match="none of the 1 pictures of .* can be read: a.png is not a JPEG"):
        make_gallery(str(tmp_path / "words"), tmp_path / "words too", [encoder])
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        make_gallery(str(tmp_path / "none"), tmp_path / "gallery", [encoder])
    with pytest.raises(FileNotFoundError, match="no stored gallery"):
        StoredGallery(tmp_path / "gallery")
    make_gallery(str(fill(tmp_path / "a", 1)), tmp_path / "gallery", [encoder])
    with pytest.raises(GalleryError, match="is the gallery of folder:.*/a: wanted the same source, or another folder"):
        make_gallery(str(fill(tmp_path / "b", 1)), tmp_path / "gallery", [encoder])
    with pytest.raises(DataError, match="line 1 of"):
        (tmp_path / "b" / "metadata.jsonl").write_text("{")
        make_gallery(str(tmp_path / "b"), tmp_path / "other", [encoder])
    gallery = StoredGallery(tmp_path / "gallery")
    with pytest.raises(GalleryError, match="no picture 'x' among the 1"):
        gallery.find("x")
    with pytest.raises(GalleryError, match="no row 1"):
        gallery.row(1)
    with pytest.raises(GalleryError, match="has no captions that are embedded"):
        gallery.vectors(encoder, TEXT)
    (tmp_path / "gallery" / "gallery.json").write_text("{")
    with pytest.raises(GalleryError, match="is damaged"):
        StoredGallery(tmp_path / "gallery")


def test_parts_end_where_the_hash_says():
    rows = [Row(str(number), Path("x"), (0, 0)) for number in range(2000)]
    parts = list(cut(rows, 16))
    assert [row for part in parts for row in part] == rows and max(map(len, parts)) <= 32
    assert 8 < np.mean([len(part) for part in parts]) < 20
    longer = list(cut([*rows[:1000], Row("new", Path("x"), (0, 0)), *rows[1000:]], 16))
    assert sum(part not in parts for part in longer) <= 2, "one more row changes its own part, at most the next too"


def test_rows_survive_json():
    from longclip.data.pairs import Slice

    row = Row("猫 \ud83d", Slice(Path("/a/b.tar"), 3, 9), (5, 6), "x\n\udc80", "", {"label": "cat", "captions": ["y"]})
    line = row.to_json()
    assert "\n" not in line and line.isascii() and Row.from_json(line) == row


def test_source_names_the_shards(tmp_path):
    write_shard(tmp_path / "a.tar", range(1))
    assert Source(str(tmp_path)).shards() == [tmp_path / "a.tar"]
    assert Source(str(fill(tmp_path / "pictures", 1))).shards() == []


def test_rows_of_one_picture_are_indexed_once_and_a_split_by_its_name(tmp_path, encoder):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.png").write_bytes(png(number))
    rows = [
        f"{number}.png,{number} {time}.,{'test' if number else 'train'},{number * time}"
        for time in range(5)
        for number in range(3)
    ]
    (source / "x.csv").write_text("\n".join(["image,caption,split,extra", *rows]))
    made = make_gallery(str(source / "x.csv"), tmp_path / "all", [encoder])
    gallery = StoredGallery(tmp_path / "all")
    found = [gallery.row(number) for number in range(len(gallery))]
    assert made.pictures == 3 and made.encoded[IMAGE] == 3
    assert [(row.id, row.caption) for row in found] == [(f"{number}.png", f"{number} 0.") for number in range(3)]
    assert found[1].metadata["captions"] == [f"1 {time}." for time in range(1, 5)] and found[1].metadata["extra"] == "0"
    make_gallery(str(source / "x.csv"), tmp_path / "test", [encoder], split="test")
    assert len(StoredGallery(tmp_path / "test")) == 2
    with pytest.raises(DataError, match=r"no split 'val': wanted one of its own \(train \(1 pictures\), test \(2 pictures\)\)"):
        make_gallery(str(source / "x.csv"), tmp_path / "val", [encoder], split="val")
    with pytest.raises(GalleryError, match="is the gallery of table:.*x.csv, split test: wanted the same source"):
        make_gallery(str(source / "x.csv"), tmp_path / "test", [encoder])
