"""Google's own Firestore emulator, where it is installed; tests that need it are skipped elsewhere.

    with FirestoreEmulator() as emulator:
        emulator.host          "127.0.0.1:PORT"

The jar is found through FIRESTORE_EMULATOR_JAR or the package google-cloud-cli-firestore-emulator.
"""

import base64
import json
import os
import time

import emulator
from processes import free_port
from suite import call

JARS = (
    os.environ.get("FIRESTORE_EMULATOR_JAR", ""),
    "/usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
)


def why_not():
    """Reason to skip, or None."""
    return emulator.why_not("Firestore", JARS)


class FirestoreEmulator(emulator.Java):
    def __init__(self, project="demo-ekklesia"):
        super().__init__(JARS, ["-Xmx400m", "-cp"], "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
                         f"--websocket_port={free_port()}")
        self.project = project
        self.documents = f"http://{self.host}/v1/projects/{project}/databases/(default)/documents"

    def __enter__(self):
        self.start(self._answers)
        return self

    def _answers(self):
        try:
            return call(f"http://{self.host}/", timeout_s=2).status == 200
        except OSError:
            return False

    def clear(self):
        reply = call(f"http://{self.host}/emulator/v1/projects/{self.project}/databases/(default)/documents", "DELETE",
                     token="owner")
        assert reply.status == 200, reply

    def use_rules(self, text):
        reply = call(f"http://{self.host}/emulator/v1/projects/{self.project}:securityRules", "PUT",
                     {"rules": {"files": [{"name": "firestore.rules", "content": text}]}})
        assert reply.status == 200, reply

    def as_user(self, claims=None):
        """A client's view: rules apply. None: nobody is signed in."""
        return Client(self, unsigned(self.project, claims) if claims else None)

    def as_admin(self):
        return Client(self, "owner")


def unsigned(project, claims):
    """An ID token as the emulators take it: alg none."""
    now = int(time.time())
    payload = {"iss": f"https://securetoken.google.com/{project}", "aud": project, "iat": now, "exp": now + 3600,
               "auth_time": now, "sub": claims["uid"], "user_id": claims["uid"],
               "firebase": {"sign_in_provider": "custom", "identities": {}},
               **{key: value for key, value in claims.items() if key != "uid"}}
    parts = ({"alg": "none", "typ": "JWT"}, payload)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


class Client:
    """A few calls of the REST API; each gives the HTTP status, or (get) the document."""

    def __init__(self, emulator, token):
        self.emulator = emulator
        self.token = token

    def call(self, method, path, body=None, query=""):
        return call(f"{self.emulator.documents}/{path}{query}", method, body, token=self.token)

    def get(self, path):
        return self.call("GET", path)

    def set(self, path, **fields):
        """Create or overwrite."""
        return self.call("PATCH", path, {"fields": typed(fields)})

    def update(self, path, mask, **fields):
        """Change only what the mask names; a named path without a value is deleted."""
        query = "?currentDocument.exists=true&" + "&".join(f"updateMask.fieldPaths={one}" for one in mask)
        return self.call("PATCH", path, {"fields": typed(fields)}, query)

    def delete(self, path):
        return self.call("DELETE", path)

    def list(self, collection):
        return self.call("GET", collection)


def typed(plain):
    """A dict as Firestore's typed fields."""
    return {key: value_of(value) for key, value in plain.items()}


def value_of(value):
    if value is None:
        return {"nullValue": None}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"integerValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, dict):
        if set(value) == {"timestampValue"}:
            return value
        return {"mapValue": {"fields": typed(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [value_of(one) for one in value]}}
    return {"stringValue": value}


def plain(fields):
    """And back; times stay text."""
    return {key: plain_value(value) for key, value in (fields or {}).items()}


def plain_value(value):
    (kind, inner), = value.items()
    if kind == "mapValue":
        return plain(inner.get("fields"))
    if kind == "arrayValue":
        return [plain_value(one) for one in inner.get("values", [])]
    return int(inner) if kind == "integerValue" else inner
