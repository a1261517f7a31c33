"""cloudrun/ against the binaries: a manifest sets what its service knows, all that it needs, and fits the database."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import evidence
import google_messages
from suite import BIN_DIR

sys.path.insert(0, os.path.join(evidence.ROOT, "deploy", "lib"))
import manifests  # noqa: E402

SERVICES = manifests.services()
DEPLOY = os.path.join(evidence.ROOT, "deploy", "cloudrun")
# Name, maximum, memory, time-out: seeds/services-architecture.md. Where ours differs, the manifest says why.
SEEDS = {
    "elections": ("512Mi", 60), "events": ("512Mi", 60), "handlekenniauth": (10, "256Mi", 30),
    "verifymembership": (10, "256Mi", 30), "sync-from-django": (10, "256Mi", 30), "updatememberprofile": (5, "256Mi", 30),
    "syncmembers": (1, "512Mi", 540), "search-addresses": (10, "256Mi", 30), "validate-address": (10, "256Mi", 30),
    "validate-postal-code": (10, "256Mi", 30), "auditmemberchanges": (5, "256Mi", 60), "get-django-token": (1, "256Mi", 30),
    "healthz": (1, "256Mi", 30),
}


def run(*arguments, **env):
    return subprocess.run([DEPLOY, *arguments], text=True, capture_output=True, check=False,
                          env={**os.environ, "TAG": "abc1234", **env}, timeout=60)


def table(service):
    """Settings of the binary: name -> (type, default)."""
    text = subprocess.run([os.path.join(BIN_DIR, service), "--print-config"], text=True, capture_output=True,
                          check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    found = {}
    for row in rows:
        if row and row[0] != "NAME":
            kind, rest = row[1], row[2:]
            found[row[0]] = (kind, rest[1] if kind in ("integer",) else rest[0])
    return found


def rendered(service):
    return manifests.render(service, {name: value or "x" for name, value in manifests.settings().items()})


def test_every_service_has_its_manifest_and_its_access():
    assert len(SERVICES) == 14
    assert sorted(name[:-5] for name in os.listdir(manifests.MANIFESTS) if name.endswith(".yaml")) \
        == sorted([*SERVICES, "access"])
    assert set(manifests.access()) == set(SERVICES)
    assert sorted(SERVICES) == sorted(
        name for name in os.listdir(os.path.join(evidence.ROOT, "services"))
        if os.path.exists(os.path.join(evidence.ROOT, "services", name, f"{name}.c")))


@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_those_of_the_binary(service):
    known = table(service)
    given = manifests.environment(manifests.load(service))
    assert len(known) > 15
    assert set(given) <= set(known), "a setting the service does not have"
    needed = {name for name, (kind, default) in known.items() if default == "required"
              and not (kind != "secret" and "|" in kind)}
    in_image = {"REGISTRY_DB"}  # deploy/Dockerfile sets it
    assert needed - in_image <= set(given), "a required setting is missing"
    secrets = {name for name, (kind, _) in known.items() if kind == "secret"}
    for name, value in given.items():
        assert isinstance(value, tuple) == (name in secrets), f"{name}: secrets, and only they, come from the secret store"
        if name in secrets:
            assert re.fullmatch(r"[1-9]\d*", value[1]), f"{name}: pinned to a version, not latest"


@pytest.mark.parametrize("service", SERVICES)
def test_the_binary_accepts_the_values(service, tmp_path):
    """--check-config with the environment Cloud Run would make, secrets filled in."""
    environment = {"PATH": os.environ["PATH"], "PORT": "8080", **evidence.sanitizer_environment()}
    for name, value in manifests.environment(rendered(service)).items():
        secret = "events-1:" + "k" * 32 if name == "S2S_KEYS" else "s" * 40
        environment[name] = secret if isinstance(value, tuple) else value
    if service in ("search-addresses", "validate-address", "validate-postal-code"):
        environment["REGISTRY_DB"] = "/data/registry.db"
    check = [os.path.join(BIN_DIR, service), "--check-config"]
    good = subprocess.run(check, env=environment, text=True, capture_output=True, check=False)
    assert (good.returncode, good.stdout) == (0, "configuration is good\n"), good.stderr
    bad = subprocess.run(check, env={**environment, "PORT": "minus"}, text=True, capture_output=True, check=False)
    assert bad.returncode == 1, "the check itself refuses nothing"


@pytest.mark.parametrize("service", SERVICES)
def test_shape(service):
    manifest = rendered(service)
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.knative.dev/v1", "Service")
    annotations = manifest["metadata"]["annotations"]
    assert annotations["run.googleapis.com/minScale"] == "0"
    public = manifests.access()[service]["invokers"] == "public"
    assert annotations["run.googleapis.com/ingress"] == ("all" if public else "internal")
    template = manifests.template(manifest)
    spec, container = template["spec"], manifests.container(manifest)
    assert spec["serviceAccountName"].startswith(f"{service}@") and len(spec["containers"]) == 1
    assert template["metadata"]["annotations"]["run.googleapis.com/startup-cpu-boost"] == "true"
    assert 1 <= spec["containerConcurrency"] <= 1000 and container["image"].split("/")[-1].startswith(f"{service}:")
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] <= 240
    if service in SEEDS:
        got = (manifests.max_instances(manifest), container["resources"]["limits"]["memory"], spec["timeoutSeconds"])
        assert got[-len(SEEDS[service]):] == SEEDS[service]
    # The reason stands beside the number.
    lines = manifests.source(service).splitlines()
    number = next(i for i, line in enumerate(lines) if "maxScale" in line and not line.strip().startswith("#"))
    assert lines[number - 1].strip().startswith("#") and len(lines[number - 1].strip()) > 10


@pytest.mark.parametrize("service", ["elections", "events"])
def test_closing_ends_before_the_platform_gives_up(service):
    manifest = rendered(service)
    limit_ms = manifests.environment(manifest).get("CLOSE_TIMEOUT_MS", table(service)["CLOSE_TIMEOUT_MS"][1])
    assert int(limit_ms) + 5000 <= manifests.template(manifest)["spec"]["timeoutSeconds"] * 1000


@pytest.mark.parametrize("service", SERVICES)
def test_google_knows_every_field(service):
    if not google_messages.AVAILABLE:
        pytest.skip("gcloud, which carries Google's description of Cloud Run, is not installed")
    manifest = rendered(service)
    assert google_messages.unknown_fields("run", "v1", "Service", manifest) == []
    manifests.container(manifest)["bogusField"] = 1
    assert google_messages.unknown_fields("run", "v1", "Service", manifest) == ["spec.template.spec.containers.bogusField"]


def test_the_documents_make_every_secret_and_no_other():
    named = {value[0] for service in SERVICES for value in manifests.environment(manifests.load(service)).values()
             if isinstance(value, tuple)}
    with open(os.path.join(manifests.MANIFESTS, "README.md"), encoding="utf-8") as readme:
        text = readme.read().replace("\\\n", " ")
    made = [name for names in re.findall(r"for name in ([^;]+); do [^\n]*secrets create", text) for name in names.split()]
    made += re.findall(r"secrets create ([a-z][a-z0-9-]+)", text)
    assert sorted(made) == sorted(named)


def test_roles_are_least_privilege():
    for service, access in manifests.access().items():
        roles = [*access["roles"], *access.get("self_roles", [])]
        assert all(re.fullmatch(r"roles/[a-z]+\.[A-Za-z]+", role) for role in roles)
        assert not any(role.split("/")[1] in ("owner", "editor", "viewer") or role.endswith(".owner") for role in roles)
        # Who has no database and no store asks for nothing of either.
        uses = manifests.environment(manifests.load(service))
        assert ("roles/cloudsql.client" in roles) == ("DATABASE_HOST" in uses)
        assert any("datastore" in role for role in roles) == ("FIRESTORE_DATABASE" in table(service))
        sql = "run.googleapis.com/cloudsql-instances" in manifests.template(manifests.load(service))["metadata"]["annotations"]
        assert sql == ("DATABASE_HOST" in uses)


# Which role a call of Google's asks for. Of a pair the second includes the first.
READ, WRITE = "roles/datastore.viewer", "roles/datastore.user"
ASK, CHANGE = "roles/firebaseauth.viewer", "roles/firebaseauth.admin"
CALLS = {
    r"firestore_(get|get_all|query|count)": {READ},
    r"firestore_(commit|batch_write|transaction)|audit_log_append|lease_take": {WRITE},
    r"member_document_sync": {WRITE}, r"member_access_end": {WRITE, CHANGE},
    r"identity_lookup|live_account_is_\w+": {ASK}, r"identity_(create|update_claims)": {CHANGE},
    r"identity_custom_token": {"roles/iam.serviceAccountTokenCreator"},
}
SETTINGS = {"DATABASE_HOST": {"roles/cloudsql.client"}, "ACCOUNT_CHECK": {READ, ASK}}


def roles_used(service):
    """By what its sources call and what its settings make libcommon call."""
    folder = os.path.join(evidence.ROOT, "services", service)
    sources = "".join(open(os.path.join(folder, name), encoding="utf-8").read()
                      for name in sorted(os.listdir(folder)) if name.endswith(".c"))
    found = set()
    for call, roles in CALLS.items():
        if re.search(rf"\b({call})\(", sources):
            found |= roles
    for setting, roles in SETTINGS.items():
        if setting in table(service):
            found |= roles
    return found - {one for one, more in ((READ, WRITE), (ASK, CHANGE)) if more in found}


@pytest.mark.parametrize("service", SERVICES)
def test_every_google_api_it_can_call_has_its_role_and_no_other(service):
    access = manifests.access()[service]
    assert {*access["roles"], *access.get("self_roles", [])} == roles_used(service)


def with_settings(service, **settings):
    manifest = manifests.load(service)
    manifests.container(manifest)["env"] += [{"name": name, "value": value} for name, value in settings.items()]
    return manifest


def test_what_a_setting_switches_on_brings_its_roles():
    switches = manifests.access_file()["with_settings"]
    for name in ("VOTE_QUEUE", "OTEL_EXPORTER_OTLP_AUTH"):
        assert name in table("elections"), "a switch the service does not know"
    assert set(switches) == {"VOTE_QUEUE=on", "OTEL_EXPORTER_OTLP_AUTH=google"}
    assert list(manifests.grants_of_settings(manifests.load("elections"))) == [], "nothing more while they are off"
    granted = set(manifests.grants_of_settings(with_settings("elections", VOTE_QUEUE="on", VOTE_QUEUE_DEAD_TOPIC="other")))
    known = table("elections")
    assert granted == {("roles/pubsub.publisher", "topics", known["VOTE_QUEUE_TOPIC"][1]),
                       ("roles/pubsub.publisher", "topics", "other"),
                       ("roles/pubsub.subscriber", "subscriptions", known["VOTE_QUEUE_SUBSCRIPTION"][1])}
    for service in SERVICES:
        assert "OTEL_EXPORTER_OTLP_AUTH" in table(service)
        assert list(manifests.grants_of_settings(with_settings(service, OTEL_EXPORTER_OTLP_AUTH="google"))) \
            == [("roles/telemetry.tracesWriter", None, None)]


def test_accounts_of_the_trigger_and_the_meeting_are_made():
    done = run("access", "--dry-run")
    assert done.returncode == 0, done.stderr
    made = set(re.findall(r"service-accounts create (\S+)", done.stdout))
    assert made == {*SERVICES, "eventarc-trigger", "meeting-scheduler", "load-test"}
    invokers = {one for access in manifests.access().values() if access["invokers"] != "public" for one in access["invokers"]}
    assert invokers <= made
    with open(os.path.join(evidence.ROOT, "deploy", "meeting"), encoding="utf-8") as script:
        assert "meeting-scheduler@" in script.read(), "the account its jobs run as"
    assert re.search(r"--member \S+meeting-scheduler@\S+ --role roles/cloudsql.editor", done.stdout)
    assert len(re.findall(r"--member \S+meeting-scheduler@\S+ --role roles/iam.serviceAccountUser", done.stdout)) == 2


def test_the_queues_account_gets_its_topics(tmp_path):
    """The command itself, in a copy of the tree whose manifest has the queue on."""
    for part in ("cloudrun", "deploy/lib", "deploy/images"):
        shutil.copytree(os.path.join(evidence.ROOT, part), tmp_path / part)
    shutil.copy(DEPLOY, tmp_path / "deploy" / "cloudrun")
    path = tmp_path / "cloudrun" / "elections.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(
        "          env:\n", '          env:\n            - name: VOTE_QUEUE\n              value: "on"\n'), encoding="utf-8")
    done = subprocess.run([tmp_path / "deploy" / "cloudrun", "access", "--dry-run", "elections"], text=True,
                          capture_output=True, check=False, env={**os.environ, "TAG": "x"})
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"gcloud pubsub (\S+) add-iam-policy-binding (\S+) .* --role (\S+)", done.stdout)) == [
        ("subscriptions", "elections-votes-record", "roles/pubsub.subscriber"),
        ("topics", "elections-votes", "roles/pubsub.publisher"), ("topics", "elections-votes-dead", "roles/pubsub.publisher")]
    assert "pubsub" not in run("access", "--dry-run", "elections").stdout


# --- the connection budget ------------------------------------------------------------------------------------


def pooled(**changes):
    found = {name: manifests.load(name) for name in manifests.POOLED}
    for service, (name, value) in changes.items():
        for entry in manifests.container(found[service])["env"]:
            if entry["name"] == name:
                entry["value"] = value
        if name == "INSTANCES_MAX":
            manifests.template(found[service])["metadata"]["annotations"][manifests.MAX_SCALE] = value
    return found


def test_the_manifests_fit_the_small_database():
    assert manifests.check_budget(pooled(), "db-f1-micro") \
        == "elections 3 x 4 + events 2 x 3 = 18 of 18 connections on db-f1-micro"


@pytest.mark.parametrize("changes, why", [
    ({"elections": ("INSTANCES_MAX", "5")}, "= 21 connections"),
    ({"elections": ("DATABASE_POOL_MAX", "4")}, "= 22 connections"),
    ({"events": ("INSTANCES_MAX", "100")}, "events 2 x 100"),
    ({"elections": ("CONNECTION_BUDGET", "11")}, "less than 3 x 4"),
])
def test_what_does_not_fit_is_refused(changes, why):
    with pytest.raises(manifests.DoesNotFit, match=re.escape(why)):
        manifests.check_budget(pooled(**changes), "db-f1-micro")


def test_instances_max_and_max_scale_are_one_number():
    found = pooled()
    manifests.template(found["elections"])["metadata"]["annotations"][manifests.MAX_SCALE] = "3"
    with pytest.raises(manifests.DoesNotFit, match="INSTANCES_MAX 4 is not maxScale 3"):
        manifests.check_budget(found, "db-f1-micro")


def test_the_script_refuses_too(tmp_path):
    """With a copy of the tree in which elections asks for more."""
    for part in ("cloudrun", "deploy/lib", "deploy/images"):
        shutil.copytree(os.path.join(evidence.ROOT, part), tmp_path / part)
    shutil.copy(DEPLOY, tmp_path / "deploy" / "cloudrun")
    path = tmp_path / "cloudrun" / "elections.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('maxScale: "4"', 'maxScale: "100"')
                    .replace('value: "4"', 'value: "100"'), encoding="utf-8")
    for command in (["check"], ["deploy", "--dry-run", "healthz"]):
        refused = subprocess.run([tmp_path / "deploy" / "cloudrun", *command], text=True, capture_output=True,
                                 check=False, env={**os.environ, "TAG": "x"})
        assert refused.returncode == 1 and "refused: elections 3 x 100" in refused.stderr
        assert "$ gcloud" not in refused.stdout


# --- deploying ------------------------------------------------------------------------------------------------


def test_dry_run_of_all_fourteen():
    done = run("deploy", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("$ gcloud run services replace - ") == 14
    assert done.stdout.count("--member allUsers") == 13, "only the trigger calls auditmemberchanges"
    assert "${" not in done.stdout and "abc1234" in done.stdout
    # The log of the vote routes is off before the first version of elections is up.
    assert done.stdout.index("--add-exclusion") < done.stdout.index("services replace")


def test_the_load_test_is_a_job_google_knows():
    done = run("load-test", "--dry-run", REHEARSAL_ELECTION_ID="0d4c6cf6-9e8f-4c48-a6a5-1c1c39d4a001")
    assert done.returncode == 0, done.stderr
    job = yaml.safe_load("\n".join(line[4:] for line in done.stdout.splitlines() if line.startswith("  | ")))
    task = job["spec"]["template"]["spec"]["template"]["spec"]
    assert task["maxRetries"] == 0 and f'docker build -f deploy/loadtest/Dockerfile -t {task["containers"][0]["image"]} --build-arg K6=' in done.stdout
    if google_messages.AVAILABLE:
        assert google_messages.unknown_fields("run", "v1", "Job", job) == []
    # Everything the script asks for is set.
    with open(os.path.join(evidence.ROOT, "deploy", "loadtest", "vote.js"), encoding="utf-8") as script:
        needed = re.search(r"for \(const name of \[(.*?)\]\)", script.read())[1]
    container = task["containers"][0]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert set(given) - {"RESULTS"} == set(re.findall(r"'(\w+)'", needed))
    # The folder it stores its results in is the bucket that was made, and its account may write there.
    (volume,), (mount,) = task["volumes"], container["volumeMounts"]
    bucket = volume["csi"]["volumeAttributes"]["bucketName"]
    assert mount["name"] == volume["name"] and given["RESULTS"] == mount["mountPath"]
    commands = [line[2:] for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert any(f"buckets create gs://{bucket} " in command for command in commands)
    who = f"serviceAccount:{task['serviceAccountName']}"
    caller = f"serviceAccount:meeting-scheduler@{manifests.settings()['PROJECT']}.iam.gserviceaccount.com"
    assert [re.search(r"(\S+) (?:--project \S+ )?(?:--region \S+ )?--member (\S+) --role (\S+)$", command).groups() for command in commands
            if "binding" in command] == [("events-s2s-key", who, "roles/secretmanager.secretAccessor"),
                                         (f"gs://{bucket}", who, "roles/storage.objectUser"),
                                         ("load-test", caller, "roles/run.developer")]
    assert run("load-test", "--dry-run").returncode == 1, "no rehearsal election, no load test"


def test_images_are_built_on_pinned_ones(tmp_path):
    """A recorder in Docker's place, in a copy of the tree."""
    for part in ("cloudrun", "deploy/lib", "deploy/images"):
        shutil.copytree(os.path.join(evidence.ROOT, part), tmp_path / part)
    shutil.copy(DEPLOY, tmp_path / "deploy" / "cloudrun")
    pins = tmp_path / "deploy" / "images" / "pins.env"
    pins.unlink(missing_ok=True)
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho docker "$@" >>"$LOG"\n'
                      'case "$1" in image) echo "[\\"debian@sha256:$DIGEST\\"]" ;; esac\n', encoding="ascii")
    docker.chmod(0o755)
    csv = tmp_path / "rows.csv"
    csv.touch()

    def cloudrun(*arguments, digest="a" * 64):
        return subprocess.run([tmp_path / "deploy" / "cloudrun", *arguments], text=True, capture_output=True, check=False,
                              env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TAG": "x", "REGISTRY_CSV": str(csv),
                                   "DIGEST": digest, "LOG": str(tmp_path / "log")})

    refused = cloudrun("image", "healthz")
    assert refused.returncode == 1 and "deploy/cloudrun pin" in refused.stderr and not (tmp_path / "log").exists()
    assert cloudrun("pin", "--dry-run").returncode == 0 and not pins.exists()
    assert cloudrun("pin", digest="short").returncode == 1 and not pins.exists()
    assert cloudrun("pin").returncode == 0
    base = f"docker.io/library/debian:bookworm-slim@sha256:{'a' * 64}"
    assert pins.read_text(encoding="ascii").splitlines() == [f"BASE={base}", f"K6=docker.io/grafana/k6:0.54.0@sha256:{'a' * 64}"]
    assert cloudrun("image", "healthz").returncode == 0
    built, pushed = (tmp_path / "log").read_text(encoding="ascii").splitlines()[-2:]
    assert f"--build-arg BASE={base} " in built and "docker push" in pushed
    # The tags are those of the Dockerfiles.
    for name, place in (("BASE", "deploy/Dockerfile"), ("K6", "deploy/loadtest/Dockerfile")):
        with open(os.path.join(evidence.ROOT, place), encoding="utf-8") as source:
            tag = re.search(rf"^ARG {name}=(\S+)$", source.read(), re.MULTILINE)[1]
        assert f"{name}={tag}@" in pins.read_text(encoding="ascii")


