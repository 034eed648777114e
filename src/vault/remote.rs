//! The vault of a lanyard server, over its API.
//!
//! Whoever calls gives the server's address and a way to a bearer token; a token that the server refuses is asked for
//! anew once. Secrets travel under TLS to that address and no other.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::wire::{Amendment, Note, Opened, Page, Rotation, Shown, Told, with_data};
use super::{Change, New, Unfinished, Vault, VaultError, check_name, measure};
use crate::credential::{Credential, Fields, Metadata, Scope};
use crate::error::{Code, Failure};
use crate::http::{self, Http, Method, Request, Response, TIMEOUT, Url};
use crate::provider::{self, Verdict};
use crate::secret::Secret;
use crate::text::clean;

mod refusal;

pub use refusal::RemoteError;
use refusal::{read, refusal, refused};

/// So many come with each question.
const PAGE: usize = 200;
/// The longest answer: a page of credentials, or the largest secrets there are.
const LONGEST: usize = 16 << 20;

/// The way to a bearer token: as it is, or a new one after it was refused.
pub type Bearer<'a> = Box<dyn Fn(Refused) -> Result<Secret, Box<dyn Failure>> + 'a>;

/// Whether the token that was given last was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nothing was refused yet.
    No,
    /// The server did not take it.
    Yes,
}

/// The vault of a server.
pub struct Remote<'a> {
    base: Url,
    http: &'a dyn Http,
    bearer: Bearer<'a>,
}

/// What is sent.
enum Body {
    None,
    Json(Value),
    Secret(Zeroizing<Vec<u8>>),
}

impl<'a> Remote<'a> {
    /// The vault of the server at `base`. Nothing is asked yet.
    pub fn new(base: Url, http: &'a dyn Http, bearer: Bearer<'a>) -> Self {
        Self { base, http, bearer }
    }

    /// Asks the server for what is no credential: a path of its API, with a body where there is one.
    ///
    /// # Errors
    /// [`RemoteError`], inside, when the server does not do it.
    pub fn call(&self, method: &Method, path: &str, body: Option<Value>) -> Result<Value, VaultError> {
        self.call_within(method, path, body, TIMEOUT)
    }

    /// The same for what takes the server longer.
    ///
    /// # Errors
    /// [`RemoteError`], inside, when the server does not do it.
    pub fn call_within(
        &self,
        method: &Method,
        path: &str,
        body: Option<Value>,
        within: Duration,
    ) -> Result<Value, VaultError> {
        let answer = self.send_within(method, path, &body.map_or(Body::None, Body::Json), within)?;
        match answer.status {
            204 => Ok(Value::Null),
            200..=299 => Ok(read(&answer)?),
            _ => Err(refused(&answer).into()),
        }
    }

    /// Asks the server for what is at a path.
    pub fn get(&self, path: &str) -> Result<Response, VaultError> {
        self.ask(&Method::GET, path, &Body::None, "")
    }

    /// Asks the server; what it refuses is said in the vault's words, of the credential `name`.
    fn ask(&self, method: &Method, path: &str, body: &Body, name: &str) -> Result<Response, VaultError> {
        let answer = self.send(method, path, body)?;
        if (200..=299).contains(&answer.status) { Ok(answer) } else { Err(refusal(&answer, name)) }
    }

