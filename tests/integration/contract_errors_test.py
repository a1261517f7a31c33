"""The error columns of the contract's §2 to §4, route by route: every status a route may answer, with its cause and shape.

ROWS is one line per cause. COLUMNS is what the contract lists; the last tests hold the two, and the binaries, against each other.
Where the contract's 500 stands for a database that is away, ours is the 503 of V-E1.
"""

import functools
import os
import re
import secrets
import subprocess

import pytest

from elections_support import UNKNOWN_ID, Caller, draft, set_state
from suite import BIN_DIR, canary, person
from voting import create_election, register, token_hash, vote, voting_token

E, A, V = "/api/elections", "/api/admin/elections", "/api/admin/elections"
ERROR = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 410: "Gone", 413: "Payload Too Large",
         422: "Unprocessable Entity", 429: "RATE_LIMIT_EXCEEDED", 503: "Service Temporarily Unavailable"}
MEMBERS = {"error", "message", "code", "field", "retryAfter", "correlation_id", "hint", "expires_at", "current_status"}
HASH = "{fresh hash}"

YES, BAD = {"answer": "yes"}, {"answer_ids": ["no such"]}
JA, TWO = {"answer_ids": ["yes"]}, {"answer_ids": ["yes", "no"]}

# service, method, path with the state of the election in it, who asks, body, status, `code` or `field` of the reply
ROWS = [
    # §2.2 member routes, in checking order: who, which, eligible, window, selection, twice
    ("elections", "GET", f"{E}?status=nonsense", "member", None, 400, None),
    *(("elections", method, f"{E}/{{{state}}}{tail}", "member", body, 404, None)
      for method, tail, body in (("GET", "", None), ("POST", "/vote", JA), ("POST", "/vote", BAD), ("GET", "/results", None))
      for state in ("unknown", "malformed", "draft", "hidden", "hidden closed", "deleted draft")),
    *(("elections", method, f"{E}/{{{state}}}{tail}", "stranger", body, 403, None)
      for method, tail, body in (("GET", "", None), ("POST", "/vote", BAD), ("GET", "/results", None))
      for state in ("published", "paused", "closed", "archived", "ended", "early")),
    *(("elections", method, f"{E}/{{for admins}}{tail}", "member", body, 403, None)
      for method, tail, body in (("GET", "", None), ("POST", "/vote", JA), ("GET", "/results", None))),
    *(("elections", "POST", f"{E}/{{{state}}}/vote", "member", body, 403, code) for body in (JA, BAD, {})
      for state, code in (("paused", "PAUSED"), ("closed", "ENDED"), ("archived", "ENDED"), ("ended", "ENDED"), ("early", "NOT_STARTED"))),
    *(("elections", "POST", f"{E}/{{{state}}}/vote", "member", body, 400, None) for state in ("published", "voted") for body in (
        {}, [], {"answer_ids": None}, {"answer_ids": "yes"}, {"answer_ids": {}}, {"answer_ids": []}, {"answer_ids": [1]}, BAD, TWO,
        {"answer_ids": ["yes", "yes"]}, {"answer_ids": ["yes", "no such"]}, {"answer_ids": [None]}, {"answer_ids": ["x" * 60000]})),
    ("elections", "POST", f"{E}/{{multi}}/vote", "member", {"answer_ids": ["yes", "no", "abstain"]}, 400, None),
    ("elections", "POST", f"{E}/{{multi}}/vote", "member", {"answer_ids": ["yes", "yes"]}, 400, None),
    ("elections", "POST", f"{E}/{{voted}}/vote", "member", JA, 409, "ALREADY_VOTED"),
    *(("elections", "GET", f"{E}/{{{state}}}/results", "member", None, 403, "NOT_CLOSED") for state in ("published", "paused", "early")),

    # §2.3 voting tokens: the answer is judged before the token
    *(("elections", "POST", "/api/vote", who, body, 400, None) for who in ("unknown token", "token", "used token")
      for body in ({}, {"answer": "maybe"}, {"answer": ["yes"]})),
    ("elections", "POST", "/api/vote", "nobody", YES, 401, "MISSING_AUTH_TOKEN"), ("elections", "POST", "/api/vote", "nobody", {}, 401, None),
    ("elections", "POST", "/api/vote", "unknown token", YES, 404, None), ("elections", "POST", "/api/vote", "used token", YES, 409, None),
    ("elections", "POST", "/api/vote", "expired token", YES, 403, "TOKEN_EXPIRED"),
    ("elections", "POST", "/api/vote", "held token", YES, 503, None),
    *(("elections", "POST", "/api/vote", f"token of {state}", YES, 403, None) for state in ("paused", "ended", "early", "hidden")),
    ("elections", "GET", "/api/token-status", "nobody", None, 401, "MISSING_AUTH_TOKEN"),
    ("elections", "GET", "/api/token-status", "unknown token", None, 404, None),
    ("elections", "GET", "/api/vote-status", "nobody", None, 401, "MISSING_AUTH_TOKEN"),
    ("elections", "GET", "/api/vote-status", "unknown token", None, 404, None),

    # §2.4 between services
    *(("elections", method, path, who, body, 401, None) for who in ("nobody", "member", "bare key")
      for method, path, body in (("POST", "/api/s2s/register-token", {"token_hash": HASH}), ("GET", "/api/s2s/results", None),
                                 ("GET", f"/api/s2s/slot-status?election_id={UNKNOWN_ID}&slot={'0' * 64}", None))),
    *(("elections", "POST", "/api/s2s/register-token", "service", body, 400, "token_hash")
      for body in ({}, [], {"token_hash": None}, {"token_hash": "short"}, {"token_hash": "A" * 64}, {"token_hash": ["a" * 64]})),
    ("elections", "POST", "/api/s2s/register-token", "service", {"token_hash": HASH, "election_id": "x"}, 400, "election_id"),
    ("elections", "POST", "/api/s2s/register-token", "service", {"token_hash": "{known hash}"}, 409, None),
    ("elections", "POST", "/api/s2s/register-token", "service", {"token_hash": HASH, "election_id": UNKNOWN_ID}, 404, None),
    *(("elections", "POST", "/api/s2s/register-token", "service", {"token_hash": HASH, "election_id": f"{{{state}}}"}, status, None)
      for state, status in (("draft", 403), ("paused", 403), ("closed", 403), ("ended", 403), ("early", 403), ("hidden", 404))),
    *(("elections", "GET", f"/api/s2s/results?election_id={{{state}}}", "service", None, status, None)
      for state, status in (("unknown", 404), ("malformed", 404), ("draft", 403), ("published", 403), ("paused", 403))),
    *(("elections", "GET", f"/api/s2s/slot-status{query}", "service", None, 400, None)
      for query in ("", f"?election_id={UNKNOWN_ID}", f"?election_id={UNKNOWN_ID}&slot=zz")),
    ("elections", "GET", f"/api/s2s/slot-status?election_id=x&slot={'0' * 64}", "service", None, 400, None),

    # §2.5 operators of elections
    *(("elections", method, A + path, "member", body, 403, "INSUFFICIENT_PERMISSIONS")
      for method, path, body in (("GET", "", None), ("POST", "", {}), ("GET", "/{published}", None), ("PATCH", "/{draft}", {}),
                                 ("GET", "/{closed}/results", None),
                                 *(("POST", f"/{{draft}}/{action}", {}) for action in (
                                     "open", "close", "pause", "resume", "archive", "hide", "unhide")))),
    *(("elections", method, A + path, "manager", {}, 403, "SUPERADMIN_REQUIRED")
      for method, path in (("DELETE", "/{draft}"), ("POST", "/{closed}/anonymize"))),
    ("elections", "GET", f"{A}?status=nonsense", "manager", None, 400, None),
    *(("elections", "POST", A, "manager", {**draft(), field: value}, 400, field)
      for field, value in (("title", " "), ("question", None), ("answers", ["one"]), ("voting_type", "ranked"), ("max_selections", 2),
                           ("eligibility", "everybody"), ("description", 1), ("scheduled_start", "soon"), ("scheduled_end", 5))),
    *(("elections", method, f"{A}/{{{state}}}{tail}", "superuser", body, 404, None) for state in ("unknown", "malformed", "deleted draft")
      for method, tail, body in (("GET", "", None), ("PATCH", "", {}), ("DELETE", "", {}), ("GET", "/results", None),
                                 *(("POST", f"/{action}", {}) for action in (
                                     "open", "close", "pause", "resume", "archive", "hide", "unhide", "anonymize")))),
    *(("elections", "PATCH", f"{A}/{{published}}", "manager", {field: draft()[field]}, 400, "NOT_DRAFT")
      for field in ("question", "answers", "voting_type", "max_selections", "eligibility")),
    *(("elections", "PATCH", f"{A}/{{draft}}", "manager", {field: value}, 400, field)
      for field, value in (("title", ""), ("title", None), ("question", " "), ("answers", []), ("voting_type", "x"), ("eligibility", "x"))),
    ("elections", "PATCH", f"{A}/{{ended}}", "manager", {"scheduled_end": "2100-01-01T00:00:00Z"}, 400, "BAD_SCHEDULE"),
    *(("elections", "POST", f"{A}/{{{state}}}/open", "manager", {}, 400, "WRONG_STATUS") for state in ("published", "paused", "closed", "archived")),
    ("elections", "POST", f"{A}/{{hidden draft}}/open", "manager", {}, 400, "HIDDEN"),
    ("elections", "POST", f"{A}/{{draft}}/open", "manager", {"voting_ends_at": "2001-01-01T00:00:00Z"}, 400, "BAD_SCHEDULE"),
    ("elections", "POST", f"{A}/{{draft}}/open", "manager", {"voting_ends_at": "never"}, 400, "voting_ends_at"),
    *(("elections", "POST", f"{A}/{{{state}}}/{action}", "manager", {}, 400, "WRONG_STATUS") for state, action in (
        ("draft", "close"), ("closed", "close"), ("archived", "close"), ("draft", "pause"), ("paused", "pause"), ("published", "resume"),
        ("ended", "resume"), ("draft", "archive"), ("published", "archive"), ("hidden", "hide"), ("published", "unhide"))),
    *(("elections", "GET", f"{A}/{{{state}}}/results", "manager", None, 400, "NOT_CLOSED") for state in ("draft", "published", "paused", "early")),
    ("elections", "DELETE", f"{A}/{{published}}", "superuser", {}, 400, "WRONG_STATUS"),
    ("elections", "DELETE", f"{A}/{{closed with votes}}", "superuser", {}, 400, "SECOND_CONFIRMATION_REQUIRED"),
    *(("elections", "POST", f"{A}/{{{state}}}/anonymize", "superuser", {}, 400, "WRONG_STATUS") for state in ("draft", "published", "paused")),

    # §3.2 members of events
    *(("events", method, path, who, None, status, None) for who, status in (("stranger", 403), ("no kennitala", 401))
      for method, path in (("GET", "/api/election"), ("POST", "/api/request-token"), ("GET", "/api/my-status"), ("GET", "/api/my-token"),
                           ("GET", "/api/results"))),
    *(("events", method, f"{path}?election_id={{{state}}}", "member", None, 404, None) for state in ("unknown", "malformed", "draft", "hidden")
      for method, path in (("GET", "/api/election"), ("POST", "/api/request-token"), ("GET", "/api/results"))),
    *(("events", "POST", f"/api/request-token?election_id={{{state}}}", "member", None, 403, None)
      for state in ("ended", "early", "paused", "closed", "names only")),
    ("events", "POST", "/api/request-token?election_id={token live}", "member", None, 409, "TOKEN_LIVE"),
    ("events", "POST", "/api/request-token?election_id={token voted}", "member", None, 409, "ALREADY_VOTED"),
    ("events", "POST", "/api/request-token?election_id={voted}", "member", None, 409, "ALREADY_VOTED"),
    ("events", "POST", "/api/request-token?election_id={published}", "member", {"replace": "yes"}, 400, None),
    ("events", "GET", "/api/my-token", "member", None, 400, None),
    *(("events", "GET", f"/api/results?election_id={{{state}}}", "member", None, 403, None) for state in ("published", "paused", "early")),

    # §3.3 operators of events
    *(("events", method, V + path, who, None, 403, None) for who in ("member", "operator who is no member")
      for method, path in (("GET", ""), ("POST", ""), ("GET", "/{published}"), ("DELETE", "/{draft}"), ("PATCH", "/{draft}/draft"),
                           ("PATCH", "/{draft}/metadata"), ("GET", "/{published}/status"), ("GET", "/{closed}/results"),
                           ("GET", "/{published}/tokens"),
                           *(("POST", f"/{{draft}}/{action}") for action in ("publish", "open", "pause", "resume", "close", "archive")))),
    ("events", "DELETE", f"{V}/{{draft}}", "admin member", None, 403, None),
    ("events", "GET", f"{V}?status=nonsense", "admin member", None, 400, None),
    *(("events", "POST", V, "admin member", {"title": "T", "question": "Q", "answers": ["a", "b"], field: value}, 400, field)
      for field, value in (("title", None), ("question", ""), ("answers", ["a"]), ("answers", None))),
    *(("events", method, f"{V}/{{{state}}}{tail}", "admin member", body, 404, None) for state in ("unknown", "malformed", "deleted draft")
      for method, tail, body in (("GET", "", None), ("PATCH", "/draft", {"title": "x"}), ("PATCH", "/metadata", {"title": "x"}),
                                 ("GET", "/status", None), ("GET", "/results", None), ("GET", "/tokens", None))),
    *(("events", "PATCH", f"{V}/{{{state}}}/draft", "admin member", {"title": "x"}, 400, f"current_status={shown}")
      for state, shown in (("published", "published"), ("paused", "paused"), ("closed", "closed"), ("ended", "closed"))),
    ("events", "PATCH", f"{V}/{{draft}}/draft", "admin member", {}, 400, None),
    ("events", "PATCH", f"{V}/{{draft}}/metadata", "admin member", {"question": "no such field here"}, 400, None),
    *(("events", "POST", f"{V}/{{{state}}}/{action}", "admin member", None, 400, None)
      for action, states in (("publish", ("published", "closed", "hidden draft", "late draft")), ("pause", ("draft", "paused", "ended")),
                             ("resume", ("published", "ended")), ("close", ("draft", "closed", "archived")), ("archive", ("published", "archived")))
      for state in ("unknown", "malformed", "deleted draft", *states)),
    *(("events", "POST", f"{V}/{{{state}}}/open", "admin member", {"member_count": 5}, 410, None) for state in ("unknown", "draft", "published")),
    *(("events", "DELETE", f"{V}/{{{state}}}", "super member", None, 400, None)
      for state in ("unknown", "malformed", "deleted draft", "published", "closed")),
    *(("events", "GET", f"{V}/{{{state}}}/results", "admin member", None, 403, None) for state in ("published", "paused", "early")),

    # §3.4
    ("events", "POST", "/api/admin/reset-election", "admin member", {"scope": "mine"}, 403, None),
    ("events", "POST", "/api/admin/reset-election", "super member", {"scope": "mine"}, 403, None),
    ("events", "POST", "/api/admin/reset-election", "super member", {"scope": "some"}, 400, None),
    ("events", "POST", "/api/admin/reset-election", "super member", {"scope": 5}, 400, None),
]

