//! Hetzner Cloud: API tokens, each of one project.
//!
//! From hetznercloud/cli (`docs/reference/configuration.md`, `internal/state/config`) and hetznercloud/hcloud-go.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::api::{self, Api, ByHand};
use super::foreign::Foreign;
use super::{Discovered, Found, Here, Input, Mark, Net, Origin, Provider, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, Issued, Kind, Material, Metadata, Raw, Variable};
use crate::http::{Request, Response};
use crate::secret::Secret;
use crate::text::clean;

const TITLE: &str = "Hetzner Cloud";
const API: Api = Api { variables: &["HCLOUD_ENDPOINT"], official: "https://api.hetzner.cloud/v1" };
const CONSOLE: &str = "https://console.hetzner.com, Security, API tokens";

static FIELDS: [Field; 2] = [
    Field::secret("api_token", "API token")
        .checked(api_token, "jEheVytlAoFl7F8MqUQ7jAo2hOXASztX4eRNBpyhKWzZ0bBBR3CKxA0wiUZtWEdX"),
    api::ENDPOINT,
];
static KINDS: [Kind; 1] = [Kind::new("hetzner_api_token", "Hetzner Cloud API token", "hetzner", &FIELDS)];
static INPUTS: [Input; 1] = [Input::flag("hcloud-context", "NAME", "The context of hcloud whose token is taken")];
static MARKS: [Mark; 2] = [
    Mark {
        kind: "hetzner_api_token",
        field: "api_token",
        service: "",
        keyword: "HCLOUD_TOKEN",
        pattern: r#"\bHCLOUD_TOKEN["']?\s*[:=]\s*["']?([A-Za-z0-9]{64})\b"#,
    },
    Mark {
        kind: "hetzner_api_token",
        field: "api_token",
        service: "",
        keyword: "hcloud_token",
        pattern: r#"\bhcloud_token["']?\s*[:=]\s*["']?([A-Za-z0-9]{64})\b"#,
    },
];
static ROTATION: ByHand = ByHand {
    why: "Hetzner Cloud makes API tokens in its console alone",
    mend: "make a new token in the console of the project, store it with `lanyard credentials update NAME --field \
           api_token=-`, then delete the old one there",
};

/// Hetzner Cloud.
pub struct Hetzner;
/// The provider.
pub static PROVIDER: Hetzner = Hetzner;

/// The official tool takes tokens of 64 characters alone; so do we, since half a token is easily copied.
fn api_token(value: &str) -> Result<(), &'static str> {
    if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err("a token of Hetzner Cloud is 64 letters and digits")
    }
}

impl Provider for Hetzner {
    fn name(&self) -> &'static str {
        "hetzner"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        let mut all = Discovered::default();
        let wanted = here.input("hcloud-context");
        if let (Some(token), None) = (here.env.var("HCLOUD_TOKEN"), wanted) {
            all.found.push(entry(Secret::new(token.to_owned()), None, Origin::variable("HCLOUD_TOKEN")));
        }
        let path = configuration(here);
        let read = |path| Foreign::read(here, path, "configuration of hcloud")?.map(|file| file.toml()).transpose();
        let file: Option<Configuration> = all.value(path.as_deref().map_or(Ok(None), read));
        // With a context that is named and missing, the official tool does nothing either.
        if let Some(name) = wanted.or(here.env.var("HCLOUD_CONTEXT"))
            && all.found.is_empty()
            && all.broken.is_empty()
            && !file.as_ref().is_some_and(|file| file.has(name))
        {
            all.meant(ProviderError::NotThere {
                what: format!("context {}", clean(name)),
                place: path.as_ref().map_or_else(|| "the home folder".into(), |path| here.shown(path)),
                mend: "`hcloud context list` shows what there is".into(),
            });
        }
        if let (Some(path), Some(file)) = (&path, file) {
            all.found.extend(contexts(here, path, file, wanted));
        }
        all
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        API.fill(raw, here.env)?;
        Ok(&KINDS[0])
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        API.hosts(metadata)
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        Ok(Some(Request::get(API.at(&credential.metadata, net.env, "/locations?per_page=1")?)))
    }

    fn judge(&self, _: &Credential, answer: &Response) -> Verdict {
        judge(answer)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let token = credential.secret("api_token").ok_or_else(|| api::missing(credential, "api_token"))?;
        Ok(Issued::lasting(Material::Bearer(token.duplicate())))
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let mut variables = Vec::new();
        variables.extend(credential.secret("api_token").map(|token| Variable::secret("HCLOUD_TOKEN", token)));
        variables.extend(credential.field("endpoint").map(|address| Variable::plain("HCLOUD_ENDPOINT", address)));
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("hcloud", "configuration of hcloud, cli.toml")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        let token = credential.secret("api_token").filter(|_| format == "hcloud")?;
        let name = toml_string(&credential.metadata.name);
        let parts = ["active_context = ", &name, "\n\n[[contexts]]\nname = ", &name, "\ntoken = \"", token.expose(), "\"\n"];
        Some(Secret::new(parts.concat()))
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&ROTATION)
    }
}

