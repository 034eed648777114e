//! The credential helper of Bazel and other build tools: EngFlow/credential-helper-spec.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::credential::{Address, Issued, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, json, told};
use crate::http::parse_url;

/// Build tools.
pub(super) struct Bazel;
/// The helper.
pub(super) static HELPER: Bazel = Bazel;

const KINDS: [&str; 5] = ["api_key", "username_password", "git", "oauth", "registry"];

#[derive(Deserialize)]
struct Question<'q> {
    #[serde(borrow)]
    uri: std::borrow::Cow<'q, str>,
}

#[derive(Serialize)]
struct Told<'t> {
    headers: std::collections::BTreeMap<&'static str, [&'t str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl Helper for Bazel {
    fn name(&self) -> &'static str {
        "bazel"
    }

    fn title(&self) -> &'static str {
        "Bazel and other build tools"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["lanyard-bazel"]
    }

    fn framing(&self, arguments: &[String]) -> Framing {
        match arguments {
            [verb] if verb == "get" => Framing::Whole,
            _ => Framing::Nothing,
        }
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        if !matches!(call.arguments, [verb] if verb == "get") {
            return Err(Reply::refusal(1, "usage: lanyard helper bazel get"));
        }
        let question: Question<'_> =
            json::read(call.text).ok_or_else(|| Reply::refusal(1, "lanyard: the build tool's question is none"))?;
        // What cannot be bound here, such as http:// or a bucket's own scheme, needs nothing from here.
        let at = parse_url(&question.uri).ok().and_then(|url| Address::of_url(&url));
        Ok(at.map_or_else(|| Ask::Answered(nothing()), |at| Ask::Get(Want::at(&KINDS, at, None))))
    }

    fn reply(&self, _: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => found(issued).unwrap_or_else(nothing),
            Answer::Missing | Answer::Listed(_) | Answer::Done => nothing(),
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
        }
    }
}

/// No credentials are needed, as far as is known here.
fn nothing() -> Reply {
    Reply::of(*b"{\"headers\":{}}\n")
}

fn found(issued: &Issued) -> Option<Reply> {
    let (name, value) = issued.material.header()?;
    // A header's name has no case; this is how people write the usual one.
    let name = if name == "authorization" { "Authorization" } else { name };
    let told = Told { headers: [(name, [value.expose()])].into(), expires: issued.expires.map(time) };
    json::line(&told)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
