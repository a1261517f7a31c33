"""An HTTP proxy that fails on demand; see Flaky."""

import random
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOGLE_BUSY = b'{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}'


class Flaky:
    """Stands between two parts and fails single calls, chosen by a part of the request line and of the body.

        flaky.fail(":commit", times=1)                  503 before it is done
        flaky.fail(":commit", "after")                  done, and the answer lost
        flaky.fail(":lookup", "hang", body=b"uid")      no answer for a minute
        flaky.fail("/api/vote", "cut", chance=0.1)      done, and half of the answer lost; one time in ten
    """

    def __init__(self, target, busy=GOOGLE_BUSY):
        """busy: body of the 503."""
        outer = self
        self.rules, self.seen = [], []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                mode = outer.judge(f"{self.command} {self.path}", body)
                if mode == "before":
                    self.answer(503, busy, {"Retry-After": "1"})
                    return
                if mode == "hang":
                    outer.closing.wait(60)
                    self.close_connection = True
                    return
                upstream = HTTPConnection(target, timeout=60)
                upstream.request(self.command, self.path, body, dict(self.headers))
                reply = upstream.getresponse()
                data = reply.read()
                upstream.close()
                if mode == "after":  # done, and the answer lost
                    self.close_connection = True
                    return
                kept = {name: reply.headers[name] for name in ("Retry-After",) if name in reply.headers}
                self.answer(reply.status, data, kept, cut=mode == "cut")

            do_GET = do_PATCH = do_DELETE = do_POST

            def answer(self, status, data, headers, cut=False):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:len(data) // 2] if cut else data)
                self.close_connection = self.close_connection or cut

        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def fail(self, part, mode="before", times=10**6, body=b"", chance=1.0):
        self.rules.append([part, mode, times, body, chance])

    def judge(self, line, body):
        self.seen.append(line)
        for rule in self.rules:
            if rule[0] in line and rule[3] in body and rule[2] > 0 and random.random() < rule[4]:
                rule[2] -= 1
                return rule[1]
        return None

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