/// A credential's name as TOML. Such a name holds nothing that TOML would read in another way.
fn toml_string(name: &str) -> String {
    toml::Value::String(name.to_owned()).to_string()
}

/// `HCLOUD_CONFIG`, else `cli.toml` in hcloud's folder, which is the same on Linux and macOS.
fn configuration(here: &Here<'_>) -> Option<PathBuf> {
    if let Some(path) = here.env.var("HCLOUD_CONFIG") {
        return Some(here.env.working_dir().join(path));
    }
    if cfg!(windows) {
        return Some(Path::new(here.env.var("APPDATA")?).join("hcloud/cli.toml"));
    }
    here.home(".config/hcloud/cli.toml")
}

#[derive(Deserialize)]
struct Configuration {
    active_context: Option<String>,
    #[serde(default)]
    contexts: Vec<Context>,
}

#[derive(Deserialize)]
struct Context {
    name: String,
    token: Option<Secret>,
}

impl Configuration {
    /// Whether there is a context of that name, with a token.
    fn has(&self, name: &str) -> bool {
        let token = |context: &Context| context.token.as_ref().is_some_and(|token| !token.expose().is_empty());
        self.contexts.iter().any(|context| context.name == name && token(context))
    }
}

/// The tokens of the contexts, the active one's first. One that is wanted by name stands alone.
fn contexts(here: &Here<'_>, path: &Path, file: Configuration, wanted: Option<&str>) -> Vec<Found> {
    let alone = file.contexts.len() == 1;
    let active = here.env.var("HCLOUD_CONTEXT").or(file.active_context.as_deref());
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for context in file.contexts {
        let Some(token) = context.token.filter(|token| !token.expose().is_empty()) else { continue };
        if wanted.is_some_and(|wanted| wanted != context.name) {
            continue;
        }
        let name = (!alone).then(|| format!("hetzner-{}", context.name));
        let found = entry(token, name, Origin::file(here, path, &format!("[{}]", context.name)));
        if active == Some(&context.name) { first.push(found) } else { others.push(found) }
    }
    first.extend(others);
    first
}

fn entry(token: Secret, name: Option<String>, origin: Origin) -> Found {
    let mut raw = Raw::new();
    raw.set("api_token", token);
    Found { kind: &KINDS[0], raw, name, origin, expires: None }
}

/// The documented answer to the probe; the locations themselves do not matter.
#[derive(Deserialize)]
struct Locations {
    #[serde(rename = "locations")]
    _locations: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Code,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

fn judge(answer: &Response) -> Verdict {
    if let Some(verdict) = api::not_now(answer, TITLE, "ratelimit-reset") {
        return verdict;
    }
    // The API tells neither whose the token is nor of which project.
    if answer.is_success() && answer.json::<Locations>().is_ok() {
        return Verdict::valid_unnamed();
    }
    let unexpected = Verdict::unexpected(TITLE, answer.status);
    let Some(Refusal { error }) = api::refusal(answer) else { return unexpected };
    let code = error.code.as_str();
    let verdict = match (answer.status, code) {
        (401, "unauthorized") => Verdict::invalid(
            "Hetzner Cloud does not know the token (401 Unauthorized)",
            format!("make a new one: {CONSOLE}"),
        ),
        (403, "forbidden" | "token_readonly") => Verdict::insufficient(
            "Hetzner Cloud knows the token and does not let it read this (403 Forbidden)",
            format!("look at its permission: {CONSOLE}"),
        ),
        _ => unexpected,
    };
    verdict.code(code)
}

#[cfg(test)]
mod tests;
