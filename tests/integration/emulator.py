"""Starts and ends one of Google's emulators that are Java programs."""

import os
import shutil
import subprocess
import tempfile
import time

from processes import end, free_port

START_TIMEOUT_S = 240  # on a busy machine


def jar(places):
    return next((path for path in places if path and os.path.exists(path)), None)


def why_not(name, places):
    """Reason to skip, or None. The first of the places is the value of its setting."""
    if jar(places) is None:
        return f"Google's {name} emulator is not installed (set {name.upper().replace('/', '')}_EMULATOR_JAR)"
    return None if shutil.which("java") else "java is not installed"


class Java:
    def __init__(self, places, java, *arguments):
        """java: what stands before the jar; arguments: what stands behind it."""
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.command = ["java", *java, jar(places), *arguments, "--host=127.0.0.1", f"--port={self.port}"]

    def start(self, answers):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers():
            assert self.process.poll() is None and time.monotonic() < deadline, "the emulator did not start"
            time.sleep(0.1)

    def __exit__(self, *_):
        end(self.process)
        self.log.close()