def test_a_missing_value_stops_it():
    done = run("deploy", "--dry-run", "healthz", TAG="")
    assert done.returncode == 1 and "${TAG}" in done.stderr
    assert run("deploy", "--dry-run", "nosuch").returncode == 1


def test_the_larger_tier_gets_more_instances():
    done = run("deploy", "--dry-run", "--tier", "db-g1-small", "elections")
    text = "\n".join(line[4:] for line in done.stdout.splitlines() if line.startswith("  | "))
    manifest = yaml.safe_load(text)
    assert manifests.max_instances(manifest) == 12 and manifests.environment(manifest)["INSTANCES_MAX"] == "12"
    assert "elections 3 x 12 + events 2 x 3 = 42 of 43" in done.stdout


def test_commands_are_run_as_shown(tmp_path):
    """A recorder in the place of gcloud: what runs is what the dry run shows, in that order."""
    log = tmp_path / "log"
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\nprintf "%s " gcloud "$@" >>"$LOG"; echo >>"$LOG"\n'
                      'case "$*" in *"sinks describe"*) echo "{\\"exclusions\\": [{\\"name\\": \\"vote-routes\\"}]}" ;;\n'
                      '*replace*) cat >>"$LOG.yaml" ;; *"secrets add"*) exit "${SECRETS_FAIL:-0}" ;; *list*) echo "[]" ;;\n'
                      'esac\n', encoding="ascii")
    gcloud.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log)}
    done = run("deploy", "elections", **env)
    assert done.returncode == 0, done.stderr
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ")[1:4] for line in lines] == [
        ["logging", "sinks", "describe"], ["logging", "sinks", "update"], ["run", "services", "replace"],
        ["run", "services", "add-iam-policy-binding"], ["run", "services", "add-iam-policy-binding"]]
    assert "--member allUsers --role roles/run.invoker" in lines[3]
    assert "meeting-scheduler@" in lines[4] and "--role roles/run.developer" in lines[4]
    assert "--update-exclusion" in lines[1], "it is there already, so it is changed, not added"
    sent = yaml.safe_load((tmp_path / "log.yaml").read_text(encoding="utf-8"))
    assert sent["metadata"]["name"] == "elections-service"
    failed = run("access", "elections", **env, SECRETS_FAIL="1")
    assert failed.returncode == 1 and "failed: gcloud secrets" in failed.stderr


# --- the platform's log of the vote routes --------------------------------------------------------------------


def test_the_log_exclusion_names_the_vote_routes_and_no_other():
    text = manifests.log_exclusion()
    patterns = [re.compile(pattern) for pattern in re.findall(r'requestUrl=~"([^"]+)"', text)]
    assert len(patterns) == 2 and 'log_id("run.googleapis.com/requests")' in text
    assert f'service_name="{manifests.load("elections")["metadata"]["name"]}"' in text
    printed = subprocess.run([os.path.join(BIN_DIR, "elections"), "--print-routes"], text=True, capture_output=True,
                             check=True).stdout
    routes = {line.split()[1].replace("{id}", "0d4c6cf6-9e8f-4c48-a6a5-1c1c39d4a001") for line in printed.splitlines()}
    excluded = {route for route in routes for end in ("", "?x=1")
                if any(p.search(f"https://elections-service-1.run.app{route}{end}") for p in patterns)}
    assert excluded == {"/api/vote", "/api/elections/0d4c6cf6-9e8f-4c48-a6a5-1c1c39d4a001/vote"}
