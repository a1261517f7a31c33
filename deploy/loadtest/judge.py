"""What a load test has to reach, and how a run is held against the one before it.

A result, by the harness and by k6 alike: {"taken", "where", "scenes": {"burst" | "rate": {"votes", "recorded",
"failed", "p95_ms", "retries"}}, "stored"}. `stored` is the number of ballots found afterwards, null where nobody can look.
"""

P95_LIMIT_MS = 300  # the seeds: p95 < 300 ms, < 5 % errors, 300 votes in a second
FAILED_LIMIT = 0.05
WORSE = 1.5  # than the stored run; machines differ by less, a lost index by more
SCENES = ("burst", "rate")


def faults(result, stored=None):
    """What is wrong with a run, as sentences; [] is a pass."""
    found = []
    for name in SCENES:
        scene = result["scenes"].get(name)
        if scene is None:
            found.append(f"{name}: was not run")
            continue
        if scene["p95_ms"] >= P95_LIMIT_MS:
            found.append(f"{name}: p95 {scene['p95_ms']:.0f} ms; below {P95_LIMIT_MS} is asked for")
        if scene["failed"] >= FAILED_LIMIT * scene["votes"]:
            found.append(f"{name}: {scene['failed']} of {scene['votes']} votes failed; below 5 % is asked for")
        if scene["recorded"] + scene["failed"] != scene["votes"]:
            found.append(f"{name}: {scene['votes']} votes, {scene['recorded']} recorded, {scene['failed']} failed")
        before = (stored or {}).get("scenes", {}).get(name)
        if before and scene["p95_ms"] > WORSE * max(before["p95_ms"], 20):  # below 20 ms only the machine speaks
            found.append(f"{name}: p95 {scene['p95_ms']:.0f} ms, {before['p95_ms']:.0f} ms on {stored['taken'][:10]}")
    recorded = sum(scene["recorded"] for scene in result["scenes"].values())
    if result.get("stored") is not None and result["stored"] != recorded:
        found.append(f"{recorded} votes were acknowledged and {result['stored']} are stored")
    return found


def describe(result):
    rows = [f"{'':8}{'votes':>8}{'recorded':>10}{'failed':>8}{'retries':>9}{'p95':>10}"]
    for name, scene in result["scenes"].items():
        rows.append(f"{name:8}{scene['votes']:8}{scene['recorded']:10}{scene['failed']:8}{scene['retries']:9}"
                    f"{scene['p95_ms']:7.0f} ms")
    return "\n".join(rows)
