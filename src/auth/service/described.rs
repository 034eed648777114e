//! What is known of a service and of the account that signed in there, none of it secret.

use super::Service;
use crate::auth::session::Session;
use crate::http::{self, Url};

impl Service {
    /// Whether a token with these scopes opens repositories at the service's git host.
    pub fn serves_git(&self, scopes: &[String]) -> bool {
        let needed = self.table.git.as_ref().and_then(|git| git.scopes.as_deref()).unwrap_or_default();
        needed.iter().all(|needed| scopes.contains(needed))
    }

    /// What is known of the service and of whoever signed in, by the names of the fields of a credential.
    pub fn described(&self, session: &Session, serves_git: bool) -> Vec<(&'static str, String)> {
        let mut known = Vec::new();
        let mut plain = |name: &'static str, value: Option<&str>| {
            known.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value.to_owned())));
        };
        plain("account", session.identity.account.as_deref());
        plain("account_id", session.identity.id());
        plain("client_id", session.client.as_ref().map(|client| client.id.as_str()));
        plain("issuer", session.issuer.as_deref());
        plain("scopes", Some(&session.scopes.join(" ")));
        plain("endpoint", self.table.endpoint.as_deref());
        if let Some(git) = self.table.git.as_ref().filter(|git| serves_git && git.address.is_some()) {
            plain("git_address", git.address.as_deref());
            plain("git_username", git.username.as_deref());
        }
        let api = self.api().and_then(|api| {
            let base = http::parse_url(self.table.endpoint.as_deref()?).ok()?;
            Some((http::below(&base, api.whoami.as_deref()?).ok()?, api.account.clone()))
        });
        match api {
            Some((whoami, pointer)) => {
                plain("whoami", Some(whoami.as_str()));
                plain("account_pointer", pointer.as_deref());
            }
            None => plain("whoami", session.endpoints.userinfo.as_ref().map(Url::as_str)),
        }
        known
    }
}
