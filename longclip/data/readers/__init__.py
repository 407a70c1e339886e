"""Data sets on disk as pairs: one module a format, and `read_data`, which picks it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from ..pairs import DataError, PackedPairs, PairData
from .coco import read_coco
from .flickr30k import read_flickr30k
from .folder import METADATA, read_image_folder
from .records import open_text, read_json_list
from .sharegpt4v import read_sharegpt4v
from .table import read_table
from .urban1k import read_urban1k
from .webdataset import read_webdataset

LISTS = {"sharegpt4v": read_sharegpt4v, "table": read_table, "coco": read_coco, "flickr30k": read_flickr30k}
HOLDERS = {"folder": read_image_folder, "urban1k": read_urban1k, "webdataset": read_webdataset}
FORMATS = (*LISTS, *HOLDERS)
_HEAD = 1 << 16


def read_data(source: str, pictures: str | Path | None = None) -> PairData:
    """The pairs that ``FORMAT:PATH`` names, or a PATH whose format is recognised.

    A folder is urban1k if it holds folders image and caption, webdataset if it holds .tar files, folder if it holds a
    ``metadata.jsonl`` or ``.csv``, or none of these. A file is webdataset if its name or pattern ends in .tar;
    flickr30k as .token, as CSV with a column comment, or as JSON with sentences; coco as JSON with images; sharegpt4v as
    JSON list with conversations; table otherwise. No picture is opened or looked for.

    pictures: the folder to which the file names of sharegpt4v, table, coco and flickr30k are relative (each reader says
    what it is otherwise); the other formats hold their pictures. Raises DataError where the format is ambiguous or unknown,
    for faulty records, or where there is no pair; FileNotFoundError where there is nothing.
    """
    format, path = find_format(source)
    left_out: Counter[str] = Counter()
    if format in HOLDERS:
        if pictures is not None:
            raise DataError(f"data of the format {format} hold their own pictures: wanted no folder of pictures")
        pairs = PackedPairs(HOLDERS[format](path, left_out))
    elif path.is_dir():
        raise DataError(f"{path} is a folder, and the format {format} a file")
    else:
        pairs = PackedPairs(LISTS[format](path, _check_folder(pictures), left_out))
    skipped = tuple(f"{count:,} {what} left out" for what, count in left_out.items())
    if not pairs:
        raise DataError(f"{path}, read as {format}, holds no picture with a caption{''.join(f' ({s})' for s in skipped)}")
    return PairData(path.name if path.is_dir() else path.stem, pairs, skipped)


def find_format(source: str) -> tuple[str, Path]:
    """The format and the path of a source, by the rules that `read_data` states.

    Raises DataError where the format is ambiguous or unknown, FileNotFoundError where there is nothing.
    """
    format, place = _part(source)
    pattern = place.endswith(".tar") and any(sign in place for sign in "*?[{")
    # A pattern stays as it is: the folders above may have signs in their names that would be taken for its own.
    path = Path(place if pattern else os.path.abspath(place))
    if not pattern and not path.exists() and format != "webdataset":
        raise FileNotFoundError(f"there is no file or folder {place}")
    return format or ("webdataset" if pattern else recognise(path)), path


def recognise(path: Path) -> str:
    """The format of a file or folder, by the rules that `read_data` states. Raises DataError where several fit, or none."""
    fitting = _fit_folder(path) if path.is_dir() else _fit_file(path)
    if len(fitting) != 1:
        what = f"could be {' or '.join(fitting)}" if fitting else f"is of no known format ({', '.join(FORMATS)})"
        raise DataError(f"{path} {what}: name the format, as in {(fitting or FORMATS)[0]}:{path.name}")
    return fitting[0]


def _part(source: str) -> tuple[str, str]:
    """The format that a source names ("" for none) and its path; a colon may also belong to the path."""
    format, colon, place = source.partition(":")
    if colon and format in FORMATS:
        return format, place
    if colon and format.isidentifier() and len(format) > 1 and not Path(source).exists():
        raise DataError(f"the format {format!r} is unknown; there are {', '.join(FORMATS)}")
    return "", source


def _check_folder(pictures: str | Path | None) -> Path | None:
    if pictures is None:
        return None
    if not Path(pictures).is_dir():
        raise FileNotFoundError(f"there is no folder of pictures {pictures}")
    return Path(os.path.abspath(pictures))


def _fit_folder(path: Path) -> list[str]:
    fitting = []
    if all((path / name).is_dir() for name in ("image", "caption")):
        fitting.append("urban1k")
    if any(path.glob("*.tar")):
        fitting.append("webdataset")
    if not fitting or any((path / name).is_file() for name in METADATA):
        fitting.append("folder")
    return fitting


def _fit_file(path: Path) -> list[str]:
    name = path.name.lower()
    if name.endswith((".tar", ".tgz")) or ".tar." in name:
        return ["webdataset"]
    if name.endswith(".token"):
        return ["flickr30k"]
    if name.endswith((".jsonl", ".ndjson")):
        return ["table"]
    if not name.endswith((".json", ".csv", ".tsv")):
        return []
    with open_text(path) as file:
        head = file.read(_HEAD)
    if not name.endswith(".json"):
        return ["flickr30k" if "comment" in head.partition("\n")[0].lower() else "table"]
    if head.lstrip().startswith("["):
        _, record = next(read_json_list(path), ("", {}))
        return ["sharegpt4v" if "conversations" in record else "table"]
    if '"sentences"' in head:
        return ["flickr30k"]
    return ["coco"] if '"images"' in head or '"annotations"' in head else []
