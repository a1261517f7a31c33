"""What must hold on every route of elections and events alike: the end, the correlation id, and nobody's kennitala."""

import os
import re
import secrets

import pytest

from contract_errors_test import auth, every
from elections_support import Caller, manager  # noqa: F401
from evidence import ROOT
from suite import canary, person
from voting import create_election, end_in_the_past, register, vote

V = "/api/admin/elections"


def statuses(events, caller, operator, election):
    """The status each reply shows that has one."""
    admin = lambda path: events.get(f"{V}{path}", token=operator).json  # noqa: E731
    listed = lambda rows: next(row for row in rows if row["id"] == election)["status"]  # noqa: E731
    boss = Caller(caller.service, None, operator)
    return {
        "member list": listed(caller.list().json["elections"]), "member detail": caller.get(election).json["election"]["status"],
        "operator list": listed(boss.call("GET", "/api/admin/elections?limit=200").json["elections"]),
        "operator detail": boss.admin("GET", election).json["election"]["status"],
        "events election": events.get(f"/api/election?election_id={election}", token=caller.token).json["status"],
        "events list": listed(admin("?limit=200")["elections"]), "events detail": admin(f"/{election}")["status"],
        "events status": admin(f"/{election}/status")["election"]["status"], "events tokens": admin(f"/{election}/tokens")["election"]["status"],
    }


@pytest.mark.parametrize("state", ["published", "paused"])
def test_from_its_end_on_every_route_says_closed(stack, manager, state):
    """V-A15: before anybody has done the work of closing, and by the database's clock alone."""
    service, events = stack.start("elections", SWEEP_INTERVAL_S=0), stack.service("events")
    election = manager.publish(answers=["yes", "no", "abstain"])
    caller, operator = Caller(service, None, stack.cloud.token(**person())), stack.cloud.token(**person(roles=("admin",)))
    if state == "paused":
        assert manager.act(election, "pause").status == 200
    assert set(statuses(events, caller, operator, election).values()) == {state}
    end_in_the_past(stack, election)
    shown = statuses(events, caller, operator, election)
    assert set(shown.values()) == {"closed"}, shown
    assert stack.sql("select status from elections.elections where id = %s", (election,)) == [(state,)], "looking closes nothing"
    assert events.get(f"/api/election?election_id={election}", token=caller.token).json["status_message"].startswith("Ended")
    assert caller.vote(election, "yes").status == 403
    assert events.post(f"/api/request-token?election_id={election}", token=caller.token).status == 403
    results = [caller.results(election), Caller(service, None, operator).admin("GET", election, "results"),
               events.get(f"/api/results?election_id={election}", token=caller.token), events.get(f"{V}/{election}/results", token=operator)]
    assert [reply.status for reply in results] == [200] * 4


def test_one_correlation_id_runs_through_both_services_and_the_trail(stack, manager):
    """V-F9: from the member's call at events to the registration at elections; and V-D16: not from a text that could be more than an id."""
    elections, events = stack.service("elections"), stack.service("events")
    election, correlation = manager.publish(answers=["yes", "no", "abstain"]), f"journey-{secrets.token_hex(8)}"
    marks = [service.log_mark() for service in (elections, events)]
    reply = events.post(f"/api/request-token?election_id={election}", token=stack.cloud.token(**person()), headers={"X-Correlation-ID": correlation})
    canary(reply.json["token"])
    assert reply.status == 200 and reply.headers["x-correlation-id"] == correlation
    for service, mark, route in zip((elections, events), marks, ("/api/s2s/register-token", "/api/request-token")):
        assert service.wait_log(lambda line: line.get("correlation_id") == correlation, mark)["route"] == route  # noqa: B023
    assert stack.sql("select action from elections.audit where election_id = %s and correlation = %s", (election, correlation)) == [
        ("register_token",)]
    # From the moment the token is spent nothing leads on (DESIGN §4).
    mark = elections.log_mark()
    assert elections.post("/api/vote", {"answer": "yes"}, token=reply.json["token"], headers={"X-Correlation-ID": correlation}).status == 201
    line = elections.wait_log(lambda line: line.get("route") == "/api/vote", mark)
    assert "correlation_id" not in line
    assert vote(elections, reply.json["token"], "no").status == 409


