"""Bare Identity Toolkit requests and what a server answers, in a form two servers can agree on.

firebase-admin (tests/peers/firebase_admin_conformance.js) covers what it uses; these are the mistakes it never makes,
and what a browser does.
"""

import base64
import json
import re

from suite import call

AUDIENCE = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
TIMES = ("lastLoginAt", "createdAt", "lastRefreshAt", "validSince")
SECRETS = ("idToken", "refreshToken", "id_token", "access_token", "refresh_token", "project_id")


class Session:
    def __init__(self, host, project, custom_token):
        self.root = f"http://{host}/identitytoolkit.googleapis.com/v1"
        self.accounts = f"{self.root}/projects/{project}/accounts"
        self.token_url = f"http://{host}/securetoken.googleapis.com/v1/token?key=any"
        self.reset_url = f"http://{host}/emulator/v1/projects/{project}/accounts"
        self.custom_token = custom_token
        self.transcript = []

    def note(self, what, reply):
        self.transcript.append([what, reply.status, simplified(reply.json)])
        return reply.json

    def admin(self, verb, body=None, method="POST", token="owner"):
        return self.note(f"{verb} {body}", call(self.accounts + verb, method, body, token=token))

    def person(self, verb, body, query="?key=any"):
        return self.note(f"{verb} {sorted(body)}", call(f"{self.root}/accounts{verb}{query}", "POST", body))

    def refresh(self, form):
        reply = call(self.token_url, "POST", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        return self.note("refresh", reply)


def simplified(value):
    if isinstance(value, dict):
        if "error" in value:
            error = value["error"]
            return {"error": [error.get("code"), re.split(r"[ :]", error.get("message", ""))[0] if error.get("code") == 400
                              else error.get("status"), error["errors"][0].get("reason")]}
        return {key: "time" if key in TIMES else "some" if key in SECRETS else simplified(one)
                for key, one in value.items()}
    if isinstance(value, list):
        return [simplified(one) for one in value]
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9]{28}", value):
        return "some id"
    return value


def claims(token):
    """Without times; signatures differ by design: the emulator has none."""
    part = token.split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert found["exp"] == found["iat"] + 3600 and found["auth_time"] <= found["iat"]
    return {key: one for key, one in found.items() if key not in ("iat", "exp", "auth_time")}


def run(host, project, custom_token):
    """custom_token(**claims) gives one that the project's service account signed."""
    s = Session(host, project, custom_token)
    assert call(s.reset_url, "DELETE", token="owner").status == 200
    create(s)
    lookup(s)
    update(s)
    sign_in(s)
    listing(s)
    s.note("reset", call(s.reset_url, "DELETE", token="owner"))
    s.admin(":batchGet", method="GET")
    return s.transcript


def create(s):
    for body in ({"displayName": "Anna"},
                 {"localId": "u1", "displayName": "Anna", "email": "Anna@Example.is", "phoneNumber": "+3545551234"},
                 {"localId": "u1"}, {"localId": "u2", "email": "anna@example.is"},
                 {"localId": "u2", "phoneNumber": "+3545551234"}, {"localId": "u2", "phoneNumber": "123"},
                 {"localId": "u2", "email": "nope"},
                 {"localId": "u3", "disabled": True, "emailVerified": True, "email": "u3@example.is",
                  "photoUrl": "http://x/y"}):
        s.admin("", body)
    s.admin("", {"localId": "u4"}, token=None)
    s.admin("", {"localId": "u4"}, token="wrong")


def lookup(s):
    for body in ({"localId": ["u1"]}, {"localId": ["nope"]}, {"localId": ["u1", "u3", "nope"]},
                 {"email": ["ANNA@example.is"]}, {"phoneNumber": ["+3545551234"]}, {}):
        s.admin(":lookup", body)


def update(s):
    for body in ({"localId": "u1", "customAttributes": json.dumps({"roles": ["admin"], "isMember": True})},
                 {"localId": "u1", "customAttributes": "nojson"}, {"localId": "u1", "customAttributes": "[1]"},
                 {"localId": "u1", "customAttributes": json.dumps({"sub": "x"})},
                 {"localId": "u1", "customAttributes": json.dumps({"a": "x" * 1000})},
                 {"localId": "nope", "customAttributes": "{}"}, {"localId": "nope", "displayName": "x"}, {},
                 {"localId": "u1", "displayName": "Anna 2", "disableUser": True, "validSince": "1000000000",
                  "emailVerified": True}):
        s.admin(":update", body)
    s.admin(":lookup", {"localId": ["u1"]})
    s.admin(":update", {"localId": "u1", "deleteAttribute": ["DISPLAY_NAME"], "deleteProvider": ["phone"],
                        "disableUser": False})
    s.admin(":lookup", {"localId": ["u1"]})
    s.admin(":update", {"localId": "u1", "email": "u3@example.is"})
    s.admin(":update", {"localId": "u1", "email": "new@example.is", "phoneNumber": "+3545559999", "displayName": "A"})
    s.admin(":lookup", {"localId": ["u1"]})


def sign_in(s):
    verb = ":signInWithCustomToken"
    fresh = s.person(verb, {"token": s.custom_token(uid="c1", claims={"a": 1}), "returnSecureToken": True})
    s.transcript.append(["ID token of a new person", claims(fresh["idToken"])])
    s.admin(":lookup", {"localId": ["c1"]})
    known = s.person(verb, {"token": s.custom_token(uid="u1", claims={"x": 1, "roles": ["other"]}),
                            "returnSecureToken": True})
    s.transcript.append(["ID token with claims of both", claims(known["idToken"])])
    s.person(verb, {"token": s.custom_token(uid="u1")}, query="")
    for body in ({"token": "x"}, {}, {"token": s.custom_token(uid="u1", aud="other")}, {"token": s.custom_token()},
                 {"token": s.custom_token(uid="")}, {"token": s.custom_token(uid="u3")}):
        s.person(verb, body)
    for body in ({"idToken": known["idToken"]}, {"idToken": "bad"}, {}):
        s.person(":lookup", body)
    again = s.refresh(f"grant_type=refresh_token&refresh_token={known['refreshToken']}")
    s.transcript.append(["ID token made anew", claims(again["id_token"])])
    for form in ("grant_type=refresh_token&refresh_token=bad", "grant_type=refresh_token"):
        s.refresh(form)
    s.admin(":update", {"localId": "u1", "disableUser": True})
    s.refresh(f"grant_type=refresh_token&refresh_token={known['refreshToken']}")
    s.person(":lookup", {"idToken": known["idToken"]})
    s.person(verb, {"token": s.custom_token(uid="u1")})
    s.admin(":update", {"localId": "u1", "disableUser": False, "validSince": "4102444800"})
    s.person(":lookup", {"idToken": known["idToken"]})


def listing(s):
    s.admin(":delete", {"localId": "c1"})
    s.admin(":delete", {"localId": "c1"})
    s.admin(":delete", {})
    everybody = s.admin(":batchGet?maxResults=100", method="GET")["users"]
    s.transcript[-1][2]["users"].sort(key=lambda user: user["localId"])
    first = call(s.accounts + ":batchGet?maxResults=1", token="owner").json
    rest = call(f"{s.accounts}:batchGet?maxResults=50&nextPageToken={first['nextPageToken']}", token="owner").json
    s.transcript.append(["pages", len(everybody), len(first["users"]), len(rest["users"]), "nextPageToken" in rest])
