"""deploy/firestore: what browsers may do (M-F01, M-F02, contract members.md §5.9), judged by Google's emulator."""

import json
import os
import re

import pytest

import firestore_emulator
from evidence import ROOT
from firestore_emulator import FirestoreEmulator
from suite import kennitala

FOLDER = os.path.join(ROOT, "deploy", "firestore")
NOW = {"timestampValue": "2026-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def emulator():
    if firestore_emulator.why_not():
        pytest.skip(firestore_emulator.why_not())
    with open(os.path.join(FOLDER, "firestore.rules"), encoding="utf-8") as rules:
        text = rules.read()
    with FirestoreEmulator() as running:
        running.use_rules(text)
        yield running


class World:
    """A member with a document, somebody else, and an operator."""

    def __init__(self, emulator):
        self.number = kennitala()
        self.admin = emulator.as_admin()
        self.member = emulator.as_user({"uid": "member", "kennitala": self.number, "roles": ["member"]})
        self.hyphen = emulator.as_user({"uid": "hyphen", "kennitala": f"{self.number[:6]}-{self.number[6:]}"})
        self.stranger = emulator.as_user({"uid": "stranger", "kennitala": kennitala(), "roles": ["member"]})
        self.operator = emulator.as_user({"uid": "operator", "kennitala": kennitala(), "roles": ["member", "admin"]})
        self.nobody = emulator.as_user()
        self.path = f"members/{self.number}"
        self.admin.set(self.path, profile={"kennitala": self.number, "name": "Anna", "email": "a@example.is"},
                       membership={"status": "inactive"}, metadata={"django_id": 7, "last_modified": NOW},
                       address={"street": "Old"})
        self.admin.set("users/member", kennitala=self.number, isMember=False, roles=["member"], photoURL=None)


@pytest.fixture
def world(emulator):
    emulator.clear()
    return World(emulator)


def test_read_member_owner_and_operator_only(world):
    assert world.member.get(world.path).status == 200
    assert world.hyphen.get(world.path).status == 200
    assert world.operator.get(world.path).status == 200
    assert world.stranger.get(world.path).status == 403
    assert world.nobody.get(world.path).status == 403
    assert world.operator.list("members").status == 200
    assert world.member.list("members").status == 403


@pytest.mark.parametrize("number", [None, 7, "", "x", ["list"]])
def test_read_member_odd_kennitala_claim_is_refused(emulator, world, number):
    assert emulator.as_user({"uid": "odd", "kennitala": number}).get(world.path).status == 403


@pytest.mark.parametrize("roles", ["admin", {"admin": True}, None, [], ["Admin"], 7])
def test_read_member_odd_roles_give_no_rights(emulator, world, roles):
    assert emulator.as_user({"uid": "odd", "kennitala": kennitala(), "roles": roles}).get(world.path).status == 403


HARMLESS = {
    "name": "Anna B", "email": "b@example.is", "phone": "555-1234", "foreign_phone": "+4512345678", "facebook": "anna",
    "birthday": "1990-01-01", "gender": 1, "housing_situation": 2, "reachable": False, "groupable": True,
    "addresses": [{"street": "Njálsgata"}], "phone_numbers": [{"number": "1"}], "updated_at": NOW,
}


@pytest.mark.parametrize("field", HARMLESS)
@pytest.mark.parametrize("who", ["member", "operator"])
def test_update_member_harmless_field_is_allowed(world, who, field):
    client = getattr(world, who)
    assert client.update(world.path, [f"profile.{field}", "metadata.last_modified", "updated_at"],
                         profile={field: HARMLESS[field]}, metadata={"last_modified": NOW}, updated_at=NOW).status == 200


FORBIDDEN = [
    (["membership.status"], {"membership": {"status": "active"}}),
    (["membership"], {"membership": {"status": "active"}}),
    (["membership"], {}),
    (["membership.is_active"], {"membership": {"is_active": True}}),
    (["metadata.django_id"], {"metadata": {"django_id": 8}}),
    (["metadata"], {"metadata": {"last_modified": NOW}}),  # would drop django_id
    (["metadata.synced_at"], {"metadata": {"synced_at": NOW}}),
    (["metadata.last_modified"], {"metadata": {"last_modified": "text"}}),
    (["profile.kennitala"], {"profile": {"kennitala": "0101302989"}}),
    (["profile.roles"], {"profile": {"roles": ["admin"]}}),
    (["profile"], {"profile": {"name": "Anna"}}),  # would drop the kennitala
    (["profile"], {}),
    (["profile.name"], {"profile": {"name": "x" * 101}}),
    (["profile.name"], {"profile": {"name": 7}}),
    (["profile.gender"], {"profile": {"gender": "1"}}),
    (["profile.addresses"], {"profile": {"addresses": [{}] * 6}}),
    (["profile.reachable"], {"profile": {"reachable": "yes"}}),
    (["roles"], {"roles": ["admin"]}),
    (["isMember"], {"isMember": True}),
    (["address"], {"address": {"street": "New"}}),
]


@pytest.mark.parametrize("mask,fields", FORBIDDEN, ids=lambda value: "-".join(value) if isinstance(value, list) else "")
@pytest.mark.parametrize("who", ["member", "operator"])
def test_update_member_proof_of_anything_is_refused(world, who, mask, fields):
    before = world.admin.get(world.path).json["fields"]
    assert getattr(world, who).update(world.path, mask, **fields).status == 403
    assert world.admin.get(world.path).json["fields"] == before


def test_update_member_beside_what_the_register_gave_larger(world):
    """A name and a list of addresses that no client might write come from the register, and must not close the rest."""
    large = {"kennitala": world.number, "name": "x" * 101, "addresses": [{"street": f"Gata {n}"} for n in range(6)]}
    world.admin.update(world.path, ["profile"], profile=large)
    assert world.member.update(world.path, ["profile.phone"], profile={"phone": "555-1234"}).status == 200
    for field, value in (("name", "y" * 101), ("addresses", [{"street": "Ný"}] * 6)):
        assert world.member.update(world.path, [f"profile.{field}"], profile={field: value}).status == 403
    assert world.member.update(world.path, ["profile.addresses"], profile={"addresses": large["addresses"][:5]}).status == 200


def test_update_member_whole_document_is_refused(world):
    assert world.member.set(world.path, profile={"kennitala": world.number}, membership={"status": "active"}).status == 403


def test_update_member_legacy_address_may_only_go(world):
    assert world.member.update(world.path, ["address", "profile.addresses"],
                               profile={"addresses": [{"street": "Old"}]}).status == 200
    assert "address" not in world.admin.get(world.path).json["fields"]
    assert world.member.update(world.path, ["address"], address={"street": "New"}).status == 403


@pytest.mark.parametrize("who", ["stranger", "nobody"])
def test_update_member_by_others_is_refused(world, who):
    assert getattr(world, who).update(world.path, ["profile.name"], profile={"name": "X"}).status == 403


def test_create_and_delete_member(world):
    path = f"members/{kennitala()}"
    assert world.operator.set(path, profile={"name": "New"}, metadata={"last_modified": NOW}).status == 200
    other = f"members/{kennitala()}"
    assert world.operator.set(other, profile={"name": "New"}, membership={"status": "active"}).status == 403
    assert world.operator.set(other, profile={}, metadata={"django_id": 1}).status == 403
    assert world.member.set(other, profile={"name": "New"}).status == 403
    assert world.operator.delete(path).status == 403
    assert world.member.delete(world.path).status == 403


def test_membership_record_is_closed_to_all_clients(world):
    path = f"{world.path}/server/membership"
    world.admin.set(path, status="inactive")
    for client in (world.member, world.operator, world.nobody):
        assert client.get(path).status == 403
        assert client.set(path, status="active").status == 403
        assert client.delete(path).status == 403


def test_users_owner_reads_and_writes_two_fields(world):
    path = "users/member"
    assert world.member.get(path).status == 200
    assert world.stranger.get(path).status == 403
    assert world.operator.get(path).status == 403
    assert world.member.update(path, ["photoURL", "lastLogin"], photoURL="https://x.is/a.png", lastLogin=NOW).status == 200
    assert world.member.update(path, ["photoURL"], photoURL="x" * 2049).status == 403
    assert world.member.update(path, ["lastLogin"], lastLogin="text").status == 403
    for field, value in (("isMember", True), ("roles", ["admin"]), ("kennitala", "0101302989"), ("email", "x@y.is"),
                         ("emailVerified", True), ("membershipVerifiedAt", NOW), ("django_id", 1)):
        assert world.member.update(path, [field], **{field: value}).status == 403, field
    assert world.stranger.update(path, ["photoURL"], photoURL="x").status == 403
    assert world.member.delete(path).status == 403
    assert world.stranger.set("users/stranger", kennitala="1").status == 403


def documented():
    """{collection: the cell that says when it expires}, from the table in deploy/firestore/README.md."""
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as text:
        rows = [line.strip("|\n ").split(" | ") for line in text if line.startswith("| `") and line.count("|") == 5]
    return {name: row[3] for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def used_by_the_services():
    """Every collection of the sources: paths that are printed, queries, and names that are defined."""
    found = set()
    for top in ("services", "libcommon"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if name.endswith((".c", ".h")):
                    with open(os.path.join(folder, name), encoding="utf-8") as text:
                        source = text.read()
                    found |= set(re.findall(r'arena_printf\(\s*[^,;]*,\s*"(\w+)/(?:login_)?%', source))
                    found |= set(re.findall(r'\.collection = "(\w+)"', source))
                    found |= set(re.findall(r'#define (?:AUDIT_\w+|CURRENT) +"([a-z_]+)(?:/[a-z]+)?"', source))
    return found


def test_every_collection_of_the_services_is_documented():
    used = used_by_the_services() - {"projects"}  # a resource's name
    assert used >= {"users", "members", "audit_chains", "sync_state", "sync_nonces", "leases"}  # the search works
    assert used == set(documented())


OPERATORS_READ = {"members_audit_log", "sync_logs"}
CLOSED = sorted((set(documented()) - {"users", "members"}) | {"idempotency", "anything"})


@pytest.mark.parametrize("collection,operator_reads", [(name, name in OPERATORS_READ) for name in CLOSED])
def test_other_collections_are_closed(world, collection, operator_reads):
    world.admin.set(f"{collection}/one", a=1)
    assert world.operator.get(f"{collection}/one").status == (200 if operator_reads else 403)
    for client in (world.member, world.nobody):
        assert client.get(f"{collection}/one").status == 403
    for client in (world.member, world.operator, world.nobody):
        assert client.set(f"{collection}/two", a=1).status == 403
        assert client.update(f"{collection}/one", ["a"], a=2).status == 403
        assert client.delete(f"{collection}/one").status == 403


def test_sync_queue_operator_reads_and_creates(world):
    assert world.operator.set("sync_queue/one", a=1).status == 200
    assert world.operator.get("sync_queue/one").status == 200
    assert world.operator.update("sync_queue/one", ["a"], a=2).status == 403
    assert world.member.set("sync_queue/two", a=1).status == 403


def test_indexes_every_counter_expires():
    with open(os.path.join(FOLDER, "firestore.indexes.json"), encoding="utf-8") as text:
        indexes = json.load(text)
    expiring = {one["collectionGroup"] for one in indexes["fieldOverrides"] if one.get("ttl")}
    assert all(one["fieldPath"] == "expiresAt" for one in indexes["fieldOverrides"] if one.get("ttl"))
    assert expiring == {name for name, expires in documented().items() if expires.startswith("`expiresAt`")}
    assert expiring == {"rate_limits", "jwks_stats", "sync_nonces", "profile_updates"}  # and no trail of anybody's deeds
    pairs = {(one["collectionGroup"], *(f["fieldPath"] for f in one["fields"])) for one in indexes["indexes"]}
    assert pairs == {
        ("members_audit_log", "adminId", "timestamp"), ("members_audit_log", "memberId", "timestamp"),
        ("members_audit_log", "action", "timestamp"), ("members", "membership.status", "metadata.django_id")}
