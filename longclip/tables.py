"""Maps and galleries as tables, for other programs: Parquet, which embedding-atlas opens, or CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .gallery import Gallery

ENDINGS = (".parquet", ".csv")


def map_columns(gallery: Gallery, maps: Mapping[str, np.ndarray]) -> dict[str, Sequence[Any]]:
    """The columns of a map's table: id, modality, caption, picture, the plain values of the metadata, x and y by model.

    `maps` holds points [n, 2] of the pictures, or [2 n, 2] of the pictures and then their captions. Raises ValueError for
    others. In embedding-atlas: ``embedding-atlas map.parquet --x x_MODEL --y y_MODEL --text caption``.
    """
    count = len(gallery)
    for model, points in maps.items():
        if points.shape not in ((count, 2), (2 * count, 2)):
            raise ValueError(
                f"the map of {model} has shape {points.shape}; wanted [{count}, 2], or twice as many with captions"
            )
    if len({len(points) for points in maps.values()}) > 1:
        raise ValueError("the maps have captions in part: wanted all with, or all without")
    times = max((len(points) // count for points in maps.values()), default=1) if count else 1
    modality = [kind for kind in ("picture", "caption")[:times] for _ in range(count)]
    names = dict.fromkeys(
        name for row in gallery.metadata for name, value in row.items() if isinstance(value, (str, int, float))
    )
    pictures = [str(picture) if isinstance(picture, Path) else "" for picture in gallery.pictures]
    columns: dict[str, Sequence[Any]] = {"id": gallery.ids * times, "modality": modality}
    columns |= {"caption": gallery.captions * times, "picture": pictures * times}
    for name in names:
        if name not in columns:
            # As text: a column of a table has one type, and a line of metadata may have any.
            columns[name] = [str(row.get(name, "")) for row in gallery.metadata] * times
    for model, points in maps.items():
        for axis, letter in enumerate("xy"):
            columns[f"{letter}_{re.sub(r'[^0-9a-zA-Z]+', '_', model)}"] = np.asarray(points[:, axis], dtype=np.float32)
    return columns


def write_table(path: str | Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes columns of one length as .parquet or .csv. Raises ValueError for another ending."""
    import pyarrow
    from pyarrow import csv, parquet

    from .checkpoints.files import part_of

    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path.name} is no name for a table: wanted one that ends in {' or '.join(ENDINGS)}")
    # What is cut inside an emoji is no text to other programs.
    clean = {name: [_clean(value) for value in values] if _is_text(values) else values for name, values in columns.items()}
    table = pyarrow.table(clean)
    with part_of(path) as part:
        (parquet.write_table if path.suffix == ".parquet" else csv.write_csv)(table, part)
    return path


def _is_text(values: Sequence[Any]) -> bool:
    return not isinstance(values, np.ndarray) and any(isinstance(value, str) for value in values)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
