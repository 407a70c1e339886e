"""webdataset shards: tar files in which members of one key are a sample. Only their headers and texts are read."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ...textfiles import DataError, decode_text
from ..left_out import LeftOut
from ..pairs import Pair, Slice
from .fields import OnError, text_fields
from .paths import PICTURE_ENDINGS
from .records import MAX_TEXT
from .shards import check_end, fault_of, find_shards
from .walking import is_junk

_TEXTS = ("json", "txt")

Sample = dict[str, tarfile.TarInfo]


def read_webdataset(path: Path, left_out: LeftOut) -> Iterator[Pair]:
    """The samples of all shards, in the order of the shards' names and of the samples in them.

    path: a shard, a folder of them, or a pattern with ``*`` or ``{000..012}``. A sample is what shares its key: the path up
    to the first dot of the file's name, as in webdataset. Its captions are those of its .json (fields as in a table), or else
    its .txt. A field that cannot be read is left out alone, a sample without picture or caption whole.
    """
    for shard in find_shards(path):
        try:
            with tarfile.open(shard, "r:") as tar:
                for key, sample in _group(tar, shard, left_out).items():
                    yield from _read_sample(tar, shard, key, sample, left_out)
        except tarfile.TarError as error:
            raise DataError(f"{shard} is {fault_of(shard)} ({error})") from None


def _group(tar: tarfile.TarFile, shard: Path, left_out: LeftOut) -> dict[str, Sample]:
    """The members of interest by key and ending, which is all behind the first dot."""
    samples: dict[str, Sample] = {}
    regular: dict[str, tarfile.TarInfo] = {}
    while (member := tar.next()) is not None:
        if member.size < 0:
            # Older versions of tarfile would step back by it, and read the same header for ever.
            raise DataError(f"{shard} holds {member.name!r} of {member.size} bytes: it is damaged")
        folder, slash, name = member.name.rpartition("/")
        stem, dot, ending = name.partition(".")
        ending = ending.lower()
        if member.isdir() or not (stem and dot) or any(is_junk(part) for part in Path(member.name).parts):
            continue
        if _kind(ending) is None and not _looks_like_picture(tar, member):
            continue
        # tar writes a file that has two names once.
        found = regular.get(member.linkname) if member.islnk() else member
        if found is None or not found.isreg() or found.issparse():
            # A sparse file's bytes do not stand in one piece.
            left_out.add("links and sparse files in shards", member.name)
            continue
        regular[member.name] = found
        sample = samples.setdefault(folder + slash + stem, {})
        if ending in sample:
            raise DataError(f"{shard} holds {member.name!r} twice")
        sample[ending] = found
    check_end(tar, shard)
    return samples


def _kind(ending: str) -> str | None:
    """What a field is by the last part of its ending: a text, or a picture."""
    last = ending.rpartition(".")[2]
    if last in _TEXTS:
        return last
    return "picture" if f".{last}" in PICTURE_ENDINGS else None


def _looks_like_picture(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    from ...images import HEAD, begins_like_picture

    if not member.isreg() or member.issparse() or not member.size:
        return False
    tar.fileobj.seek(member.offset_data)
    return begins_like_picture(tar.fileobj.read(min(HEAD, member.size)))


def _read_sample(tar: tarfile.TarFile, shard: Path, key: str, sample: Sample, left_out: LeftOut) -> Iterator[Pair]:
    """The pairs of a sample: one, or one of each of its pictures that has words of its own (``a.left.jpg``, ``a.left.txt``)."""
    texts = [ending for ending in sample if _kind(ending) in _TEXTS]
    pictures: dict[str, str] = {}
    for ending in sorted(sample.keys() - set(texts), key=_preference):
        if _part(ending) in pictures:
            left_out.add("further pictures of samples", f"{key}.{ending}")
        else:
            pictures[_part(ending)] = ending
    own = [part for part in pictures if part in map(_part, texts)]
    plain = [part for part in pictures if not part or len(pictures) == 1]
    chosen = own or plain
    if not chosen:
        left_out.add(
            "samples with several pictures, none of them named as the caption" if pictures else "samples without picture", key
        )
        return
    for part in pictures.keys() - set(chosen):
        left_out.add("further pictures of samples", f"{key}.{pictures[part]}")
    for part in chosen:
        words = {text: sample[text] for text in texts if len(chosen) == 1 or _part(text) == part}
        yield from _read_pair(tar, shard, key, sample[pictures[part]], words, left_out)


def _part(ending: str) -> str:
    """What stands between a sample's key and the last part of an ending: "left" of ``left.jpg``."""
    return ending.rpartition(".")[0]


def _preference(ending: str) -> tuple[int, str]:
    last = f".{ending.rpartition('.')[2]}"
    return PICTURE_ENDINGS.index(last) if last in PICTURE_ENDINGS else len(PICTURE_ENDINGS), ending


def _read_pair(
    tar: tarfile.TarFile, shard: Path, key: str, picture: tarfile.TarInfo, texts: Sample, left_out: LeftOut
) -> Iterator[Pair]:
    fields = {"captions": ()}
    words: list[str] = []
    for ending, member in texts.items():
        kind = _kind(ending)

        def spoil(error: Exception, kind: str | None = kind, name: str = member.name) -> None:
            left_out.add(f"fields of a .{kind} that cannot be read", name)

        text = _read_text(tar, member, spoil)
        if kind == "txt":
            words += [text.strip()] if text.strip() else []
        elif text:
            try:
                found = text_fields(json.loads(text), key, spoil)
            except (ValueError, RecursionError) as error:
                spoil(error)
            else:
                fields = found | {"captions": (*fields["captions"], *found["captions"])}
    captions = fields.pop("captions") or tuple(words)
    if captions:
        yield Pair(Slice(shard, picture.offset_data, picture.size), captions, **fields)
    else:
        left_out.add("samples without caption", key)


def _read_text(tar: tarfile.TarFile, member: tarfile.TarInfo, spoil: OnError) -> str:
    """A member's words; of one that is too large for a caption, or no text, none."""
    try:
        if member.size > MAX_TEXT:
            raise DataError(f"{member.name} has {member.size:,} bytes, too many for a caption")
        return decode_text(tar.extractfile(member).read(), member.name)
    except DataError as error:
        spoil(error)
        return ""
