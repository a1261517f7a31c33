"""Member routes of elections: who sees and votes what, paging, the errors of the contract's §2.2, shapes (openapi.yaml)."""

import json
import secrets
import threading
import time

import pytest

from elections_support import (MEMBER, UNKNOWN_ID, Caller, elections, manager, member, set_state, sign_in,  # noqa: F401
                               superuser)
from suite import person
from voting import ballots, in_parallel, one, register, vote, voting_token

ABSENT = object()


# --- who may (V-O1, V-A1, V-A11, V-A14) -----------------------------------------------------------------------


MEMBER_CLAIMS = [True, False, ABSENT, None, "true", 1]
ROLES = [["member"], [], ABSENT, ["admin"], ["superuser"], ["member", "admin"], "admin", "member admin", {"0": "admin"},
         ["administrator"], [["admin"]], True]


def is_operator(roles):
    return isinstance(roles, list) and ("admin" in roles or "superuser" in roles)


def everybody(number):
    """Claims of one person for every combination; those of an even number have no kennitala."""
    for claim in MEMBER_CLAIMS:
        for roles in ROLES:
            claims = person(member=None)
            if claim is not ABSENT:
                claims["isMember"] = claim
            claims["roles"] = roles
            if roles is ABSENT:
                del claims["roles"]
            if number == "without kennitala":
                del claims["kennitala"]
            yield claims, claim is True and "kennitala" in claims, is_operator(roles)


@pytest.mark.parametrize("number", ["with kennitala", "without kennitala"])
def test_eligibility_every_combination_of_claims_and_roles(stack, manager, number):
    title = secrets.token_hex(8)
    elections = {kind: manager.publish(title=f"{title} {kind}", eligibility=kind) for kind in ("members", "admins", "all")}
    people = list(everybody(number))
    tokens = stack.cloud.tokens([claims for claims, _, _ in people])
    service, cast = manager.service, dict.fromkeys(elections, 0)
    for (claims, is_member, is_admin), token in zip(people, tokens):
        caller = Caller(service, claims, token)
        may = {"members": is_member, "admins": is_admin, "all": True}
        listed = {row["id"] for row in caller.list().json["elections"]}
        for kind, election in elections.items():
            wanted = may[kind]
            assert (election in listed) == wanted, (kind, claims)
            assert caller.get(election).status == (200 if wanted else 403), (kind, claims)
            assert caller.results(election).status == 403
            assert caller.vote(election, "Já").status == (201 if wanted else 403), (kind, claims)
            cast[kind] += wanted
    assert {kind: ballots(stack, election) for kind, election in elections.items()} == cast
    assert cast["all"] == len(people) and cast["members"] == (len(ROLES) if number == "with kennitala" else 0)
    # Results follow the same rule.
    for kind, election in elections.items():
        manager.close(election)
        for (claims, is_member, is_admin), token in list(zip(people, tokens))[::5]:
            may = {"members": is_member, "admins": is_admin, "all": True}
            reply = Caller(service, claims, token).results(election)
            assert reply.status == (200 if may[kind] else 403), (kind, claims)


def test_eligibility_refusal_names_no_roles(manager):
    election = manager.publish()
    reply = manager.vote(election, "Já")
    assert reply.status == 403 and reply.json["code"] == "NOT_ELIGIBLE"
    assert set(reply.json) == {"error", "message", "code", "correlation_id"}


def test_vote_one_person_has_one_ballot_whichever_way(stack, elections, manager, member):
    """The member's slot is the one events would compute: signed in and with a token it is the same voter."""
    election = manager.publish(answers=["yes", "no", "abstain"])
    other = sign_in(stack, claims={**member.claims, "uid": "uid-second-" + secrets.token_hex(8)})
    hyphened = dict(member.claims, uid="uid-third-" + secrets.token_hex(8))
    hyphened["kennitala"] = hyphened["kennitala"][:6] + "-" + hyphened["kennitala"][6:]
    third = sign_in(stack, claims=hyphened)
    assert member.vote(election, "yes").status == 201
    for again in (member, other, third):
        reply = again.vote(election, "no")
        assert reply.status == 409 and "already voted" in reply.json["message"]
        assert again.get(election).json["election"]["has_voted"] is True
    upper = member.call("POST", f"{MEMBER}/{election.upper()}/vote", {"answer_ids": ["no"]})
    assert upper.status == 409
    assert ballots(stack, election) == 1


