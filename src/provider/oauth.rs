//! A service that one signs in to: the credential is the sign-in's session, renewed by itself.
//!
//! The session is opened and renewed by the vault, which hands the access token over as the source; here is only what
//! to ask the service with it. Where the vault is a server's, a session may be made and renewed there: then the fields say
//! how, and the secret of the client stays with it.

use crate::credential::{Address, Credential, Fields, Issued, Kind, Material, Metadata, Raw, Variable};
use crate::credential::{Field, rules};
use crate::http::{Request, Response, parse_url};
use crate::provider::api::is_spoken;
use crate::provider::{Here, Input, Net, Provider, ProviderError, Verdict, api};
use crate::text::clean;

static FIELDS: [Field; 17] = [
    Field::plain("service", "Service").checked(rules::line, "github"),
    Field::plain("account", "Account").optional(),
    Field::plain("account_id", "Account id").optional(),
    Field::plain("client_id", "Client id").optional(),
    Field::plain("issuer", "Issuer").checked(rules::url, "https://id.example.com").optional(),
    Field::plain("authorization_endpoint", "Address where one signs in")
        .checked(rules::url, "https://id.example.com/authorize")
        .optional(),
    Field::plain("token_endpoint", "Address that gives tokens")
        .checked(rules::url, "https://id.example.com/token")
        .optional(),
    Field::plain("revocation_endpoint", "Address that takes tokens back")
        .checked(rules::url, "https://id.example.com/revoke")
        .optional(),
    Field::plain("endpoint", "API address").checked(rules::url, "https://api.example.com").optional(),
    Field::plain("whoami", "Address that tells the account")
        .checked(rules::url, "https://api.example.com/user")
        .optional(),
    Field::plain("account_pointer", "Where the answer holds the account").checked(rules::line, "/login").optional(),
    Field::plain("git_address", "Git host that takes the token")
        .checked(rules::url, "https://git.example.com")
        .optional(),
    Field::plain("git_username", "User name that the git host wants beside the token")
        .checked(rules::line, "oauth2")
        .optional(),
    Field::plain("scopes", "Scopes").checked(rules::line, "repo read:org").optional(),
    Field::plain("google_audience", "Audience at Google that its ID token may be exchanged for")
        .checked(rules::token, "//iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/pool/providers/corp")
        .optional(),
    Field::secret(Credential::CLIENT_SECRET, "Client secret").optional().withheld(),
    Field::secret(Credential::SESSION, "Session").checked(rules::text, "{\"version\":1}").multiline().optional(),
];
static KINDS: [Kind; 1] = [Kind::new("oauth", "sign-in to a service", "oauth", &FIELDS).renews_itself()];
static INPUTS: [Input; 5] = [
    Input::argument("service", "SERVICE", "The service: a built-in one, or one of your configuration"),
    Input::flag("scopes", "LIST", "The scopes to ask for, separated by commas or blanks"),
    Input::flag("client-id", "ID", "The client identifier registered at the service"),
    Input::switch("device", "Sign in by entering a short code in any browser"),
    Input::switch("no-browser", "Print the address instead of opening a browser"),
];

/// A service that one signs in to.
pub struct OAuth;
/// The provider.
pub static PROVIDER: OAuth = OAuth;

