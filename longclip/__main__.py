"""``python -m longclip COMMAND``: what the library does, from the command line."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from longclip import __version__
from longclip.hub import HubError

# Each is the module of that name in longclip.commands, with "_" for "-".
COMMANDS = (
    "info",
    "encode",
    "index",
    "search",
    "export",
    "picturebook",
    "train",
    "train-diffusion",
    "evaluate",
    "rebuild",
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code, 2 for an error that is the user's to mend (one sentence on stderr)."""
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has seen enough. What Python still wants to write when it ends goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    args = _parser(arguments[:1]).parse_args(arguments)
    try:
        with _logging_to_stderr():
            return _module(args.command).run(args)
    except (ValueError, HubError, OSError, FloatingPointError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Tells what the library logs, such as the device that a model computes on, where it does not mix with results."""
    logger, handler = logging.getLogger("longclip"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _parser(chosen: list[str]) -> argparse.ArgumentParser:
    """The parser of the chosen command alone, or of all where none is chosen yet."""
    parser = argparse.ArgumentParser(prog="python -m longclip", description="CLIP and Long-CLIP, side by side.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in [name for name in COMMANDS if name in chosen] or COMMANDS:
        module = _module(name)
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _module(command: str) -> ModuleType:
    return import_module(f"longclip.commands.{command.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
