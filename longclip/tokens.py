"""Text to token ids and back to the characters the user typed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import regex
import torch
from tokenizers import Regex
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from longclip.cleaning import WORD_PATTERN, clean, clean_with_origins
from longclip.textfiles import read_text
from longclip.vocabulary import CLIP_VOCABULARY, END, START, WORDS_FILE, Merge, full_vocabulary, save_tokenizer

# A long text is read in pieces of about this many characters, so that a batch never reads past what fits.
_PIECE = 20_000
_SPACE = regex.compile(r"[ \t\r\n]")
_LETTERS = regex.compile(r"\p{L}+")


@dataclass(frozen=True)
class Tokens:
    """One text as a model sees it.

    `ids` begin with the start token and finish with the end token. `spans` has one (start, end) per id, counted in the
    characters of `text` as typed; start and end tokens have empty spans. Where one character became several tokens (an
    emoji is up to four), each has that character's span. `unseen_start` is where the first token that does not fit
    begins, `total` the number of ids the whole text would have, start and end included.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    text: str
    unseen_start: int
    total: int

    @property
    def unseen(self) -> str:
        """The tail of the text that no longer fits; empty when all of it does."""
        return self.text[self.unseen_start :]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Word:
    """A run of letters at ``text[start:end]``, and whether training has seen it."""

    text: str
    start: int
    end: int
    known: bool


class Tokenizer:
    """CLIP's tokenizer over a full or reduced vocabulary, for a context length.

    The ids are those of open_clip's ``SimpleTokenizer`` for the same vocabulary, with one difference on purpose: text
    that spells a special token is split like any other text.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        merges: Iterable[Merge],
        context_length: int,
        words: Iterable[str] = (),
    ) -> None:
        _check_length(context_length)
        missing = [token for token in (START, END) if token not in vocab]
        if missing:
            raise ValueError(f"the vocabulary has no {' and no '.join(missing)}")
        self.context_length = context_length
        self.vocab, self.merges = vocab, list(merges)
        self.start_id, self.end_id = vocab[START], vocab[END]
        self.words = frozenset(words)
        self._backend = Backend(BPE(vocab=vocab, merges=self.merges, end_of_word_suffix="</w>"))
        split = Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
        self._backend.pre_tokenizer = Steps([split, ByteLevel(add_prefix_space=False, use_regex=False)])

    @classmethod
    def full(cls, context_length: int) -> Tokenizer:
        """CLIP's own 49,408 tokens."""
        return cls(*full_vocabulary(), context_length)

    @classmethod
    def from_folder(cls, folder: str | Path, context_length: int | None = None) -> Tokenizer:
        """Reads ``tokenizer.json`` (or ``vocab.json`` and ``merges.txt``), and ``words.txt`` where there is one.

        `context_length` defaults to ``model_max_length`` of ``tokenizer_config.json``. Raises FileNotFoundError where
        the folder holds no tokenizer, ValueError where it is none of CLIP's kind.
        """
        folder = Path(folder)
        vocab, merges = _read_vocabulary(folder)
        if context_length is None:
            settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            context_length = int(settings["model_max_length"])
        words = folder / WORDS_FILE
        return cls(vocab, merges, context_length, read_text(words).split() if words.is_file() else ())

    @classmethod
    def of_model(cls, path: str | Path, vocab_size: int, context_length: int) -> Tokenizer:
        """The tokenizer of a model's file or folder: CLIP's own for its 49,408 ids, else the one that lies beside it.

        Raises FileNotFoundError where there is none, ValueError where it is of another size.
        """
        path = Path(path)
        if vocab_size == CLIP_VOCABULARY:
            return cls.full(context_length)
        try:
            tokenizer = cls.from_folder(path if path.is_dir() else path.parent, context_length)
        except FileNotFoundError as error:
            why = f"{path.name} has {vocab_size:,} tokens where CLIP has {CLIP_VOCABULARY:,}, and no tokenizer lies beside it"
            raise FileNotFoundError(f"{why}: {error}") from None
        if len(tokenizer.vocab) != vocab_size:
            raise ValueError(f"the tokenizer of {path.name} has {len(tokenizer.vocab)} tokens, the model {vocab_size}")
        return tokenizer

    def with_length(self, context_length: int) -> Tokenizer:
        """The same vocabulary for another context length; what it was built from is shared."""
        _check_length(context_length)
        other = copy.copy(self)
        other.context_length = context_length
        return other

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files into a folder, for `from_folder`, ``transformers`` and open_clip."""
        save_tokenizer(folder, self.vocab, self.merges, self.context_length, self.words)

    def describe(self) -> str:
        """All that decides which ids a text gets, as JSON: it is part of what names an embedder (`longclip.identity`)."""
        return json.dumps([sorted(self.vocab.items()), self.merges, self.context_length])

    @cached_property
    def tokens(self) -> dict[int, str]:
        """The token of each id; ``</w>`` marks the end of a word."""
        return {index: token for token, index in self.vocab.items()}

    def __call__(self, text: str) -> Tokens:
        """Ids, spans, and what does not fit. Reads the whole text, to count it: about 0.1 s for a million characters."""
        room = self.context_length - 2
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        unseen_start, total = len(text), 2
        for offset, piece in _pieces(text):
            if len(ids) == room and total > room + 2:
                total += len(self._backend.encode_batch_fast([clean(piece)])[0])
                continue
            cleaned = clean_with_origins(piece)
            encoding = self._backend.encode(cleaned.text)
            fitting = room - len(ids)
            total += len(encoding.ids)
            ids += encoding.ids[:fitting]
            places = [cleaned.span(start, end) for start, end in encoding.offsets[: fitting + 1]]
            spans += [(offset + start, offset + end) for start, end in places[:fitting]]
            if len(places) > fitting:
                unseen_start = offset + places[fitting][0]
        return Tokens(
            ids=(self.start_id, *ids, self.end_id),
            spans=((0, 0), *spans, (unseen_start, unseen_start)),
            text=text,
            unseen_start=unseen_start,
            total=total,
        )

    def batch(self, texts: Sequence[str]) -> torch.Tensor:
        """Ids of many texts, int64 [n, longest], padded with 0; no wider than the context length.

        A text that is too long keeps its end token at the last place, as in open_clip.
        """
        return pad(self.ids(texts))

    def filled(self, texts: Sequence[str], least: int | None = None) -> torch.Tensor:
        """Ids of many texts, int64 [n, context_length], filled up with the end token, as Stable Diffusion 1.x reads them.

        With `least`, they are only as wide as the longest text, and at least that wide.
        """
        rows = self.ids(texts)
        width = self.context_length if least is None else max(least, *map(len, rows))
        return torch.tensor([row + [self.end_id] * (width - len(row)) for row in rows])

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, each as long as it is (start and end included, cut to the context length)."""
        room = self.context_length - 2
        firsts = [next(_pieces(text), (0, ""))[1] for text in texts]
        encodings = self._backend.encode_batch_fast([clean(first) for first in firsts])
        rows = [encoding.ids for encoding in encodings]
        for i, (text, first) in enumerate(zip(texts, firsts, strict=True)):
            if len(first) < len(text) and len(rows[i]) < room:
                rows[i] = self(text).ids[1:-1]
        return [[self.start_id, *row[:room], self.end_id] for row in rows]

    def known(self, text: str) -> tuple[Word, ...]:
        """The words of a text, each marked as seen in training or not (all are, where no word list is known)."""
        cleaned = clean_with_origins(text)
        found = []
        for match in _LETTERS.finditer(cleaned.text):
            start, end = cleaned.span(*match.span())
            found.append(Word(text[start:end], start, end, not self.words or match.group() in self.words))
        return tuple(found)


