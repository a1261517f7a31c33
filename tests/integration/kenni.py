"""A Kenni of the tests' own that can misbehave; the real provider is tests/peers' oidc-provider.

    with Kenni() as kenni:
        code = kenni.code(national_id="0101302989", name="Anna")     a one-time code with these claims
        service = stack.start("handlekenniauth", **kenni.settings())

It does what a provider must (PKCE, client secret, one use per code) and whatever `faults` says instead:
    kenni.faults["token"] = hang()       discovery, jwks, token or userinfo
    kenni.change_token = lambda header, claims: ...     before signing
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from evidence import canary

CLIENT_ID = "@test/app"
CLIENT_SECRET = "a secret of Kenni's & more"
REDIRECT_URI = "https://portal.example.is"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pkce():
    """(verifier, challenge) as the login page makes them."""
    verifier = canary(b64(secrets.token_bytes(32)))
    return verifier, b64(hashlib.sha256(verifier.encode()).digest())


class Key:
    def __init__(self, kid, pem=None):
        self.kid = kid
        self.private = (serialization.load_pem_private_key(pem.encode(), None) if pem
                        else rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
                "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                "e": b64(numbers.e.to_bytes(3, "big"))}

    def sign(self, text):
        return self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())

    def pem(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


_keys = {}


def key(kid):
    """Keys take a while to make; one per name and run."""
    if kid not in _keys:
        _keys[kid] = Key(kid)
    return _keys[kid]


def jwt(signer, claims, header=None):
    header = {"alg": "RS256", "typ": "JWT", "kid": signer.kid, **(header or {})}
    head, body = (b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims))
    return f"{head}.{body}.{b64(signer.sign(f'{head}.{body}'.encode()))}"


# --- faults: each answers in place of the endpoint; None lets it answer itself ---------------------------------


def status(code, body=b"{}", content_type="application/json"):
    def fault(handler):
        handler.reply(code, body, content_type)
        return True
    return fault


def hang(seconds=60):
    def fault(handler):
        handler.server.kenni.closing.wait(seconds)
        handler.close_connection = True
        return True
    return fault


def slow(seconds):
    def fault(handler):
        handler.server.kenni.closing.wait(seconds)
        return False
    return fault


def drip(every_s=0.2, pieces=1000):
    """A byte now and then: no read ever times out by itself."""
    def fault(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(pieces):
            if handler.server.kenni.closing.wait(every_s):
                break
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
        handler.close_connection = True
        return True
    return fault


def huge(size=10 << 20, content_type="application/json"):
    def fault(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        try:
            for _ in range(size // 65536):
                handler.wfile.write(b" " * 65536)
        except OSError:
            pass
        handler.close_connection = True
        return True
    return fault


def cut(handler):
    """Promises more than it sends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"a\":")
    handler.close_connection = True
    return True


def close(handler):
    handler.close_connection = True
    return True


def as_type(content_type):
    """The right answer under another name."""
    def fault(handler):
        handler.content_type = content_type
        return False
    return fault


# --- the provider ----------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content_type = "application/json"

    def log_message(self, *_):
        pass

    def reply(self, code, body, content_type=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type or self.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        kenni = self.server.kenni
        self.content_type = "application/json"
        if self.path == "/ours/.well-known/openid-configuration":
            self.answer("discovery", lambda: self.reply(200, kenni.discovery()))
        elif self.path.startswith("/ours/jwks"):
            self.answer("jwks", lambda: self.reply(200, kenni.key_set()))
        elif self.path == "/ours/me":
            self.answer("userinfo", self.userinfo)
        else:
            self.reply(404, {})

    def do_POST(self):
        self.content_type = "application/json"
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/ours/oidc/token":
            self.answer("token", self.token)
        else:
            self.reply(404, {})

    def answer(self, name, otherwise):
        kenni = self.server.kenni
        with kenni.lock:
            kenni.calls[name] = kenni.calls.get(name, 0) + 1
        fault = kenni.faults.get(name)
        if fault is None or not fault(self):
            otherwise()

    def token(self):
        kenni = self.server.kenni
        form = {name: values[0] for name, values in parse_qs(self.body.decode()).items()}
        kenni.forms.append(form)
        if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            self.reply(401, {"error": "invalid_client", "error_description": "no such client"})
            return
        with kenni.lock:
            grant = kenni.grants.pop(form.get("code"), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (grant is None or form.get("grant_type") != "authorization_code" or grant["challenge"] != challenge
                or form.get("redirect_uri") != grant["redirect_uri"]):
            self.reply(400, {"error": "invalid_grant", "error_description": "grant request is invalid"})
            return
        self.reply(200, kenni.tokens(grant))

    def userinfo(self):
        kenni = self.server.kenni
        claims = kenni.userinfo.get(self.headers.get("Authorization", ""))
        self.reply(200 if claims else 401, claims or {"error": "invalid_token"})


class Kenni:
    def __init__(self, port=0):
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.request_queue_size = 128
        self.server.kenni = self
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.issuer = f"{self.base}/ours"
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.reset()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def reset(self):
        self.keys = [key("k1")]
        self.signer = key("k1")
        self.grants, self.calls, self.faults, self.userinfo, self.forms = {}, {}, {}, {}, []
        self.change_token = None
        self.change_discovery = None
        self.change_tokens = None
        self.claims_at_userinfo = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def settings(self, **more):
        return {"KENNI_IS_ISSUER_URL": self.issuer, "KENNI_IS_CLIENT_ID": CLIENT_ID,
                "KENNI_IS_CLIENT_SECRET": CLIENT_SECRET, "KENNI_IS_REDIRECT_URI": REDIRECT_URI,
                "ALLOW_HTTP_UPSTREAMS": "true", **more}

    def discovery(self):
        document = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/oidc/auth",
            "token_endpoint": f"{self.issuer}/oidc/token", "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me", "id_token_signing_alg_values_supported": ["RS256"]}
        return self.change_discovery(document) if self.change_discovery else document

    def key_set(self):
        return {"keys": [one.jwk() for one in self.keys]}

    def code(self, redirect_uri=REDIRECT_URI, nonce=None, challenge=None, **claims):
        """(code, verifier); the claims go into the ID token as they are."""
        verifier, made = pkce()
        code = canary(secrets.token_urlsafe(24))
        canary(*(value for name, value in claims.items() if isinstance(value, str) and name != "delegation_type"))
        self.grants[code] = {"challenge": challenge or made, "redirect_uri": redirect_uri, "nonce": nonce,
                             "claims": claims}
        return code, verifier

    def login(self, **claims):
        """Body of a login call."""
        code, verifier = self.code(**claims)
        return {"kenniAuthCode": code, "pkceCodeVerifier": verifier}

    def tokens(self, grant):
        now = int(time.time())
        access = canary(secrets.token_urlsafe(24))
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 600,
                  "at_hash": b64(hashlib.sha256(access.encode()).digest()[:16])}
        personal = {"sub": "team-specific", **grant["claims"]}
        if grant["nonce"]:
            claims["nonce"] = grant["nonce"]
        if self.claims_at_userinfo:
            self.userinfo[f"Bearer {access}"] = personal
            claims["sub"] = personal["sub"]
        else:
            claims.update(personal)
        header = {}
        if self.change_token:
            header, claims = self.change_token(header, claims)
        token = claims if isinstance(claims, str) else jwt(self.signer, claims, header)
        canary(*[part for part in token.split(".")[1:] if len(part) > 20])
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": 600, "id_token": token,
                  "refresh_token": canary(secrets.token_urlsafe(24)), "scope": "openid"}
        return self.change_tokens(answer) if self.change_tokens else answer
