//! The services, one row each: how a key is carried, what proves it, where the official tools keep it.
//!
//! Facts from the services' own references: platform.openai.com, docs.anthropic.com, docs.stripe.com, linear.app/developers,
//! docs.slack.dev, docs.digitalocean.com, docs.npmjs.com and npm/cli, docs.pypi.org and pypi/warehouse,
//! huggingface/huggingface_hub, docs.sendgrid.com, discord/discord-api-docs, the cargo book and rust-lang/crates.io,
//! developer.hashicorp.com/terraform.

use super::answer::{self, Told};
use crate::provider::Verdict;
use crate::provider::api::Api;

/// What is known of a service.
pub(super) struct Service {
    /// The word on the command line.
    pub(super) name: &'static str,
    /// What a person calls it.
    pub(super) title: &'static str,
    /// Where its API is.
    pub(super) api: Api,
    /// The forms of its keys. The first whose prefix fits counts; the last fits every key.
    pub(super) forms: &'static [Form],
    /// Prefixes of what is plainly something else, and what that is.
    pub(super) strangers: &'static [(&'static str, &'static str)],
    /// Where the body of a refusal holds its word: a body without it says nothing. Empty where any JSON is a refusal.
    pub(super) refusals: &'static [&'static str],
    /// What a 2xx answer means.
    pub(super) accepted: fn(&Told<'_>) -> Verdict,
    /// What an answer means that is not what its status says.
    pub(super) odd: fn(&Told<'_>) -> Option<Verdict>,
    /// The variables of the official tools in which a key may lie.
    pub(super) variables: &'static [&'static str],
    /// Where a person makes a new one.
    pub(super) console: &'static str,
}

/// A form of a service's keys.
pub(super) struct Form {
    /// How such a key begins.
    pub(super) prefix: &'static str,
    /// How it is carried.
    pub(super) carried: Carried,
    /// What proves it; `None` where nobody can be asked.
    pub(super) ask: Option<Ask>,
    /// The variables that the official tools read it from.
    pub(super) variables: &'static [&'static str],
}

/// How a key is carried in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// `Authorization: Bot KEY`.
    Bot,
    /// The key alone in a header of this name.
    Header(&'static str),
    /// As the password of a user of this name.
    Password(&'static str),
}

/// The cheapest request that only reads.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// The path below the API.
    pub(super) path: &'static str,
    /// The body, where it is a POST: JSON, or [`EMPTY_FORM`].
    pub(super) body: Option<&'static str>,
    /// Headers that the service wants to see.
    pub(super) headers: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str) -> Ask {
    Ask { path, body: None, headers: &[] }
}

const fn form(
    prefix: &'static str,
    carried: Carried,
    ask: Option<Ask>,
    variables: &'static [&'static str],
) -> Form {
    Form { prefix, carried, ask, variables }
}

