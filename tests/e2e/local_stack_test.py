"""deploy/local/suite and deploy/local/token, as a developer uses them."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager

import psycopg2
import pytest

import evidence
from evidence import ROOT, canary
from portal import Browser, Portal
from processes import start_time
from records import Records
from suite import BIN_DIR, call, kennitala, remember_token, wait_until

SUITE = os.path.join(ROOT, "deploy", "local", "suite")
TOKEN = os.path.join(ROOT, "deploy", "local", "token")


def environment(directory, **more):
    return {**os.environ, **evidence.sanitizer_environment(), "LOCAL_DIR": directory, "BIN_DIR": BIN_DIR,
            "LOADGEN": os.path.join(evidence.BUILD, "bench", "loadgen"), "MEMBERS": "25", **more}


def suite(command, directory, **more):
    return subprocess.run([SUITE, command], env=environment(directory, **more), text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def read_env(directory):
    with open(os.path.join(directory, "env"), encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split("=", 1) for line in lines)


def read_pids(directory):
    with open(os.path.join(directory, "pids"), encoding="ascii") as lines:
        return {name: (int(pid), int(started)) for name, pid, started in map(str.split, lines)}


@contextmanager
def directory_of_its_own():
    directory = evidence.remember_stack(tempfile.mkdtemp(prefix="ekklesia-e2e-"))
    try:
        yield directory
    finally:
        if os.path.isdir(os.path.join(directory, "log")):
            evidence.keep_logs(os.path.join(directory, "log"), os.path.basename(directory))
        suite("down", directory)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(name="directory")
def fixture_directory():
    with directory_of_its_own() as directory:
        yield directory


def test_up_empty_directory_starts_everything_and_opens_an_election(directory):
    run = suite("up", directory)
    assert run.returncode == 0, run.stdout
    env = read_env(directory)

    for name in ("CLOUD_URL", "ELECTIONS_URL", "EVENTS_URL"):
        assert call(env[name] + "/health").json["status"] == "healthy"
    for name in os.listdir(os.path.join(ROOT, "services")):
        if os.path.isdir(os.path.join(ROOT, "services", name)):
            url = env[name.upper().replace("-", "_") + "_URL"]
            assert call(url + "/health/ready").status == 200, name
    assert call(env["DJANGO_API_BASE_URL"] + "/api/full/",
                headers={"Authorization": f"Token {env['DJANGO_API_TOKEN']}"}).json["count"] == 0
    for name in ("env", "secrets/s2s-key", "secrets/voter-key", "secrets/id-token.pem"):
        assert os.stat(os.path.join(directory, name)).st_mode & 0o777 == 0o600
    with psycopg2.connect(env["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("select status from elections.elections where id = %s", (env["ELECTION_ID"],))
        assert cursor.fetchall() == [("published",)]


def test_up_second_time_changes_nothing(directory):
    suite("up", directory)
    before = read_env(directory), read_pids(directory)
    run = suite("up", directory)
    assert run.returncode == 0
    assert "already up" in run.stdout
    assert (read_env(directory), read_pids(directory)) == before


def test_up_after_a_service_died_starts_only_that_one(directory):
    suite("up", directory)
    before = read_pids(directory)
    os.kill(before["elections"][0], signal.SIGKILL)
    wait_until(lambda: start_time(before["elections"][0]) != before["elections"][1])

    assert suite("status", directory).returncode == 1
    assert suite("up", directory).returncode == 0
    after = read_pids(directory)
    assert after["elections"] != before["elections"]
    assert after["local-cloud"] == before["local-cloud"] and after["events"] == before["events"]


def test_up_service_that_cannot_start_shows_its_log_and_leaves_nothing_running(directory):
    with tempfile.TemporaryDirectory(prefix="ekklesia-bin-") as bin_dir:
        os.chmod(bin_dir, 0o755)
        for name in os.listdir(BIN_DIR):
            os.symlink(os.path.join(BIN_DIR, name), os.path.join(bin_dir, name))
        os.unlink(os.path.join(bin_dir, "events"))
        with open(os.path.join(bin_dir, "events"), "w", encoding="ascii") as script:
            script.write("#!/bin/sh\necho the reason stands here\nexit 1\n")
        os.chmod(os.path.join(bin_dir, "events"), 0o755)

        run = suite("up", directory, BIN_DIR=bin_dir)
        assert run.returncode == 1
        assert "the reason stands here" in run.stdout
        assert all(start_time(pid) != started for pid, started in read_pids(directory).values())


def test_down_running_stack_stops_every_process_and_removes_its_data(directory):
    suite("up", directory)
    pids = read_pids(directory)
    postgres_dir = json.load(open(os.path.join(directory, "stack.json"), encoding="utf-8"))["postgres_dir"]
    evidence.keep_logs(os.path.join(directory, "log"), "down")

    run = suite("down", directory)
    assert run.returncode == 0 and "killed" not in run.stdout
    assert all(start_time(pid) != started for pid, started in pids.values())
    assert not os.path.exists(postgres_dir) and not os.path.exists(directory)


def test_down_directory_with_foreign_files_keeps_them(directory):
    suite("up", directory)
    foreign = os.path.join(directory, "mine.txt")
    with open(foreign, "w", encoding="ascii") as out:
        out.write("mine")
    evidence.keep_logs(os.path.join(directory, "log"), "foreign")
    suite("down", directory)
    assert os.listdir(directory) == ["mine.txt"]


def test_down_pid_that_is_another_process_now_is_left_alone(directory):
    suite("up", directory)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        pids = read_pids(directory)
        elections = pids["elections"]
        with open(os.path.join(directory, "pids"), "w", encoding="ascii") as out:
            out.writelines(f"{name} {pid} {started}\n" for name, (pid, started) in pids.items() if name != "elections")
            # The number was given to somebody else after the service died.
            out.write(f"elections {bystander.pid} {elections[1]}\n")
        evidence.keep_logs(os.path.join(directory, "log"), "bystander")
        suite("down", directory)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        os.kill(elections[0], signal.SIGTERM)
        wait_until(lambda: start_time(elections[0]) != elections[1])


def test_up_two_directories_two_stacks_that_do_not_know_each_other():
    with directory_of_its_own() as first, directory_of_its_own() as second:
        assert suite("up", first).returncode == 0
        assert suite("up", second).returncode == 0
        one, two = read_env(first), read_env(second)

        assert one["ELECTIONS_URL"] != two["ELECTIONS_URL"] and one["S2S_KEY"] != two["S2S_KEY"]
        assert one["ELECTION_ID"] != two["ELECTION_ID"]
        with psycopg2.connect(one["DATABASE_URL"]) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from elections.elections where id = %s", (two["ELECTION_ID"],))
            assert cursor.fetchone() == (0,)
        assert suite("down", first).returncode == 0
        assert call(two["ELECTIONS_URL"] + "/health").status == 200


def everybody_signed_in_through_kenni(env, members):
    """The meeting's members came by the front door: one login each, one membership asked for each."""
    def samples(service, start):
        text = call(env[f"{service}_METRICS_URL"]).body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start))

    assert samples("HANDLEKENNIAUTH", 'logins_total{outcome="created"') == members
    assert samples("HANDLEKENNIAUTH", "kenni_discovery_fetches_total") == 1
    assert samples("EVENTS", "account_look_ups_total") >= members  # ACCOUNT_CHECK is on
    accounts = call(f"{env['CLOUD_URL']}/identitytoolkit.googleapis.com/v1/projects/{env['FIREBASE_PROJECT_ID']}"
                    "/accounts:batchGet?maxResults=1000", token="owner").json["users"]
    people = [one for one in accounts if "customAttributes" in one]
    claims = [json.loads(one["customAttributes"]) for one in people]
    assert len(claims) == members and all(one["isMember"] is True for one in claims)
    canary(*[one["kennitala"] for one in claims], *[one["localId"] for one in people], *[one["displayName"] for one in people])
    canary("felagi@example.is", "Breytt nafn")  # what the journey writes into a profile


