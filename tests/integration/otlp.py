"""A strict OTLP/HTTP receiver: takes spans in protobuf or JSON, refuses what the specification does not allow.

    with Receiver() as receiver:
        service = stack.start("elections", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        ...
        receiver.spans()

Every post is checked whole when it arrives; spans() fails when one was not right. mode: "take" · "hang" accepts the
connection and answers nothing · a number is answered as status, after delay_s.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import protobuf

SERVER, CLIENT, INTERNAL = 2, 3, 1
# Whatever else stands in a span is a fault: nothing of a person, a token or a vote has a place here.
ALLOWED = {"http.request.method", "http.route", "http.response.status_code", "http.request.resend_count", "db.system.name",
           "db.operation.name", "peer.service", "error.type"}
RESOURCE = {"service.name", "service.version", "deployment.environment.name", "gcp.project_id", "ekklesia.tenant"}


@dataclass
class Span:
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    began_ns: int
    ended_ns: int
    attributes: dict
    status_code: int
    service: str
    resource: dict = field(repr=False)


def trace_messages():
    """opentelemetry-proto v1: collector/trace, trace, common, resource; with every field they have."""
    return protobuf.define({
        "AnyValue": [("string_value", 1, "string"), ("bool_value", 2, "bool"), ("int_value", 3, "int64"),
                     ("double_value", 4, "double"), ("array_value", 5, "ArrayValue"), ("kvlist_value", 6, "KeyValueList"),
                     ("bytes_value", 7, "bytes")],
        "ArrayValue": [("values", 1, "AnyValue", True)],
        "KeyValueList": [("values", 1, "KeyValue", True)],
        "KeyValue": [("key", 1, "string"), ("value", 2, "AnyValue")],
        "InstrumentationScope": [("name", 1, "string"), ("version", 2, "string"), ("attributes", 3, "KeyValue", True),
                                 ("dropped_attributes_count", 4, "uint32")],
        "Resource": [("attributes", 1, "KeyValue", True), ("dropped_attributes_count", 2, "uint32")],
        "Status": [("message", 2, "string"), ("code", 3, "enum")],
        "Event": [("time_unix_nano", 1, "fixed64"), ("name", 2, "string")],
        "Link": [("trace_id", 1, "bytes"), ("span_id", 2, "bytes")],
        "Span": [("trace_id", 1, "bytes"), ("span_id", 2, "bytes"), ("trace_state", 3, "string"),
                 ("parent_span_id", 4, "bytes"), ("name", 5, "string"), ("kind", 6, "enum"),
                 ("start_time_unix_nano", 7, "fixed64"), ("end_time_unix_nano", 8, "fixed64"),
                 ("attributes", 9, "KeyValue", True), ("dropped_attributes_count", 10, "uint32"),
                 ("events", 11, "Event", True), ("dropped_events_count", 12, "uint32"), ("links", 13, "Link", True),
                 ("dropped_links_count", 14, "uint32"), ("status", 15, "Status"), ("flags", 16, "fixed32")],
        "ScopeSpans": [("scope", 1, "InstrumentationScope"), ("spans", 2, "Span", True), ("schema_url", 3, "string")],
        "ResourceSpans": [("resource", 1, "Resource"), ("scope_spans", 2, "ScopeSpans", True), ("schema_url", 3, "string")],
        "Request": [("resource_spans", 1, "ResourceSpans", True)],
    }, oneof=("AnyValue",))


def attributes_of(pairs):
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value_type")
        assert kind in ("string_value", "int_value") and pair.key not in found, pair
        found[pair.key] = getattr(pair.value, kind)
    return found


def read_protobuf(body):
    request = trace_messages()["Request"]()
    request.ParseFromString(body)
    request.DiscardUnknownFields()
    assert request.SerializeToString() == body, "unknown fields, or not as Google's library writes it"
    for of in request.resource_spans:
        for scope in of.scope_spans:
            assert scope.scope.name
            for span in scope.spans:
                yield Span(span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, span.kind,
                           span.start_time_unix_nano, span.end_time_unix_nano, attributes_of(span.attributes),
                           span.status.code, None, attributes_of(of.resource.attributes))


def only(found, *required, optional=()):
    assert set(required) <= set(found) <= set(required) | set(optional), found
    return [found[name] for name in required]


def json_attributes(pairs):
    found = {}
    for pair in pairs:
        key, value = only(pair, "key", "value")
        (kind, text), = value.items()
        assert isinstance(text, str) and key not in found, pair  # 64-bit numbers are text too
        found[key] = {"stringValue": str, "intValue": int}[kind](text)
    return found


def read_json(body):
    (resource_spans,) = only(json.loads(body), "resourceSpans")
    for of in resource_spans:
        resource, scopes = only(of, "resource", "scopeSpans")
        for scope in scopes:
            named, spans = only(scope, "scope", "spans")
            assert named["name"]
            for span in spans:
                trace_id, span_id, name, kind, began, ended, attributes = only(
                    span, "traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
                    optional=("parentSpanId", "status"))
                assert isinstance(kind, int) and isinstance(began, str) and isinstance(ended, str)
                yield Span(trace_id, span_id, span.get("parentSpanId", ""), name, kind, int(began), int(ended),
                           json_attributes(attributes), span.get("status", {}).get("code", 0), None,
                           json_attributes(only(resource, "attributes")[0]))


READERS = {"application/x-protobuf": read_protobuf, "application/json": read_json}


def check(span):
    assert re.fullmatch(r"[0-9a-f]{32}", span.trace_id) and int(span.trace_id, 16), span
    assert re.fullmatch(r"[0-9a-f]{16}", span.span_id) and int(span.span_id, 16), span
    assert span.parent_id == "" or re.fullmatch(r"[0-9a-f]{16}", span.parent_id) and int(span.parent_id, 16), span
    assert span.name and span.kind in (SERVER, CLIENT, INTERNAL) and span.status_code in (0, 2), span
    assert 0 <= span.ended_ns - span.began_ns < 600e9 and abs(time.time() - span.began_ns / 1e9) < 3600, span
    assert span.attributes.keys() <= ALLOWED and span.resource.keys() <= RESOURCE, span
    span.service = span.resource["service.name"]


class Receiver:
    def __init__(self):
        self.mode = "take"
        self.delay_s = 0.0
        self.posts = []  # (headers, number of spans) of what was taken
        self.faults = []
        self.attempts = 0
        self._spans = []
        self._released = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver._answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._released.set()
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, request):
        with self._lock:
            self.attempts += 1
            mode = self.mode
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if mode == "hang":
            self._released.wait(60)
            request.close_connection = True
            return
        if self.delay_s:
            self._released.wait(self.delay_s)
        if mode == "take":
            self._take(request, body)
        reply = b"" if request.headers["Content-Type"] == "application/x-protobuf" else b"{}"
        try:
            request.send_response(200 if mode == "take" else mode)
            request.send_header("Content-Type", request.headers["Content-Type"])
            request.send_header("Content-Length", str(len(reply)))
            request.end_headers()
            request.wfile.write(reply)
        except OSError:
            pass  # who asked has given up

    def _take(self, request, body):
        try:
            assert request.path == "/v1/traces", request.path
            spans = list(READERS[request.headers["Content-Type"]](body))
            for span in spans:
                check(span)
            with self._lock:
                known = {span.span_id for span in self._spans}
                assert spans and not known & {span.span_id for span in spans}, "a span came twice"
                self._spans += spans
                self.posts.append((dict(request.headers), len(spans)))
        except Exception as fault:  # noqa: BLE001  # the test asks for it
            self.faults.append(fault)

    def spans(self, **wanted):
        """All spans so far whose attributes of this class are as wanted."""
        assert not self.faults, self.faults
        with self._lock:
            return [span for span in self._spans if all(getattr(span, name) == value for name, value in wanted.items())]
