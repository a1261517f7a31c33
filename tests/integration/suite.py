"""The test harness: real binaries against real PostgreSQL, started by the same code as `make up`.

    def test_health_fresh_service_is_healthy(stack):
        reply = stack.service("elections").get("/health")
        assert reply.status == 200

A test that stops, kills or reconfigures a service starts one of its own: stack.start("elections", WORKERS=1).
What stands in a reply's body is reply.json; log lines are service.logs(); metrics are service.metrics().
"""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import os
import random
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "deploy", "local"))
sys.path.insert(0, os.path.join(HERE, ".."))

import evidence  # noqa: E402
import services  # noqa: E402
from evidence import canary  # noqa: E402
from processes import free_port  # noqa: E402
from stack import Stack  # noqa: E402

# People of most tests are tokens only, and must be signed as Google signs them. Tests of accounts make records and start
# a service that asks for them; naming the Auth emulator also lets its unsigned tokens in.
for voting in ("elections", "events"):
    services.SERVICES[voting] = {**services.SERVICES[voting], "ACCOUNT_CHECK": "off"}
    for emulator in ("FIRESTORE_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST"):
        services.SERVICES[voting].pop(emulator)

BIN_DIR = os.path.join(evidence.BUILD, "bin")
START_TIMEOUT_S = 30  # a sanitized binary on a busy machine


def wait_until(what, timeout_s=10, every_s=0.02):
    """The first true value of what(); fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(every_s)


# --- one reply ------------------------------------------------------------------------------------------------


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: get() ignores case, get_all() keeps repeats
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def call(url, method="GET", body=None, headers=None, token=None, timeout_s=30):
    """One request on a connection of its own. body: bytes as they are, anything else as JSON."""
    parts = urlsplit(url)
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=headers)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    finally:
        connection.close()


def raw(port, *pieces, timeout_s=10, pause_s=0.0):
    """Send bytes as they are, piece by piece; what came back until the server closed or fell silent."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break  # the server has closed already: what it said is still to be read
            if pause_s:
                time.sleep(pause_s)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except OSError:
            pass
    return received