# What §2.2 to §3.4 list for each route beside 401 and 429, which all have, and 500.
COLUMNS = {
    "elections": {
        f"GET {E}": {400}, f"GET {E}/{{id}}": {403, 404}, f"POST {E}/{{id}}/vote": {400, 403, 404, 409}, f"GET {E}/{{id}}/results": {403, 404},
        "POST /api/vote": {400, 401, 403, 404, 409, 503}, "GET /api/token-status": {401, 404}, "GET /api/vote-status": {401, 404},
        "POST /api/s2s/register-token": {400, 401, 403, 404, 409}, "GET /api/s2s/results": {401, 403, 404},
        "GET /api/s2s/slot-status": {400, 401},
        f"GET {A}": {400, 403}, f"POST {A}": {400, 403}, f"GET {A}/{{id}}": {403, 404}, f"PATCH {A}/{{id}}": {400, 403, 404},
        f"GET {A}/{{id}}/results": {400, 403, 404}, f"DELETE {A}/{{id}}": {400, 403, 404}, f"POST {A}/{{id}}/anonymize": {400, 403, 404},
        **{f"POST {A}/{{id}}/{action}": {400, 403, 404} for action in ("open", "close", "pause", "resume", "archive", "hide", "unhide")}},
    "events": {
        "GET /api/election": {401, 403, 404}, "POST /api/request-token": {400, 401, 403, 404, 409}, "GET /api/my-status": {401, 403},
        "GET /api/my-token": {400, 401, 403}, "GET /api/results": {401, 403, 404},
        f"GET {V}": {400, 403}, f"POST {V}": {400, 403}, f"GET {V}/{{id}}": {403, 404}, f"PATCH {V}/{{id}}/draft": {400, 403, 404},
        f"PATCH {V}/{{id}}/metadata": {400, 403, 404}, f"POST {V}/{{id}}/open": {403, 410}, f"DELETE {V}/{{id}}": {400, 403},
        **{f"POST {V}/{{id}}/{action}": {400, 403} for action in ("publish", "pause", "resume", "close", "archive")},
        **{f"GET {V}/{{id}}/{part}": {403, 404} for part in ("status", "results", "tokens")},
        "POST /api/admin/reset-election": {400, 403}},
}


