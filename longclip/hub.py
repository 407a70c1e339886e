"""Models from the Hugging Face hub, at a named revision, into the cache that ``huggingface_hub`` keeps."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longclip.manifest import check_model
from longclip.registry import HUB_PREFIX, ModelSpec, resolve

Progress = Callable[[int, int, str], None]
"""Called with the bytes that have arrived, the bytes there are in all (0 where unknown), and the file's name."""

Choice = Callable[[ModelSpec, set[str]], tuple[str, ...]]
"""The files to fetch, of those that a repository has. Raises HubError where it lacks what is wanted."""

# A server that does not answer within this many seconds is taken for absent.
TIMEOUT = 5.0
_INDEX = "model_index.json"
_FULL_WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")
# What is fetched of a repository whose files no spec names: the first kind of which all are there, and its extras.
_KINDS = (
    ("open_clip_config.json", "open_clip_model.safetensors"),
    ("open_clip_config.json", "open_clip_pytorch_model.bin"),
    ("config.json", "model.safetensors"),
    ("config.json", "model.safetensors.index.json"),
    ("config.json", "pytorch_model.bin"),
    ("config.json", "pytorch_model.bin.index.json"),
)
_SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+(\.\w+)")
_EXTRAS = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "words.txt",
)


class HubError(RuntimeError):
    """A model that could not be fetched; the message is one sentence for the user."""


@dataclass(frozen=True)
class Fetched:
    """Where a model's files lie now (a folder, or the file itself where it is only one), and the commit they are of."""

    path: Path
    revision: str


def locate(name: str | os.PathLike[str], progress: Progress | None = None) -> tuple[ModelSpec, Path]:
    """A model's spec, with the commit in place of the revision, and its folder or file; fetched where need be.

    Raises ValueError for an unknown name and an embedded model that is damaged, FileNotFoundError for one that has not been
    built, HubError.
    """
    spec = resolve(name)
    if spec.folder is None:
        fetched = fetch(spec, progress)
        return replace(spec, revision=fetched.revision), fetched.path
    if not spec.folder.exists():
        raise FileNotFoundError(f"there is no folder {spec.name} in the assets: this model has not been built here")
    if spec.embedded:
        check_model(spec.folder)
    return spec, spec.folder


