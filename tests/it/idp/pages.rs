//! The endpoints other than `/token`.

use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::tokens::{Code, Device, Ledger};
use super::{Reply, Seen, keys, random};
use crate::wire::{field, fields, form};

/// One request, with everything an endpoint may look at.
pub struct Page<'a> {
    pub issuer: &'a str,
    pub behaviour: &'a Behaviour,
    pub ledger: &'a mut Ledger,
    pub seen: &'a Seen,
    pub now: i64,
}

impl Page<'_> {
    pub fn metadata(&self) -> Reply {
        if !self.behaviour.discovery {
            return Reply::text(404, "no such page");
        }
        let at = |path: &str| format!("{}{path}", self.issuer);
        Reply::json(
            200,
            json!({
                "issuer": self.issuer,
                "authorization_endpoint": at("/authorize"),
                "token_endpoint": at("/token"),
                "device_authorization_endpoint": at("/device_authorization"),
                "revocation_endpoint": at("/revoke"),
                "introspection_endpoint": at("/introspect"),
                "userinfo_endpoint": at("/userinfo"),
                "pushed_authorization_request_endpoint": at("/par"),
                "require_pushed_authorization_requests": self.behaviour.requires_par,
                "jwks_uri": at("/jwks"),
                "response_types_supported": ["code"],
                "grant_types_supported": [
                    "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"
                ],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
                "authorization_response_iss_parameter_supported": self.behaviour.announces_iss,
                "scopes_supported": ["openid", "profile", "email", "offline_access", "api:read", "api:write"],
            }),
        )
    }

    /// Approves at once, or refuses as told; a request that is not as it should be gets a page and no redirect.
    pub fn authorize(&mut self) -> Reply {
        let given = fields(self.seen.query.as_bytes());
        let given = match field(&given, "request_uri") {
            Some(pushed) => match self.ledger.pushed.remove(pushed) {
                Some(request) => request,
                None => return Reply::text(400, "unknown request_uri"),
            },
            None if self.behaviour.requires_par => return Reply::text(400, "push the request first"),
            None => given,
        };
        let (Some(client_id), Some(redirect_uri), Some("code"), Some(challenge), Some("S256"), Some(state)) = (
            field(&given, "client_id"),
            field(&given, "redirect_uri"),
            field(&given, "response_type"),
            field(&given, "code_challenge"),
            field(&given, "code_challenge_method"),
            field(&given, "state"),
        ) else {
            return Reply::text(400, "a parameter is missing");
        };
        let code = random("code");
        self.ledger.codes.insert(
            code.clone(),
            Code {
                client_id: client_id.to_owned(),
                redirect_uri: redirect_uri.to_owned(),
                challenge: challenge.to_owned(),
                nonce: field(&given, "nonce").map(str::to_owned),
                scope: field(&given, "scope").unwrap_or_default().to_owned(),
                session: None,
            },
        );
        Reply::redirect(302, &format!("{redirect_uri}?{}", form(&self.callback(&code, state))))
    }

    fn callback(&self, code: &str, state: &str) -> Vec<(String, String)> {
        let mut callback = match &self.behaviour.refusal {
            None => vec![("code".to_owned(), code.to_owned())],
            Some((error, description)) => vec![
                ("error".to_owned(), error.clone()),
                ("error_description".to_owned(), format!("{description}{}", self.behaviour.hostile_text)),
            ],
        };
        callback.push(("state".to_owned(), state.to_owned()));
        if self.behaviour.announces_iss {
            callback.push(("iss".to_owned(), self.issuer.to_owned()));
        }
        if let Some(bend) = &self.behaviour.callback {
            bend(&mut callback);
        }
        callback
    }

    pub fn push(&mut self) -> Reply {
        let name = format!("urn:ietf:params:oauth:request_uri:{}", random("par"));
        self.ledger.pushed.insert(name.clone(), self.seen.fields());
        Reply::json(201, json!({ "request_uri": name, "expires_in": 60 }))
    }

    pub fn device(&mut self, client_id: &str) -> Reply {
        let (device_code, user_code) = (random("device"), "WDJB-MJHT".to_owned());
        self.ledger.devices.insert(
            device_code.clone(),
            Device {
                client_id: client_id.to_owned(),
                user_code: user_code.clone(),
                scope: self.seen.field("scope").unwrap_or_default(),
                session: None,
            },
        );
        let page = format!("{}/device", self.issuer);
        let mut answer = json!({
            "device_code": device_code, "user_code": user_code, "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": self.behaviour.device_expires_in,
        });
        if let Some(interval) = self.behaviour.interval {
            answer["interval"] = json!(interval);
        }
        Reply::json(200, answer)
    }

    pub fn revoke(&mut self) -> Reply {
        self.ledger.revoke(&self.seen.field("token").unwrap_or_default());
        Reply::json(200, json!({}))
    }

    pub fn introspect(&self) -> Reply {
        let token = self.seen.field("token").unwrap_or_default();
        if !self.ledger.is_live(&token, self.now) {
            return Reply::json(200, json!({ "active": false }));
        }
        let access = &self.ledger.access[&token];
        Reply::json(
            200,
            json!({
                "active": true, "token_type": "Bearer", "scope": access.scope, "client_id": access.client_id,
                "username": self.shown(&self.behaviour.account.email), "sub": self.behaviour.account.sub,
                "iss": self.issuer, "aud": access.client_id, "exp": access.expires_at,
                "iat": access.expires_at - self.behaviour.expires_in,
            }),
        )
    }

    pub fn userinfo(&self) -> Reply {
        let account = &self.behaviour.account;
        self.for_bearer(json!({
            "sub": account.sub, "name": self.shown(&account.name), "email": self.shown(&account.email),
        }))
    }

    /// `/v1/me`: who the token belongs to, at an API with bearer tokens.
    pub fn me(&self) -> Reply {
        let account = &self.behaviour.account;
        self.for_bearer(json!({ "id": account.sub, "email": self.shown(&account.email) }))
    }

    /// `/user`: the same in GitHub's words, scopes in a header.
    pub fn github_user(&self) -> Reply {
        let account = &self.behaviour.account;
        let answer =
            self.for_bearer(json!({ "id": 123_456, "login": self.shown(&account.name), "email": account.email }));
        answer.with_header("X-OAuth-Scopes: repo, read:org")
    }

    /// `/api/v4/user` and `/api/v4/personal_access_tokens/self`: the same in GitLab's words.
    pub fn gitlab_user(&self) -> Reply {
        let account = &self.behaviour.account;
        self.for_bearer(json!({ "id": 123_456, "username": self.shown(&account.name), "email": account.email }))
    }

    pub fn projects(&self) -> Reply {
        self.for_bearer(json!([{ "name": self.shown("web-shop") }, { "name": "data-lake" }]))
    }

    /// Answers with what the request was, so that a test sees what an API is sent.
    pub fn echo(&self) -> Reply {
        self.for_bearer(json!({
            "method": self.seen.method, "path": self.seen.path, "query": self.seen.query, "body": self.seen.text(),
        }))
    }

    fn for_bearer(&self, answer: Value) -> Reply {
        let token = self.seen.bearer().unwrap_or_default();
        if self.ledger.is_live(token, self.now) || self.behaviour.api_tokens.iter().any(|known| known == token) {
            return Reply::json(200, answer);
        }
        let error = format!("the token is not known{}", self.behaviour.hostile_text);
        Reply::json(401, json!({ "error": "invalid_token", "error_description": error, "message": "Bad credentials" }))
            .with_header("WWW-Authenticate: Bearer error=\"invalid_token\"")
    }

    fn shown(&self, text: &str) -> String {
        format!("{text}{}", self.behaviour.hostile_text)
    }

    pub fn jwks(&self) -> Reply {
        Reply::json(200, keys::jwks(self.behaviour.rotated_keys))
    }
}
