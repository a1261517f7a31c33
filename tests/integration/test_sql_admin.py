"""Operators' actions: validation, the status machine, races, and one audit row each (V-D3 to V-D19, V-E4 to V-E8, V-F2 to V-F6)."""

import itertools
import random
import uuid

import pytest

from test_sql_support import ANSWERS, LOCK_NOT_AVAILABLE, Session, World, in_parallel, new_slot, world  # noqa: F401

GOOD = {"title": "T", "question": "Q", "answers": ["a", "b"]}


def create(world, **fields):
    return world.e("create_election", "uid-operator", "corr-1", {**GOOD, **fields})


@pytest.mark.parametrize(
    "fields, field, reason",
    [
        ({"title": None}, "title", "missing"), ({"title": " \t"}, "title", "blank"), ({"title": 7}, "title", "type"),
        ({"title": "x" * 256}, "title", "too_long"), ({"question": None}, "question", "missing"), ({"question": ""}, "question", "blank"),
        ({"question": ["x"]}, "question", "type"), ({"answers": None}, "answers", "missing"), ({"answers": "ab"}, "answers", "type"),
        ({"answers": ["a"]}, "answers", "too_few"), ({"answers": [str(i) for i in range(201)]}, "answers", "too_many"),
        ({"answers": ["a", " "]}, "answers", "blank"), ({"answers": ["a", ""]}, "answers", "blank"), ({"answers": ["a", 1]}, "answers", "type"),
        ({"answers": ["a", {}]}, "answers", "blank"), ({"answers": ["a", {"id": 1}]}, "answers", "type"),
        ({"answers": ["a", {"text": " "}]}, "answers", "blank"), ({"answers": ["a", "x" * 201]}, "answers", "too_long"),
        ({"answers": ["Jón", "jÓN"]}, "answers", "ambiguous"), ({"answers": ["ÞÓR", "þór"]}, "answers", "ambiguous"),
        ({"answers": ["a", "a "]}, "answers", "ambiguous"),
        ({"answers": [{"id": "1", "text": "x"}, {"id": "2", "text": "1"}]}, "answers", "ambiguous"),
        ({"answers": [{"id": "1", "text": "x"}, {"id": "2", "text": "X"}]}, "answers", "ambiguous"),
        ({"voting_type": "ranked"}, "voting_type", "value"), ({"voting_type": 1}, "voting_type", "type"),
        ({"max_selections": 2}, "max_selections", "range"), ({"max_selections": "1"}, "max_selections", "type"),
        ({"max_selections": 1.5}, "max_selections", "type"), ({"voting_type": "multi-choice", "max_selections": 3}, "max_selections", "range"),
        ({"voting_type": "multi-choice", "max_selections": 0}, "max_selections", "range"),
        ({"voting_type": "multi-choice", "max_selections": 10 ** 30}, "max_selections", "range"),
        ({"eligibility": "everyone"}, "eligibility", "value"), ({"eligibility": None}, "eligibility", "type"),
        ({"description": 5}, "description", "type"), ({"scheduled_start": "soon"}, "scheduled_start", "value"),
        ({"scheduled_end": 5}, "scheduled_end", "type"), ({"scheduled_end": "infinity"}, "scheduled_end", "value"),
        ({"scheduled_start": "2026-02-01T10:00:00Z", "scheduled_end": "2026-02-01T10:00:00Z"}, "scheduled_end", "order"),
        ({"scheduled_start": "2026-02-30T10:00:00Z"}, "scheduled_start", "value"),
    ],
)
def test_create_and_update_invalid_fields_refused(world, fields, field, reason):
    made = create(world, **fields)
    assert (made["code"], made["field"], made["reason"], made["election"]) == ("invalid", field, reason, None)
    election = world.draft(**GOOD)
    before = world.e("get_election", uuid.UUID(election))["election"]
    changed = world.e("update_election", "uid-2", "corr-9", uuid.UUID(election), fields)
    assert (changed["code"], changed["field"], changed["reason"]) == ("invalid", field, reason)
    assert world.e("get_election", uuid.UUID(election))["election"] == before
    assert world.audit()[-1] == ("update_election", False, "uid-2", "corr-9", "invalid")
    assert world.audit()[0] == ("create_election", False, "uid-operator", "corr-1", "invalid")