@pytest.mark.parametrize("service", ["elections", "events"])
@pytest.mark.parametrize("sent", ["", "a b", "a" * 129, "x|y", "{}", "å", "a\tb", "'; drop"])
def test_a_correlation_id_of_another_form_is_replaced_on_every_reply(stack, service, sent):
    server = stack.service(service)
    for method, path, body in (("GET", "/api/election", None), ("GET", "/nowhere", None), ("POST", V, b"{"), ("POST", V, b" " * 70000)):
        reply = server.call(method, path, body, headers={"X-Correlation-ID": sent.encode(), "Content-Type": "application/json"})
        made = reply.headers["x-correlation-id"]
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made) and reply.json["correlation_id"] == made, (path, reply)


def test_no_reply_shows_a_kennitala(stack, manager):
    """V-B11, V-O2: not one's own either, in whatever form the token has it."""
    elections, events = stack.service("elections"), stack.service("events")
    election = manager.publish(answers=["yes", "no", "abstain"])
    claims = person(roles=("superuser",))
    number = claims["kennitala"]
    seen = []
    for form in (number, f"{number[:6]}-{number[6:]}"):
        token = stack.cloud.token(**{**claims, "kennitala": form})
        for service, method, path in ((events, "GET", "/api/election"), (events, "POST", f"/api/request-token?election_id={election}"),
                                      (events, "GET", f"/api/my-status?election_id={election}"), (events, "GET", "/api/my-token"),
                                      (events, "GET", V), (events, "GET", f"{V}/{election}/status"), (events, "GET", f"{V}/{election}/tokens"),
                                      (events, "POST", "/api/admin/reset-election"), (elections, "GET", "/api/elections"),
                                      (elections, "GET", f"/api/elections/{election}"), (elections, "GET", V), (elections, "GET", f"{V}/{election}"),
                                      (elections, "POST", f"/api/elections/{election}/vote"), (elections, "POST", f"{V}/{election}/close")):
            reply = service.call(method, path, {} if method == "POST" else None, token=token)
            if b'"token"' in reply.body:
                canary(reply.json["token"])
            seen.append(reply.status)
            text = f"{reply.body.decode()} {reply.headers}"
            assert number not in text and f"{number[:6]}-{number[6:]}" not in text, path
    assert {200, 400, 403} <= set(seen)


def test_no_text_of_ours_promises_anonymity():
    """V-B12: what V-O2 holds is secrecy towards whoever reads the tables; no reply and no document for portals says more."""
    folders = [os.path.join(ROOT, "services", name) for name in ("elections", "events")] + [os.path.join(ROOT, "deploy", "portal")]
    texts = [os.path.join(folder, name) for folder in folders for name in os.listdir(folder) if name.endswith((".c", ".yaml", ".md", ".js"))]
    assert len(texts) > 30
    for path in texts:
        with open(path, encoding="utf-8") as text:
            found = re.findall(r"(?i)\b(?:anonymous(?:ly)?|anonymity|nafnlaus\w*|untraceable) (?:vote|ballot|election|voting)\w*|"
                               r"\b(?:vote|ballot|voting)s? (?:is|are) anonymous", text.read())
        assert not found, (path, found)


