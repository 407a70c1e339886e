"""The rows of a part to the arrays of its file: what content is new is encoded, and what cannot be read is told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.pairs import DataError
from ..gallery import IMAGE, TEXT
from ..images import ImageError
from .leftovers import KEY_BYTES, Leftovers
from .rows import Row

if TYPE_CHECKING:
    from ..encoder import Encoder

# Pictures whose files are held at once, and their bytes.
CHUNK, CHUNK_BYTES = 256, 256_000_000


@dataclass
class PartEmbedder:
    """An encoder, and what is left over of former embeddings by it. `encoded` and `reused` count by `IMAGE` and `TEXT`."""

    encoder: Encoder
    leftovers: Leftovers
    encoded: Counter[str]
    reused: Counter[str]

    def embed(self, rows: list[Row], note: Callable[[int], None]) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Arrays by name, and by row a sentence on each picture that cannot be read.

        `IMAGE` is float32 [n, dim] of unit rows, NaN for what cannot be read; `TEXT`, if there are captions, the same of
        them, NaN where there is none. The keys of both, uint8 [n, 16], are hashes of what they were made of. `note` hears
        how many pictures are done.
        """
        broken: dict[int, str] = {}
        captions = {number: row.caption for number, row in enumerate(rows) if row.caption}
        # Captions are work too: of a part with both, its pictures are half.
        share = len(rows) / (len(rows) + len(captions))
        images, image_keys = self._embed_pictures(rows, broken, lambda done: note(int(share * done)))
        arrays = {IMAGE: images, f"{IMAGE}_keys": image_keys}
        if captions:
            keys = {number: _key(text.encode("utf-8", "surrogatepass")) for number, text in captions.items()}

            def encode(numbers: list[int]) -> np.ndarray:
                def tell(done: int, total: int) -> None:
                    note(int(len(rows) * (share + (1 - share) * done / total)))

                return self.encoder.encode_text([captions[number] for number in numbers], progress=tell)

            arrays[TEXT], arrays[f"{TEXT}_keys"] = self._fill(TEXT, len(rows), keys, encode)
        return arrays, broken

    def _embed_pictures(
        self, rows: list[Row], broken: dict[int, str], note: Callable[[int], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and content keys of the rows' pictures; NaN for those that are `broken`, which is filled."""
        parts = []
        first = 0
        while first < len(rows):
            contents, end = self._read(rows, first, broken)

            def encode(numbers: list[int], first: int = first, contents: dict[int, bytes] = contents) -> np.ndarray:
                def refuse(number: int, error: ImageError) -> None:
                    row = first + numbers[number]
                    broken[row] = str(error).replace("the picture", rows[row].id, 1)

                def tell(done: int, total: int) -> None:
                    note(first + len(contents) - total + done)

                return self.encoder.encode_image([contents[number] for number in numbers], progress=tell, refuse=refuse)

            keys = {number: _key(content) for number, content in contents.items()}
            parts.append(self._fill(IMAGE, end - first, keys, encode))
            # Copies of a broken picture are not tried again, but they are broken too.
            for number in np.flatnonzero(np.isnan(parts[-1][0][:, 0])).tolist():
                broken.setdefault(first + number, f"{rows[first + number].id} is a copy of a picture that is refused")
            first = end
            note(first)
        vectors, keys = zip(*parts, strict=True)
        return np.concatenate(vectors), np.concatenate(keys)

    def _read(self, rows: list[Row], first: int, broken: dict[int, str]) -> tuple[dict[int, bytes], int]:
        """The files of as many rows from `first` on as are held at once, by number from there; and where the next begin."""
        contents: dict[int, bytes] = {}
        size, end = 0, first
        while end < len(rows) and end - first < CHUNK and size < CHUNK_BYTES:
            try:
                contents[end - first] = rows[end].read()
                size += len(contents[end - first])
            except (ImageError, DataError, OSError) as error:
                broken[end] = f"{rows[end].id}: {error}"
            end += 1
        return contents, end

    def _fill(
        self, kind: str, count: int, keys: dict[int, bytes], encode: Callable[[list[int]], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors [count, dim] and keys [count, 16] of the rows that have a key: left over ones, the others by `encode`.

        What has the same key is encoded once. Rows without a key are NaN.
        """
        vectors = np.full((count, self.encoder.dim), np.nan, dtype=np.float32)
        new: dict[bytes, list[int]] = {}
        for number, found in zip(keys, self.leftovers.find(kind, list(keys.values())), strict=True):
            if found is None:
                new.setdefault(keys[number], []).append(number)
            else:
                vectors[number] = found
                self.reused[kind] += 1
        if new:
            made = encode([numbers[0] for numbers in new.values()])
            for numbers, vector in zip(new.values(), made, strict=True):
                vectors[numbers] = vector
                if not np.isnan(vector[0]):
                    self.encoded[kind] += 1
                    self.reused[kind] += len(numbers) - 1
        table = np.zeros((count, KEY_BYTES), dtype=np.uint8)
        for number, key in keys.items():
            table[number] = np.frombuffer(key, dtype=np.uint8)
        return vectors, table


def _key(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()
