"""post_save and post_delete of a member call sync-from-django: JSON, 10 s, no retry (contract §3.3)."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models.signals import post_delete, post_save

from register import peer
from register.models import Member
from register.serializers import event_data

TIMEOUT_S = 10


def connect():
    post_save.connect(saved, sender=Member)
    post_delete.connect(deleted, sender=Member)


def saved(instance, created, raw=False, **_):
    if not raw and not getattr(instance, "quiet", False):
        send("create" if created else "update", instance, instance.version, event_data(instance))


def deleted(instance, **_):
    send("delete", instance, instance.next_version(), None)


def send(action, member, version, data):
    event = {"kennitala": member.ssn, "action": action, "event_id": str(uuid.uuid4()), "version": version}
    if data is not None:
        event["data"] = data
    deliver(json.dumps(event).encode())


def deliver(body):
    peer.note_event(json.loads(body))
    if not settings.SYNC_URL:
        return
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {settings.SYNC_API_KEY}", **signed(body)}
    request = urllib.request.Request(settings.SYNC_URL, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            peer.note_delivery(reply.status)
    except urllib.error.HTTPError as refused:
        peer.note_delivery(refused.code)
    except OSError:  # the register saves all the same
        peer.note_delivery(0)


def signed(body):
    if not settings.SYNC_SIGNING_KEY:
        return {}
    parts = urlsplit(settings.SYNC_URL)
    timestamp, nonce = str(int(time.time())), secrets.token_urlsafe(24)
    text = "|".join(("POST", parts.path or "/", timestamp, nonce, hashlib.sha256(body).hexdigest()))
    signature = hmac.new(settings.SYNC_SIGNING_KEY.encode(), text.encode(), hashlib.sha256).digest()
    return {"X-Key-Id": settings.SYNC_KEY_ID, "X-Timestamp": timestamp, "X-Nonce": nonce,
            "X-Signature": base64.b64encode(signature).decode()}
