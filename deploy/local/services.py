"""What each service of the local stack gets as its environment; the one place to add a service.

Values are templates: {name} is filled in by stack.Stack.environment(). The order is the order of start. A service
whose binary is not built is left out.
"""

PROJECT_ID = "demo-ekklesia"  # demo-… : the Firebase tools treat such a project as one without a cloud
S2S_KEY_ID = "events-1"
ADMIN_ROLE = "ekklesia_admin"
FIRST = "local-cloud"  # makes the key file that the others read when they start
DJANGO = "django"  # the member register: a real Django with the models and routes of the contract, tests/peers/django

# Secrets made once per stack: file name below secrets/ -> number of random bytes, stored as hex.
SECRETS = {
    "voter-key": 32,
    "elections-idempotency-key": 32,
    "events-idempotency-key": 32,
    "log-salt": 32,
    "s2s-key": 32,
    "login-uid-key": 32,
    "kenni-client-secret": 32,
    "sync-api-key": 32,
    "django-api-token": 20,
    "audit-key": 32,
}

LISTEN = {
    "PORT": "{port}",
    "METRICS_PORT": "{metrics_port}",
    "LISTEN_ADDRESS": "127.0.0.1",
}

VOTING = {
    **LISTEN,
    "DATABASE_HOST": "127.0.0.1",
    "DATABASE_PORT": "{database_port}",
    "DATABASE_NAME": "ekklesia",
    "DATABASE_USER": "{service}",
    "VOTER_KEY": "{secret[voter-key]}",
    "LOG_SALT": "{secret[log-salt]}",
    "FIREBASE_PROJECT_ID": PROJECT_ID,
    "FIREBASE_JWKS_URL": "{url[local-cloud]}/jwks",
    "APP_CHECK_JWKS_URL": "{url[local-cloud]}/app-check/jwks",
    "FIRESTORE_EMULATOR_HOST": "{host[local-cloud]}",  # the live records of members and accounts
    "FIREBASE_AUTH_EMULATOR_HOST": "{host[local-cloud]}",  # unsigned ID tokens pass too, as with Google's emulator
    "ALLOW_HTTP_UPSTREAMS": "true",
    "GCP_PROJECT_ID": PROJECT_ID,
    "ENVIRONMENT": "local",
}

# The members' platform: Google is local-cloud, and so is Kenni.
MEMBERS = {
    **LISTEN,
    "LOG_SALT": "{secret[log-salt]}",
    "FIREBASE_PROJECT_ID": PROJECT_ID,
    "FIREBASE_JWKS_URL": "{url[local-cloud]}/jwks",
    "APP_CHECK_JWKS_URL": "{url[local-cloud]}/app-check/jwks",
    "FIRESTORE_EMULATOR_HOST": "{host[local-cloud]}",
    "FIREBASE_AUTH_EMULATOR_HOST": "{host[local-cloud]}",
    "GOOGLE_APPLICATION_CREDENTIALS": "{secrets_dir}/service-account.json",  # made by local-cloud
    "ALLOW_HTTP_UPSTREAMS": "true",
    "GCP_PROJECT_ID": PROJECT_ID,
    "ENVIRONMENT": "local",
}

KENNI = {
    "KENNI_IS_ISSUER_URL": "{url[local-cloud]}/kenni",
    "KENNI_IS_CLIENT_ID": "@local/ekklesia",
    "KENNI_IS_CLIENT_SECRET": "{secret[kenni-client-secret]}",
    "KENNI_IS_REDIRECT_URI": "http://localhost:3000",
}

# Members' services that take no ID tokens.
EVENTS_ONLY = {key: value for key, value in MEMBERS.items() if key not in ("FIREBASE_JWKS_URL", "APP_CHECK_JWKS_URL")}

