//! The services lanyard knows by name, as a table. A preset is a `[services.NAME]` table that nobody had to write;
//! every value can be replaced in the configuration.
//!
//! To add one, add a row. Facts come from the provider's own pages, named above each row.

use crate::config::{ApiTable, ServiceTable};
use crate::http;

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

/// The table.
pub static PRESETS: &[Preset] = &[
    // docs.github.com: authorizing OAuth apps; REST "revoke a list of credentials". No discovery for user sign-in.
    Preset {
        name: "github",
        title: "GitHub",
        about: "github.com, by device code or a personal access token",
        registration: "https://github.com/settings/developers (tick \"Enable Device Flow\")",
        quirks: Quirks { device_first: true, secret_in_form: true, revocation: Revocation::CredentialList, ..PLAIN },
        fill: || ServiceTable {
            authorization_endpoint: text("https://github.com/login/oauth/authorize"),
            token_endpoint: text("https://github.com/login/oauth/access_token"),
            device_authorization_endpoint: text("https://github.com/login/device/code"),
            revocation_endpoint: text("https://api.github.com/credentials/revoke"),
            endpoint: text("https://api.github.com"),
            scopes: words(&["repo", "read:org", "gist"]),
            token_env: words(&["GH_TOKEN", "GITHUB_TOKEN"]),
            api: Some(ApiTable {
                whoami: text("/user"),
                account: text("/login"),
                account_id: text("/id"),
                projects: text("/user/repos?per_page=100"),
                project_name: text("/full_name"),
                token_page: text("https://github.com/settings/tokens"),
                ..ApiTable::default()
            }),
            ..ServiceTable::default()
        },
    },
    // docs.gitlab.com: OAuth 2.0 identity provider API. A self-managed one sets `issuer` beside `preset = "gitlab"`.
    Preset {
        name: "gitlab",
        title: "GitLab",
        about: "gitlab.com or your own GitLab, in the browser, by device code or a token",
        registration: "User settings > Applications (not confidential, redirect http://127.0.0.1/callback)",
        quirks: Quirks { endpoint_is_issuer: true, ..PLAIN },
        fill: || ServiceTable {
            issuer: text("https://gitlab.com"),
            scopes: words(&["openid", "profile", "email", "read_user"]),
            token_env: words(&["GITLAB_TOKEN"]),
            api: Some(ApiTable {
                whoami: text("/api/v4/user"),
                account: text("/username"),
                account_id: text("/id"),
                projects: text("/api/v4/projects?membership=true&simple=true&per_page=100"),
                project_name: text("/path_with_namespace"),
                token_page: text("https://gitlab.com/-/user_settings/personal_access_tokens"),
                ..ApiTable::default()
            }),
            ..ServiceTable::default()
        },
    },
    // developers.google.com: OAuth 2.0 for desktop apps. The secret of a desktop client is required and not secret.
    Preset {
        name: "google",
        title: "Google",
        about: "a Google account, in the browser",
        registration: "https://console.cloud.google.com/apis/credentials (type \"Desktop app\")",
        quirks: Quirks {
            secret_in_form: true,
            authorization_params: &[("access_type", "offline"), ("prompt", "consent")],
            ..PLAIN
        },
        fill: || ServiceTable {
            issuer: text("https://accounts.google.com"),
            endpoint: text("https://www.googleapis.com"),
            scopes: words(&["openid", "email", "profile"]),
            token_env: words(&["GOOGLE_OAUTH_ACCESS_TOKEN"]),
            ..ServiceTable::default()
        },
    },
    // learn.microsoft.com: Microsoft identity platform. The issuer of `common` is a template, so the endpoints are
    // named one by one and the account is asked of Graph; a tenant's own `issuer` brings discovery back.
    Preset {
        name: "microsoft",
        title: "Microsoft",
        about: "a Microsoft or Entra account, in the browser or by device code",
        registration: "https://entra.microsoft.com > App registrations (public client, redirect http://localhost)",
        quirks: PLAIN,
        fill: || ServiceTable {
            authorization_endpoint: text("https://login.microsoftonline.com/common/oauth2/v2.0/authorize"),
            token_endpoint: text("https://login.microsoftonline.com/common/oauth2/v2.0/token"),
            device_authorization_endpoint: text("https://login.microsoftonline.com/common/oauth2/v2.0/devicecode"),
            userinfo_endpoint: text("https://graph.microsoft.com/oidc/userinfo"),
            endpoint: text("https://graph.microsoft.com"),
            redirect_host: text("localhost"),
            scopes: words(&["openid", "profile", "email", "offline_access", "User.Read"]),
            api: Some(ApiTable {
                whoami: text("/v1.0/me"),
                account: text("/userPrincipalName"),
                account_id: text("/id"),
                ..ApiTable::default()
            }),
            ..ServiceTable::default()
        },
    },
    // huggingface.co/docs: Sign in with Hugging Face. No refresh token, no revocation.
    Preset {
        name: "huggingface",
        title: "Hugging Face",
        about: "huggingface.co, in the browser, by device code or a token",
        registration: "https://huggingface.co/settings/applications/new (public app)",
        quirks: PLAIN,
        fill: || ServiceTable {
            issuer: text("https://huggingface.co"),
            endpoint: text("https://huggingface.co"),
            scopes: words(&["openid", "profile", "email"]),
            token_env: words(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]),
            api: Some(ApiTable {
                whoami: text("/api/whoami-v2"),
                account: text("/name"),
                account_id: text("/id"),
                token_page: text("https://huggingface.co/settings/tokens"),
                ..ApiTable::default()
            }),
            ..ServiceTable::default()
        },
    },
];

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
            api,
        );
        table.preset.clone_from(&user.preset);
        table
    }
}

/// Leaves the sign-in's own addresses to the discovery of another issuer.
fn forget_oauth_addresses(table: &mut ServiceTable) {
    table.authorization_endpoint = None;
    table.token_endpoint = None;
    table.device_authorization_endpoint = None;
    table.revocation_endpoint = None;
    table.userinfo_endpoint = None;
}

/// Leaves nothing by which a token could come from, or go to, the server that the preset is about.
fn forget_server(table: &mut ServiceTable) {
    forget_oauth_addresses(table);
    table.endpoint = None;
    table.token_env = None;
    if let Some(api) = &mut table.api {
        api.token_page = None;
    }
}

fn same_host(one: &str, other: &str) -> bool {
    let host = |text: &str| http::parse_url(text).ok()?.host_str().map(str::to_owned);
    host(one).is_some_and(|host_of_one| Some(host_of_one) == host(other))
}

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are optional")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are optional")]
fn words(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|value| (*value).to_owned()).collect())
}

#[cfg(test)]
mod tests {
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
