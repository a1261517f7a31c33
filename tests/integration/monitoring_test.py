"""deploy/monitoring without Google: the Terraform is in form, and what it watches is what the services really log."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

import evidence
import google_messages
from suite import wait_until
from voting import create_election, in_parallel, register, vote

FOLDER = os.path.join(evidence.ROOT, "deploy", "monitoring")
# What the provider demands of each type, and what we always want; blocks count as attributes.
RESOURCES = {
    "google_logging_metric": {"name", "filter", "metric_descriptor", "label_extractors"},
    "google_monitoring_alert_policy": {"display_name", "combiner", "conditions", "notification_channels", "documentation"},
    "google_monitoring_dashboard": {"dashboard_json"},
    "google_monitoring_notification_channel": {"type", "labels"},
    "google_monitoring_uptime_check_config": {"display_name", "timeout", "http_check", "monitored_resource"},
}
# Metrics Google makes by itself, with the resource they are of (Cloud Run, Cloud SQL, log-based).
GOOGLES = {
    "run.googleapis.com/request_count": "cloud_run_revision",
    "run.googleapis.com/request_latencies": "cloud_run_revision",
    "run.googleapis.com/container/instance_count": "cloud_run_revision",
    "cloudsql.googleapis.com/database/postgresql/num_backends": "cloudsql_database",
}
LABELS = {"run.googleapis.com/request_count": {"response_code_class", "response_code"}}
PERSONAL = {"caller", "client", "correlation_id", "user_agent"}


def text(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as data:
        return data.read()


METRICS = yaml.safe_load(text("metrics.yaml"))
ALERTS = yaml.safe_load(text("alerts.yaml").replace("${connections_80}", "20").replace("${expected_instances}", "4"))
DASHBOARD = json.loads(text("dashboard.json"))


def test_terraform_is_formatted():
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    run = subprocess.run(["terraform", "fmt", "-check", "-diff", FOLDER], text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def resources():
    """(type, name) -> its attributes and blocks; fmt has seen to it that they are indented by two."""
    found = {}
    for match in re.finditer(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', text("main.tf"), re.MULTILINE | re.DOTALL):
        names = re.findall(r'^  (?:dynamic ")?(\w+)"?(?= *=| \{)', match[3], re.MULTILINE)
        found[match[1], match[2]] = set(names)
    return found


def test_every_resource_is_known_and_complete():
    found = resources()
    assert {kind for kind, _ in found} == set(RESOURCES)
    for (kind, name), attributes in found.items():
        assert RESOURCES[kind] <= attributes, f"{kind}.{name} lacks {RESOURCES[kind] - attributes}"


def test_references_lead_somewhere():
    source = text("main.tf")
    for kind, name in re.findall(r"\b(google_\w+)\.(\w+)", source):
        assert (kind, name) in resources()
    for name in re.findall(r"\bvar\.(\w+)", source):
        assert f'variable "{name}"' in source
    for name in re.findall(r"\blocal\.(\w+)", source):
        assert re.search(rf"^  {name} += ", source, re.MULTILINE)
    for name in re.findall(r'file\("\$\{path\.module\}/([^"]+)"', source):
        assert os.path.exists(os.path.join(FOLDER, name))
    # Placeholders of alerts.yaml are those main.tf fills in.
    filled = set(re.findall(r"(\w+) *=", re.search(r"templatefile\(.*?\{(.*?)\}\)", source)[1]))
    assert set(re.findall(r"\$\{(\w+)\}", text("alerts.yaml"))) == filled == {"connections_80", "expected_instances"}


# --- metrics against real log lines ---------------------------------------------------------------------------


def value_of(line, field):
    assert field.startswith("jsonPayload."), field
    return line.get(field.removeprefix("jsonPayload."))


def matches(line, condition):
    """The part of Cloud Logging's language that metrics.yaml uses; anything else is an error."""
    if condition.startswith("("):
        return any(matches(line, part) for part in condition[1:-1].split(" OR "))
    field, operator, wanted = re.fullmatch(r'([\w.]+)(=|:)("[^"]*"|\d+)', condition).groups()
    value, wanted = value_of(line, field), json.loads(wanted)
    return value == wanted if operator == "=" else isinstance(value, str) and wanted in value


def counted(name, lines):
    return [line for line in lines if all(matches(line, condition) for condition in METRICS[name]["filter"])]


