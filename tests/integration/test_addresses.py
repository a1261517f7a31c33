"""The three address services and the build of their registry file, over the fixture and, where they are, the real rows."""

import csv
import gzip
import http.server
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from urllib.parse import quote

import pytest

import evidence
import openapi
from processes import Process, free_port
from suite import BIN_DIR, Service, call, canary, wait_until

ROOT = evidence.ROOT
FIXTURE = os.path.join(ROOT, "tests", "data", "registry", "Stadfangaskra.csv")
BUILD = os.path.join(ROOT, "deploy", "registry", "build")
FETCH = os.path.join(ROOT, "deploy", "registry", "fetch")
REAL_ROWS = os.path.join(ROOT, "..", "shared", "data", "Stadfangaskra.csv.gz")
REAL_POSTCODES = os.path.join(ROOT, "..", "shared", "data", "postcodes.csv")
NAMES = ("search-addresses", "validate-address", "validate-postal-code")
FUNCTIONS = {"search-addresses": "search_addresses", "validate-address": "validate_address",
             "validate-postal-code": "validate_postal_code"}
LEAKS = ("sqlite", "SQL", "registry file", "errno", "/tmp/", "Traceback", "SELECT")


def build(source, db, *options, stdin=None):
    return subprocess.run([BUILD, source, db, *options], stdin=stdin, text=True, capture_output=True, check=False,
                          env={**os.environ, "BIN_DIR": BIN_DIR}, timeout=170)


class Registry:
    """Stands where Service expects a stack: a folder with a registry file and the processes that read it."""

    def __init__(self, directory, db):
        self.directory, self.db, self.services = str(directory), str(db), []

    def spawn(self, name, label=None, **env):
        settings = {"PATH": os.environ["PATH"], "LISTEN_ADDRESS": "127.0.0.1", "REGISTRY_DB": self.db,
                    "FIREBASE_PROJECT_ID": "demo-ekklesia", "FIREBASE_JWKS_URL": "http://127.0.0.1:9/jwks",
                    "ALLOW_HTTP_UPSTREAMS": "true", "LOG_SALT": "0123456789abcdef" * 4, "ENVIRONMENT": "test",
                    "LOOKUP_LIMIT_PER_MINUTE": "1000000", "ADDRESS_FAILURES_PER_MINUTE": "1000000",
                    **evidence.sanitizer_environment(), **{key: str(value) for key, value in env.items()}}
        log = os.path.join(self.directory, f"{label}.log")
        return Process.spawn(label, [os.path.join(BIN_DIR, name)], settings, log)

    def start(self, name, healthy=True, **env):
        service = Service(self, name, f"{name}-{len(self.services)}", free_port(), free_port(), env=env)
        self.services.append(service)
        service.document = openapi.document_of(name)  # every reply of every test is held against it
        return service.start(healthy)

    def stop(self):
        stubborn = [service.label for service in self.services if service.alive() and not service.process.stop()]
        logs = os.path.join(self.directory, "logs")
        os.makedirs(logs, exist_ok=True)
        for name in os.listdir(self.directory):
            if name.endswith(".log"):
                shutil.copy(os.path.join(self.directory, name), logs)
        evidence.keep_logs(logs, f"addresses-{os.path.basename(self.directory)}")
        assert not stubborn, f"did not stop after SIGTERM: {stubborn}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    directory = tmp_path_factory.mktemp("registry")
    done = build(FIXTURE, str(directory / "registry.db"), "--source-date", "2022-11-20")
    assert done.returncode == 0, done.stderr
    made = Registry(directory, directory / "registry.db")
    for name in NAMES:
        made.start(name)
    yield made
    made.stop()


@pytest.fixture
def own(registry, tmp_path):
    """A registry file and services of one test alone."""
    shutil.copy(registry.db, tmp_path / "registry.db")
    made = Registry(tmp_path, tmp_path / "registry.db")
    yield made
    made.stop()


@pytest.fixture
def search(registry):
    return registry.services[0]


@pytest.fixture
def validate(registry):
    return registry.services[1]


@pytest.fixture
def postcode(registry):
    return registry.services[2]


def ask(service, data, path="/", **more):
    return service.post(path, {"data": data}, **more)


def result(service, data):
    reply = ask(service, data)
    assert reply.status == 200, reply
    return reply.json["result"]


def displays(service, query, limit=10):
    found = result(service, {"query": query, "limit": limit})
    assert found["error"] is None
    return [item["display"] for item in found["results"]]


# --- search ---------------------------------------------------------------------------------------------------


def test_search_callable_answers_in_the_contracts_shape(search):
    found = result(search, {"query": "laugavegur 22", "limit": 2})
    assert found["error"] is None and len(found["results"]) == 2
    assert found["results"][1] == {
        "street": "Laugavegur", "number": 22, "letter": "", "postal_code": 560, "city": "Varmahlíð",
        "municipality": "Skagafjörður", "latitude": found["results"][1]["latitude"],
        "longitude": found["results"][1]["longitude"], "hnitnum": found["results"][1]["hnitnum"],
        "display": "Laugavegur 22, 560 Varmahlíð"}
    with open(FIXTURE, encoding="utf-8") as rows:
        row = next(row for row in csv.DictReader(rows) if row["HNITNUM"] == str(found["results"][1]["hnitnum"]))
    assert found["results"][1]["latitude"] == float(row["N_HNIT_WGS84"].replace(",", "."))
    assert found["results"][1]["longitude"] == float(row["E_HNIT_WGS84"].replace(",", "."))


