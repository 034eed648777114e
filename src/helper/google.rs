//! Credentials that Google's libraries get from a program (workload identity federation): `pluggable.py` of
//! googleapis/google-auth-library-python, and the page of Google Cloud on executable-sourced credentials.
//!
//! What is handed over is the ID token of a sign-in, which the library exchanges at Google. The file that names this
//! program also names where the exchange happens, so a sign-in answers for the one audience that its owner gave it. The
//! libraries read stderr as part of the answer: everything is said in the answer itself.

use serde::Serialize;

use crate::credential::{Material, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, json, told};

/// Google's libraries.
pub(super) struct Google;
/// The helper.
pub(super) static HELPER: Google = Google;

const KINDS: [&str; 1] = ["oauth"];
/// The field with the audience that an ID token may be exchanged for.
const AUDIENCE: &str = "google_audience";

const TOKEN_TYPES: [&str; 2] = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the protocol")]
struct Token<'t> {
    version: u8,
    success: bool,
    token_type: &'t str,
    id_token: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<i64>,
}

#[derive(Serialize)]
struct Refusal<'r> {
    version: u8,
    success: bool,
    code: &'r str,
    message: &'r str,
}

impl Helper for Google {
    fn name(&self) -> &'static str {
        "google"
    }

    fn title(&self) -> &'static str {
        "Google's libraries, through a federated sign-in"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let [name] = call.arguments else {
            return Err(refused("usage", "usage: lanyard helper google NAME"));
        };
        if variable(call, "REVOKE") == Some("1") {
            return Err(refused("unsupported", "lanyard revokes nothing here: `lanyard credentials disconnect` does"));
        }
        if !TOKEN_TYPES.contains(&token_type(call)) {
            return Err(refused("unsupported", "lanyard has ID tokens alone, and another type is asked for"));
        }
        let Some(audience) = variable(call, "AUDIENCE") else {
            return Err(refused("no_audience", "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE is not set: Google's libraries set it"));
        };
        Ok(Ask::IdToken(Want { fields: vec![(AUDIENCE, Some(audience.to_owned()))], ..Want::named(&KINDS, name) }))
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => {
                let Material::Bearer(token) = &issued.material else { return missing() };
                let told = Token {
                    version: 1,
                    success: true,
                    token_type: token_type(call),
                    id_token: token.expose(),
                    expiration_time: issued.expires.map(|at| at.timestamp()),
                };
                json::line(&told).unwrap_or_default()
            }
            Answer::Missing | Answer::Listed(_) | Answer::Done => missing(),
            Answer::Failed(failure) => refused("failed", &told(*failure)),
        }
    }
}

fn variable<'c>(call: &Call<'c>, name: &str) -> Option<&'c str> {
    call.env.var(&format!("GOOGLE_EXTERNAL_ACCOUNT_{name}"))
}

/// The type of token that is asked for; the usual one where the library does not say.
fn token_type<'c>(call: &Call<'c>) -> &'c str {
    variable(call, "TOKEN_TYPE").unwrap_or(TOKEN_TYPES[0])
}

fn missing() -> Reply {
    let mend = "sign in with `lanyard credentials store oauth`, and allow it for the audience with \
                `lanyard credentials update NAME --field google_audience=AUDIENCE`";
    refused("not_found", &format!("no sign-in of that name is allowed for this audience; {mend}"))
}

/// A failure as the libraries read it: on stdout, with success as the exit code.
fn refused(code: &str, message: &str) -> Reply {
    json::line(&Refusal { version: 1, success: false, code, message }).unwrap_or_default()
}

#[cfg(test)]
mod tests;
