"""Cloud Pub/Sub for tests: a stand-in that fails on demand, and Google's own emulator where it is installed.

Both give: host, topics and the subscription of the suite made. The stand-in keeps to what Google documents of publish,
pull, acknowledge and modifyAckDeadline over REST, and to "at least once".
"""

import base64
import itertools
import json
import os
import re
import threading
import time

import emulator
from json_peer import JsonPeer
from suite import call

PROJECT = "demo-ekklesia"
TOPIC, SUBSCRIPTION = "elections-votes", "elections-votes-record"
DEAD_TOPIC, DEAD_SUBSCRIPTION = "elections-votes-dead", "elections-votes-dead-keep"
ACK_DEADLINE_S = 10
JARS = (
    os.environ.get("PUBSUB_EMULATOR_JAR", ""),
    "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar",
)


class Subscription:
    def __init__(self, topic):
        self.topic = topic
        self.messages = {}  # message id -> [data, deliverable from, ack id or None]


class StandIn(JsonPeer):
    """mode: "pass" · "fail" answers 503 · "hang" holds publishes for delay_s · "swallow" stores, and the answer is lost ·
    "deny" answers 403 as without a role. repeat delivers each message so often."""

    def __init__(self):
        self.mode, self.delay_s, self.repeat = "pass", 0.0, 1
        self.ack_deadline_s = ACK_DEADLINE_S
        self.lock, self.numbers = threading.Lock(), itertools.count(1)
        self.subscriptions = {SUBSCRIPTION: Subscription(TOPIC), DEAD_SUBSCRIPTION: Subscription(DEAD_TOPIC)}
        self.published, self.acknowledged, self.refuse_acks = [], [], False
        super().__init__()

    def answer(self, path, headers, body):
        match = re.fullmatch(rf"/v1/projects/{PROJECT}/(topics|subscriptions)/([\w-]+):(\w+)", path)
        if headers.get("Authorization") != "Bearer owner" or headers.get("Content-Type") != "application/json":
            return error(401, "UNAUTHENTICATED")
        if self.mode == "fail":
            return error(503, "UNAVAILABLE")
        if self.mode == "deny":
            return error(403, "PERMISSION_DENIED")
        request = json.loads(body)
        kind, name, verb = match.groups() if match else (None, None, None)
        if kind == "topics" and verb == "publish" and name in (TOPIC, DEAD_TOPIC):
            return self.publish(name, request)
        if kind != "subscriptions" or name not in self.subscriptions:
            return error(404, "NOT_FOUND")
        with self.lock:
            return getattr(self, verb)(self.subscriptions[name], request)

    def publish(self, topic, request):
        if self.mode == "hang":
            time.sleep(self.delay_s)
        assert set(request) == {"messages"} and all(set(message) == {"data"} for message in request["messages"]), \
            "nothing stands beside the sealed data"
        with self.lock:
            ids = [str(next(self.numbers)) for _ in request["messages"]]
            for number, message in zip(ids, request["messages"]):
                base64.b64decode(message["data"], validate=True)
                self.published.append((topic, message["data"]))
                for subscription in self.subscriptions.values():
                    if subscription.topic == topic:
                        for copy in range(self.repeat):
                            subscription.messages[f"{number}.{copy}"] = [message["data"], 0.0, None]
        return (None, None) if self.mode == "swallow" else (200, {"messageIds": ids})

    def pull(self, subscription, request):
        now, found = time.monotonic(), []
        for number, entry in subscription.messages.items():
            if entry[1] <= now and len(found) < request["maxMessages"]:
                entry[1], entry[2] = now + self.ack_deadline_s, f"ack-{number}-{next(self.numbers)}"
                found.append({"ackId": entry[2], "message": {"data": entry[0], "messageId": number.partition(".")[0],
                                                             "publishTime": "2026-11-21T22:32:34.657Z"}})
        return 200, {"receivedMessages": found} if found else {}

    def acknowledge(self, subscription, request):
        if self.refuse_acks:
            return error(503, "UNAVAILABLE")
        for number, entry in list(subscription.messages.items()):
            if entry[2] in request["ackIds"]:
                del subscription.messages[number]
                self.acknowledged.append(number)
        return 200, {}

    def modifyAckDeadline(self, subscription, request):
        for entry in subscription.messages.values():
            if entry[2] in request["ackIds"]:
                entry[1] = time.monotonic() + request["ackDeadlineSeconds"]
        return 200, {}

    # what tests ask

    def waiting(self, name=SUBSCRIPTION):
        with self.lock:
            return [entry[0] for entry in self.subscriptions[name].messages.values()]

    def deliver_now(self):
        """As if all deadlines were over."""
        with self.lock:
            for subscription in self.subscriptions.values():
                for entry in subscription.messages.values():
                    entry[1] = 0.0


def error(status, name):
    return status, {"error": {"code": status, "status": name, "message": "stand-in"}}


def why_no_emulator():
    return emulator.why_not("Pub/Sub", JARS)


class Emulator(emulator.Java):
    def __init__(self):
        super().__init__(JARS, ["-Xmx300m", "-jar"])

    def url(self, kind, name):
        return f"http://{self.host}/v1/projects/{PROJECT}/{kind}/{name}"

    def __enter__(self):
        self.start(lambda: self._made("topics", TOPIC, {}))
        assert self._made("topics", DEAD_TOPIC, {})
        for name, topic in ((SUBSCRIPTION, TOPIC), (DEAD_SUBSCRIPTION, DEAD_TOPIC)):
            assert self._made("subscriptions", name, {"topic": f"projects/{PROJECT}/topics/{topic}", "ackDeadlineSeconds": 10})
        return self

    def _made(self, kind, name, body):
        try:
            return call(self.url(kind, name), "PUT", body, timeout_s=5).status == 200
        except OSError:
            return False

    def publish(self, topic, data):
        reply = call(self.url("topics", topic) + ":publish", "POST", {"messages": [{"data": base64.b64encode(data).decode()}]})
        assert reply.status == 200, reply

    def waiting(self, name=SUBSCRIPTION):
        reply = call(self.url("subscriptions", name) + ":pull", "POST", {"maxMessages": 50, "returnImmediately": True})
        return [message["message"]["data"] for message in reply.json.get("receivedMessages", [])]
