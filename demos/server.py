"""Where the page listens, whom it answers, and the folder of its files: made at the start, removed at the end."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

HERE, EVERYWHERE, PORT = "127.0.0.1", "0.0.0.0", 7860
# Beginning of the name of a running page's folder; its process is what follows.
FOLDER = "longclip-page-"


class CannotStart(RuntimeError):
    """A page that cannot be opened; the message is one sentence for who starts it."""


def find_address(host: str | None, port: int | None, environment: Mapping[str, str]) -> tuple[str, int]:
    """Where to listen: as the command says, else as Gradio's variables do, else everywhere on a Space and here elsewhere.

    Raises CannotStart for a port that is none.
    """
    host = host or environment.get("GRADIO_SERVER_NAME") or (EVERYWHERE if environment.get("SPACE_ID") else HERE)
    named = str(port if port is not None else environment.get("GRADIO_SERVER_PORT") or PORT)
    if not named.isascii() or not named.isdigit() or not 0 < int(named) < 65536:
        raise CannotStart(f"{named!r} is no port: wanted a number from 1 to 65535.")
    return host, int(named)


def check_address(host: str, port: int) -> None:
    """Raises CannotStart where the page cannot listen there."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        kind, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sentence = f"The page cannot listen on {host}, port {port}: {reason}. Choose others by --host and --port."
        raise CannotStart(sentence) from error


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for all temporary files of this process, what visitors add included; those that were left behind are removed.

    Raises CannotStart where none can be made.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    folder = place / f"{FOLDER}{os.getpid()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(f"{FOLDER}*"):
            if not _runs(left.name.removeprefix(FOLDER)) or left == folder:
                shutil.rmtree(left, ignore_errors=True)
        folder.mkdir()
        (folder / "tried").write_bytes(b"\0" * 4096)
        (folder / "tried").unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sentence = f"The temporary folder {place} cannot be used: {reason}. Name another one by GRADIO_TEMP_DIR."
        raise CannotStart(sentence) from error
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def end_on_signals() -> None:
    """Ends the process as Ctrl-C does when it is told to end."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def leave() -> None:
    """Ends the process at once: threads that still compute would be torn down in the middle of it, with an abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def is_own_name(header: str, host: str) -> bool:
    """Whether a Host header names this machine: an address, localhost, its own name, or what it listens on.

    Any other name may be a stranger's that was made to lead here, whose pages would then read this one.
    """
    name = header.rsplit("@", 1)[-1].strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in {"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}:
        return True
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


def _runs(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True
