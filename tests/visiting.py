"""A visitor of a running app, who speaks to it over HTTP as the page in a browser does."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx


class Visitor:
    """One visit: calls the page's events by the names of their handlers. seconds: how long each answer may take."""

    def __init__(self, address: str, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._session = uuid.uuid4().hex[:12]
        self._http = httpx.Client(base_url=f"{address.rstrip('/')}/gradio_api/", timeout=seconds)
        config = self._http.get("../config").raise_for_status().json()
        self._events = {event["api_name"]: event["id"] for event in reversed(config["dependencies"]) if event["backend_fn"]}

    def call(self, handler: str, *inputs: Any) -> list[Any]:
        """The last answer of an event, waited for. inputs: values of its components, None for what the server keeps.

        Raises RuntimeError where the page tells of an error.
        """
        body = {"fn_index": self._events[handler], "data": list(inputs), "session_hash": self._session}
        event = self._http.post("queue/join", json=body).raise_for_status().json()["event_id"]
        end = time.monotonic() + self._seconds
        with self._http.stream("GET", "queue/data", params={"session_hash": self._session}) as answers:
            for line in answers.iter_lines():
                # The server sends a sign of life now and then, so that this is looked at also where no answer comes.
                if time.monotonic() > end:
                    raise TimeoutError(f"{handler}: no answer")
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("event_id") == event and message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(str(message["output"]))
                    return message["output"]["data"]
        raise RuntimeError(f"{handler}: the server closed the line")

    def upload(self, *files: Path) -> list[dict[str, Any]]:
        """Sends files; what a component for files holds of them."""
        sent = [("files", (file.name, file.read_bytes())) for file in files]
        paths = self._http.post("upload", files=sent).raise_for_status().json()
        meta = {"_type": "gradio.FileData"}
        return [{"path": path, "orig_name": file.name, "meta": meta} for path, file in zip(paths, files, strict=True)]
