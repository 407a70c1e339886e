"""A stored gallery's embeddings in Milvus, for what no longer fits one machine: a local file, a server or a cluster alike.

The gallery's folder stays what knows pictures and captions; Milvus holds vectors and says which rows are nearest. A local
file is served by `milvus-lite`, which is written in Python and meant for development: beyond a million vectors use a server.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gallery import IMAGE
from .stored import StoredGallery, Vectors

if TYPE_CHECKING:
    from ..encoder import Encoder

# Vectors in a message, seconds to wait for a server, and answers to a query that Milvus gives at most.
BATCH, TIMEOUT, MOST = 1000, 10.0, 16_384


class MilvusError(ValueError):
    """A Milvus that does not answer, or refuses; the message is one sentence for the user."""


class Milvus:
    """A Milvus by its address: a file that ends in .db, or ``http://host:19530``.

    A user's token is taken from the environment's ``MILVUS_TOKEN``. Raises MilvusError where nothing answers.
    """

    def __init__(self, address: str | Path, timeout: float = TIMEOUT) -> None:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise MilvusError(
                f"Milvus needs a package that is not here ({error}): pip install 'pymilvus[milvus-lite]'"
            ) from None
        self.address = os.fspath(address)
        if "://" not in self.address and not self.address.endswith(".db"):
            raise MilvusError(f"{self.address!r} is no address of Milvus: wanted a file that ends in .db, or http://host:19530")
        if "://" not in self.address:
            Path(self.address).absolute().parent.mkdir(parents=True, exist_ok=True)
        with self._spoken():
            self._client: Any = MilvusClient(self.address, token=os.environ.get("MILVUS_TOKEN", ""), timeout=timeout)
            self._client.list_collections(timeout=timeout)

    def close(self) -> None:
        """Lets go of the connection, and of a local file."""
        self._client.close()

    def send(
        self,
        gallery: StoredGallery,
        encoder: Encoder,
        kind: str = IMAGE,
        index_type: str = "FLAT",
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Brings the collection of a gallery's embeddings up to date; returns how many vectors were sent.

        Parts that are there are not sent again, and those the gallery no longer has are removed. index_type: what a new
        collection searches by; "FLAT" is exact, others ("HNSW", "IVF_FLAT", "DISKANN") are faster and on servers only.
        """
        parts = list(_parts(gallery, gallery.vectors(encoder, kind)))
        return self.fill(collection_name(gallery, encoder, kind), parts, index_type, progress)

    def search(
        self, gallery: StoredGallery, encoder: Encoder, queries: np.ndarray, k: int = 10, kind: str = IMAGE
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Vectors.search`: rows int64 and cosines float32 [q, k], row -1 where there are fewer. Raises MilvusError."""
        name = collection_name(gallery, encoder, kind)
        starts = dict(zip((part.name for part in gallery.plan.parts), gallery.starts, strict=False))
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for query, hits in enumerate(self.nearest(name, queries, k)):
            known = [(starts[part] + number, score) for part, number, score in hits if part in starts]
            if known:
                rows[query, : len(known)], scores[query, : len(known)] = zip(*known, strict=True)
        return rows, scores

    def fill(
        self,
        name: str,
        parts: Sequence[tuple[str, np.ndarray]],
        index_type: str = "FLAT",
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Makes a collection hold these parts, each a name and unit vectors [n, dim], and no others.

        Returns how many vectors were sent. Rows of NaN are left out. A part that has as many vectors there as it should is
        taken to be there.
        """
        sent = 0
        with self._spoken():
            if not self._client.has_collection(name):
                self._create(name, parts[0][1].shape[1], index_type)
            self._client.load_collection(name)
            self._remove_others(name, [part for part, _ in parts])
            for done, (part, block) in enumerate(parts, start=1):
                rows = np.flatnonzero(~np.isnan(block[:, 0]))
                if self._count(name, part) != len(rows):
                    for first in range(0, len(rows), BATCH):
                        chosen = rows[first : first + BATCH].tolist()
                        self._client.upsert(name, [_entity(part, row, block[row]) for row in chosen])
                    sent += len(rows)
                if progress:
                    progress(done, len(parts))
            self._client.flush(name)
        return sent

    def nearest(self, name: str, queries: np.ndarray, k: int) -> list[list[tuple[str, int, float]]]:
        """For each query the part, the row within it and the cosine of its `k` nearest in a collection, the best first."""
        with self._spoken():
            if not self._client.has_collection(name):
                raise MilvusError(f"{self.address} does not hold {name}: index the gallery again with --milvus {self.address}")
            self._client.load_collection(name)
            fields = ["part", "number"]
            answers = self._client.search(
                name, data=list(queries), limit=min(k, MOST), anns_field="vector", output_fields=fields
            )
            return [[(*(hit["entity"][field] for field in fields), hit["distance"]) for hit in hits] for hits in answers]

    def _create(self, name: str, dim: int, index_type: str) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("part", DataType.VARCHAR, max_length=32)
        schema.add_field("number", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=index_type, metric_type="IP")
        self._client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")

    def _count(self, name: str, part: str) -> int:
        return int(self._client.query(name, filter=f'part == "{part}"', output_fields=["count(*)"])[0]["count(*)"])

    def _remove_others(self, name: str, wanted: list[str]) -> None:
        """Removes the parts that are not wanted; what their names are, their vectors say."""
        while stray := self._client.query(name, filter=f"part not in {json.dumps(wanted)}", output_fields=["part"], limit=1):
            self._client.delete(name, filter=f'part == "{stray[0]["part"]}"')

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Turns what pymilvus raises into a sentence."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, OSError) as error:
            reason = " ".join(str(getattr(error, "message", "") or error).split())[:200]
            raise MilvusError(f"Milvus at {self.address} does not answer, or refuses ({reason})") from None


def collection_name(gallery: StoredGallery, encoder: Encoder, kind: str) -> str:
    """Of letters, digits and underscores, as Milvus wants it: the folder's name, and a hash of that, of what the gallery was
    made from, of the encoder's identity, and of the kind."""
    named = gallery.folder.resolve().name
    made_of = json.dumps([named, gallery.plan.source, gallery.plan.pictures, encoder.identity, kind])
    digest = hashlib.blake2b(made_of.encode(), digest_size=6)
    return f"g_{re.sub(r'[^0-9a-zA-Z]+', '_', named)[:40]}_{kind}_{digest.hexdigest()}"


def _parts(gallery: StoredGallery, vectors: Vectors) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each part that is embedded, and its vectors."""
    blocks = dict(zip(vectors.starts.tolist(), vectors.blocks, strict=True))
    start = 0
    for part in gallery.plan.parts:
        if start in blocks:
            yield part.name, blocks[start]
        start += part.rows


def _entity(part: str, row: int, vector: np.ndarray) -> dict[str, Any]:
    return {"key": f"{part}:{row}", "part": part, "number": row, "vector": vector}
