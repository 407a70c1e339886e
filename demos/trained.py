"""Models that visitors trained on this page: each for the one who did, kept for an hour after its last use."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from longclip.registry import ModelSpec

PREFIX = "yours:"
# Seconds for which a model is kept after its last use, and how many are kept at most.
KEEP_SECONDS, KEEP_MODELS = 3600.0, 20


@dataclass
class Trained:
    """A model, the folder that goes when it is let go of, and when it was last used."""

    spec: ModelSpec
    place: TemporaryDirectory
    used: float = field(default_factory=time.monotonic)


class TrainedModels:
    """Models by a name that nobody can guess. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._models: dict[str, Trained] = {}
        self._lock = Lock()

    def keep(self, place: TemporaryDirectory, folder: Path, base: ModelSpec) -> str:
        """Keeps the model in `folder`, which lies in `place` and is named as the visitor named it. Returns its name."""
        name = f"{PREFIX}{folder.name}/{secrets.token_urlsafe(12)}"
        length = json.loads((folder / "open_clip_config.json").read_text("utf-8"))["model_cfg"]["text_cfg"]["context_length"]
        family = "Long-CLIP" if length > 77 else "CLIP"
        note = f"made by you from {base.title}"
        spec = ModelSpec(
            name, f"yours: {folder.name}", family, length, base.licence, "trained", note, path=folder, tokenizer=base.tokenizer
        )
        with self._lock:
            self._models[name] = Trained(spec, place)
        return name

    def spec(self, name: str) -> ModelSpec | None:
        """The model of that name, if it is still here; to ask for it is to use it."""
        with self._lock:
            model = self._models.get(name)
            if model is None:
                return None
            model.used = time.monotonic()
            return model.spec

    def drop(self) -> list[str]:
        """Lets go of what nobody has used for an hour, and of the oldest where there are too many. Returns their names."""
        now = time.monotonic()
        with self._lock:
            oldest = sorted(self._models, key=lambda name: self._models[name].used)
            gone = [
                name
                for number, name in enumerate(oldest)
                if len(oldest) - number > KEEP_MODELS or now - self._models[name].used > KEEP_SECONDS
            ]
            places = [self._models.pop(name).place for name in gone]
        for place in places:
            place.cleanup()
        return gone


def names_for_files(models: Iterable[str]) -> dict[str, str]:
    """By model's name, the one that a file may hold: by the whole name of a model trained here anybody could use it."""
    names: dict[str, str] = {}
    for model in models:
        name = model.rpartition("/")[0] if model.startswith(PREFIX) else model
        names[model] = f"{name} (2)" if name in names.values() else name
    return names
