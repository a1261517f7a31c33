"""The manifests of cloudrun/, and whether they fit the database.

A Cloud SQL instance takes max_connections; some are not ours. What is left has to hold
    pool of elections x instances of elections + pool of events x instances of events
because every instance may fill its pool at the same time, and in a meeting does.
"""

import os
import re

import yaml

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
MANIFESTS = os.path.join(ROOT, "cloudrun")

# max_connections of a tier, Cloud SQL's default for PostgreSQL.
TIERS = {"db-f1-micro": 25, "db-g1-small": 50}
USUAL_TIER = "db-f1-micro"
NOT_OURS = {"superuser": 3, "Cloud SQL's own": 2, "operators and schema changes": 2}
POOLED = ("elections", "events")
MAX_SCALE = "autoscaling.knative.dev/maxScale"


class DoesNotFit(ValueError):
    """The connections of all instances together are more than the database takes."""


def services():
    with open(os.path.join(ROOT, "deploy", "images", "services"), encoding="ascii") as names:
        return names.read().split()


def settings():
    """Values of ${NAME}: cloudrun/settings.env, and over it the environment."""
    values = {}
    with open(os.path.join(MANIFESTS, "settings.env"), encoding="utf-8") as lines:
        for line in lines:
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                values[name] = os.environ.get(name, value)
    return values


def source(service):
    with open(os.path.join(MANIFESTS, f"{service}.yaml"), encoding="utf-8") as text:
        return text.read()


def load(service):
    return yaml.safe_load(source(service))


def template(manifest):
    return manifest["spec"]["template"]


def container(manifest):
    return template(manifest)["spec"]["containers"][0]


def environment(manifest):
    """name -> value; of a secret the pair (secret, version)."""
    found = {}
    for entry in container(manifest)["env"]:
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        found[entry["name"]] = (reference["name"], reference["key"]) if reference else entry["value"]
    return found


def max_instances(manifest):
    return int(template(manifest)["metadata"]["annotations"][MAX_SCALE])


def pool(manifest):
    return int(environment(manifest)["DATABASE_POOL_MAX"])


def usable(tier):
    return TIERS[tier] - sum(NOT_OURS.values())


def elections_max(tier):
    """Instances of elections beside events at its largest."""
    events = load("events")
    return (usable(tier) - pool(events) * max_instances(events)) // pool(load("elections"))


def check_budget(manifests, tier):
    """manifests: name -> manifest, of both services. Raises DoesNotFit, which says the sum."""
    parts = {name: (pool(manifests[name]), max_instances(manifests[name])) for name in POOLED}
    total = sum(size * count for size, count in parts.values())
    text = " + ".join(f"{name} {size} x {count}" for name, (size, count) in parts.items())
    if total > usable(tier):
        raise DoesNotFit(f"{text} = {total} connections; {tier} has {TIERS[tier]}, less {sum(NOT_OURS.values())} "
                         f"({', '.join(f'{n} {what}' for what, n in NOT_OURS.items())}) = {usable(tier)}")
    for name in POOLED:
        own = environment(manifests[name])
        size, count = parts[name]
        if int(own["INSTANCES_MAX"]) != count:
            raise DoesNotFit(f"{name}: INSTANCES_MAX {own['INSTANCES_MAX']} is not maxScale {count}")
        if int(own["CONNECTION_BUDGET"]) < size * count:
            raise DoesNotFit(f"{name}: CONNECTION_BUDGET {own['CONNECTION_BUDGET']} is less than {size} x {count}")
    return f"{text} = {total} of {usable(tier)} connections on {tier}"


def for_tier(manifest, tier):
    """elections with as many instances as the tier takes; any other manifest and the usual tier as they stand."""
    if manifest["metadata"]["labels"]["service"] != "elections" or tier == USUAL_TIER:
        return manifest
    count = elections_max(tier)
    template(manifest)["metadata"]["annotations"][MAX_SCALE] = str(count)
    for entry in container(manifest)["env"]:
        if entry["name"] == "INSTANCES_MAX":
            entry["value"] = str(count)
        if entry["name"] == "CONNECTION_BUDGET":
            entry["value"] = str(count * pool(manifest))
    return manifest


def render(service, values, tier=USUAL_TIER):
    """The manifest as Cloud Run gets it. KeyError names a ${NAME} without a value."""

    return for_tier(fill_in(source(service), values), tier)


def fill_in(text, values):
    """YAML with a value for each ${NAME}, as data."""

    def value(match):
        if not values.get(match[1]):
            raise KeyError(match[1])
        return values[match[1]]

    return yaml.safe_load(re.sub(r"\$\{(\w+)\}", value, re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)))


def access():
    """service -> its roles and invokers."""
    return {name: entry for name, entry in access_file().items() if name not in ("helpers", "with_settings")}


def access_file():
    with open(os.path.join(MANIFESTS, "access.yaml"), encoding="utf-8") as text:
        return yaml.safe_load(text)


def grants_of_settings(manifest):
    """(role, kind, name) for what the manifest's settings switch on; of the project kind and name are None."""
    own = environment(manifest)
    for setting, grants in access_file()["with_settings"].items():
        name, _, value = setting.partition("=")
        if own.get(name) != value:
            continue
        for grant in grants:
            places = [(kind, own.get(key, usual)) for kind in ("topics", "subscriptions")
                      for key, usual in grant.get(kind, {}).items()]
            for kind, place in places or [(None, None)]:
                yield grant["role"], kind, place


def log_exclusion():
    with open(os.path.join(MANIFESTS, "log-exclusion"), encoding="utf-8") as text:
        return " ".join(text.read().split())
