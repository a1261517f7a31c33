"""services/elections/openapi.yaml says what the binary answers: the same routes, and all that the tests see of it."""

import os

import pytest

from elections_support import DOCUMENT
from openapi import Document, Mismatch, check_document
from suite import BIN_DIR, Reply
from voting import create_election, register, vote


def test_document_names_exactly_the_routes_of_the_binary():
    real = {route for route in Document.routes_of(os.path.join(BIN_DIR, "elections")) if "{rest...}" not in route[1]}
    assert DOCUMENT.routes() == real


def test_document_is_sound():
    check_document(DOCUMENT)


def test_document_holds_for_token_and_service_routes(stack):
    elections = stack.service("elections")
    election = create_election(stack)
    token = register(elections, election)
    calls = [("GET", "/health", elections.get("/health")), ("GET", "/healthz", elections.get("/healthz")),
             ("GET", "/health/ready", elections.get("/health/ready")),
             ("GET", "/api/token-status", elections.get("/api/token-status", token=token)),
             ("GET", "/api/token-status", elections.get("/api/token-status")),
             ("GET", "/api/token-status", elections.get("/api/token-status", token="0" * 64)),
             ("POST", "/api/vote", vote(elections, token, "maybe")), ("POST", "/api/vote", vote(elections, token)),
             ("POST", "/api/vote", vote(elections, token))]
    slot = f"/api/s2s/slot-status?election_id={election}&slot={'0' * 64}"
    for method, path, body in (("GET", slot, None), ("GET", "/api/s2s/slot-status", None), ("POST", "/api/s2s/register-token", {}),
                               ("GET", f"/api/s2s/results?election_id={election}", None),
                               ("POST", "/api/s2s/register-token", {"token_hash": "ab" * 32, "election_id": election})):
        calls.append((method, path, elections.signed(method, path, body)))
        calls.append((method, path, elections.call(method, path, body)))
    for method, path, reply in calls:
        DOCUMENT.check(method, path, reply)
    assert {reply.status for _, _, reply in calls} >= {200, 201, 400, 401, 403, 404, 409}


@pytest.mark.parametrize("status,body", [(200, b"{}"), (200, b'{"elections":[],"pagination":{"total":1}}'), (418, b"{}"),
                                         (200, b'{"elections":[{}],"pagination":{"total":1,"limit":1,"offset":0,"has_more":true}}'),
                                         (404, b'{"error":"Not Found"}')])
def test_check_finds_what_is_not_in_the_document(status, body):
    with pytest.raises(Mismatch):
        DOCUMENT.check("GET", "/api/elections", Reply(status, {}, body))
