"""The monthly report per organisation: right sums from real lines and from exports, and no line that can stop it."""

import gzip
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from voting import create_election, register, vote

OPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "ops")
TOOL = os.path.join(OPS, "cost-report")
PRICES = "cpu\tvCPU-second\t1\t0\tnow\tvendor\tx\nmemory\tGiB-second\t10\t5\tnow\tvendor\tx\nrequests\trequest\t100\t0\tnow\tvendor\tx\n" \
         "egress\tGiB\t0\t0\tnow\tvendor\tx\nlogs\tGiB\t0\t0\tnow\tvendor\tx\n"

loader = importlib.machinery.SourceFileLoader("cost_report", TOOL)
cost = importlib.util.module_from_spec(importlib.util.spec_from_loader("cost_report", loader))
loader.exec_module(cost)


def run(*arguments, stdin=b""):
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def report(*arguments, stdin=b""):
    code, out, err = run("--json", *arguments, stdin=stdin)
    assert code in (0, 1) and err == "", (code, err)
    return json.loads(out)


def line(tenant="a", service="elections", time="2026-11-21T22:32:34.500Z", latency_ms=100, status=201, size="76", **more):
    return {"ts": time, "time": time, "severity": "INFO", "service": service, "message": "request", "tenant": tenant,
            "route": "/api/vote", "status": status, "latency_ms": latency_ms,
            "httpRequest": {"requestMethod": "POST", "status": status, "responseSize": size, "latency": "0.100s"}, **more}


def exported(own, instance="0087244a80", insert_id=None):
    """As Cloud Logging stores and a sink writes it: what it knows the meaning of is moved out of the payload."""
    payload = {key: value for key, value in own.items() if key not in ("time", "severity", "httpRequest")}
    return {"insertId": insert_id or os.urandom(8).hex(), "jsonPayload": payload, "httpRequest": own["httpRequest"],
            "resource": {"type": "cloud_run_revision", "labels": {"service_name": own["service"], "location": "europe-west2"}},
            "timestamp": own["time"], "severity": "INFO", "labels": {"instanceId": instance},
            "logName": "projects/p/logs/run.googleapis.com%2Fstdout", "receiveTimestamp": "2026-11-21T22:32:35.1Z"}


def text(lines):
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


# --- sums ---------------------------------------------------------------------------------------------------------


def test_overlapping_requests_are_paid_once_and_shared(tmp_path):
    """Two tenants, one instance: 0.0–1.0 s and 0.5–1.5 s are 1.5 s of instance, half each."""
    prices = tmp_path / "prices.tsv"
    prices.write_text(PRICES)
    lines = [line("a", time="2026-11-21T10:00:01.000Z", latency_ms=1000), line("b", time="2026-11-21T10:00:01.500Z", latency_ms=1000)]
    found = report("--prices", prices, "--fixed", 8, "-", stdin=text(lines))
    cpu, gib = cost.size_of("elections")
    for row in found["rows"]:
        assert row["cpu"] == pytest.approx(0.75 * cpu) and row["memory"] == pytest.approx(0.75 * gib)
        assert row["usd"] == pytest.approx(0.75 * cpu + 10 * 0.75 * gib + 100 + 4)
    assert found["total"]["usd_after_free"] == pytest.approx(1.5 * cpu + max(0, 1.5 * gib - 5) * 10 + 200 + 8)


def test_instances_are_paid_apart_and_rounded_up():
    at = "2026-11-21T10:00:01.000Z"
    lines = [exported(line(time=at, latency_ms=10), "one"), exported(line(time=at, latency_ms=10), "two"),
             exported(line(time="2026-11-21T10:00:05.123456789Z", latency_ms=101), "two")]
    rows = report("-", stdin=text(lines))["rows"]
    assert rows[0]["cpu"] == pytest.approx((0.1 + 0.1 + 0.2) * cost.size_of("elections")[0])


def test_union_of_intervals():
    assert cost.union_s([0, 1, 0.5, 0.7, 1, 2, 5, 5.05]) == pytest.approx(2.1)
    assert cost.union_s([]) == 0
    assert cost.union_s([1764000000.1, 1764000000.2]) == pytest.approx(0.1)


