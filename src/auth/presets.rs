//! The services lanyard knows by name, as a table. A preset is a `[services.NAME]` table that nobody had to write;
//! every value can be replaced in the configuration.
//!
//! To add one, add a row to the table in `presets/rows.rs`.

use crate::config::{GitTable, ServiceTable};
use crate::http;

mod rows;

pub use rows::PRESETS;

/// One row: what a person reads when choosing, the service's addresses, and its quirks.
pub struct Preset {
    /// The name in the configuration and after `--service`.
    pub name: &'static str,
    /// The name people use.
    pub title: &'static str,
    /// One line that helps to choose.
    pub about: &'static str,
    /// Where a client is registered when the service has none for lanyard.
    pub registration: &'static str,
    /// What sets it apart from a textbook server.
    pub quirks: Quirks,
    /// Fills a service table with the preset's values.
    fill: fn() -> ServiceTable,
}

/// How a service departs from the standards. The default is a service without departures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// The web flow needs a client secret even from a native client, so the device flow is the better default.
    pub device_first: bool,
    /// The client secret goes into the form instead of a Basic header.
    pub secret_in_form: bool,
    /// How a token is revoked.
    pub revocation: Revocation,
    /// More parameters of the authorization request.
    pub authorization_params: &'static [(&'static str, &'static str)],
    /// The endpoint is the issuer's own address, so a self-managed instance needs its issuer alone.
    pub endpoint_is_issuer: bool,
}

/// How a service takes a token back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// RFC 7009.
    Standard,
    /// A JSON list of credentials, which need no other proof than themselves (GitHub).
    CredentialList,
}

const PLAIN: Quirks = Quirks {
    device_first: false,
    secret_in_form: false,
    revocation: Revocation::Standard,
    authorization_params: &[],
    endpoint_is_issuer: false,
};

impl Default for Quirks {
    fn default() -> Self {
        PLAIN
    }
}

/// The preset of that name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Preset {
    /// Whether an address is on a server of the preset's own.
    fn is_home(&self, address: &str) -> bool {
        let table = (self.fill)();
        let own = [table.issuer, table.token_endpoint, table.authorization_endpoint];
        own.into_iter().flatten().any(|own| same_host(&own, address))
    }

    /// The user's table over the preset's: each value given by the user replaces the preset's.
    ///
    /// A user who names another issuer, or other endpoints, means another server: none of the preset's own addresses and
    /// token variables survive that.
    pub fn under(&self, user: &ServiceTable) -> ServiceTable {
        let mut table = (self.fill)();
        let theirs =
            [&user.issuer, &user.token_endpoint, &user.authorization_endpoint, &user.device_authorization_endpoint];
        if user.issuer.as_ref().is_some_and(|issuer| Some(issuer) != table.issuer.as_ref()) {
            forget_oauth_addresses(&mut table);
        }
        if theirs.into_iter().flatten().any(|address| !self.is_home(address)) {
            forget_server(&mut table);
        }
        if self.quirks.endpoint_is_issuer && user.endpoint.is_none() {
            table.endpoint = user.issuer.clone().or_else(|| table.issuer.clone());
        }
        macro_rules! take {
            ($($field:ident),* $(,)?) => { $( if user.$field.is_some() { table.$field.clone_from(&user.$field); } )* };
        }
        take!(
            issuer,
            client_id,
            client_secret,
            scopes,
            token_env,
            endpoint,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            introspection_endpoint,
            userinfo_endpoint,
            pushed_authorization_request_endpoint,
            jwks_uri,
            token_endpoint_auth_method,
            redirect_host,
            redirect_port,
            redirect_path,
            audience,
            resource,
            prompt,
            accept_unannounced_iss,
            vault,
            api,
        );
        table.preset.clone_from(&user.preset);
        table.git = self.git_under(user, table.git);
        table
    }

    /// The git host that takes the tokens: as the user says, else the preset's own. A server whose endpoint is the
    /// issuer has its repositories there as well.
    fn git_under(&self, user: &ServiceTable, own: Option<GitTable>) -> Option<GitTable> {
        let mut git = match (own, &user.git) {
            (None, theirs) => return theirs.clone(),
            (Some(own), _) => own,
        };
        if self.quirks.endpoint_is_issuer && user.issuer.is_some() {
            git.address.clone_from(&user.issuer);
        }
        let theirs = user.git.clone().unwrap_or_default();
        Some(GitTable {
            address: theirs.address.or(git.address),
            username: theirs.username.or(git.username),
            scopes: theirs.scopes.or(git.scopes),
        })
    }
}

/// Leaves the sign-in's own addresses to the discovery of another issuer.
fn forget_oauth_addresses(table: &mut ServiceTable) {
    table.authorization_endpoint = None;
    table.token_endpoint = None;
    table.device_authorization_endpoint = None;
    table.revocation_endpoint = None;
    table.userinfo_endpoint = None;
    table.jwks_uri = None;
}

