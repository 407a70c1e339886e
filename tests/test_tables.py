from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from longclip.gallery import Gallery
from longclip.tables import map_columns, write_table

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def gallery() -> Gallery:
    metadata = [{"setting": "meadow", "size": 3, "scene": {"x": 1}}, {"setting": "猫", "id": "other"}]
    captions = ['A fox, "red".\nTwo lines.', "cut \ud83d"]
    return Gallery(["a", "b.png"], [Path("x/a.png"), b"bytes"], captions, ["", ""], metadata)


def test_parquet_with_coordinates(gallery, tmp_path):
    maps = {name: np.arange(8.0).reshape(4, 2) + number for number, name in enumerate(("picturebook-clip", "openai/ViT-B-16"))}
    path = write_table(tmp_path / "new" / "map.parquet", map_columns(gallery, maps))
    table = parquet.read_table(path).to_pydict()
    assert table["id"] == ["a", "b.png"] * 2 and table["modality"] == ["picture"] * 2 + ["caption"] * 2
    assert table["x_picturebook_clip"] == [0, 2, 4, 6] and table["y_openai_ViT_B_16"] == [2, 4, 6, 8]
    assert table["caption"] == [gallery.captions[0], "cut ?"] * 2 and table["picture"] == ["x/a.png", ""] * 2
    assert table["setting"] == ["meadow", "猫"] * 2 and table["size"] == ["3", ""] * 2 and "scene" not in table


def test_csv(gallery, tmp_path):
    path = write_table(tmp_path / "map.csv", map_columns(gallery, {"m": np.zeros((2, 2))}))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a", "b.png"] and rows[0]["caption"] == gallery.captions[0]
    assert rows[1]["setting"] == "猫" and float(rows[0]["x_m"]) == 0


def test_no_map_and_no_picture(gallery, tmp_path):
    assert set(map_columns(gallery, {})) == {"id", "modality", "caption", "picture", "setting", "size"}
    write_table(tmp_path / "empty.parquet", map_columns(gallery.select([]), {"m": np.zeros((0, 2))}))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"m": np.zeros((3, 2))}, r"the map of m has shape \(3, 2\); wanted \[2, 2\]"),
        ({"m": np.zeros((2, 2)), "n": np.zeros((4, 2))}, "captions in part"),
    ],
)
def test_maps_that_do_not_fit(gallery, maps, message):
    with pytest.raises(ValueError, match=message):
        map_columns(gallery, maps)


def test_other_endings(tmp_path):
    with pytest.raises(ValueError, match="map.xlsx is no name for a table: wanted one that ends in .parquet or .csv"):
        write_table(tmp_path / "map.xlsx", {})
