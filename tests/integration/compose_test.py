"""docker-compose.yml against the binaries and its own parts, as far as that goes without a Docker engine."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import evidence
from suite import BIN_DIR

sys.path.insert(0, os.path.join(evidence.ROOT, "deploy", "lib"))
import manifests  # noqa: E402

ROOT = evidence.ROOT
with open(os.path.join(ROOT, "docker-compose.yml"), encoding="utf-8") as _text:
    SOURCE = _text.read()
COMPOSE = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", SOURCE))
PARTS = COMPOSE["services"]
SERVICES = manifests.services()


def printed(service):
    text = subprocess.run([os.path.join(BIN_DIR, service), "--print-config"], text=True, capture_output=True,
                          check=True).stdout
    return {line.split()[0] for line in text.splitlines() if line.strip()} - {"NAME"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_what_it_knows_and_needs(service):
    given = {name: str(value) for name, value in PARTS[service]["environment"].items()}
    assert set(given) <= printed(service), "a setting the service does not have"
    image = {"PATH": os.environ["PATH"], "PORT": "8080", **evidence.sanitizer_environment()}
    if "REGISTRY_DB" in printed(service):
        image["REGISTRY_DB"] = "/data/registry.db"  # deploy/Dockerfile sets it
    check = [os.path.join(BIN_DIR, service), "--check-config"]
    done = subprocess.run(check, env={**image, **given}, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "configuration is good\n"), done.stderr
    # The check notices what is missing.
    for name in set(given) & {"VOTER_KEY", "AUDIT_KEY", "LOGIN_UID_KEY"}:
        rest = {key: value for key, value in given.items() if key != name}
        assert subprocess.run(check, env={**image, **rest}, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_built_from_its_target_and_confined(service):
    part = PARTS[service]
    with open(os.path.join(ROOT, "deploy", "Dockerfile"), encoding="utf-8") as text:
        dockerfile = text.read()
    assert part["build"]["target"] == service and f" AS {service}\n" in dockerfile
    assert part["read_only"] is True and part["cap_drop"] == ["ALL"]
    if f"COPY --from=registry /registry.db /data/registry.db\nCOPY --from=build /image/bin/{service} " in dockerfile:
        assert os.path.exists(os.path.join(ROOT, part["build"]["args"]["REGISTRY_CSV"]))


def test_parts_lead_to_each_other():
    assert set(SERVICES) | {"postgres", "schema", "emulators", "oidc", "keys"} == set(PARTS)
    ports = [port for part in PARTS.values() for port in part.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports) and len({port.split(":")[1] for port in ports}) == len(ports)
    for name, part in PARTS.items():
        for other, condition in part.get("depends_on", {}).items():
            wanted = condition["condition"]
            assert other in PARTS and (wanted != "service_healthy" or "healthcheck" in PARTS[other]), (name, other)
        for volume in part.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        if "build" in part:
            assert os.path.exists(os.path.join(ROOT, part["build"]["dockerfile"]))
        for value in map(str, part.get("environment", {}).values()):
            for host in re.findall(r"http://([\w.-]+):\d+|^(\w+):\d+$", value):
                assert "".join(host) in {*PARTS, "localhost"}, value
    # Who calls whom agrees: keys, ports and the provider's client.
    elections, events = PARTS["elections"]["environment"], PARTS["events"]["environment"]
    assert elections["S2S_KEYS"] == f'{events["S2S_KEY_ID"]}:{events["S2S_KEY"]}'
    assert elections["VOTER_KEY"] == events["VOTER_KEY"]
    login, client = PARTS["handlekenniauth"]["environment"], json.loads(PARTS["oidc"]["environment"]["CLIENT"])
    assert (login["KENNI_IS_CLIENT_ID"], login["KENNI_IS_CLIENT_SECRET"], login["KENNI_IS_REDIRECT_URI"]) \
        == (client["id"], client["secret"], client["redirectUri"])
    assert login["KENNI_IS_ISSUER_URL"] == PARTS["oidc"]["environment"]["ISSUER"]
    with open(os.path.join(ROOT, "deploy", "emulators", "firebase.json"), encoding="utf-8") as text:
        emulators = json.load(text)["emulators"]
    assert login["FIREBASE_AUTH_EMULATOR_HOST"] == f'emulators:{emulators["auth"]["port"]}'
    assert login["FIRESTORE_EMULATOR_HOST"] == f'emulators:{emulators["firestore"]["port"]}'


def test_what_the_containers_copy_is_in_the_build_context():
    with open(os.path.join(ROOT, ".dockerignore"), encoding="utf-8") as text:
        kept = [line[1:].strip() for line in text if line.startswith("!")]
    for name in ("deploy/Dockerfile", "deploy/loadtest/Dockerfile", *(f"deploy/emulators/{n}.Dockerfile" for n in ("firebase", "oidc", "schema"))):
        with open(os.path.join(ROOT, name), encoding="utf-8") as text:
            for line in re.findall(r"^COPY (?!--from)(.*)$", text.read(), re.MULTILINE):
                for source in line.split()[:-1]:
                    if not source.startswith("$"):
                        assert os.path.exists(os.path.join(ROOT, source)), (name, source)
                        assert any(source == keep or source.startswith(keep + "/") for keep in kept), (name, source)


def test_docker_itself_reads_it():
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_key_is_one_a_service_can_read(tmp_path):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    path = tmp_path / "key.json"
    script = os.path.join(ROOT, "deploy", "emulators", "service_account.mjs")
    for _ in range(2):
        subprocess.run(["node", script, path], check=True)
        key = path.read_bytes()
    assert json.loads(key)["private_key"].startswith("-----BEGIN PRIVATE KEY-----") and path.read_bytes() == key