/// Leaves nothing by which a token could come from, or go to, the server that the preset is about.
fn forget_server(table: &mut ServiceTable) {
    forget_oauth_addresses(table);
    table.endpoint = None;
    table.token_env = None;
    if let Some(api) = &mut table.api {
        api.token_page = None;
    }
    if let Some(git) = &mut table.git {
        git.address = None;
    }
}

fn same_host(one: &str, other: &str) -> bool {
    let host = |text: &str| http::parse_url(text).ok()?.host_str().map(str::to_owned);
    host(one).is_some_and(|host_of_one| Some(host_of_one) == host(other))
}

#[cfg(test)]
mod tests {
    use super::rows::{text, words};
    use super::*;
    use crate::http::parse_url;

    #[test]
    fn every_row_is_whole_and_every_address_is_safe() {
        for (index, preset) in PRESETS.iter().enumerate() {
            assert!(PRESETS.iter().skip(index + 1).all(|other| other.name != preset.name), "{} twice", preset.name);
            let table = preset.under(&ServiceTable::default());
            assert!(!preset.about.is_empty() && !preset.registration.is_empty());
            assert!(table.issuer.is_some() || table.token_endpoint.is_some(), "{} cannot sign anyone in", preset.name);
            let addresses = [
                &table.issuer,
                &table.authorization_endpoint,
                &table.token_endpoint,
                &table.device_authorization_endpoint,
                &table.revocation_endpoint,
                &table.userinfo_endpoint,
                &table.endpoint,
            ];
            for address in addresses.into_iter().flatten() {
                assert!(address.starts_with("https://") && parse_url(address).is_ok(), "{address}");
            }
        }
    }

    #[test]
    fn the_users_values_win() {
        let user = ServiceTable {
            client_id: text("mine"),
            endpoint: text("https://api.example"),
            scopes: words(&["one"]),
            ..ServiceTable::default()
        };
        let table = find("github").unwrap().under(&user);
        assert_eq!(table.client_id.as_deref(), Some("mine"));
        assert_eq!(table.endpoint.as_deref(), Some("https://api.example"));
        assert_eq!(table.scopes, words(&["one"]));
        assert!(table.token_endpoint.is_some());
    }

    #[test]
    fn another_issuer_keeps_nothing_of_the_presets_server() {
        for preset in PRESETS {
            let user = ServiceTable { issuer: text("https://id.corp.example"), ..ServiceTable::default() };
            let table = preset.under(&user);
            let shown = format!("{table:?}").replace("https://id.corp.example", "");
            assert!(!shown.contains("https://"), "{}: {shown}", preset.name);
            assert_eq!(table.token_env, None, "{}", preset.name);
        }
    }

    #[test]
    fn other_endpoints_keep_nothing_of_the_presets_server() {
        let user = ServiceTable {
            token_endpoint: text("https://git.corp.example/login/oauth/access_token"),
            ..ServiceTable::default()
        };
        let table = find("github").unwrap().under(&user);
        assert!(!format!("{table:?}").contains("github.com"), "{table:?}");
    }

    #[test]
    fn the_git_host_is_the_presets_or_the_users_and_never_a_strangers() {
        let git = |preset: &str, user: &ServiceTable| find(preset).unwrap().under(user).git.unwrap();
        assert_eq!(git("github", &ServiceTable::default()).address.as_deref(), Some("https://github.com"));
        let issuer = ServiceTable { issuer: text("https://git.corp.example"), ..ServiceTable::default() };
        for own in ["gitlab", "gitea"] {
            assert_eq!(git(own, &issuer).address.as_deref(), Some("https://git.corp.example"));
            assert_eq!(git(own, &issuer).username.as_deref(), Some("oauth2"));
        }
        assert_eq!(git("github", &issuer).address, None, "which host it is, only the user knows");
        let table = GitTable { address: text("https://code.corp.example"), ..GitTable::default() };
        let user = ServiceTable { git: Some(table.clone()), ..issuer };
        assert_eq!(git("github", &user).address, table.address);
        assert_eq!(git("gitlab", &user).address, table.address);
        assert_eq!(find("google").unwrap().under(&user).git, Some(table));
    }

    #[test]
    fn a_tenants_issuer_is_still_microsoft() {
        let user =
            ServiceTable { issuer: text("https://login.microsoftonline.com/tenant/v2.0"), ..ServiceTable::default() };
        let table = find("microsoft").unwrap().under(&user);
        assert_eq!(table.endpoint.as_deref(), Some("https://graph.microsoft.com"));
        assert_eq!(table.token_endpoint, None);
    }

    #[test]
    fn a_self_managed_gitlab_keeps_nothing_of_gitlab_com() {
        let user = ServiceTable { issuer: text("https://git.corp.example"), ..ServiceTable::default() };
        let table = find("gitlab").unwrap().under(&user);
        assert_eq!(table.endpoint.as_deref(), Some("https://git.corp.example"));
        assert!(!format!("{table:?}").contains("gitlab.com"));
        let table = find("github").unwrap().under(&user);
        assert!(!format!("{table:?}").contains("github.com"));
    }
}
