//! The usable form of a credential: what providers make and what tools, requests and child processes are given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What is handed out, and until when it is good.
#[derive(Debug)]
pub struct Issued {
    /// The usable form.
    pub material: Material,
    /// When it expires, where that is known.
    pub expires: Option<DateTime<Utc>>,
}

impl Issued {
    /// Material without a known end.
    pub fn lasting(material: Material) -> Self {
        Self { material, expires: None }
    }
}

/// The usable form of a credential. Made when it is needed, never stored.
///
/// A variant is earned by a place that treats it differently, not by a provider.
#[derive(Debug)]
pub enum Material {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// User name and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A header of the service's own.
    Header {
        /// The header's name, in lower case.
        name: &'static str,
        /// The whole value.
        value: Secret,
    },
    /// Keys that sign each request to AWS.
    AwsKeys {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Secret,
        /// The session token of temporary keys.
        session_token: Option<Secret>,
    },
    /// A certificate that a client shows to a server, and the key to it, in PEM.
    ClientCert {
        /// The certificate, with those that vouch for it.
        certificate: String,
        /// Its private key.
        key: Secret,
        /// A bearer token that goes with it.
        token: Option<Secret>,
    },
    /// A key that signs for SSH.
    SshKey {
        /// The private key in OpenSSH's format.
        private_key: Secret,
        /// The public key as one line.
        public_key: String,
    },
    /// Variables as they are.
    Variables(Vec<(String, Secret)>),
    /// A file as it is.
    File {
        /// The name to give it.
        name: String,
        /// Its content.
        content: Content,
    },
}

impl Material {
    /// The header that carries it in a request, name in lower case and value; `None` where it is not carried by one.
    pub fn header(&self) -> Option<(&'static str, Secret)> {
        match self {
            Self::Bearer(token) | Self::ClientCert { token: Some(token), .. } => {
                Some(("authorization", joined(&["Bearer ", token.expose()])))
            }
            Self::Basic { username, password } => {
                let pair = joined(&[username, ":", password.expose()]);
                let encoded = Zeroizing::new(STANDARD.encode(pair.expose()));
                Some(("authorization", joined(&["Basic ", &encoded])))
            }
            Self::Header { name, value } => Some((name, value.duplicate())),
            Self::ClientCert { token: None, .. }
            | Self::AwsKeys { .. }
            | Self::SshKey { .. }
            | Self::Variables(_)
            | Self::File { .. } => None,
        }
    }
}

/// The parts put together in a buffer of the right size, so that growing leaves no copy behind.
fn joined(parts: &[&str]) -> Secret {
    Secret::new(parts.concat())
}

/// The bytes of a file, as text where they are text. Kept in base64, since a secret is a string.
#[derive(Debug)]
pub enum Content {
    /// Text as it is.
    Text(Secret),
    /// Bytes in standard base64.
    Base64(Secret),
}

impl Content {
    /// The bytes; `None` where the base64 is none.
    pub fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Text(text) => Some(Zeroizing::new(text.expose().as_bytes().to_vec())),
            Self::Base64(text) => STANDARD.decode(text.expose()).ok().map(Zeroizing::new),
        }
    }
}

/// A variable for a child process, as the official tool reads it.
#[derive(Debug)]
pub enum Variable {
    /// The value itself.
    Value {
        /// The variable's name.
        name: String,
        /// Its value.
        value: Secret,
        /// Whether nobody may see it.
        is_secret: bool,
    },
    /// The path of a file that holds the value.
    File {
        /// The variable's name.
        name: String,
        /// The name of the file, such as `credentials.json`.
        file: String,
        /// What the file holds.
        content: Content,
    },
    /// A variable that must not be set, since it would win over the others.
    Unset {
        /// The variable's name.
        name: &'static str,
    },
}

impl Variable {
    /// A variable with a value that is no secret.
    pub fn plain(name: &str, value: &str) -> Self {
        Self::Value { name: name.to_owned(), value: Secret::new(value.to_owned()), is_secret: false }
    }

    /// A variable with a secret in it.
    pub fn secret(name: &str, value: &Secret) -> Self {
        Self::Value { name: name.to_owned(), value: value.duplicate(), is_secret: true }
    }
}