MEMBERS_SERVICES = {
    "handlekenniauth": {
        **MEMBERS,
        **KENNI,
        "LOGIN_UID_KEY": "{secret[login-uid-key]}",
    },
    "verifymembership": {**MEMBERS},
    "healthz": {
        **EVENTS_ONLY,
        **KENNI,
        "DJANGO_API_TOKEN": "{secret[django-api-token]}",
        "DJANGO_API_BASE_URL": "{django}",
    },
    "cleanupauditlogs": {**MEMBERS, "AUDIT_KEY": "{secret[audit-key]}"},
    "syncmembers": {
        **MEMBERS,
        "AUDIT_KEY": "{secret[audit-key]}",
        "DJANGO_API_TOKEN": "{secret[django-api-token]}",
        "DJANGO_API_BASE_URL": "{django}",
    },
    "auditmemberchanges": {
        **EVENTS_ONLY,
        "AUDIT_KEY": "{secret[audit-key]}",
        "EVENT_AUTH": "platform",  # tests of the token switch it on
    },
    "sync-from-django": {
        **EVENTS_ONLY,
        "SYNC_API_KEY": "{secret[sync-api-key]}",
    },
    "get-django-token": {
        **MEMBERS,
        "DJANGO_API_TOKEN": "{secret[django-api-token]}",
        "DJANGO_API_BASE_URL": "{django}",
    },
    "updatememberprofile": {
        **MEMBERS,
        "DJANGO_API_TOKEN": "{secret[django-api-token]}",
        "DJANGO_API_BASE_URL": "{django}",
    },
}

SERVICES = {
    "local-cloud": {
        **LISTEN,
        "LOG_SALT": "{secret[log-salt]}",
        "FIREBASE_PROJECT_ID": PROJECT_ID,
        "KEY_DIR": "{secrets_dir}",
        "DATABASE_FILE": "{secrets_dir}/cloud.sqlite",
        "KENNI_CLIENT_SECRET": "{secret[kenni-client-secret]}",
        "EVENTS_URL": "{url[auditmemberchanges]}",  # as Eventarc does
        "REQUEST_BUDGET_MS": "30000",  # thousands of tokens in one call
    },
    "elections": {
        **VOTING,
        "IDEMPOTENCY_KEY": "{secret[elections-idempotency-key]}",
        "S2S_KEYS": S2S_KEY_ID + ":{secret[s2s-key]}",
    },
    "events": {
        **VOTING,
        "IDEMPOTENCY_KEY": "{secret[events-idempotency-key]}",
        "ELECTIONS_SERVICE_URL": "{url[elections]}",
        "S2S_KEY_ID": S2S_KEY_ID,
        "S2S_KEY": "{secret[s2s-key]}",
    },
}

SERVICES.update(MEMBERS_SERVICES)

# A stack is a meeting hall: everybody signs in from one address, which therefore is not counted
# (services/handlekenniauth/README.md, "The limit"). Tests of the limit start instances without this.
SERVICES["handlekenniauth"] = {**SERVICES["handlekenniauth"], "RATE_LIMIT_EXEMPT": "127.0.0.1"}

# The address registry of the local stack is the small one that comes with the tests.
SERVICES.update({
    name: {
        **LISTEN,
        "LOG_SALT": "{secret[log-salt]}",
        "FIREBASE_PROJECT_ID": PROJECT_ID,
        "FIREBASE_JWKS_URL": "{url[local-cloud]}/jwks",
        "ALLOW_HTTP_UPSTREAMS": "true",
        "REGISTRY_DB": "{registry}",
        "ENVIRONMENT": "local",
    }
    for name in ("search-addresses", "validate-address", "validate-postal-code")
})

# Takes its settings as options; what stands here is only passed on.
SERVICES[DJANGO] = {"PORT": "{port}"}
DJANGO_OPTIONS = {
    "--port": "{port}",
    "--data": "{django_dir}",
    "--token": "{secret[django-api-token]}",
    "--sync-url": "{url[sync-from-django]}/sync_from_django",
    "--sync-key": "{secret[sync-api-key]}",
}
