"""Traces: what services say of requests to a strict OTLP receiver, and what they never say."""

import http.client
import secrets

import pytest

import protobuf
from otlp import CLIENT, INTERNAL, SERVER, Receiver
from suite import person, wait_until
from voting import create_election, member, some_uuid

pytestmark = pytest.mark.skipif(protobuf.MISSING, reason="python3-protobuf is missing")

TRACE = "logging.googleapis.com/trace"
SPAN = "logging.googleapis.com/spanId"
SAMPLED = "logging.googleapis.com/trace_sampled"
TAKEN_WITHIN_S = 30  # spans go out every five seconds


@pytest.fixture
def receiver():
    with Receiver() as one:
        yield one


def traced(stack, name, receiver, percent=100, **env):
    return stack.start(name, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, TRACE_SAMPLE_PERCENT=percent, **env)


def parent(flags="01"):
    """A caller's trace: (trace id, span id, header)."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-{flags}"}


def slot_status(service, headers=None):
    reply = service.signed("GET", f"/api/s2s/slot-status?slot={secrets.token_hex(32)}&election_id={some_uuid()}",
                           headers=headers)
    assert reply.status in (200, 404), reply
    return reply


def one(spans):
    assert len(spans) == 1, spans
    return spans[0]


@pytest.mark.parametrize("protocol,media", [(None, "application/x-protobuf"), ("http/protobuf", "application/x-protobuf"),
                                            ("http/json", "application/json")])
def test_trace_of_a_request_has_queue_and_statement_below_the_callers_span(stack, receiver, protocol, media):
    elections = traced(stack, "elections", receiver, **({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol} if protocol else {}))
    trace_id, span_id, headers = parent()
    mark = elections.log_mark()
    status = slot_status(elections, headers).status
    assert elections.stop() == 0

    spans = receiver.spans(trace_id=trace_id)
    request = one([span for span in spans if span.kind == SERVER])
    assert request.parent_id == span_id and request.name == "GET /api/s2s/slot-status"
    wanted = {"http.request.method": "GET", "http.route": "/api/s2s/slot-status", "http.response.status_code": status}
    assert {key: request.attributes[key] for key in wanted} == wanted
    queue = one([span for span in spans if span.kind == INTERNAL])
    assert queue.name == "queue" and queue.attributes == {}
    statements = [span for span in spans if span.kind == CLIENT]
    assert {span.name for span in statements} == {"use_nonce", "slot_status"}
    for span in statements:
        assert span.attributes == {"db.system.name": "postgresql", "db.operation.name": span.name}
    for span in (queue, *statements):
        assert span.parent_id == request.span_id
        assert request.began_ns <= span.began_ns <= span.ended_ns <= request.ended_ns
    assert queue.began_ns == request.began_ns and queue.ended_ns <= min(span.began_ns for span in statements)
    assert all(posted["Content-Type"] == media for posted, _ in receiver.posts)
    assert {"service.name": "elections", "deployment.environment.name": "local", "gcp.project_id": "demo-ekklesia",
            "ekklesia.tenant": "default"}.items() <= request.resource.items()

    line = one([line for line in elections.logs(mark) if line["message"] == "request"])
    assert line[TRACE] == f"projects/demo-ekklesia/traces/{trace_id}"
    assert line[SPAN] == request.span_id and line[SAMPLED] is True


def test_trace_goes_through_events_and_elections(stack, receiver):
    elections = traced(stack, "elections", receiver, percent=0)
    events = traced(stack, "events", receiver, percent=0, ELECTIONS_SERVICE_URL=elections.url)
    create_election(stack)
    claims, token = member(stack)
    trace_id, span_id, headers = parent()
    assert events.post("/api/request-token", token=token, headers=headers).status == 200
    assert events.stop() == 0 and elections.stop() == 0

    spans = receiver.spans()
    assert {span.trace_id for span in spans} == {trace_id}, "sampled because the caller's is, and nothing else"
    door = one([span for span in spans if span.service == "events" and span.kind == SERVER])
    assert door.parent_id == span_id and door.name == "POST /api/request-token"
    call = one([span for span in spans if span.attributes.get("peer.service") == "elections"])
    assert call.parent_id == door.span_id and call.kind == CLIENT and call.service == "events"
    assert call.attributes["http.request.method"] == "POST" and call.attributes["http.response.status_code"] in (200, 201)
    box = one([span for span in spans if span.service == "elections" and span.kind == SERVER])
    assert box.parent_id == call.span_id and box.attributes["http.route"] == "/api/s2s/register-token"
    inner = [span for span in spans if span.service == "elections" and span is not box]
    assert {span.name for span in inner} >= {"queue", "use_nonce", "register_token"}
    assert {span.parent_id for span in inner} == {box.span_id}
    assert door.began_ns <= call.began_ns <= box.began_ns <= box.ended_ns <= call.ended_ns <= door.ended_ns
    text = str(spans)
    assert claims["uid"] not in text and claims["kennitala"] not in text


def test_trace_that_is_not_sampled_is_still_named_and_passed_on(stack, receiver):
    elections = traced(stack, "elections", receiver)
    events = traced(stack, "events", receiver, ELECTIONS_SERVICE_URL=elections.url)
    create_election(stack)
    _, token = member(stack)
    trace_id, _, headers = parent(flags="00")
    assert events.post("/api/request-token", token=token, headers=headers).status == 200
    for service in (events, elections):
        line = service.wait_log(lambda line: line.get("route") in ("/api/request-token", "/api/s2s/register-token"))
        assert line[TRACE].endswith(trace_id) and line[SAMPLED] is False
    assert events.stop() == 0 and elections.stop() == 0
    assert receiver.spans() == []


def test_trace_without_a_receiver_is_named_and_passed_on_but_leaves_no_span(stack):
    elections = stack.start("elections")
    events = stack.start("events", ELECTIONS_SERVICE_URL=elections.url)
    create_election(stack)
    _, token = member(stack)
    trace_id, span_id, _ = parent()
    cloud = {"X-Cloud-Trace-Context": f"{trace_id}/{int(span_id, 16)};o=1"}
    assert events.post("/api/request-token", token=token, headers=cloud).status == 200
    line = elections.wait_log(lambda line: line.get("route") == "/api/s2s/register-token")
    assert (line[TRACE], line[SPAN], line[SAMPLED]) == (f"projects/demo-ekklesia/traces/{trace_id}", span_id, True)
    assert not [name for name in elections.metrics() if name.startswith("trace_")]
    mark = elections.log_mark()
    slot_status(elections)
    line = elections.wait_log(lambda line: line.get("route") == "/api/s2s/slot-status", mark)
    assert TRACE not in line and SPAN not in line


HOSTILE = ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", "x" * 4000,
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", '"}{\\u0000', "%00", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"]


def test_trace_headers_that_are_not_right_begin_a_new_trace(stack, receiver):
    elections = traced(stack, "elections", receiver)
    for value in HOSTILE:
        slot_status(elections, {"traceparent": value, "X-Cloud-Trace-Context": value})
    twice = (b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
             b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" * 2 + b"\r\n")
    assert b" 404 " in elections.raw(twice)
    assert elections.stop() == 0
    requests = [span for span in receiver.spans() if span.kind == SERVER]
    assert len(requests) == len(HOSTILE) + 1 == len({span.trace_id for span in requests})
    assert all(span.parent_id == "" for span in requests)
    assert not {span.trace_id for span in requests} & {"4bf92f3577b34da6a3ce929d0e0e4736", "1" * 32}
    assert one([span for span in requests if span.attributes["http.response.status_code"] == 404
                and span.attributes["http.route"] == "none"]).name == "GET none"


def test_trace_of_google_is_taken_where_there_is_no_traceparent(stack, receiver):
    elections = traced(stack, "elections", receiver, percent=0)
    trace_id, span_id, headers = parent()
    other = parent()
    slot_status(elections, {"X-Cloud-Trace-Context": f"{trace_id}/{int(span_id, 16)};o=1"})
    slot_status(elections, {"X-Cloud-Trace-Context": f"{other[0]}/1;o=1", **headers})
    slot_status(elections, {"X-Cloud-Trace-Context": f"{other[0]}/1"})  # no decision: the share here is 0
    assert elections.stop() == 0
    requests = [span for span in receiver.spans() if span.kind == SERVER]
    assert [(span.trace_id, span.parent_id) for span in requests] == [(trace_id, span_id)] * 2


def test_trace_of_a_vote_is_its_own_and_says_route_and_status_only(stack, receiver):
    elections = traced(stack, "elections", receiver)
    events = traced(stack, "events", receiver, ELECTIONS_SERVICE_URL=elections.url)
    election = create_election(stack)
    _, token = member(stack)
    trace_id, span_id, headers = parent()
    headers |= {"X-Cloud-Trace-Context": f"{trace_id}/{int(span_id, 16)};o=1"}
    issued = events.post("/api/request-token", token=token, headers=headers)
    assert issued.status == 200
    mark = elections.log_mark()
    replies = [elections.post("/api/vote", {"answer": "yes"}, token=issued.json["token"], headers=headers) for _ in range(2)]
    replies += [
        elections.post("/api/vote", {"answer": "yes"}, headers=headers),
        elections.post(f"/api/elections/{election}/vote", {"selections": ["yes"]}, token=token, headers=headers)]
    _, second = member(stack)
    replies.append(elections.post(f"/api/elections/{election}/vote", {"selections": ["yes"]}, token=second, headers=headers))
    assert [reply.status for reply in replies][:3] == [201, 409, 401]
    assert events.stop() == 0 and elections.stop() == 0

    votes = [span for span in receiver.spans() if str(span.attributes.get("http.route", "")).endswith("/vote")]
    assert len(votes) == len(replies) == len({span.trace_id for span in votes})
    for span in votes:
        assert span.attributes.keys() == {"http.route", "http.response.status_code"} and span.parent_id == ""
        assert span.began_ns % 60_000_000_000 == 0, "to the minute, as the ballot itself"
        assert span.trace_id != trace_id and receiver.spans(trace_id=span.trace_id) == [span]
    assert sorted(span.attributes["http.response.status_code"] for span in votes) == sorted(r.status for r in replies)
    said = {span.name for span in receiver.spans(service="elections")}
    assert not [name for name in said if "cast" in name], "no statement of a vote has a span"
    lines = [line for line in elections.logs(mark) if line.get("route", "").endswith("/vote")]
    assert len(lines) == len(replies) and not [line for line in lines if TRACE in line or SPAN in line or SAMPLED in line]
    log = elections.log_text()[mark:]
    assert not [span for span in votes if span.trace_id in log or span.span_id in log]


def test_trace_receiver_away_costs_requests_nothing_and_gets_the_spans_later(stack, receiver):
    elections = traced(stack, "elections", receiver)
    receiver.mode = 503
    trace_id, _, headers = parent()
    slot_status(elections, headers)
    wait_until(lambda: elections.metric("trace_export_failures_total") >= 1, TAKEN_WITHIN_S)
    slot_status(elections, headers)
    receiver.mode = "take"
    wait_until(lambda: len([span for span in receiver.spans(trace_id=trace_id) if span.kind == SERVER]) == 2, TAKEN_WITHIN_S)
    assert elections.metric("trace_spans_exported_total") == len(receiver.spans())
    assert elections.metric("trace_spans_dropped_total") == 0
    complaints = [line for line in elections.logs() if line["message"] == "spans could not be exported"]
    assert len(complaints) == 1 and complaints[0]["status"] == 503


@pytest.mark.parametrize("status", [400, 500, 501])
def test_trace_receiver_that_refuses_is_not_asked_again(stack, receiver, status):
    elections = traced(stack, "elections", receiver)
    receiver.mode = status
    slot_status(elections)
    wait_until(lambda: elections.metric("trace_spans_dropped_total", reason="not_taken") >= 4, TAKEN_WITHIN_S)
    assert receiver.attempts == 1 and elections.metric("trace_export_failures_total") == 1
    receiver.mode = "take"
    slot_status(elections)
    assert elections.stop() == 0
    assert len([span for span in receiver.spans() if span.kind == SERVER]) == 1


@pytest.mark.parametrize("trouble", ["hang", "slow", "nobody"])
def test_trace_receiver_that_hangs_does_not_keep_the_service_from_stopping(stack, receiver, trouble):
    """The exporter's own limit, TRACE_FLUSH_MS, is below what stop() waits for; what was lost is said."""
    url = {"nobody": "http://127.0.0.1:9"}.get(trouble, receiver.url)
    elections = stack.start("elections", OTEL_EXPORTER_OTLP_ENDPOINT=url, TRACE_SAMPLE_PERCENT=100)
    receiver.mode, receiver.delay_s = ("hang", 0) if trouble == "hang" else ("take", 30)
    slot_status(elections)
    assert elections.stop() == 0
    lost = one([line for line in elections.logs() if line["message"] == "spans were lost"])
    assert lost["spans"] == 4
    assert one([line for line in elections.logs() if line["message"] == "stopped"])["drained"] is True


