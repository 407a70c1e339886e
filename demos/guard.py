"""What stands before the page: calls from foreign pages, and from a visitor who wants more than a share, are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from demos.messages import explain, without_places
from demos.server import is_own_name

log = logging.getLogger(__name__)

# Characters that the log keeps of what went wrong.
LOGGED = 200
# Calls of one visitor that may wait, and bytes that one may send at once on a public page.
SHARE, MOST_BYTES = 24, 700_000_000
BUSY = "You have {count} calls waiting already: let them come first."
TOO_LARGE = "That is more than {most:,} MB at once: send fewer files."


class Guard:
    """ASGI middleware. On a page that is not public only this machine's own names are answered; no error is a traceback."""

    def __init__(self, app: Any, public: bool, host: str, waiting: Callable[[str], int]) -> None:
        self.app, self.public, self.host, self.waiting = app, public, host, waiting

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if refused := self._refuse(scope):
            status, sentence = refused
            await JSONResponse({"detail": sentence, "error": sentence}, status)(scope, receive, send)
            return
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            log.warning("refused %s: %s: %.200r", scope["path"][:LOGGED], type(error).__name__, str(error)[:LOGGED])
            if begun:
                raise
            sentence = "This call is not one that the page can answer."
            await JSONResponse({"detail": sentence, "error": sentence}, 400)(scope, receive, send)

    def _refuse(self, scope: Any) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope["path"]
        if not self.public:
            origin = urlsplit(headers.get("origin") or "").netloc
            for name in filter(None, (headers.get("host"), origin)):
                if not is_own_name(name, self.host):
                    return 403, "This page answers to names of its own machine only: start it with --public for others."
        if path.endswith("/queue/join") and (count := self.waiting(visitor_of(scope))) >= SHARE:
            return 503, BUSY.format(count=count)
        if self.public and path.endswith("/upload") and _number(headers.get("content-length")) > MOST_BYTES:
            return 413, TOO_LARGE.format(most=MOST_BYTES // 1_000_000)
        return None


class Page(gr.Blocks):
    """Blocks whose errors are sentences, one line each in the log: also those of what was sent in place of a form's values."""

    public = False

    async def process_api(self, block_fn: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().process_api(block_fn, *arguments, **options)
        except gr.Error as error:
            error.print_exception = False
            error.message = without_places(str(error.message), self.public)
            raise
        except Exception as error:
            name = getattr(block_fn, "name", block_fn)
            log.warning("%s: %s: %.200r", name, type(error).__name__, str(error)[:LOGGED])
            log.debug("in full", exc_info=error)
            raise gr.Error(explain(error, self.public), print_exception=False) from None

    def count_waiting(self, visitor: str) -> int:
        """Calls of a visitor that wait for a place."""
        queues = list(self._queue.event_queue_per_concurrency_id.values())
        calls = [event.request for queue in queues for event in list(queue.queue) if event.request]
        return sum(visitor_of(call.scope) == visitor for call in calls)


def visitor_of(scope: Any) -> str:
    """The address that a call comes from."""
    return (scope.get("client") or ("", 0))[0]


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