class Scene:
    """Whoever and whatever a row names, made when it is asked for."""

    def __init__(self, stack, limits=None):
        self.stack, self.made, self.people = stack, {}, {}
        self.services = {name: stack.start(name, **limits) if limits else stack.service(name) for name in COLUMNS}

    def token(self, who):
        """An ID token, the same person each time."""
        claims = {"member": {}, "stranger": {"member": None}, "manager": {"member": None, "roles": ("admin",)},
                  "superuser": {"member": None, "roles": ("superuser",)}, "operator who is no member": {"member": None, "roles": ("admin",)},
                  "admin member": {"roles": ("admin",)}, "super member": {"roles": ("superuser",)}, "no kennitala": {}}[who]
        if who not in self.people:
            claims = person(**claims)
            if who == "no kennitala":
                del claims["kennitala"]
            self.people[who] = self.stack.cloud.token(**claims)
        return self.people[who]

    def caller(self, who):
        return Caller(self.stack.service("elections"), None, self.token(who))

    def election(self, state):
        if state in ("unknown", "malformed"):
            return {"unknown": UNKNOWN_ID, "malformed": "%27%3B--"}[state]
        if state not in self.made:
            self.made[state] = self.make(state)
        return self.made[state]

    def make(self, state):
        boss, fields = self.caller("superuser"), {"answers": ["yes", "no", "abstain"]}
        if state in ("draft", "published", "paused", "closed", "archived", "ended", "early", "hidden"):
            return set_state(self.stack, boss, state, **fields)
        if state == "multi":
            return boss.publish(**fields, voting_type="multi-choice", max_selections=2)
        if state == "for admins":
            return boss.publish(**fields, eligibility="admins")
        if state == "names only":
            return boss.publish(answers=["Anna", "Björn"])
        if state == "late draft":
            return boss.create(**fields, scheduled_end="2001-01-01T00:00:00Z")
        election = boss.create(**fields) if "draft" in state else boss.publish(**fields)
        if state.startswith("hidden"):
            assert boss.act(election, "hide").status == 200
        if state == "deleted draft":
            gone = self.services["events"].call("DELETE", f"{V}/{election}", token=self.token("super member"))
            assert gone.status == 200
        if state in ("voted", "closed with votes"):
            assert self.caller("member").vote(election, "yes").status == 201
        if state.startswith("token"):
            issued = self.services["events"].post(f"/api/request-token?election_id={election}", token=self.token("member")).json["token"]
            canary(issued)
            assert state == "token live" or vote(self.services["elections"], issued).status == 201
        if "closed" in state:
            boss.close(election)
        return election

    def voting_token(self, who):
        elections = self.services["elections"]
        if who == "unknown token":
            return voting_token()
        state = who.partition(" of ")[2]
        election = self.make("published")
        token = register(elections, election)
        if state in ("paused", "hidden"):
            assert self.caller("superuser").act(election, {"paused": "pause", "hidden": "hide"}[state]).status == 200
        elif state in ("ended", "early"):
            self.stack.sql({"ended": "update elections.elections set scheduled_end = now() - interval '1 second' where id = %s",
                            "early": "update elections.elections set scheduled_start = now() + interval '1 hour' where id = %s"}[state], (election,))
        elif who == "expired token":
            self.stack.sql("update elections.voting_tokens set expires_at = now() - interval '1 second' where token_hash = %s", (token_hash(token),))
        elif who == "used token":
            assert vote(elections, token).status == 201
        return token

    def fill(self, value):
        """States and hashes in a path or body become what they stand for."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        if value == HASH:
            return token_hash(voting_token())
        if value == "{known hash}":
            return token_hash(register(self.services["elections"], self.election("published")))
        return re.sub(r"\{([a-z ]+)\}", lambda match: self.election(match[1]), value)

    def send(self, service, method, path, who, body):
        server, path, body = self.services[service], self.fill(path), self.fill(body)
        if who == "service":
            return server.signed(method, path, body)
        if who == "bare key":
            return server.call(method, path, body, headers={"X-API-Key": self.stack.secret["s2s-key"]})
        if who == "nobody":
            return server.call(method, path, body)
        if who == "held token":
            token = self.voting_token("token")
            holder = self.stack.connect(autocommit=False)
            try:
                with holder.cursor() as cursor:
                    cursor.execute("select 1 from elections.voting_tokens where token_hash = %s for update", (token_hash(token),))
                    return server.call(method, path, body, token=token)
            finally:
                holder.close()
        return server.call(method, path, body, token=self.voting_token(who) if "token" in who else self.token(who))


def check_error(reply, status):
    """The contract's shape (§0), nothing of our insides, and a way back where there is one."""
    assert reply.status == status, reply
    told = reply.json
    assert set(told) <= MEMBERS and told["error"] == ERROR[status] and told["message"], told
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["x-correlation-id"] == told["correlation_id"]
    assert ("retry-after" in reply.headers) == (status in (429, 503))
    if status == 503:
        assert str(told["retryAfter"]) == reply.headers["retry-after"]
    assert not re.search(r"(?i)\b(sql\w*|relation|constraint|syntax|function|superadmin|admin|jwt)\b", told["message"]), told


