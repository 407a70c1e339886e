"""Exact search in a million vectors: time and memory, against one plain matrix product, faiss and Milvus.

    python benchmarks/index.py [--rows 1000000] [--dim 512] [--queries 100] [--top 10] [--milvus-rows 100000] [--json]

Random unit vectors lie in files of parts, as a stored gallery keeps them. The best of them are looked for three ways, in
turns: here, block by block in the mapped files; by one matrix product with the whole array in memory and a partition for the
top; by faiss's flat index. Memory is the largest resident size of a process that does one of them, less what it had before it
saw a vector. Milvus (a local file) searches the first `--milvus-rows`. A line through searches in an eighth, a quarter, a half
and all of the rows says what 10 and 100 million would cost on this machine. Prints a table, then one JSON line (with `--json`
that line only). Needs faiss-cpu and pymilvus[milvus-lite] beside what the project needs; without one its row is left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from longclip.embeddings import map_embeddings, write_embeddings
from longclip.retrieval import top_k

PART = 1024
TARGETS = {"time over plain": 1.3, "memory over vectors": 1.2}

Search = Callable[[np.ndarray, int], np.ndarray]


def draw(rows: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors float32 [rows, dim]."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def write_parts(folder: Path, rows: int, dim: int) -> None:
    """The vectors in parts, each drawn for itself, so that they never are in memory at once."""
    for number, first in enumerate(range(0, rows, PART)):
        vectors = draw(min(PART, rows - first), dim, number + 1)
        write_embeddings(folder / f"{number:06d}.safetensors", {"image": vectors}, {})


def map_parts(folder: Path, rows: int) -> list[np.ndarray]:
    """The first `rows` vectors as blocks of the mapped files."""
    files = sorted(folder.glob("*.safetensors"))[: -(-rows // PART)]
    blocks = [map_embeddings(file)[0]["image"] for file in files]
    blocks[-1] = blocks[-1][: rows - PART * (len(blocks) - 1)]
    return blocks


def open_ours(folder: Path, rows: int) -> Search:
    """Blocks of the mapped files."""
    blocks = map_parts(folder, rows)
    return lambda queries, k: top_k(queries, blocks, k)[0]


def open_plain(folder: Path, rows: int) -> Search:
    """One product, a partition and a sort of the few."""
    vectors = join(folder, rows)

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        scores = queries @ vectors.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)

    return search


def open_faiss(folder: Path, rows: int) -> Search:
    """faiss's flat index, exact too."""
    import faiss

    blocks = map_parts(folder, rows)
    index = faiss.IndexFlatIP(blocks[0].shape[1])
    for block in blocks:
        index.add(block)
    return lambda queries, k: index.search(queries, k)[1]


def join(folder: Path, rows: int) -> np.ndarray:
    """The vectors as one array, filled block by block."""
    blocks = map_parts(folder, rows)
    vectors = np.empty((rows, blocks[0].shape[1]), np.float32)
    for number, block in enumerate(blocks):
        vectors[PART * number : PART * number + len(block)] = block
    return vectors


OPENERS = {"here": open_ours, "plain": open_plain, "faiss": open_faiss}


def peak() -> float:
    """Largest resident size of this process so far, mapped files included, in MB (2^20 bytes)."""
    # Not getrusage, which begins with what the process had that this one was started from.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def serve(name: str, folder: Path, rows: int, k: int, pipe: Connection) -> None:
    """In a process of its own: opens, then answers each batch of queries with rows, seconds and megabytes more than before."""
    if name == "faiss":
        import faiss  # noqa: F401  (what importing it takes is no part of the vectors)
    before = peak()
    search = OPENERS[name](folder, rows)
    while (queries := pipe.recv()) is not None:
        start = time.perf_counter()
        found = search(queries, k)
        seconds = time.perf_counter() - start
        pipe.send((found, seconds, peak() - before))