def somebody_walks_in_and_votes(env):
    """The way of the meeting's members once more, by one whose every secret the test knows."""
    number, name = kennitala(), canary(f"Gestur {secrets.token_hex(6)}")
    Records(env).members({number: (name, "active")})
    browser = Browser()
    signed_in = Portal(env).sign_in(browser, number, name)
    browser.close()
    canary(signed_in["uid"])
    remember_token(signed_in["idToken"])
    given = call(env["EVENTS_URL"] + "/api/request-token", "POST", {}, token=signed_in["idToken"])
    assert given.status == 200, given
    vote = call(env["ELECTIONS_URL"] + "/api/vote", "POST", {"answer": "yes"}, token=canary(given.json["token"]))
    assert vote.status == 201, vote
    canary(vote.json["ballot_id"])


def test_run_until_interrupted_stays_up_then_removes_everything(directory):
    with open(os.path.join(evidence.run_dir(), "suite-run.txt"), "w+", encoding="utf-8") as output:
        run = subprocess.Popen([SUITE, "run"], env=environment(directory), stdout=output, stderr=output)

        def shown():
            output.seek(0)
            return output.read()

        wait_until(lambda: "running;" in shown() or run.poll() is not None, timeout_s=150, every_s=0.2)
        assert run.poll() is None, shown()
        everybody_signed_in_through_kenni(read_env(directory), 25)
        somebody_walks_in_and_votes(read_env(directory))
        pids = read_pids(directory)
        evidence.keep_logs(os.path.join(directory, "log"), "run")
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0, shown()
    assert all(start_time(pid) != started for pid, started in pids.values())
    assert not os.path.exists(directory)


def test_token_running_stack_is_accepted_by_the_service(directory):
    suite("up", directory)
    number = kennitala()
    run = subprocess.run([TOKEN, "--uid", "anna", "--kennitala", number, "--member", "--role", "member"],
                         env=environment(directory), text=True, stdout=subprocess.PIPE, check=True)
    token = canary(run.stdout.strip())
    env = read_env(directory)
    assert call(env["EVENTS_URL"] + "/api/my-status", token=token).status == 200
    assert call(env["EVENTS_URL"] + "/api/my-status", token=token[:-8] + "AAAAAAAA").status == 401


def test_token_of_a_former_member_is_refused_whatever_it_says(directory):
    suite("up", directory)
    gunnar = [TOKEN, "--uid", "gunnar", "--kennitala", kennitala()]
    tokens = [canary(subprocess.run([*gunnar, option], env=environment(directory), text=True, stdout=subprocess.PIPE,
                                    check=True).stdout.strip()) for option in ("--member", "--not-member")]
    asked = [call(read_env(directory)["EVENTS_URL"] + "/api/request-token", "POST", {}, token=token) for token in tokens]
    assert [reply.status for reply in asked] == [403, 403], asked  # the records say no; the first token still says yes


def test_token_no_stack_says_so(directory):
    run = subprocess.run([TOKEN, "--uid", "anna"], env=environment(directory), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 1 and "make up" in run.stderr
