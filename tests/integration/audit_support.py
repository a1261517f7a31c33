"""The audit trail seen from outside: its chain computed a second time, and events as Firestore sends them."""

import base64
import hashlib
import hmac
import json
import struct

import protobuf
from firestore_emulator import typed
from suite import call

ENTRIES = "members_audit_log"
HEADS = "audit_chains"
NO_HASH = "0" * 64


class Trail:
    """Reads and checks the chains of one stack, with code of its own."""

    def __init__(self, stack, key):
        self.stack = stack
        self.chain_key = hmac.new(key.encode(), b"audit chain", hashlib.sha256).digest()

    def entries(self):
        """{id: typed fields}"""
        return self._all(ENTRIES)

    def heads(self):
        return self._all(HEADS)

    def _all(self, collection):
        query = {"structuredQuery": {"from": [{"collectionId": collection}]}}
        reply = call(f"{self.stack.documents}:runQuery", "POST", query, token="owner", timeout_s=60)
        assert reply.status == 200, reply
        return {row["document"]["name"].rpartition("/")[2]: row["document"].get("fields", {})
                for row in reply.json if "document" in row}

    def entry_hash(self, name, fields):
        covered = {key: value for key, value in fields.items() if key not in ("hash", "timestamp")}
        return self._mac(b"entry", name.encode(), canonical({"mapValue": {"fields": covered}}))

    def base_mac(self, chain, seq, digest):
        return self._mac(b"base", str(chain).encode(), str(seq).encode(), digest.encode())

    def _mac(self, *parts):
        text = b"".join(struct.pack(">Q", len(part)) + part for part in parts)
        return hmac.new(self.chain_key, text, hashlib.sha256).hexdigest()

    def verify(self):
        """Number of chained entries; fails where the chain does."""
        chains = {}
        for name, fields in self.entries().items():
            if "chain" in fields:
                chains.setdefault(int(fields["chain"]["integerValue"]), []).append((name, fields))
        heads = self.heads()
        for chain, entries in chains.items():
            head = heads[str(chain)]
            seq, digest = 0, NO_HASH
            if "baseSeq" in head:
                seq, digest = int(head["baseSeq"]["integerValue"]), head["baseHash"]["stringValue"]
                assert head["baseMac"]["stringValue"] == self.base_mac(chain, seq, digest)
            for name, fields in sorted(entries, key=lambda one: int(one[1]["seq"]["integerValue"])):
                seq += 1
                assert int(fields["seq"]["integerValue"]) == seq, f"chain {chain} lacks number {seq}"
                assert fields["prev"]["stringValue"] == digest
                digest = fields["hash"]["stringValue"]
                assert self.entry_hash(name, fields) == digest, f"{name} was changed"
            assert (int(head["seq"]["integerValue"]), head["hash"]["stringValue"]) == (seq, digest)
        return sum(map(len, chains.values()))


def canonical(value):
    (kind, inner), = value.items()
    if kind == "mapValue":
        inner = inner.get("fields") or {}
        return b"{" + b"".join(text(key) + canonical(inner[key]) for key in sorted(inner)) + b"}"
    if kind == "arrayValue":
        return b"[" + b"".join(canonical(one) for one in inner.get("values", [])) + b"]"
    if kind == "timestampValue":
        digits = inner.removesuffix("Z")
        return b"t" + text(digits.rstrip("0").removesuffix(".") if "." in digits else digits)
    if kind == "booleanValue":
        return b"b1" if inner else b"b0"
    if isinstance(inner, str):
        return text(kind) + text(inner)
    return b"x" + json.dumps(value, separators=(",", ":")).encode()


def text(string):
    data = string.encode()
    return str(len(data)).encode() + b":" + data


# --- events -----------------------------------------------------------------------------------------------------


def headers(number, event_id, content_type="application/json", auth=None, document=None, **more):
    found = {"Content-Type": content_type, "ce-specversion": "1.0", "ce-id": event_id,
             "ce-type": "google.cloud.firestore.document.v1.written.withAuthContext",
             "ce-source": "//firestore.googleapis.com/projects/demo/databases/(default)",
             "ce-subject": f"documents/members/{number}", "ce-document": document or f"members/{number}",
             "ce-time": "2026-11-22T10:00:00.123456Z"}
    if auth:
        found["ce-authtype"], found["ce-authid"] = auth
    return {**found, **more}


def body_json(number, before=None, after=None):
    name = f"projects/demo/databases/(default)/documents/members/{number}"
    data = {}
    for key, fields in (("oldValue", before), ("value", after)):
        if fields is not None:
            data[key] = {"name": name, "fields": typed(fields), "createTime": "2026-01-01T00:00:00Z",
                         "updateTime": "2026-11-22T10:00:00Z"}
    return json.dumps(data).encode()


def messages():
    """google.events.cloud.firestore.v1 as its documentation numbers it."""
    return protobuf.define({
        "Timestamp": [("seconds", 1, "int64"), ("nanos", 2, "int32")],
        "LatLng": [("latitude", 1, "double"), ("longitude", 2, "double")],
        "Value": [("null_value", 11, "enum"), ("boolean_value", 1, "bool"), ("integer_value", 2, "int64"),
                  ("double_value", 3, "double"), ("timestamp_value", 10, "Timestamp"), ("string_value", 17, "string"),
                  ("bytes_value", 18, "bytes"), ("reference_value", 5, "string"), ("geo_point_value", 8, "LatLng"),
                  ("array_value", 9, "ArrayValue"), ("map_value", 6, "MapValue")],
        "ArrayValue": [("values", 1, "Value", True)],
        "Field": [("key", 1, "string"), ("value", 2, "Value")],
        "MapValue": [("fields", 1, "Field", True)],
        "Document": [("name", 1, "string"), ("fields", 2, "Field", True), ("create_time", 3, "Timestamp"),
                     ("update_time", 4, "Timestamp")],
        "Mask": [("field_paths", 1, "string", True)],
        "Event": [("value", 1, "Document"), ("old_value", 2, "Document"), ("update_mask", 3, "Mask")],
    }, oneof=("Value",))


def fill(value, plain):
    if plain is None:
        value.null_value = 0
    elif isinstance(plain, bool):
        value.boolean_value = plain
    elif isinstance(plain, int):
        value.integer_value = plain
    elif isinstance(plain, float):
        value.double_value = plain
    elif isinstance(plain, str):
        value.string_value = plain
    elif isinstance(plain, bytes):
        value.bytes_value = plain
    elif isinstance(plain, list):
        value.array_value.SetInParent()
        for one in plain:
            fill(value.array_value.values.add(), one)
    else:
        value.map_value.SetInParent()
        for key, one in plain.items():
            fill(value.map_value.fields.add(key=key).value, one)


def body_protobuf(number, before=None, after=None):
    event = messages()["Event"]()
    for document, fields in ((event.old_value, before), (event.value, after)):
        if fields is None:
            continue
        document.name = f"projects/demo/databases/(default)/documents/members/{number}"
        document.create_time.seconds = 1767225600
        for key, one in fields.items():
            fill(document.fields.add(key=key).value, one)
    return event.SerializeToString()


def structured(number, event_id, data, is_json=True, **more):
    found = {key.removeprefix("ce-"): value for key, value in headers(number, event_id, **more).items()
             if key.startswith("ce-")}
    if is_json:
        found |= {"datacontenttype": "application/json", "data": json.loads(data)}
    else:
        found |= {"datacontenttype": "application/protobuf", "data_base64": base64.b64encode(data).decode()}
    return json.dumps(found).encode()
