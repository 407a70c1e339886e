"""What ships: small enough, of one piece, and able to do what the README says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import longclip
from longclip import rebuild as rebuilding
from longclip.gallery import Gallery
from longclip.registry import assets
from longclip.retrieval import ranks

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("picturebook-clip", "picturebook-longclip")


@pytest.fixture(scope="module")
def gallery():
    return Gallery.from_folder(assets() / "gallery")


def test_assets_fit_a_space_without_large_file_storage():
    sizes = [path.stat().st_size for path in assets().rglob("*") if path.is_file()]
    assert max(sizes) < 10_000_000 and sum(sizes) < 60_000_000


def test_the_manifest_describes_what_is_there():
    written = json.loads((assets() / rebuilding.MANIFEST).read_text("utf-8"))
    assert written == rebuilding.manifest(assets()), "something in assets/ was changed without `python -m longclip rebuild`"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_carries_the_recipe_that_made_it(name):
    made = json.loads((assets() / "models" / name / "recipe.json").read_text("utf-8"))
    assert made["command"].startswith(f"python -m longclip train {name} ") and "name_words.py" in made["made"]
    assert made["made"] in (assets() / "models" / name / "README.md").read_text("utf-8")
    assert made["recipe"]["name"] == name and made["scenes"] > 0 and made["minutes"] > 0 and made["machine"]


def test_the_gallery_has_scenes_and_families(gallery):
    families = [row["family"] for row in gallery.metadata]
    assert families.count(None) >= 1000
    assert any(name and name.startswith("hard/") for name in families)
    assert any(name and name.startswith("late/") for name in families)
    assert len(set(gallery.captions)) == len(gallery)


@pytest.mark.parametrize("name", MODELS)
def test_stored_embeddings_are_those_of_the_shipped_weights(gallery, name):
    encoder = longclip.load(name)
    fresh = encoder.encode_image(gallery.pictures[:6])
    stored = gallery._read_embeddings(encoder, "image")
    assert stored is not None, "embeddings belong to another embedder: `python -m longclip rebuild gallery`"
    assert np.abs(stored[:6] - fresh).max() < 2e-3
    texts = gallery._read_embeddings(encoder, "text")
    assert np.abs(texts[:6] - encoder.encode_text(gallery.captions[:6])).max() < 1e-5


def test_late_families_are_told_apart_by_long_clip_alone(gallery):
    """The reason for all this: chance is one in eight."""
    rows = [number for number, row in enumerate(gallery.metadata) if (row["family"] or "").startswith("late/")]
    found = {}
    for name in MODELS:
        encoder = longclip.load(name)
        image, text = gallery.embed(encoder)[rows], encoder.encode_text([gallery.captions[row] for row in rows])
        blocks = [ranks(text[i : i + 8] @ image[i : i + 8].T, tolerance=1e-6) for i in range(0, len(rows), 8)]
        found[name] = float((np.concatenate(blocks) == 0).mean())
    assert found["picturebook-clip"] == pytest.approx(1 / 8, abs=1e-9), "77 tokens cannot tell them apart"
    assert found["picturebook-longclip"] > 3 / 8


def test_rebuilding_is_refused_for_an_unknown_stage(tmp_path):
    with pytest.raises(ValueError, match="stage picturebook-vit is unknown; there are picturebook-clip, picturebook-longclip"):
        rebuilding.rebuild(("picturebook-vit",), tmp_path)


def test_a_hash_follows_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = rebuilding.hash_folder(tmp_path)
    (tmp_path / "a").write_text("2")
    second = rebuilding.hash_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, rebuilding.hash_folder(tmp_path)}) == 3


def test_the_readme_prints_what_it_says():
    text = (ROOT / "README.md").read_text("utf-8")
    code, output = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", text, re.S).groups()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == output
