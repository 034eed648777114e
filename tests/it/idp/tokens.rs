//! What the provider has issued, and the token endpoint that issues it.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::behaviour::{Behaviour, Poll, Reuse};
use super::keys;
use super::{Reply, random};
use crate::wire::field;

/// The grant by which a token was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    Code { nonce: Option<String> },
    Refresh,
    Device,
}

/// Everything issued, by value. Nothing is forgotten, so that a test can ask what became of it.
#[derive(Default)]
pub struct Ledger {
    pub codes: HashMap<String, Code>,
    pub access: HashMap<String, Access>,
    pub refresh: HashMap<String, Refresh>,
    pub devices: HashMap<String, Device>,
    pub pushed: HashMap<String, Vec<(String, String)>>,
    pub id_tokens: Vec<String>,
    /// How often a replaced refresh token came back.
    pub reuses: usize,
    dead_sessions: Vec<usize>,
    sessions: usize,
}

pub struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub scope: String,
    pub session: Option<usize>,
}

#[derive(Clone)]
pub struct Access {
    pub session: usize,
    pub scope: String,
    pub client_id: String,
    pub expires_at: i64,
}

#[derive(Clone)]
pub struct Refresh {
    pub session: usize,
    pub scope: String,
    pub client_id: String,
    /// The answer that replaced it, and when.
    pub successor: Option<(Value, Instant)>,
}

pub struct Device {
    pub client_id: String,
    pub user_code: String,
    pub scope: String,
    pub session: Option<usize>,
}

impl Ledger {
    /// Whether an access token is good now.
    pub fn is_live(&self, token: &str, now: i64) -> bool {
        self.access
            .get(token)
            .is_some_and(|access| access.expires_at > now && !self.dead_sessions.contains(&access.session))
    }

    /// Whether a refresh token would be taken.
    pub fn is_fresh(&self, token: &str) -> bool {
        self.refresh
            .get(token)
            .is_some_and(|refresh| refresh.successor.is_none() && !self.dead_sessions.contains(&refresh.session))
    }

    /// Ends the session that a token belongs to; revoking an access token leaves the refresh token alive.
    pub fn revoke(&mut self, token: &str) {
        if let Some(refresh) = self.refresh.get(token) {
            self.dead_sessions.push(refresh.session);
        }
        self.access.remove(token);
    }

    fn new_session(&mut self) -> usize {
        self.sessions += 1;
        self.sessions
    }
}

/// What a token request is answered with.
pub struct Desk<'a> {
    pub issuer: &'a str,
    pub behaviour: &'a mut Behaviour,
    pub ledger: &'a mut Ledger,
    pub now: i64,
}

