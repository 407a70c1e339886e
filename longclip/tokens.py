"""Text to token ids and back to the characters the user typed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import regex
import torch
from tokenizers import Regex
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from longclip.added import AddedToken, AddedTokens
from longclip.cleaning import WORD_PATTERN, clean, clean_with_origins
from longclip.textfiles import read_text
from longclip.tokenizer_files import WORDS_FILE, has_tokenizer, read_tokenizer, save_tokenizer
from longclip.vocabulary import CLIP_VOCABULARY, END, START, Merge, full_vocabulary

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
        added: Iterable[AddedToken] = (),
    ) -> None:
        """added: tokens of the vocabulary that stand for themselves wherever they are typed, such as a new word's."""
        _check_length(context_length)
        missing = [token for token in (START, END) if token not in vocab]
        if missing:
            raise ValueError(f"the vocabulary has no {' and no '.join(missing)}")
        self.context_length = context_length
        self.vocab, self.merges = vocab, list(merges)
        self.start_id, self.end_id = vocab[START], vocab[END]
        self.words = frozenset(words)
        self.added = AddedTokens(tuple(added))
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
        stored = read_tokenizer(folder)
        context_length = stored.length if context_length is None else context_length
        if context_length is None:
            raise ValueError(f"the tokenizer in {folder.name} has no model_max_length: say how many tokens a text may have")
        words = folder / WORDS_FILE
        known = read_text(words).split() if words.is_file() else ()
        return cls(stored.vocab, stored.merges, context_length, known, stored.added)

    @classmethod
    def of_model(cls, path: str | Path, vocab_size: int, context_length: int) -> Tokenizer:
        """The tokenizer of a model's folder, or the one that lies beside its file; CLIP's own for 49,408 ids without one.

        A table of tokens may be filled up to a multiple of 8. Raises FileNotFoundError where there is no tokenizer, ValueError
        where it is of another size, or reads in another way than CLIP's.
        """
        path = Path(path)
        folder = path if path.is_dir() else path.parent
        # A file of weights may lie beside anything: there, CLIP's own ids are CLIP's own.
        if vocab_size == CLIP_VOCABULARY and not (path.is_dir() and has_tokenizer(folder)):
            return cls.full(context_length)
        try:
            tokenizer = cls.from_folder(folder, context_length)
        except FileNotFoundError as error:
            why = f"{path.name} has {vocab_size:,} tokens where CLIP has {CLIP_VOCABULARY:,}, and no tokenizer lies beside it"
            raise FileNotFoundError(f"{why}: {error}") from None
        count = max(tokenizer.vocab.values()) + 1
        if count != vocab_size and not (count < vocab_size < count + 256 and vocab_size % 8 == 0):
            raise ValueError(f"the tokenizer of {path.name} has {count:,} tokens, the model {vocab_size:,}")
        return tokenizer

    def with_length(self, context_length: int) -> Tokenizer:
        """The same vocabulary for another context length; what it was built from is shared."""
        _check_length(context_length)
        other = copy.copy(self)
        other.context_length = context_length
        return other

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files into a folder, for `from_folder`, ``transformers`` and open_clip."""
        save_tokenizer(folder, self.vocab, self.merges, self.context_length, self.words, self.added.tokens)

    def describe(self) -> str:
        """All that decides which ids a text gets, as JSON: it is part of what names an embedder (`longclip.identity`)."""
        added = [sorted(asdict(token).items()) for token in self.added.tokens]
        return json.dumps([sorted(self.vocab.items()), self.merges, self.context_length, *([added] if added else [])])

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
                fast = not self.added
                total += len(self._backend.encode_batch_fast([clean(piece)])[0] if fast else self._encode(piece)[0])
                continue
            found, places = self._encode(piece)
            fitting = room - len(ids)
            total += len(found)
            ids += found[:fitting]
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

    def _encode(self, piece: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a piece of a text, start and end not among them, and the characters that each stands for."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for start, end, known in self.added.split_typed(piece):
            if known is not None:
                ids += known
                spans += [(start, end)] * len(known)
                continue
            cleaned = clean_with_origins(piece[start:end])
            for left, right, known in self.added.split_cleaned(cleaned.text):
                if known is None:
                    encoding = self._backend.encode(cleaned.text[left:right])
                    known, places = encoding.ids, encoding.offsets
                else:
                    places = [(0, right - left)] * len(known)
                ids += known
                origins = (cleaned.span(left + first, left + last) for first, last in places)
                spans += [(start + first, start + last) for first, last in origins]
        return ids, spans

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, each as long as it is (start and end included, cut to the context length)."""
        if self.added:
            return [list(self(text).ids) for text in texts]
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
