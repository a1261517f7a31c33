#!/usr/bin/python3
"""A real Django in the register's place: contract members.md §6, on SQLite, on loopback.

    server.py --port 8001 --data DIRECTORY --token 40HEX [--sync-url URL --sync-key KEY]
              [--signing-key-id ID --signing-key SECRET] [--members N]

Prints "ready" when it listens. SIGTERM ends it. Needs Debian's python3-django and python3-djangorestframework.
"""

import argparse
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# street, number, letter, postcode, town, registry number
POINTS = (("Njálsgata", 3, "", 101, "Reykjavík", 1000101), ("Njálsgata", 3, "a", 101, "Reykjavík", 1000102),
          ("Laugavegur", 12, "", 101, "Reykjavík", 1000103), ("Hafnargata", 7, "b", 230, "Keflavík", 1000104))
UNIONS = ("Efling", "VR")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--sync-url", default="")
    parser.add_argument("--sync-key", default="")
    parser.add_argument("--signing-key-id", default="")
    parser.add_argument("--signing-key", default="")
    parser.add_argument("--members", type=int, default=0)
    return parser.parse_args()


def configure(options):
    from django.conf import settings
    settings.configure(
        SECRET_KEY=options.token, DEBUG=False, ALLOWED_HOSTS=["127.0.0.1", "localhost"], ROOT_URLCONF="register.urls",
        USE_TZ=True, TIME_ZONE="UTC", LOGGING_CONFIG=None, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(options.data, "register.db"),
                               "OPTIONS": {"timeout": 30}}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework",
                        "rest_framework.authtoken", "register.apps.RegisterConfig"],
        MIDDLEWARE=["register.peer.FaultMiddleware", "django.middleware.common.CommonMiddleware"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # nobody signs in with one
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["register.authentication.TicketAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"]},
        SYNC_URL=options.sync_url, SYNC_API_KEY=options.sync_key, SYNC_KEY_ID=options.signing_key_id,
        SYNC_SIGNING_KEY=options.signing_key)
    import django
    django.setup()


def seed(options):
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from rest_framework.authtoken.models import Token

    from register.models import MapAddress, Member, Union
    call_command("migrate", run_syncdb=True, verbosity=0)
    connection.cursor().execute("PRAGMA journal_mode=WAL")
    user, _ = User.objects.get_or_create(username="suite", defaults={"is_staff": True})
    Token.objects.get_or_create(user=user, defaults={"key": options.token})
    for street, number, letter, postal_code, city, hnitnum in POINTS:
        MapAddress.objects.get_or_create(hnitnum=hnitnum, defaults={
            "street": street, "number": number, "letter": letter, "postal_code": postal_code, "city": city})
    for name in UNIONS:
        Union.objects.get_or_create(name=name)
    missing = options.members - Member.objects.count()
    Member.objects.bulk_create(  # no signals: as they were before the first full sync
        Member(ssn=f"{1 + i % 28:02}{1 + i % 12:02}{i % 100:02}{2000 + i % 7999:04}", name=f"Félagi {i}", version=i + 1)
        for i in range(max(0, missing)))
    connection.close()


def main():
    options = arguments()
    configure(options)
    seed(options)
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Handler(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    class Server(ThreadedWSGIServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # a client that went away

    server = Server(("127.0.0.1", options.port), Handler)
    server.set_app(get_wsgi_application())
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
