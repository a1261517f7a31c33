"""The suite under test: PostgreSQL on a small file system of its own, the two voting services behind bad networks,
and someone who restarts a service that died, as the platform would."""

import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("..", "../integration", "../../deploy/local"):
    sys.path.insert(0, os.path.normpath(os.path.join(HERE, folder)))

import evidence  # noqa: E402
import suite  # noqa: E402
from network import MODES, Network  # noqa: E402
from postgres import Postgres, PostgresError  # noqa: E402
from processes import StartError  # noqa: E402
from stack import Stack  # noqa: E402

VOTING = ("elections", "events")
DISK_BYTES = 768 * 1024 * 1024
# The write-ahead log must fit the small disk, and a checkpoint in the middle of it all is welcome.
PG_OPTIONS = "-c max_wal_size=128MB -c min_wal_size=32MB -c checkpoint_timeout=30s"
LIMITS = {  # one machine plays all members: their limits would end the run, and limits are tested elsewhere
    "VOTE_LIMIT_PER_MINUTE": "100000", "READ_LIMIT_PER_MINUTE": "100000", "WRITE_LIMIT_PER_MINUTE": "1000000",
    "TOKEN_LIMIT_PER_MINUTE": "100000", "ADMIN_LIMIT_PER_MINUTE": "100000", "ADDRESS_FAILURES_PER_MINUTE": "1000000",
}


class VotingStack(Stack):
    """Only what votes need, reaching the database and each other through the bad network."""

    through = {}

    def built(self):
        return [name for name in super().built() if name in ("local-cloud", *VOTING)]

    def environment(self, name):
        environment = super().environment(name)
        if name in VOTING:
            environment.update({key: value for key, value in LIMITS.items()
                                if key != "TOKEN_LIMIT_PER_MINUTE" or name == "events"})
            if name == "elections":
                environment["SWEEP_INTERVAL_S"] = "2"
            if self.through:
                environment["DATABASE_PORT"] = str(self.through["database"])
                if name == "events":
                    environment["ELECTIONS_SERVICE_URL"] = f"http://127.0.0.1:{self.through['s2s']}"
        return environment


class World(suite.TestStack):
    def __init__(self, pg_options=""):
        super().__init__()
        self.stack = VotingStack(self.directory, suite.BIN_DIR)
        self.disk = tempfile.mkdtemp(prefix="ekklesia-chaos-disk-")
        self.mounted = self._mount()
        self.pg_options = f"{PG_OPTIONS} {pg_options}"
        self.network = None
        self.held = set()      # services that stay dead for now
        self.expected = set()  # pids that were killed on purpose
        self.deaths = []       # (service, exit code) nobody asked for
        self.lock = threading.RLock()
        self.watching = None

    def _mount(self):
        """A disk small enough to be filled; without the right to mount, the full disk is left out."""
        return os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "ekklesia-chaos", self.disk], check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def up(self):
        try:
            return self._up()
        except BaseException:
            self.down()
            raise

    def _up(self):
        directory = os.path.join(self.disk, "postgres")
        os.chmod(self.disk, 0o755)
        self.stack.state = {"postgres_dir": directory, "ports": {}}
        super().up()
        self.postgres.start = lambda *_: Postgres.start(self.postgres, self.pg_options)
        self.postgres.restart()
        self.ports = {name: self.stack.state["ports"][name] for name in VOTING}
        links = {"database": (self.postgres.port, "pass"), "s2s": (self.ports["elections"], "pass")}
        links.update({f"{name}.{mode}": (self.ports[name], mode) for name in VOTING for mode in MODES if mode != "pass"})
        self.network = Network(links)
        self.stack.through = {name: self.network.port[name] for name in ("database", "s2s")}
        for name in VOTING:
            self.stack.processes[name].stop()
            self.respawn(name)
        self.wait_ready()
        self.watching = threading.Thread(target=self._watch, daemon=True)
        self.watching.start()
        return self

    def down(self):
        if self.disk is None:
            return []
        self.watching, watching = None, self.watching
        if watching is not None:
            watching.join()
        stubborn = super().down()
        if self.network is not None:
            self.network.close()
        if self.mounted:
            subprocess.run(["umount", self.disk], check=True)
        os.rmdir(self.disk)
        self.disk = None
        return stubborn

    def client_ports(self):
        return {name: {"direct": self.ports[name],
                       **{mode: self.network.port[f"{name}.{mode}"] for mode in MODES if mode != "pass"}}
                for name in VOTING}

    # the platform: what dies is started again

    def process(self, name):
        return self.stack.processes[name]

    def respawn(self, name):
        with self.lock:
            self.stack.processes[name] = self.stack.spawn(name)
            self.stack._save_pids()

    def kill(self, name, number):
        with self.lock:
            self.expected.add(self.process(name).pid)
            self.process(name).signal(number)

    def _watch(self):
        while self.watching is not None:
            for name in VOTING:
                self._look_after(name)
            time.sleep(0.05)

    def _look_after(self, name):
        with self.lock:
            process = self.process(name)
            if name in self.held or process.alive():
                return
            # Exit code 1 is the refusal to start without a database; everything else nobody asked for is a crash.
            if process.pid not in self.expected and process.exit_code() != 1:
                self.deaths.append((name, process.exit_code()))
            self.expected.add(process.pid)
            try:
                self.respawn(name)
            except StartError:
                pass  # its port is still taken for a moment

    def wait_ready(self, timeout_s=60):
        def ready():
            try:
                return all(suite.call(f"http://127.0.0.1:{self.ports[name]}/health/ready", timeout_s=5).status == 200
                           for name in VOTING)
            except OSError:
                return False
        suite.wait_until(ready, timeout_s, 0.1)

    def ensure_database(self):
        """Started, however it went down."""
        for _ in range(5):
            try:
                if self.postgres.running():
                    self.postgres.query("select 1")
                    return
                self.postgres.kill9()
                self.postgres.start()
                return
            except PostgresError:
                time.sleep(0.5)
        self.postgres.stop("immediate")
        self.postgres.start()

    # the disk

    def fill_disk(self):
        path = os.path.join(self.disk, "filler")
        with open(path, "wb", buffering=0) as filler:
            block = b"\0" * (1 << 20)
            while block:
                try:
                    filler.write(block)
                except OSError:
                    block = block[:len(block) // 16]

    def empty_disk(self):
        path = os.path.join(self.disk, "filler")
        if os.path.exists(path):
            os.unlink(path)

    def database_log(self):
        with open(self.postgres.log, encoding="utf-8", errors="replace") as text:
            return text.read()


__all__ = ["PostgresError", "VOTING", "World", "evidence", "suite"]
