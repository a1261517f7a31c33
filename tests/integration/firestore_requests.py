"""Bare Firestore REST requests, one after the other, and what a server answers, in a form two servers can agree on.

Google's client (tests/peers/firestore_conformance.js) covers what it uses; these are the calls, forms and mistakes it
never makes: plain GET, PATCH and lists, masks that overlap nothing, values that are none, enums as names and numbers.
"""

import re

from suite import call

DATABASE = "(default)"


def S(text):
    return {"stringValue": text}


def I(number):  # noqa: E743
    return {"integerValue": str(number)}


def D(number):
    return {"doubleValue": number}


def A(*values):
    return {"arrayValue": {"values": list(values)}}


def M(**fields):
    return {"mapValue": {"fields": fields}}


VALUES = {
    "n": {"nullValue": None}, "b": {"booleanValue": True}, "i": I(3), "d": D(2.5), "nan": D("NaN"), "inf": D("-Infinity"),
    "ts": {"timestampValue": "2020-01-01T00:00:00Z"}, "s": S("abc"), "by": {"bytesValue": "AQI="}, "ar": A(I(1), S("x")),
    "g": {"geoPointValue": {"latitude": 1, "longitude": 2}}, "m": M(q=I(1)), "s2": S("æ"), "i3": D(3),
}


class Session:
    def __init__(self, host, project):
        self.name = f"projects/{project}/databases/{DATABASE}/documents"
        self.base = f"http://{host}/v1/{self.name}"
        self.reset_url = f"http://{host}/emulator/v1/{self.name}"
        self.transcript = []

    def reset(self):
        assert call(self.reset_url, "DELETE", token="owner").status == 200

    def ask(self, method, path, body=None):
        reply = call(self.base + path, method, body, token="owner")
        said = re.sub(r"'(transaction|retryTransaction|pageToken)': '[^']+'", r"\1", f"{method} {path} {body or ''}")
        self.transcript.append([said, reply.status, normal(reply)])
        return reply

    def post(self, path, body=None):
        return self.ask("POST", path, {} if body is None else body)

    def commit(self, *writes, **more):
        return self.post(":commit", {"writes": list(writes), **more})

    def update(self, path, fields, *mask, **more):
        """One write of a commit."""
        write = {"update": {"name": f"{self.name}/{path}", "fields": fields}, **more}
        if mask:
            write["updateMask"] = {"fieldPaths": list(mask)}
        return write

    def ref(self, path):
        return {"referenceValue": f"{self.name}/{path}"}

    def query(self, structured, parent="", **more):
        return self.post(f"{parent}:runQuery", {"structuredQuery": structured, **more})


