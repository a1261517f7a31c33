"""What the events login may call: issues, the current election, drafts, counts and resets (V-A2, V-A3, V-C2 to V-C6, V-E7)."""

import uuid

import pytest

from test_sql_support import Session, World, in_parallel, key, new_slot, world  # noqa: F401


def claim(world, election, slot, replace=False, lease=5000, name=None):
    return world.v("claim_issue", uuid.UUID(election), slot, replace, lease, name or uuid.uuid4())


def confirm(world, election, slot, issue, expires="2999-01-01"):
    return world.v("confirm_issue", uuid.UUID(election), slot, issue, expires)["confirmed"]


def test_claim_confirm_then_live(world):
    election, slot = world.published(), new_slot()
    first = claim(world, election, slot)
    assert (first["code"], first["issue_no"]) == ("claimed", 1)
    assert claim(world, election, slot)["code"] == "running"
    assert confirm(world, election, slot, 1)
    assert confirm(world, election, slot, 1), "who did not hear the answer asks again"
    live = claim(world, election, slot)
    assert (live["code"], live["expires_at"]) == ("live", "2999-01-01T00:00:00.000Z") and live["issued_at"]
    status = world.v("issue_status", uuid.UUID(election), slot)
    assert (status["issued"], status["state"], status["issue_no"], status["expired"]) == (True, "confirmed", 1, False)


def test_claim_lease_over_or_failed_or_expired_or_replaced(world):
    election, slot = world.published(), new_slot()
    assert claim(world, election, slot)["issue_no"] == 1
    assert claim(world, election, slot, lease=0)["issue_no"] == 2
    assert not confirm(world, election, slot, 1), "the first claim was lost"
    assert world.v("release_issue", uuid.UUID(election), slot, 1)["released"] is False
    assert world.v("release_issue", uuid.UUID(election), slot, 2)["released"] is True
    assert not confirm(world, election, slot, 2)
    assert claim(world, election, slot)["issue_no"] == 3
    assert confirm(world, election, slot, 3, "2020-01-01")
    assert world.v("issue_status", uuid.UUID(election), slot)["expired"] is True
    assert claim(world, election, slot)["issue_no"] == 4
    assert confirm(world, election, slot, 4)
    assert claim(world, election, slot, replace=True)["issue_no"] == 5


def test_claim_whose_answer_was_lost_is_made_again(world):
    election, slot, ours = world.published(), new_slot(), uuid.uuid4()
    assert [claim(world, election, slot, name=ours)["code"] for _ in range(2)] == ["claimed"] * 2
    assert claim(world, election, slot)["code"] == "running"
    number = claim(world, election, slot, name=ours)["issue_no"]
    assert confirm(world, election, slot, number)
    assert claim(world, election, slot, name=ours)["code"] == "live"
    assert claim(world, election, new_slot(), name=ours)["code"] == "claimed"


def test_release_of_a_confirmed_issue_that_nobody_was_given(world):
    election, slot = world.published(), new_slot()
    claim(world, election, slot)
    assert confirm(world, election, slot, 1)
    assert world.v("release_issue", uuid.UUID(election), slot, 1)["released"] is True
    assert world.v("issue_status", uuid.UUID(election), slot)["issued"] is False
    assert claim(world, election, slot)["code"] == "claimed"
    assert not confirm(world, election, slot, 1)


def test_claim_parallel_one_gets_it(world):
    election, slot = world.published(), new_slot()
    sessions = [Session("events") for _ in range(4)]
    codes = in_parallel(*[
        lambda s=s: s.call("events.claim_issue", world.org, uuid.UUID(election), slot, False, 5000, uuid.uuid4())["code"] for s in sessions])
    assert sorted(codes) == ["claimed", "running", "running", "running"]
    for session in sessions:
        session.close()


def test_issue_status_of_nobody(world):
    status = world.v("issue_status", uuid.UUID(world.published()), new_slot())
    assert (status["issued"], status["state"], status["expired"]) == (False, None, False)


