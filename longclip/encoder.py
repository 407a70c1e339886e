"""One CLIP or Long-CLIP: texts and pictures to unit vectors, and below that, ids and pixels to features."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from threading import Lock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from longclip import checkpoints, hub
from longclip.cache import EmbeddingCache, content_key
from longclip.checkpoints.configurations import Named
from longclip.identity import identify, stamp
from longclip.images import ImageError, Picture, Preprocessing, open_image, read_bytes
from longclip.model import LongCLIP
from longclip.registry import ModelSpec
from longclip.tokens import Tokenizer, Tokens, pad

Progress = Callable[[int, int], None]
"""Called with the number of embeddings that are done and the number there are."""

Refuse = Callable[[int, ImageError], None]
"""Called with the number of a picture that cannot be read, and why."""

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
        preprocessing: Preprocessing,
        fixed: bool = False,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.spec = spec
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.fixed = fixed
        self.cache = EmbeddingCache() if cache is None else cache
        self._lock = Lock()
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
            preprocessing = json.dumps(asdict(self.preprocessing), sort_keys=True)
            identity = identify(self.model, self.model.config, self.tokenizer.describe(), preprocessing)
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

    def encode_text(self, texts: Sequence[str], batch_size: int = 128, progress: Progress | None = None) -> np.ndarray:
        """Texts to float32 [n, dim], rows of unit length, in the order given."""
        if isinstance(texts, str):
            raise ValueError("encode_text wants a list of texts, not one text")
        identity = self.identity
        keys = [content_key("text", identity, text.encode("utf-8", "surrogatepass")) for text in texts]
        return self._gather(
            keys, lambda numbers: self._text_batches([texts[i] for i in numbers], batch_size), progress, bool(identity)
        )

    def encode_image(
        self,
        pictures: Sequence[Picture],
        batch_size: int = 32,
        progress: Progress | None = None,
        refuse: Refuse | None = None,
    ) -> np.ndarray:
        """Pictures (paths, bytes of files, PIL images) to float32 [n, dim], rows of unit length, in the order given.

        Raises ImageError for a picture that is refused (see `longclip.images.open_image`); with `refuse`, that hears of it
        instead, and the picture's row is of NaN.
        """
        if isinstance(pictures, (str, bytes, os.PathLike, Image.Image)):
            raise ValueError("encode_image wants a list of pictures, not one picture")
        identity = self.identity
        keys: list[bytes | None] = []
        for number, picture in enumerate(pictures):
            try:
                keys.append(content_key("image", identity, _content(picture)))
            except ImageError as error:
                if refuse is None:
                    raise
                refuse(number, error)
                keys.append(None)

        def embed(numbers: list[int]) -> Iterator[tuple[Sequence[int], np.ndarray]]:
            report = refuse and (lambda number, error: refuse(numbers[number], error))
            return self._image_batches([pictures[number] for number in numbers], batch_size, report)

        return self._gather(keys, embed, progress, bool(identity))

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
        """The model, for what is none of the calls above, while the calls of other threads wait."""
        with self._lock:
            yield self.model

    def _gather(
        self,
        keys: list[bytes | None],
        embed: Callable[[list[int]], Iterator[tuple[Sequence[int], np.ndarray]]],
        progress: Progress | None,
        cached: bool,
    ) -> np.ndarray:
        """Rows by key: from the cache, or by `embed` of the numbers of those that are new, each only once; NaN without key."""
        rows = np.full((len(keys), self.dim), np.nan, dtype=np.float32)
        places: dict[bytes, list[int]] = {}
        for number, key in enumerate(keys):
            if key is not None:
                places.setdefault(key, []).append(number)
        missing, done = [], 0
        for key, numbers in places.items():
            row = self.cache.get(key) if cached else None
            if row is None:
                missing.append(key)
            else:
                rows[numbers] = row
                done += len(numbers)
        for batch, features in embed([places[key][0] for key in missing]):
            for number, row in zip(batch, features, strict=True):
                key = missing[number]
                rows[places[key]] = row
                done += len(places[key])
                if cached:
                    self.cache.put(key, row)
            if progress:
                progress(done, len(keys))
        return rows

    def _text_batches(self, texts: list[str], batch_size: int) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """(numbers, features) of texts of similar length at a time: a batch costs as much as its longest text."""
        ids = self.tokenizer.ids(texts)
        order = sorted(range(len(texts)), key=lambda number: len(ids[number]))
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            with torch.inference_mode():
                yield batch, self.text_features(pad([ids[number] for number in batch])).float().cpu().numpy()

    def _image_batches(
        self, pictures: list[Picture], batch_size: int, refuse: Refuse | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """(numbers, features), the next batch being decoded while the model works on this one; `refuse` as `encode_image`."""
        batches = [range(len(pictures))[first : first + batch_size] for first in range(0, len(pictures), batch_size)]
        pool = ThreadPoolExecutor(_DECODERS)
        coming: list[Future[Tensor]] = []
        try:
            for batch, following in pairwise([[], *batches, []]):
                present, coming = coming, [pool.submit(self._pixels, pictures[number]) for number in following]
                pixels = {}
                for number, future in zip(batch, present, strict=True):
                    try:
                        pixels[number] = future.result()
                    except ImageError as error:
                        if refuse is None:
                            raise
                        refuse(number, error)
                if pixels:
                    with torch.inference_mode():
                        yield list(pixels), self.image_features(torch.stack(list(pixels.values()))).float().cpu().numpy()
        finally:
            pool.shutdown(cancel_futures=True)

    def _pixels(self, picture: Picture) -> Tensor:
        return self.preprocessing(open_image(picture))


def load(
    name: str | os.PathLike[str],
    device: str = "cpu",
    progress: hub.Progress | None = None,
    cache: EmbeddingCache | None = None,
    config: Named | None = None,
) -> Encoder:
    """An encoder by a name of `longclip.available()`, a file, a folder, or ``hf-hub:owner/name[@revision]``.

    `config` is the configuration of a file of bare weights, as after the sign # in ``FILE#CONFIG``: one of
    `open_clip.list_models()`, the path of an ``open_clip_config.json`` or ``config.json``, or its content.
    It computes in 32 bits, whatever precision the file has. `progress` hears of a download; `cache` may be shared with
    other encoders. Raises ValueError for an unknown name or an unreadable model, FileNotFoundError for an embedded model
    that has not been built, HubError for one that cannot be fetched.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: this machine has no CUDA device that torch can use; wanted 'cpu'")
    spec, path = hub.locate(name, progress)
    if config is not None:
        if spec.config is not None:
            raise ValueError(f"{spec.location} names a configuration already: leave config={config!r} away")
        spec = replace(spec, config=None if isinstance(config, Mapping) else os.fspath(config))
    checkpoint = checkpoints.read(path, spec.config if config is None else config)
    model = checkpoint.build().requires_grad_(False).to(device)
    preprocessing = Preprocessing.from_config(checkpoint.config["vision_cfg"].get("image_size", 224), checkpoint.preprocess)
    length = model.context_length
    family = spec.family or ("Long-CLIP" if length > 77 else "CLIP")
    encoder = Encoder(
        replace(spec, context_length=length, family=family, note=spec.note or "; ".join(checkpoint.notes)),
        model,
        Tokenizer.of_model(spec.tokenizer_home(path), model.vocab_size, length),
        preprocessing,
        fixed=True,
        cache=cache,
    )
    encoder.identity  # noqa: B018 - hashed here, where loading is waited for, and not in the first search
    return encoder


def _content(picture: Picture) -> bytes:
    if isinstance(picture, Image.Image):
        return f"{picture.mode} {picture.size}".encode() + picture.tobytes()
    return read_bytes(picture)
