"""events, operators' routes: contract voting.md §3.3 and §3.4, table by table."""

import pytest

from suite import canary, is_iso_time, person
from voting import (ORG, close_election, create_election, end_in_the_past, in_parallel, member, one, register, some_uuid, vote)


@pytest.fixture
def events(stack):
    return stack.service("events")


@pytest.fixture
def admin(stack):
    return stack.cloud.token(**person(roles=("member", "admin")))


@pytest.fixture
def superuser(stack):
    return stack.cloud.token(**person(roles=("superuser",)))


def draft(events, token, **fields):
    body = {"title": f"Draft {some_uuid()}", "question": "Shall we?", "answers": ["yes", "no", "abstain"], **fields}
    reply = events.post("/api/admin/elections", body, token=token)
    assert reply.status == 201, reply
    return reply.json


ROUTES = [("GET", ""), ("POST", ""), ("GET", "/{id}"), ("PATCH", "/{id}/draft"), ("PATCH", "/{id}/metadata"), ("POST", "/{id}/publish"),
          ("POST", "/{id}/open"), ("POST", "/{id}/pause"), ("POST", "/{id}/resume"), ("POST", "/{id}/close"), ("POST", "/{id}/archive"),
          ("DELETE", "/{id}"), ("GET", "/{id}/status"), ("GET", "/{id}/results"), ("GET", "/{id}/tokens")]


@pytest.mark.parametrize("method, path", ROUTES)
def test_admin_routes_want_an_operator_who_is_a_member(stack, events, method, path):
    url = "/api/admin/elections" + path.replace("{id}", some_uuid())
    assert events.call(method, url).status == 401
    for claims in (person(), person(roles=("admin",), member=False), person(roles=("admin",), member=None),
                   person(roles="admin"), person(roles=("administrator",))):
        reply = events.call(method, url, token=stack.cloud.token(**claims))
        assert reply.status == 403 and "admin" not in reply.json["message"]
        assert reply.json["correlation_id"] and "required_roles" not in reply.json


@pytest.mark.parametrize("method, path", [route for route in ROUTES if "{id}" in route[1] and "/open" not in route[1]])
def test_admin_routes_unknown_or_malformed_id_is_4xx(events, superuser, method, path):
    for bad in (some_uuid(), "nonsense", "%27%3B--", "0" * 36):
        body = {"title": "New"} if method == "PATCH" else None
        reply = events.call(method, "/api/admin/elections" + path.replace("{id}", bad), body, token=superuser)
        assert reply.status in (400, 404), (reply, bad)


def test_admin_life_of_an_election(stack, events, admin, superuser):
    row = draft(events, admin, description="About")
    path = f"/api/admin/elections/{row['id']}"
    assert row["status"] == "draft" and row["description"] == "About" and is_iso_time(row["created_at"])
    assert row["answers"] == ["yes", "no", "abstain"] and row["published_at"] is None

    changed = events.call("PATCH", path + "/draft", {"title": "Changed", "voting_ends_at": "2099-01-01T00:00:00Z"}, token=admin)
    assert changed.status == 200 and changed.json["title"] == "Changed"
    assert changed.json["scheduled_end"] == changed.json["voting_ends_at"] == "2099-01-01T00:00:00.000Z"
    assert events.get(path, token=admin).json["title"] == "Changed"

    published = events.post(path + "/publish", token=admin)
    assert published.status == 200 and published.json["status"] == "published" and is_iso_time(published.json["published_at"])
    assert events.post(path + "/publish", token=admin).status == 400
    late = events.call("PATCH", path + "/draft", {"title": "Too late"}, token=admin)
    assert late.status == 400 and late.json["current_status"] == "published"
    assert events.call("PATCH", path + "/metadata", {"description": "Better words"}, token=admin).json["description"] == "Better words"

    assert events.post(path + "/open", {"member_count": 5}, token=admin).status == 410
    assert events.post(path + "/resume", token=admin).status == 400
    assert events.post(path + "/pause", token=admin).json["status"] == "paused"
    assert events.post(path + "/resume", token=admin).json["status"] == "published"
    assert events.post(path + "/archive", token=admin).status == 400
    closed = events.post(path + "/close", token=admin)
    assert closed.json["status"] == "closed" and is_iso_time(closed.json["closed_at"])
    assert events.post(path + "/close", token=admin).status == 400
    assert events.post(path + "/archive", token=admin).json["status"] == "archived"
    assert events.call("DELETE", path, token=superuser).status == 400
    actions = [row[0] for row in stack.sql("select action from elections.audit where election_id = %s and success order by seq",
                                           (row["id"],))]
    assert actions == ["create_election", "update_draft", "open_election", "update_metadata", "pause_election", "resume_election",
                       "close_election", "archive_election"]
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


