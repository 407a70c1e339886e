"""Fetching, against a server on this machine that speaks as much of the hub's protocol as a download needs."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORPUS, tiny_config
from huggingface_hub import constants

import longclip
from longclip import checkpoints, hub
from longclip.hub import HubError, fetch, fetch_pipeline
from longclip.model import build_model
from longclip.registry import ModelSpec, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Repositories:
    """Files by repository and name, and what the server answers instead where it should fail."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.status: dict[str, tuple[int, str]] = {}
        self.break_after: int | None = None
        self.requests: list[str] = []
        self.endpoint = ""

    def add_folder(self, name: str, folder: Path) -> None:
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.files[name] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        path = handler.path.partition("?")[0].strip("/")
        is_api = path.startswith("api/models/")
        owner, name, _, revision, *rest = path.removeprefix("api/models/").split("/")
        repository = f"{owner}/{name}"
        status, code = self.status.get(repository, (200, ""))
        if repository not in self.files and status == 200:
            status, code = 404, "RepoNotFound"
        if status == 200 and revision not in ("main", COMMIT):
            status, code = 404, "RevisionNotFound"
        content = b""
        if status == 200 and is_api:
            siblings = [{"rfilename": file, "size": len(data)} for file, data in self.files[repository].items()]
            content = json.dumps({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}).encode()
        elif status == 200:
            content = self.files[repository]["/".join(rest)]
        handler.send_response(status)
        if code:
            handler.send_header("X-Error-Code", code)
        handler.send_header("X-Repo-Commit", COMMIT)
        handler.send_header("ETag", f'"{hash(content):x}"')
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            cut = None if is_api else self.break_after
            handler.wfile.write(content[:cut])


@pytest.fixture
def repositories(tmp_path, monkeypatch) -> Iterator[Repositories]:
    served = Repositories()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed_endpoint() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def hub_spec(name: str = "owner/tiny", files: tuple[str, ...] = ()) -> ModelSpec:
    return ModelSpec(name, name, "", None, "", "hub", repository=name, revision="main", files=files)


def test_a_folder_is_fetched_and_its_commit_known(repositories, tiny_model_folder):
    repositories.add_folder("owner/tiny", tiny_model_folder(248))
    repositories.files["owner/tiny"]["README.md"] = b"words"
    steps: list[tuple[int, int, str]] = []
    fetched = fetch(hub_spec(), lambda *step: steps.append(step), repositories.endpoint)
    assert fetched.revision == COMMIT
    assert {path.name for path in fetched.path.iterdir()} == {path.name for path in tiny_model_folder(248).iterdir()}
    encoder = longclip.load(fetched.path)
    assert np.array_equal(encoder.encode_text(CORPUS), longclip.load(tiny_model_folder(248)).encode_text(CORPUS))
    done = [step[0] for step in steps]
    assert done == sorted(done) and steps[-1][0] == steps[-1][1] == sum(p.stat().st_size for p in fetched.path.iterdir())


def test_the_official_file_is_fetched(repositories, tmp_path):
    # The official weights carry no tokenizer: the model has CLIP's own vocabulary.
    model = build_model(tiny_config(248, 49408))
    checkpoints.write(checkpoints.checkpoint_of(model), tmp_path / "longclip-B.pt", "longclip")
    repositories.files["owner/tiny"] = {"longclip-B.pt": (tmp_path / "longclip-B.pt").read_bytes(), "README.md": b"words"}
    for files in ((), ("longclip-B.pt",)):
        fetched = fetch(hub_spec(files=files), endpoint=repositories.endpoint)
        assert fetched.path.name == "longclip-B.pt"
    encoder = longclip.load(fetched.path)
    assert encoder.context_length == 248
    ids = encoder.tokenizer.batch(CORPUS)
    with torch.inference_mode():
        assert torch.allclose(encoder.text_features(ids), model.eval().encode_text(ids, normalize=True), atol=1e-5)


