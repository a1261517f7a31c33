"""What a test run leaves behind for judging it as a whole: service logs, sanitizer reports, canaries.

RUN_DIR (set by tests/run; otherwise a fresh folder below the build) holds
    logs/        every log of every service the tests started
    sanitizer/   what ASan, UBSan and LSan wrote about service processes
    canaries     values that must not occur in any log line, one a line
    stacks       directories of the stacks tests started, one a line
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
BUILD = os.path.abspath(os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build", "asan"))
TSAN_SUPPRESSIONS = os.path.join(ROOT, "tests", "tsan", "suppressions")
CANARY_MIN_LENGTH = 6  # shorter values occur by chance
# A correlation ID, a pseudonym, a trace: in 80,000 log lines a telephone number occurs in one of them by chance. All-digit
# hex is not taken for random: a kennitala could hide in it.
RANDOM_HEX = re.compile(r"(?<![0-9A-Za-z])(?=[0-9-]*[a-f])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?:[0-9a-f]{16}){1,4})"
                        r"(?![0-9A-Za-z])")


def run_dir():
    if "RUN_DIR" not in os.environ:
        os.makedirs(BUILD, exist_ok=True)
        prepare(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    return os.environ["RUN_DIR"]


def prepare(directory):
    """Empty the folder and point this process and its children at it."""
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("logs", "sanitizer"):
        os.makedirs(os.path.join(directory, name))
    for name in ("canaries", "stacks"):
        open(os.path.join(directory, name), "w", encoding="utf-8").close()
    os.environ["RUN_DIR"] = directory


def sanitizer_environment():
    """Variables for service processes: reports go to files, so that a restart or a lost stderr hides none."""
    report = os.path.join(run_dir(), "sanitizer", "report")
    return {
        "ASAN_OPTIONS": f"log_path={report}:detect_leaks=1:strict_string_checks=1:exitcode=99",
        "UBSAN_OPTIONS": f"log_path={report}:print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": f"log_path={report}:exitcode=99:halt_on_error=0:suppressions={TSAN_SUPPRESSIONS}",
    }


def sanitizer_reports():
    """{file: text} of all reports so far."""
    folder = os.path.join(run_dir(), "sanitizer")
    reports = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as text:
            reports[name] = text.read()
    return reports


def canary(*values):
    """Register personal values, tokens and the like: none may ever stand in a log line (M-F40). Returns the first."""
    with open(os.path.join(run_dir(), "canaries"), "a", encoding="utf-8") as out:
        for value in values:
            for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
                if len(form) >= CANARY_MIN_LENGTH and "\n" not in form:
                    out.write(form + "\n")
    return values[0] if values else None


def remember_stack(directory):
    with open(os.path.join(run_dir(), "stacks"), "a", encoding="utf-8") as out:
        out.write(directory + "\n")
    return directory


def stacks_left():
    """Directories of stacks that nobody took down."""
    with open(os.path.join(run_dir(), "stacks"), encoding="utf-8") as lines:
        return [path for path in lines.read().splitlines() if os.path.exists(os.path.join(path, "stack.json"))]


def keep_logs(folder, label):
    """Copy a stack's log folder before the stack is removed."""
    target = os.path.join(run_dir(), "logs", label)
    shutil.copytree(folder, target, dirs_exist_ok=True)


def count_log_lines():
    total = 0
    for folder, _, names in os.walk(os.path.join(run_dir(), "logs")):
        for name in names:
            with open(os.path.join(folder, name), "rb") as log:
                total += sum(1 for _ in log)
    return total


def leaked_canaries():
    """Log lines ("file:line: text", cut) that hold a canary."""
    canaries = os.path.join(run_dir(), "canaries")
    if os.path.getsize(canaries) == 0:
        return []
    # grep searches for thousands of fixed strings in one pass; its own locale would only slow it down.
    found = subprocess.run(
        ["grep", "-rnF", "-f", canaries, "."], cwd=os.path.join(run_dir(), "logs"), text=True, errors="replace",
        env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if found.returncode > 1:
        raise RuntimeError(f"grep failed: {found.stderr}")
    with open(canaries, encoding="utf-8") as lines:
        values = set(lines.read().splitlines())
    numbers = {value for value in values if value.isdecimal() and len(value) <= 10}
    return [line[:400] for line in found.stdout.splitlines()
            if any(value in line for value in values - numbers)
            or any(value in RANDOM_HEX.sub("", line) for value in numbers)]
