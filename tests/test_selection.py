"""The selection, to an address and back."""

from __future__ import annotations

from urllib.parse import parse_qsl

from demos.selection import TO_CAPTIONS, Selection, is_shared
from longclip.registry import available


def reopened(selection: Selection, *models: str) -> Selection:
    """What a selection's link opens where these models are known beside the listed ones."""
    known = (*(spec.name for spec in available()), *models)
    return Selection.from_address(dict(parse_qsl(selection.address("retrieval")[1:])), known)


def test_an_address_brings_the_selection_back():
    chosen = Selection(left="openai/ViT-B-16", picture="000012.webp", caption="Ä & b = c?", search=TO_CAPTIONS)
    assert reopened(chosen) == chosen


def test_models_of_the_hub_are_linked_and_files_are_not():
    chosen = Selection(left="hf-hub:owner/name@v1", right="/home/me/model.pt")
    assert reopened(chosen, chosen.left) == Selection(left=chosen.left)
    assert reopened(chosen) == Selection(), "nor is one of the hub where it is not known"
    assert "/home" not in chosen.address("retrieval") and "%2Fhome" not in chosen.address("retrieval")
    assert is_shared("openai/ViT-B-16") and not is_shared("")