def test_trace_memory_is_bounded_and_the_rest_is_counted(stack, receiver):
    """A receiver that hangs: 2048 spans wait, a batch is on its way, more are dropped, and requests go on."""
    elections = traced(stack, "elections", receiver)
    receiver.mode = "hang"
    connection = http.client.HTTPConnection("127.0.0.1", elections.port, timeout=30)
    spans = 0
    while elections.metric("trace_spans_dropped_total", reason="queue_full") == 0:
        for _ in range(400):
            connection.request("GET", "/nowhere")
            reply = connection.getresponse()
            assert reply.status == 404 and reply.read()
            spans += 2
        assert spans < 20000, "the ring has no end"
    connection.close()
    assert spans > 2048
    dropped = elections.metric("trace_spans_dropped_total")
    receiver.mode = "take"
    receiver._released.set()
    wait_until(lambda: len(receiver.spans()) >= 2048, TAKEN_WITHIN_S)
    assert elections.stop() == 0
    assert len(receiver.spans()) + dropped == spans
    assert max(count for _, count in receiver.posts) <= 512


def test_trace_to_google_carries_its_token(stack, receiver):
    search = traced(stack, "verifymembership", receiver, OTEL_EXPORTER_OTLP_AUTH="google")
    assert search.get("/nowhere").status == 404
    assert search.stop() == 0
    assert receiver.spans() and {posted["Authorization"] for posted, _ in receiver.posts} == {"Bearer owner"}


