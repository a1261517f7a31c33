"""What each service of the local stack gets as its environment; the one place to add a service.

Values are templates: {name} is filled in by stack.Stack.environment(). The order is the order of start. A service
whose binary is not built is left out.
"""

PROJECT_ID = "demo-ekklesia"  # demo-… : the Firebase tools treat such a project as one without a cloud
S2S_KEY_ID = "events-1"
ADMIN_ROLE = "ekklesia_admin"

# Secrets made once per stack: file name below secrets/ -> number of random bytes, stored as hex.
SECRETS = {
    "voter-key": 32,
    "elections-idempotency-key": 32,
    "events-idempotency-key": 32,
    "log-salt": 32,
    "s2s-key": 32,
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
    "ALLOW_HTTP_UPSTREAMS": "true",
    "GCP_PROJECT_ID": PROJECT_ID,
    "ENVIRONMENT": "local",
}

SERVICES = {
    "local-cloud": {
        **LISTEN,
        "LOG_SALT": "{secret[log-salt]}",
        "FIREBASE_PROJECT_ID": PROJECT_ID,
        "KEY_DIR": "{secrets_dir}",
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
