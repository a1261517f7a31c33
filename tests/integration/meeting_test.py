"""deploy/meeting against a recorder that is as strict as Google: unknown paths, fields and tokens are refused."""

import base64
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

import evidence
import google_messages

sys.path.insert(0, os.path.join(evidence.ROOT, "deploy", "lib"))
import manifests  # noqa: E402

SCRIPT = os.path.join(evidence.ROOT, "deploy", "meeting")
PROJECT = manifests.settings()["PROJECT"]
PARENT = f"projects/{PROJECT}/locations/europe-west2"
SERVICE = f"/v2/{PARENT}/services/elections-service"
INSTANCE = f"/sql/v1beta4/projects/{PROJECT}/instances/ekklesia-db"
NOW = "2026-12-01T12:00"
JOB_FIELDS = {"name", "description", "schedule", "timeZone", "attemptDeadline", "retryConfig", "httpTarget"}
TARGET_FIELDS = {"uri", "httpMethod", "headers", "body", "oauthToken"}


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Google:
    """Cloud Scheduler, Cloud Run and the SQL admin API as far as the script uses them, with their state."""

    def __init__(self):
        self.jobs, self.calls, self.fail, self.load_tests = {}, [], {}, 0
        self.min_instances, self.max_instances, self.tier = 0, 4, "db-f1-micro"

    def answer(self, method, target, token, body):
        parts = urlsplit(target)
        self.calls.append((method, parts.path))
        if token != "Bearer a-token":
            raise Refused(401, "Request had invalid authentication credentials.")
        for prefix, status in self.fail.items():
            if f"{method} {parts.path}".startswith(prefix):
                raise Refused(status, "made to fail")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        jobs = f"/v1/{PARENT}/jobs"
        if parts.path == SERVICE:
            return self.service(method, query, body)
        if parts.path == INSTANCE:
            return self.instance(method, body)
        if parts.path == jobs and method == "POST":
            self.check_job(body)
            if body["name"] in self.jobs:
                raise Refused(409, "Job already exists")
            self.jobs[body["name"]] = body
            return body
        if parts.path == jobs and method == "GET":
            return {"jobs": [{**job, "scheduleTime": "2026-12-05T18:50:00Z"} for job in self.jobs.values()]}
        if parts.path == f"/v2/{PARENT}/jobs/load-test:run" and method == "POST":
            self.known("run", "v2", "GoogleCloudRunV2RunJobRequest", body)
            self.load_tests += 1
            return {"name": f"{PARENT}/operations/2"}
        name = parts.path.removeprefix("/v1/")
        if re.fullmatch(rf"{PARENT}/jobs/[a-z-]+", name):
            if name not in self.jobs:
                raise Refused(404, "Job not found.")
            if method == "PATCH":
                self.check_job(body)
                if body["name"] != name or set(query["updateMask"].split(",")) != JOB_FIELDS - {"name"}:
                    raise Refused(400, "name or mask")
                self.jobs[name] = body
                return body
            if method == "DELETE":
                del self.jobs[name]
                return {}
        raise Refused(404, f"no such method: {method} {parts.path}")

    def service(self, method, query, body):
        if method == "GET":
            scaling = {"minInstanceCount": self.min_instances} if self.min_instances else {}
            return {"name": SERVICE[4:], "scaling": scaling,
                    "template": {"scaling": {"maxInstanceCount": self.max_instances}}}
        if method != "PATCH" or query != {"updateMask": "scaling.minInstanceCount"}:
            raise Refused(400, "only the minimum may change: a template would make a revision")
        self.known("run", "v2", "GoogleCloudRunV2Service", body)
        if set(body) != {"scaling"} or set(body["scaling"]) != {"minInstanceCount"}:
            raise Refused(400, "unknown field")
        count = body["scaling"]["minInstanceCount"]
        if not isinstance(count, int) or count > self.max_instances:
            raise Refused(400, "min instances above max instances")
        self.min_instances = count
        return {"name": f"{PARENT}/operations/1", "done": False}

    def instance(self, method, body):
        if method == "PATCH":
            self.known("sqladmin", "v1beta4", "DatabaseInstance", body)
            if set(body) != {"settings"} or set(body["settings"]) != {"tier"}:
                raise Refused(400, "only the tier")
            self.tier = body["settings"]["tier"]
            return {"kind": "sql#operation"}
        return {"settings": {"tier": self.tier}, "state": "RUNNABLE"}

    def check_job(self, job):
        self.known("cloudscheduler", "v1", "Job", job)
        if set(job) != JOB_FIELDS or set(job["httpTarget"]) != TARGET_FIELDS:
            raise Refused(400, "unknown or missing field")
        if not re.fullmatch(r"\d{1,2} \d{1,2} \d{1,2} \d{1,2} \*", job["schedule"]) or job["timeZone"] != "Atlantic/Reykjavik":
            raise Refused(400, "schedule")
        account = job["httpTarget"]["oauthToken"]["serviceAccountEmail"]
        if account != f"meeting-scheduler@{PROJECT}.iam.gserviceaccount.com":
            raise Refused(400, "account")

    @staticmethod
    def known(api, version, message, body):
        if google_messages.AVAILABLE:
            # Google's library wants bytes as such; over the wire they are the base64 that stands there.
            unknown = google_messages.unknown_fields(api, version, message, body)
            if unknown:
                raise Refused(400, f"Unknown name {unknown}")

    def run_job(self, name):
        """What Cloud Scheduler does when the time has come."""
        target = self.jobs[f"{PARENT}/jobs/{name}"]["httpTarget"]
        path = re.sub(r"^http://127\.0\.0\.1:\d+", "", target["uri"])
        return self.answer(target["httpMethod"], path, "Bearer a-token", json.loads(base64.b64decode(target["body"])))


