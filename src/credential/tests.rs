//! Tests of credentials, and one for the tests of others.

use std::collections::BTreeSet;

use super::*;

/// A credential that is stored nowhere, with these values.
pub(crate) fn credential(name: &str, fields: Fields) -> Credential {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let Fields { kind, plain, secrets } = fields;
    let metadata = Metadata {
        id: "cred_test".into(),
        name: name.to_owned(),
        kind,
        scope: Scope::Organization,
        fields: plain,
        secret_names: secrets.keys().cloned().collect(),
        created: at,
        updated: at,
        used: None,
        verified: None,
        expires: None,
        check: Check::Never,
        tags: BTreeSet::new(),
        note: String::new(),
        version: 1,
    };
    Credential { metadata, secrets }
}
