"""What all tabs share: the models by name, loaded when first asked for, and the galleries by key."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from demos.messages import SPOKEN, Unavailable, explain, is_spoken
from demos.selection import PICTURE_BOOK
from demos.shares import excess
from demos.slots import DOWNLOAD, EMBED, LOAD, MAP, UPLOAD, Kind
from demos.stamps import stamp
from demos.stored import PREFIX as STORED
from demos.stored import StoredGalleries
from demos.trained import PREFIX, TrainedModels
from demos.uploads import MOST, read_uploads
from demos.work import Key, Note, Progress, Runner
from longclip.gallery import Gallery, GalleryError
from longclip.generation.specs import EMBEDDED, SIGLIP
from longclip.manifest import check_model
from longclip.registry import HUB_PREFIX, ModelSpec, assets, available, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from longclip.diffusion.detector import Detector
    from longclip.encoder import Encoder
    from longclip.generation.pipelines import DiffusionPipeline
    from longclip.generation.siglip import SigLIP
    from longclip.tokens import Tokenizer

log = logging.getLogger(__name__)

# Seconds for which a visitor's own pictures are kept, how many such sets of one visitor at most, and of all.
KEEP_SECONDS, KEEP_SETS, KEEP_ALL_SETS = 3600.0, 12, 400
# Models from the hub kept in memory beside the embedded ones.
KEEP_MODELS = 3
# And of the diffusion pipelines, which are larger.
KEEP_PIPELINES = 1
# Results of a tab's own work of one sort.
KEEP_WORKS = 8
# Characters that the log keeps of what a visitor asked for.
LOGGED = 200
# Captions a model reads in one go: a search that waits for it gets its turn between.
BATCH = 32
# Characters of a caption that are accepted, here and on a public page.
LONGEST, LONGEST_PUBLIC = 200_000, 20_000


@dataclass
class Kept:
    """A visitor's own gallery, whose it is, and when it was last used."""

    gallery: Gallery
    owner: str = ""
    used: float = field(default_factory=time.monotonic)


