"""Errors as sentences for a visitor: the one place where that is done, and where places of this machine are taken out."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from longclip.gallery import GalleryError
from longclip.hub import HubError
from longclip.images import ImageError
from longclip.registry import assets

# Errors whose message is a sentence for people.
SPOKEN = (HubError, ImageError, GalleryError, ValueError, FileNotFoundError, TimeoutError)
# Characters of a message that are shown.
LONGEST = 600
# A path from the root of this machine: not an address on the web, nor a word with a slash in it.
_PATH = re.compile(r"(?<![\w:/.~-])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|]+[/\\])+([^\s/\\'\"<>|]*)")


class Unavailable(RuntimeError):
    """A model or gallery that cannot be used now; the message is one sentence for the visitor."""


def is_spoken(error: BaseException) -> bool:
    """Whether an error's message is a sentence for people."""
    return isinstance(error, (*SPOKEN, Unavailable)) and not isinstance(error, UnicodeError)


def explain(error: BaseException, public: bool) -> str:
    """A sentence for the visitor, with its full stop. On a public page it names no place of this machine."""
    if isinstance(error, FileNotFoundError) and error.filename:
        text = f"there is no file {error.filename}"
    elif is_spoken(error):
        text = str(error)
    else:
        return f"This could not be done ({type(error).__name__})."
    text = " ".join(text.split())[:LONGEST].rstrip(".")
    return f"{without_places(text, public)}."


def without_places(text: str, public: bool) -> str:
    """A text with the app's own files named from their folder on; on a public page other paths by their last name only."""
    roots = {str(assets()): "assets", tempfile.gettempdir(): ""}
    roots |= {os.environ[name]: "" for name in ("GRADIO_TEMP_DIR", "HF_HOME") if os.environ.get(name)}
    for root, name in sorted(roots.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(f"{root}{os.sep}", f"{name}/" if name else "").replace(root, name or Path(root).name)
    return _PATH.sub(lambda found: found[1] or "a folder", text) if public else text
