"""Signs people in to a running stack as the members' portal does, every step over HTTP.

    authorize at Kenni with PKCE -> code -> handlekenniauth -> custom token -> signInWithCustomToken -> ID token
    -> verifymembership -> a fresh ID token that carries the membership

Whoever signs in needs no account before; membership comes from the records (records.py) alone.
"""

import base64
import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPConnection
from threading import local
from urllib.parse import parse_qs, urlencode, urlsplit

import services

BROWSERS = 16  # people who sign in at the same moment
SCOPE = "openid profile national_id email phone_number"
FORM = "application/x-www-form-urlencoded"
ATTEMPTS = 3  # a page offers "try again" as well


class SignInError(RuntimeError):
    """A step was not answered as it must be; the message names the step, never the person."""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Browser:
    """One thread's connections, kept open as a browser does."""

    def __init__(self):
        self.connections = {}

    def close(self):
        for connection in self.connections.values():
            connection.close()

    def post(self, url, body, media="application/json", token=None):
        """Status, headers and parsed body."""
        parts = urlsplit(url)
        headers = {"Content-Type": media, **({"Authorization": f"Bearer {token}"} if token else {})}
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if parts.netloc not in self.connections:
            self.connections[parts.netloc] = HTTPConnection(parts.netloc, timeout=60)
        connection = self.connections[parts.netloc]
        try:
            connection.request("POST", target, body.encode(), headers)
            reply = connection.getresponse()
            text = reply.read()
        except OSError:  # also when the server had closed an idle one; the caller decides about a repetition
            self.connections.pop(parts.netloc).close()
            raise
        media = reply.headers.get_content_type()
        return reply.status, reply.headers, json.loads(text) if media == "application/json" else None


class Portal:
    """env is the stack's (Stack.read_env)."""

    def __init__(self, env):
        self.login_url = env["HANDLEKENNIAUTH_URL"] + "/handleKenniAuth"
        self.verify_url = env["VERIFYMEMBERSHIP_URL"] + "/verifyMembership"
        self.kenni = env["CLOUD_URL"] + "/kenni"
        self.custom = env["CLOUD_URL"] + "/identitytoolkit.googleapis.com/v1/accounts:signInWithCustomToken?key=local"
        self.refresh = env["CLOUD_URL"] + "/securetoken.googleapis.com/v1/token?key=local"
        self.mine = local()

    def sign_in_all(self, people, done=lambda count: None):
        """people: kennitala -> name. Their fresh ID tokens by kennitala; done(n) after each."""
        browsers, tokens = [], {}

        def one(kennitala, name):
            if not hasattr(self.mine, "browser"):
                self.mine.browser = Browser()
                browsers.append(self.mine.browser)
            return self.sign_in(self.mine.browser, kennitala, name)

        pool = ThreadPoolExecutor(BROWSERS)
        try:
            waiting = {pool.submit(one, *person): person[0] for person in people.items()}
            for future in as_completed(waiting):
                tokens[waiting[future]] = future.result()["idToken"]
                done(len(tokens))
        finally:
            pool.shutdown(cancel_futures=True)
            for browser in browsers:
                browser.close()
        return tokens

    def sign_in(self, browser, kennitala, name, is_member=True):
        """Everything the portal knows at the end: uid, idToken, membership."""
        for attempt in range(ATTEMPTS):
            try:
                return self.attempt(browser, kennitala, name, is_member)
            except OSError as error:  # a connection that broke: from the start, with a new code
                if attempt + 1 == ATTEMPTS:
                    raise SignInError(f"signing in: {type(error).__name__}") from error
        raise AssertionError

    def attempt(self, browser, kennitala, name, is_member):
        verifier, nonce = b64(secrets.token_bytes(32)), secrets.token_hex(16)
        code = self.authorize(browser, kennitala, name, verifier, nonce)
        login = self.step(browser, "handlekenniauth", self.login_url,
                          {"kenniAuthCode": code, "pkceCodeVerifier": verifier, "nonce": nonce})
        session = self.step(browser, "signInWithCustomToken", self.custom,
                            {"token": login["customToken"], "returnSecureToken": True})
        membership = self.step(browser, "verifymembership", self.verify_url, {"data": None}, session["idToken"])["result"]
        if membership["isMember"] is not is_member:
            raise SignInError(f"verifymembership says isMember {membership['isMember']}, the records {is_member}")
        fresh = self.step(browser, "securetoken", self.refresh,
                          {"grant_type": "refresh_token", "refresh_token": session["refreshToken"]})
        return {"uid": login["uid"], "idToken": fresh["id_token"], "membership": membership}

    def authorize(self, browser, kennitala, name, verifier, nonce):
        """The code Kenni sends the browser back with, once its state has been compared."""
        state = secrets.token_hex(32)
        form = {"client_id": services.KENNI["KENNI_IS_CLIENT_ID"], "redirect_uri": services.KENNI["KENNI_IS_REDIRECT_URI"],
                "response_type": "code", "scope": SCOPE, "state": state, "nonce": nonce,
                "code_challenge": b64(hashlib.sha256(verifier.encode()).digest()), "code_challenge_method": "S256",
                "claims": json.dumps({"national_id": kennitala, "name": name})}
        status, headers, _ = browser.post(f"{self.kenni}/oidc/auth", urlencode(form), FORM)
        answer = parse_qs(urlsplit(headers.get("Location", "")).query)
        if status != 303 or answer.get("state") != [state] or "code" not in answer:
            raise SignInError(f"Kenni answered {status} {answer.get('error', [''])[0]}")
        return answer["code"][0]

    @staticmethod
    def step(browser, name, url, body, token=None):
        status, _, reply = browser.post(url, json.dumps(body), token=token)
        if status != 200:
            error = (reply or {}).get("error")
            raise SignInError(f"{name} answered {status} {error.get('status') if isinstance(error, dict) else error}")
        return reply