def test_vote_slot_is_the_one_of_events(stack, elections, manager, member):
    events = stack.service("events")
    election = manager.publish(answers=["yes", "no", "abstain"])
    reply = events.post(f"/api/request-token?election_id={election}", {}, token=member.token)
    assert reply.status == 200, reply
    assert vote(elections, reply.json["token"]).status == 201
    assert member.vote(election, "no").status == 409
    assert member.get(election).json["election"]["has_voted"] is True


# --- lists -----------------------------------------------------------------------------------------------------


def test_list_is_newest_first_and_pages(stack):
    own = stack.start("elections", ORG_ID=new_tenant(stack))
    boss, caller = sign_in(stack, own, roles=("admin",)), sign_in(stack, own)
    made = [boss.publish(title=f"number {n}") for n in range(7)]
    boss.publish(eligibility="admins")
    boss.create()
    assert boss.act(boss.publish(), "hide").status == 200
    full = caller.list().json
    assert [row["id"] for row in full["elections"]] == made[::-1]
    assert full["pagination"] == {"total": 7, "limit": 50, "offset": 0, "has_more": False}
    page = caller.list("?limit=3&offset=3").json
    assert [row["id"] for row in page["elections"]] == made[::-1][3:6]
    assert page["pagination"] == {"total": 7, "limit": 3, "offset": 3, "has_more": True}
    assert caller.list("?limit=3&offset=4").json["pagination"]["has_more"] is False
    beyond = caller.list("?offset=1000").json
    assert beyond["elections"] == [] and beyond["pagination"]["total"] == 7
    # The operator sees them all, under the other spelling.
    rows = boss.call("GET", "/api/admin/elections?limit=4").json
    assert rows["pagination"] == {"total": 9, "limit": 4, "offset": 0, "hasMore": True} and len(rows["elections"]) == 4
    assert boss.call("GET", "/api/admin/elections?includeHidden=true").json["pagination"]["total"] == 10


def new_tenant(stack):
    return one(stack, "insert into elections.organisations (slug, name) values (%s, 'Test') returning id::text",
               ("t-" + secrets.token_hex(6),))[0]


@pytest.mark.parametrize("query,limit,offset", [
    ("", 50, 0), ("?limit=0", 50, 0), ("?limit=-4", 1, 0), ("?limit=abc", 50, 0), ("?limit=", 50, 0), ("?limit=1e3", 50, 0),
    ("?limit=101", 100, 0), ("?limit=99999999999999999999999", 100, 0), ("?limit=-99999999999999999999999", 1, 0),
    ("?limit=%20", 50, 0), ("?limit=7&limit=9", 7, 0), ("?offset=-1", 50, 0), ("?offset=abc", 50, 0),
    ("?offset=99999999999999999999999", 50, 2147483647), ("?offset=12", 50, 12), ("?x=1&&=&y", 50, 0)])
def test_list_odd_paging_falls_back(member, query, limit, offset):
    reply = member.list(query)
    assert reply.status == 200
    assert reply.json["pagination"]["limit"] == limit and reply.json["pagination"]["offset"] == offset


def test_list_filters_by_status_in_effect(stack, manager, member):
    by_state = {state: set_state(stack, manager, state) for state in ("published", "paused", "closed", "archived", "ended")}
    for status, states in {"published": ["published"], "paused": ["paused"], "closed": ["closed", "ended"],
                           "archived": ["archived"]}.items():
        rows = member.list(f"?status={status}").json["elections"]
        assert {row["status"] for row in rows} == {status}
        ids = {row["id"] for row in rows}
        assert {state for state, election in by_state.items() if election in ids} == set(states)
    for bad in ("draft", "open", "PUBLISHED", "published,closed", "%27"):
        assert member.list(f"?status={bad}").status == 400
    assert member.list("?status=").status == 200


def test_list_says_where_the_caller_voted(manager, member):
    mine, other = manager.publish(), manager.publish()
    assert member.vote(mine, "Já").status == 201
    rows = {row["id"]: row["has_voted"] for row in member.list().json["elections"]}
    assert rows[mine] is True and rows[other] is False
    # Closing rewrites who took part; it stays known.
    manager.close(mine)
    assert {row["id"]: row["has_voted"] for row in member.list().json["elections"]}[mine] is True


