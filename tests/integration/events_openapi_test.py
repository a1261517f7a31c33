"""services/events/openapi.yaml says what the binary answers: the same routes, and replies of the shapes it gives."""

import os

from openapi import Document
from suite import BIN_DIR, canary, person
from voting import create_election, end_in_the_past, member, some_uuid

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = Document(os.path.join(HERE, "..", "..", "services", "events", "openapi.yaml"))


def test_document_names_exactly_the_routes_of_the_binary():
    real = {route for route in Document.routes_of(os.path.join(BIN_DIR, "events")) if "{rest...}" not in route[1]}
    assert DOCUMENT.routes() == real


def test_document_holds_for_members(stack):
    events = stack.service("events")
    election = create_election(stack)
    _, token = member(stack)
    named = f"?election_id={election}"
    calls = [("GET", "/health", None), ("GET", "/healthz", None), ("GET", "/health/ready", None), ("GET", f"/api/election{named}", None),
             ("GET", f"/api/my-status{named}", None), ("POST", f"/api/request-token{named}", {}), ("GET", f"/api/my-status{named}", None),
             ("POST", f"/api/request-token{named}", {}), ("POST", f"/api/request-token{named}", {"replace": 1}), ("GET", "/api/my-token", None),
             ("GET", f"/api/results{named}", None), ("GET", f"/api/election?election_id={some_uuid()}", None)]
    for method, path, body in calls:
        reply = events.call(method, path, body, token=token)
        if "token" in reply.json:
            canary(reply.json["token"])
        DOCUMENT.check(method, path, reply)
        if path.startswith("/api"):
            DOCUMENT.check(method, path, events.call(method, path, body))
            DOCUMENT.check(method, path, events.call(method, path, body, token=stack.cloud.token(**person(member=False))))
    end_in_the_past(stack, election)
    DOCUMENT.check("GET", "/api/results", events.get(f"/api/results{named}", token=token))


def test_document_holds_for_operators(stack):
    events = stack.service("events")
    token = stack.cloud.token(**person(roles=("superuser",)))

    def check(method, path, body=None):
        reply = events.call(method, path, body, token=token)
        DOCUMENT.check(method, path, reply)
        DOCUMENT.check(method, path, events.call(method, path, body))
        return reply

    made = check("POST", "/api/admin/elections", {"title": "Documented", "question": "Q", "answers": ["yes", "no"]})
    check("POST", "/api/admin/elections", {})
    check("GET", "/api/admin/elections?limit=2")
    path = f"/api/admin/elections/{made.json['id']}"
    for method, tail, body in (("GET", "", None), ("PATCH", "/draft", {"title": "More"}), ("PATCH", "/draft", {}),
                               ("PATCH", "/metadata", {"description": "d"}), ("POST", "/publish", None), ("POST", "/open", {}),
                               ("POST", "/pause", None), ("POST", "/resume", None), ("GET", "/status", None), ("GET", "/tokens", None),
                               ("GET", "/results", None), ("POST", "/close", None), ("GET", "/results", None), ("POST", "/archive", None),
                               ("POST", "/archive", None), ("DELETE", "", None)):
        check(method, path + tail, body)
    check("DELETE", f"/api/admin/elections/{events.post('/api/admin/elections', {'title': 'x', 'question': 'Q', 'answers': ['a', 'b']}, token=token).json['id']}")
    check("POST", "/api/admin/reset-election", {"scope": "mine"})