@pytest.mark.parametrize("env,said", [
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be"),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ({"TRACE_SAMPLE_PERCENT": "101"}, "TRACE_SAMPLE_PERCENT"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_AUTH": "google",
      "ALLOW_HTTP_UPSTREAMS": "false"}, "OTEL_EXPORTER_OTLP_AUTH=google wants an https endpoint"),
])
def test_trace_settings_that_cannot_work_keep_the_service_from_starting(stack, env, said):
    elections = stack.start("elections", healthy=False, **env)
    assert elections.wait() == 1
    assert said in elections.log_text()


def test_trace_of_an_upstream_that_fails_says_so(stack, receiver):
    events = traced(stack, "events", receiver, ELECTIONS_SERVICE_URL="http://127.0.0.1:9")
    create_election(stack)
    token = stack.cloud.token(**person())
    assert events.post("/api/request-token", token=token).status == 503
    assert events.stop() == 0
    call = one([span for span in receiver.spans() if span.attributes.get("peer.service") == "elections"])
    assert call.status_code == 2 and call.attributes["error.type"] == "ERR_UNAVAILABLE"
    assert "http.response.status_code" not in call.attributes and call.attributes["http.request.resend_count"] >= 1
    request = one([span for span in receiver.spans() if span.kind == SERVER])
    assert request.status_code == 2 and request.attributes["error.type"] == "ERR_UNAVAILABLE"
