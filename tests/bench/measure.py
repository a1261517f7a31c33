"""What one process costs and how fast things answer: thin wrappers around /proc, loadgen, pgbench and openssl."""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "deploy", "local"))

from postgres import BIN  # noqa: E402


class BenchError(RuntimeError):
    """A measurement that cannot be trusted; the message says why."""


median = statistics.median


# --- one process ----------------------------------------------------------------------------------------------


def cpu_ms(pid):
    """CPU time of all threads that live, in milliseconds. schedstat counts nanoseconds, stat only ticks of 10 ms."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as text:
                total += int(text.read().split()[0])
        except FileNotFoundError:
            return ticks_ms(pid)
    return total / 1e6


def children_cpu_ms(pid):
    """The same of a process's children: what PostgreSQL's back ends, which live on in the pool, have taken."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return sum(cpu_ms(int(child)) for child in children.read().split())


def ticks_ms(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
        fields = text.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, field="VmRSS"):
    """VmRSS is resident now, VmHWM the most there ever was; MB of 10^6 bytes, shared library pages included."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f"no {field} of process {pid}")


def shares_mb(pid):
    """(Pss, private dirty) in MB: the process's share of what it has mapped, and what is its alone and never given back."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in list(lines)[1:]}
    return sizes["Pss"], sizes["Private_Dirty"]


def first_answer_ms(binary, environment, port):
    """From just before fork to the last byte of a 200 on /health, asked for in a tight loop; then stops it."""
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    start = time.perf_counter()
    process = subprocess.Popen([binary], env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < 10:
            if process.poll() is not None:
                raise BenchError(f"{binary} ended with {process.returncode} before it answered")
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(request)
                    reply = b""
                    while got := connection.recv(65536):
                        reply += got
            except ConnectionError:
                continue
            taken = (time.perf_counter() - start) * 1000
            if not reply.startswith(b"HTTP/1.1 200"):
                raise BenchError(f"{binary} answered {reply[:40]!r}")
            return taken
        raise BenchError(f"{binary} did not answer within 10 s")
    finally:
        process.terminate()
        process.wait(12)


# --- loads ----------------------------------------------------------------------------------------------------


def write_requests(path, requests):
    """requests: (method, path, {header: value}, body text)."""
    with open(path, "w", encoding="utf-8") as out:
        for method, target, headers, body in requests:
            joined = "\x1f".join(f"{name}: {value}" for name, value in headers.items())
            out.write(f"{method}\t{target}\t{joined}\t{body}\n")


def loadgen(program, url, requests, *options, expect):
    """Summary of one run; every request must have been answered with `expect`."""
    run = subprocess.run([program, *options, "-q", "-j", "-", "-e", str(expect), url, requests],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode == 2:
        raise BenchError(f"loadgen: {run.stderr.strip()}")
    summary = json.loads(run.stdout)
    if run.returncode != 0:
        raise BenchError(f"not every reply was {expect}: {summary['by_status']} {summary['by_error']}")
    return summary


def pgbench(dsn, script, clients, transactions):
    """Transactions a second, the time to connect left out."""
    run = subprocess.run(
        [os.path.join(BIN, "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "1",
         "-t", str(transactions), "-D", "i=0", "-f", script, dsn],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    found = re.search(r"^tps = ([0-9.]+) \(without", run.stdout, re.MULTILINE)
    if run.returncode != 0 or not found:
        raise BenchError(f"pgbench: {run.stderr.strip()}")
    return float(found[1])


def openssl_verify_per_s():
    """RSA-2048 verifications a second on one core, by OpenSSL's own measure."""
    run = subprocess.run(["openssl", "speed", "-seconds", "1", "rsa2048"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True, check=True)
    line = [line for line in run.stdout.splitlines() if re.match(r"rsa\s+2048 bits", line)]
    if not line:
        raise BenchError("openssl speed printed no line for rsa 2048")
    return float(line[0].split()[-1])


def fdatasync_ms(directory, times=100):
    """Median time to make 8 KB durable where the database lives: what a commit cannot be faster than."""
    taken = []
    path = os.path.join(directory, "fdatasync")
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, bytes(65536), 0)
        for number in range(times):
            os.pwrite(file, bytes(8192), number % 8 * 8192)
            start = time.perf_counter()
            os.fdatasync(file)
            taken.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(file)
        os.unlink(path)
    return median(taken)


# --- the machine ----------------------------------------------------------------------------------------------


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    release = os.uname()
    return {"cpu": model, "load": round(os.getloadavg()[0], 2), "cores": len(os.sched_getaffinity(0)), "kernel": f"{release.sysname} {release.release}"}
