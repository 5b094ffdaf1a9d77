"""A network between us and a server that can be cut, or lose what the server says."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Forwarder:
    """Listens on a port of its own and passes everything on.

    Attributes:
        lost: how many of the next requests that change something reach the server while its answer is lost.
        down: connections are cut at once.
    """

    def __init__(self, address: str) -> None:
        self._target = (urlsplit(address).hostname or "", urlsplit(address).port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lost, self.down = 0, False
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.down:
                return
            with socket.create_connection(self._target) as server:
                threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
                while request := client.recv(1 << 16):
                    if self.down:
                        return
                    server.sendall(request)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(1 << 16):
                if self.lost > 0:
                    self.lost -= 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer)
