"""The elections service as portals and operators call it; every reply is held against its openapi.yaml."""

import os
import secrets

import pytest

from evidence import ROOT
from openapi import Document
from suite import person
from voting import end_in_the_past

DOCUMENT = Document(os.path.join(ROOT, "services", "elections", "openapi.yaml"))
ADMIN = "/api/admin/elections"
MEMBER = "/api/elections"
UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"


class Caller:
    """Somebody signed in, at one instance of elections."""

    def __init__(self, service, claims, token):
        self.service = service
        self.claims = claims
        self.token = token

    def call(self, method, path, body=None, key=None, **more):
        headers = {**more.pop("headers", {}), **({"X-Idempotency-Key": key} if key else {})}
        reply = self.service.call(method, path, body, headers=headers, token=self.token, **more)
        DOCUMENT.check(method, path, reply)
        return reply

    def at(self, service):
        """The same person at another instance."""
        return Caller(service, self.claims, self.token)

    # members

    def list(self, query=""):
        return self.call("GET", MEMBER + query)

    def get(self, election):
        return self.call("GET", f"{MEMBER}/{election}")

    def vote(self, election, *answers, key=None):
        return self.call("POST", f"{MEMBER}/{election}/vote", {"answer_ids": list(answers)}, key=key)

    def results(self, election):
        return self.call("GET", f"{MEMBER}/{election}/results")

    # operators

    def admin(self, method, election="", action="", body=None, key=None, **more):
        path = ADMIN + (f"/{election}" if election else "") + (f"/{action}" if action else "")
        return self.call(method, path, body, key=key, **more)

    def act(self, election, action, body=None, key=None):
        return self.admin("POST", election, action, body if body is not None else {}, key=key)

    def create(self, **fields):
        reply = self.admin("POST", body=draft(**fields))
        assert reply.status == 201, reply
        return reply.json["election"]["id"]

    def publish(self, start=None, end=None, **fields):
        """A new election that takes votes; its id."""
        election = self.create(**fields)
        reply = self.act(election, "open", {"voting_starts_at": start, "voting_ends_at": end})
        assert reply.status == 200, reply
        return election

    def close(self, election):
        reply = self.act(election, "close")
        assert reply.status == 200, reply
        return reply.json["election"]


def draft(**fields):
    """What the admin portal sends."""
    return {"title": f"Kosning {secrets.token_hex(6)}", "description": None, "question": "Hvað skal gera?",
            "answers": [{"answer_text": text, "display_order": place} for place, text in enumerate(("Já", "Nei", "Sit hjá"))],
            "voting_type": "single-choice", "max_selections": 1, "eligibility": "members", **fields}


def sign_in(stack, service=None, claims=None, **more):
    claims = claims or person(**more)
    return Caller(service or stack.service("elections"), claims, stack.cloud.token(**claims))


def set_state(stack, operator, state, **fields):
    """A new election in that state: draft, published, paused, closed, archived, ended, early, hidden."""
    if state == "draft":
        return operator.create(**fields)
    if state == "early":
        return operator.publish(start="2100-01-01T00:00:00.000Z", end="2100-01-02T00:00:00.000Z", **fields)
    election = operator.publish(**fields)
    if state == "paused":
        assert operator.act(election, "pause").status == 200
    elif state == "hidden":
        assert operator.act(election, "hide").status == 200
    elif state == "ended":
        end_in_the_past(stack, election)
    elif state in ("closed", "archived"):
        operator.close(election)
        if state == "archived":
            assert operator.act(election, "archive").status == 200
    return election


@pytest.fixture
def elections(stack):
    return stack.service("elections")


@pytest.fixture
def member(stack):
    return sign_in(stack)


@pytest.fixture
def manager(stack):
    """An operator who is no member."""
    return sign_in(stack, member=None, roles=("member", "admin"))


@pytest.fixture
def superuser(stack):
    return sign_in(stack, member=None, roles=("member", "admin", "superuser"))