def test_read_replies_are_tagged_and_personal(member, manager):
    election = manager.publish()
    first = member.get(election)
    assert first.headers["etag"].startswith('W/"') and "private" in first.headers["cache-control"]
    again = member.service.get(f"{MEMBER}/{election}", token=member.token, headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304 and again.body == b""
    head = member.service.call("HEAD", f"{MEMBER}/{election}", token=member.token)
    assert head.status == 200 and head.body == b""
    manager.close(election)
    assert "no-store" in member.results(election).headers["cache-control"]


# --- the error columns of §2.2 ---------------------------------------------------------------------------------


BAD_IDS = ["1", "x", "null", "00000000-0000-4000-8000-00000000000", "00000000-0000-4000-8000-0000000000000", "%20",
           "%27%20or%201=1", "00000000_0000_4000_8000_00000000dead", "%C3%A1", "{id}", "..%2f", UNKNOWN_ID]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_member_routes_unknown_or_malformed_id_is_404(member, bad):
    assert member.get(bad).status == 404
    assert member.vote(bad, "Já").status == 404
    assert member.results(bad).status == 404


@pytest.mark.parametrize("state,get,cast,results", [
    # status of detail, vote and results; code of the vote's refusal
    ("draft", 404, (404, None), 404), ("hidden", 404, (404, None), 404),
    ("published", 200, (201, None), 403), ("early", 200, (403, "NOT_STARTED"), 403),
    ("ended", 200, (403, "ENDED"), 200), ("paused", 200, (403, "PAUSED"), 403),
    ("closed", 200, (403, "ENDED"), 200), ("archived", 200, (403, "ENDED"), 200)])
def test_member_routes_in_every_state(stack, manager, member, state, get, cast, results):
    election = set_state(stack, manager, state)
    assert member.get(election).status == get
    reply = member.vote(election, "Já")
    assert (reply.status, reply.json.get("code")) == cast
    # A selection that is wrong as well changes nothing: the state is judged first.
    assert member.vote(election, "Kannski").status == (400 if state == "published" else cast[0])
    assert member.results(election).status == results


@pytest.mark.parametrize("body", [
    {}, [], {"answer_ids": None}, {"answer_ids": "Já"}, {"answer_ids": []}, {"answer_ids": {}}, {"answer_ids": {"0": "Já"}},
    {"answer_ids": [1]}, {"answer_ids": ["Já", None]}, {"answer_ids": [["Já"]]}, {"answer_ids": [{"id": "Já"}]},
    {"answer_ids": [True]}, {"answer_ids": 3}, {"answer_ids": True}, {"Answer_ids": ["Já"]}, {"answer_id": ["Já"]}])
def test_vote_answer_ids_of_a_wrong_type_is_400(stack, manager, member, body):
    election = manager.publish()
    reply = member.call("POST", f"{MEMBER}/{election}/vote", body)
    assert reply.status == 400 and "answer_ids" in reply.json["message"]
    assert ballots(stack, election) == 0


@pytest.mark.parametrize("kind,answers,words", [
    ("single-choice", ["Kannski"], "Kannski"), ("single-choice", ["já"], "já"), ("single-choice", ["Já", "Nei"], "exactly one"),
    ("single-choice", ["Já", "Já"], "exactly one"), ("single-choice", [""], "offer"), ("single-choice", ['"\\{},'], "offer"),
    ("single-choice", ["Já", "Kannski"], "Kannski"), ("single-choice", ["x" * 5000], "offer"),
    ("multi-choice", ["Já", "Nei", "Sit hjá"], "more answers"), ("multi-choice", ["Já", "Já"], "once"),
    ("multi-choice", ["Kannski", "Já", "Alls ekki"], "Kannski, Alls ekki"), ("multi-choice", ["Já"] * 1001, "more answers"),
    ("multi-choice", ["Já"] * 1000, "more answers")])
def test_vote_wrong_selection_is_400_and_says_why(stack, manager, member, kind, answers, words):
    election = manager.publish(voting_type=kind, max_selections=1 if kind == "single-choice" else 2)
    reply = member.vote(election, *answers)
    assert reply.status == 400 and words in reply.json["message"]
    assert len(reply.body) < 2000
    assert ballots(stack, election) == 0


@pytest.mark.parametrize("method,path,body", [
    ("GET", MEMBER, None), ("GET", f"{MEMBER}/{UNKNOWN_ID}", None), ("POST", f"{MEMBER}/{UNKNOWN_ID}/vote", {"answer_ids": ["x"]}),
    ("GET", f"{MEMBER}/{UNKNOWN_ID}/results", None)])
def test_member_routes_without_a_good_token_are_401(stack, elections, method, path, body):
    good = stack.cloud.token(**person())
    cases = [({}, "MISSING_AUTH_TOKEN"), ({"Authorization": good}, "MISSING_AUTH_TOKEN"),
             ({"Authorization": f"bearer {good}"}, "MISSING_AUTH_TOKEN"), ({"Authorization": f"Bearer  {good}"}, "MISSING_AUTH_TOKEN"),
             ({"Authorization": "Bearer x"}, "INVALID_AUTH_TOKEN"), ({"Authorization": f"Bearer {voting_token()}"}, "INVALID_AUTH_TOKEN"),
             ({"Authorization": f"Bearer {stack.cloud.token(**person(), ttl_s=-100)}"}, "INVALID_AUTH_TOKEN"),
             ({"Authorization": f"Bearer {stack.cloud.token(**person(), aud='other')}"}, "INVALID_AUTH_TOKEN"),
             ({"X-API-Key": stack.secret["s2s-key"]}, "MISSING_AUTH_TOKEN")]
    for headers, code in cases:
        reply = elections.call(method, path, body, headers=headers)
        assert reply.status == 401 and reply.json["code"] == code, headers
        assert set(reply.json) == {"error", "message", "code", "correlation_id"}


@pytest.mark.parametrize("body,status", [(b"{", 400), (b'{"a":1}x', 400), (b'"x"', 400), (b"\xff", 400), (b"[" * 100, 400),
                                         (b'{"answer_ids":["\\ud800"]}', 400), (b'{"answer_ids":["\\u0000"]}', 400),
                                         (b'{"a":1,"a":2}', 400), (b"x" * 70000, 413)])
def test_vote_malformed_body_is_refused_before_authentication(elections, body, status):
    reply = elections.post(f"{MEMBER}/{UNKNOWN_ID}/vote", body, headers={"Content-Type": "application/json"})
    assert reply.status == status and reply.json["error"] and reply.headers["x-correlation-id"]


def test_vote_body_of_another_type_counts_as_empty(manager, member):
    election = manager.publish()
    reply = member.call("POST", f"{MEMBER}/{election}/vote", b'{"answer_ids":["J\xc3\xa1"]}', headers={"Content-Type": "text/plain"})
    assert reply.status == 400
    reply = member.call("POST", f"{MEMBER}/{election}/vote", b"{}", headers={"Content-Type": "application/json; charset=iso-8859-1"})
    assert reply.status == 415


# --- voting ----------------------------------------------------------------------------------------------------


def test_vote_first_time_is_stored_and_acknowledged(stack, manager, member):
    election = manager.publish()
    reply = member.vote(election, "Nei")
    assert reply.status == 201 and len(reply.json["ballot_ids"]) == 1
    assert stack.sql("select id::text, answer_id, answer_text from elections.ballots where election_id = %s", (election,)) == [
        (reply.json["ballot_ids"][0], "Nei", "Nei")]
    again = member.vote(election, "Já")
    assert again.status == 409 and again.json["code"] == "ALREADY_VOTED" and "already voted" in again.json["message"]


def test_vote_any_name_the_portal_may_derive_is_accepted(stack, manager):
    answers = [{"id": "a-1", "answer_id": "b-1", "text": "Fyrsti", "answer_text": "Fyrsti kostur"}, {"text": "Annar"}, "Þriðji"]
    election = manager.publish(answers=answers)
    for name in ("a-1", "b-1", "Fyrsti", "Fyrsti kostur", "Annar", "Þriðji"):
        assert sign_in(stack).vote(election, name).status == 201, name
    stored = stack.sql("select answer_id, answer_text, count(*) from elections.ballots where election_id = %s group by 1, 2",
                       (election,))
    assert sorted(stored) == [("Annar", "Annar", 1), ("a-1", "Fyrsti", 4), ("Þriðji", "Þriðji", 1)]


def test_vote_ten_options_of_200_icelandic_characters(stack, manager):
    """V-O7, from creating to counting."""
    texts = [("ÞæöðýÁÉÍÓÚ" * 20)[:198] + f"{n:02}" for n in range(10)]
    assert all(len(text) == 200 for text in texts)
    election = manager.publish(title="Æ" * 255, answers=[{"answer_text": text, "display_order": n} for n, text in enumerate(texts)],
                               voting_type="multi-choice", max_selections=10)
    voter = sign_in(stack)
    shown = voter.get(election).json["election"]
    assert [answer["answer_text"] for answer in shown["answers"]] == texts and shown["title"] == "Æ" * 255
    reply = voter.vote(election, *texts)
    assert reply.status == 201 and len(set(reply.json["ballot_ids"])) == 10
    assert sign_in(stack).vote(election, texts[3]).status == 201
    manager.close(election)
    results = voter.results(election).json
    assert results["total_voters"] == 2 and results["total_votes"] == 11
    assert results["winner"]["text"] == texts[3] and results["winner"]["votes"] == 2
    assert sorted(row["text"] for row in results["results"]) == sorted(texts)


def test_vote_odd_texts_stay_what_they_are(stack, manager):
    texts = ['"', "\\", "{a,b}", "NULL", "'; drop table x; --", "a\tb", "🗳️ já", "0", "<b>", "a\nb"]
    election = manager.publish(answers=texts, voting_type="multi-choice", max_selections=len(texts))
    voter = sign_in(stack)
    assert voter.vote(election, *texts).status == 201
    manager.close(election)
    rows = voter.results(election).json["results"]
    assert sorted(row["answer_id"] for row in rows) == sorted(texts) and {row["votes"] for row in rows} == {1}


def test_vote_same_key_gets_the_same_answer(stack, manager, member):
    election, key = manager.publish(), secrets.token_hex(16)
    first, again = member.vote(election, "Já", key=key), member.vote(election, "Já", key=key)
    assert (first.status, again.status) == (201, 201) and first.json == again.json
    assert again.headers["idempotent-replayed"] == "true"
    assert member.vote(election, "Nei", key=key).status == 422
    assert member.vote(election, "Já", key=secrets.token_hex(16)).status == 409
    # A key of somebody else is another key.
    assert sign_in(stack).vote(election, "Já", key=key).status == 201
    assert ballots(stack, election) == 2


def test_vote_from_many_at_once_is_stored_once(stack, manager, member):
    election, key = manager.publish(), secrets.token_hex(16)

    def told():
        while (reply := member.vote(election, "Já", key=key)).status == 503:
            assert reply.headers["retry-after"] == "1"
            time.sleep(0.1)
        return reply
    replies = in_parallel([told] * 12)
    assert {reply.status for reply in replies} == {201} and len({reply.json["ballot_ids"][0] for reply in replies}) == 1
    assert ballots(stack, election) == 1


def test_vote_of_many_while_the_election_row_is_held(stack, manager):
    """No vote waits for the election's row, whoever holds it (V-E2)."""
    election = manager.publish()
    people = [person() for _ in range(40)]
    voters = [Caller(manager.service, claims, token) for claims, token in zip(people, stack.cloud.tokens(people))]
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select 1 from elections.elections where id = %s for update", (election,))
        statuses = in_parallel([lambda voter=voter: voter.vote(election, "Já").status for voter in voters])
        holder.rollback()
    holder.close()
    assert statuses == [201] * 40 and ballots(stack, election) == 40


def test_vote_at_closing_is_counted_or_refused(stack, manager):
    election = manager.publish()
    people = [person() for _ in range(30)]
    voters = [Caller(manager.service, claims, token) for claims, token in zip(people, stack.cloud.tokens(people))]
    closing = threading.Timer(0.05, lambda: manager.close(election))
    closing.start()
    statuses = in_parallel([lambda voter=voter: voter.vote(election, "Já").status for voter in voters])
    closing.join()
    assert set(statuses) <= {201, 403, 503}
    results = manager.admin("GET", election, "results").json
    assert results["total_voters"] == statuses.count(201) == ballots(stack, election)
    assert results["counts"]["mismatch"] == []


def test_vote_leaves_nothing_that_joins_voter_and_choice(stack, manager, member):
    election, key = manager.publish(), secrets.token_hex(16)
    mark = member.service.log_mark()
    reply = member.vote(election, "Nei", key=key)
    lines = [line for line in member.service.logs(mark) if line.get("route") == "/api/elections/{id}/vote"]
    assert lines and all(set(lines[-1]).isdisjoint({"caller", "client", "correlation_id", "user_agent"}) for _ in lines)
    ballot = reply.json["ballot_ids"][0]
    assert ballot not in member.service.log_text()
    audit = json.dumps([str(row) for row in stack.sql("select * from elections.audit where election_id = %s", (election,))])
    assert ballot not in audit and member.claims["uid"] not in audit and "Nei" not in audit
    # A refused vote keeps its correlation id, and says nothing of the selection.
    member.vote(election, "Já", key=secrets.token_hex(8))
    line = member.service.wait_log(lambda line: line.get("route") == "/api/elections/{id}/vote" and line["status"] == 409, mark)
    assert line["correlation_id"] and line["reason"] == "used" and "Já" not in json.dumps(line, ensure_ascii=False)
    tables = {table: stack.sql(f"select {table}::text from elections.{table} {table} where election_id = %s", (election,))
              for table in ("ballots", "participation")}
    for rows in tables.values():
        for person_value in (member.claims["uid"], member.claims["kennitala"]):
            assert person_value not in str(rows)


# --- results ---------------------------------------------------------------------------------------------------


def cast_all(stack, election, *votes):
    for answers in votes:
        assert sign_in(stack).vote(election, *answers).status == 201


def test_results_single_choice_count_percentages_and_order(stack, manager, member):
    election = manager.publish()
    cast_all(stack, election, ["Nei"], ["Nei"], ["Já"])
    assert member.results(election).status == 403
    assert manager.admin("GET", election, "results").status == 400
    manager.close(election)
    results = member.results(election).json
    assert [(row["text"], row["votes"], row["percentage"], row["percentage_of_selections"]) for row in results["results"]] == [
        ("Nei", 2, 66.67, 66.67), ("Já", 1, 33.33, 33.33), ("Sit hjá", 0, 0, 0)]
    assert results["winner"]["answer_id"] == "Nei" and results["tie"] is None
    assert (results["total_votes"], results["total_voters"]) == (3, 3)
    admin = manager.admin("GET", election, "results").json
    assert [row["answer_text"] for row in admin["results"]] == ["Nei", "Já", "Sit hjá"]
    assert len(admin["answers"]) == 3 and admin["winner"]["answer_text"] == "Nei"


def test_results_multi_choice_percentages_are_of_voters_and_of_selections(stack, manager, member):
    election = manager.publish(answers=["a", "b", "c", "d"], voting_type="multi-choice", max_selections=4)
    cast_all(stack, election, ["a", "b"], ["a", "b", "c"], ["a"])
    manager.close(election)
    results = member.results(election).json
    assert [(row["text"], row["votes"], row["percentage"], row["percentage_of_selections"]) for row in results["results"]] == [
        ("a", 3, 100, 50), ("b", 2, 66.67, 33.33), ("c", 1, 33.33, 16.67), ("d", 0, 0, 0)]
    assert (results["total_votes"], results["total_voters"]) == (6, 3)


def test_results_tie_has_no_winner(stack, manager, member):
    election = manager.publish()
    cast_all(stack, election, ["Nei"], ["Já"])
    manager.close(election)
    for results, name in ((member.results(election).json, "text"), (manager.admin("GET", election, "results").json, "answer_text")):
        assert results["winner"] is None and sorted(row[name] for row in results["tie"]) == ["Já", "Nei"]


def test_results_without_votes(manager, member):
    election = manager.publish()
    manager.close(election)
    results = member.results(election).json
    assert results["winner"] is None and results["tie"] is None and results["total_votes"] == 0
    assert [row["percentage"] for row in results["results"]] == [0, 0, 0]


def test_results_ballots_have_new_ids_after_closing(stack, manager, member):
    election = manager.publish()
    ballot = member.vote(election, "Já").json["ballot_ids"][0]
    manager.close(election)
    assert stack.sql("select 1 from elections.ballots where id = %s", (ballot,)) == []
    assert stack.sql("select voted_at from elections.ballots where election_id = %s", (election,)) == [(None,)]
    assert member.vote(election, "Já").status == 403
    assert member.get(election).json["election"]["has_voted"] is True


def test_results_no_route_tells_totals_before_close(stack, elections, manager, member):
    """V-O11, V-A5: turnout for operators, nothing else for anybody."""
    election = manager.publish(answers=["yes", "no", "abstain"])
    vote(elections, register(elections, election))
    member.vote(election, "no")
    detail = manager.admin("GET", election).json["election"]
    assert detail["vote_count"] == detail["total_votes"] == 2 and "mismatch" not in detail["counts"]
    replies = [member.get(election), member.results(election), manager.admin("GET", election, "results"),
               elections.signed("GET", f"/api/s2s/results?election_id={election}")]
    assert [reply.status for reply in replies] == [200, 403, 400, 403]
    for reply in replies:
        assert not {"votes", "percentage", "results", "total_votes", "total_voters"} & set(str(reply.json).replace("'", " ").split())