def test_issues_of_other_elections_and_tenants_are_apart(world):
    slot, one, two = new_slot(), world.published(), world.published()
    claim(world, one, slot)
    confirm(world, one, slot, 1)
    assert claim(world, two, slot)["code"] == "claimed"
    other = World()
    assert other.v("issue_status", uuid.UUID(one), slot)["issued"] is False
    other.close()


@pytest.mark.parametrize(
    "arrange, phase",
    [
        (lambda w: w.published(start="2999-01-01"), "scheduled"), (lambda w: w.published(), "active"),
        (lambda w: (e := w.published(), w.act("pause", e))[0], "paused"), (lambda w: (e := w.published(), w.act("close", e))[0], "closed"),
        (lambda w: (e := w.published(end="2999-01-01"), w.finish(e))[0], "ended"),
    ],
)
def test_current_election_named(world, arrange, phase):
    election = arrange(world)
    seen = world.v("current_election", uuid.UUID(election))
    assert (seen["code"], seen["id"], seen["phase"], seen["token_election"]) == ("ok", election, phase, True)
    assert seen["status"] == {"scheduled": "published", "active": "published", "ended": "closed"}.get(phase, phase)


def test_current_election_not_shown(world):
    assert world.v("current_election", None)["code"] == "not_found"
    assert world.v("current_election", uuid.UUID(world.draft()))["code"] == "not_found"
    hidden = world.published(answers=["a", "b"])
    assert world.v("current_election", None)["token_election"] is False
    world.act("hide", hidden)
    assert world.v("current_election", uuid.UUID(hidden))["code"] == "not_found"


def test_draft_routes(world):
    made = world.v("create_election", "op", "c", {"title": "T", "question": "Q", "answers": ["a", "b"]})
    election = uuid.UUID(made["election"]["id"])
    draft = lambda f: world.v("update_draft", "op", "c", election, f)  # noqa: E731
    assert draft({"voting_ends_at": "2999-01-01T00:00:00Z"})["election"]["scheduled_end"] == "2999-01-01T00:00:00.000Z"
    assert (draft({})["code"], draft({"colour": "red"})["reason"]) == ("invalid", "missing")
    assert draft({"answers": ["a", "A"]})["code"] == "invalid"
    assert world.v("update_metadata", "op", "c", election, {"answers": ["x", "y"]})["code"] == "invalid"
    assert world.v("update_metadata", "op", "c", election, {"title": "New", "answers": ["x", "y"]})["election"]["answers"] == ["a", "b"]
    assert world.v("open_election", "op", "c", election, None, None)["code"] == "opened"
    assert draft({"title": "x"})["code"] == "not_draft"
    assert world.v("update_metadata", "op", "c", election, {"title": "Newer"})["code"] == "updated"
    assert world.v("delete_draft", "op", "c", election)["code"] == "wrong_status"
    for verb, code in [("pause", "paused"), ("resume", "resumed"), ("close", "closed"), ("archive", "archived")]:
        assert world.v(verb + "_election", "op", "c", election)["code"] == code
    assert world.v("results", election)["code"] == "ok"
    assert {a[2] for a in world.audit(str(election))} == {"op"}
    assert [a[0] for a in world.audit(str(election)) if not a[1]] == [
        "update_draft", "update_draft", "update_draft", "update_metadata", "update_draft", "delete_draft"]


def test_delete_draft_hides_it_from_everybody(world):
    election = world.draft()
    reply = world.v("delete_draft", "op", None, uuid.UUID(election))
    assert (reply["code"], reply["election"]["status"]) == ("deleted", "deleted") and reply["election"]["deleted_at"]
    assert world.v("delete_draft", "op", None, uuid.UUID(election))["code"] == "not_found"
    assert world.e("get_election", uuid.UUID(election))["code"] == "not_found"
    assert world.open(election)["code"] == "not_found"
    assert world.v("list_elections", None, 50, 0)["total"] == 0


