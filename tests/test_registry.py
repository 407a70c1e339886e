from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

import longclip
from longclip.registry import available, resolve

NAMES = {
    "picturebook-clip": 77,
    "picturebook-longclip": 248,
    "openai/ViT-B-32": 77,
    "openai/ViT-B-16": 77,
    "openai/ViT-L-14": 77,
    "openai/ViT-L-14-336": 77,
    "BeichenZhang/LongCLIP-B": 248,
    "BeichenZhang/LongCLIP-L": 248,
    "zer0int/LongCLIP-GmP-ViT-L-14": 248,
}


def test_available():
    assert {spec.name: spec.context_length for spec in available()} == NAMES
    assert [spec.name for spec in available() if spec.embedded] == ["picturebook-clip", "picturebook-longclip"]
    for spec in available():
        assert spec.licence and spec.title and spec.tokenizer and resolve(spec.name) is spec
        assert spec.embedded or re.fullmatch(r"main|[0-9a-f]{40}", spec.revision or "")
        with pytest.raises(FrozenInstanceError):
            spec.name = "other"  # type: ignore[misc]


def test_openai_models_lie_where_open_clip_says():
    from open_clip.pretrained import get_pretrained_cfg

    for spec in available():
        if spec.name.startswith("openai/"):
            known = get_pretrained_cfg(spec.name.removeprefix("openai/"), "openai")
            assert known["hf_hub"].rstrip("/") == spec.repository


def test_embedded_models_lie_in_the_assets(monkeypatch, tmp_path):
    assert resolve("picturebook-clip").folder.parts[-3:] == ("assets", "models", "picturebook-clip")
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path))
    assert resolve("picturebook-clip").folder == tmp_path / "models" / "picturebook-clip"


def test_files_folders_and_the_hub(tmp_path):
    file = tmp_path / "mine.pt"
    file.touch()
    assert (resolve(tmp_path).path, resolve(str(file)).name) == (tmp_path, "mine")
    assert resolve(file).source == "local" and not resolve(file).embedded and resolve(file).context_length is None
    spec = resolve("hf-hub:owner/name")
    assert (spec.source, spec.repository, spec.revision) == ("hub", "owner/name", "main")
    assert resolve("hf-hub:owner/name@abc").revision == "abc"
    assert resolve("hf-hub:Owner-1/name_2.b@refs/pr/1").revision == "refs/pr/1"
    assert resolve("hf-hub:owner/name@abc").location == "hf-hub:owner/name@abc"


@pytest.mark.parametrize(
    "name", ["ViT-B-99", "", "/no/such/folder", "a" * 9999, "\x00", "~nobody-of-this-name/model", "\ud83d"]
)
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(ValueError) as caught:
        resolve(name)
    assert all(choice in str(caught.value) for choice in NAMES)


@pytest.mark.parametrize(
    "name", ["hf-hub:", "hf-hub:owner", "hf-hub:a/b/c", "hf-hub:/name", "hf-hub:../name", "hf-hub:a/b@../c", "hf-hub:a/b c"]
)
def test_an_address_that_is_none(name):
    with pytest.raises(ValueError, match="names no repository"):
        resolve(name)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, longclip; assert not {'torch', 'open_clip', 'transformers', 'numpy', 'PIL'} & set(sys.modules);"
        "longclip.available(); assert not {'torch', 'open_clip', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    assert set(longclip.__all__) <= set(dir(longclip))
    assert longclip.available is available and longclip.stretch_positions and longclip.load and longclip.Encoder
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        longclip.nothing  # noqa: B018