@pytest.mark.parametrize(
    "fields",
    [
        {"description": None}, {"voting_type": "multi-choice", "max_selections": 2}, {"answers": ["x" * 200, "y" * 200]},
        {"scheduled_start": None, "scheduled_end": "2999-01-01T00:00:00Z"}, {"eligibility": "all"}, {"title": "x" * 255},
        {"answers": [{"answer_text": "Jón", "display_order": 1}, {"answer_text": "Anna", "display_order": 2}]},
        {"answers": [{"id": "a", "text": "A"}, {"id": "b", "text": None}]},
        {"voting_starts_at": "2998-01-01T00:00:00Z", "scheduled_start": "2999-06-01T00:00:00Z", "voting_ends_at": "2999-01-01T00:00:00Z"},
    ],
)
def test_create_good_fields_stored(world, fields):
    made = create(world, **fields)
    assert made["code"] == "created", made
    row = made["election"]
    assert row["status"] == "draft" and row["hidden"] is False and row["created_by"] == "uid-operator"
    assert row["description"] == (fields.get("description") or "")
    assert row["answers"] == fields.get("answers", GOOD["answers"])
    assert row["voting_starts_at"] == row["scheduled_start"] and row["voting_ends_at"] == row["scheduled_end"]
    if "voting_starts_at" in fields:
        assert row["scheduled_start"] == "2998-01-01T00:00:00.000Z" and row["duration_minutes"] == 525600
    assert world.e("get_election", uuid.UUID(row["id"]))["election"]["id"] == row["id"]


def test_create_repeated_within_seconds_is_one_election(world):
    first, again = create(world), create(world)
    assert (again["code"], again["election"]["id"]) == ("repeated", first["election"]["id"])
    assert create(world, title="Other")["code"] == "created"
    other_operator = world.e("create_election", "uid-two", None, GOOD)
    assert other_operator["code"] == "created"
    assert [a[0] for a in world.audit()] == ["create_election"] * 3
    world.set(first["election"]["id"], created_at="created_at - interval '1 minute'")
    assert create(world)["code"] == "created"


def test_create_parallel_equal_requests_one_election(world):
    sessions = [Session("elections") for _ in range(4)]
    replies = in_parallel(*[lambda s=s: s.call("elections.create_election", world.org, "uid", None, GOOD) for s in sessions])
    assert sorted(r["code"] for r in replies) == ["created", "repeated", "repeated", "repeated"]
    assert len({r["election"]["id"] for r in replies}) == 1
    for session in sessions:
        session.close()


# --- the machine ---------------------------------------------------------------------------------------------------

STATES = {
    "draft": [], "published": ["open"], "paused": ["open", "pause"], "closed": ["open", "close"],
    "archived": ["open", "close", "archive"], "ended": ["open", "finish"], "paused_ended": ["open", "pause", "finish"],
}
ALLOWED = {
    ("draft", "open"), ("published", "pause"), ("paused", "resume"), ("published", "close"), ("paused", "close"), ("closed", "archive"),
    ("ended", "archive"), ("paused_ended", "archive"), ("draft", "delete"), ("paused", "delete"), ("closed", "delete"), ("archived", "delete"),
    ("ended", "delete"), ("paused_ended", "delete"), *((state, "hide") for state in STATES),
}
VERBS = ["open", "pause", "resume", "close", "archive", "hide", "unhide", "delete"]
CODE = {"open": "opened", "pause": "paused", "resume": "resumed", "close": "closed", "archive": "archived", "hide": "hidden",
        "delete": "deleted"}


def do(world, verb, election):
    if verb == "open":
        return world.open(election, None, "2999-01-01")
    if verb == "finish":
        return world.finish(election)
    return world.act(verb, election)


