"""A throw-away PostgreSQL 15 for the local stack, the tests and the benchmarks.

It keeps every durability setting at its default (the services refuse to start otherwise), has the 25 connections
of the small production tier, and listens on 127.0.0.1 and on a Unix socket in its own directory only.

initdb refuses root, so a root caller runs the server as the system user `postgres`; any other caller runs it
under its own name.

    with Postgres() as pg:
        pg.deploy()
        connection = psycopg2.connect(pg.dsn("elections"))

From a shell: postgres.py start DIR [PORT] | stop DIR | deploy DIR | dsn DIR [USER]
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from processes import free_port  # also for those who import this module

BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
SUPERUSER = "postgres"
DEPLOYER = "sqitch"
DATABASE = "ekklesia"
LOG_RECEIVER = "log_receiver"
MAX_CONNECTIONS = 25
SQL_DIR = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sql"))


class PostgresError(RuntimeError):
    """A tool failed; the message carries its output."""


class Postgres:
    """One cluster below `dir` (data, log and socket); `dir` is made when it is None and then removed by destroy()."""

    def __init__(self, dir=None, port=None):
        self.own_dir = dir is None
        self.dir = os.path.abspath(dir) if dir else tempfile.mkdtemp(prefix="ekklesia-pg-")
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "postgres.log")
        self.port = port or self._stored_port() or free_port()
        self.as_postgres = os.geteuid() == 0

    def __enter__(self):
        self.init()
        self.start()
        return self

    def __exit__(self, *_):
        self.destroy()

    # --- life of the server -----------------------------------------------------------------------------------

    def exists(self):
        return os.path.exists(os.path.join(self.data, "PG_VERSION"))

    def init(self):
        """Create the cluster; does nothing when it exists."""
        if self.exists():
            return self
        self._make_dir()
        # --no-sync only concerns the creation of the empty cluster; the running server keeps fsync on.
        self._tool(
            "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "trust", "--no-sync", "-E", "UTF8",
            "--locale=C.UTF-8",
        )
        return self

    def init_from(self, template):
        """Create the cluster as a copy of one that save_as() kept, schema included: tests start many servers."""
        self._make_dir()
        subprocess.run(["cp", "-a", template, self.data], check=True)
        return self

    def save_as(self, template):
        """Keep a copy of this cluster, which is stopped for that and started again."""
        self.stop()
        shutil.rmtree(template + ".new", ignore_errors=True)
        subprocess.run(["cp", "-a", self.data, template + ".new"], check=True)
        os.rename(template + ".new", template)
        self.start()

    def start(self, options=""):
        """Start and wait until it answers; `options` are further `-c name=value` settings."""
        with open(self._port_file(), "w", encoding="ascii") as out:
            out.write(str(self.port))
        settings = (
            f"-p {self.port} -k {self.dir} -c listen_addresses=127.0.0.1 -c max_connections={MAX_CONNECTIONS} "
            f"-c timezone=UTC {options}"
        )
        self._tool("pg_ctl", "-D", self.data, "-w", "-t", "30", "-l", self.log, "-o", settings, "start")
        return self

    def stop(self, mode="fast"):
        """Stop with `smart`, `fast` or `immediate`; nothing happens when it is not running."""
        if self.running():
            self._tool("pg_ctl", "-D", self.data, "-w", "-t", "30", "-m", mode, "stop")

    def restart(self, mode="fast", options=""):
        self.stop(mode)
        return self.start(options)

    def kill9(self):
        """Kill the postmaster as a power cut would; start() then recovers from the log."""
        pid = self.pid()
        if pid is None:
            return
        children = _children(pid)
        os.kill(pid, signal.SIGKILL)
        # Back ends notice the death of the postmaster by themselves; a busy one may need help.
        deadline = time.monotonic() + 10
        for child in [pid] + children:
            while _alive(child):
                if time.monotonic() > deadline - 8 and child != pid:
                    _kill_quietly(child)
                if time.monotonic() > deadline:
                    raise PostgresError(f"process {child} survives SIGKILL")
                time.sleep(0.01)
        # In a container whose first process does not reap, a dead postmaster stays a zombie, which the next start
        # would take for a running server. Nothing of it lives any more, so its lock files may go.
        for lock in (os.path.join(self.data, "postmaster.pid"), f"{self.dir}/.s.PGSQL.{self.port}.lock"):
            if os.path.exists(lock):
                os.unlink(lock)

    def destroy(self):
        """Stop at once; remove the directory when it was ours to make."""
        self.stop("immediate")
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- loss and recovery ------------------------------------------------------------------------------------

    def receive_log(self, directory):
        """Start to keep the write-ahead log in `directory`, record by record as it is written; the process."""
        self._make_owned(directory)
        command = self._as_server([os.path.join(BIN, "pg_receivewal"), "-D", directory, "--synchronous", "--no-loop",
                                   "-d", f"{self.dsn(SUPERUSER, 'postgres')} application_name={LOG_RECEIVER}"])
        with open(self.log, "ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")

    def base_backup(self, directory):
        """Copy the running cluster into the new `directory`."""
        self._make_owned(directory)
        self._tool("pg_basebackup", "-D", directory, "-X", "stream", "-c", "fast",
                   "-d", self.dsn(SUPERUSER, "postgres"))

    def require_receiver(self):
        """From now on a commit is acknowledged only when receive_log() has it on disk too."""
        self.query(f"alter system set synchronous_standby_names = '{LOG_RECEIVER}'")
        self.query("select pg_reload_conf()")

    def lose(self):
        """Kill the server as a power cut would and remove the whole cluster."""
        self.kill9()
        shutil.rmtree(self.data)

    def recover(self, base, log):
        """Start anew from a base backup and all of the log that was kept; returns when it takes writes."""
        subprocess.run(["cp", "-a", base, self.data], check=True)
        # The segment that was being received when the server went is still called .partial; it is whole.
        fetch = f'cp "{log}/%f" "%p" 2>/dev/null || cp "{log}/%f.partial" "%p" 2>/dev/null'
        with open(os.path.join(self.data, "postgresql.auto.conf"), "w", encoding="utf-8") as settings:
            settings.write(f"restore_command = '{fetch}'\n")
        with open(os.path.join(self.data, "recovery.signal"), "w", encoding="ascii"):
            pass
        self.start()
        deadline = time.monotonic() + 60
        while self.query("select pg_is_in_recovery()") == [["t"]]:
            if time.monotonic() > deadline:
                raise PostgresError(f"recovery does not end: {self._log_tail()}")
            time.sleep(0.05)
        return self

    def running(self):
        return self.pid() is not None

    def pid(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as lines:
                pid = int(lines.readline())
        except (OSError, ValueError):
            return None
        return pid if _alive(pid) else None

    # --- connections and schema -------------------------------------------------------------------------------

    def dsn(self, user, db=DATABASE, host="127.0.0.1"):
        return f"host={host} port={self.port} dbname={db} user={user}"

    def url(self, user, db=DATABASE):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{db}"

    def deploy(self, db=DATABASE):
        """Bring `db` to the current schema, creating it when missing; a second run changes nothing."""
        self.make_database(db)
        self.sqitch("deploy", "--verify", db=db)
        return self

    def make_database(self, db=DATABASE):
        """The empty database and the role that deploys to it, when they are missing."""
        # As on Cloud SQL the role that deploys may create roles and databases, and is no superuser.
        if not self.query(f"select 1 from pg_roles where rolname = '{DEPLOYER}'"):
            self.query(f"create role {DEPLOYER} login createrole createdb nosuperuser")
        if not self.query(f"select 1 from pg_database where datname = '{db}'"):
            self.query(f"create database {db} owner {DEPLOYER} encoding 'UTF8' template template0")

    def sqitch(self, command, *args, db=DATABASE):
        """Run one sqitch command against `db`; returns its output."""
        target = f"db:pg://{DEPLOYER}@127.0.0.1:{self.port}/{db}"
        env = dict(os.environ)
        env.setdefault("SQITCH_FULLNAME", "Ekklesia deployer")
        env.setdefault("SQITCH_EMAIL", "deployer@example.is")
        env.pop("PGOPTIONS", None)
        run = subprocess.run(
            ["sqitch", command, "--target", target, *args], cwd=SQL_DIR, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        if run.returncode != 0:
            raise PostgresError(f"sqitch {command}: {run.stdout}")
        return run.stdout

    def query(self, sql, db="postgres", user=SUPERUSER):
        """Rows of one statement through psql, as lists of text; for set-up, not for tests of behaviour."""
        run = subprocess.run(
            [os.path.join(BIN, "psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
             "-d", self.dsn(user, db), "-c", sql],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        )
        if run.returncode != 0:
            raise PostgresError(run.stderr)
        return [line.split("\x1f") for line in run.stdout.splitlines()]

    # --- inside -----------------------------------------------------------------------------------------------

    def _make_dir(self):
        self._make_owned(self.dir, 0o755)

    def _make_owned(self, directory, mode=0o700):
        """A directory the server's user can write."""
        os.makedirs(directory, exist_ok=True)
        if self.as_postgres:
            owner = pwd.getpwnam(SUPERUSER)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
            os.chmod(directory, mode)

    def _as_server(self, command):
        return ["runuser", "-u", SUPERUSER, "--", *command] if self.as_postgres else command

    def _port_file(self):
        return os.path.join(self.dir, "port")

    def _stored_port(self):
        try:
            with open(self._port_file(), encoding="ascii") as lines:
                return int(lines.read())
        except (OSError, ValueError):
            return None

    def _tool(self, name, *args):
        command = self._as_server([os.path.join(BIN, name), *args])
        # Output goes to a file: the server inherits it, and a pipe would keep us waiting for its end.
        with tempfile.TemporaryFile("w+") as out:
            code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")
            if code != 0:
                out.seek(0)
                raise PostgresError(f"{name}: {out.read()}{self._log_tail()}")

    def _log_tail(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as lines:
                return "".join(lines.readlines()[-20:])
        except OSError:
            return ""


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return [int(child) for child in children.read().split()]
    except OSError:
        return []


def _kill_quietly(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def main(argv):
    if len(argv) < 3 or argv[1] not in ("start", "stop", "deploy", "dsn"):
        print(__doc__, file=sys.stderr)
        return 2
    command, directory, rest = argv[1], argv[2], argv[3:]
    if command == "start":
        pg = Postgres(directory, int(rest[0]) if rest else None)
        pg.init().start()
        print(pg.dsn(SUPERUSER, "postgres"))
        return 0
    pg = Postgres(directory)
    if command == "stop":
        pg.stop()
    elif command == "deploy":
        pg.deploy()
    else:
        print(pg.dsn(rest[0] if rest else SUPERUSER))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
