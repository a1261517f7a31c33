"""One running copy of the suite below one directory: PostgreSQL, the local cloud and every service that is built.

Everything is an "ensure": up() starts what is not running and leaves the rest alone, so a second up() changes
nothing. Several stacks run side by side, each in its own directory with its own ports, secrets and database.

Files: stack.json (ports, where the database lives) · secrets/ (0600) · log/<service>.log · pids · env.
"""

import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile

import services
from postgres import Postgres, SUPERUSER
from processes import Process, StartError, free_port, stays_taken

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SOCKET_DIR_MAX = 80  # a Unix socket's path has 107 bytes, of which PostgreSQL's file name takes some
START_TIMEOUT_S = 30
DJANGO_SERVER = os.path.join(ROOT, "tests", "peers", "django", "server.py")
DJANGO_PREFIX = "/felagar"
PASSED_ON = ("PATH", "LANG", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")


class Stack:
    def __init__(self, directory, bin_dir, port_base=None, with_register=False):
        """with_register: Django runs too. It starts slowly, and most tests need none or one of their own."""
        self.dir = os.path.abspath(directory)
        self.bin_dir = os.path.abspath(bin_dir)
        self.port_base = port_base
        self.with_register = with_register
        self.state = self._load_state()
        self.secret = {}
        self.processes = {}
        self.postgres = None
        if self.state:
            self._attach()

    # --- up ---------------------------------------------------------------------------------------------------

    def up(self, say=print):
        """True when anything had to be started."""
        self._prepare()
        try:
            changed = self._ensure_database(say)
            return self._ensure_services(say) or changed
        except BaseException:
            # Nothing half-started stays behind; the logs do.
            self.stop()
            raise

    def _prepare(self):
        os.makedirs(self.path("log"), exist_ok=True)
        os.makedirs(self.path("secrets"), mode=0o700, exist_ok=True)
        if not self.state:
            self.state = {"postgres_dir": self._choose_postgres_dir(), "ports": {}}
            self._save_state()
        for name, size in services.SECRETS.items():
            self.secret[name] = self._ensure_secret(name, size)

    def _ensure_database(self, say):
        port = self._port("postgres", 0)
        self.postgres = Postgres(self.state["postgres_dir"], port)
        if self.postgres.running():
            return False
        say(f"postgresql    127.0.0.1:{port}")
        template = os.environ.get("PG_TEMPLATE")
        if template and os.path.isdir(template) and not self.postgres.exists():
            self.postgres.init_from(template).start()
            return True
        self.postgres.init().start()
        self.postgres.deploy()
        if template and not os.path.isdir(template):
            self.postgres.save_as(template)
        return True

    def _ensure_registry(self):
        """The address services read one file, built from the rows the tests ship, anew when the program that builds it is."""
        builder, db = self.binary("registry-build"), self.path("registry.db")
        if not os.access(builder, os.X_OK) or (os.path.exists(db) and os.path.getmtime(db) >= os.path.getmtime(builder)):
            return
        subprocess.run(
            [os.path.join(ROOT, "deploy", "registry", "build"),
             os.path.join(ROOT, "tests", "data", "registry", "Stadfangaskra.csv"), db, "--quiet"],
            env={**os.environ, "BIN_DIR": self.bin_dir}, stdout=subprocess.DEVNULL, check=True)

    def _ensure_services(self, say):
        names = self.built()
        self._ensure_registry()
        started = []
        for name in names:  # every URL is known before the first service starts
            self._port(name, 1 + list(services.SERVICES).index(name))
            self._port(f"{name}.metrics", 51 + list(services.SERVICES).index(name))
        for name in names:
            if name in self.processes and self.processes[name].alive():
                continue
            self.processes[name] = self.spawn(name)
            started.append(name)
            if name == services.FIRST:
                self.processes[name].wait_healthy(self.url(name) + "/health", START_TIMEOUT_S)
        self._save_pids()
        for name in started:
            self.processes[name].wait_healthy(self.url(name) + "/health/ready", START_TIMEOUT_S)
            say(f"{name:<13} {self.url(name)}")
        self.write_env()
        return bool(started)

    def built(self):
        """Names of the services whose binary exists, in order of start."""
        return [name for name in services.SERVICES if os.access(self.binary(name), os.X_OK)
                and (self.with_register or name != services.DJANGO)]

    def binary(self, name):
        return DJANGO_SERVER if name == services.DJANGO else os.path.join(self.bin_dir, name)

    def command(self, name):
        if name != services.DJANGO:
            return [self.binary(name)]
        os.makedirs(self.path("register"), exist_ok=True)
        fields = self._fields(name)
        return [self.binary(name), *(word.format(**fields) for pair in services.DJANGO_OPTIONS.items() for word in pair)]

    def spawn(self, name, label=None, **overrides):
        """Start one instance of a service; overrides change or (with None) remove single variables."""
        environment = self.environment(name)
        for key, value in overrides.items():
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = str(value)
        # Only what the table says plus what sanitizers need: a variable of the developer's shell changes nothing.
        environment.update({key: os.environ[key] for key in PASSED_ON if key in os.environ})
        # Otherwise whoever listens there already would be taken for the new service.
        if stays_taken(environment["PORT"]):
            raise StartError(f"{label or name}: port {environment['PORT']} is taken")
        log = self.path("log", f"{label or name}.log")
        return Process.spawn(label or name, self.command(name), environment, log)

    def environment(self, name):
        """The environment of a service, from the table in services.py."""
        fields = self._fields(name)
        return {key: value.format(**fields) for key, value in services.SERVICES[name].items()}

    def _fields(self, name):
        """What the templates of services.py may name."""
        return {
            "service": name,
            "secrets_dir": self.path("secrets"),
            "registry": self.path("registry.db"),
            "port": self.state["ports"][name],
            "metrics_port": self.state["ports"][f"{name}.metrics"],
            "database_port": self.postgres.port,
            "django_dir": self.path("register"),
            # Without a register somebody has to answer; that is all healthz asks.
            "django": (self.url(services.DJANGO) + DJANGO_PREFIX if self.url(services.DJANGO)
                       else self.url(services.FIRST) + "/django"),
            "secret": self.secret,
            "url": {other: self.url(other) for other in services.SERVICES},
            "host": {other: self.url(other).removeprefix("http://") for other in services.SERVICES},
        }

    # --- down -------------------------------------------------------------------------------------------------

    def stop(self):
        """Stop every process; keeps the data. Names of those that had to be killed."""
        stubborn = []
        for process in reversed(list(self.processes.values())):
            if not process.stop():
                stubborn.append(process.name)
        if self.postgres is not None:
            self.postgres.stop()
        return stubborn

    def down(self):
        """Stop and remove. Only what up() made is deleted, whatever the directory was pointed at."""
        stubborn = self.stop()
        if self.state:
            shutil.rmtree(self.state["postgres_dir"], ignore_errors=True)
            for name in ("secrets", "log", "register"):
                shutil.rmtree(self.path(name), ignore_errors=True)
            for name in ("env", "pids", "stack.json", "registry.db"):
                if os.path.exists(self.path(name)):
                    os.unlink(self.path(name))
            if not os.listdir(self.dir):
                os.rmdir(self.dir)
        self.state, self.processes, self.postgres = None, {}, None
        return stubborn

    # --- what others ask --------------------------------------------------------------------------------------

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def url(self, name):
        port = self.state["ports"].get(name)
        return f"http://127.0.0.1:{port}" if port else ""

    def dead(self):
        """Names of parts that should run and do not."""
        names = [name for name, process in self.processes.items() if not process.alive()]
        if self.postgres is not None and not self.postgres.running():
            names.append("postgresql")
        return names

    def write_env(self, **more):
        """$LOCAL_DIR/env: what scripts need to talk to this stack. It holds secrets, so it is private."""
        values = {}
        for name in self.processes:
            variable = "CLOUD_URL" if name == "local-cloud" else name.upper().replace("-", "_") + "_URL"
            values[variable] = self.url(name)
            if name == services.DJANGO:
                continue
            values[variable.replace("_URL", "_METRICS_URL")] = (
                f"http://127.0.0.1:{self.state['ports'][name + '.metrics']}/metrics")
        values["DATABASE_URL"] = self.postgres.url(services.ADMIN_ROLE)
        values["S2S_KEY_ID"] = services.S2S_KEY_ID
        values["S2S_KEY"] = self.secret["s2s-key"]
        values["FIREBASE_PROJECT_ID"] = services.PROJECT_ID
        if services.DJANGO in self.processes:
            values["DJANGO_API_BASE_URL"] = self.url(services.DJANGO) + DJANGO_PREFIX
            values["DJANGO_API_TOKEN"] = self.secret["django-api-token"]
            values["SYNC_API_KEY"] = self.secret["sync-api-key"]
        values.update(self.state.get("env", {}))
        if more:
            values.update(more)
            self.state["env"] = {**self.state.get("env", {}), **more}
            self._save_state()
        self._write("env", "".join(f"{key}={value}\n" for key, value in values.items()))

    def read_env(self):
        with open(self.path("env"), encoding="utf-8") as lines:
            return dict(line.rstrip("\n").split("=", 1) for line in lines)

    # --- inside -----------------------------------------------------------------------------------------------

    def _load_state(self):
        try:
            with open(self.path("stack.json"), encoding="utf-8") as state:
                return json.load(state)
        except OSError:
            return None

    def _save_state(self):
        self._write("stack.json", json.dumps(self.state, indent=1) + "\n")

    def _attach(self):
        """Find the processes of an earlier up() again."""
        self.postgres = Postgres(self.state["postgres_dir"], self.state["ports"].get("postgres"))
        try:
            with open(self.path("pids"), encoding="ascii") as lines:
                for line in lines:
                    name, pid, started = line.split()
                    log = self.path("log", f"{name}.log")
                    self.processes[name] = Process(name, int(pid), int(started), log)
        except OSError:
            pass

    def _save_pids(self):
        lines = (f"{p.name} {p.pid} {p.started}\n" for p in self.processes.values() if p.started is not None)
        self._write("pids", "".join(lines))

    def _write(self, name, text):
        """Whole or not at all, readable by the owner only."""
        part = self.path(name + ".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(part, self.path(name))

    def _port(self, name, offset):
        if name not in self.state["ports"]:
            self.state["ports"][name] = self.port_base + offset if self.port_base else self._unused_port()
            self._save_state()
        return self.state["ports"][name]

    def _unused_port(self):
        while True:
            port = free_port()
            if port not in self.state["ports"].values():
                return port

    def _ensure_secret(self, name, size):
        path = self.path("secrets", name)
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                out.write(secrets.token_hex(size))
        with open(path, encoding="ascii") as text:
            return text.read()

    def _choose_postgres_dir(self):
        """Below our directory, unless the server's user cannot get there or its socket's path would be too long."""
        wanted = self.path("postgres")
        if len(wanted) <= SOCKET_DIR_MAX and self._reachable(self.dir):
            return wanted
        return tempfile.mkdtemp(prefix="ekklesia-pg-")

    @staticmethod
    def _reachable(directory):
        if os.geteuid() != 0:
            return True
        uid = pwd.getpwnam(SUPERUSER).pw_uid
        probe = subprocess.run(
            ["setpriv", "--reuid", str(uid), "--clear-groups", "test", "-x", directory], check=False)
        return probe.returncode == 0


__all__ = ["ROOT", "Stack", "StartError"]