def test_month_and_egress_and_errors():
    lines = [line(time="2026-10-31T23:59:59.999Z"), line(status=503, size="1048076"), line(time="2026-11-30T23:59:59Z", status=404, size="0"),
             line(time="2026-12-01T00:30:00+01:00", size="0")]
    found = report("--month", "2026-11", "-", stdin=text(lines))
    row, = found["rows"]
    assert (row["requests"], row["errors"]) == (3, 1)
    assert row["egress"] * cost.GIB == 1048076 + 3 * cost.HEADER_BYTES
    assert found["lines"] == {"lines": 4, "used": 3, "other month": 1}


def test_sizes_come_from_the_manifest(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "spec:\n  containers:\n  - resources:\n      limits:\n        cpu: \"500m\"\n        memory: 256Mi\n      requests:\n        cpu: 4\n")
    assert cost.size_of("small", str(tmp_path)) == (0.5, 0.25)
    (tmp_path / "large.yaml").write_text("resources:\n  limits:\n    memory: 2Gi\n    cpu: 2\n")
    assert cost.size_of("large", str(tmp_path)) == (2.0, 2.0)
    assert cost.size_of("none", str(tmp_path)) == (1.0, 0.5)


def test_prices_name_date_and_source():
    prices = cost.read_prices(os.path.join(OPS, "prices.tsv"))
    assert set(prices) == set(cost.ITEMS)
    for price in prices.values():
        assert price["usd"] > 0 and price["source"].startswith("https://cloud.google.com/") and price["as_of"].startswith("20")
        assert price["checked"] in cost.CHECKED and ", \"" in price["source"], "the page, and where on it"


# --- real lines ---------------------------------------------------------------------------------------------------


def test_real_services_of_two_organisations_and_their_export(stack, tmp_path):
    """A sample made of a real run: counted per tenant, and the same when it went through Cloud Logging."""
    logs = {}
    for slug, votes in (("first", 3), ("second", 5)):
        service = stack.start("elections", ORG_SLUG=slug)
        election = create_election(stack)
        for _ in range(votes):
            assert vote(service, register(service, election)).status == 201
        service.wait_log(lambda found: found.get("route") == "/api/vote")
        service.stop()
        logs[slug] = service.process.log
    found = report(*logs.values())
    by_tenant = {row["tenant"]: row for row in found["rows"]}
    assert set(by_tenant) == {"first", "second"}
    for slug, path in logs.items():
        with open(path, encoding="utf-8") as lines:
            made = sum('"message":"request"' in written for written in lines)
        assert by_tenant[slug]["requests"] == made >= 6, "a registration and a vote each, three at least"
    assert all(row["cpu"] > 0 and row["usd"] > 0 for row in found["rows"])
    assert found["lines"]["no request"] >= 2 and not {"no JSON", "no time", "no such number"} & found["lines"].keys()

    bucket = tmp_path / "run.googleapis.com" / "stdout" / "2026" / "11" / "28"
    bucket.mkdir(parents=True)
    entries = []
    for slug, path in logs.items():
        with open(path, encoding="utf-8") as lines:
            entries += [exported(own, slug) for own in map(json.loads, lines) if own["message"] == "request"]
    (bucket / "10:00:00_10:59:59_S0.json").write_bytes(text(entries[::2]))
    (bucket / "10:00:00_10:59:59_S1.json.gz").write_bytes(gzip.compress(text(entries[1::2])))
    (bucket / "10:00:00_10:59:59_A1.json").write_bytes(text(entries[:2]))  # delivered twice
    through = report(tmp_path)
    assert through["lines"]["repeated"] == 2
    for row in through["rows"]:
        for key in ("requests", "errors", "cpu", "memory", "egress", "mean_ms"):
            assert row[key] == pytest.approx(by_tenant[row["tenant"]][key]), key


def test_table_says_which_prices_nobody_verified(tmp_path):
    (tmp_path / "p.tsv").write_text(PRICES.replace("egress\tGiB\t0\t0\tnow\tvendor", "egress\tGiB\t0\t0\tnow\tmemory"))
    out = run("--prices", tmp_path / "p.tsv", "-", stdin=text([line("hverfi")]))[1]
    assert "egress 0/GiB (now, not verified)" in out and out.count("not verified") == 1
    (tmp_path / "p.tsv").write_text(PRICES.replace("vendor", "surely", 1))
    code, _, error = run("--prices", tmp_path / "p.tsv", "-", stdin=text([line("hverfi")]))
    assert code == 2 and "cpu is checked by one of" in error