impl Provider for OAuth {
    fn name(&self) -> &'static str {
        "oauth"
    }

    fn title(&self) -> &'static str {
        "OAuth sign-in"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn signs_in(&self) -> bool {
        true
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(service) = here.input("service") {
            raw.plain("service", service);
        }
        Ok(&KINDS[0])
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("service").cloned().unwrap_or_else(|| "oauth".into())
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        let mut hosts: Vec<String> = ["endpoint", "whoami", "git_address"]
            .iter()
            .filter_map(|field| api::host_at(metadata.field(field)?))
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    fn addresses(&self, metadata: &Metadata) -> Vec<Address> {
        metadata.field("git_address").and_then(Address::of_text).into_iter().collect()
    }

    fn is_for_user(&self, metadata: &Metadata, user: &str) -> bool {
        // A host that wants no user name of its own takes any, and writes its own into the addresses that it shows.
        let placeholder = metadata.field("git_username");
        let takes_any = metadata.field("git_address").is_some() && placeholder.is_none();
        takes_any || placeholder == Some(user) || metadata.field("account").is_none_or(|own| own == user)
    }

    fn probe(&self, credential: &Credential, _: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let Some(whoami) = credential.field("whoami") else { return Ok(None) };
        let url = parse_url(whoami)
            .map_err(|cause| ProviderError::BadEndpoint { name: "whoami".into(), cause })?;
        Ok(Some(Request::get(url)))
    }

    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        let service = credential.field("service").unwrap_or("the service");
        if matches!(answer.status, 401 | 403) && !is_spoken(answer) {
            return Verdict::unexpected(service, answer.status);
        }
        let verdict = Verdict::of_status(answer, service);
        if verdict.outcome == crate::provider::Outcome::Invalid {
            return sign_in_again(credential, format!("{} does not accept the token any more", clean(service)));
        }
        if !answer.is_success() {
            return verdict;
        }
        let Ok(told) = answer.json::<serde_json::Value>() else { return Verdict::unexpected(service, answer.status) };
        let own = credential.field("account_pointer");
        let usual = ["/email", "/preferred_username", "/login", "/username", "/name", "/sub"];
        let account = own.into_iter().chain(usual).find_map(|pointer| told.pointer(pointer)?.as_str());
        account.map_or_else(Verdict::valid_unnamed, Verdict::valid)
    }

    fn material(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        _: &Net<'_>,
    ) -> Result<Issued, ProviderError> {
        match source {
            Some(Issued { material: Material::Bearer(token), expires }) => {
                Ok(Issued { material: Material::Bearer(token.duplicate()), expires: *expires })
            }
            _ => Err(sign_in_again(credential, "it is disconnected").into()),
        }
    }

    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable> {
        let Material::Bearer(token) = &issued.material else { return Vec::new() };
        let name = match credential.field("service") {
            Some("github") => "GH_TOKEN".to_owned(),
            Some("gitlab") => "GITLAB_TOKEN".to_owned(),
            Some("google") => "GOOGLE_OAUTH_ACCESS_TOKEN".to_owned(),
            Some("huggingface") => "HF_TOKEN".to_owned(),
            other => {
                let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
                let service: String = other.unwrap_or("service").chars().map(word).collect();
                let digit_first = service.starts_with(|first: char| first.is_ascii_digit());
                format!("{}{service}_ACCESS_TOKEN", if digit_first { "_" } else { "" })
            }
        };
        vec![Variable::secret(&name, token)]
    }
}

/// The person has to sign in again.
fn sign_in_again(credential: &Credential, why: impl AsRef<str>) -> Verdict {
    Verdict::expired(why, format!("sign in again: `lanyard credentials reconnect {}`", credential.metadata.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderMap;

    fn answered(status: u16, body: &str) -> Verdict {
        let mut raw = Raw::new();
        raw.plain("service", "corp").plain("account_pointer", "/who");
        let fields = Fields::parse(&KINDS[0], raw).unwrap();
        let credential = crate::credential::tests::credential("corp", fields);
        let answer = Response { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec().into() };
        PROVIDER.judge(&credential, &answer)
    }

    #[test]
    fn the_answer_tells_who_it_is_or_what_to_do() {
        assert_eq!(answered(200, r#"{"who":"me"}"#).identity.as_deref(), Some("me"));
        assert_eq!(answered(200, r#"{"login":"octocat"}"#).identity.as_deref(), Some("octocat"));
        let refused = answered(401, "{}");
        assert!(refused.next.unwrap().contains("lanyard credentials reconnect corp"));
        assert_eq!(answered(200, "<html>").outcome, crate::provider::Outcome::Unexpected);
        assert_eq!(answered(503, "").outcome, crate::provider::Outcome::Unreachable);
    }

    #[test]
    fn a_git_host_takes_it_for_whom_it_is() {
        let metadata = |plain: &[(&str, &str)]| {
            let mut raw = Raw::new();
            raw.plain("service", "corp").plain("account", "octocat");
            for (name, value) in plain {
                raw.plain(name, value);
            }
            crate::credential::tests::credential("corp", Fields::parse(&KINDS[0], raw).unwrap()).metadata
        };
        let none = metadata(&[("endpoint", "https://api.example.com")]);
        assert!(PROVIDER.addresses(&none).is_empty());
        let address = [("git_address", "https://git.example.com:8443")];
        let any = metadata(&address);
        assert_eq!(PROVIDER.hosts(&any), ["git.example.com:8443"]);
        assert_eq!(PROVIDER.addresses(&any)[0].host, "git.example.com:8443");
        assert!(PROVIDER.is_for_user(&any, "an-organization"), "the host looks at no user name");
        let named = metadata(&[address[0], ("git_username", "oauth2")]);
        for (user, is_meant) in [("octocat", true), ("oauth2", true), ("somebody", false), ("", false)] {
            assert_eq!(PROVIDER.is_for_user(&named, user), is_meant, "{user}");
        }
        let plain = metadata(&[("git_address", "http://127.0.0.1"), ("endpoint", "http://127.0.0.1:8080")]);
        assert_eq!(PROVIDER.hosts(&plain), ["127.0.0.1:80", "127.0.0.1:8080"]);
    }
}