def test_admin_create_and_change_name_the_bad_field(events, admin):
    good = {"title": "T", "question": "Q", "answers": ["a", "b"]}
    for change, field in (({"title": None}, "title"), ({"title": " "}, "title"), ({"title": 5}, "title"), ({"question": ""}, "question"),
                          ({"answers": ["a"]}, "answers"), ({"answers": "ab"}, "answers"), ({"answers": ["a", "A"]}, "answers"),
                          ({"answers": ["a", 5]}, "answers"), ({"title": "x" * 256}, "title")):
        reply = events.post("/api/admin/elections", {**good, **change}, token=admin)
        assert reply.status == 400 and reply.json["field"] == field and field in reply.json["message"], (change, reply)
    row = draft(events, admin)
    path = f"/api/admin/elections/{row['id']}"
    assert events.call("PATCH", path + "/draft", {}, token=admin).status == 400
    assert events.call("PATCH", path + "/metadata", {}, token=admin).status == 400
    assert events.call("PATCH", path + "/metadata", {"title": ""}, token=admin).status == 400


def test_admin_create_repeated_gives_one_election(stack, events):
    claims = person(roles=("admin",))
    token = stack.cloud.token(**claims)
    body = {"title": "Repeated", "question": "Q", "answers": ["a", "b"]}
    keyed = [events.post("/api/admin/elections", body, token=token, headers={"X-Idempotency-Key": "same"}) for _ in range(2)]
    assert keyed[0].json["id"] == keyed[1].json["id"]
    assert events.post("/api/admin/elections", body, token=token).json["id"] == keyed[0].json["id"], "the portal repeats POST"


def test_admin_two_at_once_one_is_told_400(events, admin):
    path = f"/api/admin/elections/{draft(events, admin)['id']}/publish"
    statuses = sorted(in_parallel([lambda: events.post(path, token=admin).status] * 6))
    assert statuses == [200] + [400] * 5


def test_admin_draft_is_deleted_by_a_superuser_only(events, admin, superuser):
    path = f"/api/admin/elections/{draft(events, admin)['id']}"
    assert events.call("DELETE", path, token=admin).status == 403
    gone = events.call("DELETE", path, token=superuser)
    assert gone.status == 200 and gone.json["election"]["status"] == "deleted" and is_iso_time(gone.json["election"]["deleted_at"])
    assert events.call("DELETE", path, token=superuser).status == 400


@pytest.mark.parametrize("query, limit, offset", [("", 50, 0), ("?limit=3", 3, 0), ("?limit=abc&offset=x", 50, 0), ("?limit=-1&offset=-5", 50, 0),
                                                  ("?limit=999999", 200, 0), ("?limit=2&offset=1", 2, 1), ("?limit=0", 50, 0)])
def test_admin_list_paging_never_fails(events, admin, query, limit, offset):
    draft(events, admin)
    reply = events.get("/api/admin/elections" + query, token=admin)
    assert reply.status == 200 and reply.json["limit"] == limit and reply.json["offset"] == offset
    assert reply.json["count"] == len(reply.json["elections"]) <= limit
    assert set(reply.json["elections"][0]) == {"id", "title", "description", "status", "created_at", "updated_at", "created_by"}


