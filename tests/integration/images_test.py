"""Container images, built and started without an engine: deploy/images/build-local over the binaries of this run."""

import json
import os
import re
import shutil
import subprocess

import pytest

import evidence
from suite import BIN_DIR

ROOT = evidence.ROOT
BUILD_LOCAL = os.path.join(ROOT, "deploy", "images", "build-local")
DOCKERFILE = os.path.join(ROOT, "deploy", "Dockerfile")
LIMIT_MB = 40


def services():
    with open(os.path.join(ROOT, "deploy", "images", "services"), encoding="ascii") as names:
        return names.read().split()


def stages():
    """Target -> its lines, of the Dockerfile."""
    found, name = {}, None
    with open(DOCKERFILE, encoding="utf-8") as lines:
        for line in lines:
            if match := re.match(r"FROM (\S+) AS (\S+)", line):
                name = match[2]
                found[name] = [line.strip()]
            elif name and line.strip() and not line.startswith("#"):
                found[name].append(line.strip())
    return found


def test_the_dockerfile_has_a_minimal_target_for_each_service():
    found = stages()
    assert found["runtime"][0].startswith("FROM scratch ")
    assert "USER 65532:65532" in found["runtime"] and "STOPSIGNAL SIGTERM" in found["runtime"]
    for service in services():
        lines = found[service]
        assert lines[0] == f"FROM runtime AS {service}"
        assert f'ENTRYPOINT ["/usr/bin/{service}"]' in lines
        assert {line.split()[0] for line in lines} <= {"FROM", "COPY", "ENV", "ENTRYPOINT"}, "nothing runs in it"
        assert not any(line.startswith("USER") for line in lines)


def run_build(work, *services_, **env):
    return subprocess.run([BUILD_LOCAL, "--bin", BIN_DIR, "--work", str(work), *services_], text=True,
                          capture_output=True, check=False, timeout=600, env={**os.environ, **env})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The report over all services; skipped where the tools are not."""
    work = tmp_path_factory.mktemp("images")
    done = run_build(work)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    yield work, done
    subprocess.run(["buildah", "--root", work / "graph", "--runroot", work / "run", "--storage-driver", "overlay",
                    "rmi", "--all", "--force"], check=False, capture_output=True)
    shutil.rmtree(work, ignore_errors=True)


@pytest.mark.timeout(700)
@pytest.mark.slow
def test_all_images_start_answer_and_stop(built):
    work, done = built
    assert done.returncode == 0, done.stdout
    report = json.loads((work / "report.json").read_text(encoding="utf-8"))
    assert set(report) == set(services())
    sanitized = "asan" in os.path.basename(evidence.BUILD) or "tsan" in os.path.basename(evidence.BUILD)
    for service, row in report.items():
        assert "failed" not in row and row["ready_ms"] > 0
        # Sanitizers and what they load weigh more than the service; build-local itself checked the limit then.
        assert row["size_mb"] <= LIMIT_MB, (service, sanitized)
    mounts = open("/proc/self/mountinfo", encoding="ascii").read()
    assert str(work) not in mounts, "left mounted"


@pytest.mark.timeout(300)
def test_the_same_input_gives_the_same_image(built, tmp_path):
    work, _ = built
    again = run_build(tmp_path, "healthz")
    assert again.returncode == 0, again.stdout
    first = json.loads((work / "report.json").read_text(encoding="utf-8"))["healthz"]["id"]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["healthz"]["id"] == first


@pytest.mark.timeout(300)
def test_an_image_that_cannot_start_fails(built, tmp_path):
    """The check can fail: a program that leaves at once, in the place of one that serves."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    shutil.copy(os.path.join(BIN_DIR, "registry-build"), binaries / "registry-build")
    shutil.copy(os.path.join(BIN_DIR, "registry-build"), binaries / "healthz")
    done = subprocess.run([BUILD_LOCAL, "--bin", binaries, "--work", tmp_path / "work", "healthz"], text=True,
                          capture_output=True, check=False, timeout=200)
    assert done.returncode == 1 and "FAILED: ended with" in done.stdout