def fetch(
    spec: ModelSpec, progress: Progress | None = None, endpoint: str | None = None, choose: Choice | None = None
) -> Fetched:
    """Fetches a model of the hub, or finds it in the cache where the hub cannot be reached.

    `endpoint` is another server that speaks the hub's protocol; `choose` says which of a repository's files are fetched, where
    they are not those of a CLIP. Whatever goes wrong (no network, no access, no such
    repository, revision or file, a full disk, an interrupted transfer) is a HubError.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    if spec.repository is None:
        raise ValueError(f"{spec.name} is not a model of the hub")
    choose = choose or _choose
    try:
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        api = HfApi(endpoint=endpoint)
        found = api.model_info(spec.repository, revision=spec.revision, timeout=TIMEOUT, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
        files = choose(spec, set(sizes))
        return _download(spec, {name: sizes[name] for name in files}, progress, endpoint)
    except HubError:
        raise
    except Exception as error:  # many libraries stand behind a download; each has errors of its own
        if _is_unreachable(error):
            try:
                return _cached(spec, choose)
            except LocalEntryNotFoundError:
                pass
        raise HubError(_explain(spec, error)) from error


def fetch_pipeline(repository: str, revision: str, progress: Progress | None = None, endpoint: str | None = None) -> Fetched:
    """Fetches a diffusers pipeline: the parts its `model_index.json` names, their weights as safetensors in full precision.

    Fails as `fetch` does.
    """
    spec = replace(resolve(f"{HUB_PREFIX}{repository}@{revision}"), files=(_INDEX,))
    index = fetch(spec, progress, endpoint)
    try:
        listed = json.loads(index.path.read_text("utf-8"))
        parts = [name for name, kind in listed.items() if isinstance(kind, list) and kind[0] is not None]
    except (ValueError, AttributeError, IndexError) as error:
        raise HubError(f"{repository} has a {_INDEX} that lists no parts of a pipeline: {_first_line(error)}") from error

    def choose(spec: ModelSpec, present: set[str]) -> tuple[str, ...]:
        return (_INDEX, *(name for part in parts for name in _choose_part(spec, part, present)))

    return fetch(replace(spec, revision=index.revision, files=()), progress, endpoint, choose)


def _choose_part(spec: ModelSpec, part: str, present: set[str]) -> list[str]:
    """The files of one part of a pipeline; other precisions and formats of the same weights are left."""
    files = sorted(name for name in present if Path(name).parent.as_posix() == part)
    small = [name for name in files if name.endswith((".json", ".txt")) and ".fp16." not in name]
    weights = [name for name in files if _FULL_WEIGHTS.fullmatch(Path(name).name)]
    if any(name.endswith(".index.json") for name in small):
        weights = [name for name in weights if "-of-" in name]
    if not small or (not weights and any(name.endswith((".bin", ".ckpt")) for name in files)):
        lack = "safetensors" if small else "files"
        raise HubError(f"{spec.repository} has no {lack} of its part {part!r} at revision {spec.revision}")
    return small + weights


def _choose(spec: ModelSpec, present: set[str]) -> tuple[str, ...]:
    if spec.files:
        missing = [name for name in spec.files if name not in present]
        if missing:
            raise HubError(f"{spec.repository} has no file {', '.join(missing)} at revision {spec.revision}")
        return spec.files
    for kind in _KINDS:
        if present.issuperset(kind):
            shards = []
            if kind[1].endswith(".index.json"):
                ending = Path(kind[1].removesuffix(".index.json")).suffix
                shards = sorted(name for name in present if (match := _SHARD.fullmatch(name)) and match[2] == ending)
            return (*kind, *shards, *(name for name in _EXTRAS if name in present))
    bare = sorted(name for name in present if name.endswith((".pt", ".pth", ".safetensors")) and "/" not in name)
    official = [name for name in bare if name.endswith(".pt")]
    for files in (official, bare):
        if len(files) == 1:
            return tuple(files)
    wanted = "; ".join(" and ".join(kind) for kind in _KINDS)
    raise HubError(
        f"{spec.repository} holds no CLIP model in a format read here: wanted {wanted}; or one .pt or .safetensors file"
    )


def _download(spec: ModelSpec, files: dict[str, int], progress: Progress | None, endpoint: str | None) -> Fetched:
    from huggingface_hub import hf_hub_download

    total, done = sum(files.values()), 0
    # Asked for by its revision, the first file leaves a note of the commit in the cache; the others are of that commit.
    revision = spec.revision
    folder = Path()
    for name, size in files.items():
        bar = _bar(progress, done, total, name) if progress else None
        path = hf_hub_download(
            spec.repository, name, revision=revision, endpoint=endpoint, etag_timeout=TIMEOUT, tqdm_class=bar
        )
        folder = Path(path.removesuffix(name))
        revision = folder.name
        done += size
        if progress:
            progress(done, total, name)
    return Fetched(folder / next(iter(files)) if len(files) == 1 else folder, folder.name)


def _cached(spec: ModelSpec, choose: Choice) -> Fetched:
    """What an earlier fetch left. Raises ``LocalEntryNotFoundError`` where it left nothing, or not all."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    folder = Path(snapshot_download(spec.repository, revision=spec.revision, local_files_only=True))
    try:
        files = choose(spec, {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()})
    except HubError as error:
        raise LocalEntryNotFoundError(str(error)) from error
    return Fetched(folder / files[0] if len(files) == 1 else folder, folder.name)


def _bar(progress: Progress, done: int, total: int, name: str) -> type:
    """A stand-in for the terminal's progress bar that calls `progress` instead."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            self.arrived = settings.get("initial", 0)
            super().__init__(*arguments, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.arrived += int(n or 0)
            progress(done + self.arrived, total, name)
            return super().update(n)

    return Bar


def _is_unreachable(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code >= 500
    # The HTTP library that huggingface_hub uses changes with its version; what breaks on the way is a TransportError in all.
    transport = any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
    return transport or isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError))


def _explain(spec: ModelSpec, error: BaseException) -> str:
    """One sentence: what could not be fetched, why, and what to do."""
    from huggingface_hub import errors

    what = f"{spec.repository} (revision {spec.revision})"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it."
    if isinstance(error, errors.GatedRepoError):
        return f"{what} is gated: accept its terms on its page and log in with `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{spec.repository} has no revision {spec.revision!r}."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{spec.repository} does not exist on the hub, or is private: check its name, or log in with `hf auth login`."
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return f"{what} lacks a file that was expected: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what} was not fetched: the disk is full; free some space and try again (what has arrived is kept)."
    if isinstance(error, PermissionError):
        return f"{what} was not fetched: the cache folder of the hub cannot be written (HF_HOME says where it is)."
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        denied = " Log in with `hf auth login`." if status in (401, 403) else ""
        return f"{what} was not fetched: the hub answered with status {status}.{denied}"
    if _is_unreachable(error):
        return f"{what} is not in the cache, and the hub cannot be reached: check the network and try again."
    return f"{what} was not fetched, the transfer broke off ({_first_line(error)}): try again, what has arrived is kept."


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
