"""What ships is compared with the manifest when it is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import longclip
from longclip import manifest
from longclip.registry import assets

NAME = "picturebook-longclip"
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """The folder of an embedded model in assets of its own."""
    folder = tmp_path / "models" / NAME
    shutil.copytree(assets() / "models" / NAME, folder)
    shutil.copy(assets() / manifest.MANIFEST, tmp_path)
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_is_found_before_and_after_the_file_was_whole(copy):
    longclip.load(NAME)
    flip(copy / WEIGHTS)
    with pytest.raises(ValueError, match=f"{NAME}/{WEIGHTS} is damaged.*restore it") as refused:
        longclip.load(NAME)
    assert str(copy.parent) not in str(refused.value)


@pytest.mark.parametrize("name", [WEIGHTS, "words.txt", "tokenizer.json", "open_clip_config.json"])
def test_every_file_that_decides_is_compared(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        longclip.load(NAME)
    (copy / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        longclip.load(NAME)


@pytest.mark.parametrize("part", ["unet", "detector"])
def test_the_pipeline_and_its_detector_are_compared(tmp_path, monkeypatch, part):
    from demos.context import Context, Unavailable
    from longclip.generation.pipelines import load_pipeline

    name = "picturebook-diffusion"
    shutil.copytree(assets() / "models" / name, tmp_path / "models" / name)
    shutil.copy(assets() / manifest.MANIFEST, tmp_path)
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    flip(sorted((tmp_path / "models" / name / part).glob("*.safetensors"))[0])
    with pytest.raises(ValueError, match=f"{name}/{part}/.*is damaged"):
        load_pipeline(name)
    with pytest.raises(Unavailable, match=f"{name}/{part}/.*is damaged"):
        Context().detector()


def test_what_decides_nothing_is_not(copy):
    (copy / "README.md").write_text("mine")
    (copy / "notes.txt").write_text("mine")
    assert longclip.load(NAME).dim
    (copy.parents[1] / manifest.MANIFEST).unlink()
    flip(copy / WEIGHTS)
    assert longclip.load(NAME).dim, "without a manifest there is nothing to compare with"


def test_a_whole_file_is_read_for_its_hash_once(copy, monkeypatch):
    read = []
    hashed = manifest.hash_file
    monkeypatch.setattr(manifest, "hash_file", lambda path: read.append(path.name) or hashed(path))
    for _ in range(2):
        manifest.check_model(copy)
    assert len(read) == len(set(read)) and WEIGHTS in read


def test_the_manifest_names_files_of_models_alone():
    listed = json.loads((assets() / manifest.MANIFEST).read_text("utf-8"))
    for part, entry in listed.items():
        assert ("files" in entry) == part.startswith("models/")
        if "files" in entry:
            assert entry["files"] == manifest.hash_files(assets() / part)


def test_a_broken_manifest_is_one_sentence(copy):
    (copy.parents[1] / manifest.MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="manifest.json of the assets cannot be read"):
        longclip.load(NAME)
