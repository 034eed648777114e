//! Keys as text, read and written. See OpenSSH's `PROTOCOL.key`.

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Cipher, Error, HashAlg, Kdf, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::pem;
use crate::secret::Secret;

/// A key made for the examples, which opens nothing.
pub(super) const EXAMPLE_PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYgAAAJgAIAxdACAM
XQAAAAtzc2gtZWQyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYg
AAAEC2BsIi0QwW2uFscKTUUXNHLsYX4FxlaSDSblbAj7WR7bM+rvN+ot98qgEN796jTiQf
ZfG1KaT0PtFDJ/XFSqtiAAAAEHVzZXJAZXhhbXBsZS5jb20BAgMEBQ==
-----END OPENSSH PRIVATE KEY-----
";
/// Its public half.
pub(super) const EXAMPLE_PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";

/// A passphrase is stretched so often when a new key is closed, as by ssh-keygen.
const ROUNDS: u32 = 24;
/// A key that wants it stretched more often than this wants to keep the machine busy.
const MOST_ROUNDS: u32 = 5000;

/// A private key, as far as it can be read without a passphrase.
#[derive(Debug)]
pub(super) enum Private {
    /// In OpenSSH's own form, open or closed. Its public half can always be seen.
    Own(Box<PrivateKey>),
    /// In an older form, open.
    Old {
        /// The public half, where the sort of key is known here.
        public: Option<Box<PublicKey>>,
    },
    /// In an older form, closed by a passphrase.
    OldClosed,
}

impl Private {
    /// The public half.
    pub(super) fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Own(key) => Some(key.public_key()),
            Self::Old { public } => public.as_deref(),
            Self::OldClosed => None,
        }
    }

    /// Whether a passphrase is needed to use it.
    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            Self::Own(key) => key.is_encrypted(),
            Self::Old { .. } => false,
            Self::OldClosed => true,
        }
    }
}

/// Whether a text seems to hold a private key, of any program.
pub(super) fn is_private(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") || text.starts_with("PuTTY-User-Key-File-")
}

/// Reads a private key.
pub(super) fn read(text: &str) -> Result<Private, &'static str> {
    let text = tidy(text);
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err("it is a key of PuTTY; `puttygen KEY -O private-openssh -o NEW` converts it");
    }
    let Some((label, _)) = text.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----")) else {
        return Err(if public(&text).is_some() { "it is a public key" } else { "it does not begin as a private key" });
    };
    if !text.trim_end().ends_with(&format!("-----END {label}-----")) {
        return Err("it does not end as it begins; copy the whole file");
    }
    if label == "OPENSSH PRIVATE KEY" {
        let key = PrivateKey::from_openssh(text.as_bytes()).map_err(|failure| match failure {
            Error::AlgorithmUnknown | Error::AlgorithmUnsupported { .. } => "its sort of key is not known here",
            _ => "it is damaged; copy the whole file",
        })?;
        return Ok(Private::Own(Box::new(key)));
    }
    pem::read(label, &text)
}

/// The text as ssh wants it: lines that end as on Unix, the last one too.
pub(super) fn tidy(text: &str) -> Zeroizing<String> {
    let mut tidy = Zeroizing::new(String::with_capacity(text.len() + 1));
    for line in text.trim().lines() {
        tidy.push_str(line.trim_end());
        tidy.push('\n');
    }
    tidy
}

/// Why a passphrase does not open a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// It is another one.
    Wrong,
    /// The key is closed in a way that is not known here.
    Unknown,
    /// Opening it would keep the machine busy.
    Slow,
}

impl OpenError {
    /// What is wrong.
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Wrong => "the passphrase does not open the private key",
            Self::Unknown => "the private key is closed by a cipher that is not known here",
            Self::Slow => "the private key wants its passphrase stretched for minutes",
        }
    }
}

/// Opens a closed key.
pub(super) fn open(closed: &PrivateKey, passphrase: &Secret) -> Result<PrivateKey, OpenError> {
    if matches!(closed.kdf(), Kdf::Bcrypt { rounds, .. } if *rounds > MOST_ROUNDS) {
        return Err(OpenError::Slow);
    }
    closed.decrypt(passphrase.expose()).map_err(|failure| match failure {
        // What a wrong passphrase opens is noise, and noise is malformed in every way there is.
        Error::Crypto | Error::Encoding(_) | Error::FormatEncoding | Error::PublicKey | Error::TrailingData { .. } => {
            OpenError::Wrong
        }
        _ => OpenError::Unknown,
    })
}

/// The text of a key in OpenSSH's form.
pub(super) fn write(key: &PrivateKey) -> Option<Secret> {
    let mut text = key.to_openssh(LineEnding::LF).ok()?;
    Some(Secret::new(std::mem::take(&mut *text)))
}

/// Makes an Ed25519 key, closed by the passphrase where there is one.
pub(super) fn generate(comment: &str, passphrase: Option<&Secret>) -> Option<Secret> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).ok()?;
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), comment).ok()?;
    let Some(passphrase) = passphrase else { return write(&key) };
    let (mut salt, mut check) = (vec![0; 16], [0; 4]);
    getrandom::fill(&mut salt).ok()?;
    getrandom::fill(&mut check).ok()?;
    let kdf = Kdf::Bcrypt { salt, rounds: ROUNDS };
    let closed = key.encrypt_with(Cipher::Aes256Ctr, kdf, u32::from_ne_bytes(check), passphrase.expose()).ok()?;
    write(&closed)
}

/// Reads a public key, as one line.
pub(super) fn public(line: &str) -> Option<PublicKey> {
    let line = line.trim();
    if line.contains(char::is_control) {
        return None;
    }
    PublicKey::from_openssh(line).ok()
}

/// A public key as one line, with this comment.
pub(super) fn public_line(key: &PublicKey, comment: &str) -> Option<String> {
    PublicKey::new(key.key_data().clone(), comment).to_openssh().ok().map(|line| line.trim_end().to_owned())
}

/// A key's fingerprint, as `ssh-keygen -l` shows it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// A key's comment in visible characters; empty where it has none.
pub(super) fn comment(key: &PublicKey) -> String {
    crate::text::clean(&String::from_utf8_lossy(key.comment().as_bytes()))
}