def test_a_hugging_face_folder_is_fetched(repositories, tmp_path):
    checkpoints.write(checkpoints.checkpoint_of(build_model(tiny_config(248, 49408))), tmp_path, "hugging_face")
    repositories.add_folder("owner/tiny", tmp_path)
    assert longclip.load(fetch(hub_spec(), endpoint=repositories.endpoint).path).context_length == 248


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ({"open_clip_config.json", "open_clip_pytorch_model.bin"}, ("open_clip_config.json", "open_clip_pytorch_model.bin")),
        (
            {
                "config.json",
                "model.safetensors.index.json",
                *(f"model-0000{n}-of-00002.safetensors" for n in (1, 2)),
                "x-1.bin",
            },
            ("config.json", "model.safetensors.index.json", *(f"model-0000{n}-of-00002.safetensors" for n in (1, 2))),
        ),
        ({"mine.safetensors", "README.md"}, ("mine.safetensors",)),
        ({"longclip.pt", "other.safetensors"}, ("longclip.pt",)),
    ],
)
def test_what_is_fetched_of_a_repository_without_an_entry(present, wanted):
    assert hub._choose(resolve("hf-hub:owner/name"), present) == wanted


def test_what_was_fetched_is_found_without_the_hub(repositories, tiny_model_folder, closed_endpoint, monkeypatch):
    repositories.add_folder("owner/tiny", tiny_model_folder(77))
    first = fetch(hub_spec(), endpoint=repositories.endpoint)
    assert fetch(hub_spec(), endpoint=closed_endpoint) == first
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(hub_spec(), endpoint=repositories.endpoint) == first
    named = ("open_clip_config.json", "open_clip_model.safetensors")
    assert fetch(hub_spec(files=named), endpoint=closed_endpoint) == first


def test_half_of_a_model_is_not_taken_for_it(repositories, tiny_model_folder, closed_endpoint):
    repositories.add_folder("owner/tiny", tiny_model_folder(77))
    fetch(hub_spec(files=("open_clip_config.json",)), endpoint=repositories.endpoint)
    with pytest.raises(HubError, match="cannot be reached"):
        fetch(hub_spec(), endpoint=closed_endpoint)


def check_sentence(caught: pytest.ExceptionInfo[HubError]) -> None:
    assert "owner/tiny" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "RepoNotFound", "does not exist on the hub, or is private"),
        (401, "", "status 401. Log in"),
        (401, "GatedRepo", "gated: accept its terms"),
        (403, "GatedRepo", "gated: accept its terms"),
        (403, "", "status 403. Log in"),
        (404, "RepoNotFound", "does not exist"),
        (404, "RevisionNotFound", "has no revision 'main'"),
        (500, "", "not in the cache, and the hub cannot be reached|status 500"),
        (429, "", "status 429"),
    ],
)
def test_refusals_of_the_hub(repositories, status, code, message):
    repositories.status["owner/tiny"] = (status, code)
    with pytest.raises(HubError, match=message) as caught:
        fetch(hub_spec(), endpoint=repositories.endpoint)
    check_sentence(caught)


def test_no_network_is_told_at_once(closed_endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(HubError, match="the hub cannot be reached") as caught:
        fetch(hub_spec(), endpoint=closed_endpoint)
    check_sentence(caught)
    assert sum(waits) < 8


def test_offline_is_told(repositories, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE") as caught:
        fetch(hub_spec(), endpoint=repositories.endpoint)
    check_sentence(caught)
    assert repositories.requests == []


def test_files_that_are_not_there(repositories):
    repositories.files["owner/tiny"] = {"README.md": b"words", "a.pt": b"", "b.pt": b""}
    with pytest.raises(HubError, match="no file longclip-B.pt"):
        fetch(hub_spec(files=("longclip-B.pt",)), endpoint=repositories.endpoint)
    with pytest.raises(HubError, match="no CLIP model in a format read here"):
        fetch(hub_spec(), endpoint=repositories.endpoint)


def test_a_transfer_that_breaks_off(repositories, tiny_model_folder):
    repositories.add_folder("owner/tiny", tiny_model_folder(77))
    repositories.break_after = 100
    with pytest.raises(HubError, match="try again") as caught:
        fetch(hub_spec(), endpoint=repositories.endpoint)
    check_sentence(caught)
    repositories.break_after = None
    assert fetch(hub_spec(), endpoint=repositories.endpoint).revision == COMMIT


def test_a_full_disk(repositories, tiny_model_folder, monkeypatch):
    import huggingface_hub

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    repositories.add_folder("owner/tiny", tiny_model_folder(77))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(HubError, match="the disk is full") as caught:
        fetch(hub_spec(), endpoint=repositories.endpoint)
    check_sentence(caught)


def test_locate(monkeypatch, tiny_model_folder):
    assert hub.locate(tiny_model_folder(77)) == (resolve(tiny_model_folder(77)), tiny_model_folder(77))
    monkeypatch.setattr(hub, "fetch", lambda spec, progress: hub.Fetched(tiny_model_folder(77), COMMIT))
    spec, path = hub.locate("openai/ViT-B-16")
    assert (spec.name, spec.revision, path) == ("openai/ViT-B-16", COMMIT, tiny_model_folder(77))
    with pytest.raises(ValueError, match="is not a model of the hub"):
        fetch(resolve("picturebook-clip"))


def test_from_the_command_line(repositories, tiny_model_folder, tmp_path, closed_endpoint):
    repositories.add_folder("owner/tiny", tiny_model_folder(248))
    command = [sys.executable, "-m", "longclip", "info", "hf-hub:owner/tiny", "--fetch", "--json"]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(longclip.__file__).parents[1])}
    done = subprocess.run(
        command, env={**environment, "HF_ENDPOINT": repositories.endpoint}, capture_output=True, text=True, check=True
    )
    described = json.loads(done.stdout)
    assert described["context_length"] == 248 and described["location"] == f"hf-hub:owner/tiny@{COMMIT}"
    environment["HF_HOME"] = str(tmp_path / "other")
    failed = subprocess.run(command, env={**environment, "HF_ENDPOINT": closed_endpoint}, capture_output=True, text=True)
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    assert failed.stderr.strip().splitlines()[-1].startswith("error: owner/tiny (revision main) is not in the cache")


