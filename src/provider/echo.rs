//! What a server says may repeat what it was sent: here it is taken out, before anybody sees or stores it.

use super::{Net, Provider, Verdict};
use crate::credential::{Credential, Issued, Material};
use crate::secret::Secret;
use crate::text::repeats;

/// Words of a file that are shorter are no secrets in it.
const SHORTEST_WORD: usize = 16;

/// Asks the system whether the credential is good, and takes every repetition of it out of what was said.
///
/// Everybody who asks goes this way, so that no provider has to think of it.
pub fn verify(provider: &dyn Provider, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
    let is_repeated = |text: &str| {
        let own = credential.secrets.values().any(|secret| is_repeated(text, secret, credential));
        own || source.is_some_and(|source| holds(text, &source.material))
    };
    let verdict = provider.verify(credential, source, net);
    Verdict {
        identity: verdict.identity.filter(|identity| !is_repeated(identity)),
        error: verdict.error.filter(|error| !is_repeated(error)),
        scopes: verdict.scopes.into_iter().filter(|scope| !is_repeated(scope)).collect(),
        ..verdict
    }
}

/// Whether a text repeats a secret. Of one with several lines, such as a kubeconfig, each long word counts that stands
/// in no field which everybody may see.
fn is_repeated(text: &str, secret: &Secret, credential: &Credential) -> bool {
    let secret = secret.expose();
    if !secret.trim_end().contains(['\n', '{']) {
        return repeats(text, secret);
    }
    let is_shown = |word: &str| credential.metadata.fields.values().any(|value| value.contains(word));
    let words = secret.split(|character: char| character.is_whitespace() || "\"',;{}[]\\".contains(character));
    words.filter(|word| word.len() >= SHORTEST_WORD).any(|word| repeats(text, word) && !is_shown(word))
}

/// Whether a text repeats a secret of a usable form.
pub(super) fn holds(text: &str, material: &Material) -> bool {
    secrets(material).any(|secret| repeats(text, secret.expose()))
}

/// The secrets in a usable form.
fn secrets(material: &Material) -> impl Iterator<Item = &Secret> {
    let (first, second) = match material {
        Material::Bearer(secret)
        | Material::Basic { password: secret, .. }
        | Material::Header { value: secret, .. }
        | Material::SshKey { private_key: secret, .. } => (Some(secret), None),
        Material::AwsKeys { secret_access_key, session_token, .. } => (Some(secret_access_key), session_token.as_ref()),
        Material::ClientCert { key, token, .. } => (Some(key), token.as_ref()),
        Material::Variables(_) | Material::File { .. } => (None, None),
    };
    let variables = if let Material::Variables(variables) = material { variables.as_slice() } else { &[] };
    first.into_iter().chain(second).chain(variables.iter().map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Fields, Raw};
    use crate::http::{Request, Response, Unreachable};
    use crate::os::Env;
    use crate::provider::by_kind;

    /// What comes of asking about a credential when the server answers this.
    fn said(kind: &str, fields: &[(&str, &str)], status: u16, body: &str) -> Verdict {
        let (provider, kind) = by_kind(kind).unwrap();
        let mut raw = Raw::new();
        for (name, value) in fields {
            raw.plain(name, value);
        }
        let credential = crate::credential::tests::credential("x", Fields::parse(kind, raw).unwrap());
        let http = |_: Request| -> Result<Response, Unreachable> {
            let body = body.as_bytes().to_vec().into();
            Ok(Response { status, headers: crate::http::HeaderMap::new(), body })
        };
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        verify(provider, &credential, None, &Net { http: &http, env: &Env::empty(), now })
    }

    #[test]
    fn what_a_server_repeats_is_not_shown_and_the_rest_is() {
        let token = "abcdefghijklmnopqrstuvwx";
        let by_code = |code: &str| {
            let body = format!(r#"{{"error":{{"code":"{code}","invalidToken":true}}}}"#);
            said("vercel_api_token", &[("api_token", token)], 403, &body).error
        };
        assert_eq!(by_code("forbidden").as_deref(), Some("forbidden"));
        assert_eq!(by_code(token), None);
        assert_eq!(by_code(&format!("bad {token}")), None);
        assert_eq!(by_code(&"a1".repeat(8)), None, "a word with digits is none of a provider's");
        let named = |name: &str| {
            let body = format!(r#"{{"token":{{"id":"t","name":"{name}","scopes":[{{"type":"user"}}]}}}}"#);
            let verdict = said("vercel_api_token", &[("api_token", token)], 200, &body);
            (verdict.identity, verdict.scopes)
        };
        assert_eq!(named("laptop"), (Some("Token laptop".into()), vec!["user".into()]));
        assert_eq!(named(token), (None, vec!["user".into()]));
    }

    #[test]
    fn of_a_file_its_secrets_count_and_what_everybody_may_see_does_not() {
        let review = |name: &str| {
            let body = format!(r#"{{"kind":"SelfSubjectReview","status":{{"userInfo":{{"username":"{name}"}}}}}}"#);
            let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
                clusters: [{name: dev, cluster: {server: 'http://127.0.0.1:6443'}}]\n\
                contexts: [{name: dev, context: {cluster: dev, user: kubernetes-admin@dev}}]\n\
                users: [{name: kubernetes-admin@dev, user: {token: s3cr3t-value-of-some-length}}]\n";
            let fields = [("kubeconfig", kubeconfig), ("user", "kubernetes-admin@dev")];
            said("kubeconfig", &fields, 201, &body).identity
        };
        assert_eq!(review("kubernetes-admin@dev").as_deref(), Some("kubernetes-admin@dev"));
        assert_eq!(review("s3cr3t-value-of-some-length"), None);
    }
}