@pytest.mark.parametrize("name", NAMES)
def test_callable_every_spelling_of_the_path_answers(registry, name):
    service = registry.services[NAMES.index(name)]
    data = {"query": "laug", "street": "Laugavegur", "number": 1, "postal_code": 101}
    for path in ("/", f"/{FUNCTIONS[name]}", f"/{name}"):
        assert ask(service, data, path).json["result"]["error"] is None


def test_search_get_answers_plain_with_text_postcodes(search):
    for path in ("/", "/search_addresses", "/search-addresses"):
        reply = search.get(f"{path}?q=laugavegur+22&limit=1")
        assert reply.status == 200 and set(reply.json) == {"results"}
        item = reply.json["results"][0]
        assert item["postal_code"] == "101" and item["number"] == 22 and item["city"] == "Reykjavík"
        assert isinstance(item["latitude"], float) and isinstance(item["hnitnum"], int)


def test_search_range_door_has_no_number_but_a_range(search):
    item = result(search, {"query": "hafnarstræti 6-8 akureyri", "limit": 1})["results"][0]
    assert item["number"] is None and item["number_range"] == "6-8"
    assert item["display"] == "Hafnarstræti 6-8, 600 Akureyri"


def test_search_door_without_position_has_null(search):
    item = result(search, {"query": "bær efri", "limit": 1})["results"][0]
    assert item["latitude"] is None and item["longitude"] is None


def test_search_named_building_says_its_name(search):
    item = result(search, {"query": "Hallgrímskirkja"})["results"][0]
    assert item["display"] == "Hallgrímstorg 1, 101 Reykjavík" and item["special_name"] == "Hallgrímskirkja"


def test_search_short_or_absent_query_gives_no_results(search):
    for data in ({}, {"query": ""}, {"query": None}, {"query": "l"}, {"query": " þ "}, None, {"query": "Á"}):
        assert result(search, data)["results"] == [] and result(search, data)["error"] is None


def test_search_limit_is_ten_by_default_and_twenty_at_most(search):
    assert len(displays(search, "túngata", None)) == 10
    assert len(result(search, {"query": "túngata"})["results"]) == 10
    assert len(displays(search, "túngata", "3")) == 3
    for limit in (20, 21, 10**9, 2**52, "99999999"):
        assert len(displays(search, "túngata", limit)) == 20
    for limit in (0, -1, -2**53, 1e300, 2.5, "x", "", "1e2", True, [], {}, "-5", "999999999999999999999"):
        found = result(search, {"query": "túngata", "limit": limit})
        assert found == {"results": [], "error": "limit must be a whole number from 1"}
    assert len(search.get("/?q=túngata".replace("ú", quote("ú"))).json["results"]) == 10
    for limit in ("0", "-1", "x", "", "1.5", "99999999999999999999", "%00"):
        assert search.get(f"/?q=laug&limit={limit}").status == 400
    assert len(search.get("/?q=laug&limit=9000").json["results"]) > 10


def test_search_nothing_found_suggests(search):
    found = result(search, {"query": "laugavegur 999"})
    assert found["results"] == [] and found["error"] is None
    assert found["suggestions"][0] == "Laugavegur 220, 101 Reykjavík"
    assert len(found["suggestions"]) <= 5


def test_search_query_as_number_is_read_as_text(search):
    assert result(search, {"query": 400})["results"] == result(search, {"query": "400"})["results"] != []


BAD_TEXTS = ["", " ", "%", "_", "%_%", "'; DROP TABLE door; --", "' OR 1=1 --", "\" NEAR/2 \"", "laug* AND vegur",
             "a\\", "\\u0000", "🙂🎉", "שלום", "مرحبا بالعالم", "\u202elaugavegur", "x" * 10240, "á" * 5000, "6-8-10",
             "-1", "0x16", "1e9", "NaN", "null", "\n\t", "laugavegur " * 30, "١٢", "\ufeff", "{}", "[]", "<script>"]


@pytest.mark.parametrize("name", NAMES)
def test_callable_any_value_in_any_field_has_a_defined_answer(registry, name):
    service = registry.services[NAMES.index(name)]
    values = BAD_TEXTS + [None, True, False, 0, -1, 1.5, 1e308, 2**60, [], {}, [1], {"a": 1}, ["x" * 100], -0.0]
    fields = {"search-addresses": ("query", "limit"), "validate-postal-code": ("postal_code",),
              "validate-address": ("street", "number", "letter", "postal_code", "city")}[name]
    good = {"query": "laugavegur", "street": "Laugavegur", "number": 22}
    for field in fields:
        for value in values:
            reply = ask(service, {**good, field: value})
            assert reply.status in (200, 400), (field, value, reply)
            text = reply.body.decode()
            assert not any(leak in text.replace(json.dumps(value, ensure_ascii=False)[1:-1], "") for leak in LEAKS)
            answer = reply.json.get("result")
            assert answer is None or "error" in answer
    for data in (None, True, 5, "text", [], [1], {}):
        assert ask(service, data).status == 200