@pytest.mark.parametrize("state, verb", itertools.product(STATES, VERBS))
def test_every_transition_from_every_state(world, state, verb):
    election = world.draft()
    for step in STATES[state]:
        do(world, step, election)
    rows = len(world.audit(election))
    reply = do(world, verb, election)
    allowed = (state, verb) in ALLOWED
    assert reply["code"] == (CODE[verb] if allowed else "wrong_status")
    mine = [row for row in world.audit(election)[rows:] if row[2] != "system"]
    assert [(r[0], r[1]) for r in mine] == [(verb + "_election", allowed)]
    again = do(world, verb, election)
    if allowed:
        assert again["code"] == ("not_found" if verb == "delete" else "wrong_status")


@pytest.mark.parametrize("verb", VERBS)
def test_transition_unknown_election_not_found_and_audited(world, verb):
    unknown = str(uuid.uuid4())
    assert do(world, verb, unknown)["code"] == "not_found"
    assert world.audit(unknown)[-1][:2] == (verb + "_election", False)


def test_open_hidden_or_badly_scheduled_refused(world):
    election = world.draft()
    world.act("hide", election)
    assert world.open(election)["code"] == "hidden"
    world.act("unhide", election)
    assert world.open(election, None, "2020-01-01")["code"] == "bad_schedule"
    assert world.open(election, "2999-01-02", "2999-01-01")["code"] == "bad_schedule"
    assert world.open(election, "-infinity", None)["code"] == "bad_schedule"
    reply = world.open(election, "2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z")
    assert reply["code"] == "opened" and reply["election"]["scheduled_start"] == "2998-01-01T00:00:00.000Z"
    assert reply["election"]["opened_at"] == reply["election"]["published_at"] is not None


def test_open_keeps_stored_schedule_when_none_given(world):
    election = world.draft(scheduled_start="2998-01-01T00:00:00Z", scheduled_end="2999-01-01T00:00:00Z")
    reply = world.open(election)
    assert reply["election"]["scheduled_end"] == "2999-01-01T00:00:00.000Z"


def test_published_and_closed_times_never_move(world):
    election = world.published()
    stamp = world.e("get_election", uuid.UUID(election))["election"]["published_at"]
    for verb in ("pause", "resume", "hide", "unhide", "open", "close", "close", "archive"):
        do(world, verb, election)
    row = world.e("get_election", uuid.UUID(election))["election"]
    assert row["published_at"] == stamp and row["closed_at"] < row["archived_at"]


@pytest.mark.parametrize("verb", ["open", "pause", "close", "hide"])
def test_parallel_equal_transitions_one_wins(world, verb):
    election = world.draft() if verb == "open" else world.published()
    sessions = [Session("elections") for _ in range(4)]
    extra = (None, None) if verb == "open" else ()
    codes = in_parallel(*[
        lambda s=s: s.call(f"elections.{verb}_election", world.org, "uid", None, uuid.UUID(election), *extra)["code"] for s in sessions
    ])
    assert sorted(codes) == sorted([CODE[verb]] + ["wrong_status"] * 3)
    rows = [a for a in world.audit(election) if a[0] == verb + "_election"]
    assert sorted(r[1] for r in rows) == [False, False, False, True]
    for session in sessions:
        session.close()


def test_random_interleavings_end_as_some_serial_order(world):
    """open, patch, close and delete at once: what is published is what a patch left before it was opened (V-O6)."""
    rng = random.Random(7)
    sessions = [Session("elections") for _ in range(4)]
    for round_ in range(15):
        election = uuid.UUID(world.draft(question="before"))
        jobs = {
            "open": lambda s: s.call("elections.open_election", world.org, "u", None, election, None, None)["code"],
            "patch": lambda s: s.call("elections.update_election", world.org, "u", None, election, {"question": "after"})["code"],
            "close": lambda s: s.call("elections.close_election", world.org, "u", None, election)["code"],
            "delete": lambda s: s.call("elections.delete_election", world.org, "u", None, election)["code"],
        }
        names = list(jobs)
        rng.shuffle(names)
        done = dict(zip(names, in_parallel(*[lambda n=n, s=s: jobs[n](s) for n, s in zip(names, sessions)])))
        row = world.e("get_election", election)
        assert LOCK_NOT_AVAILABLE not in done.values()
        if done["delete"] == "deleted":
            assert row["code"] == "not_found"
        else:
            assert row["election"]["question"] == ("after" if done["patch"] == "updated" else "before")
            expected = "closed" if done["close"] == "closed" else "published" if done["open"] == "opened" else "draft"
            assert row["election"]["status"] == expected
        if done["close"] == "closed":
            assert done["open"] == "opened"
        # Patched successfully means patched before opening: the audit chain, which is serial, shows the order.
        chain = [a[0] for a in world.audit(str(election)) if a[1]]
        if done["patch"] == "updated" and done["open"] == "opened":
            assert chain.index("update_election") < chain.index("open_election")
    for session in sessions:
        session.close()


