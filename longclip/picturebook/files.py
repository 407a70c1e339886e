"""Pages on disk: an image folder with a `metadata.jsonl`, as the `datasets` library and `longclip.gallery` read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from .pages import Page

FORMATS = {"png": {"optimize": True}, "webp": {"quality": 90, "method": 6}}


def write_pages(pages: Iterable[Page], folder: Path, size: int = 256, format: str = "png", first: int = 0) -> list[dict]:
    """Draw the pages into `folder`, numbered from `first`, and add their lines to its `metadata.jsonl`.

    Returns the lines. Raises ValueError for an unknown picture format.
    """
    if format not in FORMATS:
        raise ValueError(f"picture format {format!r} is unknown; there are {', '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with (folder / "metadata.jsonl").open("a" if first else "w", encoding="utf-8") as file:
        for number, page in enumerate(pages, first):
            name = f"{number:06d}.{format}"
            page.scene.draw(size).save(folder / name, **FORMATS[format])
            rows.append(describe(page, name))
            file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")
    return rows


def describe(page: Page, file_name: str) -> dict:
    """A page's line of `metadata.jsonl`. `phrases` are [start, end, [things]] in the characters of the long caption."""
    long = page.long
    return {
        "file_name": file_name,
        "short_caption": page.short.text,
        "long_caption": long.text,
        "subject": page.scene.subject.kind,
        "setting": page.scene.setting,
        "family": page.family,
        "scene": page.scene.graph(),
        "phrases": [[phrase.start, phrase.end, list(phrase.things)] for phrase in long.phrases],
    }


def contact_sheet(pages: Iterable[Page], columns: int = 6, size: int = 192, gap: int = 6) -> Image.Image:
    """The pages' pictures, `size` pixels each, row by row on a transparent ground."""
    pictures = [page.scene.draw(size) for page in pages]
    step = size + gap
    sheet = Image.new("RGBA", (min(columns, len(pictures)) * step - gap, -(-len(pictures) // columns) * step - gap))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * step, number // columns * step))
    return sheet