def test_every_write_of_events_repeated_under_its_key_gets_the_same_answer(stack):
    """V-O12: also a refusal, once it is final; the action is done and recorded once; under another body the key is refused."""
    events = stack.service("events")
    token = stack.cloud.token(**person(roles=("superuser",)))

    def twice(method, path, body, status):
        key = {"X-Idempotency-Key": secrets.token_hex(8)}
        first, again = (events.call(method, path, body, token=token, headers=key) for _ in range(2))
        assert (first.status, again.status) == (status, status) and first.json == again.json, (first, again)
        assert again.headers["idempotent-replayed"] == "true"
        assert events.call(method, path, {"other": 1}, token=token, headers=key).status == 422
        return first.json

    def life(*steps):
        row = twice("POST", V, {"title": f"Einu sinni {secrets.token_hex(4)}", "question": "Q", "answers": ["yes", "no"]}, 201)
        for method, tail, body, status in steps:
            twice(method, f"{V}/{row['id']}{tail}", body, status)
        return [action for action, _ in stack.sql("select action, success from elections.audit where election_id = %s order by seq", (row["id"],))]
    assert life(("PATCH", "/draft", {"title": "Nýr"}, 200), ("PATCH", "/metadata", {"description": "Lýsing"}, 200), ("POST", "/resume", {}, 400),
                ("POST", "/publish", {}, 200), ("POST", "/pause", {}, 200), ("POST", "/resume", {}, 200), ("POST", "/close", {}, 200),
                ("POST", "/archive", {}, 200), ("DELETE", "", {}, 400)) == [
        "create_election", "update_draft", "update_metadata", "resume_election", "open_election", "pause_election", "resume_election",
        "close_election", "archive_election", "delete_draft"]
    assert life(("DELETE", "", {}, 200)) == ["create_election", "delete_draft"]


ORIGIN = "http://localhost:3000"


@pytest.mark.parametrize("service", ["elections", "events"])
def test_every_route_tells_browsers_who_may_read(stack, service):
    """§7.1, §7.2 and M-F51: on refusals too, and never on calls between services."""
    server = stack.service(service)
    for method, path in every(service):
        body = None if method == "GET" else {}
        between = auth(service, method, path) == "service"
        for origin, listed in ((ORIGIN, True), ("https://evil.example", False), (ORIGIN + ".evil.example", False), ("null", False), (None, False)):
            reply = server.call(method, path, body, headers={"Origin": origin} if origin else {})
            assert reply.status == 401 and reply.headers.get("vary") == (None if between else "Origin"), (path, reply)
            assert reply.headers.get("access-control-allow-origin") == (origin if listed and not between else None), (path, origin)
            assert between or reply.headers["access-control-allow-credentials"] == "true"
        if between:
            continue
        for origin in (ORIGIN, "https://evil.example"):
            asked = "authorization,content-type,x-firebase-appcheck,x-idempotency-key"
            told = server.call("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": method,
                                                         "Access-Control-Request-Headers": asked})
            assert told.status == 204 and told.body == b""
            assert told.headers["access-control-allow-methods"] == "GET,HEAD,PUT,PATCH,POST,DELETE"
            assert told.headers["access-control-allow-headers"] == asked and "access-control-max-age" not in told.headers
            assert told.headers["vary"] == "Origin, Access-Control-Request-Headers"
            assert told.headers.get("access-control-allow-origin") == (origin if origin == ORIGIN else None)


@pytest.mark.parametrize("service", ["elections", "events"])
def test_every_get_has_its_head_its_tag_and_its_spellings(stack, service):
    """§0: HEAD on every GET; a weak ETag that is answered 304, but where nothing may be kept; any case, one slash more."""
    server, election = stack.service(service), create_election(stack)
    operator, voter = stack.cloud.token(**person(roles=("superuser",))), register(stack.service("elections"), election)
    tagged = 0
    for method, path in every(service, election):
        kind = auth(service, method, re.sub(election, "{id}", path))
        if method != "GET" or kind == "service":
            continue

        def ask(method, path, **headers):
            return server.call(method, path, token=voter if kind == "voting-token" else operator, headers=headers)  # noqa: B023
        got, head = ask("GET", path), ask("HEAD", path)
        assert head.status == got.status and head.body == b"" and int(head.headers["content-length"]) == len(got.body), path
        spelt = path.upper().replace(election.upper(), election)
        assert ask("GET", spelt).status == ask("GET", path + "/").status == got.status and ask("GET", path + "//").status == 404
        if got.status == 200 and "no-store" not in got.headers.get("cache-control", ""):
            tag = got.headers["etag"]
            assert tag.startswith('W/"')
            again = ask("GET", path, **{"If-None-Match": tag})
            assert again.status == 304 and again.body == b"" and ask("GET", path, **{"If-None-Match": 'W/"other"'}).status == 200
            tagged += 1
        else:
            assert "etag" not in got.headers
    assert tagged >= 2
