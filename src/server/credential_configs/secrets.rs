//! The secrets of a credential: read with a permission and an audit entry of their own, written all at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{permitted, shown, values};
use crate::credential::{Credential, Metadata};
use crate::server::api::{Gives, Json, Operation, Query, Seen, Tagged};
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::connections::{By, Want, fresh};
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::server::vault::Stored;
use crate::server::vault::sign_in::is_sign_in;
use crate::vault::wire::{Incoming, Opened, Shown, Told, with_data};
use crate::vault::{New, Vault, VaultError};

/// Which secrets are asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The version whose secrets are wanted; those of another are not given.
    version: Option<i64>,
}

/// So often is looked again for what is replaced or moved while it is read.
const LOOKS: usize = 4;

/// Secrets in JSON: they have no other way into a text.
pub(super) struct Body(Zeroizing<Vec<u8>>);

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_vec()).into_response()
    }
}

impl Gives for Body {
    fn tell(told: &mut Operation<'_>) {
        told.answer::<Opened>(StatusCode::OK);
    }
}

pub(super) async fn read(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(Asked { version }): Query<Asked>,
) -> Answer<Body> {
    let by = By::of(&caller, "secret.read");
    let (asker, known) = (caller.clone(), id.clone());
    if let Some(body) = blocking(&server, move |server| look(server, &asker, &known, version, false)).await? {
        return Ok(body);
    }
    // What comes of a sign-in is renewed before it is read.
    fresh(&server, &by, &id, Want::Fresh).await?;
    let body = blocking(&server, move |server| look(server, &caller, &id, version, true)).await?;
    body.ok_or_else(Problem::changed)
}

/// The secrets of a credential, where the caller may read them; `None` of a sign-in that is not known to be fresh.
fn look(server: &Server, caller: &Caller, id: &str, version: Option<i64>, is_fresh: bool) -> Answer<Option<Body>> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let is_wanted = |stored: &Stored| version.is_none_or(|version| version == stored.metadata.version);
    let mut looks = 0;
    let looked = loop {
        let looked = vault.open_if(id, |stored| {
            let may = caller.may(Permission::SecretsRead, stored.metadata.scope.project());
            may && is_wanted(stored) && (is_fresh || !is_sign_in(stored.metadata.kind))
        });
        looks += 1;
        // It was replaced or moved since its row was read: whoever wants it as it is gets it as it is now.
        if !matches!(looked, Err(VaultError::Changed { .. })) || looks == LOOKS {
            break looked?;
        }
    };
    let (stored, opened) = looked.ok_or_else(Problem::not_found)?;
    caller.sees(stored.metadata.scope.project())?;
    caller.must(server, Permission::SecretsRead, stored.metadata.scope.project())?;
    if !is_wanted(&stored) {
        return Err(Problem::changed());
    }
    Ok(opened.map(|opened| Body(with_data(&told(&stored.metadata), &opened.secrets))))
}

/// What is told beside the secrets: their version, and of a sign-in until when its token lives.
fn told(metadata: &Metadata) -> Value {
    let mut told = json!({ "version": metadata.version });
    if is_sign_in(metadata.kind) {
        told["expires"] = json!(metadata.expires);
    }
    told
}

/// Stores new values in the place of old ones, if they are still as they were seen.
pub(in crate::server) fn replace(
    server: &Server,
    caller: &Caller,
    id: &str,
    incoming: Incoming,
    seen: Option<i64>,
) -> Answer<Tagged<Shown>> {
    let (vault, stored) = permitted(server, caller, id, Permission::CredentialsWrite)?;
    let version = incoming.version.is_some_and(|version| version != stored.metadata.version);
    if version || seen.is_some_and(|revision| revision != stored.revision) {
        return Err(Problem::changed());
    }
    if incoming.name.is_some() || incoming.project.is_some() {
        return Err(Problem::invalid("name and project are changed by PATCH"));
    }
    let data = incoming.data.ok_or_else(|| Problem::invalid("there are no secrets under `data`"))?;
    let old = stored.metadata;
    if incoming.renewal && is_sign_in(old.kind) {
        return Err(Problem::invalid("the server renews and ends what comes of a sign-in itself"));
    }
    if incoming.renewal {
        vault.renew(&Credential { metadata: old, secrets: data }, incoming.expires)?;
        return shown(&vault, id);
    }
    let kind = incoming.kind.as_deref().map_or(Ok(old.kind), values::kind)?;
    let fields = values::next(&old, kind, incoming.fields, data)?;
    vault.put(New {
        name: String::new(),
        scope: old.scope.clone(),
        fields,
        expires: incoming.expires,
        tags: incoming.tags.unwrap_or_else(|| old.tags.clone()),
        note: incoming.note.unwrap_or_else(|| old.note.clone()),
        verdict: incoming.verdict.as_ref().and_then(Told::verdict),
        replaces: Some(old),
        retiring: incoming.retiring,
    })?;
    shown(&vault, id)
}

pub(super) async fn put(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(incoming): Json<Incoming>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| replace(server, &caller, &id, incoming, seen)).await
}