@pytest.fixture
def pipeline_folder(tiny_model_folder, tmp_path) -> Path:
    from small_pipelines import sd_pipeline

    sd_pipeline(longclip.load(tiny_model_folder(77))).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_a_pipeline_is_fetched_part_by_part_and_nothing_else(repositories, pipeline_folder):
    from longclip.generation.pipelines import load_pipeline

    repositories.add_folder("owner/pipe", pipeline_folder)
    wanted = set(repositories.files["owner/pipe"])
    others = ("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin", "other/model.safetensors")
    repositories.files["owner/pipe"] |= dict.fromkeys((*others, "README.md", "v1-5.ckpt"), b"unwanted")
    steps: list[tuple[int, int, str]] = []
    fetched = fetch_pipeline("owner/pipe", "main", lambda *step: steps.append(step), repositories.endpoint)
    there = {path.relative_to(fetched.path).as_posix() for path in fetched.path.rglob("*") if path.is_file()}
    assert fetched.revision == COMMIT and there == wanted and steps[-1][0] == steps[-1][1]
    assert load_pipeline(str(fetched.path)).unet.config.cross_attention_dim == 64
    # And once more, with no hub to be reached.
    repositories.status["owner/pipe"] = (503, "")
    assert fetch_pipeline("owner/pipe", "main", endpoint=repositories.endpoint).path == fetched.path


def test_shards_of_a_part_are_fetched_in_place_of_the_whole(repositories, pipeline_folder):
    repositories.add_folder("owner/pipe", pipeline_folder)
    files = repositories.files["owner/pipe"]
    files["unet/diffusion_pytorch_model.safetensors.index.json"] = b"{}"
    files |= {f"unet/diffusion_pytorch_model-0000{n}-of-00002.safetensors": b"shard" for n in (1, 2)}
    fetched = fetch_pipeline("owner/pipe", "main", endpoint=repositories.endpoint)
    assert {path.name for path in (fetched.path / "unet").glob("*.safetensors")} == {
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model-00002-of-00002.safetensors",
    }


def test_what_a_pipeline_lacks_is_one_sentence(repositories, pipeline_folder, closed_endpoint):
    repositories.add_folder("owner/pipe", pipeline_folder)
    files = repositories.files["owner/pipe"]
    weights = files.pop("vae/diffusion_pytorch_model.safetensors")
    files["vae/diffusion_pytorch_model.bin"] = weights
    with pytest.raises(HubError, match="no safetensors of its part 'vae'"):
        fetch_pipeline("owner/pipe", "main", endpoint=repositories.endpoint)
    repositories.files["owner/listless"] = files | {"model_index.json": b"[1, 2]"}
    with pytest.raises(HubError, match="lists no parts"):
        fetch_pipeline("owner/listless", "main", endpoint=repositories.endpoint)
    repositories.files["owner/none"] = {"README.md": b"words"}
    with pytest.raises(HubError, match="no file model_index.json"):
        fetch_pipeline("owner/none", "main", endpoint=repositories.endpoint)
    with pytest.raises(HubError, match="hub cannot be reached"):
        fetch_pipeline("owner/other", "main", endpoint=closed_endpoint)
