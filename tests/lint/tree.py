"""What the checks share: which files belong to the tree, and how a finding is printed."""

import os
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build", "asan")
LEFT_OUT = {"build", ".git", "node_modules", "__pycache__", ".pytest_cache", ".cache"}


def files(*suffixes, under=()):
    """Paths relative to the root, sorted: what git knows or would add; outside a repository, what lies there."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
    )
    paths = listing.stdout.splitlines() if listing.returncode == 0 else _walk()
    return sorted(
        path for path in set(paths)
        if (not suffixes or path.endswith(suffixes))
        and (not under or path.startswith(tuple(under)))
        and os.path.isfile(os.path.join(ROOT, path))
    )


def _walk():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith(".local")]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def read(path):
    """Text of a file of the tree; None when it is binary."""
    with open(os.path.join(ROOT, path), "rb") as data:
        content = data.read()
    return None if b"\0" in content else content.decode("utf-8", "replace")


def lines(path):
    """(number, line) pairs, numbered from 1."""
    return enumerate((read(path) or "").splitlines(), 1)


def finish(findings, checked):
    """Print "file:line: why" per finding and leave with 0 or 1. `checked` says what was looked at."""
    if not checked:
        print("nothing to check: the check itself is broken")
        sys.exit(1)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings in {checked}")
    sys.exit(1 if findings else 0)
