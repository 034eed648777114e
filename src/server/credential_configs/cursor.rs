//! Where a page ends, as the next request says it: a word that only this server makes, for one organization, and for what
//! was asked of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::credential::Metadata;
use crate::server::db::OrgScope;
use crate::server::keys::Keys;
use crate::server::problem::{Answer, Problem};

const CODE: usize = 32;

/// The cursor after a credential, in the list of all, or of those that may be sent to a host.
pub(crate) fn write(keys: &Keys, scope: &OrgScope, host: Option<&str>, last: &Metadata) -> Answer<String> {
    let place = [last.scope.project().unwrap_or_default(), "\n", &last.name].concat();
    let mut bytes = code(keys, scope, host, &place)?.to_vec();
    bytes.extend_from_slice(place.as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The project and the name that a cursor stands after.
pub(crate) fn read(keys: &Keys, scope: &OrgScope, host: Option<&str>, text: &str) -> Answer<(String, String)> {
    let bad = || Problem::bad("the cursor is none of this list");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
    let (found, place) = bytes.split_at_checked(CODE).ok_or_else(bad)?;
    let place = std::str::from_utf8(place).map_err(|_| bad())?;
    if !bool::from(code(keys, scope, host, place)?.as_slice().ct_eq(found)) {
        return Err(bad());
    }
    let (project, name) = place.split_once('\n').ok_or_else(bad)?;
    Ok((project.to_owned(), name.to_owned()))
}

fn code(keys: &Keys, scope: &OrgScope, host: Option<&str>, place: &str) -> Answer<[u8; CODE]> {
    let key = keys.derived("cursor").ok_or_else(|| Problem::internal("no key for cursors"))?;
    let (scope, place) = (scope.id().as_bytes(), place.as_bytes());
    Ok(match host {
        None => key.code(&[b"credentials", scope, place]),
        Some(host) => key.code(&[b"credentials-of-host", scope, host.as_bytes(), place]),
    })
}