# --- changing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field, value", [("question", "New?"), ("answers", ["c", "d"]), ("voting_type", "multi-choice"), ("max_selections", 1),
                                          ("eligibility", "all")])
def test_update_frozen_field_of_non_draft_refused(world, field, value):
    election = world.published()
    before = world.e("get_election", uuid.UUID(election))["election"]
    reply = world.e("update_election", "u", None, uuid.UUID(election), {"title": "New", field: value})
    assert (reply["code"], reply["field"]) == ("not_draft", field)
    assert world.e("get_election", uuid.UUID(election))["election"] == before


def test_update_empty_changes_only_who_and_when(world):
    election = world.draft()
    before = world.e("get_election", uuid.UUID(election))["election"]
    reply = world.e("update_election", "uid-2", None, uuid.UUID(election), {})
    assert reply["code"] == "updated" and reply["election"]["updated_by"] == "uid-2"
    after = world.e("get_election", uuid.UUID(election))["election"]
    assert {k for k in after if after[k] != before[k]} <= {"updated_by", "updated_at"}


def test_update_title_and_description_in_every_status(world):
    for state, steps in STATES.items():
        election = world.draft()
        for step in steps:
            do(world, step, election)
        reply = world.e("update_election", "u", None, uuid.UUID(election), {"title": "Nýr", "description": None})
        assert reply["code"] == "updated", state
        assert (reply["election"]["title"], reply["election"]["description"]) == ("Nýr", "")


def test_update_schedule_of_non_draft_only_while_end_lies_ahead(world):
    election = world.published(end="2999-01-01T00:00:00Z")
    change = lambda **f: world.e("update_election", "u", None, uuid.UUID(election), f)["code"]  # noqa: E731
    assert change(scheduled_end="2999-02-01T00:00:00Z") == "updated"
    assert change(voting_ends_at="2020-02-01T00:00:00Z") == "bad_schedule"
    assert change(scheduled_start="2999-03-01T00:00:00Z") == "invalid"
    world.finish(election)
    assert change(scheduled_end="2999-02-01T00:00:00Z") == "bad_schedule"
    assert change(title="Still fine") == "updated"
    assert world.act("resume", election)["code"] == "wrong_status"
    assert world.e("update_election", "u", None, uuid.uuid4(), {"title": "x"})["code"] == "not_found"


def test_resume_after_end_never_reopens(world):
    election = world.published(end="2999-01-01")
    world.act("pause", election)
    world.finish(election)
    assert world.act("resume", election)["code"] == "wrong_status"
    assert world.e("get_election", uuid.UUID(election))["election"]["status"] == "closed"
    assert world.results(election)["code"] == "ok"


# --- removing ------------------------------------------------------------------------------------------------------


def test_delete_with_ballots_refused_in_every_status(world):
    election = world.published()
    world.vote(election)
    assert world.act("delete", election)["code"] == "wrong_status"
    world.act("pause", election)
    assert world.act("delete", election)["code"] == "has_ballots"
    world.act("close", election)
    assert world.act("delete", election)["code"] == "has_ballots"
    assert world.results(election)["total_voters"] == 1