    /// Has the server remove a credential; `false` where it is gone already.
    fn removed(&self, metadata: &Metadata, how: &str) -> Result<bool, VaultError> {
        match self.ask(&Method::DELETE, &path_of(metadata, how), &Body::None, &metadata.name) {
            Ok(_) => Ok(true),
            Err(VaultError::Changed { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The answer of the server, whatever it is.
    fn send(&self, method: &Method, path: &str, body: &Body) -> Result<Response, VaultError> {
        self.send_within(method, path, body, TIMEOUT)
    }

    fn send_within(&self, method: &Method, path: &str, body: &Body, within: Duration) -> Result<Response, VaultError> {
        let mut refused = Refused::No;
        loop {
            let token = (self.bearer)(refused).map_err(VaultError::Elsewhere)?;
            let request = Request { timeout: within, ..self.request(method, path, body)?.bearer(&token) };
            let answer = self.http.send(request).map_err(RemoteError::Unreachable)?;
            if answer.status != 401 || refused == Refused::Yes {
                return Ok(answer);
            }
            refused = Refused::Yes;
        }
    }

    fn request(&self, method: &Method, path: &str, body: &Body) -> Result<Request, VaultError> {
        let url = http::below(&self.base, path).map_err(|_| RemoteError::Malformed(None))?;
        let mut request = Request::new(method.clone(), url);
        request.max_answer = LONGEST;
        request.body = match body {
            Body::None => return Ok(request),
            Body::Json(value) => Some(Zeroizing::new(value.to_string().into_bytes())),
            Body::Secret(bytes) => Some(bytes.clone()),
        };
        Ok(request.header("content-type", "application/json"))
    }

    /// The address at which a person signs in for a credential that the server keeps signed in.
    pub fn connect_address(&self, metadata: &Metadata) -> Result<String, VaultError> {
        #[derive(Deserialize)]
        struct Offered {
            url: String,
        }
        let path = path_of(metadata, "/connect");
        let offered: Offered = read(&self.ask(&Method::POST, &path, &Body::None, &metadata.name)?)?;
        Ok(clean(&offered.url))
    }

    fn list_of(&self, query: &[(&str, &str)]) -> Result<Page, VaultError> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let answer = self.ask(&Method::GET, &format!("/credential-configs?{query}"), &Body::None, "")?;
        Ok(read(&answer)?)
    }

    /// Sees every credential of a list, page by page.
    fn pages(&self, of: Option<(&str, &str)>, see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError> {
        let limit = PAGE.to_string();
        let mut cursor: Option<String> = None;
        let mut seen = HashSet::new();
        loop {
            let mut query = vec![("limit", limit.as_str())];
            query.extend(of.into_iter().chain(cursor.as_deref().map(|cursor| ("cursor", cursor))));
            let page = self.list_of(&query)?;
            for shown in &page.items {
                see(shown.metadata()?);
            }
            match page.next {
                // A server that begins anew would have it go on for ever.
                Some(next) if !seen.insert(next.clone()) => return Err(RemoteError::Malformed(None).into()),
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn shown(&self, metadata: &Metadata) -> Result<Shown, VaultError> {
        Ok(read(&self.ask(&Method::GET, &path_of(metadata, ""), &Body::None, &metadata.name)?)?)
    }

    fn note(&self, metadata: &Metadata, note: &Note) -> Result<(), VaultError> {
        let body = Body::Json(serde_json::to_value(note).unwrap_or_default());
        self.ask(&Method::POST, &path_of(metadata, "/notes"), &body, &metadata.name).map(|_| ())
    }
}

fn path_of(metadata: &Metadata, end: &str) -> String {
    format!("/credential-configs/{}{end}", http::segment(&metadata.id))
}

impl Vault for Remote<'_> {
    fn each(&self, see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError> {
        self.pages(None, see)
    }

    fn find(&self, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError> {
        // What is empty is nothing's, and is not asked: a server takes it for a mistake.
        if name.is_empty() {
            return Ok(None);
        }
        let query: Vec<_> = [("name", name)].into_iter().chain(scope.project().map(|name| ("project", name))).collect();
        let page = self.list_of(&query)?;
        page.items.first().map(Shown::metadata).transpose()
    }

    fn for_host(&self, host: &str) -> Result<Vec<Metadata>, VaultError> {
        let mut found = Vec::new();
        if host.is_empty() {
            return Ok(found);
        }
        self.pages(Some(("host", host)), &mut |metadata| found.push(metadata))?;
        // Where a credential may go is decided here, not there.
        found.retain(|metadata| super::goes_to(metadata, host));
        Ok(found)
    }

    fn open(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let path = path_of(metadata, &format!("/secrets?version={}", metadata.version));
        let answer = self.ask(&Method::GET, &path, &Body::None, &metadata.name)?;
        let opened: Opened = read(&answer)?;
        if opened.version != metadata.version || !opened.data.keys().eq(metadata.secret_names.iter()) {
            return Err(VaultError::Changed { name: metadata.name.clone() });
        }
        // Whoever stored it may be anybody of the team, and the server anybody's: nothing of it is carried out here.
        provider::refuse_strange(metadata.kind, &metadata.fields, &opened.data)?;
        Ok(Credential { metadata: metadata.clone(), secrets: opened.data })
    }

    fn put(&self, new: New) -> Result<Metadata, VaultError> {
        let New { name, scope, fields, expires, tags, note, verdict, replaces, retiring } = new;
        let Fields { kind, plain, secrets } = fields;
        measure::new(replaces.as_ref(), &tags, &note, expires)?;
        let mut rest = json!({
            "kind": kind.id,
            "fields": plain,
            "expires": expires,
            "verdict": verdict.as_ref().map(Told::of),
            "retiring": retiring,
        });
        let (path, name) = match &replaces {
            None => {
                check_name(&name)?;
                rest["name"] = json!(name);
                rest["project"] = json!(scope.project());
                rest["tags"] = json!(tags);
                rest["note"] = json!(note);
                ("/credential-configs".to_owned(), name)
            }
            Some(old) => {
                rest["version"] = json!(old.version);
                // What is as it was read here may have been changed there since, and then stays.
                rest["tags"] = json!(Some(&tags).filter(|tags| **tags != old.tags));
                rest["note"] = json!(Some(&note).filter(|note| **note != old.note));
                (path_of(old, "/secrets"), old.name.clone())
            }
        };
        let body = Body::Secret(with_data(&rest, &secrets));
        read::<Shown>(&self.ask(&Method::POST, &path, &body, &name)?)?.metadata()
    }

    fn renew(&self, credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError> {
        let old = &credential.metadata;
        let rest = json!({ "renewal": true, "version": old.version, "expires": expires });
        let body = Body::Secret(with_data(&rest, &credential.secrets));
        read::<Shown>(&self.ask(&Method::POST, &path_of(old, "/secrets"), &body, &old.name)?)?.metadata()
    }

    fn amend(&self, metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        measure::change(change)?;
        let current = self.shown(metadata)?;
        if (current.name.as_str(), current.project.as_deref()) != (metadata.name.as_str(), metadata.scope.project()) {
            return Err(VaultError::Changed { name: metadata.name.clone() });
        }
        let amendment = Amendment {
            name: change.name.clone(),
            project: change.scope.as_ref().map(|scope| scope.project().unwrap_or_default().to_owned()),
            tags: None,
            add_tags: change.tag.clone(),
            remove_tags: change.untag.clone(),
            note: change.note.clone(),
        };
        let body = Body::Json(serde_json::to_value(&amendment).unwrap_or_default());
        let wanted = change.name.as_ref().unwrap_or(&metadata.name);
        let answer = self.ask(&Method::PATCH, &path_of(metadata, ""), &body, wanted)?;
        read::<Shown>(&answer)?.metadata()
    }

    fn note_verdict(&self, metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError> {
        self.note(metadata, &Note::Verdict { told: Told::of(verdict), updated: metadata.updated, at })
    }

    fn note_use(&self, metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError> {
        self.note(metadata, &Note::Used { at })
    }

    fn rotation(&self, metadata: &Metadata) -> Result<Unfinished, VaultError> {
        Ok(self.shown(metadata)?.rotation.unfinished())
    }

    fn note_rotation(&self, metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError> {
        self.note(metadata, &Note::Rotation(Rotation::of(unfinished)))
    }

    fn disconnect(&self, metadata: &Metadata) -> Result<Option<bool>, VaultError> {
        #[derive(Deserialize)]
        struct Ended {
            revoked: bool,
        }
        let path = path_of(metadata, "/disconnect");
        let ended: Ended = read(&self.ask(&Method::POST, &path, &Body::None, &metadata.name)?)?;
        Ok(Some(ended.revoked))
    }

    fn renew_there(&self, metadata: &Metadata) -> Result<Option<bool>, VaultError> {
        let body = Body::Json(json!({ "version": metadata.version }));
        match self.ask(&Method::POST, &path_of(metadata, "/refresh"), &body, &metadata.name) {
            Ok(_) => Ok(Some(true)),
            Err(VaultError::Session { cause, .. }) if cause.code() == Code::SignedOut => Ok(Some(false)),
            Err(failure) => Err(failure),
        }
    }

    fn remove(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        self.removed(metadata, "?force=true")
    }

    fn remove_unused(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        self.removed(metadata, "")
    }

    fn scopes(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        Ok(self.shown(metadata)?.scopes.unwrap_or_default())
    }

    fn users(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        Ok(self.shown(metadata)?.used_by.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
