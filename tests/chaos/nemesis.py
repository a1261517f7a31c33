"""Does everything to the suite that a bad night could, in an order drawn from the seed."""

import os
import random
import signal
import time

import psycopg2

from world import VOTING, PostgresError


class Fault:
    """begin() and heal() of one kind; target says which part it breaks, two of one target never overlap."""

    def __init__(self, name, target, begin, heal=None, lasts=(0.1, 1.0), weight=1):
        self.name, self.target, self.begin, self.heal = name, target, begin, heal or (lambda: None)
        self.lasts, self.weight = lasts, weight


class Nemesis:
    """only: names of faults to use, all when None. journal gets one line when a fault begins and one when it is healed."""

    def __init__(self, world, journal, seed, elections, only=None):
        self.world, self.journal, self.elections = world, journal, elections
        self.rng = random.Random(f"nemesis/{seed}")
        self.held = []
        self.shifted = None
        self.faults = [fault for fault in self._all() if only is None or fault.name in only]
        self.counts = {}

    def _all(self):
        world, net = self.world, self.world.network
        faults = []
        for name in VOTING:
            faults += [
                Fault(f"kill -9 {name}", name, lambda n=name: world.kill(n, signal.SIGKILL), weight=3),
                Fault(f"terminate {name}", name, lambda n=name: world.kill(n, signal.SIGTERM)),
                Fault(f"stop {name}", name, lambda n=name: world.process(n).signal(signal.SIGSTOP),
                      lambda n=name: world.process(n).signal(signal.SIGCONT), (0.2, 3.0), 2),
            ]
        faults += [
            Fault("kill -9 postgresql", "postgresql", self._kill_database, world.ensure_database, (0.0, 1.0), 3),
            Fault("postgresql immediate", "postgresql", lambda: self._quietly(world.postgres.stop, "immediate"),
                  world.ensure_database, (0.0, 1.0), 3),
            Fault("kill -9 a backend", "postgresql", self._kill_backend, world.ensure_database, weight=2),
            Fault("sessions ended", "postgresql", self._end_sessions, lasts=(0.0, 0.1)),
            Fault("pool exhausted", "postgresql", self._hold, self._let_go, (0.5, 3.0), 2),
            Fault("clock jump", "clock", self._jump, self._jump_back, (0.05, 0.5), 3),
        ]
        for link in ("database", "s2s"):
            faults += [Fault(f"{link} {mode}", link, lambda l=link, m=mode: self._break(l, m),
                             lambda l=link: net.set(l, "pass"), (0.1, 2.5)) for mode in ("before", "after", "hole", "slice", "refuse")]
            faults.append(Fault(f"{link} cut", link, lambda l=link: net.cut(l), lasts=(0.0, 0.1), weight=2))
        if world.mounted:
            faults.append(Fault("full disk", "postgresql", world.fill_disk, self._make_room, (0.5, 3.0), 2))
        return faults

    def _quietly(self, what, *args):
        try:
            what(*args)
        except PostgresError:
            pass

    # the faults that need more than a line

    def _kill_database(self):
        self._quietly(self.world.postgres.kill9)

    def _backends(self):
        try:
            return [int(row[0]) for row in self.world.postgres.query(
                "select pid from pg_stat_activity where usename in ('elections', 'events')")]
        except PostgresError:
            return []

    def _kill_backend(self):
        backends = self._backends()
        if backends:
            try:
                os.kill(self.rng.choice(backends), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _end_sessions(self):
        self._quietly(self.world.postgres.query,
                      "select pg_terminate_backend(pid) from pg_stat_activity where usename in ('elections', 'events')")

    def _connect(self):
        connection = psycopg2.connect(self.world.postgres.dsn("postgres"), connect_timeout=2, options="-c lock_timeout=2s")
        self.held.append(connection)
        return connection

    def _hold(self):
        """A table nobody can write, and every connection the server has to give."""
        try:
            with self._connect().cursor() as cursor:
                cursor.execute("lock table elections.ballots in access exclusive mode")
            while True:
                self._connect()
        except psycopg2.Error:
            pass  # no more to be had

    def _let_go(self):
        for connection in self.held:
            connection.close()
        self.held = []

    def _break(self, link, mode):
        self.world.network.set(link, mode)

    def _make_room(self):
        self.world.empty_disk()
        self.world.ensure_database()

    def _jump(self):
        """The database's clock passes the end of the raced election. That only its window is compared with the clock
        (elections.refusal, elections.due) makes moving the window the same thing."""
        election = self.elections.raced
        if election is None:
            return
        by = self.rng.choice((-0.3, 0.0, 0.3, 30.0))
        # In this election nothing about totals can be said of the time before.
        self.journal.event("window", election=election, by=by)
        self.shifted = (election, self._move(
            election, "scheduled_end = statement_timestamp() - %s * interval '1 second'", by))

    def _jump_back(self):
        if self.shifted and self.shifted[1]:
            self._move(self.shifted[0], "scheduled_end = statement_timestamp() + %s * interval '1 second'", 3600.0)
        self.shifted = None

    def _move(self, election, change, by):
        try:
            self.world.sql(f"update elections.elections set scheduled_start = statement_timestamp() - interval '2 hours', {change}"
                           " where id = %s and status = 'published'", (by, election))
            return True
        except psycopg2.Error:
            return False

    # the night

    def step(self, until):
        first, *more = self._draw()
        chosen = [first] + [fault for fault in more if fault.target != first.target][:1]
        lasts = min(self.rng.uniform(*first.lasts), max(0.0, until - time.monotonic()))
        for fault in chosen:
            self.counts[fault.name] = self.counts.get(fault.name, 0) + 1
            self.journal.event("fault", name=fault.name)
            fault.begin()
        time.sleep(lasts)
        for fault in reversed(chosen):
            fault.heal()
            self.journal.event("healed", name=fault.name)

    def _draw(self):
        count = 2 if self.rng.random() < 0.25 else 1
        return self.rng.choices(self.faults, [fault.weight for fault in self.faults], k=count)

    def run(self, seconds, gap=(0.3, 2.0)):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(self.rng.uniform(*gap), max(0.0, until - time.monotonic())))
            self.step(until)
        self.heal_all()

    def heal_all(self):
        self._let_go()
        self.world.empty_disk()
        for link in ("database", "s2s"):
            self.world.network.set(link, "pass")
        for name in VOTING:
            self.world.process(name).signal(signal.SIGCONT)
        self.world.ensure_database()
        self.world.wait_ready()
