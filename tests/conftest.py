"""Fixtures of integration and end-to-end tests; what they give is in integration/suite.py."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))

import evidence  # noqa: E402
from suite import TcpProxy, TestStack  # noqa: E402


@pytest.fixture(scope="session")
def shared_stack():
    """One suite for the whole run."""
    stack = TestStack().up()
    yield stack
    stubborn = stack.down()
    assert not stubborn, f"did not stop after SIGTERM: {stubborn}"


@pytest.fixture
def stack(shared_stack):
    """The shared suite; instances a test starts beside it are stopped when the test ends."""
    yield shared_stack
    stubborn = shared_stack.stop_own()
    assert not stubborn, f"did not stop after SIGTERM: {stubborn}"
    dead = shared_stack.stack.dead()
    if dead:  # do not let one test's mistake fail all later ones
        shared_stack.stack.up(say=lambda _: None)
    assert not dead, f"the test ended a shared part: {dead}"


@pytest.fixture
def postgres(stack):
    """The shared suite's server, see deploy/local/postgres.py."""
    return stack.postgres


@pytest.fixture
def own_stack():
    """A suite for one test alone, which may stop and break whatever it likes."""
    stack = TestStack().up()
    yield stack
    stubborn = stack.down()
    assert not stubborn, f"did not stop after SIGTERM: {stubborn}"


@pytest.fixture
def proxy():
    """proxy(port) gives a TcpProxy in front of that port, closed at the end."""
    made = []

    def make(target_port):
        made.append(TcpProxy(target_port))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def no_sanitizer_report():
    """A report about a service fails the test during which it was written."""
    before = set(evidence.sanitizer_reports())
    yield
    new = {name: text for name, text in evidence.sanitizer_reports().items() if name not in before}
    assert not new, "\n".join(f"{name}:\n{text}" for name, text in new.items())
