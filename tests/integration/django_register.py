"""The register for tests: a real Django (tests/peers/django) and what a test does with it.

    with Django() as register:
        stack.start("updatememberprofile", **register.settings())
        member_id = register.create(ssn=kennitala(), name="Anna", contact_info={"email": …})
        register.fault("POST", "/api/sync/address/", "refuse_success")
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile

import evidence
from evidence import canary
from processes import end, free_port
from suite import call, wait_until

SERVER = os.path.join(evidence.ROOT, "tests", "peers", "django", "server.py")
PREFIX = "/felagar"
START_TIMEOUT_S = 40


def why_not():
    """Reason to skip, or None."""
    for name, package in (("django", "python3-django"), ("rest_framework", "python3-djangorestframework")):
        if importlib.util.find_spec(name) is None:
            return f"{package} is not installed"
    return None


class Django:
    def __init__(self, sync_url="", sync_key="", signing_key_id="", signing_key="", members=0):
        self.directory = tempfile.mkdtemp(prefix="ekklesia-django-")
        self.port = free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.base = self.root + PREFIX
        self.token = canary(secrets.token_hex(20))
        self.arguments = ["--sync-url", sync_url, "--sync-key", sync_key, "--signing-key-id", signing_key_id,
                          "--signing-key", signing_key, "--members", str(members)]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", SERVER, "--port", str(self.port), "--data", self.directory, "--token", self.token,
             *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(os.path.join(self.directory, "stderr"), "w", encoding="utf-8"))
        try:
            wait_until(self._answers, START_TIMEOUT_S, 0.1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        end(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self):
        assert self.process.poll() is None, open(os.path.join(self.directory, "stderr"), encoding="utf-8").read()[-2000:]
        try:
            return call(f"{self.root}/_peer/calls", timeout_s=5).status == 200
        except OSError:
            return False

    def settings(self, **more):
        """Environment of a service that calls the register."""
        return {"DJANGO_API_BASE_URL": self.base, "DJANGO_API_TOKEN": self.token, "ALLOW_HTTP_UPSTREAMS": "true", **more}

    def peer(self, method, path, body=None):
        reply = call(f"{self.root}/_peer{path}", method, body)
        assert reply.status == 200, reply
        return reply.json

    def create(self, **fields):
        return self.peer("POST", "/members", fields)["id"]

    def change(self, member_id, **fields):
        return self.peer("PATCH", f"/members/{member_id}", fields)

    def delete(self, member_id):
        self.peer("DELETE", f"/members/{member_id}")

    def fault(self, method, path, kind, times=1, **more):
        self.peer("POST", "/faults", {"method": method, "path": PREFIX + path, "kind": kind, "times": times, **more})

    def forget(self):
        self.peer("DELETE", "")

    def calls(self, method=None):
        return [one for one in self.peer("GET", "/calls")["calls"] if method in (None, one["method"])]

    def most_at_once(self):
        return self.peer("GET", "/overlap")["most"]

    def events(self):
        return self.peer("GET", "/events")["events"]

    def deliveries(self):
        return self.peer("GET", "/deliveries")["deliveries"]

    def api(self, method, path, body=None, token=None):
        headers = {"Authorization": f"Token {token or self.token}"} if token != "" else {}
        return call(self.base + path, method, body, headers)

    def member(self, member_id):
        reply = self.api("GET", f"/api/full/{member_id}/")
        return reply.json if reply.status == 200 else None