impl Desk<'_> {
    pub fn token(&mut self, fields: &[(String, String)], client_id: &str) -> Reply {
        let outcome = match field(fields, "grant_type") {
            Some("authorization_code") => self.code(fields, client_id),
            Some("refresh_token") => self.refresh(fields, client_id),
            Some("urn:ietf:params:oauth:grant-type:device_code") => self.device(fields, client_id),
            _ => Err("unsupported_grant_type"),
        };
        match outcome {
            Ok(answer) => Reply::json(200, answer),
            Err("") => Reply::Closes,
            Err(error) => self.error(error),
        }
    }

    fn error(&self, error: &str) -> Reply {
        let text = format!("{error} it is{}", self.behaviour.hostile_text);
        let status = if self.behaviour.errors_with_200 { 200 } else { 400 };
        Reply::json(status, json!({ "error": error, "error_description": text }))
    }

    fn code(&mut self, fields: &[(String, String)], client_id: &str) -> Result<Value, &'static str> {
        let name = field(fields, "code").ok_or("invalid_request")?;
        let Some(code) = self.ledger.codes.get_mut(name) else { return Err("invalid_grant") };
        if let Some(session) = code.session {
            // A second redemption takes back what the first gave (RFC 6749 section 4.1.2).
            self.ledger.dead_sessions.push(session);
            return Err("invalid_grant");
        }
        let verifier = field(fields, "code_verifier").ok_or("invalid_request")?;
        let right = code.client_id == client_id
            && field(fields, "redirect_uri") == Some(&code.redirect_uri)
            && (43..=128).contains(&verifier.len())
            && keys::encode(&keys::sha256(verifier.as_bytes())) == code.challenge;
        if !right {
            return Err("invalid_grant");
        }
        let (scope, nonce) = (code.scope.clone(), code.nonce.clone());
        self.ledger.sessions += 1;
        let session = self.ledger.sessions;
        code.session = Some(session);
        Ok(self.issue(session, client_id, &scope, &Grant::Code { nonce }))
    }

    fn refresh(&mut self, fields: &[(String, String)], client_id: &str) -> Result<Value, &'static str> {
        let token = field(fields, "refresh_token").ok_or("invalid_request")?;
        let Some(held) = self.ledger.refresh.get(token).cloned() else { return Err("invalid_grant") };
        if held.client_id != client_id || self.ledger.dead_sessions.contains(&held.session) {
            return Err("invalid_grant");
        }
        if self.behaviour.refuses_refresh {
            return Err("invalid_grant");
        }
        if let Some((answer, at)) = &held.successor {
            self.ledger.reuses += 1;
            if matches!(self.behaviour.reuse, Reuse::ToleratedFor(grace) if at.elapsed() <= grace) {
                return Ok(answer.clone());
            }
            self.ledger.dead_sessions.push(held.session);
            return Err("invalid_grant");
        }
        let scope = field(fields, "scope").unwrap_or(&held.scope).to_owned();
        if scope.split(' ').any(|word| !held.scope.split(' ').any(|had| had == word)) {
            return Err("invalid_scope");
        }
        let answer = self.issue(held.session, client_id, &scope, &Grant::Refresh);
        if self.behaviour.rotation
            && let Some(held) = self.ledger.refresh.get_mut(token)
        {
            held.successor = Some((answer.clone(), Instant::now()));
        }
        Ok(answer)
    }

    fn device(&mut self, fields: &[(String, String)], client_id: &str) -> Result<Value, &'static str> {
        let name = field(fields, "device_code").ok_or("invalid_request")?;
        let Some(device) = self.ledger.devices.get(name) else { return Err("invalid_grant") };
        if device.client_id != client_id || device.session.is_some() {
            return Err("invalid_grant");
        }
        match self.behaviour.polls.pop_front() {
            Some(Poll::Pending) => return Err("authorization_pending"),
            Some(Poll::SlowDown) => return Err("slow_down"),
            Some(Poll::Expired) => return Err("expired_token"),
            Some(Poll::Denied) => return Err("access_denied"),
            Some(Poll::Lost) => return Err(""),
            None => {}
        }
        let scope = device.scope.clone();
        let session = self.ledger.new_session();
        self.ledger.devices.entry(name.to_owned()).and_modify(|device| device.session = Some(session));
        Ok(self.issue(session, client_id, &scope, &Grant::Device))
    }

    fn issue(&mut self, session: usize, client_id: &str, asked: &str, grant: &Grant) -> Value {
        let behaviour = &*self.behaviour;
        let scope = behaviour.granted_scope.clone().unwrap_or_else(|| asked.to_owned());
        let access_token = random("access");
        let expires_at = self.now + behaviour.expires_in;
        let access = Access { session, scope: scope.clone(), client_id: client_id.to_owned(), expires_at };
        self.ledger.access.insert(access_token.clone(), access);
        let shown_scope = if behaviour.comma_scopes { scope.replace(' ', ",") } else { scope.clone() };
        let mut answer = json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": behaviour.expires_in,
            "scope": shown_scope,
        });
        if behaviour.with_refresh_token && (*grant != Grant::Refresh || behaviour.rotation) {
            let token = random("refresh");
            let refresh = Refresh { session, scope, client_id: client_id.to_owned(), successor: None };
            self.ledger.refresh.insert(token.clone(), refresh);
            answer["refresh_token"] = json!(token);
        }
        if behaviour.with_id_token && asked.split(' ').any(|word| word == "openid") {
            let id_token = self.id_token(client_id, grant, answer["access_token"].as_str().unwrap_or_default());
            self.ledger.id_tokens.push(id_token.clone());
            answer["id_token"] = json!(id_token);
        }
        answer
    }

    fn id_token(&self, client_id: &str, grant: &Grant, access_token: &str) -> String {
        let behaviour = &*self.behaviour;
        if let Some(raw) = &behaviour.raw_id_token {
            return raw.clone();
        }
        let account = &behaviour.account;
        let mut header = json!({});
        let mut claims = json!({
            "iss": self.issuer, "sub": account.sub, "aud": client_id, "iat": self.now, "exp": self.now + 300,
            "at_hash": keys::half_hash(access_token),
            "email": format!("{}{}", account.email, behaviour.hostile_text),
            "name": format!("{}{}", account.name, behaviour.hostile_text),
        });
        if let Grant::Code { nonce: Some(nonce) } = grant {
            claims["nonce"] = json!(nonce);
        }
        if let Some(change) = &behaviour.id_token {
            change(grant, &mut header, &mut claims);
        }
        keys::sign(&header, &claims, &behaviour.signing)
    }
}