@pytest.fixture(scope="module")
def lines(shared_stack):
    """Log lines of votes that were taken, of one that met a held lock, and of a pool that ran out."""
    own = shared_stack.start("elections", DATABASE_POOL_MAX="2", DATABASE_POOL_CONNECTION_TIMEOUT="150",
                             LOCK_TIMEOUT_MS="1000", WORKERS="8")
    election = create_election(shared_stack)
    tokens = [register(own, election) for _ in range(8)]
    holder = shared_stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("lock table elections.ballots in access exclusive mode")
        refused = in_parallel([lambda token=token: vote(own, token) for token in tokens])
        holder.rollback()
    holder.close()
    assert {reply.status for reply in refused} == {503}
    assert vote(own, tokens[0]).status == 201
    wait_until(lambda: any(line.get("status") == 201 and line.get("route") == "/api/vote" for line in own.logs()))
    found = own.logs()
    shared_stack.stop_own()
    return found


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_counts_real_lines_and_its_labels_are_in_them(lines, name):
    hits = counted(name, lines)
    assert hits, "no line of a service matches: the metric would stay 0 for ever"
    metric = METRICS[name]
    for line in hits:
        for field in metric["labels"].values():
            assert value_of(line, field) is not None
        if "value" in metric:
            assert isinstance(value_of(line, re.fullmatch(r"EXTRACT\((.*)\)", metric["value"])[1]), (int, float))
    assert not PERSONAL & {field.removeprefix("jsonPayload.") for field in metric["labels"].values()}
    assert len(hits) < len(lines), "a metric that counts everything says nothing"


def test_metrics_count_what_they_say(lines):
    assert len(counted("votes_per_tenant", lines)) == 1
    assert len(counted("pool_exhausted", lines)) + len(counted("lock_waits", lines)) == 8
    assert {line["status"] for name in ("pool_exhausted", "lock_waits") for line in counted(name, lines)} == {503}


# --- alerts and the dashboard ---------------------------------------------------------------------------------


def check_filter(parts):
    """Of a time series: the metric is one Google or we make, of that resource, and has these labels."""
    given = dict(re.fullmatch(r'([\w.]+)="([^"]+)"', part).groups() for part in parts)
    metric = given["metric.type"]
    own = metric.removeprefix("logging.googleapis.com/user/")
    if own != metric:
        assert own in METRICS and given["resource.type"] == "cloud_run_revision"
        known = set(METRICS[own]["labels"])
    else:
        assert given["resource.type"] == GOOGLES[metric]
        known = LABELS.get(metric, set())
    assert {key.removeprefix("metric.labels.") for key in given if key.startswith("metric.labels.")} <= known
    return metric, known


def test_the_four_alerts_are_those_that_were_asked_for():
    assert set(ALERTS) == {"elections_errors", "database_connections", "instances_below_expected", "pool_exhausted"}
    errors = ALERTS["elections_errors"]["conditions"][0]
    assert (errors["threshold"], errors["duration"], errors["comparison"]) == (0.05, "60s", "COMPARISON_GT")
    assert set(errors["of"]) == set(errors["filter"]) - {'metric.labels.response_code_class="5xx"'}
    assert ALERTS["database_connections"]["conditions"][0]["duration"] == "60s"
    assert "max_connections * 0.8" in text("main.tf")
    assert ALERTS["instances_below_expected"]["combiner"] == "AND"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_watches_what_exists(name):
    alert = ALERTS[name]
    for condition in alert["conditions"]:
        for parts in (condition["filter"], condition.get("of")):
            if parts:
                check_filter(parts)
        assert re.fullmatch(r"\d+s", condition["duration"]) and int(condition["duration"][:-1]) % 60 == 0
    with open(os.path.join(evidence.ROOT, "deploy", "RUNBOOK.md"), encoding="utf-8") as book:
        title = re.search(r'deploy/RUNBOOK\.md, "(.*)"', alert["what_to_do"])[1]
        assert f"## {title}\n" in book.read(), "the alert names a chapter that is not there"
    if not google_messages.AVAILABLE:
        return
    aggregation = [{"alignmentPeriod": "60s", "crossSeriesReducer": "REDUCE_SUM"}]
    policy = {"displayName": alert["title"], "combiner": alert["combiner"], "severity": alert["severity"], "conditions": [
        {"displayName": one["name"], "conditionThreshold": {
            "filter": " AND ".join(one["filter"]), "comparison": one["comparison"], "thresholdValue": one["threshold"],
            "duration": one["duration"], "aggregations": [{**aggregation[0], "perSeriesAligner": one["aligner"]}]}}
        for one in alert["conditions"]]}
    assert google_messages.unknown_fields("monitoring", "v3", "AlertPolicy", policy) == []


def test_the_dashboard_shows_what_exists():
    titles = []
    for tile in DASHBOARD["mosaicLayout"]["tiles"]:
        titles.append(tile["widget"]["title"])
        for data in tile["widget"]["xyChart"]["dataSets"]:
            series = data["timeSeriesQuery"]["timeSeriesFilter"]
            metric, known = check_filter(series["filter"].split(" AND "))
            for field in series["aggregation"].get("groupByFields", []):
                assert field == "resource.label.service_name" or field.removeprefix("metric.label.") in known, metric
    wanted = ("Requests a second", "4xx and 5xx", "p95", "Instances", "Database connections", "Lock waits", "Votes")
    assert all(any(want in title for title in titles) for want in wanted)
    if google_messages.AVAILABLE:
        assert google_messages.unknown_fields("monitoring", "v1", "Dashboard", DASHBOARD) == []
        assert google_messages.unknown_fields("monitoring", "v1", "Dashboard", {**DASHBOARD, "bogus": 1}) == ["bogus"]
