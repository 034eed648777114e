"""Goes through every grant of an authorization server as a public client, with Authlib alone.

    client.py ISSUER CLIENT_ID

What a person has to do is a line on stdout, and what came of it a line on stdin:

    visit ADDRESS     -> the address that the browser was sent on to
    enter USER_CODE   -> anything, once the code was typed and allowed

The last line is `done` and what was found out, as JSON. A check that fails is an exception.
"""
import json
import sys
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata

issuer, client_id = sys.argv[1:3]
redirect = "http://127.0.0.1:9/callback"


def ask(what, value):
    print(what, value, flush=True)
    return sys.stdin.readline().strip()


def document(name):
    answer = requests.get(f"{issuer}/.well-known/{name}", timeout=10)
    answer.raise_for_status()
    return answer.json()


metadata = document("openid-configuration")


class Metadata(OpenIDProviderMetadata):
    """Every rule of OpenID Connect Discovery but one: RS256 need not be offered, as this server signs with ES256 alone."""

    def validate_id_token_signing_alg_values_supported(self):
        assert self["id_token_signing_alg_values_supported"] == ["ES256"]


Metadata(metadata).validate()
AuthorizationServerMetadata(document("oauth-authorization-server")).validate()
assert metadata["issuer"] == issuer


def session(**more):
    return OAuth2Session(
        client_id,
        scope="openid credentials.read",
        redirect_uri=redirect,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
        **more,
    )


def checked(token, **expected):
    """The claims of an ID token that holds."""
    keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
    params = {"client_id": client_id, "access_token": token["access_token"], **expected}
    claims = jwt.decode(token["id_token"], keys, claims_cls=CodeIDToken, claims_options=options, claims_params=params)
    assert claims.header["alg"] in metadata["id_token_signing_alg_values_supported"]
    claims.validate()
    return claims


# The authorization code, with PKCE, a state and a nonce.
verifier, nonce = "a-verifier-of-authlib-that-is-long-enough-0123456789", "a nonce of authlib"
client = session()
address, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
landed = ask("visit", address)
assert f"iss={requests.utils.quote(issuer, safe='')}" in landed, landed
token = client.fetch_token(metadata["token_endpoint"], authorization_response=landed, code_verifier=verifier, state=state)
assert token["token_type"] == "Bearer" and token["scope"].split() == ["openid", "credentials.read"], token["scope"]
claims = checked(token, nonce=nonce)
me = client.get(metadata["userinfo_endpoint"])
me.raise_for_status()
assert me.json()["sub"] == claims["sub"]
assert client.get(f"{issuer}/credential-configs").status_code == 200


def introspected(value):
    answer = client.introspect_token(metadata["introspection_endpoint"], token=value)
    answer.raise_for_status()
    return answer.json()


assert introspected(token["access_token"])["active"] is True

# Refresh: a new pair, and the former refresh token is spent.
former = token["refresh_token"]
renewed = client.refresh_token(metadata["token_endpoint"], refresh_token=former)
assert renewed["refresh_token"] != former and renewed["access_token"] != token["access_token"]

# A refresh that asks for less gets less, and the next one has all of it again.
narrow = client.refresh_token(metadata["token_endpoint"], refresh_token=renewed["refresh_token"], scope="openid")
assert "credentials.read" not in narrow["scope"].split(), narrow["scope"]
assert client.get(f"{issuer}/credential-configs").status_code == 403
assert client.get(metadata["userinfo_endpoint"]).status_code == 200
scope = "openid credentials.read"
wide = client.refresh_token(metadata["token_endpoint"], refresh_token=narrow["refresh_token"], scope=scope)
assert "credentials.read" in wide["scope"].split(), wide["scope"]
assert client.get(f"{issuer}/credential-configs").status_code == 200

# A spent refresh token that comes back ends all of the sign-in.
try:
    client.refresh_token(metadata["token_endpoint"], refresh_token=former)
    raise AssertionError("a spent refresh token was taken")
except OAuthError as failure:
    assert failure.error == "invalid_grant", failure.error
assert introspected(wide["access_token"]) == {"active": False}

# Revocation: of the refresh token, and with it of the sign-in.
client = session()
address, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
landed = ask("visit", address)
token = client.fetch_token(metadata["token_endpoint"], authorization_response=landed, code_verifier=verifier, state=state)
assert introspected(token["access_token"])["active"] is True
revoked = client.revoke_token(metadata["revocation_endpoint"], token=token["refresh_token"])
assert revoked.status_code == 200
assert introspected(token["access_token"]) == {"active": False}

# The device grant.
device = requests.post(
    metadata["device_authorization_endpoint"],
    data={"client_id": client_id, "scope": "openid credentials.read"},
    timeout=10,
).json()
ask("enter", device["user_code"])
limit = time.time() + 60
while True:
    client = session()
    try:
        token = client.fetch_token(
            metadata["token_endpoint"],
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=device["device_code"],
        )
        break
    except Exception as failure:
        pending = getattr(failure, "error", None) in ("authorization_pending", "slow_down")
        if not pending or time.time() > limit:
            raise
        time.sleep(device["interval"])
assert checked(token)["sub"] == claims["sub"]

print("done", json.dumps({"sub": claims["sub"], "name": claims["preferred_username"]}), flush=True)