const fn api(official: &'static str, variables: &'static [&'static str]) -> Api {
    Api { variables, official }
}

/// The body of a POST without a single field.
pub(super) const EMPTY_FORM: &str = "";
const ANTHROPIC: &[(&str, &str)] = &[("anthropic-version", "2023-06-01")];
const WHO_IN_LINEAR: &str = r#"{"query":"{ viewer { id name email } organization { id name urlKey } }"}"#;
const DISCORD: &[(&str, &str)] =
    &[("user-agent", concat!("DiscordBot (https://crates.io/crates/lanyard, ", env!("CARGO_PKG_VERSION"), ")"))];

/// Every service that lanyard knows.
pub(super) static SERVICES: [Service; 13] = [
    Service {
        name: "openai",
        title: "OpenAI",
        api: api("https://api.openai.com/v1", &["OPENAI_BASE_URL"]),
        forms: &[
            form("sk-admin-", Carried::Bearer, Some(get("/organization/projects?limit=1")), &["OPENAI_ADMIN_KEY"]),
            form("", Carried::Bearer, Some(get("/models")), &["OPENAI_API_KEY"]),
        ],
        strangers: &[("sk-ant-", "it is a key of Anthropic")],
        refusals: &["/error/code", "/error/type"],
        accepted: answer::openai,
        odd: answer::openai_odd,
        variables: &["OPENAI_API_KEY", "OPENAI_ADMIN_KEY"],
        console: "https://platform.openai.com/api-keys",
    },
    Service {
        name: "anthropic",
        title: "Anthropic",
        api: api("https://api.anthropic.com", &["ANTHROPIC_BASE_URL"]),
        forms: &[
            form(
                "sk-ant-admin",
                Carried::Header("x-api-key"),
                Some(Ask { path: "/v1/organizations/me", body: None, headers: ANTHROPIC }),
                &["ANTHROPIC_ADMIN_KEY"],
            ),
            form("sk-ant-oat", Carried::Bearer, None, &["ANTHROPIC_AUTH_TOKEN"]),
            form(
                "",
                Carried::Header("x-api-key"),
                Some(Ask { path: "/v1/models?limit=1", body: None, headers: ANTHROPIC }),
                &["ANTHROPIC_API_KEY"],
            ),
        ],
        strangers: &[("sk-proj-", "it is a key of OpenAI")],
        refusals: &["/error/type"],
        accepted: answer::anthropic,
        odd: answer::nothing_odd,
        variables: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_ADMIN_KEY"],
        console: "https://console.anthropic.com/settings/keys",
    },
    Service {
        name: "stripe",
        title: "Stripe",
        api: api("https://api.stripe.com", &[]),
        forms: &[form("", Carried::Bearer, Some(get("/v1/account")), &["STRIPE_API_KEY"])],
        strangers: &[
            ("pk_", "it is a publishable key, which is no secret and may do nothing"),
            ("whsec_", "it is the secret of a webhook, which signs and signs in nowhere"),
        ],
        refusals: &["/error/code", "/error/type"],
        accepted: answer::stripe,
        odd: answer::stripe_odd,
        variables: &["STRIPE_API_KEY", "STRIPE_SECRET_KEY"],
        console: "https://dashboard.stripe.com/apikeys",
    },
    Service {
        name: "linear",
        title: "Linear",
        api: api("https://api.linear.app", &[]),
        forms: &[
            form(
                "lin_oauth_",
                Carried::Bearer,
                Some(Ask { path: "/graphql", body: Some(WHO_IN_LINEAR), headers: &[] }),
                &["LINEAR_ACCESS_TOKEN"],
            ),
            form(
                "",
                Carried::Header("authorization"),
                Some(Ask { path: "/graphql", body: Some(WHO_IN_LINEAR), headers: &[] }),
                &["LINEAR_API_KEY"],
            ),
        ],
        strangers: &[],
        refusals: &["/errors/0/extensions/code"],
        accepted: answer::linear,
        odd: answer::linear_odd,
        variables: &["LINEAR_API_KEY"],
        console: "https://linear.app/settings/account/security",
    },
    Service {
        name: "slack",
        title: "Slack",
        api: api("https://slack.com/api", &[]),
        forms: &[
            // What an app-level token may do is open connections, which is more than asking.
            form("xapp-", Carried::Bearer, None, &["SLACK_APP_TOKEN"]),
            form("xoxp-", Carried::Bearer, SLACK, &["SLACK_USER_TOKEN"]),
            form("xoxe.xoxp-", Carried::Bearer, SLACK, &["SLACK_USER_TOKEN"]),
            form("", Carried::Bearer, SLACK, &["SLACK_BOT_TOKEN"]),
        ],
        strangers: &[
            ("xoxe-", "it is a refresh token, which is used up when it is tried"),
            ("https://", "it is the address of a webhook"),
        ],
        refusals: &["/error"],
        accepted: answer::slack,
        odd: answer::nothing_odd,
        variables: &["SLACK_BOT_TOKEN", "SLACK_USER_TOKEN", "SLACK_APP_TOKEN"],
        console: "https://api.slack.com/apps",
    },
    Service {
        name: "digitalocean",
        title: "DigitalOcean",
        api: api("https://api.digitalocean.com", &["DIGITALOCEAN_API_URL"]),
        forms: &[form(
            "",
            Carried::Bearer,
            Some(get("/v2/account")),
            &["DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN"],
        )],
        strangers: &[("dor_v1_", "it is a refresh token, which is used up when it is tried")],
        refusals: &["/id"],
        accepted: answer::digitalocean,
        odd: answer::nothing_odd,
        variables: &["DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN"],
        console: "https://cloud.digitalocean.com/account/api/tokens",
    },
    Service {
        name: "npm",
        title: "npm",
        api: api("https://registry.npmjs.org", &["NPM_CONFIG_REGISTRY", "npm_config_registry"]),
        forms: &[form("", Carried::Bearer, Some(get("/-/whoami")), &["NPM_TOKEN", "NODE_AUTH_TOKEN"])],
        strangers: &[],
        refusals: &[],
        accepted: answer::npm,
        odd: answer::nothing_odd,
        variables: &["NPM_TOKEN", "NODE_AUTH_TOKEN"],
        console: "https://www.npmjs.com/settings/~/tokens",
    },
    Service {
        name: "pypi",
        title: "PyPI",
        api: api("https://upload.pypi.org/legacy/", &["TWINE_REPOSITORY_URL", "UV_PUBLISH_URL"]),
        forms: &[form("", Carried::Password("__token__"), None, &["TWINE_PASSWORD", "UV_PUBLISH_TOKEN", "FLIT_PASSWORD"])],
        strangers: &[],
        refusals: &[],
        accepted: answer::unnamed,
        odd: answer::nothing_odd,
        variables: &["UV_PUBLISH_TOKEN", "TWINE_PASSWORD"],
        console: "https://pypi.org/manage/account/token/",
    },
    Service {
        name: "huggingface",
        title: "Hugging Face",
        api: api("https://huggingface.co", &["HF_ENDPOINT"]),
        forms: &[form("", Carried::Bearer, Some(get("/api/whoami-v2")), &["HF_TOKEN"])],
        strangers: &[],
        refusals: &["/error"],
        accepted: answer::huggingface,
        odd: answer::nothing_odd,
        variables: &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"],
        console: "https://huggingface.co/settings/tokens",
    },
    Service {
        name: "sendgrid",
        title: "SendGrid",
        api: api("https://api.sendgrid.com", &[]),
        forms: &[form("", Carried::Bearer, Some(get("/v3/scopes")), &["SENDGRID_API_KEY"])],
        strangers: &[],
        refusals: &["/errors/0/message"],
        accepted: answer::sendgrid,
        odd: answer::nothing_odd,
        variables: &["SENDGRID_API_KEY"],
        console: "https://app.sendgrid.com/settings/api_keys",
    },
    Service {
        name: "discord",
        title: "Discord",
        api: api("https://discord.com/api/v10", &[]),
        forms: &[form(
            "",
            Carried::Bot,
            Some(Ask { path: "/users/@me", body: None, headers: DISCORD }),
            &["DISCORD_TOKEN", "DISCORD_BOT_TOKEN"],
        )],
        strangers: &[("https://", "it is the address of a webhook")],
        refusals: &["/code"],
        accepted: answer::discord,
        odd: answer::nothing_odd,
        variables: &["DISCORD_TOKEN", "DISCORD_BOT_TOKEN"],
        console: "https://discord.com/developers/applications",
    },
    Service {
        name: "cargo",
        title: "cargo registry",
        api: api("https://crates.io", &[]),
        forms: &[form("", Carried::Header("authorization"), None, &["CARGO_REGISTRY_TOKEN"])],
        strangers: &[],
        refusals: &["/errors/0/detail"],
        accepted: answer::unnamed,
        odd: answer::nothing_odd,
        variables: &["CARGO_REGISTRY_TOKEN"],
        console: "https://crates.io/settings/tokens",
    },
    Service {
        name: "terraform",
        title: "HCP Terraform",
        api: api("https://app.terraform.io", &[]),
        forms: &[form("", Carried::Bearer, Some(get("/api/v2/account/details")), &["TF_TOKEN_app_terraform_io"])],
        strangers: &[],
        refusals: &["/errors/0/title"],
        accepted: answer::terraform,
        odd: answer::nothing_odd,
        variables: &["TF_TOKEN_app_terraform_io"],
        console: "https://app.terraform.io/app/settings/tokens",
    },
];

const SLACK: Option<Ask> = Some(Ask { path: "/auth.test", body: Some(EMPTY_FORM), headers: &[] });

impl Service {
    /// The service of that name.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.name == name)
    }

    /// The form of a key.
    pub(super) fn form(&self, key: &str) -> Option<&'static Form> {
        self.forms.iter().find(|form| key.starts_with(form.prefix))
    }
}