def template(path):
    return re.sub(r"\{[a-z ]+\}", "{id}", path.partition("?")[0])


def groups():
    """Rows of one route: one test each."""
    found = {}
    for service, method, path, *rest in ROWS:
        found.setdefault((service, f"{method} {template(path)}"), []).append((method, path, *rest))
    return found


@pytest.mark.parametrize("service,route", groups())
def test_error_column(stack, service, route):
    scene = Scene(stack, {"VOTE_LIMIT_PER_MINUTE": 1000, "TOKEN_LIMIT_PER_MINUTE": 1000} if len(groups()[service, route]) > 10 else None)
    for method, path, who, body, status, code in groups()[service, route]:
        reply = scene.send(service, method, path, who, body)
        try:
            check_error(reply, status)
            if status == 409 and "vote" in path + str(code).lower():
                assert "already voted" in reply.json["message"]
            if code and "=" in code:
                assert code == f"current_status={reply.json['current_status']}"
            elif code:
                assert code in (reply.json.get("code"), reply.json.get("field")) or code in reply.json["message"]
        except AssertionError as error:
            raise AssertionError(f"{method} {path} by {who} with {str(body)[:80]}: {error}") from error


def routes(service):
    return {f"{method} {path}" for method, path in printed_routes(service) if path.startswith("/api") and "{rest...}" not in path}


