"""An HTTP proxy that fails on demand; see Flaky."""

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Flaky:
    """Stands between a service and Google and fails single calls, chosen by a part of the request line and of the body.

        flaky.fail(":commit", times=1)                  503 before it is done
        flaky.fail(":commit", "after")                  done, and the answer lost
        flaky.fail(":lookup", "hang", body=b"uid")      no answer for a minute
    """

    def __init__(self, target):
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
                    self.answer(503, b'{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}')
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
                self.answer(reply.status, data)

            do_GET = do_PATCH = do_DELETE = do_POST

            def answer(self, status, data):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def fail(self, part, mode="before", times=10**6, body=b""):
        self.rules.append([part, mode, times, body])

    def judge(self, line, body):
        self.seen.append(line)
        for rule in self.rules:
            if rule[0] in line and rule[3] in body and rule[2] > 0:
                rule[2] -= 1
                return rule[1]
        return None

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
