"""Start a service, know it again by pid and start time, stop it.

A pid alone proves nothing: after a crash the kernel may have given it to somebody else's program. Together with the
start time (clock ticks since boot, field 22 of /proc/PID/stat) it names one process for as long as the machine runs.
"""

import collections
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

FREE_PORTS_FROM = 20000
STOP_TIMEOUT_S = 12  # a service drains for up to 8 s after SIGTERM (DESIGN §2)

given_ports = collections.deque(maxlen=1000)  # by free_port(), the latest


class StartError(RuntimeError):
    """A service did not come up; the message carries the end of its log."""


def free_port():
    """A port nobody uses, below those the kernel gives to outgoing connections: while a service restarts, none of
    them can take its port (or, worse, connect to itself through it). Not one given a moment ago: it is not in use yet."""
    while True:
        port = random.randrange(FREE_PORTS_FROM, ephemeral_from())
        if port not in given_ports and not port_taken(port):
            given_ports.append(port)
            return port


def ephemeral_from():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as limits:
        lowest = int(limits.read().split()[0])
    return lowest if lowest > FREE_PORTS_FROM + 1000 else 65536


def port_taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            return True
    return False


def stays_taken(port, patience_s=2):
    """The threads of a killed process may hold its sockets for a moment after the process itself counts as gone."""
    deadline = time.monotonic() + patience_s
    while port_taken(port):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.01)
    return False


def start_time(pid):
    """Start time of a living process; None when there is none (a zombie counts as none)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()  # the name before ')' may hold blanks
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def log_tail(path, lines=25):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError:
        return ""


def end(child, timeout_s=10):
    """SIGTERM, then SIGKILL, to a Popen of our own. What an earlier program started is a Process (below)."""
    child.terminate()
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(10)


class Process:
    """One running program with its log file."""

    def __init__(self, name, pid, started, log, popen=None):
        self.name = name
        self.pid = pid
        self.started = started
        self.log = log
        self.popen = popen

    @classmethod
    def spawn(cls, name, command, env, log):
        """Start detached from the terminal, so that Ctrl-C reaches only the script that watches over it."""
        with open(log, "ab") as out:
            popen = subprocess.Popen(
                command, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )
        return cls(name, popen.pid, start_time(popen.pid), log, popen)

    def alive(self):
        if self.popen is not None and self.popen.poll() is not None:
            return False
        return self.started is not None and start_time(self.pid) == self.started

    def exit_code(self):
        """Only known for processes this program started itself."""
        if self.popen is None or self.alive():
            return None
        try:
            return self.popen.wait(5)  # its main thread may have ended a little before its others
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, timeout_s):
        """True once it is gone."""
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def stop(self, timeout_s=STOP_TIMEOUT_S):
        """SIGTERM, then SIGKILL. True when it went by itself."""
        self.signal(signal.SIGTERM)
        if self.wait(timeout_s):
            return True
        self.signal(signal.SIGKILL)
        self.wait(5)
        return False

    def wait_healthy(self, url, timeout_s):
        """Until GET url answers 200, else StartError."""
        deadline = time.monotonic() + timeout_s
        pause_s = 0.01
        while time.monotonic() < deadline:
            if not self.alive():
                raise StartError(f"{self.name} ended at once; its log ({self.log}):\n{log_tail(self.log)}")
            try:
                with urllib.request.urlopen(url, timeout=2) as reply:
                    if reply.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)  # a service that is up says so at once; its log is not for our polling
        raise StartError(f"{self.name} does not answer {url}; its log ({self.log}):\n{log_tail(self.log)}")
