"""HTTP by hand, so that a client knows exactly what it sent and whether an answer came.

Nothing is sent a second time here: what happens after a lost answer is what the harness is about.
"""

import json
import socket
import time


class Lost(Exception):
    """No whole answer: the request may have been done or not."""


class Line:
    """One client's connection to one port; kept alive while both sides like it."""

    def __init__(self, port, timeout_s=4.0):
        self.port = port
        self.timeout_s = timeout_s
        self.socket = None

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send(self, data):
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout_s)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(data)
        except OSError as error:
            self.close()
            raise Lost(type(error).__name__) from error

    def receive(self):
        """(status, body as JSON or text) of the answer to what was sent."""
        try:
            return self._receive(time.monotonic() + self.timeout_s)
        except OSError as error:
            self.close()
            raise Lost(type(error).__name__) from error

    def _receive(self, deadline):
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more(deadline)
        lines = data[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = end + 4 + int(headers.get("content-length", 0))
        while len(data) < size:
            data += self._more(deadline)
        body = data[end + 4:size]
        if headers.get("connection", "").lower() == "close":
            self.close()
        try:
            return int(lines[0].split(" ")[1]), json.loads(body)
        except ValueError:
            return int(lines[0].split(" ")[1]), body.decode("latin-1")

    def _more(self, deadline):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.socket.settimeout(left_s)
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        return piece


def request(method, path, body=None, token=None, key=None):
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: chaos\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if key:
        head += f"X-Idempotency-Key: {key}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data
