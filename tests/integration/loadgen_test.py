"""loadgen (tests/bench) against a peer that misbehaves in every way it has to count: make run and make bench believe
what it says. BUILD_DIR names the build (default build/asan)."""

import collections
import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOADGEN = str(pathlib.Path(os.environ.get("BUILD_DIR") or ROOT / "build" / "asan").resolve() / "bench" / "loadgen")

WHOLE = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\n{\n}"
REPLIES = {  # path: what the peer sends, and whether it then closes
    "good": (WHOLE, False),
    "good-then-close": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", True),
    "good-then-gone": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "until-the-end": (b"HTTP/1.0 200 OK\r\n\r\nno length", True),
    "close": (b"", True),
    "half": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", True),
    "no-http": (b"SSH-2.0-x\r\n\r\n", False),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    "too-much": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", False),
    "hang": (None, False),
    "refuse": (b"HTTP/1.1 503 Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", False),
}


class Peer:
    """Serves REPLIES on a free port; /busy is refused twice and then accepted."""

    def __init__(self):
        self.seen = collections.Counter()
        self.release = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=600)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                while self.answer(connection):
                    pass
            except OSError:
                pass

    def answer(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            got = connection.recv(4096)
            if not got:
                return False
            head += got
        path = head.split(b" ")[1].decode()
        self.seen[path] += 1
        kind = path.split("/")[1]
        if kind == "busy":
            kind = "good" if self.seen[path] > 2 else "refuse"
        reply, closes = REPLIES[kind]
        if reply is None:
            self.release.wait(30)
            return False
        connection.sendall(reply)
        return not closes

    def close(self):
        self.release.set()
        self.listener.close()


@pytest.fixture
def peer():
    it = Peer()
    yield it
    it.close()


def run(tmp_path, url, kinds, *options, each=1):
    requests = tmp_path / "requests"
    requests.write_text("".join(f"GET\t/{kind}/{i}\t\t\n" for kind in kinds for i in range(each)))
    replies = tmp_path / "replies"
    done = subprocess.run([LOADGEN, *options, "-q", "-j", "-", "-o", str(replies), url,
                           str(requests)], capture_output=True, text=True, timeout=60)
    if done.returncode == 2:
        return done, None, None
    lines = [line.split("\t", 4) for line in replies.read_text().splitlines()]
    return done, json.loads(done.stdout), {int(line[0]): line for line in lines}


@pytest.mark.parametrize("mode", [["-c", "1"], ["-c", "5"], ["-r", "500"], ["-b"]])
def test_good_requests_are_each_sent_once_and_answered(tmp_path, peer, mode):
    done, summary, replies = run(tmp_path, peer.url, ["good"], "-e", "201", *mode, each=200)
    assert done.returncode == 0
    assert summary["by_status"] == {"201": 200} and summary["errors"] == 0
    assert sorted(replies) == list(range(200)) and replies[7][4] == "{ }"
    assert set(peer.seen.values()) == {1} and len(peer.seen) == 200


@pytest.mark.parametrize("kind,error", [("close", "closed"), ("half", "closed"),
                                        ("no-http", "reply"), ("chunked", "reply"),
                                        ("too-much", "reply"), ("hang", "timeout")])
def test_bad_replies_are_counted_as_errors_and_not_repeated(tmp_path, peer, kind, error):
    done, summary, _ = run(tmp_path, peer.url, [kind, "good"], "-R", "-c", "2", "-t", "500",
                           each=3)
    assert done.returncode == 1
    assert summary["by_error"] == {error: 3} and summary["by_status"] == {"201": 3}
    assert set(peer.seen.values()) == {1}


@pytest.mark.parametrize("kind,status", [("good-then-close", "204"), ("until-the-end", "200")])
def test_a_connection_that_ends_after_the_reply_is_replaced(tmp_path, peer, kind, status):
    done, summary, _ = run(tmp_path, peer.url, [kind], "-c", "1", each=20)
    assert done.returncode == 0 and summary["by_status"] == {status: 20}


def test_a_connection_that_ends_while_idle_is_replaced(tmp_path, peer):
    done, summary, _ = run(tmp_path, peer.url, ["good-then-gone"], "-r", "20", each=10)
    assert done.returncode == 0 and summary["by_status"] == {"204": 10}


def test_503_is_repeated_twice_and_counted(tmp_path, peer):
    done, summary, replies = run(tmp_path, peer.url, ["busy"], "-R", "-e", "201", "-c", "4", each=4)
    assert done.returncode == 0 and summary["retries"] == 8
    assert all(2000 <= int(line[2]) / 1000 <= 3000 for line in replies.values())
    assert set(peer.seen.values()) == {3}


def test_503_without_the_policy_is_the_answer(tmp_path, peer):
    done, summary, _ = run(tmp_path, peer.url, ["refuse"], "-e", "201", each=3)
    assert done.returncode == 3 and summary["by_status"] == {"503": 3}
    assert summary["retries"] == 0


def test_503_for_ever_ends_as_503(tmp_path, peer):
    done, summary, _ = run(tmp_path, peer.url, ["refuse"], "-R", each=1)
    assert done.returncode == 0 and summary["by_status"] == {"503": 1} and summary["retries"] == 2


def test_the_run_ends_by_itself_when_nothing_answers(tmp_path, peer):
    done, summary, _ = run(tmp_path, peer.url, ["hang"], "-c", "2", "-T", "400", each=5)
    assert done.returncode == 1 and summary["by_error"] == {"timeout": 2, "unsent": 3}


def test_a_closed_port_is_a_connect_error(tmp_path, peer):
    peer.close()
    done, summary, _ = run(tmp_path, "http://127.0.0.1:1", ["good"], "-b", each=5)
    assert done.returncode == 1 and summary["by_error"] == {"connect": 5}


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "http://0.0.0.0:80", "http://example.is:80",
                                 "https://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:0"])
def test_only_loopback_is_accepted(tmp_path, url):
    done, _, _ = run(tmp_path, url, ["good"])
    assert done.returncode == 2 and "usage" in done.stderr


@pytest.mark.parametrize("text", ["", "GET\n", "GET\t/\t\n", "get\t/\t\t\n", "GET\tx\t\t\n",
                                  "GET\t/a b\t\t\n", "GET\t/\tA: b\rC: d\t\n"])
def test_a_malformed_request_file_is_refused(tmp_path, text):
    file = tmp_path / "requests"
    file.write_text(text)
    done = subprocess.run([LOADGEN, "http://127.0.0.1:1", str(file)], capture_output=True,
                          text=True, timeout=10)
    assert done.returncode == 2 and done.stderr