class Context:
    """Models and galleries of one running app. All methods may be called from any thread.

    What takes long comes in pairs: an iterator of `Progress` that ends when the result is there, and the result, which is
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
        self.runner = Runner()
        # Of models in files of this machine: what the files were when they were read.
        self._stamps: dict[str, str] = {}
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

    def loading(self, name: str) -> Iterator[Progress]:
        """Loads a model: yields the bytes that have arrived while it comes from the hub."""
        if self.spec(name) is None:
            return
        yield from self.runner.follow(*self._model(name))

    def encoder(self, name: str) -> Encoder:
        """A model. Raises Unavailable where it cannot be loaded."""
        if self.spec(name) is None:
            if name.startswith(PREFIX):
                raise Unavailable("Your model is no longer here (it is kept for an hour): fine-tune it again.")
            others = "" if self.public else " Others are named hf-hub:owner/name, or by file (FILE#CONFIG) or folder here."
            raise Unavailable(f"{name[:LOGGED] or 'A model without a name'} is not among the models of this page.{others}")
        return self.result(*self._model(name))

    def _model(self, name: str) -> tuple[Key, Callable[[Note], Encoder], Kind]:
        spec = self.spec(name)
        if spec is not None and spec.source == "local" and spec.folder is not None:
            self._forget_changed(name, spec.folder)
        kind = DOWNLOAD if spec is not None and spec.source == "hub" else LOAD
        return ("model", name), lambda note: self._load(name, note), kind

    def ready(self, name: str) -> bool:
        """Whether a model is in memory."""
        return self.runner.ready(("model", name))

    def reading_uploads(self, files: Sequence[str], most: int = MOST) -> Iterator[tuple[int, int, Gallery | None]]:
        """`read_uploads` as work that lets searches go first: (done, all, None) again and again, then the gallery."""
        key = ("upload", secrets.token_hex(8))

        def work(note: Note) -> Gallery | None:
            found = None
            for done, total, gallery in read_uploads(files, most):
                note(done, total)
                found = gallery
            return found

        try:
            for progress in self.runner.follow(key, work, UPLOAD):
                yield progress.done, progress.total or len(files), None
            yield len(files), len(files), self.result(key, work, UPLOAD)
        finally:
            self.runner.forget(key)

    def at_hand(self, link: Mapping[str, str]) -> tuple[str, ...]:
        """The models that a link may choose: those that need no download, as a link starts none by itself."""
        typed = (name for name in (link.get("left", ""), link.get("right", "")) if name.startswith(HUB_PREFIX))
        here = {name for name, spec in self.models.items() if spec.source != "hub"}
        return tuple(name for name in (*self.models, *typed) if name in here or (self.spec(name) and self.ready(name)))

    def tokenizer(self, name: str) -> Tokenizer | None:
        """A model's tokenizer where it can be had without waiting: those of the hub's models are CLIP's own."""
        if self.ready(name):
            return self.encoder(name).tokenizer
        spec = self.spec(name)
        if spec is None or spec.source != "hub" or spec.context_length is None:
            return None
        return _full_tokenizer(spec.context_length)

    def loading_pipeline(self, name: str) -> Iterator[Progress]:
        """Loads a diffusion pipeline: yields the bytes that have arrived while it comes from the hub."""
        yield from self.runner.follow(*self._pipeline(name))

    def pipeline(self, name: str) -> DiffusionPipeline:
        """A diffusion pipeline. Raises Unavailable where it cannot be loaded."""
        return self.result(*self._pipeline(name))

    def _pipeline(self, name: str) -> tuple[Key, Callable[[Note], DiffusionPipeline], Kind]:
        return ("pipeline", name), lambda note: self._load_pipeline(name, note), LOAD if name == EMBEDDED else DOWNLOAD

    def detector(self) -> Detector:
        """The judge of what the embedded pipeline draws. Raises Unavailable where it is not there."""
        return self.result(("detector", EMBEDDED), lambda note: _read_detector(), LOAD)

    def loading_judge(self, name: str) -> Iterator[Progress]:
        """Loads a model that judges what was drawn: yields the bytes that have arrived while it comes from the hub."""
        if name != SIGLIP:
            yield from self.loading(name)
        else:
            yield from self.runner.follow(("judge", name), self._load_siglip, DOWNLOAD)

    def judge(self, name: str) -> Encoder | SigLIP:
        """A model that judges what was drawn. Raises Unavailable where it cannot be loaded."""
        return self.encoder(name) if name != SIGLIP else self.result(("judge", name), self._load_siglip, DOWNLOAD)

    def gallery(self, key: str) -> Gallery:
        """A gallery by key: `PICTURE_BOOK`, one that was kept, or one on disk. Raises Unavailable for one that is gone."""
        if key.startswith(STORED):
            try:
                return self._stored.gallery(key)
            except GalleryError as error:
                raise Unavailable(explain(error, self.public)) from error
        with self._lock:
            if key == PICTURE_BOOK:
                if self._book is None:
                    self._book = _read_book(self.public)
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

    def keep(self, gallery: Gallery, owner: str = "") -> str:
        """Keeps a visitor's own gallery for an hour after its last use. Returns its key, which nobody can guess.

        Where a visitor, the `owner`, has too many, the oldest of them goes; where all together have, one of who has most.
        """
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._kept[key] = Kept(gallery, owner)
            self._drop_galleries()
        return key

    def drop_old(self) -> None:
        """Lets go of what nobody has used for an hour."""
        with self._lock:
            self._drop_galleries()
        self.drop_trained()

    def open_stored(self, folder: str) -> str:
        """Opens a gallery that `python -m longclip index` made on this machine: its key. Raises Unavailable."""
        if self.public:
            raise Unavailable("Folders of this machine are not open to a public page.")
        try:
            return self._stored.open(folder)
        except (*SPOKEN, OSError) as error:
            raise Unavailable(explain(error, self.public)) from error

    def embedding(self, what: str, key: str, name: str) -> Iterator[Progress]:
        """Embeds the "pictures" or the "captions" of a gallery with a model that is in memory: yields (done, all)."""
        yield from self.runner.follow((what, key, name), lambda note: self._embed(what, key, name, note), EMBED)

    def embedded(self, what: str, key: str, name: str) -> np.ndarray:
        """Embeddings of the "pictures" or the "captions" of a gallery, float32 [n, dim], unit rows. Raises Unavailable."""
        return self.result((what, key, name), lambda note: self._embed(what, key, name, note), EMBED)

    def working(self, key: Key, work: Callable[[Note], Any], kind: Kind = MAP, keep: int = KEEP_WORKS) -> Iterator[Progress]:
        """Does a tab's own work: of the same sort, ``key[0]``, the latest results are kept.

        The key names the gallery and the models that the work is of: it goes when they go.
        """
        yield from self.runner.follow(key, work, kind, keep)

    def worked(self, key: Key, work: Callable[[Note], Any], kind: Kind = MAP, keep: int = KEEP_WORKS) -> Any:
        """What that work returned. Raises Unavailable."""
        return self.result(key, work, kind, keep)

    def has_worked(self, key: Key) -> bool:
        """Whether that work is done."""
        return self.runner.ready(key)

    def _forget_changed(self, name: str, place: Path) -> None:
        """Lets go of a model whose files have changed, as of all that was computed with it."""
        now = stamp(place)
        with self._lock:
            changed = self._stamps.get(name, now) != now
            self._stamps[name] = now
        for key in self.runner.names() if changed else ():
            if name in key:
                self.runner.forget(key)

    def drop_trained(self) -> None:
        """Lets go of trained models that nobody uses any more, and of what was computed with them."""
        gone = set(self.trained.drop())
        for job in self.runner.names():
            if not gone.isdisjoint(job):
                self.runner.forget(job)

    def result(self, key: Key, work: Callable[[Note], Any], kind: Kind, keep: int | None = None) -> Any:
        """What a piece of work returned, waited for. Raises Unavailable, with a sentence for the visitor."""
        try:
            return self.runner.result(key, work, kind, keep)
        except Unavailable:
            raise
        except Exception as error:
            if not is_spoken(error):
                log.exception("failed: %s", " ".join(map(str, key[:3]))[:LOGGED])
            raise Unavailable(explain(error, self.public)) from error

    def _load(self, name: str, note: Note) -> Encoder:
        from longclip.encoder import load

        own = self.trained.spec(name)
        encoder = load(own.path if own else name, self.device, lambda arrived, total, _: note(arrived, total))
        encoder.spec = own or encoder.spec
        self._drop_models()
        return encoder

    def _load_pipeline(self, name: str, note: Note) -> DiffusionPipeline:
        from longclip.generation.pipelines import load_pipeline

        dtype = "fp32" if self.device == "cpu" else "fp16"
        pipeline = load_pipeline(name, self.device, dtype, progress=lambda arrived, total, _: note(arrived, total))
        if name != EMBEDDED:
            foreign = [key for key in self.runner.names() if key[0] == "pipeline" and key[1] not in (EMBEDDED, name)]
            for key in foreign[: len(foreign) - KEEP_PIPELINES + 1]:
                self.runner.forget(key)
        return pipeline

    def _load_siglip(self, note: Note) -> SigLIP:
        from longclip.generation.siglip import load_siglip

        return load_siglip(SIGLIP, self.device, lambda arrived, total, _: note(arrived, total))

    def _embed(self, what: str, key: str, name: str, note: Note) -> np.ndarray:
        gallery, encoder = self.gallery(key), self.encoder(name)
        if key.startswith(STORED):
            self._stored.adopt(key, encoder)
        if what == "pictures":
            return gallery.embed(encoder, progress=note)
        return gallery.embed_captions(encoder, progress=note, batch_size=BATCH)

    def _drop_models(self) -> None:
        self.drop_trained()
        loaded = [name for kind, name, *_ in self.runner.names() if kind == "model"]
        embedded = {name for name, spec in self.models.items() if spec.embedded}
        foreign = [name for name in loaded if self.ready(name) and name not in embedded]
        for name in foreign[: max(0, len(foreign) - KEEP_MODELS)]:
            self.runner.forget(("model", name))

    def _drop_galleries(self) -> None:
        now = time.monotonic()
        gone = [key for key, kept in self._kept.items() if now - kept.used > KEEP_SECONDS]
        left = {key: (kept.owner, kept.used) for key, kept in self._kept.items() if key not in gone}
        for key in [*gone, *excess(left, KEEP_SETS, KEEP_ALL_SETS)]:
            del self._kept[key]
            for job in self.runner.names():
                if key in job:
                    self.runner.forget(job)


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


def _read_book(public: bool) -> Gallery:
    folder = assets() / "gallery"
    try:
        return Gallery.from_folder(folder).readable()
    except (GalleryError, FileNotFoundError) as error:
        raise Unavailable(f"The picture book's gallery is not here: {explain(error, public)}") from error