def pad(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Ids of many texts as int64 [n, longest], filled up with 0."""
    padded = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.long)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return padded


def _check_length(context_length: int) -> None:
    if context_length < 2:
        raise ValueError(f"context_length is {context_length}; start and end tokens alone need 2")


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) of a text, cut where a whitespace begins: words and tokens stay whole."""
    start = 0
    while start < len(text):
        cut = _SPACE.search(text, start + _PIECE)
        end = cut.start() if cut else len(text)
        yield start, text[start:end]
        start = end


def _read_vocabulary(folder: Path) -> tuple[dict[str, int], list[Merge]]:
    whole, parts = folder / "tokenizer.json", (folder / "vocab.json", folder / "merges.txt")
    if whole.is_file():
        stored = json.loads(whole.read_text(encoding="utf-8"))
        model = stored.get("model", {})
        if model.get("end_of_word_suffix") != "</w>":
            raise ValueError(f"{whole} is not a CLIP tokenizer (byte-pair encoding whose words end in </w>)")
        vocab, lines = model["vocab"], model["merges"]
        vocab |= {added["content"]: added["id"] for added in stored.get("added_tokens", ())}
    elif all(part.is_file() for part in parts):
        vocab = json.loads(parts[0].read_text(encoding="utf-8"))
        lines = [line for line in parts[1].read_text(encoding="utf-8").split("\n")[1:] if line.strip()]
    else:
        raise FileNotFoundError(f"no tokenizer in {folder.name}: wanted tokenizer.json, or vocab.json and merges.txt")
    return vocab, [tuple(line.split()) if isinstance(line, str) else tuple(line) for line in lines]
