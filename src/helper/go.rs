//! go's `GOAUTH` command: `go help goauth`, and `cmd/go/internal/auth` of Go 1.24.
//!
//! go starts it without an address before its first request, and with one after a request that was refused. The first
//! is answered with nothing: nobody hands out everything there is because one download may need one of it.

use crate::credential::{Address, Issued, Material, Metadata, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, told};
use crate::http::parse_url;
use crate::provider;

/// go's module downloads.
pub(super) struct Go;
/// The helper.
pub(super) static HELPER: Go = Go;

const KINDS: [&str; 4] = ["git", "username_password", "api_key", "oauth"];

impl Helper for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn title(&self) -> &'static str {
        "go and its private modules"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn framing(&self, _: &[String]) -> Framing {
        // go writes the answer of the server that refused. Nothing in it has a say.
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        match call.arguments {
            [] => Ok(Ask::Answered(Reply::default())),
            [url] => {
                let at = asked(url);
                Ok(at.map_or_else(|| Ask::Answered(Reply::default()), |at| Ask::Get(Want::at(&KINDS, at, None))))
            }
            _ => Err(Reply::refusal(1, "usage: lanyard helper go [URL]")),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(metadata, issued) => {
                call.arguments.first().and_then(|url| found(url, metadata, issued)).unwrap_or_default()
            }
            Answer::Missing | Answer::Listed(_) | Answer::Done => Reply::default(),
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
        }
    }
}

/// The address that go asks for, which it does for `https` alone.
fn asked(url: &str) -> Option<Address> {
    let url = parse_url(url).ok().filter(|url| url.scheme() == "https")?;
    Address::of_url(&url)
}

/// The header for the very address, and for what the credential was stored for, so that go need not ask again for each
/// file below it. Go 1.24 looks for the whole address and then for the host alone, whatever its documentation says.
fn found(url: &str, metadata: &Metadata, issued: &Issued) -> Option<Reply> {
    let asked = asked(url)?;
    let (name, value) = match &issued.material {
        // A git host takes the token of a sign-in as a password, here as for git itself.
        Material::Bearer(token) if metadata.kind.id == "oauth" => {
            let username = metadata.field("git_username").unwrap_or("oauth2").to_owned();
            Material::Basic { username, password: token.duplicate() }.header()?
        }
        material => material.header()?,
    };
    let own = provider::addresses(metadata);
    let own = own.into_iter().filter(|own| own.covers(&asked)).max_by_key(Address::reach)?;
    let path = own.path.filter(|path| !path.is_empty()).map(|path| format!("/{path}")).unwrap_or_default();
    let name = if name == "authorization" { "Authorization" } else { name };
    Some(Reply::joined(&[url, "\nhttps://", &own.host, &path, "\n\n", name, ": ", value.expose(), "\n\n"]))
}

#[cfg(test)]
mod tests;