def test_delete_with_ballots_takes_two_operators(world):
    election, other = world.published(), world.published()
    world.vote(election)
    world.vote(other)
    ask = lambda who, e=election: world.e("delete_election", who, None, uuid.UUID(e))["code"]  # noqa: E731
    world.act("pause", election)
    assert [ask("first"), ask("second")] == ["has_ballots", "has_ballots"], "not before it is closed"
    world.act("close", election)
    world.act("close", other)
    assert [ask("first"), ask("first")] == ["has_ballots", "has_ballots"]
    assert ask("second", other) == "has_ballots", "a request for another election does not count"
    sealed = world.results(election)["sealed"]
    assert ask("second") == "deleted"
    for table in ("ballots", "participation", "voting_tokens", "results"):
        assert world.root.one(f"SELECT count(*) FROM elections.{table} WHERE election_id = %s", election) == (0,)
    last = world.admin.rows("SELECT actor, details FROM elections.audit WHERE election_id = %s ORDER BY seq", election)[-1]
    assert last[0] == "second" and (last[1]["first_actor"], last[1]["sealed"], last[1]["total_voters"]) == ("first", sealed, 1)
    assert world.results(other)["total_voters"] == 1


def test_delete_first_request_older_than_a_day_does_not_count(world):
    election = world.published()
    world.vote(election)
    world.act("close", election)
    ask = lambda who: world.e("delete_election", who, None, uuid.UUID(election))["code"]  # noqa: E731
    assert ask("first") == "has_ballots"
    world.root.rows("SET session_replication_role = replica")
    world.root.rows("UPDATE elections.audit SET at = at - interval '25 hours' WHERE election_id = %s", election)
    world.root.rows("SET session_replication_role = origin")
    assert ask("second") == "has_ballots"


@pytest.mark.parametrize("action, success, code", [
    ("delete_election", False, "has_ballots"), ("delete_election", True, "deleted"), ("close_election", True, None), ("reset_all", True, None)])
def test_audit_append_cannot_forge_rows_that_functions_rely_on(world, action, success, code):
    election = uuid.UUID(world.published())
    for login in ("elections", "events"):
        session = getattr(world, login)
        args = (world.org, action, success, "uid", None, election, {"code": code, "from": "closed"})
        assert session.sqlstate(login + ".audit_append", *args) == "22023"
    assert world.e("audit_append", "delete_election", False, "uid", None, election, {"code": "forbidden"})["seq"] > 0


def test_delete_leaves_audit_rows_and_no_leftovers(world):
    election = world.published()
    world.token(election)
    world.v("claim_issue", uuid.UUID(election), new_slot(), False, 1000, uuid.uuid4())
    world.act("close", election)
    title = world.e("get_election", uuid.UUID(election))["election"]["title"]
    assert world.act("delete", election)["code"] == "deleted"
    assert world.act("delete", election)["code"] == "not_found"
    rows = world.admin.rows(
        "SELECT action, details ->> 'title', before_digest IS NOT NULL FROM elections.audit WHERE election_id = %s AND success AND action <> 'register_token' ORDER BY seq",
        election)
    assert rows == [("create_election", title, False), ("open_election", title, True), ("close_election", title, True), ("delete_election", title, True)]
    for table in ("elections.voting_tokens", "elections.results", "events.issues"):
        assert world.root.one(f"SELECT count(*) FROM {table} WHERE election_id = %s", election) == (0,)


# --- reading -------------------------------------------------------------------------------------------------------


def test_list_elections_filters_pages_and_searches(world):
    ids = [world.draft(title=f"Kosning {i}", question="Spurning um Þingvelli" if i % 2 else "Annað") for i in range(5)]
    world.act("hide", ids[0])
    ask = lambda *a: world.e("list_elections", *a)  # noqa: E731
    assert ask(None, False, None, 50, 0)["total"] == 4
    assert ask(None, True, None, 50, 0)["total"] == 5
    page = ask(None, True, None, 2, 1)
    assert [e["id"] for e in page["elections"]] == [ids[3], ids[2]] and page["total"] == 5
    assert ask(None, True, "þingVELLI", 50, 0)["total"] == 2
    assert ask(None, True, "%", 50, 0)["total"] == 0
    assert ask("open", True, None, 50, 0)["code"] == "bad_status"
    assert ask(None, True, None, 0, -5)["total"] == 5 and len(ask(None, True, None, -3, 0)["elections"]) == 1
    world.open(ids[1])
    assert [e["id"] for e in ask("published", True, None, 50, 0)["elections"]] == [ids[1]]
    assert ask("draft", True, None, 50, 0)["total"] == 4
    assert "Þingvelli" not in str(world.admin.rows("SELECT details FROM elections.audit WHERE org_id = %s", world.org))