def test_search_get_bad_text_has_a_defined_answer(search):
    for text in BAD_TEXTS:
        reply = search.get(f"/?q={quote(text)}"[:8000])
        assert reply.status in (200, 400), (text, reply)
        assert reply.status != 200 or reply.json["results"] is not None
    for raw in ("%FF", "%C3", "%ED%A0%80", "%C0%AF", "%00", "%", "%zz", "lauga%00vegur"):
        reply = search.get(f"/?q={raw}")
        assert reply.status == 400 and reply.json["error"]["status"] == "INVALID_ARGUMENT"
    assert search.get("/").status == 400


@pytest.mark.parametrize("name", NAMES)
def test_callable_malformed_envelopes_are_400(registry, name):
    service = registry.services[NAMES.index(name)]
    kind = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"data":1,"more":2}', b'{"data":{},"data":{}}', b"\xff",
                 b'{"data":{"query":"\xff\xfe"}}', b'{"data":{"query":"a\\u0000b"}}'):
        reply = service.post("/", body, headers=kind)
        assert reply.status == 400 and reply.json["error"]["status"] == "INVALID_ARGUMENT", body
    assert service.post("/", b'{"data":{}}', headers={"Content-Type": "text/plain"}).status == 400
    assert service.post("/", b'{"data":{}}', headers={"Content-Type": "application/json; charset=utf-8"}).status == 200
    assert service.post("/nothing", {"data": {}}).status == 404
    assert service.post("/", b'{"data":"' + b"x" * 70000 + b'"}', headers=kind).status == 413


@pytest.mark.parametrize("name", NAMES)
def test_callable_bad_token_is_401_and_none_is_fine(registry, name):
    service = registry.services[NAMES.index(name)]
    data = {"data": {"query": "laug", "street": "Laugavegur", "number": 1, "postal_code": 101}}
    for header in ("Bearer junk", "Bearer a.b.c", "Basic eDp5", "junk"):
        reply = service.post("/", data, headers={"Authorization": header})
        assert reply.status == 401 and reply.json["error"]["status"] == "UNAUTHENTICATED"
    assert service.post("/", data).status == 200


@pytest.mark.parametrize("name", NAMES)
def test_cors_every_class_of_origin(registry, name):
    service = registry.services[NAMES.index(name)]
    for origin in ("https://felagar.sosialistaflokkurinn.is", "http://localhost:3000", "https://elsewhere.example", "null"):
        reply = service.post("/", {"data": {}}, headers={"Origin": origin})
        assert reply.headers["Access-Control-Allow-Origin"] in ("*", origin)
        assert "Access-Control-Allow-Credentials" not in reply.headers
        assert "origin" in (reply.headers["Vary"] or "").lower()
        ahead = service.call("OPTIONS", "/", headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                                      "Access-Control-Request-Headers": "content-type,x-firebase-appcheck"})
        assert ahead.status == 200 and "POST" in ahead.headers["Access-Control-Allow-Methods"]
        assert "content-type" in ahead.headers["Access-Control-Allow-Headers"].lower()
        assert ahead.headers["Access-Control-Allow-Origin"] in ("*", origin)
    assert "Access-Control-Allow-Origin" not in service.post("/", {"data": {}}).headers


