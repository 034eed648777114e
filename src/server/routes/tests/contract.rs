//! The vault over the API keeps the contract of every vault.

use super::*;
use crate::vault::contract::vault_contract;

/// The vault of a server, as a command line has it, with the server that it stands on.
struct Remotely(Played, String);

impl Remotely {
    fn send(&self, request: crate::http::Request) -> crate::http::Response {
        let mut asked = Request::builder().method(request.method.clone()).uri(request.url.as_str());
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        let path = request.url[url::Position::BeforePath..].to_owned();
        let asked = asked.uri(path).body(request.body.map_or_else(Body::empty, |body| Body::from(body.to_vec())));
        let service = TowerToHyperService::new(router(Arc::clone(&self.0.server)));
        let response = self.0.runtime.block_on(service.call(asked.unwrap())).unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = self.0.body(response).into_bytes();
        crate::http::Response { status, headers, body: body.into() }
    }

    fn with<T>(&self, work: impl FnOnce(&dyn Vault) -> T) -> T {
        let http = |request| Ok(self.send(request));
        let bearer = |_| Ok(Secret::new(self.1.clone()));
        let base = self.0.server.public.clone();
        work(&crate::vault::remote::Remote::new(base, &http, Box::new(bearer)))
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Vault for Remotely {
            $(fn $name(&self, $($argument: $kind),*) -> $answer { self.with(|vault| vault.$name($($argument),*)) })*
        }
    };
}

forward! {
    each(see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError>;
    find(scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError>;
    for_host(host: &str) -> Result<Vec<Metadata>, VaultError>;
    open(metadata: &Metadata) -> Result<Credential, VaultError>;
    put(new: New) -> Result<Metadata, VaultError>;
    renew(credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError>;
    amend(metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError>;
    note_verdict(metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError>;
    note_use(metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError>;
    rotation(metadata: &Metadata) -> Result<Unfinished, VaultError>;
    note_rotation(metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError>;
    remove(metadata: &Metadata) -> Result<bool, VaultError>;
    remove_unused(metadata: &Metadata) -> Result<bool, VaultError>;
    scopes(metadata: &Metadata) -> Result<Vec<String>, VaultError>;
    users(metadata: &Metadata) -> Result<Vec<String>, VaultError>;
}

#[test]
fn the_vault_over_the_api_keeps_the_contract() {
    vault_contract(|| {
        let played = Played::new();
        let vault = played.server.vault(played.ours.clone(), Actor::default());
        let first = vault.list().unwrap();
        vault.remove(&first[0]).unwrap();
        played.projects(&["shop", "b"]);
        let token = played.member(&played.ours, Role::Member);
        Remotely(played, token)
    });
}
