"""The members' platform for tests: services beside a Firestore and an Identity Toolkit, without a database.

    with MembersStack() as stack:
        service = stack.start("handlekenniauth", **kenni.settings())
        stack.set("members/0101302989", membership={"status": "active"})
        stack.account(uid)                 the account as Identity Toolkit has it, or None

Google is the local stand-in, or (google=True) Google's own emulators.
"""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from urllib.parse import quote

import evidence
import firestore_emulator
import openapi
import services
from evidence import canary
from firestore_emulator import FirestoreEmulator, plain, typed
from kenni import Key
from processes import free_port
from stack import Stack
from suite import BIN_DIR, Cloud, TestStack, call, wait_until

services.SERVICES.update(services.MEMBERS_SERVICES)

PEERS = os.path.join(evidence.ROOT, "tests", "peers")
FIREBASE = os.environ.get("FIREBASE_TOOLS") or os.path.join(PEERS, "node_modules", ".bin", "firebase")
SERVICE_ACCOUNT = f"login@{services.PROJECT_ID}.iam.gserviceaccount.com"
CLOUD = "local-cloud"


def why_no_google():
    """Reason to skip what needs Google's emulators, or None."""
    if not os.access(FIREBASE, os.X_OK):
        return "the Firebase Auth emulator is not installed (npm package firebase-tools; set FIREBASE_TOOLS)"
    return firestore_emulator.why_not()


class NoDatabase:
    port = 0

    def running(self):
        return True

    def stop(self):
        pass

    def url(self, _):
        return ""


class CloudStack(Stack):
    """Only the stand-in for Google; the services are started by the tests."""

    def _ensure_database(self, say):
        self.postgres = NoDatabase()
        return False

    def built(self):
        return [name for name in super().built() if name == CLOUD]

    def _choose_postgres_dir(self):
        return self.path("no-postgres")

    def environment(self, name):
        for label in (name, f"{name}.metrics"):
            self._port(label, 0)
        return super().environment(name)


