"""The checks of tests/lint and of tests/run can fail: each is shown one fault it must find, and a clean tree."""

import fcntl
import json
import os
import re
import shutil
import subprocess

import pytest

import evidence
from evidence import ROOT

CLEAN_C = '#include "base/thing.h"\n\nint thing_size(void)\n{\n    return 3;\n}\n'
CLEAN_H = "#ifndef THING_H\n#define THING_H\n\nint thing_size(void);\n\n#endif\n"


@pytest.fixture(name="tree")
def fixture_tree(tmp_path):
    """A small clean checkout with the checks in it."""
    shutil.copytree(os.path.join(ROOT, "tests", "lint"), tmp_path / "tests" / "lint",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".clang-format", ".clang-tidy"):
        shutil.copy(os.path.join(ROOT, name), tmp_path / name)
    write(tmp_path, "libcommon/base/banned.h", "#ifndef BANNED_H\n#define BANNED_H\n#endif\n")
    write(tmp_path, "libcommon/base/thing.h", CLEAN_H)
    write(tmp_path, "libcommon/base/thing.c", CLEAN_C)
    write(tmp_path, "sql/sqitch.plan", "%syntax-version=1.0.0\n%project=small\n\nfirst 2026-01-01T00:00:00Z A <a@example.is> # x\n")
    write(tmp_path, "sql/sqitch.conf", "[core]\n\tengine = pg\n")
    for folder in ("deploy", "revert", "verify"):
        write(tmp_path, f"sql/{folder}/first.sql", "begin;\nselect 1;\ncommit;\n")
    write(tmp_path, "services/small/small.c", '#include "base/thing.h"\n')
    write(tmp_path, "services/small/README.md",
          "# small\n\n| Route |\n|---|\n| `GET /health` |\n\n## Configuration\n\n| Setting |\n|---|\n| `PORT` |\n")
    write(tmp_path, "build/asan/bin/small",
          '#!/bin/sh\ncase $1 in\n--print-config) echo "PORT integer" ;;\n*) echo "GET /health public" ;;\nesac\n')
    os.chmod(tmp_path / "build/asan/bin/small", 0o755)
    write(tmp_path, "build/asan/compile_commands.json", json.dumps([{
        "directory": str(tmp_path), "file": str(tmp_path / "libcommon/base/thing.c"),
        "command": f"cc -Ilibcommon -o thing.o -c {tmp_path}/libcommon/base/thing.c"}]))
    return tmp_path


def write(tree, path, text):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text, encoding="utf-8")