def test_table_for_people_names_tenants_and_prices():
    code, out, _ = run("-", stdin=text([line("hverfi"), line("felag", "events")]))
    assert code == 0
    assert "hverfi" in out and "felag" in out and "0.0000336" not in out.split("prices:")[0] and "vCPU-second" in out


# --- hostile lines ------------------------------------------------------------------------------------------------

HOSTILE = {
    "no JSON": [b"{", b"\xff\xfe{}", b"[" * 100000, b'{"status": NaN}', b"\0\0\0", b'{"a": Infinity}'],
    "not an object": [b"[]", b"7", b"null", b'"x"', b'{"jsonPayload": 3}', b'{"jsonPayload": [1]}'],
    "empty": [b"", b"   "],
    "too long": [b'{"message": "' + b"x" * 300000 + b'"}'],
    "no request": [b"{}", b'{"message": "stopped"}', b'{"jsonPayload": {"message": ["request"]}}'],
    "not ours": [b'{"logName": "l", "resource": {}, "textPayload": "x"}', b'{"logName": "l", "resource": 1, "httpRequest": {}}'],
    "no tenant or service": [json.dumps(line(tenant=bad)).encode() for bad in (None, "", "a b", "a\n", "x" * 64, "\u202ea", 7, ["a"])]
    + [json.dumps(line(service={"a": 1})).encode(), json.dumps(line(service="../x")).encode()],
    "no time": [json.dumps(line(time=bad)).encode() for bad in (None, 5, "", "yesterday", "2026-13-01T00:00:00Z", "0000-00-00T00:00:00Z",
                                                              "2026-11-21T22:32:34", "2026-11-21T22:32:34+99:99")],
    "no such number": [json.dumps(line(latency_ms=bad)).encode() for bad in (None, -1, "5", 1e300, True, [1], 4e6)]
    + [json.dumps(line(status=bad)).encode() for bad in (None, -5, "200", 1e9)]
    + [json.dumps(line(size=bad)).encode() for bad in ("9" * 16, "-1", -1, [], 1e300, True, "x")],
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_hostile_lines_are_counted_by_reason(reason):
    bad = HOSTILE[reason]
    found = report("-", stdin=text([line()]) + b"\n".join(bad) + b"\n" + text([line()]))
    assert found["lines"].get(reason) == len(bad), found["lines"]
    assert found["lines"]["used"] == 2 and found["lines"]["lines"] == 2 + len(bad)
    assert found["rows"][0]["requests"] == 2


def test_line_without_end_and_huge_line_do_not_swallow_others():
    stdin = b"x" * 1000000 + b"\n" + text([line()])[:-1]
    found = report("-", stdin=stdin)
    assert found["lines"] == {"lines": 2, "too long": 1, "used": 1}


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no gzip at all", gzip.compress(text([line()] * 500))[:-30]],
                         ids=["empty", "cut head", "other", "cut"])
def test_broken_gzip_is_counted_and_left(tmp_path, content):
    (tmp_path / "a.json.gz").write_bytes(content)
    (tmp_path / "b.json").write_bytes(text([line("whole")]))
    found = report(tmp_path)
    assert any(row["tenant"] == "whole" for row in found["rows"])
    assert found["lines"].get("broken file", 0) == (1 if content else 0)


def test_gzip_bomb_is_read_in_pieces(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"x" * 200_000_000 + b"\n" + text([line()])))
    code, out, _ = run("--json", tmp_path)
    assert code == 0 and json.loads(out)["lines"] == {"lines": 2, "too long": 1, "used": 1}


def test_too_many_tenants_become_one():
    found = report("-", stdin=text(line(f"t{number}") for number in range(cost.TENANTS_MAX + 5)))
    others, = (row for row in found["rows"] if row["tenant"] == cost.OTHERS)
    assert others["requests"] == 5


def test_nothing_usable_is_no_report(tmp_path):
    assert run("-", stdin=b"{}\n")[0] == 1
    assert run(tmp_path / "missing.json")[0] == 2
    assert run("--month", "2026-13", "-")[0] == 2
    (tmp_path / "p.tsv").write_text("cpu\tx\n")
    assert run("--prices", tmp_path / "p.tsv", "-")[0] == 2
