"""The models that have a name here, and how any other is named: a file, a folder, or ``hf-hub:owner/name[@revision]``.

A file of bare weights may be named with its configuration, ``FILE#CONFIG``: one of open_clip's, or the path of a JSON file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

HUB_PREFIX = "hf-hub:"
NEWEST = "main"
# Owner and name, and a branch, tag or commit; no part of them begins with a dot, for they become folders of the cache.
_ADDRESS = re.compile(rf"{HUB_PREFIX}(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w.-]*(?:/\w[\w.-]*)*))?", re.ASCII)


@dataclass(frozen=True)
class ModelSpec:
    """One model: what it is, where it comes from, and what one may do with it.

    `source` is "embedded" (a folder of the assets, named like the model), "hub" (`repository` at `revision`), "local"
    (`path`, with `config` where the name says whose configuration is meant) or "trained" (`path`, made by this process and
    gone with it). `context_length` is None until a model without an
    entry here has been read. `files` are what to fetch from the hub; empty means: find out.
    """

    name: str
    title: str
    family: str
    context_length: int | None
    licence: str
    source: str
    note: str = ""
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    path: Path | None = None
    config: str | None = None
    tokenizer: str = "CLIP's 49,408 tokens"

    @property
    def embedded(self) -> bool:
        """Whether the model ships with this project."""
        return self.source == "embedded"

    @property
    def location(self) -> str:
        """Where the model comes from, for people: a folder, a file, or an address on the hub; with its configuration."""
        place = f"{HUB_PREFIX}{self.repository}@{self.revision}" if self.source == "hub" else str(self.folder)
        return f"{place}#{self.config}" if self.config else place

    @property
    def folder(self) -> Path | None:
        """The folder or file of an embedded or local model; None for one on the hub."""
        return assets() / "models" / self.name if self.embedded else self.path

    def tokenizer_home(self, path: Path) -> Path:
        """Where the tokenizer of the model at `path` lies: beside its configuration, if the name says where that is."""
        if self.config and os.path.exists(self.config):
            home = Path(self.config) if os.path.isdir(self.config) else Path(self.config).parent
            if any((home / name).is_file() for name in ("tokenizer.json", "vocab.json")):
                return home
        return path


def available() -> tuple[ModelSpec, ...]:
    """The models with a name, the embedded ones first."""
    return _MODELS


def resolve(name: str | os.PathLike[str]) -> ModelSpec:
    """The spec of a name, a file, a folder, or ``hf-hub:owner/name[@revision]``; of the last three also with ``#CONFIG``.

    What is there under the whole text is meant, whatever signs its name has.
    Raises ValueError for a name that is none of these; the message lists the choices.
    """
    text = os.fspath(name)
    for spec in _MODELS:
        if text == spec.name:
            return spec
    if text.startswith(HUB_PREFIX):
        named, _, config = text.partition("#")
        address = _ADDRESS.fullmatch(named)
        if not address:
            raise ValueError(f"{text!r} names no repository of the hub: wanted {HUB_PREFIX}owner/name or …@revision")
        repository, revision = address[1], address[2] or NEWEST
        return _foreign(
            text, source="hub", repository=repository, revision=revision, licence="see its page", config=config or None
        )
    # The functions of `os.path`, unlike those of a Path, raise for no text whatever.
    for end in [len(text), *(mark.start() for mark in reversed([*re.finditer("#", text)]))]:
        path = Path(os.path.expanduser(text[:end]))
        if end and os.path.exists(path):
            name, config = path.name if path.is_dir() else path.stem, text[end + 1 :] or None
            return _foreign(name, source="local", path=path, licence="your own", config=config)
    choices = ", ".join(spec.name for spec in _MODELS)
    raise ValueError(
        f"no model {text!r}: it is not a file or folder here, and not one of {choices}; others: {HUB_PREFIX}owner/name; "
        "a file of bare weights is named with its configuration as FILE#CONFIG"
    )


def assets() -> Path:
    """The folder of what ships with the project; the environment's ``LONGCLIP_ASSETS`` takes precedence."""
    return Path(os.environ.get("LONGCLIP_ASSETS") or Path(__file__).resolve().parents[1] / "assets")


def _foreign(name: str, source: str, licence: str, **origin: object) -> ModelSpec:
    return ModelSpec(name, name, "", None, licence, source, tokenizer="as in its files", **origin)  # type: ignore[arg-type]


def _picturebook(name: str, title: str, family: str, length: int, note: str) -> ModelSpec:
    return ModelSpec(
        name, title, family, length, "MIT", "embedded", note, tokenizer="the picture book's part of CLIP's vocabulary"
    )


def _openai(name: str, title: str, repository: str) -> ModelSpec:
    return ModelSpec(
        f"openai/{name}",
        f"CLIP {title}",
        "CLIP",
        77,
        "Apache-2.0",
        "hub",
        "OpenAI's weights in open_clip's format",
        repository=repository,
        revision=NEWEST,
        files=("open_clip_config.json", "open_clip_model.safetensors"),
    )


def _official(name: str, title: str, file: str) -> ModelSpec:
    repository = f"BeichenZhang/{name}"
    note = "the authors' own weights (Zhang et al., ECCV 2024)"
    return ModelSpec(
        repository,
        title,
        "Long-CLIP",
        248,
        "Apache-2.0",
        "hub",
        note,
        repository=repository,
        revision=NEWEST,
        files=(file,),
    )


_MODELS = (
    _picturebook("picturebook-clip", "Picture book CLIP", "CLIP", 77, "a small model of a drawn world, short captions"),
    _picturebook(
        "picturebook-longclip", "Picture book Long-CLIP", "Long-CLIP", 248, "stretched and fine-tuned on long captions"
    ),
    _openai("ViT-B-32", "ViT-B/32", "timm/vit_base_patch32_clip_224.openai"),
    _openai("ViT-B-16", "ViT-B/16", "timm/vit_base_patch16_clip_224.openai"),
    _openai("ViT-L-14", "ViT-L/14", "timm/vit_large_patch14_clip_224.openai"),
    _openai("ViT-L-14-336", "ViT-L/14 at 336 px", "timm/vit_large_patch14_clip_336.openai"),
    _official("LongCLIP-B", "Long-CLIP ViT-B/16", "longclip-B.pt"),
    _official("LongCLIP-L", "Long-CLIP ViT-L/14", "longclip-L.pt"),
    ModelSpec(
        "zer0int/LongCLIP-GmP-ViT-L-14",
        "Long-CLIP ViT-L/14, GmP",
        "Long-CLIP",
        248,
        "not stated",
        "hub",
        "a fine-tuned Long-CLIP by zer0int",
        repository="zer0int/LongCLIP-GmP-ViT-L-14",
        revision=NEWEST,
        files=("config.json", "model.safetensors", "preprocessor_config.json"),
    ),
)
