"""Clients that hold on to a server instead of asking it something, and an honest one that must be served meanwhile.

    with Crowd(port, "headers", 200), Honest(lambda: service.get("/health").status == 200) as honest:
        ...
    honest.refused == []

One thread serves a whole crowd. A connection that the server ends is counted and opened again.
"""

import selectors
import socket
import threading
import time

POST = (b"POST /api/vote HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        + b"ab" * 32 + b"\r\n")
TCP_REPAIR = 19  # linux/tcp.h


class Way:
    """opening: sent at once; piece: sent every every_s; reads: bytes taken from each reply at a time, None for all."""

    def __init__(self, opening, piece=b"", every_s=0.5, reads=None, vanishes=False):
        self.opening, self.piece, self.every_s = opening, piece, every_s
        self.reads, self.vanishes = reads, vanishes


WAYS = {
    "headers": Way(b"GET /health HTTP/1.1\r\nHost: a\r\n", b"X-a: b\r\n"),
    "body": Way(POST + b"Content-Length: 60000\r\n\r\n", b" "),
    "read": Way(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 200, b"", reads=1),
    "idle": Way(b""),
    "giant": Way(POST + b"Content-Length: 999999999999\r\n\r\n", b" " * 65536, every_s=0.05),
    "endless": Way(POST + b"Transfer-Encoding: chunked\r\n\r\n", b"2000\r\n" + b" " * 0x2000 + b"\r\n", every_s=0.05),
    "head_endless": Way(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"y" * 4096, every_s=0.05),
    # The other machine lost its power: no FIN, no RST, nothing.
    "half_open": Way(b"GET /health HTTP/1.1\r\nHost: a\r\n", vanishes=True),
}


def _vanish(connection):
    """Closes without a word to the peer; False where only root may."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        return False
    connection.close()
    return True


class Crowd:
    def __init__(self, port, way, count):
        self.port, self.way, self.count = port, WAYS[way], count
        self.opened = self.ended = self.vanished = 0
        self.open_now = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _connect(self, selector):
        connection = socket.socket()
        if self.way.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(5)
        try:
            connection.connect(("127.0.0.1", self.port))
            connection.sendall(self.way.opening)
        except OSError:  # the server's queue of connections is full, or it has refused already
            connection.close()
            return False
        connection.setblocking(False)
        self.opened += 1
        if self.way.vanishes and _vanish(connection):
            self.vanished += 1
            return True
        selector.register(connection, selectors.EVENT_READ)
        return True

    def _end(self, selector, connection):
        selector.unregister(connection)
        connection.close()
        self.ended += 1

    def _hear(self, selector):
        """A reply is read as slowly as the way says; the end of a connection is noticed."""
        for key, _ in selector.select(timeout=0):
            try:
                if not key.fileobj.recv(self.way.reads or 65536):
                    self._end(selector, key.fileobj)
            except BlockingIOError:
                pass
            except OSError:
                self._end(selector, key.fileobj)

    def _say(self, selector):
        for key in list(selector.get_map().values()):
            try:
                if self.way.piece:
                    key.fileobj.send(self.way.piece)
            except BlockingIOError:
                pass
            except OSError:
                self._end(selector, key.fileobj)

    def _run(self):
        with selectors.DefaultSelector() as selector:
            while not self._stop.is_set():
                missing = self.count - len(selector.get_map()) - self.vanished
                while missing > 0 and not self._stop.is_set() and self._connect(selector):
                    missing -= 1
                self._hear(selector)
                self._say(selector)
                self.open_now = len(selector.get_map()) + self.vanished
                self._stop.wait(self.way.every_s)
            for key in list(selector.get_map().values()):
                key.fileobj.close()


class Honest:
    """Asks again and again while the crowd is there. ask() is true when it was served as it should be."""

    def __init__(self, ask, pause_s=0.01):
        self.ask, self.pause_s = ask, pause_s
        self.served, self.refused, self.slowest_s = 0, [], 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                answer = self.ask()
            except OSError as error:
                answer = error
            if answer is True:
                self.served += 1
            else:
                self.refused.append(answer)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._stop.wait(self.pause_s)
