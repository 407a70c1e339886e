"""Where the page listens, whom it answers, what is said of errors, and what one visitor may keep."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from demos import messages, server, shares
from demos.context import KEEP_SETS, Context, Unavailable
from demos.guard import SHARE, Guard
from longclip.gallery import Gallery
from longclip.registry import assets


@pytest.mark.parametrize(
    ("host", "port", "environment", "wanted"),
    [
        (None, None, {}, ("127.0.0.1", 7860)),
        (None, None, {"SPACE_ID": "owner/space"}, ("0.0.0.0", 7860)),
        (None, None, {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "80"}, ("0.0.0.0", 80)),
        ("10.0.0.1", 9000, {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "80", "SPACE_ID": "x"}, ("10.0.0.1", 9000)),
    ],
)
def test_the_page_listens_where_it_must(host, port, environment, wanted):
    assert server.find_address(host, port, environment) == wanted


@pytest.mark.parametrize("port", ["none", "0", "65536", "-1", "٣"])
def test_a_port_that_is_none_is_a_sentence(port):
    with pytest.raises(server.CannotStart, match="no port"):
        server.find_address(None, None, {"GRADIO_SERVER_PORT": port})


def test_a_port_in_use_is_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(server.CannotStart, match="in use.*--port"):
            server.check_address("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(server.CannotStart, match=r"cannot listen on no\.such\.host\.invalid"):
        server.check_address("no.such.host.invalid", 7860)


def test_what_a_killed_page_left_is_removed_and_what_runs_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    left = tmp_path / f"{server.FOLDER}{ended.stdout.strip()}"
    other = tmp_path / f"{server.FOLDER}{os.getppid()}"
    for folder in (left, other):
        folder.mkdir()
        (folder / "picture.png").write_bytes(b"somebody's")
    with server.own_folder() as folder:
        assert not left.exists() and other.exists() and os.environ["GRADIO_TEMP_DIR"] == str(folder)
        (folder / "picture.png").write_bytes(b"mine")
    assert not folder.exists()


def test_a_temporary_folder_that_cannot_be_used_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(server.CannotStart, match="cannot be used.*GRADIO_TEMP_DIR"), server.own_folder():
        pass


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("localhost:7860", True),
        ("127.0.0.1:7860", True),
        ("[::1]:7860", True),
        ("192.168.1.7", True),
        ("my.lan", True),
        ("evil.example:7860", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
    ],
)
def test_only_names_of_this_machine_are_answered(name, own):
    """A name of somebody else's that is made to lead here is how a foreign page reads a local one."""
    assert server.is_own_name(name, "my.lan") == own


@pytest.mark.parametrize(
    ("public", "headers", "path", "waiting", "status"),
    [
        (False, {"host": "localhost"}, "/config", 0, 200),
        (False, {"host": "evil.example"}, "/config", 0, 403),
        (False, {"host": "localhost", "origin": "https://evil.example"}, "/gradio_api/queue/join", 0, 403),
        (True, {"host": "owner-space.hf.space"}, "/config", 0, 200),
        (True, {"host": "x"}, "/gradio_api/queue/join", SHARE, 503),
        (True, {"host": "x"}, "/gradio_api/queue/join", SHARE - 1, 200),
        (True, {"host": "x", "content-length": "9" * 12}, "/gradio_api/upload", 0, 413),
    ],
)
def test_what_the_guard_lets_pass(public, headers, path, waiting, status):
    assert _answer(_say_yes, public, headers, path, waiting) == status


def test_what_goes_wrong_on_the_way_is_no_traceback(caplog):
    async def fail(scope, receive, send):
        raise KeyError("x" * 100_000)

    assert _answer(fail, True, {"host": "x"}, "/gradio_api/queue/join", 0) == 400
    assert len(caplog.text) < 1000 and "KeyError" in caplog.text and "Traceback" not in caplog.text


