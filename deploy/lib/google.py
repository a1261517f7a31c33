"""Calls of Google's REST APIs from the operators' scripts: a token, a JSON body, an error a person can read.

The base URLs can be moved by the environment (CLOUD_RUN_URL, CLOUD_SCHEDULER_URL, SQLADMIN_URL), for rehearsals and
tests; everything else is the same call.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request

TIMEOUT_S = 30
BASES = {
    "run": ("CLOUD_RUN_URL", "https://run.googleapis.com"),
    "scheduler": ("CLOUD_SCHEDULER_URL", "https://cloudscheduler.googleapis.com"),
    "sqladmin": ("SQLADMIN_URL", "https://sqladmin.googleapis.com"),
}


class CallFailed(RuntimeError):
    """Google said no; status holds the HTTP code, 0 when nobody answered."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def base(api):
    variable, url = BASES[api]
    return os.environ.get(variable, url).rstrip("/")


def access_token():
    """GOOGLE_ACCESS_TOKEN, else that of the signed-in gcloud."""
    if token := os.environ.get("GOOGLE_ACCESS_TOKEN"):
        return token
    try:
        reply = subprocess.run(["gcloud", "auth", "print-access-token"], text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise CallFailed(0, "gcloud is not here, and GOOGLE_ACCESS_TOKEN is not set") from None
    if reply.returncode:
        raise CallFailed(0, f"gcloud has no token: {reply.stderr.strip()}")
    return reply.stdout.strip()


class Google:
    def __init__(self, dry_run=False):
        self.dry_run = dry_run
        self.token = None if dry_run else access_token()

    def call(self, method, api, path, body=None):
        """The reply's JSON. A dry run prints what would be sent, and {} comes back; reads are not made either."""
        url = base(api) + path
        if self.dry_run:
            print(f"{method} {url}")
            if body is not None:
                print("  " + json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n  "))
            return {}
        request = urllib.request.Request(
            url, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
                text = reply.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise CallFailed(error.code, f"{method} {url}: {error.code} {message(error.read())}") from None
        except OSError as error:
            raise CallFailed(0, f"{method} {url}: {error}") from None


def message(text):
    try:
        return json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return text[:200].decode("utf-8", "replace")