class AuthEmulator:
    """Firebase's own; takes ten seconds to start, so one serves a whole module."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="ekklesia-auth-")
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = {"emulators": {"auth": {"host": "127.0.0.1", "port": self.port}, "ui": {"enabled": False},
                                "hub": {"host": "127.0.0.1", "port": free_port()},
                                "logging": {"host": "127.0.0.1", "port": free_port()}, "singleProjectMode": False}}
        with open(os.path.join(self.directory, "firebase.json"), "w", encoding="utf-8") as out:
            json.dump(config, out)
        self.process = subprocess.Popen(
            [FIREBASE, "emulators:start", "--only", "auth", "--project", services.PROJECT_ID], cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "HOME": self.directory, "CI": "1", "FIREBASE_CLI_DISABLE_UPDATE_CHECK": "1"})
        wait_until(self._answers, 170, 0.2)  # ten seconds, where nobody else wants the machine

    def _answers(self):
        try:
            return call(f"http://{self.host}/", timeout_s=2).status == 200
        except OSError:
            assert self.process.poll() is None, "the Auth emulator did not start"
            return False

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # the group this object started
            self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)


class MembersStack(TestStack):
    __test__ = False
    counter = itertools.count(1)

    def __init__(self, google=False):
        self.google = google
        self.label = f"members-{os.getpid()}-{next(self.counter)}"
        self.directory = evidence.remember_stack(tempfile.mkdtemp(prefix="ekklesia-test-"))
        self.stack = CloudStack(self.directory, BIN_DIR)
        self.own = []
        self.emulators = []

    def __enter__(self):
        os.environ.update(evidence.sanitizer_environment())
        try:
            self.stack.up(say=lambda _: None)
            self.secret = self.stack.secret
            self.cloud = Cloud(self.stack.url(CLOUD)) if CLOUD in self.stack.processes else None
            self._open_google() if self.google else self._open_stand_in()
        except BaseException:
            self.__exit__()
            raise
        self._write_key_file()
        return self

    def __exit__(self, *_):
        stubborn = self.down()
        for emulator in reversed(self.emulators):
            emulator.stop() if isinstance(emulator, AuthEmulator) else emulator.__exit__()
        assert not stubborn, f"did not stop after SIGTERM: {stubborn}"

    def _open_stand_in(self):
        self.firestore_host = self.auth_host = self.stack.url(CLOUD).removeprefix("http://")

    def _open_google(self):
        firestore = FirestoreEmulator(services.PROJECT_ID)
        firestore.__enter__()
        self.emulators.append(firestore)
        auth = AuthEmulator()
        self.emulators.append(auth)
        self.firestore_host, self.auth_host = firestore.host, auth.host
        for _ in range(5):  # the first calls to a Java program are its slowest
            self.set("warm/up", n=1)
            self.find("warm", "n", "1")
        self.delete("warm/up")

    def _write_key_file(self):
        """A service account's key as Google hands it out; the stand-in has made one and signs with no other."""
        self.key_file = self.stack.path("secrets", "service-account.json")
        if os.path.exists(self.key_file):
            with open(self.key_file, encoding="ascii") as text:
                file = json.load(text)
            self.account_email = file["client_email"]
            self.account_key = Key(file["private_key_id"], file["private_key"])
            return
        self.account_email = SERVICE_ACCOUNT
        self.account_key = Key("service-account")
        canary(*[line for line in self.account_key.pem().splitlines() if len(line) > 40])
        with open(self.key_file, "w", encoding="ascii") as out:
            json.dump({"type": "service_account", "project_id": services.PROJECT_ID,
                       "private_key_id": self.account_key.kid, "private_key": self.account_key.pem(),
                       "client_email": SERVICE_ACCOUNT, "token_uri": "https://oauth2.googleapis.com/token"}, out)

    def stop_own(self):
        stubborn = super().stop_own()
        if os.path.exists(getattr(self, "key_file", "")) and not self.stack.state:
            os.unlink(self.key_file)
        return stubborn

    def start(self, service_name, healthy=True, **env):
        settings = {"FIRESTORE_EMULATOR_HOST": self.firestore_host, "FIREBASE_AUTH_EMULATOR_HOST": self.auth_host,
                    "GOOGLE_APPLICATION_CREDENTIALS": self.key_file}
        service = super().start(service_name, healthy, **{**settings, **env})
        service.document = openapi.document_of(service_name)
        return service

    # --- Firestore, looked at from outside ---

    @property
    def documents(self):
        return f"http://{self.firestore_host}/v1/projects/{services.PROJECT_ID}/databases/(default)/documents"

    def get(self, path):
        """Plain fields, or None."""
        reply = call(f"{self.documents}/{quote(path)}", token="owner")
        assert reply.status in (200, 404), reply
        return plain(reply.json.get("fields")) if reply.status == 200 else None

    def set(self, path, **fields):
        reply = call(f"{self.documents}/{quote(path)}", "PATCH", {"fields": typed(fields)}, token="owner")
        assert reply.status == 200, reply

    def merge(self, path, **fields):
        query = "&".join(f"updateMask.fieldPaths={name}" for name in fields)
        reply = call(f"{self.documents}/{quote(path)}?{query}", "PATCH", {"fields": typed(fields)}, token="owner")
        assert reply.status == 200, reply

    def delete(self, path):
        assert call(f"{self.documents}/{quote(path)}", "DELETE", token="owner").status == 200

    def find(self, collection, field=None, value=None):
        """{id: plain fields} of a collection, or of those where field == value."""
        query = {"from": [{"collectionId": collection}]}
        if field:
            query["where"] = {"fieldFilter": {"field": {"fieldPath": field}, "op": "EQUAL",
                                              "value": {"stringValue": value}}}
        reply = call(f"{self.documents}:runQuery", "POST", {"structuredQuery": query}, token="owner")
        assert reply.status == 200, reply
        found = [row["document"] for row in reply.json if "document" in row]
        return {one["name"].rpartition("/")[2]: plain(one.get("fields")) for one in found}

    def find_below(self, path, collection):
        """Plain fields of all documents of a collection below a document."""
        reply = call(f"{self.documents}/{quote(path)}:runQuery", "POST",
                     {"structuredQuery": {"from": [{"collectionId": collection}]}}, token="owner")
        assert reply.status == 200, reply
        return [plain(row["document"].get("fields")) for row in reply.json if "document" in row]

    def clear(self, collection):
        for name in self.find(collection):
            self.delete(f"{collection}/{name}")

    # --- Identity Toolkit ---

    def toolkit(self, verb, body):
        return call(f"http://{self.auth_host}/identitytoolkit.googleapis.com/v1/projects/{services.PROJECT_ID}/accounts"
                    f"{verb}", "POST", body, token="owner")

    def account(self, uid):
        reply = self.toolkit(":lookup", {"localId": [uid]})
        assert reply.status == 200, reply
        users = reply.json.get("users") or [None]
        return users[0]

    def claims(self, uid):
        account = self.account(uid)
        return json.loads(account.get("customAttributes") or "{}") if account else None

    def create_account(self, uid, claims=None, **more):
        assert self.toolkit("", {"localId": uid, **more}).status == 200
        if claims is not None:
            self.update_account(uid, customAttributes=json.dumps(claims))

    def update_account(self, uid, **more):
        reply = self.toolkit(":update", {"localId": uid, **more})
        assert reply.status == 200, reply

    def sign_in(self, custom_token):
        """What the Firebase client does with a custom token; the ID token's claims and the token."""
        reply = call(f"http://{self.auth_host}/identitytoolkit.googleapis.com/v1/accounts:signInWithCustomToken?key=any",
                     "POST", {"token": custom_token, "returnSecureToken": True})
        assert reply.status == 200, reply
        token = reply.json["idToken"]
        canary(token.split(".")[1])
        return payload(token), token

    def id_token(self, uid, **claims):
        """An ID token of that account, as the emulators issue them (unsigned)."""
        now = int(time.time())
        token = firestore_emulator.unsigned(services.PROJECT_ID, {"uid": uid, "auth_time": now, **claims})
        canary(token.split(".")[1])
        return token

    def verify_custom_token(self, token):
        """Its claims, after checking that the service account signed it."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        head, body, signature = token.split(".")
        raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        self.account_key.private.public_key().verify(raw, f"{head}.{body}".encode(), padding.PKCS1v15(),
                                                     hashes.SHA256())
        return payload(token)


def payload(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
