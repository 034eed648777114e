//! Where a page ends, as the next request says it: a word that only this server makes, for one list of one organization.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::credential::Metadata;
use crate::server::db::OrgScope;
use crate::server::keys::Keys;
use crate::server::problem::{Answer, Problem};

const CODE: usize = 32;

/// The cursor after a credential, in a list that is narrowed to this.
pub(crate) fn write(keys: &Keys, scope: &OrgScope, narrowed: &[&str], last: &Metadata) -> Answer<String> {
    let place = [last.scope.project().unwrap_or_default(), "\n", &last.name].concat();
    let mut bytes = code(keys, scope, narrowed, &place)?.to_vec();
    bytes.extend_from_slice(place.as_bytes());
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The project and the name that a cursor stands after, in a list that is narrowed to this.
pub(crate) fn read(keys: &Keys, scope: &OrgScope, narrowed: &[&str], text: &str) -> Answer<(String, String)> {
    let bad = || Problem::bad("the cursor is none of this list");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
    let (found, place) = bytes.split_at_checked(CODE).ok_or_else(bad)?;
    let place = std::str::from_utf8(place).map_err(|_| bad())?;
    if !bool::from(code(keys, scope, narrowed, place)?.as_slice().ct_eq(found)) {
        return Err(bad());
    }
    let (project, name) = place.split_once('\n').ok_or_else(bad)?;
    Ok((project.to_owned(), name.to_owned()))
}

fn code(keys: &Keys, scope: &OrgScope, narrowed: &[&str], place: &str) -> Answer<[u8; CODE]> {
    let key = keys.derived("cursor").ok_or_else(|| Problem::internal("no key for cursors"))?;
    let mut parts = vec![b"credentials".as_slice(), scope.id().as_bytes(), place.as_bytes()];
    parts.extend(narrowed.iter().map(|word| word.as_bytes()));
    Ok(key.code(&parts))
}
