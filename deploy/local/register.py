"""The register's part of a journey: members enter Django, and everything that follows from there, over real HTTP.

enrol() puts people into Django as an import would, without signals; sync() brings them to Firestore as an operator
does; keep_in_step() changes one of them on both sides and reads the trail. Each raises RuntimeError when a number or a
value is not as it must be.
"""

import secrets
import time

import services
from records import Records

TRAIL = "members_audit_log"
PATIENCE_S = 30


class Register:
    """http(method, url, headers, body) gives (status, parsed body)."""

    def __init__(self, env, http):
        self.env, self.http = env, http
        self.api, self.token = env["DJANGO_API_BASE_URL"], env["DJANGO_API_TOKEN"]
        self.documents = f"{env['CLOUD_URL']}/v1/projects/{services.PROJECT_ID}/databases/(default)/documents"
        self.operator = f"operator-{secrets.token_hex(3)}"
        self.before = 0  # entries of the trail

    # --- the parts ----------------------------------------------------------------------------------------------

    def enrol(self, people):
        """people: dicts of ssn and name."""
        self.before = self._trail_length()
        self.must(200, "POST", f"{self.env['DJANGO_URL']}/_peer/members", body=people)

    def sync(self, people):
        """One full sync; its counts."""
        self.make_account(self.operator, roles=["admin"])
        reply = self.must(200, "POST", self.env["SYNCMEMBERS_URL"], self._as(self.operator, roles=["admin"]), {})
        stats = reply["result"]["stats"]
        if not reply["result"]["success"] or stats["synced"] != stats["total_members"] or stats["synced"] < len(people):
            raise RuntimeError(f"a full sync of {len(people)} members or more counted {stats}")
        for person in (people[0], people[-1]):
            if self.profile(person["ssn"])["name"]["stringValue"] != person["name"]:
                raise RuntimeError("a synced member is not in Firestore under her name")
        return stats

    def wait_for_trail(self, people):
        """Until each of them stands in the audit trail; the store tells of its changes one after the other."""
        deadline = time.monotonic() + PATIENCE_S + 0.1 * len(people)
        while self._trail_length() < self.before + len(people):
            if time.monotonic() > deadline:
                raise RuntimeError("the audit trail lacks changes that Firestore has")
            time.sleep(0.1)

    def keep_in_step(self, ssn, uid):
        """A change in Django, one by the member (whose account is uid), an operator's key, the trail of it all; how
        many entries that has."""
        django_id = int(self.document(ssn)["metadata"]["mapValue"]["fields"]["django_id"]["integerValue"])
        self.must(200, "PATCH", f"{self.api}/api/full/{django_id}/", self._django(), {"name": "Breytt nafn"})
        if self.profile(ssn)["name"]["stringValue"] != "Breytt nafn":
            raise RuntimeError("a change saved in Django is not in Firestore at once")
        result = self.must(200, "POST", self.env["UPDATEMEMBERPROFILE_URL"], self._as(uid, kennitala=ssn), {
            "data": {"kennitala": ssn, "updates": {"email": "felagi@example.is"}}})["result"]
        row = self.must(200, "GET", f"{self.api}/api/full/{django_id}/", self._django())
        if "partial" in result or row["contact_info"]["email"] != "felagi@example.is":
            raise RuntimeError("a member's own change is not in Django")
        operator = self._as(self.operator, roles=["admin"])
        if self.must(200, "POST", self.env["GET_DJANGO_TOKEN_URL"], operator)["token"] != self.token:
            raise RuntimeError("the operator did not get the register's key")
        trail = self._wait_for_trail(ssn, {"system", uid, self.operator})
        kept = self.must(200, "POST", self.env["CLEANUPAUDITLOGS_URL"], operator, {"data": {"keep_count": 0}})["result"]
        if kept["deleted"] != 0:
            raise RuntimeError("a clean-up removed entries of today")
        return trail

    # --- Firestore ----------------------------------------------------------------------------------------------

    def document(self, ssn):
        return self.must(200, "GET", f"{self.documents}/members/{ssn}", self._owner())["fields"]

    def profile(self, ssn):
        return self.document(ssn)["profile"]["mapValue"]["fields"]

    def _trail_length(self):
        query = {"structuredAggregationQuery": {"structuredQuery": {"from": [{"collectionId": TRAIL}]},
                                                "aggregations": [{"alias": "n", "count": {}}]}}
        rows = self.must(200, "POST", f"{self.documents}:runAggregationQuery", self._owner(), query)
        return int(rows[0]["result"]["aggregateFields"]["n"]["integerValue"])

    def _wait_for_trail(self, ssn, actors):
        """Until every one of actors is named in the trail of this member's number; how many entries it has."""
        query = {"structuredQuery": {"from": [{"collectionId": TRAIL}], "where": {"fieldFilter": {
            "field": {"fieldPath": "memberId"}, "op": "EQUAL", "value": {"stringValue": f"{ssn[:6]}-****"}}}}}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rows = self.must(200, "POST", f"{self.documents}:runQuery", self._owner(), query)
            entries = [row["document"]["fields"] for row in rows if "document" in row]
            missing = actors - {one["adminId"]["stringValue"] for one in entries}
            if not missing:
                return len(entries)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(missing)} of {len(actors)} writers are not in the audit trail")
            time.sleep(0.05)

    # --- who calls ----------------------------------------------------------------------------------------------

    def make_account(self, uid, roles):
        records = Records(self.env)
        records.account(uid)
        records.write({f"users/{uid}": {"roles": roles}})

    def _as(self, uid, **claims):
        reply = self.must(200, "POST", f"{self.env['CLOUD_URL']}/token", body={"uid": uid, **claims})
        return {"Authorization": f"Bearer {reply['idToken']}"}

    def _django(self):
        return {"Authorization": f"Token {self.token}"}

    @staticmethod
    def _owner():
        return {"Authorization": "Bearer owner"}

    def must(self, status, method, url, headers=None, body=None):
        got, reply = self.http(method, url, headers, body)
        if got != status:
            raise RuntimeError(f"{method} {url.partition('?')[0]} answered {got}")
        return reply