def lint(tree, check):
    return subprocess.run([tree / "tests" / "lint" / check], text=True, cwd="/", env={
        **{key: value for key, value in os.environ.items() if key != "BUILD_DIR"}, "GIT_CEILING_DIRECTORIES": "/"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


CHECKS = ("layers", "headers", "readme", "documents", "wording", "size", "format", "sqitch", "scripts", "cppcheck", "tidy")

# check, file, its faulty text, what the finding must name
FAULTS = [
    ("layers", "libcommon/base/thing.c", '#include "net/http.h"\n', "libcommon/base/thing.c:1: base may not include"),
    ("layers", "libcommon/net/thing.c", '#include "store/pg.h"\n', "net may not include"),
    ("layers", "libcommon/auth/thing.c", '#include "service/request.h"\n', "auth may not include"),
    ("layers", "services/small/small.c", "#include <event2/http.h>\n", "services/small/small.c:1: event2/http.h"),
    ("layers", "services/small/small.c", '#include "../other/other.h"\n', "neither libcommon nor this folder"),
    ("headers", "libcommon/base/thing.h", "size_t thing_size(void);\n", "libcommon/base/thing.h:1: gcc"),
    ("readme", "services/small/README.md", "## Configuration\n| `PORT` |\n", "route GET /health is in no table"),
    ("readme", "services/small/README.md", "| `GET /health` |\n| `GET /old` |\n## Configuration\n| `PORT` |\n",
     "services/small/README.md:2: this service has no route GET /old"),
    ("readme", "services/small/README.md", "| `GET /health` |\n## Configuration\n", "setting PORT is not in the table"),
    ("readme", "services/small/README.md", "| `GET /health` |\n## Configuration\n| `PORT`, `OLD_KEY` |\n",
     "services/small/README.md:3: OLD_KEY is no setting"),
    ("documents", "README.md", "fine\nsee [there](docs/there.md)\n", "README.md:2: docs/there.md is not there"),
    ("documents", "README.md", "# One\n[two](#two)\n", "README.md:2: #two is not there"),
    ("documents", "README.md", "run `deploy/nothing --now`\n", "README.md:1: deploy/nothing is not in the tree"),
    ("documents", "README.md", "`thing_test.py::test_gone`\n", "there is no test thing_test.py::test_gone"),
    ("documents", "SECURITY.md", "## Promises\n\n| Nr | Promise | Tests |\n|---|---|---|\n| 1 | all is well | |\n",
     "SECURITY.md:5: this promise names no test"),
    ("documents", "SECURITY.md", "## Threats\n\n| Threat | Promises |\n|---|---|\n| thieves | 7 |\n",
     "SECURITY.md:5: this threat names no promise"),
    ("documents", "tests/requirements.md", "| Nr | What | Tests |\n|---|---|---|\n| V-A1 | all is well | |\n",
     "tests/requirements.md:3: V-A1 names no test"),
    ("documents", "tests/requirements.md", "| V-A1 | speed | `tests/` |\n| V-A1 | again | `tests/` |\n",
     "tests/requirements.md:2: V-A1 stands at line 1 already"),
    ("documents", "tests/requirements.md", "| VA1 | typing error | `tests/` |\n", "tests/requirements.md:1: this row has no number"),
    ("wording", "README.md", "fine\nsee /wor" + "k/main/x\n", "README.md:2: path of one machine"),
    ("wording", "README.md", "from https://regis" + "try.example.org/x\n", "host of a package registry"),
    ("wording", "libcommon/base/thing.c", "/* TO" + "DO later */\n", "unfinished mark"),
    ("size", "libcommon/base/thing.c", "\n" * 801, "801 lines, at most 800"),
    ("format", "libcommon/base/thing.c", "int x( void ){return 1;}\n", "libcommon/base/thing.c:1"),
    ("sqitch", "sql/sqitch.plan", "%syntax-version=1.0.0\n%project=small\n\nother 2026-01-01T00:00:00Z A <a@example.is> # x\n",
     "other has no sql/deploy/other.sql"),
    ("sqitch", "sql/deploy/first.sql", "begin;\nselect 1;\n", "does not end with"),
    ("sqitch", "sql/deploy/first.sql", "begin;\nalter table t add column c text;\ncommit;\n", "without `SET LOCAL lock_timeout`"),
    ("scripts", "deploy/go", "#!/bin/sh\nrm -rf $1/*\n", "SC2086"),
    ("scripts", "deploy/go.py", "if True\n", "deploy/go.py:1"),
    ("cppcheck", "libcommon/base/thing.c", "int f(void)\n{\n    int a[2] = {0, 1};\n    return a[2];\n}\n", "arrayIndexOutOfBounds"),
    ("tidy", "libcommon/base/thing.c", "int f(int *p);\nint f(int *p)\n{\n    if (!p)\n        return *p;\n    return 0;\n}\n",
     "clang-analyzer-core.NullDereference"),
]


CONTRACT = os.path.join(ROOT, "..", "shared", "contract", "requirements.md")


@pytest.mark.skipif(not os.path.exists(CONTRACT), reason="the contract (../shared/contract) is not here")
def test_requirements_every_number_that_binds_has_a_row():
    with open(CONTRACT, encoding="utf-8") as contract, open(os.path.join(ROOT, "tests", "requirements.md"), encoding="utf-8") as table:
        binding = {number for line in contract if line.startswith("|") and "`later`" not in line
                   for number in re.findall(r"\b[VM]-[A-Z]\d+", line.split("|")[1])}
        rows = set(re.findall(r"^\| ([VM]-[A-Z]\d+) \|", table.read(), re.M))
    assert len(binding) > 200 and rows == binding


@pytest.mark.parametrize("check", CHECKS)
def test_lint_clean_tree_passes(tree, check):
    write(tree, "deploy/fine", "#!/bin/sh\necho fine\n")
    os.chmod(tree / "deploy/fine", 0o755)
    run = lint(tree, check)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("check,path,text,finding", FAULTS, ids=lambda value: value if value in CHECKS else "")
def test_lint_fault_is_found_with_its_place(tree, check, path, text, finding):
    write(tree, path, text)
    run = lint(tree, check)
    assert run.returncode == 1
    assert finding in run.stdout


def test_tidy_file_that_was_clean_and_changed_is_looked_at_again(tree):
    assert lint(tree, "tidy").returncode == 0
    write(tree, "libcommon/base/thing.c", next(text for check, _, text, _ in FAULTS if check == "tidy"))
    assert lint(tree, "tidy").returncode == 1


def test_leaked_canaries_value_in_a_log_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("RUN_DIR", "")
    evidence.prepare(str(tmp_path / "run"))
    log = tmp_path / "run" / "logs" / "elections.log"
    evidence.canary("0101302989", "Þóra Ýr", "short")
    log.write_text('{"message":"request","n":10101}\n{"message":"short"}\n', encoding="utf-8")
    assert evidence.leaked_canaries() == []
    log.write_text('{"name":"\\u00de\\u00f3ra \\u00ddr"}\n{"k":"0101302989"}\n', encoding="utf-8")
    assert len(evidence.leaked_canaries()) == 2


def test_leaked_canaries_number_inside_random_hex_is_chance_and_elsewhere_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("RUN_DIR", "")
    evidence.prepare(str(tmp_path / "run"))
    log = tmp_path / "run" / "logs" / "elections.log"
    evidence.canary("5556899", "feedfeed5556899a")
    log.write_text('{"id":"d0c2898e-9624-4552-9437-db4a55568992"}\n{"client":"f4a55568995b5f05"}\n', encoding="utf-8")
    assert evidence.leaked_canaries() == []
    leaks = ['"5556899"', '"phone5556899"', '"0000000005556899"', '"00000000-0000-0000-0000-000005556899"', '"c5556899"',
             '"f4a55568995b5f05 5556899"', '"feedfeed5556899a"']
    log.write_text("\n".join(leaks) + "\n", encoding="utf-8")
    assert len(evidence.leaked_canaries()) == len(leaks)


HARDENED = ["-O2", "-D_FORTIFY_SOURCE=3", "-fPIE", "-fstack-protector-strong", "-pie", "-Wl,-z,relro,-z,now,-z,noexecstack"]


@pytest.mark.parametrize("other, finding", [
    ([], None),
    (["-no-pie", "-fno-pie"], "not position independent"),
    (["-Wl,-z,norelro"], "no RELRO"),
    (["-Wl,-z,lazy"], "symbols are bound lazily"),
    (["-Wl,-z,execstack"], "executable stack"),
    (["-fno-stack-protector"], "no stack protector"),
    (["-Wl,-rpath,/opt/lib"], "looks for libraries in a place of its own"),
    (["-U_FORTIFY_SOURCE"], "no fortified call"),
])
def test_hardening_each_missing_flag_is_found(tmp_path, other, finding):
    source = tmp_path / "small.c"
    source.write_text('#include <stdio.h>\n#include <string.h>\nint main(int c, char **v)\n{\n    char b[32];\n'
                      '    strcpy(b, v[c - 1]);\n    return puts(b);\n}\n', encoding="ascii")
    (tmp_path / "bin").mkdir()
    subprocess.run(["gcc", *HARDENED, *other, "-o", tmp_path / "bin" / "small", source], check=True)
    run = subprocess.run([os.path.join(ROOT, "tests", "lint", "hardening"), tmp_path / "bin"], text=True,
                         stdout=subprocess.PIPE, check=False)
    assert (run.returncode, f"small: {finding}" in run.stdout) == ((1, True) if finding else (0, False)), run.stdout


def test_run_of_two_in_one_build_the_second_is_refused(tmp_path):
    (tmp_path / "bin").mkdir()
    logs = tmp_path / "run" / "logs" / "first.log"
    write(tmp_path, "run/logs/first.log", "of the first run")

    def run():
        return subprocess.run([os.path.join(ROOT, "tests", "run"), "-k", "no_test_of_that_name"], text=True, check=False,
                              env={**os.environ, "BUILD_DIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with open(tmp_path / "run.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = run()
        assert refused.returncode == 2 and f"another run is at work in {tmp_path}" in refused.stderr
        assert refused.stdout == "" and logs.exists()
    done = run()  # whoever held it is gone: this one works, and begins with an empty folder
    assert done.returncode == 1 and "pytest itself" in done.stdout and not logs.exists()
