"""openapi.yaml of the services that keep the register in step, and of the sign-in: the binary's routes, and what it answers.

Every reply of every test that a MembersStack starts such a service for is held against the document too; here are the
routes and those replies that no other test asks for.
"""

import os

import pytest

import openapi
from members import MembersStack
from suite import BIN_DIR

SERVICES = ("sync-from-django", "updatememberprofile", "syncmembers", "auditmemberchanges", "cleanupauditlogs",
            "get-django-token", "handlekenniauth", "verifymembership", "healthz")
# What the calls below must at least have brought; 200, 401 and 413 where nothing else stands here.
BROUGHT = {"auditmemberchanges": {200, 413}, "handlekenniauth": {200, 400, 413}, "healthz": {200}}


@pytest.fixture(scope="module")
def stack():
    with MembersStack() as made:
        yield made


@pytest.mark.parametrize("name", SERVICES)
def test_document_names_exactly_the_routes_of_the_binary(name):
    document = openapi.document_of(name)
    assert document.routes() == openapi.Document.routes_of(os.path.join(BIN_DIR, name))


@pytest.mark.parametrize("name", SERVICES)
def test_document_is_sound(name):
    openapi.check_document(openapi.document_of(name))


@pytest.mark.parametrize("name", SERVICES)
def test_document_holds_for_health_and_refusals(stack, name):
    service = stack.start(name)
    seen = set()
    for method, path in sorted(service.document.routes()):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer x", "X-Correlation-ID": "corr"}):
            body = None if method == "GET" else b'{"data":null}'
            reply = service.call(method, path, body, headers={"Content-Type": "application/json", **headers})
            service.document.check(method, path, reply)
            seen.add(reply.status)
    if ("POST", "/") in service.document.routes():
        reply = service.post("/", b"x" * (2 << 20))
        service.document.check("POST", "/", reply)
        seen.add(reply.status)
    assert seen >= BROUGHT.get(name, {200, 401, 413})
    assert service.stop() == 0
    stack.own.remove(service)


@pytest.mark.parametrize("name", SERVICES)
def test_document_holds_while_the_store_is_away(stack, name):
    service = stack.start(name, FIRESTORE_EMULATOR_HOST="127.0.0.1:1")
    reply = service.get("/health/ready")
    assert reply.status == 503
    service.document.check("GET", "/health/ready", reply)
    assert service.stop() == 0
    stack.own.remove(service)