def test_list_shows_status_in_effect(world):
    election = world.published(end="2999-01-01")
    world.finish(election)
    for listed in (world.e("list_elections", "closed", True, None, 50, 0), world.e("list_member_elections", True, False, "closed", 50, 0)):
        assert [(e["id"], e["status"]) for e in listed["elections"]] == [(election, "closed")]
    assert world.e("list_elections", "published", True, None, 50, 0)["total"] == 0
    assert world.e("get_member_election", uuid.UUID(election), new_slot(), True, False)["election"]["status"] == "closed"


def test_member_lists_hide_drafts_hidden_and_ineligible_before_paging(world):
    visible = [world.published(eligibility="all") for _ in range(3)]
    world.draft()
    world.act("hide", world.published(eligibility="all"))
    world.published(eligibility="members")
    world.published(eligibility="admins")
    page = world.e("list_member_elections", False, False, None, 2, 0)
    assert page["total"] == 3 and [e["id"] for e in page["elections"]] == visible[:0:-1]
    row = page["elections"][0]
    assert set(row) == {
        "id", "title", "question", "description", "answers", "status", "voting_type", "max_selections", "eligibility", "scheduled_start",
        "scheduled_end", "voting_starts_at", "voting_ends_at", "opened_at", "duration_minutes", "created_at", "published_at", "closed_at"}
    assert world.e("list_member_elections", True, True, "draft", 50, 0)["code"] == "bad_status"


def test_current_election_is_deterministic(world):
    assert world.e("current_election")["code"] == "not_found"
    current = lambda: (world.e("current_election")["election_id"], world.v("current_election", None)["id"])  # noqa: E731
    first, second = world.published(end="2999-01-01"), world.published(end="2999-01-01")
    assert current() == (second, second)
    world.finish(second)
    assert current() == (first, first)
    world.act("hide", first)
    assert current() == (second, second)
    world.results(second)
    assert current() == (second, second)
    world.act("unhide", first)
    world.act("close", first)
    assert current() == (second, second)
    world.set(second, closed_at="scheduled_end - interval '1 second'")
    assert world.e("current_election")["code"] == "not_found"
    twins = sorted(world.published() for _ in range(3))
    for twin in twins:
        world.set(twin, published_at="'2026-01-01'")
    assert current() == (twins[0], twins[0])


def test_tenants_do_not_meet(world):
    other = World()
    election = world.published()
    for function in ("get_election", "results"):
        assert other.e(function, uuid.UUID(election))["code"] == "not_found"
    for verb in ("pause", "close", "hide", "delete"):
        assert other.act(verb, election)["code"] == "not_found"
    assert other.e("update_election", "u", None, uuid.UUID(election), {"title": "x"})["code"] == "not_found"
    assert world.e("get_election", uuid.UUID(election))["election"]["status"] == "published"
    other.close()


def test_action_without_audit_row_does_not_happen(world):
    election = world.published()
    world.root.rows("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$")
    world.root.rows("CREATE TRIGGER refuse BEFORE INSERT ON elections.audit FOR EACH ROW EXECUTE FUNCTION public.refuse()")
    try:
        assert world.elections.sqlstate("elections.close_election", world.org, "u", None, uuid.UUID(election)) == "53100"
        assert world.elections.sqlstate("elections.create_election", world.org, "u", None, GOOD) == "53100"
    finally:
        world.root.rows("DROP TRIGGER refuse ON elections.audit")
        world.root.rows("DROP FUNCTION public.refuse()")
    assert world.e("get_election", uuid.UUID(election))["election"]["status"] == "published"
    assert world.e("list_elections", None, True, None, 50, 0)["total"] == 1
    assert ANSWERS == world.e("get_election", uuid.UUID(election))["election"]["answers"]
