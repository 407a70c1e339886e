"""What all tabs share: the models by name, loaded when first asked for, and the galleries by key."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from demos.jobs import Jobs, Note
from demos.selection import PICTURE_BOOK
from demos.stored import PREFIX as STORED
from demos.stored import StoredGalleries
from demos.trained import PREFIX, TrainedModels
from longclip.gallery import Gallery, GalleryError
from longclip.generation.specs import EMBEDDED, SIGLIP
from longclip.hub import HubError
from longclip.images import ImageError
from longclip.manifest import check_model
from longclip.registry import ModelSpec, assets, available, resolve

if TYPE_CHECKING:
    from longclip.diffusion.detector import Detector
    from longclip.encoder import Encoder
    from longclip.generation.pipelines import DiffusionPipeline
    from longclip.generation.siglip import SigLIP
    from longclip.tokens import Tokenizer

log = logging.getLogger(__name__)

# Seconds for which a visitor's own pictures are kept, and how many such sets at most.
KEEP_SECONDS, KEEP_SETS = 3600.0, 40
# Models from the hub kept in memory beside the embedded ones.
KEEP_MODELS = 3
# And of the diffusion pipelines, which are larger.
KEEP_PIPELINES = 1
# Results of a tab's own work of one kind.
KEEP_WORKS = 8
# Captions a model reads in one go, and the seconds after which it goes on: a search that waits for it gets its turn between.
BATCH, PAUSE = 32, 0.003
# Characters of a caption that are accepted, here and on a public page.
LONGEST, LONGEST_PUBLIC = 200_000, 20_000
# Errors whose message is a sentence for people.
SPOKEN = (HubError, ImageError, GalleryError, ValueError, FileNotFoundError)


class Unavailable(RuntimeError):
    """A model or gallery that cannot be used now; the message is one sentence for the visitor."""


@dataclass
class Kept:
    """A visitor's own gallery and when it was last used."""

    gallery: Gallery
    used: float = field(default_factory=time.monotonic)


