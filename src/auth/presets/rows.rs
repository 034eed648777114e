//! The table of built-in services. Facts come from the provider's own pages, named above each row.

use super::{PLAIN, Preset, Quirks, Revocation};
use crate::config::{ApiTable, GitTable, ServiceTable};

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
            git: git("https://github.com", Some("x-access-token"), &["repo"]),
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
            git: git("https://gitlab.com", Some("oauth2"), &["read_repository", "write_repository"]),
            ..ServiceTable::default()
        },
    },
    // developer.atlassian.com: OAuth 2.0 for Bitbucket Cloud; support.atlassian.com: use OAuth on Bitbucket Cloud. A
    // consumer has a secret and one callback address, which is compared with its port.
    Preset {
        name: "bitbucket",
        title: "Bitbucket",
        about: "bitbucket.org, in the browser",
        registration: "Workspace settings > OAuth consumers (callback http://127.0.0.1:18573/callback)",
        quirks: PLAIN,
        fill: || ServiceTable {
            authorization_endpoint: text("https://bitbucket.org/site/oauth2/authorize"),
            token_endpoint: text("https://bitbucket.org/site/oauth2/access_token"),
            endpoint: text("https://api.bitbucket.org"),
            redirect_port: Some(18_573),
            scopes: words(&["account", "repository", "repository:write"]),
            api: Some(ApiTable {
                whoami: text("/2.0/user"),
                account: text("/username"),
                account_id: text("/account_id"),
                ..ApiTable::default()
            }),
            git: git("https://bitbucket.org", Some("x-token-auth"), &["repository"]),
            ..ServiceTable::default()
        },
    },
    // docs.gitea.com and forgejo.org: OAuth2 provider, which takes any port of a loopback redirect from a public client.
    // A self-managed one sets `issuer` beside `preset = "gitea"`.
    Preset {
        name: "gitea",
        title: "Gitea",
        about: "gitea.com or your own Gitea or Forgejo, in the browser",
        registration: "Settings > Applications (public client, redirect http://127.0.0.1/callback)",
        quirks: Quirks { endpoint_is_issuer: true, ..PLAIN },
        fill: || ServiceTable {
            issuer: text("https://gitea.com"),
            authorization_endpoint: text("https://gitea.com/login/oauth/authorize"),
            token_endpoint: text("https://gitea.com/login/oauth/access_token"),
            userinfo_endpoint: text("https://gitea.com/login/oauth/userinfo"),
            jwks_uri: text("https://gitea.com/login/oauth/keys"),
            scopes: words(&["read:user", "write:repository"]),
            api: Some(ApiTable {
                whoami: text("/api/v1/user"),
                account: text("/login"),
                account_id: text("/id"),
                token_page: text("https://gitea.com/user/settings/applications"),
                ..ApiTable::default()
            }),
            git: git("https://gitea.com", Some("oauth2"), &["write:repository"]),
            ..ServiceTable::default()
        },
    },
    // learn.microsoft.com: Azure DevOps, Microsoft Entra OAuth; Azure DevOps REST API, Profiles. The scope is that of
    // the resource Azure DevOps, since a token is for one resource; git takes it beside any user name.
    Preset {
        name: "azure-devops",
        title: "Azure DevOps",
        about: "repositories on dev.azure.com, by an Entra account, in the browser or by device code",
        registration: "https://entra.microsoft.com > App registrations (public client, redirect http://localhost, permission Azure DevOps)",
        quirks: PLAIN,
        fill: || ServiceTable {
            authorization_endpoint: text("https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize"),
            token_endpoint: text("https://login.microsoftonline.com/organizations/oauth2/v2.0/token"),
            device_authorization_endpoint: text(
                "https://login.microsoftonline.com/organizations/oauth2/v2.0/devicecode",
            ),
            endpoint: text("https://app.vssps.visualstudio.com"),
            redirect_host: text("localhost"),
            scopes: words(&["499b84ac-1321-427f-aa17-267ca6975798/.default", "offline_access"]),
            api: Some(ApiTable {
                whoami: text("/_apis/profile/profiles/me?api-version=7.1"),
                account: text("/emailAddress"),
                account_id: text("/id"),
                ..ApiTable::default()
            }),
            git: git("https://dev.azure.com", None, &[]),
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

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are optional")]
pub(super) fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the fields it fills are optional")]
pub(super) fn words(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|value| (*value).to_owned()).collect())
}

/// The git host that takes the tokens.
#[expect(clippy::unnecessary_wraps, reason = "the field it fills is optional")]
fn git(address: &str, username: Option<&str>, scopes: &[&str]) -> Option<GitTable> {
    Some(GitTable { address: text(address), username: username.and_then(text), scopes: words(scopes) })
}
