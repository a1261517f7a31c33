"""cleanupauditlogs: what may go goes, what must stay stays, and the chain verifies afterwards."""

import datetime
import hashlib
import secrets
import threading

import pytest

import audit_support as audit
from firestore_emulator import typed
from flaky import Flaky
from flaky import Flaky
from members import MembersStack, why_no_google
from suite import call, kennitala

OLD = 91 * 86400
YOUNG = 89 * 86400


@pytest.fixture(scope="module", params=["stand-in", "google"])
def stack(request):
    google = request.param == "google"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google=google) as made:
        made.trail = audit.Trail(made, made.secret["audit-key"])
        made.create_account("uid-admin")
        made.set("users/uid-admin", roles=["member", "admin"])
        yield made


@pytest.fixture
def service(stack):
    for collection in (audit.ENTRIES, audit.HEADS, "leases"):
        stack.clear(collection)
    yield stack.start("cleanupauditlogs")
    stack.stop_own()


def ago(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    return {"timestampValue": when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"}


def fill(stack, chain, ages):
    """Entries of one chain with these ages, as auditmemberchanges would have written them; their ids."""
    digest, writes, names = audit.NO_HASH, [], []
    for seq, age in enumerate(ages, 1):
        name = hashlib.sha256(secrets.token_bytes(8)).hexdigest()
        fields = typed({"action": "update", "memberId": "010130-****", "chain": chain, "seq": seq, "prev": digest,
                        "recordedAt": ago(age)})
        digest = stack.trail.entry_hash(name, fields)
        fields |= typed({"hash": digest, "timestamp": ago(age)})
        writes.append(write(stack, f"{audit.ENTRIES}/{name}", fields))
        names.append(name)
    writes.append(write(stack, f"{audit.HEADS}/{chain}", typed({"seq": len(ages), "hash": digest})))
    commit(stack, writes)
    return names


def fill_legacy(stack, ages):
    commit(stack, [write(stack, f"{audit.ENTRIES}/{n}_uid_update_{kennitala()}",
                         typed({"action": "update", "timestamp": ago(age)})) for n, age in enumerate(ages)])


def write(stack, path, fields):
    prefix = stack.documents.partition("/v1/")[2]
    return {"update": {"name": f"{prefix}/{path}", "fields": fields}}


def commit(stack, writes):
    for start in range(0, len(writes), 300):
        reply = call(f"{stack.documents}:commit", "POST", {"writes": writes[start:start + 300]}, token="owner")
        assert reply.status == 200, reply


def clean(stack, service, uid="uid-admin", **data):
    return service.post("/", {"data": data or None}, token=stack.id_token(uid), timeout_s=120)


def result_of(reply):
    assert reply.status == 200, reply
    return reply.json["result"]


def left(stack):
    """Entries but those the cleanups wrote."""
    return {name: entry for name, entry in stack.find(audit.ENTRIES).items() if entry["action"] != "cleanup"}


def test_cleanup_old_goes_young_stays_and_the_chain_verifies(stack, service):
    for chain in (0, 3, 40):
        fill(stack, chain, [OLD] * 70 + [YOUNG] * 5)
    fill_legacy(stack, [OLD] * 30 + [YOUNG] * 4)
    reply = clean(stack, service, keep_count=0)
    assert reply.status == 200, reply
    assert reply.json["result"] == {"total_logs": 259, "deleted": 240, "kept": 19, "chain_intact": True}
    assert len(left(stack)) == 19
    stack.trail.verify()
    own = [entry for entry in stack.find(audit.ENTRIES).values() if entry["action"] == "cleanup"]
    assert sorted(entry["step"] for entry in own) == ["end", "start"]
    assert {entry["adminId"] for entry in own} == {"uid-admin"}
    assert max(entry["changes"]["deleted"] for entry in own) == 240
    again = result_of(clean(stack, service, keep_count=0))
    assert (again["deleted"], again["kept"]) == (0, again["total_logs"])


def test_cleanup_keep_count_is_a_lower_bound(stack, service):
    fill(stack, 1, [OLD] * 60)
    assert result_of(clean(stack, service, keep_count=45))["deleted"] == 15
    assert len(left(stack)) == 45
    stack.trail.verify()
    service.post("/", {"data": None}, token=stack.id_token("uid-admin"))  # 50 when nothing is said
    assert len(left(stack)) >= 45


@pytest.mark.parametrize("bad", [-1, 1.5, "50", True, [], 1000001, 1e300])
def test_cleanup_bad_keep_count_is_refused(stack, service, bad):
    fill(stack, 1, [OLD] * 3)
    reply = clean(stack, service, keep_count=bad)
    assert (reply.status, reply.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert len(stack.find(audit.ENTRIES)) == 3


def test_cleanup_tampered_chain_is_left_and_told(stack, service):
    names = fill(stack, 2, [OLD] * 10)
    fill(stack, 5, [OLD] * 10)
    stack.merge(f"{audit.ENTRIES}/{names[4]}", action="nothing")
    result = result_of(clean(stack, service, keep_count=0))
    assert (result["deleted"], result["chain_intact"]) == (14, False)
    assert set(names[4:]) <= set(left(stack))


def test_cleanup_forged_times_do_not_help(stack, service):
    names = fill(stack, 2, [YOUNG] * 4)
    for name in names:
        stack.merge(f"{audit.ENTRIES}/{name}", timestamp=ago(OLD))
    assert result_of(clean(stack, service, keep_count=0))["deleted"] == 0
    for name in names:
        stack.merge(f"{audit.ENTRIES}/{name}", recordedAt=ago(OLD))
    result = result_of(clean(stack, service, keep_count=0))
    assert (result["deleted"], result["chain_intact"]) == (0, False)


def test_cleanup_moved_base_is_refused(stack, service):
    names = fill(stack, 2, [OLD] * 4)
    digest = stack.find(audit.ENTRIES)[names[1]]["hash"]
    stack.delete(f"{audit.ENTRIES}/{names[0]}")
    stack.delete(f"{audit.ENTRIES}/{names[1]}")
    stack.merge(f"{audit.HEADS}/2", baseSeq=2, baseHash=digest, baseMac="0" * 64)
    others = stack.start("cleanupauditlogs", AUDIT_CHAINS=3)  # its own entries may meet that chain: they are kept
    for _ in range(4):
        result_of(clean(stack, others, keep_count=1000))
    result = result_of(clean(stack, service, keep_count=0))
    assert (result["deleted"], result["chain_intact"]) == (0, False)


def test_cleanup_two_at_once_never_pass_the_bound(stack, service):
    for chain in range(4):
        fill(stack, chain, [OLD] * 40)
    other, replies = stack.start("cleanupauditlogs"), []
    threads = [threading.Thread(target=lambda one=one: replies.append(clean(stack, one, keep_count=100)))
               for one in (service, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} <= {200, 409} and 200 in {reply.status for reply in replies}
    assert len(left(stack)) >= 98  # of two runs in a row the second also counts the first one's two entries
    stack.trail.verify()


@pytest.mark.parametrize("part, mode", [("life", "after"), ("end", "before")])
def test_cleanup_answer_about_the_lease_lost_once_does_not_stop_the_next(stack, part, mode):
    """Else nobody may clean until the lease of a run that has ended is over."""
    stack.clear("leases")
    flaky = Flaky(stack.firestore_host)
    try:
        service = stack.start("cleanupauditlogs", FIRESTORE_EMULATOR_HOST=flaky.host)
        flaky.fail(":commit", mode, times=1, body=b'"update"' if part == "life" else b'"delete"')
        result_of(clean(stack, service, keep_count=1000))
        assert flaky.rules[0][2] == 0, "nothing was made to fail"
        assert stack.find("leases") == {}
        result_of(clean(stack, service, keep_count=1000))
    finally:
        flaky.close()
        stack.stop_own()


@pytest.mark.parametrize("mode", ["before", "after", "cut"])
def test_cleanup_store_failing_in_the_middle_leaves_a_whole_chain(stack, service, mode):
    fill(stack, 2, [OLD] * 130 + [YOUNG] * 3)
    flaky = Flaky(stack.firestore_host)
    removal = f'"delete":"{stack.documents.partition("/v1/")[2]}/{audit.ENTRIES}/'
    flaky.fail(":commit", mode, body=removal.encode())
    try:
        reply = clean(stack, stack.start("cleanupauditlogs", FIRESTORE_EMULATOR_HOST=flaky.host), keep_count=0)
        assert reply.status in (500, 502, 503, 504) and reply.json["error"]["status"] in ("INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert any(":commit" in line for line in flaky.seen)
    finally:
        flaky.close()
    assert len(left(stack)) == 133 if mode == "before" else 3 < len(left(stack)) < 133  # some went, and nobody heard
    stack.trail.verify()
    result = result_of(clean(stack, service, keep_count=0))
    assert result["chain_intact"] is True and len(left(stack)) == 3
    stack.trail.verify()


@pytest.mark.parametrize("roles, status", [(None, 403), (["member"], 403), ("admin", 403), (["superuser"], 200)])
def test_cleanup_role_comes_from_the_user_document(stack, service, roles, status):
    uid = "uid-role-" + secrets.token_hex(4)
    stack.create_account(uid)
    if roles is not None:
        stack.set(f"users/{uid}", roles=roles)
    token = stack.id_token(uid, roles=["admin"])
    assert service.post("/cleanupauditlogs", {"data": {}}, token=token).status == status


def test_cleanup_without_or_with_a_bad_caller_is_401(stack, service):
    assert service.post("/", {"data": {}}).status == 401
    assert service.post("/", {"data": {}}, token="x").status == 401
    stack.create_account("uid-disabled")
    stack.set("users/uid-disabled", roles=["admin"])
    stack.update_account("uid-disabled", disableUser=True)
    assert clean(stack, service, uid="uid-disabled").status == 401
    assert service.get("/").status in (400, 404)


def test_cleanup_retention_below_90_days_does_not_start(stack):
    service = stack.start("cleanupauditlogs", healthy=False, AUDIT_RETENTION_DAYS=89)
    assert service.wait(10) == 1
    stack.stop_own()
