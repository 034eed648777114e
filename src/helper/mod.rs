//! Helpers: the protocols through which tools ask for a credential, one file each.
//!
//! A helper turns what its tool writes into an [`Ask`], and what was found into the bytes that the tool reads. It opens
//! nothing and decides nothing: whether a credential is bound to what was asked is settled in [`crate::vault::bound`],
//! once for all of them. stdout carries the protocol and is written in one piece when everything is known.
//!
//! To add one: write `helper/NAME.rs`, and add its word to the list below.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::credential::{Address, Issued, Metadata, Raw, Want};
use crate::error::{Failure, with_causes};
use crate::os::Env;
use crate::os::input::{Input, InputError};
use crate::secret::Secret;
use crate::text::clean;

mod json;
mod serve;

pub use serve::{Desk, Handed, Served, SignIn, serve};

/// Declares the modules of the helpers and lists them, so that adding one is one word in one place.
macro_rules! helpers {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+
        /// Every helper, in the order in which lists show them.
        pub static HELPERS: &[&dyn Helper] = &[$(&$module::HELPER),+];
    };
}

helpers! {
    git,
    docker,
    kubectl,
    aws,
    cargo,
    keyring,
    terraform,
    bazel,
    go,
    google,
    netrc,
    askpass,
}

/// The protocol of one tool.
pub trait Helper: Sync {
    /// The word on the command line: `git`, `docker`.
    fn name(&self) -> &'static str;

    /// What it serves, for a list: `git over HTTPS`.
    fn title(&self) -> &'static str;

    /// The kinds of credential that its tool is given; of several that fit, the one that stands first.
    fn kinds(&self) -> &'static [&'static str];

    /// The names under which its tool looks for the program, such as `docker-credential-lanyard`.
    fn programs(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is said before the tool says anything.
    fn greeting(&self) -> &'static [u8] {
        b""
    }

    /// How the tool writes a question.
    fn framing(&self, arguments: &[String]) -> Framing {
        let _ = arguments;
        Framing::Whole
    }

    /// Whether a person who is at the terminal may be asked to sign in when nothing is bound to the question.
    fn signs_in(&self) -> bool {
        false
    }

    /// Understands a question.
    ///
    /// # Errors
    /// The reply to a question that is none.
    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply>;

    /// The reply to the question `call`.
    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply;
}

/// How a tool writes a question to the helper's stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: stdin is not ours to read.
    Nothing,
    /// Everything up to the end is one question.
    Whole,
    /// Lines up to an empty one are one question.
    Paragraph,
    /// Each line is a question, until the end.
    Lines,
}

/// One question of a tool.
pub struct Call<'c> {
    /// The words after the helper's name.
    pub arguments: &'c [String],
    /// What stood on stdin.
    pub text: &'c str,
    /// The surroundings, for the variables of the protocol.
    pub env: &'c Env,
}

impl Call<'_> {
    /// The first word, which is the operation in most protocols.
    pub fn verb(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// The value of `--name VALUE` or `--name=VALUE` among the words.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.arguments.iter().enumerate().find_map(|(at, word)| {
            let rest = word.strip_prefix("--")?.strip_prefix(name)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => self.arguments.get(at + 1).map(String::as_str),
                None => None,
            }
        })
    }
}

/// What a tool asks for.
#[derive(Debug)]
pub enum Ask {
    /// A credential.
    Get(Want),
    /// One secret of a credential as it was stored, such as the passphrase of a key. It is answered as
    /// [`Material::Bearer`](crate::credential::Material::Bearer), which is a secret alone.
    Secret {
        /// What it is for.
        want: Want,
        /// The field.
        field: &'static str,
    },
    /// The ID token of a sign-in, answered in the same way.
    IdToken(Want),
    /// The addresses of all credentials of these kinds.
    List(&'static [&'static str]),
    /// To keep a credential that the tool was given by its user.
    Store(Keep),
    /// To forget a credential that the tool keeps here.
    Forget(Want),
    /// Nothing is asked: the credential that was handed out did not work.
    Refused {
        /// What was asked for.
        want: Want,
        /// The secret that did not work, where the tool says.
        secret: Option<Secret>,
    },
    /// Nothing that needs a credential: the reply is known.
    Answered(Reply),
}

/// A credential to be kept for a tool.
#[derive(Debug)]
pub struct Keep {
    /// The provider that makes it.
    pub provider: &'static str,
    /// What else the provider is told, as `credentials store` is.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// What it is for; a credential that the tool has stored for that before is replaced.
    pub want: Want,
    /// Its values.
    pub raw: Raw,
}

/// What came of a question.
pub enum Answer<'a> {
    /// This credential, in its usable form.
    Found(&'a Metadata, &'a Issued),
    /// These addresses, with what is stored for them.
    Listed(&'a [(Metadata, Vec<Address>)]),
    /// It was done.
    Done,
    /// Nothing is bound to what was asked.
    Missing,
    /// The vault or the provider did not do it.
    Failed(&'a dyn Failure),
}

/// What a tool is answered.
#[derive(Debug, Default)]
pub struct Reply {
    /// The bytes for stdout.
    pub stdout: Zeroizing<Vec<u8>>,
    /// A line for a person, for stderr. It holds no secret.
    pub talk: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl Reply {
    /// These bytes, and success.
    pub fn of(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: Zeroizing::new(stdout.into()), talk: None, code: 0 }
    }

    /// Parts with secrets among them, put together in a buffer of the right size.
    pub fn joined(parts: &[&str]) -> Self {
        Self::of(parts.concat())
    }

    /// Nothing on stdout, a line on stderr, and this exit code.
    pub fn refusal(code: u8, talk: impl Into<String>) -> Self {
        Self { stdout: Zeroizing::default(), talk: Some(talk.into()), code }
    }

    /// The same with a line on stderr.
    #[must_use]
    pub fn saying(mut self, talk: impl Into<String>) -> Self {
        self.talk = Some(talk.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn ending(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// What failed, why, and what mends it, on one line for a person.
pub fn told(failure: &dyn Failure) -> String {
    let why = clean(&with_causes(failure));
    match failure.mend() {
        Some(mend) => format!("lanyard: {why}; {mend}"),
        None => format!("lanyard: {why}"),
    }
}

/// The helper of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Helper> {
    HELPERS.iter().find(|helper| helper.name() == name).copied()
}

/// The helper that a tool means which starts a program of that name.
pub fn by_program(name: &str) -> Option<&'static dyn Helper> {
    HELPERS.iter().find(|helper| helper.programs().contains(&name)).copied()
}

/// The next question on stdin, as the helper's protocol frames it; `None` after the last one.
pub fn next(framing: Framing, input: &mut Input, is_first: bool) -> Result<Option<Zeroizing<String>>, InputError> {
    match framing {
        Framing::Lines => input.line(),
        _ if !is_first => Ok(None),
        Framing::Nothing => Ok(Some(Zeroizing::default())),
        Framing::Whole => input.whole().map(Some),
        Framing::Paragraph => input.paragraph().map(Some),
    }
}

#[cfg(test)]
mod tests;
