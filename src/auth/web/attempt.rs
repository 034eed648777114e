//! One attempt to sign in: its secrets, the address that carries them, and the answer that matches them.

use std::ops::ControlFlow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Ask, WebError};
use crate::auth::grant::{self, Client, ProviderWords, TokenAnswer};
use crate::auth::loopback::{Ended, Loopback, Query};
use crate::auth::{Notice, Person, Reply};
use crate::http::{self, Http, Url};
use crate::secret::Secret;
use crate::text::clean;

/// The secrets of one attempt. Not `Clone`: none of them serves twice.
pub struct Attempt {
    state: String,
    pub(in crate::auth) nonce: String,
    verifier: Secret,
    redirect_uri: String,
}

/// 32 bytes from the system as 43 characters of base64url.
fn random_text() -> Result<String, WebError> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *bytes).map_err(|_| WebError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

impl Attempt {
    pub(super) fn new(redirect_uri: &str) -> Result<Self, WebError> {
        Ok(Self {
            state: random_text()?,
            nonce: random_text()?,
            verifier: Secret::new(random_text()?),
            redirect_uri: redirect_uri.to_owned(),
        })
    }

    /// An attempt whose answer comes to another request than the one that began it, which makes the same secrets again.
    #[cfg(feature = "server")]
    pub fn again(state: String, nonce: String, verifier: Secret, redirect_uri: String) -> Self {
        Self { state, nonce, verifier, redirect_uri }
    }

    fn parameters(&self, ask: &Ask<'_>) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("state", self.state.clone()),
            ("code_challenge", challenge(self.verifier.expose())),
            ("code_challenge_method", "S256".to_owned()),
        ];
        if !ask.scopes.is_empty() {
            parameters.push(("scope", ask.scopes.join(" ")));
        }
        if ask.scopes.iter().any(|scope| scope == "openid") {
            parameters.push(("nonce", self.nonce.clone()));
        }
        let table = &ask.service.table;
        parameters.extend(table.audience.clone().map(|audience| ("audience", audience)));
        parameters.extend(table.resource.clone().map(|resource| ("resource", resource)));
        parameters.extend(ask.login_hint.map(|hint| ("login_hint", hint.to_owned())));
        parameters.extend(prompt(ask).map(|prompt| ("prompt", prompt)));
        for (name, value) in ask.service.quirks.authorization_params {
            if !parameters.iter().any(|(known, _)| known == name) {
                parameters.push((name, (*value).to_owned()));
            }
        }
        parameters
    }

    /// The address to visit; where the service demands it, the parameters are pushed first.
    pub(in crate::auth) fn address(
        &self,
        ask: &Ask<'_>,
        authorization: &Url,
        http: &dyn Http,
    ) -> Result<Url, WebError> {
        let parameters = self.parameters(ask);
        let mut url = authorization.clone();
        let push = ask.metadata.require_pushed_authorization_requests
            || ask.service.table.pushed_authorization_request_endpoint.is_some();
        if let (true, Some(endpoint)) = (push, &ask.metadata.pushed_authorization_request_endpoint) {
            #[derive(Deserialize)]
            struct Pushed {
                request_uri: String,
            }
            let fields: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let pushed: Pushed =
                grant::request_json(http, ask.client.form(endpoint, &fields)).map_err(WebError::Pushed)?;
            url.query_pairs_mut()
                .append_pair("client_id", &ask.client.id)
                .append_pair("request_uri", &pushed.request_uri);
        } else {
            url.query_pairs_mut()
                .append_pair("client_id", &ask.client.id)
                .extend_pairs(parameters.iter().map(|(name, value)| (*name, value.as_str())));
        }
        Ok(url)
    }

    /// Waits for the browser or for a pasted address. The inner result is what the service said.
    pub(super) fn wait(
        &self,
        ask: &Ask<'_>,
        loopback: &Loopback,
        limit: Duration,
        person: &mut Person<'_>,
    ) -> Result<Result<Secret, WebError>, WebError> {
        let mut pasted = None;
        let mut tick = |left: Duration| match person(Notice::Waiting(left)) {
            Reply::GoOn => ControlFlow::Continue(()),
            Reply::Cancel => ControlFlow::Break(()),
            Reply::Pasted(address) => {
                if let Some(answer) = self.judge_pasted(ask, &address) {
                    pasted = Some(answer);
                    ControlFlow::Break(())
                } else {
                    person(Notice::NotAccepted(
                        "this address is not the answer to this sign-in: paste the whole address that the browser ended at",
                    ));
                    ControlFlow::Continue(())
                }
            }
        };
        let ended = loopback.wait(limit, &mut tick, &mut |query: &Query| self.judge(ask, query));
        match (ended, pasted) {
            (Ok(answer), _) | (Err(_), Some(answer)) => Ok(answer),
            (Err(Ended::TimedOut), None) => Err(WebError::TimedOut { limit }),
            (Err(Ended::Cancelled), None) => Err(WebError::Cancelled),
        }
    }

    /// A pasted address is held to the same rules as a request of the browser, and must be this redirect address.
    fn judge_pasted(&self, ask: &Ask<'_>, address: &str) -> Option<Result<Secret, WebError>> {
        let url = http::parse_url(address.trim()).ok()?;
        let expected = Url::parse(&self.redirect_uri).ok()?;
        if (url.origin(), url.path()) != (expected.origin(), expected.path()) {
            return None;
        }
        self.judge(ask, &Query::parse(url.query().unwrap_or_default()))
    }

    /// `None` for a request that is not the answer to this attempt: a wrong, missing or doubled `state` ends nothing.
    pub(in crate::auth) fn judge(&self, ask: &Ask<'_>, query: &Query) -> Option<Result<Secret, WebError>> {
        let state = query.one("state").ok()??;
        if !bool::from(state.as_bytes().ct_eq(self.state.as_bytes())) {
            return None;
        }
        if let Err(error) = check_issuer(ask, query) {
            return Some(Err(error));
        }
        if let Some(error) = query.one("error").ok()? {
            let words = ProviderWords::of(query.one("error_description").ok().flatten());
            return Some(Err(WebError::Refused { error: clean(error), words }));
        }
        let code = query.one("code").ok()?.filter(|code| !code.is_empty())?;
        Some(Ok(Secret::new(code.to_owned())))
    }

    pub(in crate::auth) fn exchange(
        &self,
        client: &Client,
        endpoint: &Url,
        code: &Secret,
        http: &dyn Http,
    ) -> Result<TokenAnswer, WebError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.verifier.expose()),
        ];
        grant::request_tokens(http, client.form(endpoint, &fields)).map_err(WebError::Exchange)
    }
}