def test_search_get_etag_saves_the_body(search):
    first = search.get("/?q=laugavegur")
    assert first.headers["ETag"].startswith('W/"') and first.headers["Cache-Control"] == "public, max-age=300"
    again = search.get("/?q=laugavegur", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304 and again.body == b"" and again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "public, max-age=300"
    for path in ("/?q=hvammur", "/?q=laugavegur&limit=3", "/nearest?lat=64.1466&lon=-21.9426"):
        other = search.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert other.status == 200 and other.headers["ETag"] != first.headers["ETag"]
        assert search.get(path, headers={"If-None-Match": other.headers["ETag"]}).status == 304


def test_search_limit_per_client_address_is_429(own):
    service = own.start("search-addresses", LOOKUP_LIMIT_PER_MINUTE=5, TRUSTED_HOPS=1)
    here, there = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
    statuses = [service.get("/?q=laug", headers=here).status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    refused = ask(service, {"query": "laug"}, headers=here)
    assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
    assert refused.json["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert service.get("/?q=laug", headers=there).status == 200


def test_logs_hold_no_word_of_what_was_asked(registry, search, validate):
    words = ("Leyndarstígur", "Felustræti", "Huliðsheimar")
    for word in words:
        canary(word)
        search.get(f"/?q={quote(word)}+77")
        search.get(f"/nearest?lat={quote(word)}&lon=1")
        ask(search, {"query": f"{word} 77"})
        ask(search, {"query": f"{word} 77", "limit": word})
        ask(validate, {"street": word, "number": "77", "city": word})
        ask(validate, {"street": word, "number": word})
    search.get("/nearest?lat=64.123456&lon=-21.654321")
    wait_until(lambda: any(line.get("route") == "/nearest" for line in search.logs()))
    for service in (search, validate):
        text = service.log_text()
        assert not any(word in text for word in words) and "64.123456" not in text
        assert not any(quote(word) in text for word in words)


def test_search_counts_how_look_ups_end(search):
    before = {outcome: search.metric("registry_lookups_total", outcome=outcome) for outcome in
              ("found", "nothing", "invalid")}
    displays(search, "laugavegur")
    displays(search, "xyzzy")
    ask(search, {"query": []})
    for outcome, count in before.items():
        assert search.metric("registry_lookups_total", outcome=outcome) == count + 1


# --- nearest --------------------------------------------------------------------------------------------------


def test_nearest_every_door_of_the_fixture_is_its_own_nearest(search):
    with open(FIXTURE, encoding="utf-8") as rows:
        doors = [row for row in csv.DictReader(rows) if row["N_HNIT_WGS84"]]
    for row in doors[::7]:
        lat, lon = row["N_HNIT_WGS84"].replace(",", "."), row["E_HNIT_WGS84"].replace(",", ".")
        found = search.get(f"/nearest?lat={lat}&lon={lon}").json["results"]
        assert len(found) == 1 and found[0]["distance_m"] == 0
        assert (found[0]["latitude"], found[0]["longitude"]) == (float(lat), float(lon))


def test_nearest_limit_gives_more_in_order(search):
    found = search.get("/nearest?lat=64.1466&lon=-21.9426&limit=20").json["results"]
    distances = [item["distance_m"] for item in found]
    assert len(found) == 20 and distances == sorted(distances)
    assert search.get("/nearest?lat=0&lon=0").json == {"results": []}


def test_nearest_bad_position_is_400(search):
    for query in ("", "lat=64", "lon=-21", "lat=x&lon=y", "lat=91&lon=0", "lat=64&lon=181", "lat=NaN&lon=1",
                  "lat=inf&lon=1", "lat=1e2&lon=1", "lat=64,1&lon=-21,9", "lat=&lon=", "lat=" + "9" * 400 + "&lon=1"):
        reply = search.get(f"/nearest?{query}")
        assert reply.status == 400 and reply.json["error"]["status"] == "INVALID_ARGUMENT", query


# --- validation -----------------------------------------------------------------------------------------------


def test_validate_exact_door_is_valid_with_all_fields(validate):
    answer = result(validate, {"street": "Laugavegur", "number": 22, "letter": "a", "postal_code": "101"})
    assert answer["valid"] is True and answer["error"] is None and answer["level"] == "exact"
    address = answer["address"]
    assert (address["street"], address["number"], address["letter"]) == ("Laugavegur", 22, "A")
    assert (address["postal_code"], address["city"], address["municipality"]) == (101, "Reykjavík", "Reykjavíkurborg")
    assert isinstance(address["landnr"], int) and isinstance(address["hnitnum"], int)


@pytest.mark.parametrize("data, level, begins", [
    ({"street": "Laugavegur", "number": 8, "postal_code": 101}, "letter_missing", "Address not found in national registry: Laugavegur 8, 101"),
    ({"street": "Laugavegur", "number": 22, "letter": "Z", "postal_code": 101}, "letter_unknown", "Address not found in national registry: Laugavegur 22Z, 101"),
    ({"street": "Laugavegur", "number": 22, "letter": "%", "postal_code": 101}, "letter_unknown", "Address not found in national registry: Laugavegur 22%"),
    ({"street": "Laugavegur", "number": 22, "letter": "_", "postal_code": 101}, "letter_unknown", "Address not found in national registry: Laugavegur 22_"),
    ({"street": "Hafnarstræti", "number": 7, "postal_code": 600}, "postcode_conflict", "Address not found in national registry: Hafnarstræti 7, 600"),
    ({"street": "Laugavegur", "number": 999, "postal_code": 101}, "number_unknown", "Address not found in national registry: Laugavegur 999"),
    ({"street": "Laugavegr", "number": 22}, "street_unknown", "Address not found in national registry: Laugavegr 22"),
    ({"street": "Laugavegur", "number": 103, "postal_code": 101}, "postcode_conflict", "Address not found in national registry:"),
    ({"street": "Laugavegur", "number": 22, "city": "Akureyri"}, "postcode_conflict", "Address not found in national registry:"),
    ({"street": "Laugavegur", "number": 22}, "ambiguous", "Several addresses match: Laugavegur 22"),
    ({"street": "Laugavegur", "postal_code": 101}, "number_unknown", "House number is required"),
    ({"street": "Laugavegur", "number": "", "postal_code": 101}, "number_unknown", "House number is required"),
    ({"street": "Laugavegur", "number": 0, "postal_code": 101}, "number_unknown", "House number is required"),
    ({"number": 22}, None, "Street name is required"),
    ({"street": "  ", "number": 22}, None, "Street name is required"),
    ({"street": "Laugavegur", "number": "abc"}, None, "Invalid house number: abc"),
    ({"street": "Laugavegur", "number": 8.5}, None, "Invalid house number:"),
    ({"street": "Laugavegur", "number": [8]}, None, "Invalid house number:"),
    ({"street": "Laugavegur", "number": -8}, None, "Invalid house number: -8"),
    (None, None, "No data provided"), ({}, None, "No data provided"),
])
def test_validate_what_is_wrong_has_its_level(validate, data, level, begins):
    answer = result(validate, data)
    assert answer["valid"] is False and answer["address"] is None
    assert answer["level"] == level and answer["error"].startswith(begins), answer["error"]
    if level in ("letter_missing", "letter_unknown", "postcode_conflict", "ambiguous", "number_unknown"):
        assert answer["alternatives"] and all(item["street"] == data["street"] for item in answer["alternatives"])
    if level == "street_unknown":
        assert answer["suggestions"][0].startswith("Laugavegur 22,")


@pytest.mark.parametrize("data, display", [
    ({"street": "Laugavegur", "number": "8C", "postal_code": 101}, "Laugavegur 8C, 101 Reykjavík"),
    ({"street": "Laugavegur", "number": " 8 c ", "postal_code": 101}, "Laugavegur 8C, 101 Reykjavík"),
    ({"street": "laugavegi", "number": "22", "letter": None, "postal_code": None, "city": "Reykjavíkur"}, "Laugavegur 22, 101 Reykjavík"),
    ({"street": "Hafnarstræti", "number": 8, "postal_code": 600}, "Hafnarstræti 6-8, 600 Akureyri"),
    ({"street": "Hafnarstræti", "number": "6-8", "postal_code": 600}, "Hafnarstræti 6-8, 600 Akureyri"),
    ({"street": "Hallgrímskirkja"}, "Hallgrímstorg 1, 101 Reykjavík"),
    ({"street": "Syðri-Reykir", "number": None}, "Syðri-Reykir, 806 Selfoss"),
    ({"street": "Hvammur", "postal_code": "871"}, "Hvammur, 871 Vík"),
    ({"street": "Öldugata", "number": 4, "letter": "á"}, "Öldugata 4Á, 101 Reykjavík"),
])
def test_validate_the_one_door_that_was_named_is_valid(validate, data, display):
    answer = result(validate, data)
    assert answer["valid"] is True and answer["address"]["display"] == display


@pytest.mark.parametrize("more, warnings", [
    ({"postal_code": "1O1"}, ["postal_code_invalid"]), ({"postal_code": 99}, ["postal_code_invalid"]),
    ({"postal_code": [101]}, ["postal_code_invalid"]), ({"postal_code": 999}, ["postal_code_unknown"]),
    ({"postal_code": 121}, ["postal_code_is_po_box", "postal_code_contradicts"]),
    ({"postal_code": 600}, ["postal_code_contradicts"]), ({"city": "Akureyri"}, ["city_contradicts"]),
    ({"postal_code": 101, "city": "Akureyri"}, ["city_contradicts"]), ({"postal_code": 600, "city": "Reykjavík"}, ["postal_code_contradicts"]),
    ({"number": 22, "postal_code": 101, "city": "Varmahlíð"}, ["postal_code_contradicts", "city_contradicts"]),
    ({"number": 9000, "postal_code": 600}, ["postal_code_contradicts"]), ({"number": 9000, "postal_code": 101}, []),
    ({"city": "Atlantis"}, ["city_unknown"]),
    ({"city": {"a": 1}}, ["city_ignored"]), ({"letter": ["a"]}, ["letter_ignored"]),
    ({"number": "20B", "letter": "C"}, ["letter_twice"]), ({"postal_code": 101, "city": "Reykjavík"}, []),
])
def test_validate_what_is_not_used_is_named(validate, more, warnings):
    answer = result(validate, {"street": "Laugavegur", "number": 20, **more})
    assert answer["warnings"] == warnings
    assert answer["alternatives"] or answer["valid"]  # a proposal always


def test_batch_answers_each_as_if_it_came_alone(validate):
    claims = [{"street": "Laugavegur", "number": 22, "letter": "a", "postal_code": "101"}, {"street": "Laugavegr", "number": 22},
              {"street": "Hallgrímskirkja"}, {"number": 22}, None, {}, [], "x", 7, True,
              {"street": "Laugavegur", "number": 20, "city": {"a": 1}}, {"street": "Laugavegur", "number": [8]}]
    reply = ask(validate, {"addresses": claims}, "/batch")
    assert reply.status == 200 and reply.json["result"]["error"] is None
    assert reply.json["result"]["results"] == [result(validate, claim) for claim in claims]
    found = validate.metric("registry_lookups_total", outcome="found")
    fifty = ask(validate, {"addresses": claims[:1] * 50}, "/batch").json["result"]["results"]
    assert len(fifty) == 50 and all(answer["valid"] for answer in fifty)
    assert validate.metric("registry_lookups_total", outcome="found") == found + 50


@pytest.mark.parametrize("data", [None, {}, [], {"addresses": None}, {"addresses": []}, {"addresses": {}}, {"addresses": "x"},
                                  {"addresses": [{}] * 51}, {"Addresses": [{}]}])
def test_batch_that_is_none_says_so(validate, data):
    assert ask(validate, data, "/batch").json == {"result": {"results": [], "error": "addresses must be a list of 1 to 50"}}


def test_batch_has_a_limit_of_its_own(own):
    service = own.start("validate-address", BATCH_LIMIT_PER_MINUTE=2)
    assert [ask(service, {"addresses": [{}]}, "/batch").status for _ in range(3)] == [200, 200, 429]
    assert ask(service, {"street": "Laugavegur"}).status == 200


# --- postcodes ------------------------------------------------------------------------------------------------


def test_postcode_known_code_has_place_region_municipality_and_kind(postcode):
    answer = result(postcode, {"postal_code": 600})
    assert answer == {"valid": True, "error": None, "info": {
        "code": 600, "city": "Akureyri", "city_dative": "Akureyri", "region": "Norðurland",
        "municipality": "Akureyrarbær", "type": "Þéttbýli", "kind": "town", "po_box": False}}
    assert result(postcode, {"postal_code": "600"}) == answer == result(postcode, {"postal_code": " 600 "})
    box = result(postcode, {"postal_code": 121})["info"]
    assert box["po_box"] is True and box["kind"] == "po_box" and box["type"] == "Pósthólf"


@pytest.mark.parametrize("data, begins", [
    (None, "No data provided"), ({}, "No data provided"), ({"other": 1}, "Postal code is required"),
    ({"postal_code": None}, "Postal code is required"), ({"postal_code": "  "}, "Postal code is required"),
    ({"postal_code": "1a1"}, "Invalid postal code format: 1a1"), ({"postal_code": 1001}, "Invalid postal code format:"),
    ({"postal_code": 101.5}, "Invalid postal code format:"), ({"postal_code": True}, "Invalid postal code format:"),
    ({"postal_code": "0101"}, "Invalid postal code format: 0101"), ({"postal_code": 999}, "Postal code not found: 999"),
])
def test_postcode_bad_code_says_why(postcode, data, begins):
    answer = result(postcode, data)
    assert answer["valid"] is False and answer["info"] is None and answer["error"].startswith(begins)


# --- the documents --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_document_names_exactly_the_routes_of_the_binary_and_is_sound(name):
    document = openapi.document_of(name)
    assert document.routes() == openapi.Document.routes_of(os.path.join(BIN_DIR, name))
    openapi.check_document(document)


@pytest.mark.parametrize("name", NAMES)
def test_document_holds_for_every_route_and_refusal(own, name):
    service = own.start(name, APP_CHECK_MODE="enforce", LOOKUP_LIMIT_PER_MINUTE=40)
    seen = set()
    for method, path in sorted(service.document.routes()):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Content-Type": "text/plain"}):
            seen.add(service.call(method, path, None if method == "GET" else b"{}", headers=headers).status)
            seen.add(service.call(method, path, {"data": {"x": 1}} if method == "POST" else None, headers=headers).status)
        if method == "POST":
            seen.add(service.post(path, b"x" * (1 << 20)).status)
    public = "/?q=la" if name == "search-addresses" else "/"
    for _ in range(60 if name == "search-addresses" else 0):
        seen.add(service.get(public).status)
    assert seen >= {200, 400, 401, 413} | ({429} if name == "search-addresses" else set())


# --- the file -------------------------------------------------------------------------------------------------


def test_health_names_the_data(registry):
    for service in registry.services:
        for path in ("/health", "/healthz"):
            body = service.get(path).json
            assert body["registry"]["rows"] == 161 and body["registry"]["sourceDate"] == "2022-11-20"
            assert "CC BY 4.0" in body["registry"]["attribution"] and body["status"] == "healthy"


@pytest.mark.parametrize("name", NAMES)
def test_start_bad_registry_file_is_refused_with_the_reason(own, tmp_path, name):
    whole = open(own.db, "rb").read()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t(a)")
    cases = {"missing": (None, "No such file"), "empty": (b"", "not an SQLite file"), "text": (b"hello " * 50, "not an SQLite file"),
             "truncated": (whole[:len(whole) // 2 // 4096 * 4096], "truncated"), "foreign": (other.read_bytes(), "something else"),
             "version": (whole[:60] + b"\0\0\0\x63" + whole[64:], "version 99")}
    at = whole.index(b"KGPK")  # the index inside, which has a checksum
    cases["damaged"] = (whole[:at + 300] + b"\xff\xff" + whole[at + 302:], "damaged")
    for label, (content, reason) in cases.items():
        path = tmp_path / f"{label}.bad"
        if content is not None:
            path.write_bytes(content)
        process = own.spawn(name, f"{name}-{label}", PORT=free_port(), METRICS_PORT=0, REGISTRY_DB=path)
        ended = process.wait(30)
        process.stop()  # should it serve after all, it must not outlive the test
        assert ended and process.exit_code() == 1, label
        assert reason in open(process.log, encoding="utf-8").read(), label


def test_sighup_new_file_is_served_without_losing_a_request(own, tmp_path):
    service = own.start("search-addresses")
    assert displays(service, "Nýjabrún 1") == []
    replies, stop = [], threading.Event()

    def keep_asking():
        while not stop.is_set():
            replies.append(service.get("/?q=laugavegur+22&limit=3"))

    askers = [threading.Thread(target=keep_asking) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        text = open(FIXTURE, encoding="utf-8").read()
        last = text.splitlines()[-1]
        new = last.replace("Bjarkarbraut", "Nýjabrún").replace(",7,", ",1,").replace(last.split(",")[1], "99999999")
        (tmp_path / "new.csv").write_text(text + new + "\n", encoding="utf-8")
        for _ in range(3):
            done = build(str(tmp_path / "new.csv"), own.db)
            assert done.returncode == 0, done.stderr
            before = service.metric("registry_reloads_total", result="replaced")
            service.process.signal(signal.SIGHUP)
            wait_until(lambda: service.metric("registry_reloads_total", result="replaced") > before)
        assert service.get("/health").json["registry"]["rows"] == 162
        assert len(displays(service, "Nýjabrún")) == 1
        # A file that is none: refused, told, and the old data stays.
        with open(own.db + ".bad", "wb") as bad:
            bad.write(b"nothing")
        os.replace(own.db + ".bad", own.db)
        service.process.signal(signal.SIGHUP)
        wait_until(lambda: service.metric("registry_reloads_total", result="refused") == 1)
        assert service.get("/health").json["registryReload"] == "refused"
        assert len(displays(service, "Nýjabrún")) == 1
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert len(replies) > 10 and {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    service.wait_log(lambda line: line["message"].startswith("registry kept") and line["severity"] == "ERROR")


def test_build_reports_rows_dates_and_refusals(tmp_path):
    lines = open(FIXTURE, encoding="utf-8").read().splitlines()
    bad = lines[5].replace(",101,", ",999,")
    (tmp_path / "rows.csv").write_text("\n".join([*lines, bad]) + "\n", encoding="utf-8")
    done = build(str(tmp_path / "rows.csv"), str(tmp_path / "r.db"), "--source-date", "2024-02-29")
    assert done.returncode == 0 and "rows read" in done.stderr
    for text in ("2024-02-29", "rows read        162", "doors served     161", "rows refused     1", "line 163: postcode",
                 "CC BY 4.0"):
        assert text in done.stdout
    with sqlite3.connect(tmp_path / "r.db") as db:
        meta = dict(db.execute("SELECT key, value FROM meta"))
        assert meta["rows"] == 161 and meta["refused"] == 1 and meta["source_date"] == "2024-02-29"
        assert db.execute("SELECT line FROM refused").fetchall() == [(163,)]
        assert db.execute("SELECT count(*) FROM address").fetchone() == (161,)


def test_build_standard_input_gives_the_same_file(tmp_path):
    assert build(FIXTURE, str(tmp_path / "a.db"), "--source-date", "2022-11-20").returncode == 0
    with open(FIXTURE, "rb") as rows:
        assert build("-", str(tmp_path / "b.db"), "--source-date", "2022-11-20", stdin=rows).returncode == 0
    with gzip.open(tmp_path / "rows.csv.gz", "wb") as packed:
        packed.write(open(FIXTURE, "rb").read())
    assert build(str(tmp_path / "rows.csv.gz"), str(tmp_path / "c.db")).returncode == 0
    contents = []
    for name in "abc":
        whole = (tmp_path / f"{name}.db").read_bytes()
        with sqlite3.connect(tmp_path / f"{name}.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            contents.append((whole[whole.index(b"KGPK"):], db.execute("SELECT * FROM door").fetchall()))
    assert contents[0] == contents[1] == contents[2]


def test_build_what_must_not_be_taken_leaves_the_old_file(tmp_path):
    db, rows = tmp_path / "r.db", open(FIXTURE, encoding="utf-8").read()
    assert build(FIXTURE, str(db)).returncode == 0
    before = db.read_bytes()
    lines = rows.splitlines(keepends=True)
    more = "".join(line.replace(",9000", ",8000") for line in lines[1:])
    cases = {
        "truncated": (rows[:-40], "cut off"), "no last line break": (rows[:-1], "cut off"),
        "header": (rows.replace("HEITI_TGF", "HEITI_THF", 1), "the header changed"),
        "one column less": (rows.replace(",HUSMERKING", "", 1), "the header changed"),
        "empty": ("", "empty"), "header alone": (lines[0], "no row"),
        "fewer rows": ("".join(lines[:140]), "moved more than 5 %"), "more rows": (rows + more, "moved more than 5 %"),
        "bad rows": (rows.replace(",101,", ",999,"), "cannot be served"),
        "another table": ("a,b,c\n1,2,3\n", "the header changed"),
    }
    for label, (text, reason) in cases.items():
        (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
        done = build(str(tmp_path / "bad.csv"), str(db))
        assert done.returncode == 1 and reason in done.stderr, (label, done.stderr)
        assert db.read_bytes() == before, label
    (tmp_path / "fewer.csv").write_text("".join(lines[:140]), encoding="utf-8")
    assert build(str(tmp_path / "fewer.csv"), str(db), "--accept-change").returncode == 0
    assert db.read_bytes() != before
    assert sorted(os.listdir(tmp_path)) == ["bad.csv", "fewer.csv", "r.db"], "nothing half-made stays"
    assert build(str(tmp_path / "none.csv"), str(db)).returncode == 1
    assert build(FIXTURE, str(tmp_path / "no" / "folder" / "r.db")).returncode == 1


class Official(http.server.BaseHTTPRequestHandler):
    """Stands for the server of the official file."""

    content, seen = b"", []

    def do_GET(self):
        Official.seen.append(dict(self.headers))
        if self.headers.get("If-None-Match") == '"v1"' and Official.content == Official.first:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", '"v1"' if Official.content == Official.first else '"v2"')
        self.send_header("Last-Modified", "Sun, 20 Nov 2022 10:00:00 GMT")
        self.send_header("Content-Length", str(len(Official.content) + Official.missing))
        self.end_headers()
        self.wfile.write(Official.content)

    def log_message(self, *_):
        pass


def test_fetch_asks_conditionally_and_keeps_the_old_file_when_it_fails(tmp_path):
    Official.content = Official.first = open(FIXTURE, "rb").read()
    Official.seen, Official.missing = [], 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Official)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = tmp_path / "Stadfangaskra.csv"

    def fetch():
        env = {**os.environ, "REGISTRY_URL": f"http://127.0.0.1:{server.server_port}/Stadfangaskra.csv"}
        return subprocess.run([FETCH, str(target)], env=env, text=True, capture_output=True, check=False, timeout=60)

    try:
        done = fetch()
        assert done.returncode == 0 and target.read_bytes() == Official.first, done.stderr
        assert time.strftime("%Y-%m-%d", time.gmtime(target.stat().st_mtime)) == "2022-11-20"
        done = fetch()
        assert done.returncode == 3 and "unchanged" in done.stdout
        assert Official.seen[-1].get("If-None-Match") == '"v1"'
        Official.content = b"<html>maintenance</html>"
        assert fetch().returncode == 1 and target.read_bytes() == Official.first
        Official.content, Official.missing = Official.first[:5000], 1000
        assert fetch().returncode not in (0, 3) and target.read_bytes() == Official.first
        Official.content, Official.missing = Official.first + Official.first.splitlines()[-1] + b"\n", 0
        assert fetch().returncode == 0 and target.read_bytes() == Official.content
        assert sorted(os.listdir(tmp_path)) == ["Stadfangaskra.csv", "Stadfangaskra.csv.etag"]
    finally:
        server.shutdown()
        server.server_close()


# --- the real rows --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not os.path.exists(REAL_ROWS):
        pytest.skip("the real rows (../shared/data) are not here")
    directory = tmp_path_factory.mktemp("real")
    done = build(REAL_ROWS, str(directory / "registry.db"), "--quiet")
    assert done.returncode == 0 and "doors served     117584" in done.stdout, done.stdout + done.stderr
    made = Registry(directory, directory / "registry.db")
    for name in NAMES:
        made.start(name)
    yield made
    made.stop()


def test_real_rows_random_doors_validate_and_are_found(real):
    with gzip.open(REAL_ROWS, "rt", encoding="utf-8") as rows:
        doors = random.Random(5).sample([row for row in csv.DictReader(rows) if row["HUSNR"]], 150)
    wrong = []
    for row in doors:
        data = {"street": row["HEITI_NF"], "number": row["HUSNR"], "letter": row["BOKST"], "postal_code": row["POSTNR"]}
        answer = result(real.services[1], data)
        if answer["level"] == "ambiguous":
            assert int(row["HNITNUM"]) in [item["hnitnum"] for item in answer["alternatives"]]
        elif not answer["valid"] or answer["address"]["postal_code"] != int(row["POSTNR"]):
            wrong.append((data, answer))
        text = f"{row['POSTNR']} {row['HEITI_TGF'] or row['HEITI_NF']} {row['HUSNR']}{row['BOKST']}"
        found = result(real.services[0], {"query": text, "limit": 20})["results"]
        assert any(item["street"] == row["HEITI_NF"] and str(item["number"]) == row["HUSNR"] for item in found), text
    assert not wrong


@pytest.mark.skipif(not os.path.exists(REAL_POSTCODES), reason="the postcode oracle (../shared/data) is not here")
def test_real_rows_every_postcode_of_the_oracle_is_known(real):
    kinds = {"Stærra dreifbýli": "town", "Dreifbýli": "rural", "Pósthólf": "po_box"}
    with open(REAL_POSTCODES, encoding="utf-8") as rows:
        oracle = list(csv.DictReader(rows))
    assert len(oracle) == 195
    for row in oracle:
        info = result(real.services[2], {"postal_code": row["postcode"]})["info"]
        assert (info["city"], info["city_dative"], info["region"], info["kind"], info["po_box"]) == (
            row["place_nf"], row["place_tgf"], row["region_nf"], kinds[row["kind"]], row["kind"] == "Pósthólf")
        assert info["code"] == int(row["postcode"]) and info["municipality"]
    known = {row["postcode"] for row in oracle}
    for code in range(100, 1000):
        if str(code) not in known:
            assert result(real.services[2], {"postal_code": code})["error"] == f"Postal code not found: {code}"
