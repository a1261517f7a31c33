"""What all services around the register have in common: browsers' origins, App Check, names of secrets.

Tables of contract §2.4, §2.1 and §2.7; M-F51, M-F52, M-F53, M-T7.
"""

import secrets

import pytest

from evidence import canary
from members import MembersStack
from suite import kennitala

PORTAL = "https://ekklesia-prod-10-2025.web.app"
STRANGER = "https://example.com"
# service -> (status of a preflight, what the portal's page is told, what a stranger's page is told)
ORIGINS = {
    "sync-from-django": (204, None, None),
    "auditmemberchanges": (None, None, None),
    "syncmembers": (204, PORTAL, None),
    "get-django-token": (204, PORTAL, None),
    "updatememberprofile": (200, PORTAL, STRANGER),
    "cleanupauditlogs": (200, PORTAL, STRANGER),
}
CALLABLES = ("updatememberprofile", "cleanupauditlogs")


@pytest.fixture(scope="module")
def stack():
    with MembersStack() as made:
        yield made


@pytest.fixture
def start(stack):
    yield stack.start
    assert not stack.stop_own()


@pytest.mark.parametrize("name", ORIGINS)
def test_origins_preflights_and_replies(start, name):
    preflight, portal, stranger = ORIGINS[name]
    service = start(name)
    for origin, allowed in ((PORTAL, portal), (STRANGER, stranger), (None, None)):
        headers = {"Origin": origin} if origin else {}
        reply = service.post("/", b"{}", headers={"Content-Type": "application/json", **headers})
        assert reply.headers["Access-Control-Allow-Origin"] == allowed, origin
        if preflight:
            reply = service.call("OPTIONS", "/", headers={**headers, "Access-Control-Request-Method": "POST"})
            assert reply.status == preflight and reply.body == b""
            assert reply.headers["Access-Control-Allow-Origin"] == allowed, origin
        if portal:  # the answer depends on who asks
            assert "Origin" in (reply.headers["Vary"] or ""), origin
        assert "Access-Control-Allow-Credentials" not in reply.headers


@pytest.mark.parametrize("name", CALLABLES)
def test_app_check_off_monitor_enforce(stack, start, name):
    uid, number = f"uid-{secrets.token_hex(4)}", kennitala()
    stack.create_account(uid)
    stack.set(f"users/{uid}", roles=["admin"])
    stack.set(f"members/{number}", membership={"status": "active"}, metadata={"django_id": 1})
    data = {"kennitala": number, "updates": {}, "keep_count": 1}
    token = stack.id_token(uid, kennitala=number, roles=["admin"])
    for mode in ("off", "monitor", "enforce"):
        service = start(name, APP_CHECK_MODE=mode, DJANGO_API_BASE_URL="http://127.0.0.1:1/felagar")
        for header in (None, "no-token", stack.cloud.app_check()):
            headers = {"X-Firebase-AppCheck": header} if header else {}
            reply = service.post("/", {"data": data}, token=token, headers=headers)
            refused = mode == "enforce" and header in (None, "no-token")
            assert (reply.status == 401) == refused, (mode, header and header[:8], reply)
            if refused:
                assert reply.json == {"error": {"status": "UNAUTHENTICATED", "message": "Unauthenticated"}}


@pytest.mark.parametrize("spelling", ["DJANGO_API_TOKEN", "django-api-token", "DJANGO_API_TOKEN_FILE"])
@pytest.mark.parametrize("name", ["syncmembers", "updatememberprofile", "get-django-token", "healthz"])
def test_the_registers_token_under_every_name(start, tmp_path, name, spelling):
    value = canary(secrets.token_hex(20))
    if spelling.endswith("_FILE"):
        path = tmp_path / "token"
        path.write_text(value + "\n")
        value = str(path)
    service = start(name, **{"DJANGO_API_TOKEN": None, spelling: value})
    if name == "healthz":
        assert service.get("/").json["env"]["DJANGO_API_TOKEN"] is True
    else:
        assert service.get("/health/ready").status == 200


@pytest.mark.parametrize("spelling", ["SYNC_API_KEY", "sync-api-key", "SYNC_API_KEY_FILE"])
def test_the_webhooks_key_under_every_name(start, tmp_path, spelling):
    key = canary(secrets.token_hex(20))
    value = key
    if spelling.endswith("_FILE"):
        path = tmp_path / "key"
        path.write_text(key + "\n")
        value = str(path)
    service = start("sync-from-django", **{"SYNC_API_KEY": None, spelling: value})
    assert service.post("/", {"kennitala": kennitala(), "action": "delete"}, token=key).status == 200
    assert service.post("/", {"kennitala": kennitala(), "action": "delete"}, token=key[:-1]).status == 401