async def _say_yes(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _answer(app, public, headers, path, waiting) -> int:
    import asyncio

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "client": ("1.2.3.4", 5)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    guard = Guard(app, public, "127.0.0.1", lambda visitor: waiting if visitor == "1.2.3.4" else 0)
    asyncio.run(guard(scope, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("text", "public", "shown"),
    [
        ("no file {assets}/models/x/a.json", False, "no file assets/models/x/a.json"),
        ("no file {assets}/models/x/a.json", True, "no file assets/models/x/a.json"),
        ("no file /srv/secret/models/a.json: try", True, "no file a.json: try"),
        ("no file '/srv/secret/models/a.json'", True, "no file 'a.json'"),
        ("no file /srv/secret/models/a.json", False, "no file /srv/secret/models/a.json"),
        ("see https://huggingface.co/owner/name, and/or hf-hub:owner/name", True, None),
        ("ViT-B/16 and/or a picture/caption", True, None),
    ],
)
def test_no_message_on_a_public_page_names_a_place_of_its_machine(text, public, shown):
    text = text.format(assets=assets())
    assert messages.without_places(text, public) == (text if shown is None else shown)


def test_every_missing_file_of_the_assets_is_told_without_the_servers_path(tmp_path, monkeypatch):
    """As a public page with a model folder that lacks a file says it."""
    monkeypatch.setenv("LONGCLIP_ASSETS", str(tmp_path / "secret-place"))
    for name in ("picturebook-clip", "picturebook-longclip"):
        (tmp_path / "secret-place" / "models" / name).mkdir(parents=True)
    context = Context(public=True)
    asked = [
        lambda: context.encoder("picturebook-clip"),
        lambda: context.gallery("picturebook"),
        context.detector,
        lambda: context.pipeline("picturebook-diffusion"),
    ]
    for ask in asked:
        with pytest.raises(Unavailable) as found:
            ask()
        assert str(tmp_path) not in str(found.value) and "secret-place" not in str(found.value)


def test_what_is_not_for_people_is_not_told():
    assert messages.explain(KeyError("/srv/secret"), True) == "This could not be done (KeyError)."
    assert "codec" not in messages.explain(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), True)


def test_who_keeps_too_much_gives_way_to_nobody_elses_loss():
    """Forty sets of one visitor's, who is the latest, and one of another's."""
    context = Context()
    other = context.keep(_gallery(), "other")
    own = [context.keep(_gallery(), "greedy") for _ in range(3 * KEEP_SETS)]
    assert len(context.gallery(other)) == 1
    kept = [key for key in own if _is_there(context, key)]
    assert kept == own[-KEEP_SETS:]


def test_of_all_that_is_kept_who_has_most_gives_way():
    kept = {f"a{number}": ("a", number) for number in range(6)} | {f"b{number}": ("b", -number) for number in range(2)}
    assert shares.excess(kept, 10, 5) == ["a0", "a1", "a2"]
    assert shares.excess(kept, 4, 10) == ["a0", "a1"] and shares.excess(kept, 10, 10) == []


def test_own_pictures_are_not_kept_for_ever(monkeypatch):
    context, now = Context(), [1000.0]
    monkeypatch.setattr("demos.context.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Context.keep.__globals__["Kept"].__dataclass_fields__["used"], "default_factory", lambda: now[0])
    key = context.keep(_gallery(), "me")
    context._kept[key].used = now[0]
    now[0] += 3599
    assert len(context.gallery(key)) == 1, "used again, it stays for another hour"
    now[0] += 3599
    context.drop_old()
    assert len(context.gallery(key)) == 1
    now[0] += 3601
    context.drop_old()
    assert key not in context._kept and not _is_there(context, key)


def _gallery() -> Gallery:
    return Gallery.from_pictures([("dot.png", _DOT)], limit=1)


def _is_there(context: Context, key: str) -> bool:
    try:
        return len(context.gallery(key)) == 1
    except Unavailable:
        return False


def _dot() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


_DOT = _dot()
