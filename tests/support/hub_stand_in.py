"""A stand-in for the Hugging Face Hub on this machine: no more than what an upload asks of it, in memory. It is not
the Hub: what the Hub refuses or renders is not tested by it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HubStandIn:
    """What was uploaded.

    Attributes:
        repositories: name -> whether it is private.
        files: (repository, path) -> content.
        token: what has to be sent; requests without it get 401.
    """

    address: str = ""
    token: str = "hf_stand_in"
    repositories: dict[str, bool] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def hub_stand_in() -> Iterator[HubStandIn]:
    """Serves on a port of the loopback interface within the block."""
    hub = HubStandIn()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _say(self, status: int, found: Any = None) -> None:
            text = json.dumps(found if found is not None else {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_PUT(self) -> None:
            hub.large[self.path.rpartition("/")[2]] = self._body()
            self._say(200)

        def do_GET(self) -> None:
            self._say(200, {"id": "x", "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self._body()
            if self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self._say(401, {"error": "Invalid username or password."})
            if self.path == "/api/repos/create":
                return self._create(json.loads(body))
            name = "/".join(self.path.removeprefix("/api/models/").lstrip("/").split("/")[:2]).removesuffix(".git")
            if self.path.endswith("/objects/batch"):
                return self._say(200, self._batch(json.loads(body)))
            if "/preupload/" in self.path:
                asked = json.loads(body)["files"]
                modes = {True: "lfs", False: "regular"}
                rows = [
                    {"path": f["path"], "uploadMode": modes[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                    for f in asked
                ]
                return self._say(200, {"files": rows})
            if "/commit/" in self.path:
                return self._commit(name, body)
            return self._say(200)

        def _create(self, asked: dict[str, Any]) -> None:
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if name in hub.repositories:
                return self._say(409, {"error": "You already created this model repo", "url": f"{hub.address}/{name}"})
            private = asked.get("private", asked.get("visibility") == "private")
            hub.repositories[name] = bool(private)
            return self._say(200, {"url": f"{hub.address}/{name}", "name": name})

        def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
            rows = [
                {**one, "actions": {"upload": {"href": f"{hub.address}/put/{one['oid']}"}}} for one in asked["objects"]
            ]
            return {"transfer": "basic", "objects": rows}

        def _commit(self, name: str, body: bytes) -> None:
            for line in filter(None, body.split(b"\n")):
                row = json.loads(line)
                value = row["value"]
                if row["key"] == "file":
                    hub.files[name, value["path"]] = base64.b64decode(value["content"])
                elif row["key"] == "lfsFile":
                    hub.files[name, value["path"]] = hub.large[value["oid"]]
            self._say(200, {"commitUrl": f"{hub.address}/{name}/commit/0", "commitOid": "0" * 40, "success": True})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
