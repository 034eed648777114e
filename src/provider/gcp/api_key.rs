//! API keys: a header that names the project which pays, and which APIs may be called.

use super::asked::said;
use super::{TITLE, address, token};
use crate::credential::{Credential, Issued, Material};
use crate::http::Request;
use crate::provider::{Net, ProviderError, Verdict, apply};

/// The key as it is sent.
pub(super) fn material(credential: &Credential) -> Result<Issued, ProviderError> {
    let problem = "it is not there";
    let damaged = || ProviderError::Damaged { name: credential.metadata.name.clone(), field: "api_key", problem };
    let key = credential.secret("api_key").ok_or_else(damaged)?.duplicate();
    Ok(Issued::lasting(Material::Header { name: "x-goog-api-key", value: key }))
}

/// Asks an API that only reads. A key that may not call it is known all the same: an unknown one is refused with
/// another reason.
pub(super) fn verify(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    let url = address::MODELS.at(&credential.metadata, net, "/v1beta/models?pageSize=1")?;
    let mut request = Request::get(url);
    apply(&material(credential)?.material, &mut request);
    let answer = net.http.send(request)?;
    if answer.is_success() {
        // Whatever answers 200 to everything, such as a portal, does not answer so.
        let known = answer.json::<serde_json::Value>().is_ok_and(|body| body.get("models").is_some());
        return Ok(if known { Verdict::valid_unnamed() } else { Verdict::unexpected(TITLE, answer.status) });
    }
    if answer.status == 429 || answer.status >= 500 {
        return Ok(Verdict::of_status(&answer, TITLE));
    }
    let Some(said) = said(&answer) else { return Ok(Verdict::unexpected(TITLE, answer.status)) };
    let another = || {
        let update = token::update(&credential.metadata, "api_key=-");
        format!("make a new key in the console under APIs and services, then `{update}`")
    };
    Ok(match said.reason.as_deref() {
        Some("API_KEY_INVALID") if said.message.contains("expired") => Verdict::expired("the key has expired", another()),
        Some("API_KEY_INVALID") => Verdict::invalid("there is no such key any more", another()),
        // Known, and kept from this one API or from this machine.
        Some(reason) if answer.status == 403 && (reason.starts_with("API_KEY_") || reason == "SERVICE_DISABLED") => {
            Verdict::valid_unnamed()
        }
        _ => Verdict::unexpected(TITLE, answer.status),
    }
    .code(said.reason.unwrap_or(said.status)))
}