@pytest.mark.parametrize("service", COLUMNS)
def test_columns_name_every_route_and_every_status_is_tried(service):
    assert set(COLUMNS[service]) == routes(service)
    for route, statuses in COLUMNS[service].items():
        assert statuses <= {row[4] for row in groups().get((service, route), [])}, route


# --- what every route has ----------------------------------------------------------------------------------------


def every(service, path_id=UNKNOWN_ID):
    for route in sorted(routes(service)):
        method, path = route.split()
        yield method, path.replace("{id}", path_id)


@functools.cache
def printed_routes(service):
    run = subprocess.run([os.path.join(BIN_DIR, service), "--print-routes"], check=True, text=True, stdout=subprocess.PIPE)
    return {tuple(line.split()[:2]): line.split()[2] for line in run.stdout.splitlines()}


def auth(service, method, path):
    """user, voting-token or service, as the binary says."""
    return printed_routes(service)[method, path.replace(UNKNOWN_ID, "{id}")]


@pytest.mark.parametrize("service", COLUMNS)
def test_every_route_without_or_with_a_bad_credential_is_401(stack, service):
    server = stack.service(service)
    good = stack.cloud.token(**person(roles=("superuser",)))
    stale = stack.cloud.token(**person(roles=("superuser",)), ttl_s=-100)
    for method, path in every(service):
        kind = auth(service, method, path)
        headers = [{}, {"Authorization": good}, {"Authorization": f"bearer {good}"}, {"Authorization": "Basic eDp5"}]
        if kind == "user":
            headers += [{"Authorization": f"Bearer {token}"} for token in (stale, "x.y.z", secrets.token_hex(32), good[:-8] + "AAAAAAAA")]
        for header in headers:
            reply = server.call(method, path, None if method == "GET" else {}, headers=header)
            check_error(reply, 401)
            if kind != "service" and service == "elections":
                assert reply.json["code"] in ("MISSING_AUTH_TOKEN", "INVALID_AUTH_TOKEN")


