"""A few of the tests that tests/torture/run repeats, within `make test`; see README.md."""

import os
import re
import subprocess
import sys

import pytest

import evidence

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
VOTING = ("integration/vote_test.py::test_vote_same_key_and_request_gets_the_same_answer",
          "integration/token_test.py::test_token_twice_is_409_with_a_way_out",
          "integration/token_test.py::test_token_same_idempotency_key_gives_the_same_token",
          "integration/elections_member_test.py::test_vote_same_key_gets_the_same_answer")
MEMBERS = ("integration/login_test.py::test_login_again_same_uid_and_updates",
           "integration/webhook_test.py::test_deleted_member_stays_inactive_until_reactivated[stand-in]",
           "integration/cleanup_test.py::test_cleanup_role_comes_from_the_user_document[stand-in-roles3-200]")


def tortured(*chosen):
    """(operations that failed, answers 503) of a run that passes."""
    paths = (HERE, os.path.join(TESTS, "integration"), TESTS, os.path.join(TESTS, "..", "deploy", "local"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.path.join(TESTS, "pytest.ini"), "--rootdir", TESTS, "-p", "torture_plugin",
         "--timeout=400", *chosen], cwd=TESTS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RUN_DIR": evidence.run_dir()}, check=False)
    assert run.returncode == 0, run.stdout[-6000:]
    counted = re.search(r"torture: (\d+) runs, (\d+) operations of (\d+) kinds failed, (\d+) answers 503", run.stdout)
    assert counted, run.stdout[-2000:]
    # Six operations at least in each test, each failing in two ways.
    assert int(counted.group(2)) >= 2 * 6 * len(chosen), counted.group(0)
    return int(counted.group(4))


@pytest.mark.timeout(1300)
def test_each_outgoing_operation_failing_once_loses_no_vote():
    assert tortured(*VOTING) > 0


@pytest.mark.timeout(1300)
def test_each_outgoing_operation_failing_once_leaves_members_services_repeatable():
    tortured(*MEMBERS)
