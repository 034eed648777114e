//! stub
use chrono::{DateTime, Utc};
use crate::secret::Secret;
use crate::http::{Http, Url};
use crate::error::*;
pub struct Expected<'a> { pub issuer: &'a str, pub client_id: &'a str, pub nonce: Option<&'a str>, pub access_token: Option<&'a Secret>, pub max_age: Option<u64>, pub subject: Option<&'a str> }
pub struct Claims { pub subject: String, pub issuer: String, pub audience: Vec<String>, pub expires_at: DateTime<Utc>, pub issued_at: DateTime<Utc>, pub email: Option<String>, pub email_verified: Option<bool>, pub preferred_username: Option<String>, pub name: Option<String> }
pub struct Keys;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub enum IdTokenError { UnknownKey }
impl Failure for IdTokenError { fn code(&self)->Code {Code::Failed} fn mend(&self)->Option<String>{None} }
impl Keys { pub fn fetch(_http: &dyn Http, _jwks_uri: &Url) -> Result<Keys> { Ok(Keys) } }
pub fn verify(_token: &Secret, _keys: &Keys, _expected: &Expected<'_>, _now: DateTime<Utc>) -> std::result::Result<Claims, IdTokenError> { Err(IdTokenError::UnknownKey) }
pub fn unverified_claims(_token: &Secret) -> Option<serde_json::Value> { None }
pub fn continues(_token: &Secret, _session: &crate::auth::session::Session) -> bool { true }