@pytest.mark.parametrize("service", COLUMNS)
def test_every_route_with_a_body_refuses_bad_json_and_too_much_before_asking_who(stack, service):
    server, json_type = stack.service(service), {"Content-Type": "application/json"}
    seen = 0
    for method, path in every(service):
        if method == "GET" or (service, method, path) == ("events", "DELETE", f"{V}/{UNKNOWN_ID}"):
            continue
        seen += 1
        for body in (b"{", b'"text"', b'{"a":1,"a":2}', b"\xff", b'{"a":"\\u0000"}'):
            check_error(server.call(method, path, body, headers=json_type), 400)
        check_error(server.call(method, path, b" " * 70000, headers=json_type), 413)
    assert seen >= 10


@pytest.mark.parametrize("service", COLUMNS)
def test_every_route_without_a_database_is_503(stack, proxy, service):
    link = proxy(stack.postgres.port)
    server = stack.start(service, DATABASE_PORT=link.port, DATABASE_POOL_CONNECTION_TIMEOUT=300, **(
        {"SWEEP_INTERVAL_S": 0} if service == "elections" else {}))
    good = stack.cloud.token(**person(roles=("superuser",)))
    assert server.get("/health/ready").status == 200
    link.mode = "refuse"
    link.cut()
    without = {"GET /api/my-token": 400, f"POST {V}/{UNKNOWN_ID}/open": 410, "GET /api/vote-status": 404,
               "POST /api/admin/reset-election": 403}
    for method, path in every(service):
        kind, route = auth(service, method, path), f"{method} {path}"
        body = None if method == "GET" else {"answer": "yes", "scope": "mine", "title": "x"}
        reply = server.signed(method, path, body) if kind == "service" else \
            server.call(method, path, body, token=secrets.token_hex(32) if kind == "voting-token" else good)
        check_error(reply, without.get(route, 503) if service == "events" or "vote-status" in path else 503)
        assert str(link.port) not in reply.json["message"]


