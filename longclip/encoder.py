"""One CLIP or Long-CLIP: texts and pictures to unit vectors, and below that, ids and pixels to features."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import RLock
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from longclip import checkpoints, hub
from longclip.cache import EmbeddingCache, content_key
from longclip.checkpoints.configurations import Named
from longclip.contents import picture_key
from longclip.devices import choose_device
from longclip.identity import identify, stamp
from longclip.images import ImageError, Picture, open_image
from longclip.model import LongCLIP
from longclip.preprocessing import Preprocessing, ProcessorPreprocessing, preprocessing_of
from longclip.registry import ModelSpec
from longclip.tokens import Tokenizer, Tokens, pad

Progress = Callable[[int, int], None]
"""Called with the number of embeddings that are done and the number there are."""

Refuse = Callable[[int, ImageError], None]
"""Called with the number of a picture that cannot be read, and why."""

log = logging.getLogger(__name__)

_DECODERS = min(4, os.cpu_count() or 1)


class Encoder:
    """A model with its tokenizer and its picture preprocessing. Calls from several threads take turns.

    One that is not `fixed`, such as a model in training, has no identity; its embeddings are never cached or stored.
    """

    def __init__(
        self,
        spec: ModelSpec,
        model: LongCLIP,
        tokenizer: Tokenizer,
        preprocessing: Preprocessing | ProcessorPreprocessing,
        fixed: bool = False,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.spec = spec
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.fixed = fixed
        self.cache = EmbeddingCache() if cache is None else cache
        self._lock = RLock()
        self._known_identity: tuple[object, str] = (None, "")

    @property
    def identity(self) -> str:
        """What names this embedder: 32 hexadecimal digits, a hash of weights, configuration, tokenizer, preprocessing and
        precision (`longclip.identity`); empty while the weights may still change.

        Hashed once, and again if a part was replaced, moved, cast or written to.
        """
        if not self.fixed:
            return ""
        now = (stamp(self.model), self.tokenizer, self.preprocessing)
        known, identity = self._known_identity
        if known != now:
            described = self.tokenizer.describe(), self.preprocessing.describe()
            identity = identify(self.model, self.model.config, *described)
            self._known_identity = now, identity
        return identity

    @property
    def context_length(self) -> int:
        """Tokens the model reads at most, start and end included."""
        return self.tokenizer.context_length

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.model.config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before a softmax: 1 / temperature."""
        return float(self.model.logit_scale.detach().exp())

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.logit_scale.device

    def tokenize(self, text: str) -> Tokens:
        """Ids, character spans, and the text that no longer fits."""
        return self.tokenizer(text)

    def encode_text(
        self, texts: str | Iterable[str], batch_size: int | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """Texts to float32 [n, dim], rows of unit length, in the order given; one text, not in a list, to [dim].

        Raises ValueError for what is no text, and for a model whose features are not finite.
        """
        texts, one = _listed(texts, str, "a text or a list of texts")
        batch_size = _checked_size(batch_size) or (32 if self.device.type == "cpu" else 256)
        identity = self.identity
        rows, keys = _Rows(len(texts), self.dim, self.cache if identity else None, progress), {}
        for number, text in enumerate(texts):
            keys.setdefault(content_key("text", identity, text.encode("utf-8", "surrogatepass")), []).append(number)
        missing = []
        for key, numbers in keys.items():
            row = rows.known(key)
            if row is None:
                missing.append((key, numbers))
            else:
                rows.fill(key, numbers, row)
        if texts and not missing:
            rows.tell()
        # Texts of similar length at a time: a batch costs as much as its longest text.
        ids = self.tokenizer.ids([texts[numbers[0]] for _, numbers in missing])
        order = sorted(range(len(missing)), key=lambda number: len(ids[number]))
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            with torch.inference_mode():
                features = self._checked(self.text_features(pad([ids[number] for number in batch])))
            for number, row in zip(batch, features, strict=True):
                rows.put(*missing[number], row)
            rows.tell()
        return rows.values[0] if one else rows.values

    def encode_image(
        self,
        pictures: Picture | Iterable[Picture],
        batch_size: int | None = None,
        progress: Progress | None = None,
        refuse: Refuse | None = None,
    ) -> np.ndarray:
        """Pictures (paths, bytes of files, PIL images) to float32 [n, dim], rows of unit length, in the order given; one
        picture, not in a list, to [dim].

        Raises ImageError for a picture that is refused (see `longclip.images.open_image`); with `refuse`, that hears of it
        instead, and the picture's row is of NaN. Raises ValueError for a model whose features are not finite.
        """
        kinds = (str, bytes, os.PathLike, Image.Image)
        pictures, one = _listed(pictures, kinds, "a picture or a list of them, each a path, the bytes of a file or a PIL image")
        batch_size = _checked_size(batch_size) or self._pictures_a_batch()
        identity = self.identity
        rows = _Rows(len(pictures), self.dim, self.cache if identity else None, progress)
        with ThreadPoolExecutor(_DECODERS) as pool:
            batches = [range(len(pictures))[first : first + batch_size] for first in range(0, len(pictures), batch_size)]
            coming: list[Future[_Seen]] = []
            try:
                # The next batch is read and decoded while the model works on this one.
                for batch, following in pairwise([[], *batches, []]):
                    present, coming = coming, [pool.submit(self._see, pictures[n], identity, rows) for n in following]
                    self._embed_batch(dict(zip(batch, present, strict=True)), rows, refuse)
            finally:
                pool.shutdown(cancel_futures=True)
        return rows.values[0] if one else rows.values

    def _see(self, picture: Picture, identity: str, rows: _Rows) -> _Seen:
        name, image = picture_key(picture)
        key = content_key("image", identity, name)
        row = rows.known(key)
        return _Seen(key, row, None if row is not None else self.preprocessing(image or open_image(picture)))

    def _embed_batch(self, coming: dict[int, Future[_Seen]], rows: _Rows, refuse: Refuse | None) -> None:
        new: dict[bytes, Tensor] = {}
        places: dict[bytes, list[int]] = {}
        for number, future in coming.items():
            try:
                seen = future.result()
            except ImageError as error:
                if refuse is None:
                    raise
                refuse(number, error)
                rows.done += 1
                continue
            row = seen.row if seen.row is not None else rows.known(seen.key)
            if row is not None:
                rows.fill(seen.key, [number], row)
                continue
            new[seen.key] = seen.pixels
            places.setdefault(seen.key, []).append(number)
        if new:
            with torch.inference_mode():
                features = self._checked(self.image_features(torch.stack(list(new.values()))))
            for key, row in zip(new, features, strict=True):
                rows.put(key, places[key], row)
        if coming:
            rows.tell()

    def _pictures_a_batch(self) -> int:
        """As many as use the device well; on a CPU no more than that, so that progress is told every second or so."""
        if self.device.type != "cpu":
            return 64
        height, width = self.preprocessing.size
        patch = getattr(self.model.visual, "patch_size", (16, 16))
        return max(1, min(32, 1600 * patch[0] * patch[1] // (height * width)))

    def _checked(self, features: Tensor) -> np.ndarray:
        """Features as float32 [n, dim]. Raises ValueError where they are not of unit length: then they are of no use."""
        found = features.float().cpu().numpy()
        if not np.all(np.abs(np.linalg.norm(found, axis=1) - 1) < 0.01):
            raise ValueError(
                f"the model {self.spec.name} gives features that are not finite numbers of unit length, as damaged weights do: "
                "fetch or train it again"
            )
        return found

    def text_features(self, ids: Tensor, normalize: bool = True) -> Tensor:
        """Token ids [n, L] to features [n, dim], differentiable; L may be less than the context length."""
        with self._lock:
            return self.model.encode_text(ids.to(self.device), normalize=normalize)

    def image_features(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        """Pixels [n, 3, height, width] as `preprocessing` makes them to features [n, dim], differentiable."""
        with self._lock:
            return self.model.encode_image(pixels.to(self.device), normalize=normalize)

    def text_intermediates(self, ids: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """`text_features` [n, dim] and `text_intermediates`, the states after each block, [n, L, width]; differentiable."""
        with self._lock:
            return self.model.forward_intermediates(text=ids.to(self.device))

    def image_intermediates(self, pixels: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """`image_features` [n, dim] and `image_intermediates`, the patches after each block, [n, width, rows, columns]."""
        with self._lock:
            return self.model.forward_intermediates(image=pixels.to(self.device))

    @contextmanager
    def turn(self) -> Iterator[LongCLIP]:
        """The model, for what is none of the calls above, while the calls of other threads wait; this thread may call them."""
        with self._lock:
            yield self.model

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and copying: all but the lock, and the cache's contents."""
        state = self.__dict__ | {"cache": self.cache.max_bytes, "_known_identity": (None, "")}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"cache": EmbeddingCache(state["cache"]), "_lock": RLock()}


@dataclass(frozen=True)
class _Seen:
    """A picture's key under an encoder, and its embedding where that is known, else its pixels [3, height, width]."""

    key: bytes
    row: np.ndarray | None
    pixels: Tensor | None


class _Rows:
    """Embeddings [n, dim] that fill, from a cache where there is one, with progress told; NaN where nothing was put."""

    def __init__(self, count: int, dim: int, cache: EmbeddingCache | None, progress: Progress | None) -> None:
        self.values = np.full((count, dim), np.nan, dtype=np.float32)
        self._cache, self._progress, self.done = cache, progress, 0
        self._here: dict[bytes, int] = {}

    def known(self, key: bytes) -> np.ndarray | None:
        """The row of a key, where it is known."""
        if key in self._here:
            return self.values[self._here[key]]
        return None if self._cache is None else self._cache.get(key)

    def fill(self, key: bytes, numbers: list[int], row: np.ndarray) -> None:
        """Fills the rows of these numbers."""
        self.values[numbers] = row
        self._here[key] = numbers[0]
        self.done += len(numbers)

    def put(self, key: bytes, numbers: list[int], row: np.ndarray) -> None:
        """Fills the rows of these numbers, and keeps the row for later calls."""
        self.fill(key, numbers, row)
        if self._cache is not None:
            self._cache.put(key, row)

    def tell(self) -> None:
        """Tells how far it is."""
        if self._progress:
            self._progress(self.done, len(self.values))


def load(
    name: str | os.PathLike[str],
    device: str | torch.device | None = None,
    progress: hub.Progress | None = None,
    cache: EmbeddingCache | None = None,
    config: Named | None = None,
) -> Encoder:
    """An encoder by a name of `longclip.available()`, a file, a folder, or ``hf-hub:owner/name[@revision]``.

    `config` is the configuration of a file of bare weights, as after the sign # in ``FILE#CONFIG``: one of
    `open_clip.list_models()`, the path of an ``open_clip_config.json`` or ``config.json``, or its content.
    It computes in 32 bits, whatever precision the file has, on `device`, or on the fastest there is (`longclip.devices`).
    `progress` hears of a download; `cache` may be shared with other encoders. Raises ValueError for an unknown name or device,
    an unreadable model or a damaged one, FileNotFoundError for an embedded model that has not been built, HubError for one
    that cannot be fetched.
    """
    where = choose_device(device)
    spec, path = hub.locate(name, progress)
    if config is not None:
        if spec.config is not None:
            raise ValueError(f"{spec.location} names a configuration already: leave config={config!r} away")
        spec = replace(spec, config=None if isinstance(config, Mapping) else os.fspath(config))
    checkpoint = checkpoints.read(path, spec.config if config is None else config)
    model = checkpoint.build().requires_grad_(False).to(where)
    size = checkpoint.config["vision_cfg"].get("image_size", 224)
    preprocessing = preprocessing_of(size, checkpoint.preprocess, checkpoint.processor)
    length = model.context_length
    tokenizer = Tokenizer.of_model(spec.tokenizer_home(path), model.vocab_size, length)
    if model.text_pool_type == "eos" and tokenizer.end_id != model.text_eos_id:
        raise ValueError(
            f"{spec.name} reads a text at the id {model.text_eos_id}, as its configuration says, and its tokenizer ends texts "
            f"with {tokenizer.end_id}: wanted one id in both"
        )
    family = spec.family or ("Long-CLIP" if length > 77 else "CLIP")
    encoder = Encoder(
        replace(spec, context_length=length, family=family, note=spec.note or "; ".join(checkpoint.notes)),
        model,
        tokenizer,
        preprocessing,
        fixed=True,
        cache=cache,
    )
    if not math.isfinite(encoder.logit_scale):
        raise ValueError(f"the model {spec.name} has a logit scale that is not a finite number: its weights are damaged")
    encoder.identity  # noqa: B018 - hashed here, where loading is waited for, and not in the first search
    log.info("%s computes on %s", spec.name, where)
    return encoder


def _listed(items: Any, kind: type | tuple[type, ...], wanted: str) -> tuple[list[Any], bool]:
    """Items of a kind as a list, and whether it was one item alone. Raises ValueError for what is neither."""
    if isinstance(items, kind):
        return [items], True
    if isinstance(items, (bytes, Mapping, Set)) or not isinstance(items, Iterable):
        raise ValueError(f"got {_kind_of(items)}, wanted {wanted}")
    found = list(items)
    for number, item in enumerate(found):
        if not isinstance(item, kind):
            raise ValueError(f"number {number} of the list is {_kind_of(item)}, wanted {wanted}")
    return found, False


def _kind_of(item: object) -> str:
    name = type(item).__name__
    hint = ", of which Image.fromarray makes a picture" if name in ("ndarray", "Tensor") else ""
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}{hint}"


def _checked_size(batch_size: int | None) -> int | None:
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise ValueError(f"batch_size is {batch_size!r}; wanted a whole number, 1 or more")
    return batch_size