@pytest.fixture
def google():
    state = Google()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def handle_any(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            try:
                if length and self.headers["Content-Type"] != "application/json":
                    raise Refused(400, "content type")
                status, reply = 200, state.answer(self.command, self.path, self.headers["Authorization"],
                                                  json.loads(body) if body else None)
            except Refused as refused:
                status, reply = refused.status, {"error": {"code": refused.status, "message": str(refused)}}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def meeting(google, *arguments, token="a-token"):
    urls = dict.fromkeys(("CLOUD_RUN_URL", "CLOUD_SCHEDULER_URL", "SQLADMIN_URL"), google.url)
    return subprocess.run([SCRIPT, *arguments, "--now", NOW], text=True, capture_output=True, check=False, timeout=60,
                          env={"PATH": os.environ["PATH"], "GOOGLE_ACCESS_TOKEN": token, **urls})


def schedule(google, *more, start="2026-12-05T19:00", end="2026-12-05T22:00"):
    return meeting(google, "schedule", "--start", start, "--end", end, *more)


def plans(google):
    return {name.rpartition("/")[2]: job["schedule"] for name, job in google.jobs.items()}


def test_schedule_makes_the_pair_ten_minutes_before_and_after(google):
    done = schedule(google)
    assert done.returncode == 0, done.stderr
    assert plans(google) == {"meeting-cool": "30 22 5 12 *", "meeting-warm": "50 18 5 12 *"}
    assert "10 instances asked for, 4 it will be: db-f1-micro has 18 connections" in done.stdout
    google.run_job("meeting-warm")
    assert google.min_instances == 4
    google.run_job("meeting-cool")
    assert google.min_instances == 0


def test_schedule_with_a_tier_raises_and_returns_it(google):
    done = schedule(google, "--tier", "db-g1-small")
    assert done.returncode == 0, done.stderr
    assert plans(google) == {"meeting-cool": "30 22 5 12 *", "meeting-warm": "50 18 5 12 *",
                             "meeting-tier-up": "50 18 4 12 *", "meeting-tier-down": "30 22 6 12 *"}
    google.run_job("meeting-tier-up")
    assert google.tier == "db-g1-small"
    google.max_instances = 12  # deploy/cloudrun deploy elections --tier db-g1-small
    google.run_job("meeting-warm")
    assert google.min_instances == 10
    google.run_job("meeting-tier-down")
    assert google.tier == "db-f1-micro"


def test_schedule_with_a_load_test_runs_the_job_two_hours_before(google):
    assert schedule(google, "--load-test").returncode == 0
    assert plans(google)["meeting-load-test"] == "0 17 5 12 *"
    google.run_job("meeting-load-test")
    assert google.load_tests == 1
    assert schedule(google).returncode == 0 and "meeting-load-test" not in plans(google)
    assert "has passed" in schedule(google, "--load-test", start="2026-12-01T13:30", end="2026-12-01T15:00").stderr


def test_schedule_twice_is_schedule_once(google):
    schedule(google, "--tier", "db-g1-small")
    before = dict(google.jobs)
    assert schedule(google, "--tier", "db-g1-small").returncode == 0
    assert google.jobs == before
    # Another date moves them, and without a tier its jobs go.
    assert schedule(google, start="2026-12-12T19:00", end="2026-12-12T20:00").returncode == 0
    assert plans(google) == {"meeting-cool": "30 20 12 12 *", "meeting-warm": "50 18 12 12 *"}


def test_when_half_fails_nothing_stays_warm(google):
    google.fail = {f"PATCH /v1/{PARENT}/jobs/meeting-warm": 503}
    done = schedule(google)
    assert done.returncode == 1 and "503 made to fail" in done.stderr
    assert list(plans(google)) == ["meeting-cool"]
    google.fail = {}
    assert schedule(google).returncode == 0 and len(google.jobs) == 2


@pytest.mark.parametrize("start, end, why", [
    ("2026-12-05T22:00", "2026-12-05T19:00", "the end comes after the start"),
    ("2026-12-01T12:05", "2026-12-01T14:00", "has passed"),
    ("2026-11-01T12:05", "2026-11-01T14:00", "has passed"),
    ("2026-12-05T19:00", "2026-12-09T19:00", "longer than two days"),
    ("2027-11-05T19:00", "2027-11-05T20:00", "300 days"),
    ("next week", "2026-12-05T19:00", "a time is written"),
])
def test_senseless_times_are_refused_before_any_call(google, start, end, why):
    done = schedule(google, start=start, end=end)
    assert done.returncode != 0 and why in done.stderr
    assert google.calls == []


def test_warm_is_bounded_by_database_and_revision(google):
    assert meeting(google, "warm").returncode == 0 and google.min_instances == 4
    google.tier = "db-g1-small"
    done = meeting(google, "warm", "20")
    assert "12 it will be" in done.stdout and "the revision that is deployed allows 4" in done.stdout
    assert google.min_instances == 4
    google.max_instances = 12
    assert meeting(google, "warm", "20").returncode == 0 and google.min_instances == 12
    assert meeting(google, "warm", "2").returncode == 0 and google.min_instances == 2
    assert meeting(google, "cool").returncode == 0 and google.min_instances == 0
    assert meeting(google, "cool").returncode == 0
    assert meeting(google, "warm", "0").returncode == 1 and meeting(google, "warm", "many").returncode == 1


def test_status_and_clear(google):
    assert "nothing is scheduled" in meeting(google, "status").stdout
    schedule(google)
    google.jobs[f"{PARENT}/jobs/meeting-cool"]["status"] = {"code": 7}
    google.jobs[f"{PARENT}/jobs/load-test"] = {"name": f"{PARENT}/jobs/load-test"}
    text = meeting(google, "status").stdout
    assert "elections-service: at least 0 instances" in text and "db-f1-micro, RUNNABLE" in text
    assert "meeting-warm: 4 instances, meeting of 2026-12-05" in text and "load-test" not in text
    assert "meeting-cool" in text and "THE LAST RUN FAILED with code 7" in text
    for _ in range(2):
        assert meeting(google, "clear").returncode == 0
    assert list(google.jobs) == [f"{PARENT}/jobs/load-test"], "only its own jobs"


def test_tier_now(google):
    assert meeting(google, "tier", "db-g1-small").returncode == 0 and google.tier == "db-g1-small"
    assert meeting(google, "tier", "db-n1-huge").returncode == 1 and google.tier == "db-g1-small"


@pytest.mark.parametrize("command", [["warm"], ["cool"], ["clear"], ["status"], ["tier", "db-g1-small"],
                                     ["schedule", "--start", "2026-12-05T19:00", "--end", "2026-12-05T22:00",
                                      "--tier", "db-g1-small"]])
def test_a_dry_run_prints_the_calls_and_makes_none(google, command):
    done = meeting(google, *command, "--dry-run", token="")
    assert done.returncode == 0, done.stderr
    assert google.calls == [] and re.search(rf"(GET|PATCH|DELETE) {google.url}/", done.stdout)


def test_a_refused_token_is_said(google):
    done = meeting(google, "cool", token="another")
    assert done.returncode == 1 and "401 Request had invalid authentication" in done.stderr
    assert "another" not in done.stderr