class Context:
    """Models and galleries of one running app. All methods may be called from any thread.

    What takes long comes in pairs: an iterator of (done, all) that ends when the result is there, and the result, which is
    waited for where need be. An iterator left early stops the work, unless another visitor waits for the same.
    """

    def __init__(self, device: str = "cpu", public: bool = False, fine_tune: bool | None = None) -> None:
        """fine_tune: whether visitors may train models; None: where the page is not public."""
        self.device = device
        self.public = public
        self.fine_tune = not public if fine_tune is None else fine_tune
        # The tabs of the page, by name: what is shown in one may be opened in another.
        self.tabs: tuple[str, ...] = ()
        self.models: dict[str, ModelSpec] = {spec.name: spec for spec in available()}
        self.trained = TrainedModels()
        self._stored = StoredGalleries()
        self._jobs = Jobs()
        self._kept: dict[str, Kept] = {}
        self._book: Gallery | None = None
        self._lock = Lock()

    @property
    def longest_caption(self) -> int:
        """Characters of a caption that are accepted."""
        return LONGEST_PUBLIC if self.public else LONGEST

    def spec(self, name: str) -> ModelSpec | None:
        """What a visitor's name for a model stands for, if anything.

        On a public page those listed in `models` only. Elsewhere also ``hf-hub:owner/name[@revision]``, a file, or a folder.
        And those that were `trained` here, by whoever has the name.
        """
        if name.startswith(PREFIX):
            return self.trained.spec(name)
        if name in self.models or self.public:
            return self.models.get(name)
        with suppress(ValueError):
            return resolve(name)
        return None

    def loading(self, name: str) -> Iterator[tuple[int, int]]:
        """Loads a model: yields (bytes that have arrived, all) while it comes from the hub."""
        if self.spec(name) is None:
            return
        yield from self._jobs.follow(("model", name), lambda note: self._load(name, note))
        self._drop_models()

    def encoder(self, name: str) -> Encoder:
        """A model. Raises Unavailable where it cannot be loaded."""
        if self.spec(name) is None:
            if name.startswith(PREFIX):
                raise Unavailable("Your model is no longer here (it is kept for an hour): fine-tune it again.")
            others = "" if self.public else " Others are named hf-hub:owner/name, or by file (FILE#CONFIG) or folder here."
            raise Unavailable(f"{name or 'A model without a name'} is not among the models of this page.{others}")
        return self._result(("model", name), lambda note: self._load(name, note))

    def ready(self, name: str) -> bool:
        """Whether a model is in memory."""
        return self._jobs.ready(("model", name))

    def tokenizer(self, name: str) -> Tokenizer | None:
        """A model's tokenizer where it can be had without waiting: those of the hub's models are CLIP's own."""
        if self.ready(name):
            return self.encoder(name).tokenizer
        spec = self.spec(name)
        if spec is None or spec.source != "hub" or spec.context_length is None:
            return None
        return _full_tokenizer(spec.context_length)

    def loading_pipeline(self, name: str) -> Iterator[tuple[int, int]]:
        """Loads a diffusion pipeline: yields (bytes that have arrived, all) while it comes from the hub."""
        yield from self._jobs.follow(("pipeline", name), lambda note: self._load_pipeline(name, note))
        foreign = [key for key in self._jobs.names() if key[0] == "pipeline" and key[1] != EMBEDDED]
        for key in foreign[:-KEEP_PIPELINES]:
            self._jobs.forget(key)

    def pipeline(self, name: str) -> DiffusionPipeline:
        """A diffusion pipeline. Raises Unavailable where it cannot be loaded."""
        return self._result(("pipeline", name), lambda note: self._load_pipeline(name, note))

    def detector(self) -> Detector:
        """The judge of what the embedded pipeline draws. Raises Unavailable where it is not there."""
        return self._result(("detector", EMBEDDED), lambda note: _read_detector())

    def loading_judge(self, name: str) -> Iterator[tuple[int, int]]:
        """Loads a model that judges what was drawn: yields (bytes that have arrived, all) while it comes from the hub."""
        if name != SIGLIP:
            yield from self.loading(name)
        else:
            yield from self._jobs.follow(("judge", name), lambda note: self._load_siglip(note))

    def judge(self, name: str) -> Encoder | SigLIP:
        """A model that judges what was drawn. Raises Unavailable where it cannot be loaded."""
        return self.encoder(name) if name != SIGLIP else self._result(("judge", name), lambda note: self._load_siglip(note))

    def gallery(self, key: str) -> Gallery:
        """A gallery by key: `PICTURE_BOOK`, one that was kept, or one on disk. Raises Unavailable for one that is gone."""
        if key.startswith(STORED):
            try:
                return self._stored.gallery(key)
            except GalleryError as error:
                raise Unavailable(str(error)) from error
        with self._lock:
            if key == PICTURE_BOOK:
                if self._book is None:
                    self._book = _read_book()
                return self._book
            self._drop_galleries()
            if key not in self._kept:
                raise Unavailable("Your pictures are no longer here (they are kept for an hour): add them again.")
            self._kept[key].used = time.monotonic()
            return self._kept[key].gallery

    def picture_book(self) -> Gallery:
        """The built-in gallery; an empty one where it is not there."""
        try:
            return self.gallery(PICTURE_BOOK)
        except Unavailable:
            return Gallery([], [], [], [], [])

    def keep(self, gallery: Gallery) -> str:
        """Keeps a visitor's own gallery for an hour after its last use. Returns its key, which nobody can guess."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[key] = Kept(gallery)
            self._drop_galleries()
        return key

    def open_stored(self, folder: str) -> str:
        """Opens a gallery that `python -m longclip index` made on this machine: its key. Raises Unavailable."""
        if self.public:
            raise Unavailable("Folders of this machine are not open to a public page.")
        try:
            return self._stored.open(folder)
        except (*SPOKEN, OSError) as error:
            raise Unavailable(f"{error}.".replace("..", ".")) from error

    def embedding(self, what: str, key: str, name: str) -> Iterator[tuple[int, int]]:
        """Embeds the "pictures" or the "captions" of a gallery with a model that is in memory: yields (done, all)."""
        yield from self._jobs.follow((what, key, name), lambda note: self._embed(what, key, name, note))

    def embedded(self, what: str, key: str, name: str) -> np.ndarray:
        """Embeddings of the "pictures" or the "captions" of a gallery, float32 [n, dim], unit rows. Raises Unavailable."""
        return self._result((what, key, name), lambda note: self._embed(what, key, name, note))

    def working(self, key: tuple[str, ...], work: Callable[[Note], Any]) -> Iterator[tuple[int, int]]:
        """Does a tab's own work: yields (done, all). Of the same kind, ``key[0]``, the latest results are kept.

        The key names the gallery and the models that the work is of: it goes when they go.
        """
        yield from self._jobs.follow(key, work)
        self._drop_works(key[0])

    def worked(self, key: tuple[str, ...], work: Callable[[Note], Any]) -> Any:
        """What that work returned. Raises Unavailable."""
        found = self._result(key, work)
        self._drop_works(key[0])
        return found

    def has_worked(self, key: tuple[str, ...]) -> bool:
        """Whether that work is done."""
        return self._jobs.ready(key)

    def drop_trained(self) -> None:
        """Lets go of trained models that nobody uses any more, and of what was computed with them."""
        gone = set(self.trained.drop())
        for job in self._jobs.names():
            if not gone.isdisjoint(job):
                self._jobs.forget(job)

    def _result(self, key: tuple[str, ...], work: Callable[[Note], Any]) -> Any:
        try:
            return self._jobs.result(key, work)
        except SPOKEN as error:
            raise Unavailable(str(error)) from error
        except Unavailable:
            raise
        except Exception as error:
            log.exception("failed: %s", " ".join(key))
            raise Unavailable(f"{key[-1]} could not be used ({type(error).__name__}).") from error

    def _load(self, name: str, note: Note) -> Encoder:
        from longclip.encoder import load

        own = self.trained.spec(name)
        encoder = load(own.path if own else name, self.device, lambda arrived, total, _: note(arrived, total))
        encoder.spec = own or encoder.spec
        return encoder

    def _load_pipeline(self, name: str, note: Note) -> DiffusionPipeline:
        from longclip.generation.pipelines import load_pipeline

        dtype = "fp32" if self.device == "cpu" else "fp16"
        return load_pipeline(name, self.device, dtype, progress=lambda arrived, total, _: note(arrived, total))

    def _load_siglip(self, note: Note) -> SigLIP:
        from longclip.generation.siglip import load_siglip

        return load_siglip(SIGLIP, self.device, lambda arrived, total, _: note(arrived, total))

    def _embed(self, what: str, key: str, name: str, note: Note) -> np.ndarray:
        gallery, encoder = self.gallery(key), self.encoder(name)
        if key.startswith(STORED):
            self._stored.adopt(key, encoder)

        def give_way(done: int, total: int) -> None:
            note(done, total)
            time.sleep(PAUSE)

        if what == "pictures":
            return gallery.embed(encoder, progress=give_way)
        return gallery.embed_captions(encoder, progress=give_way, batch_size=BATCH)

    def _drop_models(self) -> None:
        self.drop_trained()
        loaded = [name for kind, name, *_ in self._jobs.names() if kind == "model"]
        embedded = {name for name, spec in self.models.items() if spec.embedded}
        foreign = [name for name in loaded if self.ready(name) and name not in embedded]
        for name in foreign[: max(0, len(foreign) - KEEP_MODELS)]:
            self._jobs.forget(("model", name))

    def _drop_works(self, kind: str) -> None:
        alike = [key for key in self._jobs.names() if key[0] == kind]
        for key in alike[:-KEEP_WORKS]:
            self._jobs.forget(key)

    def _drop_galleries(self) -> None:
        now = time.monotonic()
        oldest = sorted(self._kept, key=lambda key: self._kept[key].used)
        for number, key in enumerate(oldest):
            if len(oldest) - number > KEEP_SETS or now - self._kept[key].used > KEEP_SECONDS:
                del self._kept[key]
                for job in self._jobs.names():
                    if key in job:
                        self._jobs.forget(job)


@cache
def _full_tokenizer(context_length: int) -> Tokenizer:
    from longclip.tokens import Tokenizer

    return Tokenizer.full(context_length)


def _read_detector() -> Detector:
    from longclip.diffusion.detector import load_detector

    folder = assets() / "models" / EMBEDDED
    if not (folder / "detector").is_dir():
        raise Unavailable("There is no detector in the assets: the picture book's has not been built here.")
    check_model(folder)
    return load_detector(folder / "detector")


def _read_book() -> Gallery:
    folder = assets() / "gallery"
    try:
        return Gallery.from_folder(folder).readable()
    except (GalleryError, FileNotFoundError) as error:
        raise Unavailable(f"The picture book's gallery is not here: {error}.") from error