TIME = re.compile(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AUTO_ID = re.compile(r"/auto/[A-Za-z0-9]{20}$")


def normal(reply):
    try:
        return simplified(reply.json)
    except ValueError:
        return "no JSON"


def simplified(value):
    """Without what the server made up: times, ids, tokens; and of an error only what machines read.

    skippedResults is progress, which a server that answers at once does not make."""
    if isinstance(value, dict):
        if "error" in value:
            return {"error": [value["error"].get("code"), value["error"].get("status")]}
        return {key: "some" if key in ("transaction", "nextPageToken") else simplified(one)
                for key, one in value.items() if key != "skippedResults"}
    if isinstance(value, list):
        return [simplified(one) for one in value]
    if isinstance(value, str):
        return AUTO_ID.sub("/auto/ID", TIME.sub("TIME", value))
    return value


# --- the requests ---------------------------------------------------------------------------------------------


def run(host, project="demo-requests"):
    session = Session(host, project)
    for part in (documents, values, masks, transforms, preconditions, batches, queries, orders, scopes, lists,
                 aggregations, transactions, names):
        session.reset()
        part(session)
    session.reset()
    return session.transcript


def documents(s):
    s.ask("GET", "/c/none")
    s.ask("GET", "/c")
    s.post("/c?documentId=x", {"fields": {"a": I(1)}})
    s.post("/c?documentId=x", {"fields": {"a": I(1)}})
    s.post("/auto", {"fields": {"a": I(1)}})
    s.post("/c/x", {"fields": {"a": I(1)}})
    s.ask("GET", "/c/x")
    s.ask("GET", "/c/x?mask.fieldPaths=b")
    s.ask("GET", "/c/x?mask.fieldPaths=a&mask.fieldPaths=b")
    s.ask("GET", "/c/x/sub")
    s.ask("GET", "/c/x/sub/d/e")
    s.ask("PATCH", "/c/y", {"fields": {"a": I(1), "b": S("q")}})
    s.ask("PATCH", "/c/y?mask.fieldPaths=b", {"fields": {"a": I(1), "b": S("q")}})
    s.ask("PATCH", "/c/y?bogus=1", {"fields": {"b": I(1)}})
    s.ask("PATCH", "/c/y", {})
    s.ask("DELETE", "/c/nn")
    s.ask("DELETE", "/c/y?currentDocument.exists=true")
    s.ask("DELETE", "/c/y?currentDocument.exists=true")
    for path in ("/__x__/a", "/c/__a__"):
        s.ask("PATCH", path, {"fields": {}})


def values(s):
    for value in ({"integerValue": "x"}, {"integerValue": 1.5}, {"integerValue": 7}, {"integerValue": "9223372036854775808"},
                  {"integerValue": "-9223372036854775808"}, {"bogus": 7}, {}, 7, {"timestampValue": "nope"},
                  {"timestampValue": "0000-01-01T00:00:00Z"}, {"timestampValue": "9999-12-31T23:59:59.999999Z"},
                  {"timestampValue": "1969-12-31T23:59:59.5Z"}, {"bytesValue": "@@"}, {"referenceValue": "xx"},
                  {"geoPointValue": {"latitude": 100}}, {"geoPointValue": {"longitude": -181}}, {"geoPointValue": {}},
                  A(A(I(1))), A(M(q=A(I(1)))), {"nullValue": "NULL_VALUE"},
                  {"doubleValue": "x"}, {"mapValue": {}}, {"mapValue": {"fields": {}}}, {"arrayValue": {}},
                  {"arrayValue": {"values": []}}, D(0.1), D(1e21), D(1e300), D("Infinity"), M(**{"": I(1)})):
        s.ask("PATCH", "/c/v", {"fields": {"v": value}})
    s.ask("PATCH", "/c/v", {"fields": {"a": {"timestampValue": "2019-01-01T00:00:00.123456789Z"},
                                       "b": {"timestampValue": "2019-01-01T02:00:00+02:00"}}})
    for field in ("", "__a__"):
        s.ask("PATCH", "/c/v", {"fields": {field: I(1)}})
    s.ask("PATCH", "/c/v", {"bogus": 1})
    s.ask("PATCH", "/c/v", [1])
    s.ask("PATCH", "/c/v", b"{bad")


def masks(s):
    s.ask("PATCH", "/c/a", {"fields": {"a": I(1)}})
    for query in ("a..b", "a.b&updateMask.fieldPaths=a", "%60a", "", "1a", "a%20b", "%60%60"):
        s.ask("PATCH", f"/c/a?updateMask.fieldPaths={query}", {"fields": {"b": I(1)}})
    s.ask("PATCH", "/c/a?updateMask.fieldPaths=%60x.y%60&updateMask.fieldPaths=%60%5C%60%60",
          {"fields": {"x.y": I(1), "`": I(2), "z": I(3)}})
    s.commit(s.update("c/m", {"a": I(1)}, "b.c"))
    s.ask("GET", "/c/m")
    s.commit(s.update("c/m", {"b": M(c=I(5), d=I(6))}, "b.c"))
    s.commit(s.update("c/m", {"b": M(e=I(5), d=I(6))}, "b.d", "b.c"))
    s.ask("GET", "/c/m")
    s.commit(s.update("c/m", {}, "b.d.x"))
    s.ask("GET", "/c/m")
    s.commit(s.update("c/m", {}, "b.d"))
    s.ask("GET", "/c/m")
    s.commit(s.update("c/m", {"q": I(1)}, updateMask={}))
    s.commit(s.update("c/m", {"b": S("x")}, "b"), s.update("c/m", {"b": M(y=I(1))}, "b.y"))
    s.ask("GET", "/c/m")


def transforms(s):
    doc = {"document": f"{s.name}/c/t"}
    s.commit(s.update("c/t", {"n": I(1), "arr": A(I(1), I(2), I(1))}, updateTransforms=[
        {"fieldPath": "ts", "setToServerValue": "REQUEST_TIME"}, {"fieldPath": "n", "increment": D(1.5)},
        {"fieldPath": "mx", "maximum": I(4)}, {"fieldPath": "mi", "minimum": I(4)},
        {"fieldPath": "arr", "removeAllFromArray": {"values": [I(1)]}},
        {"fieldPath": "arr2", "appendMissingElements": {"values": [I(1), I(1), D(1.0), I(2)]}},
        {"fieldPath": "q.r.s", "increment": I(2)}]))
    s.ask("GET", "/c/t")
    for field, transform in (("n", {"increment": I(2**63 - 1)}), ("mx", {"maximum": D(4.0)}), ("mx", {"maximum": I(9)}),
                             ("mx", {"minimum": D(8.5)}), ("arr", {"increment": I(1)}), ("arr", {"increment": I(2**63 - 1)}),
                             ("mi", {"appendMissingElements": {"values": [I(7)]}}), ("mx", {"increment": S("x")}),
                             ("a", {"setToServerValue": 7}), ("a", {"setToServerValue": 1}), ("a", {}),
                             ("a..b", {"increment": I(1)}), ("x", {"appendMissingElements": {}}),
                             ("y", {"removeAllFromArray": {}})):
        s.commit({"transform": {**doc, "fieldTransforms": [{"fieldPath": field, **transform}]}})
    s.ask("GET", "/c/t")
    s.commit({"transform": {**doc, "fieldTransforms": []}})
    s.commit({"transform": {"document": f"{s.name}/c/new", "fieldTransforms": [{"fieldPath": "n", "increment": I(5)}]}})
    s.commit({"transform": {"document": f"{s.name}/c/none", "fieldTransforms": [{"fieldPath": "n", "increment": I(5)}]},
              "currentDocument": {"exists": True}})


def preconditions(s):
    s.ask("PATCH", "/c/a", {"fields": {"a": I(1)}})
    for query in ("exists=false", "exists=true", "updateTime=2020-01-01T00:00:00Z"):
        s.ask("PATCH", f"/c/a?currentDocument.{query}", {"fields": {"a": I(2)}})
        s.ask("PATCH", f"/c/none?currentDocument.{query}", {"fields": {"a": I(2)}})
        s.ask("DELETE", "/c/none")
    for condition in ({"exists": False}, {"exists": True}, {"updateTime": "2020-01-01T00:00:00Z"},
                      {"updateTime": "2020-01-01T00:00:00.000000001Z"}, {"updateTime": "x"}, {"bogus": 1}, {}):
        s.commit(s.update("c/a", {"a": I(3)}, currentDocument=condition))
        s.commit(s.update("c/nope", {"a": I(3)}, currentDocument=condition))
        s.ask("DELETE", "/c/nope")
    time = call(s.base + "/c/a", token="owner").json["updateTime"]
    for _ in range(2):
        reply = call(s.base + ":commit", "POST", {"writes": [
            s.update("c/a", {"a": I(99)}, "a", currentDocument={"updateTime": time}),
            s.update("c/b", {}, currentDocument={"exists": False})]}, token="owner")
        s.transcript.append(["commit at its update time", reply.status, simplified(reply.json)])


def batches(s):
    for body in ({"writes": []}, {}, {"writes": [{}]}, {"writes": [{"update": {"fields": {}}}]},
                 {"writes": [{"update": {"name": "bad"}}]}, {"writes": [{"delete": f"{s.name}/c"}]}, {"bogus": 1}):
        s.post(":commit", body)
    s.commit(s.update("c/a", {"a": I(1)}), s.update("c/a", {"b": I(1)}, "b"), {"delete": f"{s.name}/c/a"})
    s.commit({"delete": f"{s.name}/c/a"}, s.update("c/b", {"a": I(1)}),
             {"delete": f"{s.name}/c/none", "currentDocument": {"exists": True}})
    s.ask("GET", "/c/b")
    for writes in ([], [s.update("c/a", {"a": I(1)}), s.update("c/a", {"b": I(1)})],
                   [{"delete": f"{s.name}/c/none", "currentDocument": {"exists": True}}, s.update("c/b", {"a": I(1)})],
                   [s.update("c/b", {"a": I(1)}), s.update("__x__/b", {"a": I(1)})]):
        reply = call(s.base + ":batchWrite", "POST", {"writes": writes}, token="owner")
        answer = simplified(reply.json)
        for status in answer.get("status", []):
            status.pop("message", None)
        s.transcript.append([f"batchWrite {writes}", reply.status, answer])
    names = [f"{s.name}/c/{name}" for name in ("b", "none", "b")]
    s.post(":batchGet", {"documents": names, "mask": {"fieldPaths": ["a"]}})
    for body in ({"documents": []}, {}, {"documents": ["bad"]}, {"documents": names[:1], "newTransaction": {}}):
        s.post(":batchGet", body)


def field(op, value, path="v"):
    return {"fieldFilter": {"field": {"fieldPath": path}, "op": op, "value": value}}


def unary(op, path="v"):
    return {"unaryFilter": {"field": {"fieldPath": path}, "op": op}}


def every(*filters, op="AND"):
    return {"compositeFilter": {"op": op, "filters": list(filters)}}


def order(path, direction=None):
    return {"field": {"fieldPath": path}, **({"direction": direction} if direction else {})}


T = {"from": [{"collectionId": "t"}], "select": {"fields": [{"fieldPath": "__name__"}]}}


def fill(s):
    writes = [s.update(f"t/{name}", {"v": value, "k": I(k)}) for k, (name, value) in enumerate(VALUES.items())]
    s.commit(*writes, s.update("t/r", {"v": s.ref("c/x"), "k": I(50)}), s.update("t/missing", {"k": I(99)}))


def queries(s):
    fill(s)
    everything = {**VALUES, "r": s.ref("c/x")}
    for op in ("EQUAL", "NOT_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL",
               "ARRAY_CONTAINS"):
        for value in everything.values():
            s.query({**T, "where": field(op, value)})
    for op in ("IN", "NOT_IN", "ARRAY_CONTAINS_ANY"):
        for listed in ((I(3), S("abc")), (I(3), {"nullValue": None}), (D("NaN"), S("x")), ()):
            s.query({**T, "where": field(op, A(*listed))})
        s.query({**T, "where": field(op, I(3))})
    for op in ("IS_NULL", "IS_NAN", "IS_NOT_NULL", "IS_NOT_NAN", 2, 3, 4, 5):
        s.query({**T, "where": unary(op)})
    s.query({**T, "where": field(5, I(3))})
    s.query({**T, "where": field("EQUAL", I(1), "v.q")})
    for op in ("EQUAL", "GREATER_THAN", "LESS_THAN_OR_EQUAL"):
        s.query({**T, "where": field(op, s.ref("t/m"), "__name__")})
    s.query({**T, "where": field("IN", A(s.ref("t/m"), s.ref("t/s")), "__name__")})
    s.query({**T, "where": field("EQUAL", S("m"), "__name__")})
    between = every(field("GREATER_THAN", I(2), "k"), field("LESS_THAN", I(6), "k"))
    either = every(field("EQUAL", I(2), "k"), field("EQUAL", I(7), "k"), op="OR")
    for where in (between, either, every(between, either, op=2), every(either, between, op=1), every(),
                  every(field("GREATER_THAN", I(5), "k"), field("LESS_THAN", S("zz"))),
                  {"compositeFilter": {"filters": [field("EQUAL", I(2), "k")]}}, {}, field("BOGUS", I(1)), field(77, I(1)),
                  {"fieldFilter": {"field": {"fieldPath": "v"}, "op": "EQUAL"}},
                  {"fieldFilter": {"op": "EQUAL", "value": I(1)}}, field("EQUAL", I(1), "a..b")):
        s.query({**T, "where": where})


def orders(s):
    fill(s)
    for orders_ in ([order("v")], [order("v", "DESCENDING")], [order("v", 2), order("k", 1)], [order("nope")],
                    [order("v.q")], [order("__name__")], [order("__name__", "DESCENDING")], [order("a..b")],
                    [order("k", "BOGUS")]):
        s.query({**T, "orderBy": orders_})
    s.query({**T, "where": field("GREATER_THAN", I(5), "k"), "orderBy": [order("v")]})
    s.query({**T, "where": field("GREATER_THAN", I(2)), "orderBy": [order("k")]})
    by_k = {**T, "orderBy": [order("k")]}
    for more in ({"limit": 3, "offset": 2}, {"limit": 0}, {"limit": -1}, {"offset": -1}, {"offset": 100}, {"limit": "x"}):
        s.query({**by_k, **more})
    for start, end in (({"values": [I(5)], "before": True}, {"values": [I(8)], "before": True}),
                       ({"values": [I(5)], "before": False}, {"values": [I(8)], "before": False}),
                       ({"values": [I(5)]}, {"values": [D(6.5)]}),
                       ({"values": [S("x")]}, None), ({"values": [I(5), s.ref("t/s")]}, None), ({"values": [{}]}, None)):
        s.query({**by_k, "startAt": start, **({"endAt": end} if end else {})})
    s.query({**T, "orderBy": [order("k"), order("__name__")], "startAt": {"values": [I(5), s.ref("t/inf")]}})
    s.query({**T, "orderBy": [order("__name__")], "startAt": {"values": [s.ref("t/m")]}, "limit": 2})
    s.query({**T, "startAt": {"values": [s.ref("t/m")]}})
    for select in ({"fields": [{"fieldPath": "k"}]}, {"fields": []}, {}, {"fields": [{"fieldPath": "v.q"}, {"fieldPath": "k"}]}):
        s.query({**T, "select": select, "limit": 9})


def scopes(s):
    for path in ("t/m", "t/m/sub/1", "u/m/sub/2", "u/m/sub/2/sub/3", "sub/4"):
        s.ask("PATCH", f"/{path}", {"fields": {"a": S(path)}})
    for selector in ([{"collectionId": "sub"}], [{"collectionId": "sub", "allDescendants": True}],
                     [{"allDescendants": True}], [], [{"collectionId": "t"}, {"collectionId": "u"}],
                     [{"collectionId": "t/x"}], [{"collectionId": "t", "bogus": 1}]):
        for parent in ("", "/u/m", "/t/none"):
            s.query({"from": selector}, parent)
    s.query({})
    s.post(":runQuery", {})
    s.query({"from": [{"collectionId": "sub"}], "bogus": 1})
    s.query({"from": [{"collectionId": "sub", "allDescendants": True}],
             "where": field("EQUAL", s.ref("sub/4"), "__name__")})
    for path in ("", "/t/m", "/t/nope", "/u/m"):
        s.post(f"{path}:listCollectionIds")
    first = s.post(":listCollectionIds", {"pageSize": 1}).json
    s.post(":listCollectionIds", {"pageSize": 5, "pageToken": first["nextPageToken"]})


def lists(s):
    fill(s)
    s.ask("PATCH", "/u/m/sub/1", {"fields": {}})
    first = s.ask("GET", "/t?pageSize=7&mask.fieldPaths=k").json
    rest = call(f"{s.base}/t?pageSize=30&mask.fieldPaths=k&pageToken={first['nextPageToken'].replace('=', '%3D').replace('+', '%2B')}",
                token="owner")
    s.transcript.append(["the second page", rest.status, normal(rest)])
    for query in ("pageSize=2&mask.fieldPaths=k&orderBy=k%20desc", "pageSize=3&mask.fieldPaths=k&orderBy=k",
                  "pageSize=-1", "orderBy=nope", "mask.fieldPaths=v.q&pageSize=20"):
        s.ask("GET", f"/t?{query}")
    for query in ("", "?showMissing=true", "?showMissing=true&orderBy=a"):
        s.ask("GET", f"/u{query}")


def aggregations(s):
    fill(s)
    for structured, wanted in ((T, [{"count": {}, "alias": "x"}]), (T, [{"count": {}}]), (T, []),
                               (T, [{"count": {"upTo": "3"}, "alias": "y"}]), ({**T, "limit": 2}, [{"count": {}}]),
                               (T, [{"count": {}, "alias": "x"}, {"count": {}, "alias": "x"}]),
                               ({**T, "where": field("EQUAL", S("none"))}, [{"count": {}, "alias": "none"}])):
        structured = {key: one for key, one in structured.items() if key != "select"}
        s.post(":runAggregationQuery",
               {"structuredAggregationQuery": {"structuredQuery": structured, "aggregations": wanted}})
    s.post(":runAggregationQuery", {})


def begin(s, **options):
    return s.post(":beginTransaction", options).json["transaction"]


def transactions(s):
    document = f"{s.name}/t/m"
    s.ask("PATCH", "/t/m", {"fields": {"n": I(1)}})
    t = begin(s, options={"readWrite": {}})
    s.post(":batchGet", {"documents": [document, f"{s.name}/t/none"], "transaction": t})
    s.commit(s.update("t/m", {"n": I(2)}), transaction=t)
    s.commit(s.update("t/m", {"n": I(3)}), transaction=t)
    s.post(":rollback", {"transaction": t})
    t = begin(s)
    s.post(":rollback", {"transaction": t})
    s.post(":rollback", {"transaction": t})
    s.post(":batchGet", {"documents": [document], "transaction": t})
    for options in ({"readOnly": {}}, {"readWrite": {"retryTransaction": t}}):
        t = begin(s, options=options)
        s.query({"from": [{"collectionId": "t"}]}, transaction=t)
        s.commit(s.update("t/m", {"n": I(4)}), transaction=t)
    t = begin(s, options={"readOnly": {}})
    s.commit(transaction=t)
    s.commit(transaction=t)
    for body in ({}, {"transaction": "AAAA"}):
        s.post(":rollback", body)
    s.commit(s.update("t/m", {"n": I(5)}), transaction="AAAA")
    for options in ({"readWrite": {}}, {"readOnly": {}}):
        reply = s.query({"from": [{"collectionId": "nope"}]}, newTransaction=options)
        s.post(":rollback", {"transaction": reply.json[0]["transaction"]})
    s.ask("GET", "/t/m")


def names(s):
    for path in ("/%C3%A6%20b/x%2Fy", "/%C3%A6%20b/x:commit", "/%C3%A6%20b/127.0.0.1:login:10m"):
        s.ask("PATCH", path, {"fields": {}})
    s.ask("GET", "/%C3%A6%20b/x:commit")
    s.ask("GET", "/%C3%A6%20b/x%3Acommit")
    s.ask("GET", "/%C3%A6%20b?pageSize=9")
