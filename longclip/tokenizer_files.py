"""The files of a CLIP tokenizer in a model's folder, in the layouts of transformers 4 and 5."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from longclip.added import AddedToken
from longclip.textfiles import read_text
from longclip.vocabulary import END, START, Merge

WHOLE, PARTS = "tokenizer.json", ("vocab.json", "merges.txt")
SETTINGS, ADDED, WORDS_FILE = "tokenizer_config.json", "added_tokens.json", "words.txt"
# What a CLIP tokenizer makes lower case, splits and joins; one that reads these otherwise is no CLIP tokenizer.
_PROBES = ("A Photo of a dog, isn't it?", "12 cafés\n and  3.5 boats!!", "x" * 40)


@dataclass(frozen=True)
class StoredTokenizer:
    """What a folder holds. length: ids that a text may have, start and end included; None where nothing says so."""

    vocab: dict[str, int]
    merges: list[Merge]
    added: tuple[AddedToken, ...]
    length: int | None


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer, of whatever kind."""
    return (folder / WHOLE).is_file() or all((folder / part).is_file() for part in PARTS)


def read_tokenizer(folder: Path) -> StoredTokenizer:
    """Reads ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``, with the tokens that were added to them.

    Raises FileNotFoundError where there are neither, ValueError for a tokenizer that is not of CLIP's kind.
    """
    settings = _read(folder / SETTINGS)
    if not has_tokenizer(folder):
        raise FileNotFoundError(f"no tokenizer in {folder.name}: wanted {WHOLE}, or {' and '.join(PARTS)}")
    for role, wanted in (("bos_token", START), ("eos_token", END)):
        if _content(settings.get(role, wanted)) != wanted:
            raise ValueError(f"the tokenizer in {folder.name} has {_content(settings[role])!r} as {role}, wanted {wanted!r}")
    listed: dict[int, Mapping[str, Any]] = {}
    if (folder / WHOLE).is_file():
        stored = _read(folder / WHOLE)
        model = stored.get("model") or {}
        if model.get("end_of_word_suffix") != "</w>" or not isinstance(model.get("vocab"), dict):
            raise ValueError(f"{WHOLE} in {folder.name} is not a CLIP tokenizer (byte-pair encoding whose words end in </w>)")
        vocab, lines = dict(model["vocab"]), model["merges"]
        listed = {int(token["id"]): token for token in stored.get("added_tokens") or ()}
    else:
        vocab = _read(folder / PARTS[0])
        lines = [line for line in read_text(folder / PARTS[1]).split("\n")[1:] if line.strip()]
    listed |= {int(number): token for number, token in (settings.get("added_tokens_decoder") or {}).items()}
    for content, number in _read(folder / ADDED).items():
        listed.setdefault(int(number), {"content": content})
    vocab |= {_content(token): number for number, token in listed.items()}
    merges = [tuple(line.split()) if isinstance(line, str) else tuple(line) for line in lines]
    added = _find_added(vocab, listed, settings)
    length = settings.get("model_max_length")
    if not isinstance(length, int | float | None) or isinstance(length, bool):
        raise ValueError(f"{SETTINGS} in {folder.name} has {length!r} as model_max_length, wanted a number")
    # Without a limit, transformers writes 1e30.
    found = StoredTokenizer(vocab, merges, added, int(length) if length is not None and length < 1e6 else None)
    if (folder / WHOLE).is_file():
        _check_reading(folder, found)
    return found


def _find_added(
    vocab: Mapping[str, int], listed: Mapping[int, Mapping[str, Any]], settings: Mapping[str, Any]
) -> tuple[AddedToken, ...]:
    """The listed tokens that stand for themselves in a text: those with a part to play (start, end, pad, unknown) do not."""
    played = {_content(settings.get(f"{role}_token")) for role in ("bos", "eos", "pad", "unk")} | {START, END}
    # Stable Diffusion 2 pads with "!": that is a character too, which transformers finds wherever it is typed.
    played = {content for content in played if len(content) > 1}
    found = []
    for _, token in sorted(listed.items()):
        content = _content(token)
        if content and content not in played:
            special = bool(token.get("special"))
            normalized = bool(token.get("normalized", not special))
            found.append(AddedToken(content, vocab[content], normalized, bool(token.get("single_word"))))
    return tuple(found)


def _check_reading(folder: Path, found: StoredTokenizer) -> None:
    """Raises ValueError where the stored tokenizer reads plain text in another way than CLIP's."""
    from longclip.tokens import Tokenizer

    try:
        theirs = Backend.from_file(str(folder / WHOLE))
    except Exception as error:  # the library raises a plain Exception
        raise ValueError(f"{WHOLE} in {folder.name} is no tokenizer that can be read: {error}") from error
    ours = Tokenizer(found.vocab, found.merges, 10_000, added=found.added)
    for text in _PROBES:
        wanted = theirs.encode(text, add_special_tokens=False).ids
        if [*ours(text).ids[1:-1]] != wanted:
            raise ValueError(
                f"the tokenizer in {folder.name} makes other tokens of {text!r} than CLIP's way of reading: wanted one that "
                "makes all letters small and splits words as CLIP does"
            )


def _content(token: Any) -> str:
    """What a token stands for: settings hold its text, or an object with it."""
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path.name} in {path.parent.name} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} in {path.parent.name} holds a {type(content).__name__}, wanted a JSON object")
    return content


def save_tokenizer(
    folder: str | Path,
    vocab: Mapping[str, int],
    merges: list[Merge],
    context_length: int,
    words: Iterable[str] = (),
    added: Iterable[AddedToken] = (),
) -> None:
    """Writes a tokenizer that transformers and open_clip can load; `words` (those training saw) beside it."""
    make_tokenizer(vocab, merges, context_length, added).save_pretrained(str(folder))
    if words := sorted(set(words)):
        (Path(folder) / WORDS_FILE).write_text("\n".join(words) + "\n", encoding="utf-8")


def take_apart(tokenizer: Any) -> StoredTokenizer:
    """What a CLIPTokenizer of transformers holds."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    fields = ("content", "special", "normalized", "single_word")
    listed = {
        number: {name: getattr(token, name) for name in fields} for number, token in tokenizer.added_tokens_decoder.items()
    }
    roles = {f"{role}_token": getattr(tokenizer, f"{role}_token") for role in ("bos", "eos", "pad", "unk")}
    vocab = tokenizer.get_vocab()
    added = _find_added(vocab, listed, roles)
    return StoredTokenizer(vocab, [tuple(merge) for merge in model["merges"]], added, tokenizer.model_max_length)


def make_tokenizer(vocab: Mapping[str, int], merges: list[Merge], length: int, added: Iterable[AddedToken] = ()) -> Any:
    """The same as a CLIPTokenizer of transformers."""
    from tokenizers import AddedToken as Theirs
    from transformers import CLIPTokenizer

    made = CLIPTokenizer(vocab=dict(vocab), merges=merges, model_max_length=length)
    for token in added:
        made.add_tokens([Theirs(token.content, single_word=token.single_word, normalized=token.normalized)])
    return made
