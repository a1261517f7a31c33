"""Members' records in the stack's Firestore, written over its REST API as the register's services write them.

For people who are in no register: members/{kennitala} with what a register knows of a member, and beside it the record
that no client can write and that verifymembership believes (services/verifymembership/README.md).
"""

import json
import urllib.error
import urllib.request

WRITES_MAX = 500  # of one commit
OWNER = {"Authorization": "Bearer owner"}  # an administrator, to the local cloud


def http(method, url, headers=None, body=None):
    """Status and parsed body of one call with JSON; the status of an error is an answer like any other."""
    data = None if body is None else json.dumps(body).encode()
    headers = {**(headers or {}), **({"Content-Type": "application/json"} if data is not None else {})}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _typed(value):
    if isinstance(value, dict):
        return {"mapValue": {"fields": {key: _typed(one) for key, one in value.items()}}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_typed(one) for one in value]}}
    return {"booleanValue": value} if isinstance(value, bool) else {"stringValue": value}


class Records:
    """Firestore and Identity Toolkit of one stack, as an administrator sees them. env is the stack's."""

    def __init__(self, env):
        project = env["FIREBASE_PROJECT_ID"]
        self.documents = f"projects/{project}/databases/(default)/documents"
        self.commit = f"{env['CLOUD_URL']}/v1/{self.documents}:commit"
        self.accounts = f"{env['CLOUD_URL']}/identitytoolkit.googleapis.com/v1/projects/{project}/accounts"

    def write(self, documents):
        """documents: path -> fields. Each is merged into what stands there."""
        writes = [{"update": {"name": f"{self.documents}/{path}", "fields": _typed(fields)["mapValue"]["fields"]},
                   "updateMask": {"fieldPaths": list(fields)}} for path, fields in documents.items()]
        for first in range(0, len(writes), WRITES_MAX):
            status, reply = http("POST", self.commit, OWNER, {"writes": writes[first:first + WRITES_MAX]})
            if status != 200:
                raise RuntimeError(f"Firestore answered {status} to {len(writes)} documents: {reply.get('error')}")

    def members(self, people):
        """people: kennitala -> (name, status)."""
        documents = {}
        for kennitala, (name, status) in people.items():
            documents[f"members/{kennitala}"] = {"profile": {"kennitala": kennitala, "name": name},
                                                 "membership": {"status": status}}
            documents[f"members/{kennitala}/server/membership"] = {"status": status}
        self.write(documents)

    def account(self, uid):
        """An account with this uid; False when there was one."""
        status, reply = http("POST", self.accounts, OWNER, {"localId": uid})
        if status == 400 and reply["error"]["message"].startswith("DUPLICATE_LOCAL_ID"):
            return False
        if status != 200:
            raise RuntimeError(f"Identity Toolkit answered {status}: {reply.get('error')}")
        return True
