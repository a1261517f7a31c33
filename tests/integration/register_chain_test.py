"""From the register to the audit trail with every part running: Django's signals, sync-from-django, updatememberprofile,
syncmembers, the store's change events, auditmemberchanges. Who did it is the real person in each entry (M-F11).
"""

import pytest

import audit_support as audit
import django_register
from django_register import Django
from members import MembersStack
from suite import kennitala, wait_until

pytestmark = pytest.mark.skipif(django_register.why_not() is not None, reason=str(django_register.why_not()))


class Chain:
    """A store of its own that tells auditmemberchanges of its changes, and a register that calls the webhook."""

    def __init__(self, stack):
        self.stack = stack
        store = stack.start("local-cloud", DATABASE_FILE=None)
        stack.firestore_host = store.url.removeprefix("http://")
        self.auditor = stack.start("auditmemberchanges")
        store.restart(EVENTS_URL=f"{self.auditor.url}/")
        self.webhook = stack.start("sync-from-django")
        self.register = Django(f"{self.webhook.url}/", stack.secret["sync-api-key"])

    def entries(self, number):
        """What the trail says of one member, oldest first."""
        mask = f"{number[:6]}-****"
        found = [one for one in self.stack.find(audit.ENTRIES).values() if one["memberId"] == mask]
        return sorted(found, key=lambda one: one["recordedAt"])

    def wait(self, number, count):
        wait_until(lambda: len(self.entries(number)) >= count, 20)
        return self.entries(number)[count - 1]


@pytest.fixture(scope="module")
def chain():
    with MembersStack() as stack:
        made = Chain(stack)
        with made.register:
            yield made
        stack.stop_own()


def test_each_writer_is_in_the_trail_by_name(chain):
    stack, register, number = chain.stack, chain.register, kennitala()
    member_id = register.create(ssn=number, name="Anna")
    entry = chain.wait(number, 1)
    assert (entry["action"], entry["adminId"], entry["actorSource"]) == ("create", "system", "service")
    assert register.deliveries()[-1] == 200 and entry["correlationId"]

    for uid, roles in (("uid-anna", ["member"]), ("uid-boss", ["member", "admin"])):
        stack.create_account(uid)
        stack.set(f"users/{uid}", kennitala=number if uid == "uid-anna" else kennitala(), roles=roles)
    profile = stack.start("updatememberprofile", **register.settings())
    reply = profile.post("/", {"data": {"kennitala": number, "updates": {"addresses": [{"street": "Hér", "number": 1}]}}},
                         token=stack.id_token("uid-anna", kennitala=number), headers={"X-Correlation-ID": "corr-anna"})
    assert reply.status == 200, reply
    wait_until(lambda: any(one["adminId"] == "uid-anna" for one in chain.entries(number)), 20)
    own = [one for one in chain.entries(number) if one["adminId"] == "uid-anna"]
    assert {one["correlationId"] for one in own} == {"corr-anna"} and {one["actorSource"] for one in own} == {"service"}

    # Here the webhook of Django's own save writes first; whose doing it was is said all the same.
    reply = profile.post("/", {"data": {"kennitala": number, "updates": {"name": "Anna B"}}},
                         token=stack.id_token("uid-anna", kennitala=number), headers={"X-Correlation-ID": "corr-name"})
    assert reply.status == 200, reply
    wait_until(lambda: "corr-name" in [one.get("correlationId") for one in chain.entries(number)], 20)
    assert [one["adminId"] for one in chain.entries(number) if one.get("correlationId") == "corr-name"] == ["uid-anna"]

    register.change(member_id, name="Anna Jóns", quiet=True)
    sync = stack.start("syncmembers", **register.settings())
    reply = sync.post("/", token=stack.id_token("uid-boss", roles=["admin"]), headers={"X-Correlation-ID": "corr-boss"})
    assert reply.json["result"]["stats"]["synced"] == 1, reply
    wait_until(lambda: chain.entries(number)[-1]["adminId"] == "uid-boss", 20)
    last = chain.entries(number)[-1]
    assert last["correlationId"] == "corr-boss" and "profile.name" in last["changes"]["diff"]

    register.delete(member_id)
    wait_until(lambda: chain.entries(number)[-1].get("transition") == "deactivated", 20)
    assert chain.entries(number)[-1]["adminId"] == "system"


def test_changes_wait_for_an_auditor_that_is_away(chain):
    trail = audit.Trail(chain.stack, chain.stack.secret["audit-key"])
    chain.auditor.stop()
    numbers = [kennitala() for _ in range(5)]
    for number in numbers:
        chain.register.create(ssn=number, name="Anna")
    assert not any(chain.entries(number) for number in numbers)
    chain.auditor.start()
    for number in numbers:
        assert chain.wait(number, 1)["action"] == "create"
    assert trail.verify() == len(chain.stack.find(audit.ENTRIES))