def test_admin_list_by_status(events, admin):
    draft(events, admin)
    drafts = events.get("/api/admin/elections?status=draft", token=admin).json["elections"]
    assert drafts and {row["status"] for row in drafts} == {"draft"}
    assert events.get("/api/admin/elections?status=nonsense", token=admin).status == 400


def test_admin_status_tokens_and_results(stack, events, admin):
    elections = stack.service("elections")
    election = create_election(stack)
    path = f"/api/admin/elections/{election}"
    issued = [events.post(f"/api/request-token?election_id={election}", token=member(stack)[1]).json["token"] for _ in range(8)]
    canary(*issued)
    for token, answer in zip(issued, ("yes", "yes", "no")):
        assert vote(elections, token, answer).status == 201

    status = events.get(path + "/status", token=admin).json
    assert status["election"]["id"] == election and is_iso_time(status["election"]["voting_period"]["start"])
    assert status["token_statistics"] == {"total": 8, "used": 3, "unused": 5, "participation_rate": "37.50%"}
    counted = events.get(path + "/tokens", token=admin).json
    assert counted["token_distribution"] == {"total": 8, "used": 3, "unused": 5, "expired": 0, "usage_rate": "37.50%"}
    assert is_iso_time(counted["token_timeline"]["first_issued"]) and float(counted["token_timeline"]["avg_expiration_hours"]) > 0

    assert events.get(path + "/results", token=admin).status == 403
    end_in_the_past(stack, election)
    results = events.get(path + "/results", token=admin).json
    assert results["election"]["status"] == "closed"
    assert (results["results"]["total_votes"], results["results"]["eligible_voters"]) == (3, 8)
    assert results["results"]["participation_rate"] == "37.50%"
    assert results["results"]["answers"] == [{"text": "yes", "votes": 2, "percentage": "66.67%"},
                                             {"text": "no", "votes": 1, "percentage": "33.33%"},
                                             {"text": "abstain", "votes": 0, "percentage": "0%"}]


def test_admin_empty_election_shows_no_shares(stack, events, admin):
    election = create_election(stack)
    assert events.get(f"/api/admin/elections/{election}/status", token=admin).json["token_statistics"]["participation_rate"] == "N/A"
    close_election(stack, election)
    results = events.get(f"/api/admin/elections/{election}/results", token=admin).json["results"]
    assert results["participation_rate"] == "0%" and {answer["percentage"] for answer in results["answers"]} == {"0%"}


def test_admin_unknown_path_is_401_then_403_then_404(stack, events, admin):
    for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
        assert events.call(method, "/api/admin/nowhere/at/all").status == 401
        assert events.call(method, "/api/admin/nowhere", token=member(stack)[1]).status == 403
        assert events.call(method, "/api/admin/nowhere", token=admin).status == 404


# --- reset ----------------------------------------------------------------------------------------------------


def test_reset_is_off_unless_everything_allows_it(stack, events, admin, superuser):
    path = "/api/admin/reset-election"
    assert events.post(path, {"scope": "mine"}, token=admin).status == 403
    assert events.post(path, {"scope": "mine"}, token=superuser).status == 403
    claims = person(roles=("superuser",))
    token = stack.cloud.token(**claims)
    listed = stack.start("events", ADMIN_RESET_ENABLED="true", ALLOWED_RESET_UIDS=f"x, {claims['uid']}", ENVIRONMENT="production")
    assert listed.post(path, {"scope": "all", "confirm": "RESET ALL"}, token=token).status == 403, "production"
    assert listed.post(path, {"scope": "some"}, token=token).status == 400
    assert listed.post(path, {"scope": "mine"}, token=superuser).status == 403, "another superuser"