LIMITS = {"read": "READ_LIMIT_PER_MINUTE", "admin": "ADMIN_LIMIT_PER_MINUTE", "write": "WRITE_LIMIT_PER_MINUTE", "vote": "VOTE_LIMIT_PER_MINUTE",
          "token": "TOKEN_LIMIT_PER_MINUTE"}


def limit_of(route):
    """§7.3; calls between services have the burst of V-K9, reads too."""
    if "/api/admin" in route:
        return "admin"
    if "/s2s/" in route:
        return "write"
    return "vote" if route.startswith("POST") and "vote" in route else "token" if "request-token" in route else "read"


@pytest.mark.parametrize("service", COLUMNS)
def test_every_route_has_its_declared_limit_and_says_so(stack, service):
    """Of three calls by one caller the third is 429; a caller at the same address does not notice (V-G1, V-G4, §7.1)."""
    declared = {"read": 2, "admin": 2, "write": 2, "vote": 2, "token": 2}
    numbers = {LIMITS[name]: declared[name] for name in ({limit_of(route) for route in COLUMNS[service]})}
    servers = {}
    for method, path in every(service):
        route, kind = f"{method} {path}", auth(service, method, path)
        name = route if kind == "service" else "all of whom callers are many"
        if name not in servers:
            servers[name] = stack.start(service, **numbers)
        server = servers[name]
        body = None if method == "GET" else {"answer": "yes", "answer_ids": ["x"]}
        callers = [secrets.token_hex(32) if kind == "voting-token" else stack.cloud.token(**person()) for _ in range(2)]

        def ask(token):
            target = path + ("?election_id=" + UNKNOWN_ID if "request-token" in path else "")
            return server.signed(method, path, body) if kind == "service" else server.call(method, target, body, token=token)
        replies = [ask(callers[0]) for _ in range(3)]
        counts_failures = limit_of(route) in ("vote", "token")
        assert [reply.status == 429 for reply in replies] == [False, False, True], (route, replies)
        for reply, left in zip(replies, ("1", "0", "0")):
            if counts_failures and reply.status != 429:
                assert "ratelimit-limit" not in reply.headers  # such a limiter tells nothing who does well
                continue
            assert reply.headers["ratelimit-policy"] == "2;w=60" and reply.headers["ratelimit-limit"] == "2", route
            assert reply.headers["ratelimit-remaining"] == left and 1 <= int(reply.headers["ratelimit-reset"]) <= 120
        check_error(replies[2], 429)
        # The window slides: the next one may be as far away as two of them.
        assert replies[2].json["retryAfter"] == "1 minute" and 1 <= int(replies[2].headers["retry-after"]) <= 120
        if kind != "service":
            assert ask(callers[1]).status != 429