def test_token_counts(world):
    election = world.published()
    for i in range(4):
        slot = new_slot()
        number = claim(world, election, slot)["issue_no"]
        token = world.register(election, slot=slot, issue=number)
        confirm(world, election, slot, number, token["expires_at"])
        if i == 0:
            world.cast(token["hash"])
    world.root.rows("UPDATE elections.voting_tokens SET expires_at = now() WHERE ctid = (SELECT max(ctid) FROM elections.voting_tokens WHERE NOT used AND election_id = %s)", election)
    counts = world.v("token_counts", uuid.UUID(election))
    assert [counts[c] for c in ("code", "issued", "registered", "used", "unused", "expired")] == ["ok", 4, 4, 1, 3, 1]
    assert abs(float(counts["avg_expiration_hours"]) - 24) < 0.01 and counts["first_issued"] <= counts["last_issued"]
    assert world.v("token_counts", uuid.uuid4())["code"] == "not_found"


# --- reset ---------------------------------------------------------------------------------------------------------


def reset(world, scope, election=None, slot=None, interval=0):
    return world.v("reset_election", "uid-s", "corr", scope, election and uuid.UUID(election), slot, interval)


def test_reset_is_off_until_an_administrator_allows_it(world):
    election = world.published()
    world.vote(election)
    for scope in ("mine", "all"):
        assert reset(world, scope, slot=new_slot())["code"] == "disabled"
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (1,)
    assert world.audit(election)[-1] == ("reset_all", False, "uid-s", "corr", "disabled")


def test_reset_mine_frees_only_an_unused_token(world):
    world.admin.rows("UPDATE elections.organisations SET reset_allowed = true WHERE id = %s", world.org)
    election, slot = world.published(), new_slot()
    number = claim(world, election, slot)["issue_no"]
    token = world.token(election, slot=slot, issue=number)
    confirm(world, election, slot, number)
    done = reset(world, "mine", slot=slot)
    assert (done["code"], done["before"]["events_tokens"], done["after"]["events_tokens"]) == ("reset", 1, 0)
    assert world.cast(token)["code"] == "unknown"
    number = claim(world, election, slot)["issue_no"]
    assert number == 2
    token = world.token(election, slot=slot, issue=number)
    assert world.cast(token)["code"] == "accepted"
    assert reset(world, "mine", slot=slot)["code"] == "voted"
    assert world.cast(token)["code"] == "used"


def test_reset_all_touches_one_election_and_voting_works_afterwards(world):
    world.admin.rows("UPDATE elections.organisations SET reset_allowed = true WHERE id = %s", world.org)
    other, election, slot = world.published(), world.published(), new_slot()
    world.vote(other)
    world.vote(election)
    number = claim(world, election, slot)["issue_no"]
    late = world.token(election, slot=slot, issue=number)
    done = reset(world, "all", interval=300)
    assert (done["code"], done["election_id"]) == ("reset", election)
    assert done["before"] == {"events_tokens": 1, "elections_tokens": 1, "elections_ballots": 1}
    assert done["after"] == {"events_tokens": 0, "elections_tokens": 0, "elections_ballots": 0}
    assert not confirm(world, election, slot, number), "the token under way is gone"
    assert world.cast(late)["code"] == "unknown"
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", other) == (1,)
    again = reset(world, "all", interval=300)
    assert again["code"] == "too_soon" and 290 < again["retry_after_s"] <= 300
    number = claim(world, election, slot)["issue_no"]
    assert world.cast(world.token(election, slot=slot, issue=number))["code"] == "accepted"
    assert reset(world, "all", interval=0)["code"] == "reset"


def test_reset_never_touches_a_closed_election(world):
    world.admin.rows("UPDATE elections.organisations SET reset_allowed = true WHERE id = %s", world.org)
    election = world.published(end="2999-01-01")
    world.vote(election)
    world.finish(election)
    assert reset(world, "all", election)["code"] == "wrong_status"
    assert reset(world, "all", str(uuid.uuid4()))["code"] == "not_found"
    assert world.results(election)["total_voters"] == 1
    assert world.e("seal_verify", uuid.UUID(election))["code"] == "ok"
    assert world.events.sqlstate("events.reset_election", world.org, "u", None, "everything", None, None, 0) == "22023"


def test_events_idempotency_is_its_own(world):
    idem, print_ = key(), key()
    assert world.v("idempotency_claim", idem, print_, 1000, uuid.uuid4())["code"] == "fresh"
    assert world.e("idempotency_claim", idem, print_, 1000, uuid.uuid4())["code"] == "fresh"