def test_reset_works_in_a_rehearsal_and_frees_no_used_token(own_stack):
    stack = own_stack
    claims = person(roles=("superuser",))
    token = stack.cloud.token(**claims)
    events = stack.start("events", ADMIN_RESET_ENABLED="true", ALLOWED_RESET_UIDS=claims["uid"], ADMIN_RESET_MIN_INTERVAL_SEC="600")
    elections = stack.service("elections")
    path = "/api/admin/reset-election"
    election = create_election(stack)
    stack.sql("update elections.organisations set reset_allowed = true")
    first = canary(events.post("/api/request-token", token=token).json["token"]) and True
    assert first
    mine = events.post(path, {"scope": "mine"}, token=token)
    assert mine.status == 200 and mine.json["scope"] == "mine" and mine.json["performed_by"] == claims["uid"]
    assert set(mine.json["before"]) == {"events_tokens", "elections_tokens", "elections_ballots"}
    again = events.post("/api/request-token", token=token).json["token"]
    canary(again)
    assert vote(elections, again).status == 201
    assert events.post(path, {"scope": "mine"}, token=token).status == 409
    assert events.post(path, {"scope": "all"}, token=token).status == 400
    done = events.post(path, {"scope": "all", "confirm": "RESET ALL"}, token=token)
    assert done.status == 200 and done.json["after"]["elections_ballots"] == 0
    soon = events.post(path, {"scope": "all", "confirm": "RESET ALL"}, token=token)
    assert soon.status == 429 and soon.json["error"] == "Too Many Requests" and int(soon.headers["retry-after"]) == soon.json["retryAfter"] > 0
    assert vote(elections, register(elections, election)).status == 201, "voting works right afterwards"


def test_admin_refused_action_of_an_operator_is_in_the_trail_that_of_a_stranger_not(stack, events):
    """V-F2: also what does not reach the election's own function."""
    admin, stranger = (stack.cloud.token(**person(roles=roles)) for roles in (("member", "admin"), ("member",)))
    election = create_election(stack, open_it=False)

    def trail():
        return stack.sql("select action, success, details->>'code' from elections.audit where action in ('delete_draft', 'reset_election')"
                         " and (election_id = %s or election_id is null) order by seq desc limit 3", (election,))
    before = trail()
    assert events.call("DELETE", f"/api/admin/elections/{election}", token=stranger).status == 403
    assert events.post("/api/admin/reset-election", {"scope": "mine"}, token=stranger).status == 403
    assert trail() == before
    assert events.call("DELETE", f"/api/admin/elections/{election}", token=admin).status == 403
    assert trail()[0] == ("delete_draft", False, "superadmin")
    superuser = stack.cloud.token(**person(roles=("member", "superuser")))
    assert events.post("/api/admin/reset-election", {"scope": "mine"}, token=superuser).status == 403, "switched off"
    assert trail()[0] == ("reset_election", False, "forbidden")


@pytest.mark.parametrize("settings, guarded", [
    ({"APP_CHECK_MODE": "enforce"}, {"member", "operator"}), ({"APP_CHECK_MODE": "enforce", "APP_CHECK_ADMIN_MODE": "off"}, {"member"}),
    ({"APP_CHECK_MODE": "off", "APP_CHECK_ADMIN_MODE": "enforce"}, {"operator"}), ({"APP_CHECK_MODE": "monitor"}, set())])
def test_app_check_is_a_setting_of_each_group(stack, admin, settings, guarded):
    events = stack.start("events", **settings)
    for group, path in (("member", "/api/my-status"), ("operator", "/api/admin/elections")):
        usual = stack.service("events").get(path, token=admin).status
        bare = events.get(path, token=admin)
        if group not in guarded:
            assert bare.status == usual, (group, bare)
            continue
        assert bare.status == 403 and bare.json["code"] == "MISSING_APP_CHECK_TOKEN"
        bad = events.get(path, token=admin, headers={"X-Firebase-AppCheck": "x"})
        assert bad.status == 403 and bad.json["code"] == "INVALID_APP_CHECK_TOKEN"
        assert events.get(path, token=admin, headers={"X-Firebase-AppCheck": stack.cloud.app_check()}).status == usual