class Engine:
    """A process that searches in one way."""

    def __init__(self, name: str, folder: Path, rows: int, k: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(name, folder, rows, k, theirs), daemon=True)
        self._process.start()

    def ask(self, queries: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Rows, seconds and megabytes."""
        self._pipe.send(queries)
        return self._pipe.recv()

    def close(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join()


def measure(names: list[str], folder: Path, rows: int, queries: np.ndarray, k: int, repeats: int) -> dict[str, dict]:
    """Seconds (median), megabytes, and the share of queries with the same rows as the plain way, by engine, in turns."""
    engines = {name: Engine(name, folder, rows, k) for name in names}
    found: dict[str, list[tuple[np.ndarray, float, float]]] = {name: [] for name in names}
    for number in range(repeats + 1):
        for name in names if number % 2 else reversed(names):
            found[name].append(engines[name].ask(queries))
    for engine in engines.values():
        engine.close()
    reference = found[names[-1] if "plain" not in found else "plain"][-1][0]
    return {
        name: {
            # The first reads the files and warms up.
            "seconds": statistics.median(seconds for _, seconds, _ in answers[1:]),
            "megabytes": max(megabytes for _, _, megabytes in answers),
            "same rows": float((np.sort(answers[-1][0]) == np.sort(reference)).all(axis=1).mean()),
        }
        for name, answers in found.items()
    }


def measure_milvus(folder: Path, rows: int, queries: np.ndarray, k: int) -> dict[str, float]:
    """Seconds of sending the first `rows` to a local file and of searching, and the share of queries with the same rows."""
    from longclip.index.milvus import Milvus

    vectors = join(folder, rows)
    parts = [(f"{first:06d}", vectors[first : first + PART]) for first in range(0, rows, PART)]
    with tempfile.TemporaryDirectory() as place:
        milvus = Milvus(Path(place) / "vectors.db")
        start = time.perf_counter()
        milvus.fill("benchmark", parts)
        sending = time.perf_counter() - start
        start = time.perf_counter()
        hits = milvus.nearest("benchmark", queries, k)
        seconds = time.perf_counter() - start
        milvus.close()
    found = np.array([[int(part) + number for part, number, _ in row] for row in hits])
    same = np.sort(found) == np.sort(top_k(queries, vectors, k)[0])
    return {"rows": rows, "sending": sending, "seconds": seconds, "same rows": float(same.all(axis=1).mean())}


def extrapolate(folder: Path, rows: int, queries: np.ndarray, k: int, repeats: int) -> dict[str, float]:
    """Seconds and gigabytes at 10 and 100 million rows, by a line through searches in an eighth of them to all."""
    counts = [rows // 8, rows // 4, rows // 2, rows]
    seconds = [measure(["here"], folder, count, queries, k, repeats)["here"]["seconds"] for count in counts]
    slope, start = np.polyfit(counts, seconds, 1)
    figures = {"seconds a million rows": 1e6 * slope, "seconds at none": start}
    for million in (10, 100):
        figures[f"seconds at {million} million"] = start + 1e6 * million * slope
        figures[f"gigabytes at {million} million"] = million * 1e6 * queries.shape[1] * 4 / 1e9
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--milvus-rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5, help="timed searches of each kind, after one that is not")
    parser.add_argument("--work", type=Path, help="folder for the vectors (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as place:
        folder, queries = Path(place), draw(args.queries, args.dim, 0)
        write_parts(folder, args.rows, args.dim)
        names = [name for name in OPENERS if name != "faiss" or find_spec("faiss")]
        engines = measure(names, folder, args.rows, queries, args.top, args.repeats)
        size = args.rows * args.dim * 4 / 2**20
        for row in engines.values():
            row["time over plain"] = row["seconds"] / engines["plain"]["seconds"]
            row["memory over vectors"] = row["megabytes"] / size
        report: dict = {"rows": args.rows, "dim": args.dim, "queries": args.queries, "top": args.top, "engines": engines}
        report["larger"] = extrapolate(folder, args.rows, queries, args.top, args.repeats)
        if find_spec("pymilvus") and find_spec("milvus_lite"):
            report["milvus"] = measure_milvus(folder, min(args.rows, args.milvus_rows), queries, args.top)
    if not args.json:
        print(f"{args.rows:,} x {args.dim}, {args.queries} queries, top {args.top}; targets: {TARGETS}")
        print(f"{'':8} {'seconds':>9} {'over plain':>11} {'MB':>8} {'over vectors':>13} {'same rows':>10}")
        for name, row in engines.items():
            print(
                f"{name:8} {row['seconds']:9.3f} {row['time over plain']:11.2f} {row['megabytes']:8.0f}"
                f" {row['memory over vectors']:13.2f} {row['same rows']:10.0%}"
            )
        print(*(f"{name}: {value:.3g}" for name, value in report["larger"].items()), sep="\n")
        if "milvus" in report:
            print("milvus-lite:", ", ".join(f"{name} {value:.3g}" for name, value in report["milvus"].items()))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
