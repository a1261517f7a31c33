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
from suite import BIN_DIR, wait_until
from voting import create_election, in_parallel, register, vote

FOLDER = os.path.join(evidence.ROOT, "deploy", "monitoring")
PEERS = os.path.join(evidence.ROOT, "tests", "peers")
# What we always want, beside what the provider demands; blocks count as attributes.
RESOURCES = {
    "google_logging_metric": {"label_extractors", "metric_descriptor"},
    "google_monitoring_alert_policy": {"notification_channels", "documentation", "severity"},
    "google_monitoring_dashboard": set(),
    "google_monitoring_notification_channel": {"labels"},
    "google_monitoring_uptime_check_config": {"http_check", "monitored_resource"},
}
OF_TERRAFORM = {"for_each", "count", "depends_on", "lifecycle", "provider"}
# Metrics Google makes by itself, with the resource they are of (Cloud Run, Cloud SQL, log-based).
GOOGLES = {
    "run.googleapis.com/request_count": "cloud_run_revision",
    "run.googleapis.com/request_latencies": "cloud_run_revision",
    "run.googleapis.com/container/instance_count": "cloud_run_revision",
    "cloudsql.googleapis.com/database/postgresql/num_backends": "cloudsql_database",
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": "pubsub_subscription",
    "pubsub.googleapis.com/subscription/num_undelivered_messages": "pubsub_subscription",
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


def parsed(source):
    """As HashiCorp's own parser reads it, as JSON; None when it does not."""
    if not os.path.isdir(os.path.join(PEERS, "node_modules", "@cdktf", "hcl2json")):
        pytest.skip("tests/peers is not installed")
    run = subprocess.run(
        ["node", "-e", "require('@cdktf/hcl2json').parse('main.tf', require('fs').readFileSync(0, 'utf8'))"
         ".then((read) => console.log(JSON.stringify(read)), () => process.exit(3))"],
        cwd=PEERS, input=source, text=True, capture_output=True, check=False, timeout=60)
    assert run.returncode in (0, 3), run.stderr
    return json.loads(run.stdout) if run.returncode == 0 else None


def faults_of(block, schema, place):
    """What the provider would refuse: unknown attributes, missing ones, blocks that are none."""
    given = {name: value for name, value in block.items() if name != "dynamic"}
    for name, blocks in block.get("dynamic", {}).items():
        given[name] = [one["content"][0] for one in blocks]
    for name, value in given.items():
        if name not in schema:
            yield f"{place} has no {name}"
        elif "block" in schema[name] and name not in ("labels",):
            for one in value:
                yield from faults_of(one, schema[name]["block"], f"{place}.{name}")
    for name, entry in schema.items():
        if entry["required"] and name not in given:
            yield f"{place} lacks {name}"


def faults(source):
    with open(os.path.join(evidence.ROOT, "tests", "data", "terraform", "google.json"), encoding="utf-8") as data:
        provider = json.load(data)
    read = parsed(source)
    if read is None:
        return ["no HCL"]
    assert re.fullmatch(r"hashicorp/google 6\.\d+\.\d+", provider["provider"]), "main.tf asks for 6"
    found = []
    for kind, resources in read["resource"].items():
        for name, (block,) in resources.items():
            own = {key: value for key, value in block.items() if key not in OF_TERRAFORM}
            found += faults_of(own, provider["resources"][kind], f"{kind}.{name}")
    return found


def test_the_provider_takes_every_resource():
    assert faults(text("main.tf")) == []
    read = parsed(text("main.tf"))
    assert set(read["resource"]) == set(RESOURCES)
    for kind, wanted in RESOURCES.items():
        for block, in read["resource"][kind].values():
            assert wanted <= {*block, *block.get("dynamic", {})}
    version, = (one["required_providers"][0]["google"]["version"] for one in read["terraform"])
    assert version.startswith("~> 6.")


@pytest.mark.parametrize("old, new, fault", [
    ("threshold_value    =", "treshold_value     =", "conditions.condition_threshold has no treshold_value"),
    ("comparison         = conditions.value.comparison", "", "conditions.condition_threshold lacks comparison"),
    ("  timeout      = \"10s\"", "", "google_monitoring_uptime_check_config.health lacks timeout"),
    ("    use_ssl      = true", "    use_tls      = true", "http_check has no use_tls"),
    ("    metric_kind = \"DELTA\"", "", "metric_descriptor lacks metric_kind"),
    ("locals {", "locals {{", "no HCL"),
])
def test_what_the_provider_would_refuse_is_found(old, new, fault):
    source = text("main.tf")
    assert source.count(old) == 1
    assert any(fault in one for one in faults(source.replace(old, new))), faults(source.replace(old, new))


def test_references_lead_somewhere():
    source, read = text("main.tf"), parsed(text("main.tf"))
    for kind, name in re.findall(r"\b(google_\w+)\.(\w+)", source):
        assert name in read["resource"][kind]
    assert set(re.findall(r"\bvar\.(\w+)", source)) == set(read["variable"]), "each variable is there, and used"
    assert set(re.findall(r"\blocal\.(\w+)", source)) == {name for block in read["locals"] for name in block}
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


def test_the_alerts_are_those_that_were_asked_for():
    assert set(ALERTS) == {"elections_errors", "database_connections", "instances_below_expected", "pool_exhausted",
                           "vote_queue_waits", "vote_queue_dead"}
    errors = ALERTS["elections_errors"]["conditions"][0]
    assert (errors["threshold"], errors["duration"], errors["comparison"]) == (0.05, "60s", "COMPARISON_GT")
    assert set(errors["of"]) == set(errors["filter"]) - {'metric.labels.response_code_class="5xx"'}
    assert ALERTS["database_connections"]["conditions"][0]["duration"] == "60s"
    assert "max_connections * 0.8" in text("main.tf")
    assert ALERTS["instances_below_expected"]["combiner"] == "AND"


def test_the_queues_alerts_watch_the_subscriptions_that_are_set_up():
    """Those of the service's settings, and of the commands its README gives."""
    watched = {name: re.search(r'subscription_id="([^"]+)"', " ".join(ALERTS[name]["conditions"][0]["filter"]))[1]
               for name in ("vote_queue_waits", "vote_queue_dead")}
    settings = subprocess.run([os.path.join(BIN_DIR, "elections"), "--print-config"], text=True, capture_output=True,
                              check=True).stdout
    usual = dict(re.findall(r"^(VOTE_QUEUE_\w+) +text +(\S+)", settings, re.MULTILINE))
    assert watched["vote_queue_waits"] == usual["VOTE_QUEUE_SUBSCRIPTION"]
    with open(os.path.join(evidence.ROOT, "services", "elections", "README.md"), encoding="utf-8") as readme:
        made = dict(re.findall(r"subscriptions create (\S+) --topic (\S+)", readme.read()))
    assert made == {watched["vote_queue_waits"]: usual["VOTE_QUEUE_TOPIC"],
                    watched["vote_queue_dead"]: usual["VOTE_QUEUE_DEAD_TOPIC"]}


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
