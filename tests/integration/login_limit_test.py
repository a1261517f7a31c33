"""handlekenniauth's limit: exact over instances, keyed by the trusted address, true about itself (M-F05, M-F06, M-F46)."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from login_test import (  # noqa: F401  (fixtures are found by their names)
    address, flaky, kenni, login, members, numbers, person, post, shared_kenni, shared_login, start, start_flaky)

LIMIT = 10  # in ten minutes, unless a setting says otherwise


def attempt(service, kenni, forwarded, body=None):
    return post(service, body or kenni.login(**person()), {"X-Forwarded-For": forwarded})


def test_limit_is_exact_under_64_parallel_calls_over_two_instances(members, kenni, start):
    services = [start(**kenni.settings()) for _ in range(2)]
    where = address()
    bodies = [kenni.login(**person()) for _ in range(64)]
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda pair: attempt(services[pair[0] % 2], kenni, where, pair[1]), enumerate(bodies)))
    statuses = [reply.status for reply in replies]
    assert statuses.count(200) == LIMIT and statuses.count(429) == 64 - LIMIT, statuses
    for reply in replies:
        if reply.status == 429:
            assert reply.json["error"] == "RATE_LIMITED"
            assert 590 <= int(reply.headers["Retry-After"]) <= 600
            assert reply.json["retryAfter"] == int(reply.headers["Retry-After"])


def test_limit_retry_after_is_true_and_window_slides(kenni, start, members):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=2, RATE_LIMIT_WINDOW_MINUTES=1))
    where = address()
    members.clear("rate_limits")
    assert attempt(service, kenni, where).status == 200
    ((name, document),) = members.find("rate_limits").items()
    # As if the first attempt had been made 57 s ago.
    members.merge(f"rate_limits/{name}", instants=[document["instants"][0] - 57000])
    assert attempt(service, kenni, where).status == 200
    reply = attempt(service, kenni, where)
    assert reply.status == 429
    wait = int(reply.headers["Retry-After"])
    assert 1 <= wait <= 4
    time.sleep(wait)
    assert attempt(service, kenni, where).status == 200  # the first has left the window
    assert attempt(service, kenni, where).status == 429  # the second has not


def test_limit_document_holds_no_address_and_expires(kenni, start, members):
    service = start(**kenni.settings())
    where = address()
    members.clear("rate_limits")
    assert attempt(service, kenni, where).status == 200
    ((name, document),) = members.find("rate_limits").items()
    assert re.fullmatch("login_[0-9a-f]{32}", name)
    assert document["count"] == 1 and document["windowMinutes"] == 10 and document["expiresAt"]
    assert where not in json.dumps(document)


def test_limit_only_the_trusted_hop_counts(kenni, start):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=2))
    where = address()
    for number in range(2):
        assert attempt(service, kenni, f"203.0.113.{number}, {where}").status == 200
    assert attempt(service, kenni, f"203.0.113.9, {where}").status == 429
    assert attempt(service, kenni, where).status == 429
    assert attempt(service, kenni, f"{where}, {address()}").status == 200


def test_limit_ipv6_counts_per_64(kenni, start):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=2))
    net = f"2001:db8:{next(numbers):x}:1"
    assert attempt(service, kenni, f"{net}::1").status == 200
    assert attempt(service, kenni, f"{net}:ffff:ffff:ffff:ffff").status == 200
    assert attempt(service, kenni, f"{net}:abcd::1").status == 429
    assert attempt(service, kenni, f"2001:db8:{next(numbers):x}:2::1").status == 200


@pytest.mark.parametrize("odd", ["../../members/x", "a/b/c", "x" * 10240, "1.2.3.4.5", "%2e%2e%2f", "<script>", "127.0.0.1:80:90",
                                 ",,,,", "\u00e1"], ids=lambda odd: odd[:8])
def test_limit_odd_header_counts_as_the_peer(kenni, start, members, odd):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=2))
    members.clear("rate_limits")
    before = set(members.find("members"))
    for expected in (200, 200, 429):
        reply = attempt(service, kenni, odd)
        assert reply.status == expected and reply.json
    assert all(re.fullmatch("login_[0-9a-f]{32}", name) for name in members.find("rate_limits"))
    assert len(members.find("rate_limits")) == 1 and set(members.find("members")) == before


def test_limit_header_with_line_breaks_is_a_json_400(login):
    answer = login.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                       b"X-Forwarded-For: 1.2.3.4\rInjected: yes\r\nConnection: close\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"injected" not in answer.lower()


def test_limit_bad_requests_do_not_count(kenni, start):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=2))
    where = {"X-Forwarded-For": address()}
    for _ in range(5):
        assert service.post("/", b"{", headers={**where, "Content-Type": "application/json"}).status == 400
        assert service.post("/", {}, headers=where).status == 400
        assert service.get("/", headers=where).status == 405
        assert service.call("OPTIONS", "/", headers=where).status == 204
    assert attempt(service, kenni, where["X-Forwarded-For"]).status == 200


def test_limit_exempt_address(kenni, start):
    hall = address()
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=1, EXEMPT_IPS=f" {hall} , 2001:db8:ffff::1"))
    assert [attempt(service, kenni, hall).status for _ in range(4)] == [200] * 4
    assert [attempt(service, kenni, "2001:db8:ffff::2").status for _ in range(2)] == [200] * 2
    other = address()
    assert attempt(service, kenni, f"{hall}, {other}").status == 200
    assert attempt(service, kenni, f"{hall}, {other}").status == 429  # a header does not exempt


@pytest.mark.parametrize("mode,statuses", [("refuse", [503, 503, 503]), ("local", [200, 200, 429]), ("allow", [200, 200, 200])])
def test_limit_store_down_does_what_the_setting_says(kenni, start, flaky, mode, statuses):
    service = start_flaky(start, kenni, flaky, RATE_LIMIT_MAX_ATTEMPTS=2, RATE_LIMIT_WITHOUT_STORE=mode)
    flaky[0].fail("/documents", "before", body=b"rate_limits")
    flaky[0].fail("/rate_limits/", "before")
    where = address()
    for expected in statuses:
        reply = attempt(service, kenni, where)
        assert reply.status == expected, reply
        if expected == 503:
            assert reply.json["error"] == "UNAVAILABLE" and int(reply.headers["Retry-After"]) >= 1
            assert reply.json["retryAfter"] >= 1 and kenni.calls.get("token", 0) == 0