/// The configured prompt; else what the case needs: `consent` where a refresh token is wanted from an issuer that gives
/// one only with consent (OpenID Connect Core section 11), `select_account` where the account matters and the
/// issuer announces that it knows the word. One that does not may refuse the whole sign-in for it.
fn prompt(ask: &Ask<'_>) -> Option<String> {
    if let Some(prompt) = &ask.service.table.prompt {
        return Some(prompt.clone()).filter(|prompt| !prompt.is_empty());
    }
    if ask.service.quirks.authorization_params.iter().any(|(name, _)| *name == "prompt") {
        return None;
    }
    let has = |wanted: &str| ask.scopes.iter().any(|scope| scope == wanted);
    let mut prompts = Vec::new();
    if has("openid") && has("offline_access") {
        prompts.push("consent");
    }
    let knows_the_word = ask.metadata.prompt_values_supported.iter().any(|value| value == "select_account");
    if knows_the_word && (ask.login_hint.is_some() || ask.choose_account) {
        prompts.push("select_account");
    }
    (!prompts.is_empty()).then(|| prompts.join(" "))
}

/// RFC 9207 section 2.4. A service without an issuer has nothing to compare with.
fn check_issuer(ask: &Ask<'_>, query: &Query) -> Result<(), WebError> {
    let Some(issuer) = &ask.metadata.issuer else { return Ok(()) };
    let announced = ask.metadata.authorization_response_iss_parameter_supported;
    let accepted = announced || ask.service.table.accept_unannounced_iss.unwrap_or(false);
    let bad = |problem| WebError::IssuerParameter { issuer: issuer.clone(), problem };
    match query.one("iss") {
        Ok(None) if announced => Err(bad("lacks the issuer that the service announced")),
        Ok(None) => Ok(()),
        Ok(Some(named)) if named != issuer => Err(WebError::OtherIssuer { issuer: issuer.clone() }),
        Ok(Some(_)) if accepted => Ok(()),
        Ok(Some(_)) => Err(bad("names an issuer although the service announced none")),
        Err(_) => Err(bad("names its issuer twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn random_texts_are_long_and_new() {
        let texts: std::collections::BTreeSet<String> = (0..200).map(|_| random_text().unwrap()).collect();
        assert_eq!(texts.len(), 200);
        assert!(texts.iter().all(|text| text.len() == 43));
    }
}