@pytest.mark.parametrize("service,path", [("events", "/api/my-status"), ("events", "/api/my-token"), ("events", "/api/results"),
                                          ("events", "/api/request-token"), ("elections", "/api/token-status"), ("elections", "/api/vote"),
                                          ("elections", "/api/vote-status"), ("elections", f"{E}/{{id}}/vote"), ("elections", f"{E}/{{id}}/results"),
                                          ("elections", A), ("elections", f"{A}/{{id}}"), ("elections", f"{A}/{{id}}/results"),
                                          ("events", f"{V}/{{id}}/results"), ("events", f"{V}/{{id}}/tokens"), ("events", f"{V}/{{id}}/status")])
def test_personal_replies_are_kept_by_no_cache(stack, service, path):
    """V-C12, whatever the outcome."""
    server, election = stack.service(service), create_election(stack)
    token = stack.cloud.token(**person(roles=("superuser",)))
    method = "POST" if path in ("/api/request-token", "/api/vote") or path.endswith("/vote") else "GET"
    for bearer in (None, "x.y.z", token, register(stack.service("elections"), election)):
        reply = server.call(method, path.replace("{id}", election), None if method == "GET" else {"answer": "yes"}, token=bearer)
        assert reply.headers["cache-control"] == "no-store, no-cache, must-revalidate, private, max-age=0" and "etag" not in reply.headers
        if reply.status == 200 and b'"token"' in reply.body:
            canary(reply.json["token"])


@pytest.mark.parametrize("service", COLUMNS)
@pytest.mark.parametrize("values", ["1E9,", "0,", '"\\u001f",', "1e-9,", "[],", "{},"])
def test_large_bodies_of_odd_values_are_400_and_the_process_lives(stack, service, values):
    """V-D4: also values that are longer written out than they came."""
    server = stack.service(service)
    token = stack.cloud.token(**person(roles=("superuser",)))
    before = server.process.pid
    listed = (values * (65000 // len(values))).rstrip(",")
    for method, path in every(service, create_election(stack, open_it=False)):
        if method in ("POST", "PATCH") and "/s2s/" not in path and "request-token" not in path and "reset" not in path:
            bearer = secrets.token_hex(32) if path == "/api/vote" else token
            body = f'{{"title":"T","question":"Q","{"answer_ids" if "vote" in path else "answers"}":[{listed}]}}'.encode()
            reply = server.call(method, path, body, token=bearer, headers={"Content-Type": "application/json"})
            assert reply.status < 500 and reply.status != 413 and reply.json, (path, reply)
    assert server.get("/health").status == 200 and server.process.pid == before