def s2s_headers(secret, method, path, body=b"", key_id=services.S2S_KEY_ID, timestamp=None, nonce=None):
    """The four headers of a signed call (DESIGN §4). path includes the query."""
    timestamp = str(int(time.time()) if timestamp is None else timestamp)
    nonce = nonce or secrets.token_urlsafe(24)
    text = "|".join((method, path, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return {"X-Key-Id": key_id, "X-Timestamp": timestamp, "X-Nonce": nonce,
            "X-Signature": base64.b64encode(signature).decode()}


# --- one running service --------------------------------------------------------------------------------------


class Service:
    """One instance with its own ports and log."""

    document = None  # an openapi.Document: every reply to one of its operations is held against it

    def __init__(self, stack, name, label, port, metrics_port, process=None, env=None):
        self.stack = stack
        self.name = name
        self.label = label
        self.port = port
        self.metrics_port = metrics_port
        self.process = process
        self.env = env or {}
        self.url = f"http://127.0.0.1:{port}"

    def start(self, healthy=True):
        assert self.process is None or not self.process.alive()
        self.process = self.stack.spawn(
            self.name, self.label, **{**self.env, "PORT": self.port, "METRICS_PORT": self.metrics_port})
        if healthy:
            self.process.wait_healthy(f"{self.url}/health", START_TIMEOUT_S)
        return self

    def stop(self, timeout_s=30):
        """SIGTERM; the exit code. Fails when it has to be killed."""
        self.terminate()
        return self.wait(timeout_s)

    def terminate(self):
        self.process.signal(signal.SIGTERM)

    def wait(self, timeout_s=30):
        gone = self.process.wait(timeout_s)
        if not gone:
            self.kill()
        assert gone, f"{self.label} still runs {timeout_s} s after it should have stopped"
        return self.process.exit_code()

    def kill(self):
        self.process.signal(signal.SIGKILL)
        self.process.wait(10)

    def restart(self, **env):
        if self.process.alive():
            self.stop()
        self.env.update(env)
        return self.start()

    def alive(self):
        return self.process is not None and self.process.alive()

    # requests

    def call(self, method, path, body=None, **more):
        reply = call(self.url + path, method, body, **more)
        if self.document and self.document.operation(method, path):
            self.document.check(method, path, reply)
        return reply

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def signed(self, method, path, body=None, headers=None, **more):
        """A server-to-server call with the stack's key; more may hold key_id, secret, timestamp, nonce."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        secret = more.pop("secret", self.stack.secret["s2s-key"])
        signature = s2s_headers(secret, method, path, data, **more)
        media = {"Content-Type": "application/json"} if body is not None else {}
        return call(self.url + path, method, data if body is not None else None,
                    {**media, **signature, **(headers or {})})

    def raw(self, *pieces, **more):
        return raw(self.port, *pieces, **more)

    # logs and metrics

    def log_text(self):
        with open(self.process.log, encoding="utf-8") as log:
            return log.read()

    def log_mark(self):
        """Where the log ends now; logs(mark) gives what comes after."""
        return os.path.getsize(self.process.log)

    def logs(self, mark=0):
        """Log lines as dicts. A line that is no JSON object fails the test (V-F1)."""
        with open(self.process.log, "rb") as log:
            log.seek(mark)
            text = log.read().decode("utf-8")
        lines = text.split("\n")
        assert lines[-1] == "", f"{self.label}: the last log line is not ended: {lines[-1][:200]}"
        found = [json.loads(line) for line in lines[:-1]]
        assert all(isinstance(line, dict) for line in found)
        return found

    def wait_log(self, matches, mark=0, timeout_s=5):
        """The first log line for which matches(line) is true."""
        def search():
            complete = self._complete_lines(mark)
            return next((line for line in complete if matches(line)), None)
        return wait_until(search, timeout_s)

    def _complete_lines(self, mark):
        with open(self.process.log, "rb") as log:
            log.seek(mark)
            return [json.loads(line) for line in log.read().split(b"\n")[:-1]]

    def metrics(self):
        """{'name{labels}': value} of the metrics port."""
        text = call(f"http://127.0.0.1:{self.metrics_port}/metrics").body.decode()
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def metric(self, name, **labels):
        """Sum of all samples of that name whose labels include these."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for sample, value in self.metrics().items()
                   if sample.partition("{")[0] == name and all(label in sample for label in wanted))


# --- the stack ------------------------------------------------------------------------------------------------


class TestStack:
    """A whole suite of its own. Attributes: postgres, cloud, secret."""

    __test__ = False  # the name is not a test class
    numbers = itertools.count(1)

    def __init__(self):
        self.label = f"stack-{os.getpid()}-{next(self.numbers)}"
        self.directory = evidence.remember_stack(tempfile.mkdtemp(prefix="ekklesia-test-"))
        self.stack = Stack(self.directory, BIN_DIR)
        self.own = []  # instances tests started beside the stack's

    def up(self):
        os.environ.update(evidence.sanitizer_environment())
        os.environ.setdefault("PG_TEMPLATE", os.path.join(evidence.run_dir(), "pg-template"))
        try:
            self.stack.up(say=lambda _: None)
        except BaseException:
            self.down()
            raise
        self.secret = self.stack.secret
        self.postgres = self.stack.postgres
        self.cloud = Cloud(self.stack.url("local-cloud"))
        return self

    def down(self):
        """Stop all, keep the logs for the check of the whole run; names of processes that had to be killed."""
        stubborn = self.stop_own()
        stubborn += self.stack.stop()
        evidence.keep_logs(self.stack.path("log"), self.label)
        self.stack.down()
        if os.path.isdir(self.directory):
            os.rmdir(self.directory)
        return stubborn

    def stop_own(self):
        """Names of instances that did not stop by themselves."""
        stubborn = [service.label for service in self.own if service.alive() and not service.process.stop()]
        self.own = []
        return stubborn

    def spawn(self, name, label=None, **env):
        return self.stack.spawn(name, label, **env)

    def service(self, name):
        """The shared instance; do not stop it."""
        ports = self.stack.state["ports"]
        return Service(self, name, name, ports[name], ports[f"{name}.metrics"], self.stack.processes[name])

    def start(self, service_name, healthy=True, **env):
        """A further instance with settings of its own; stopped at the end of the test."""
        label = f"{service_name}-{len(os.listdir(self.stack.path('log')))}"
        service = Service(self, service_name, label, free_port(), free_port(), env=env)
        self.own.append(service)
        service.start(healthy)
        # Should this program be killed, tests/run still finds and stops the instance.
        with open(self.stack.path("pids"), "a", encoding="ascii") as pids:
            pids.write(f"{label} {service.process.pid} {service.process.started or 0}\n")
        return service

    # the database, looked at from outside

    def connect(self, user="postgres", autocommit=True, **more):
        # A time limit of the server's: psycopg2 would sit out a hang without noticing pytest's.
        connection = psycopg2.connect(self.postgres.dsn(user), options="-c statement_timeout=60s", **more)
        connection.autocommit = autocommit
        return connection

    @contextmanager
    def cursor(self, user="postgres"):
        connection = self.connect(user)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def sql(self, statement, parameters=(), user="postgres"):
        """Rows of one statement; [] when it has none. The superuser sees past row-level security."""
        with self.cursor(user) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


class Cloud:
    """Google as the suite knows it: asks the local issuer for tokens."""

    def __init__(self, url):
        self.url = url

    def token(self, **claims):
        reply = call(f"{self.url}/token", "POST", claims)
        assert reply.status == 200, reply
        return remember_token(reply.json["idToken"])

    def tokens(self, people):
        """One call for many: a list of claims gives a list of tokens."""
        reply = call(f"{self.url}/tokens", "POST", {"tokens": people})
        assert reply.status == 200, reply
        return [remember_token(token) for token in reply.json["idTokens"]]

    def app_check(self, app_id="1:1:web:suite", **claims):
        reply = call(f"{self.url}/app-check", "POST", {"app_id": app_id, **claims})
        assert reply.status == 200, reply
        return remember_token(reply.json["token"])


def remember_token(token):
    """Neither payload nor signature of a token may be logged; the header is the same for all."""
    canary(*token.split(".")[1:])
    return token


# --- people ---------------------------------------------------------------------------------------------------

_people = itertools.count(1)
_used = set()


def kennitala():
    """A well-formed number nobody else in this run has, with a right check digit."""
    while True:
        digits = f"{random.randint(1, 28):02}{random.randint(1, 12):02}{random.randint(0, 99):02}{random.randint(20, 99)}"
        rest = sum(int(digit) * weight for digit, weight in zip(digits, (3, 2, 7, 6, 5, 4, 3, 2))) % 11
        check = (11 - rest) % 11
        number = f"{digits}{check}9"
        if check != 10 and number not in _used:
            _used.add(number)
            return canary(number, number[:6] + "-" + number[6:]) and number


def person(member=True, roles=("member",), **more):
    """Claims of somebody new; member None leaves the claim out."""
    number = kennitala()
    uid = canary(f"uid-{next(_people)}-{secrets.token_hex(6)}")
    claims = {"uid": uid, "kennitala": number, "roles": list(roles), **more}
    if member is not None:
        claims["isMember"] = member
    return claims


# --- a bad network --------------------------------------------------------------------------------------------


class TcpProxy:
    """Stands between two parts and fails on demand.

    mode: "pass" both ways · "hang" accepts and moves nothing · "refuse" closes at once · "swallow" lets requests
    through and drops the answers. cut() resets all connections now; delay_s holds every piece back. `accepted` counts
    connections.
    """

    def __init__(self, target_port, target_host="127.0.0.1"):
        self.target = (target_host, target_port)
        self.mode = "pass"
        self.delay_s = 0.0
        self.accepted = 0
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # shutdown wakes the thread that waits in accept(); close alone would not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut()

    def cut(self):
        """Reset every open connection."""
        with self.lock:
            ends, self.open = self.open, set()
        for end in ends:
            try:
                # Linger of zero seconds: the peer gets a reset, as from a machine that died.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.mode == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, timeout=10)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.open |= {client, server}
            for source, sink, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, is_answer), daemon=True).start()

    def _pump(self, source, sink, is_answer):
        try:
            while data := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                while self.mode == "hang" and source.fileno() >= 0:
                    time.sleep(0.01)
                if self.mode == "swallow" and is_answer:
                    continue
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            with self.lock:
                self.open.discard(end)
            end.close()


@contextmanager
def never_accepts():
    """A port of this machine that answers no SYN: its backlog is full, whoever connects waits."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())  # takes the one place, and is never accepted
        yield listener.getsockname()[1]


def is_iso_time(text):
    """2026-11-21T22:32:34.657Z, as every date on the wire is."""
    return isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) is not None
