"""healthz from outside: configuration, dependencies, the login service's key cache; nothing secret (contract §3.11)."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading

import pytest

import kenni as provider
from flaky import Flaky
from kenni import Kenni
from members import MembersStack
from suite import canary, kennitala, wait_until

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def members():
    with MembersStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def shared_kenni():
    with Kenni() as kenni:
        yield kenni


@pytest.fixture
def kenni(shared_kenni):
    shared_kenni.reset()
    yield shared_kenni
    shared_kenni.reset()


class Django:
    """Asks for a token, as the register does; `status` is its answer."""

    def __init__(self):
        self.status, self.seen = 401, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/felagar"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def django():
    running = Django()
    yield running
    running.close()


@pytest.fixture
def flaky(members):
    running = Flaky(members.firestore_host)
    yield running
    running.close()


@pytest.fixture
def start(members, kenni, django):
    django.status = 401

    def make(name="healthz", **env):
        settings = {**kenni.settings(), "DJANGO_API_BASE_URL": django.url, "DJANGO_API_TOKEN": TOKEN}
        return members.start(name, **{**settings, **env})
    canary(TOKEN)
    yield make
    assert not members.stop_own()


def fresh(service):
    """/ looks again when the last look is old."""
    reply = service.get("/")
    assert reply.status == 200
    return reply.json


def test_all_well(start):
    service = start()
    health = fresh(service)
    assert health["ok"] is True and health["issuerConfigured"] is True and health["checked"] is True
    assert health["env"] == {"KENNI_IS_ISSUER_URL": True, "KENNI_IS_CLIENT_ID": True, "KENNI_IS_CLIENT_SECRET": True,
                             "KENNI_IS_REDIRECT_URI": True, "DJANGO_API_TOKEN": True}
    assert health["dependencies"] == {"firestore": True, "kenni": True, "django": True}
    assert health["correlationId"] and "reasons" not in health
    for path in ("/health", "/healthz"):
        reply = service.get(path, headers={"X-Correlation-ID": "mine-1"})
        assert reply.json["ok"] is True and reply.json["correlationId"] == "mine-1" == reply.headers["X-Correlation-ID"]
    assert service.get("/health/ready").status == 200


def test_nothing_secret_and_no_token_is_sent(start, kenni, django):
    django.seen.clear()
    service = start()
    text = json.dumps(fresh(service)) + service.get("/health").body.decode()
    for secret in (TOKEN, provider.CLIENT_SECRET, provider.CLIENT_ID, kenni.issuer, django.url):
        assert secret not in text
    assert django.seen and all(authorization is None for _, authorization in django.seen)


def test_before_the_first_look_it_is_not_green(start, kenni):
    kenni.faults["discovery"] = provider.slow(1.5)
    service = start()
    health = service.get("/health").json
    assert health["ok"] is False and health["reasons"] == ["not checked yet"] and health["checked"] is False


@pytest.mark.parametrize("missing", ["KENNI_IS_ISSUER_URL", "KENNI_IS_CLIENT_ID", "KENNI_IS_CLIENT_SECRET",
                                     "KENNI_IS_REDIRECT_URI", "DJANGO_API_TOKEN"])
def test_missing_setting_is_false(start, missing):
    health = fresh(start(**{missing: None}))
    assert health["ok"] is False and health["env"][missing] is False and sum(health["env"].values()) == 4
    assert "configuration" in health["reasons"]
    assert health["issuerConfigured"] is (missing != "KENNI_IS_ISSUER_URL")


@pytest.mark.parametrize("name,spelling", [
    ("DJANGO_API_TOKEN", "django-api-token"), ("KENNI_IS_CLIENT_SECRET", "kenni-client-secret"),
    ("KENNI_IS_CLIENT_SECRET", "KENNI_CLIENT_SECRET")])
def test_either_spelling_of_a_secret_counts(start, name, spelling):
    health = fresh(start(**{name: None, spelling: "s" * 20}))
    assert health["ok"] is True and health["env"][name] is True


def test_secret_from_a_file_counts(start, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert fresh(start(DJANGO_API_TOKEN=None, DJANGO_API_TOKEN_FILE=str(tmp_path / "token")))["env"]["DJANGO_API_TOKEN"] is True


def test_kenni_down_hanging_or_somebody_else(start, kenni):
    service = start()
    for fault in (provider.status(500), provider.status(200, b"<html>", "text/html"), provider.huge(), provider.hang(),
                  provider.status(200, json.dumps({"issuer": kenni.issuer + "/"}).encode())):
        kenni.faults["discovery"] = fault
        wait_until(lambda: fresh(service)["reasons"] == ["kenni"] if not fresh(service)["ok"] else False, 15, 0.3)
        kenni.faults.clear()
        wait_until(lambda: fresh(service)["ok"], 15, 0.3)


def test_django_failing(start, django):
    service = start()
    assert fresh(service)["ok"] is True
    django.status = 502
    wait_until(lambda: not fresh(service)["ok"], 10, 0.3)
    assert fresh(service)["reasons"] == ["django"] and fresh(service)["dependencies"]["django"] is False
    assert service.get("/health/ready").status == 503


def test_all_down_names_all(start, flaky, kenni, django):
    kenni.faults["discovery"] = provider.status(500)
    django.status = 500
    flaky.fail("/documents")
    service = start(FIRESTORE_EMULATOR_HOST=flaky.host, KENNI_IS_CLIENT_ID=None)
    health = fresh(service)
    assert health["reasons"] == ["configuration", "firestore", "kenni", "django"]


def test_firestore_hanging_is_answered_at_once(start, flaky):
    service = start(FIRESTORE_EMULATOR_HOST=flaky.host)
    assert fresh(service)["ok"] is True
    flaky.fail("/documents", "hang")
    time.sleep(2.1)
    reply = service.get("/health")  # Firestore hangs for longer than this waits
    assert reply.status == 200 and reply.json["ok"] is False
    assert reply.json["dependencies"] == {"firestore": False, "kenni": True, "django": True}


def test_jwks_figures_are_those_of_all_login_instances(members, start, kenni):
    members.clear("jwks_stats")
    health = start()
    assert fresh(health)["jwks"] == {"hits": 0, "misses": 0, "size": 0, "instances": 0}
    logins = [start("handlekenniauth", JWKS_REPORT_INTERVAL_MS=100) for _ in range(2)]
    for number, service in enumerate((logins[0], logins[0], logins[1], logins[1], logins[1])):
        reply = service.post("/", kenni.login(national_id=kennitala()), headers={"X-Forwarded-For": f"198.19.0.{number + 1}"})
        assert reply.status == 200, reply
    own = [service.get("/health").json["jwks"] for service in logins]
    expected = {"hits": sum(one["hits"] for one in own), "misses": sum(one["misses"] for one in own), "size": 1, "instances": 2}
    assert expected["hits"] >= 5 and expected["misses"] == 2
    wait_until(lambda: fresh(health)["jwks"] == expected, 15, 0.3)
    assert all(service.stop() == 0 for service in logins)  # figures outlive the instances
    time.sleep(2.1)
    assert fresh(health)["jwks"]["instances"] == 2


def test_old_figures_do_not_count(members, start):
    members.clear("jwks_stats")
    members.set("jwks_stats/old", hits=5, misses=5, size=1, expiresAt={"timestampValue": "2020-01-01T00:00:00Z"})
    assert fresh(start())["jwks"]["hits"] == 0


def test_data_versions(members, start):
    members.clear("sync_logs")
    assert fresh(start())["data"] == {"lastMemberSync": None}
    members.set("sync_logs/a", created_at={"timestampValue": "2026-01-01T00:00:00Z"}, stats={"failed": 0})
    members.set("sync_logs/b", created_at={"timestampValue": "2026-02-01T00:00:00Z"}, stats={"failed": 0})
    assert fresh(start())["data"] == {"lastMemberSync": "2026-02-01T00:00:00.000Z"}


@pytest.mark.parametrize("path", ["/", "/health", "/healthz"])
def test_methods(start, path):
    service = start()
    reply = service.call("OPTIONS", path, headers={"Origin": "http://localhost:3000"})
    assert reply.status == 204 and reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        reply = service.call(method, path)
        assert reply.status == 405 and reply.json["error"] == "METHOD_NOT_ALLOWED" and reply.json["correlationId"]
    assert service.call("HEAD", path).status == 200


def test_many_asks_are_one_look(start, kenni):
    service = start()
    fresh(service)
    before = kenni.calls["discovery"]
    for _ in range(30):
        fresh(service)
        service.get("/health")
    assert kenni.calls["discovery"] - before <= 5  # not one each: at most one in two seconds
