"""What happens to votes when everything around them fails: no acknowledged vote is missing or doubled, and the process lives."""

import http.client
import json
import os
import secrets
import subprocess
import threading
import time

import pytest

from suite import BIN_DIR, START_TIMEOUT_S, call, wait_until
from voting import ballots, create_election, in_parallel, register, token_hash, vote, voting_token


def cast_until(elections, token, key, stop, retry=True):
    """Votes as a phone would: on no answer, or 503, again under the same key. The last reply, or None."""
    reply = None
    while not stop.is_set():
        try:
            reply = vote(elections, token, key=key, timeout_s=10)
        except (OSError, http.client.HTTPException):  # cut off, perhaps in the middle of the answer
            reply = None
        if not retry or (reply is not None and reply.status != 503):
            return reply
        time.sleep(0.05)
    return reply


def burst(stack, elections, election, count, disturb, retry=True):
    """count votes at once while disturb() does its worst; {token: last reply}."""
    tokens = [register(elections, election) for _ in range(count)]
    replies, stop = {}, threading.Event()

    def run(token):
        replies[token] = cast_until(elections, token, secrets.token_hex(8), stop, retry)

    threads = [threading.Thread(target=run, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    disturb()
    for thread in threads:
        thread.join(timeout=60)
    stop.set()
    return replies


def stored_ids(stack, election):
    return {row[0] for row in stack.sql("select id::text from elections.ballots where election_id = %s", (election,))}


def assert_acknowledged_is_stored(stack, election, replies):
    acknowledged = {reply.json["ballot_id"] for reply in replies.values() if reply is not None and reply.status == 201}
    stored = stored_ids(stack, election)
    assert acknowledged <= stored, "an acknowledged vote is missing"
    assert len(stored) == ballots(stack, election)
    return acknowledged, stored


@pytest.mark.parametrize("mode", ["immediate", "kill"])
def test_database_killed_in_a_burst_loses_and_doubles_nothing(own_stack, mode):
    elections = own_stack.service("elections")
    election = create_election(own_stack)

    def disturb():
        time.sleep(0.05)
        if mode == "kill":
            own_stack.postgres.kill9()
            own_stack.postgres.start()
        else:
            own_stack.postgres.restart("immediate")

    replies = burst(own_stack, elections, election, 120, disturb)
    assert elections.alive()
    assert all(reply is not None and reply.status == 201 for reply in replies.values()), \
        {reply and reply.status for reply in replies.values()}
    acknowledged, stored = assert_acknowledged_is_stored(own_stack, election, replies)
    assert acknowledged == stored and len(stored) == 120


def test_connections_ended_by_the_server_are_replaced(own_stack):
    elections = own_stack.service("elections")
    election = create_election(own_stack)
    for _ in range(3):
        assert vote(elections, register(elections, election)).status == 201
        own_stack.sql("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'elections'")
    assert vote(elections, register(elections, election)).status == 201
    assert ballots(own_stack, election) == 4


def test_terminate_in_a_burst_finishes_what_runs_and_exits_0(stack):
    own = stack.start("elections")
    election = create_election(stack)

    def disturb():
        time.sleep(0.03)
        own.terminate()

    replies = burst(stack, own, election, 80, disturb, retry=False)
    assert own.wait() == 0
    assert_acknowledged_is_stored(stack, election, replies)
    statuses = {reply.status if reply is not None else None for reply in replies.values()}
    assert statuses <= {201, 503, None}
    line = own.logs()[-1]
    assert line["message"] == "stopped" and line["drained"] is True


def test_kill_9_in_a_burst_leaves_no_doubt_after_the_retry(stack):
    own = stack.start("elections")
    election = create_election(stack)

    def disturb():
        time.sleep(0.04)
        own.kill()
        own.start()

    replies = burst(stack, own, election, 80, disturb)
    assert {reply.status for reply in replies.values()} == {201}
    acknowledged, stored = assert_acknowledged_is_stored(stack, election, replies)
    assert acknowledged == stored and len(stored) == 80


def test_pool_exhausted_is_503_and_all_can_vote_afterwards(stack):
    own = stack.start("elections", DATABASE_POOL_MAX="2", DATABASE_POOL_CONNECTION_TIMEOUT="150", LOCK_TIMEOUT_MS="1000", WORKERS="8")
    election = create_election(stack)
    tokens = [register(own, election) for _ in range(8)]
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("lock table elections.ballots in access exclusive mode")
        started = own.metric("pg_pool_acquire_timeouts_total")
        replies = in_parallel([lambda token=token: vote(own, token) for token in tokens])
        holder.rollback()
    holder.close()
    assert {reply.status for reply in replies} == {503}
    assert all(reply.headers["retry-after"] == "1" and reply.json["retryAfter"] == 1 for reply in replies)
    assert own.metric("pg_pool_acquire_timeouts_total") > started
    assert {vote(own, token).status for token in tokens} == {201}
    assert ballots(stack, election) == 8


def test_queue_full_is_503_at_once_and_health_still_answers(stack):
    own = stack.start("elections", WORKERS="1", QUEUE_MAX="1", LOCK_TIMEOUT_MS="1500")
    election = create_election(stack)
    tokens = [register(own, election) for _ in range(8)]
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("lock table elections.ballots in access exclusive mode")
        statuses = []
        threads = [threading.Thread(target=lambda token=token: statuses.append(vote(own, token).status)) for token in tokens]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(statuses) >= 6)
        assert own.get("/health").status == 200
        holder.rollback()
    for thread in threads:
        thread.join()
    holder.close()
    assert statuses.count(503) >= 6
    assert own.metric("http_refused_total", reason="queue_full") >= 6


def test_close_racing_votes_counts_every_acknowledged_one(stack):
    elections = stack.service("elections")
    for _ in range(3):
        election = create_election(stack)
        tokens = [register(elections, election) for _ in range(60)]
        closer = threading.Thread(target=close_when_it_can, args=(stack, election))
        results = []
        voters = [threading.Thread(target=lambda token=token: results.append(vote(elections, token))) for token in tokens]
        for index, voter in enumerate(voters):
            voter.start()
            if index == 20:
                closer.start()
        for thread in (*voters, closer):
            thread.join()
        taken = sum(reply.status == 201 for reply in results)
        assert {reply.status for reply in results} <= {201, 403, 404, 503}
        counted = elections.signed("GET", f"/api/s2s/results?election_id={election}")
        assert counted.status == 200 and counted.json["total_ballots"] == taken == ballots(stack, election)


def close_when_it_can(stack, election):
    def attempt():
        code = stack.sql("select code from elections.close_election(%s, 'operator', 'race', %s)",
                         ("00000000-0000-4000-8000-000000000001", election), user="elections")
        return code == [("closed",)]
    wait_until(attempt)


def test_health_is_degraded_and_readiness_503_while_the_database_is_away(own_stack):
    elections = own_stack.service("elections")
    assert elections.get("/health").json["status"] == "healthy"
    assert elections.get("/health/ready").status == 200
    own_stack.postgres.stop("immediate")
    ready = elections.get("/health/ready")
    assert ready.status == 503 and ready.headers["retry-after"]
    seen = wait_until(lambda: (lambda body: body if body["status"] == "degraded" else None)(elections.get("/health").json))
    assert seen["ok"] is False and seen["reasons"] == ["database"]
    reply = vote(elections, voting_token())
    assert reply.status == 503 and reply.headers["retry-after"] and "SQL" not in json.dumps(reply.json)
    own_stack.postgres.start()
    wait_until(lambda: elections.get("/health/ready").status == 200)
    wait_until(lambda: elections.get("/health").json["status"] == "healthy")


@pytest.mark.parametrize("setting", ["fsync=off", "full_page_writes=off", "synchronous_commit=off"])
def test_start_is_refused_on_a_server_that_may_forget(own_stack, setting):
    own_stack.postgres.stop("fast")
    own_stack.postgres.start(f"-c {setting}")
    own = own_stack.start("elections", healthy=False)
    assert own.process.wait(START_TIMEOUT_S)
    assert own.process.exit_code() == 1
    assert "fsync" in own.log_text() or setting.split("=")[0] in own.log_text()


# --- settings -------------------------------------------------------------------------------------------------


def check_config(env):
    return subprocess.run([os.path.join(BIN_DIR, "elections"), "--check-config"], env=env, capture_output=True, text=True,
                          timeout=30)


GOOD = {"IDEMPOTENCY_KEY": "k" * 32, "S2S_KEYS": "events-1:" + "s" * 32, "VOTER_KEY": "v" * 32}


def test_config_good_one_passes_and_prints_no_secret():
    assert check_config(GOOD).returncode == 0
    printed = subprocess.run([os.path.join(BIN_DIR, "elections"), "--print-config"], env=GOOD, capture_output=True, text=True,
                             timeout=30).stdout
    assert "IDEMPOTENCY_KEY" in printed and "k" * 32 not in printed


def test_config_secret_names_with_hyphens_and_files_are_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("k" * 32 + "\n")
    without = {name: value for name, value in GOOD.items() if name != "IDEMPOTENCY_KEY"}
    assert check_config(without).returncode == 1
    assert check_config({**without, "idempotency-key": "k" * 32}).returncode == 0
    assert check_config({**without, "IDEMPOTENCY_KEY_FILE": str(secret)}).returncode == 0


@pytest.mark.parametrize("change, word", [
    ({"PORT": "http"}, "PORT"), ({"PORT": "70000"}, "PORT"), ({"WORKERS": "65"}, "WORKERS"),
    ({"DATABASE_POOL_MAX": "3", "INSTANCES_MAX": "20"}, "CONNECTION_BUDGET"),
    ({"STATEMENT_TIMEOUT_MS": "9000"}, "STATEMENT_TIMEOUT_MS"), ({"ORG_ID": "me"}, "ORG_ID"),
    ({"S2S_KEYS": "short:x"}, "S2S_KEYS"), ({"IDEMPOTENCY_KEY": "short"}, "IDEMPOTENCY_KEY"),
    ({"APP_CHECK_MODE": "perhaps"}, "APP_CHECK_MODE"), ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
])
def test_config_bad_value_is_named_but_not_shown(change, word):
    result = check_config({**GOOD, **change})
    assert result.returncode == 1 and word in result.stderr
    assert not any(len(value) > 4 and value in result.stderr for value in change.values())


def test_version_names_the_libraries():
    out = subprocess.run([os.path.join(BIN_DIR, "elections"), "--version"], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0 and all(word in out.stdout for word in ("elections", "libevent", "libpq", "curl", "cJSON"))


# --- the wire -------------------------------------------------------------------------------------------------


@pytest.fixture
def elections(stack):
    return stack.service("elections")


@pytest.mark.parametrize("method, path", [("GET", "/api/vote"), ("DELETE", "/api/vote"), ("POST", "/api/token-status"), ("PUT", "/"),
                                          ("GET", "/api/nowhere"), ("POST", "/api/s2s/results"), ("PATCH", "/health"),
                                          ("GET", "/api/vote/x"), ("GET", "//api/vote")])
def test_unknown_routes_are_json_404_or_400(elections, method, path):
    reply = elections.call(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
    assert reply.status in (400, 404) and reply.json["error"] in ("Not Found", "Bad Request")
    assert "availableRoutes" not in reply.json and reply.headers["x-correlation-id"]


@pytest.mark.parametrize("data, media, status", [
    (b"{", "application/json", 400), (b"\xff\xfe", "application/json", 400), (b'{"answer":"yes"', "application/json", 400),
    (b'{"answer":"y\\u0000es"}', "application/json", 400), (b'{"answer":"yes","answer":"no"}', "application/json", 400),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "application/json", 400), (b'{"answer":1e999}', "application/json", 400),
    (b'{"answer":"yes"}', "application/json; charset=iso-8859-1", 415), (b'{"answer":"yes"}', "text/plain", 400),
    (b"answer=yes", "application/x-www-form-urlencoded", 400), (b"x" * 70000, "application/json", 413),
    (b'{"answer":"' + b"x" * 50000 + b'"}', "application/json", 400),
])
def test_bodies_of_every_kind_get_a_json_answer(elections, data, media, status):
    reply = call(elections.url + "/api/vote", "POST", data, {"Content-Type": media, "Authorization": "Bearer " + voting_token()})
    assert reply.status == status and reply.json["error"] and reply.json["message"]


def test_compressed_body_is_415(elections):
    reply = call(elections.url + "/api/vote", "POST", b"\x1f\x8b", {"Content-Type": "application/json", "Content-Encoding": "gzip",
                                                                    "Authorization": "Bearer " + voting_token()})
    assert reply.status == 415


@pytest.mark.parametrize("head", [
    b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n",
    b"POST /api/vote HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"POST /api/vote HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
    b"POST /api/vote HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"POST /api/vote HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/vote HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET //host/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://host/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /x HTTP/1.9\r\nHost: a\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
])
def test_malformed_heads_are_refused_in_json_and_the_connection_closed(elections, head):
    answer = elections.raw(head)
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 501, 505)
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert body["error"] and body["message"]
    assert elections.get("/health").status == 200


def test_cors_only_listed_origins_may_read(elections):
    good = elections.get("/health", headers={"Origin": "http://localhost:3000"})
    assert good.headers["access-control-allow-origin"] == "http://localhost:3000"
    bad = elections.get("/health", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in bad.headers and bad.headers["vary"] == "Origin"
    service_route = elections.signed("GET", "/api/s2s/results", headers={"Origin": "http://localhost:3000"})
    assert "access-control-allow-origin" not in service_route.headers
    preflight = elections.call("OPTIONS", "/api/vote", headers={
        "Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-firebase-appcheck"})
    assert preflight.status == 204 and "x-firebase-appcheck" in preflight.headers["access-control-allow-headers"]


def test_app_check_modes(stack):
    election = create_election(stack)
    for mode, without, broken in (("off", 201, 201), ("monitor", 201, 201), ("enforce", 403, 403)):
        own = stack.start("elections", APP_CHECK_MODE=mode)
        reply = vote(own, register(own, election))
        assert reply.status == without, mode
        token = register(own, election)
        reply = own.post("/api/vote", {"answer": "yes"}, token=token, headers={"X-Firebase-AppCheck": "nonsense"})
        assert reply.status == broken
        if mode == "enforce":
            assert reply.json["error"] == "App Check verification failed" and reply.json["code"] == "INVALID_APP_CHECK_TOKEN"
            good = own.post("/api/vote", {"answer": "yes"}, token=token,
                            headers={"X-Firebase-AppCheck": stack.cloud.app_check()})
            assert good.status == 201
        own.stop()


def test_metrics_count_requests_by_route_and_status(stack, elections):
    before = elections.metric("http_requests_total", route="/api/vote", status="404")
    vote(elections, voting_token())
    assert elections.metric("http_requests_total", route="/api/vote", status="404") == before + 1
    names = {sample.partition("{")[0] for sample in elections.metrics()}
    assert {"http_request_duration_seconds_bucket", "http_queue_depth", "pg_pool_in_use", "pg_pool_waits_total",
            "pg_lock_refusals_total", "upstream_calls_total", "upstream_breaker_open", "process_open_fds"} <= names


def test_every_request_writes_one_line_with_the_fields_operators_need(elections):
    mark = elections.log_mark()
    elections.get("/api/token-status", token=voting_token(), headers={"X-Correlation-ID": "line-1", "User-Agent": "probe/1"})
    line = elections.wait_log(lambda line: line.get("correlation_id") == "line-1", mark)
    assert {"ts", "service", "severity", "message", "correlation_id", "tenant", "user_agent", "route", "status",
            "latency_ms", "httpRequest"} <= set(line)
    assert line["service"] == "elections" and line["route"] == "/api/token-status" and line["user_agent"] == "probe/1"
    assert isinstance(line["latency_ms"], (int, float)) and line["httpRequest"]["requestUrl"] == "/api/token-status"


def test_token_hash_helper_matches_the_service(stack, elections):
    """The lookup key is the SHA-256 of the token's ASCII text (contract §2.3)."""
    election = create_election(stack)
    token = register(elections, election)
    assert stack.sql("select 1 from elections.voting_tokens where token_hash = %s", (token_hash(token),)) == [(1,)]
