//! The service `corp`: a fake provider with an API that takes pasted tokens, as the configuration describes it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::idp::{Behaviour, Idp};
use crate::stage::{Outcome, Stage};

/// Tokens that the API accepts.
pub const TOKEN: &str = "corp-token-LNYCANARY0123456789abcdef0123";
pub const OTHER_TOKEN: &str = "corp-token-LNYCANARYfedcba98765432100123";

/// The provider with the API.
pub fn idp() -> Idp {
    let api_tokens = vec![TOKEN.to_owned(), OTHER_TOKEN.to_owned()];
    Idp::start(Behaviour { api_tokens, ..Behaviour::default() })
}

/// What the configuration says of the service.
pub fn service(idp: &Idp) -> String {
    let issuer = idp.issuer();
    format!(
        "[services.corp]\nissuer = \"{issuer}\"\nclient_id = \"cli\"\nendpoint = \"{issuer}\"\n\
         token_env = [\"CORP_API_TOKEN\"]\n\n[services.corp.api]\nwhoami = \"/v1/me\"\naccount = \"/email\"\n\
         account_id = \"/id\"\nprojects = \"/v1/projects\"\nproject_name = \"/name\"\n"
    )
}

/// Signs the profile `work` in with a pasted token.
pub fn paste(stage: &Stage, token: &str, flags: &[&str]) -> Outcome {
    let login = ["auth", "login", "--service", "corp", "--profile", "work", "--with-token"];
    stage.run_with(&[&login[..], flags].concat(), token.as_bytes())
}

/// The permissions of a file.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// Whether the bytes hold the text.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
