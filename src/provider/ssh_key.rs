//! SSH keys: OpenSSH's own form and the older PEM forms, found, made anew, or only their public half.

use crate::credential::{Content, Credential, Field, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::provider::{Discovered, Here, Input, Mark, Net, Outcome, Provider, ProviderError, Rotation, Verdict};
use crate::secret::Secret;

mod derive;
mod find;
mod key;
mod pair;
mod pem;
mod replace;
mod signer;

pub use signer::{Signer, blob, fingerprint, is_signed};

use key::{OpenError, Private};

static FIELDS: [Field; 8] = [
    Field::secret("private_key", "Private key")
        .optional()
        .multiline()
        .checked(private_key, key::EXAMPLE_PRIVATE),
    Field::plain("public_key", "Public key, as one line").checked(public_key, key::EXAMPLE_PUBLIC).follows(),
    Field::secret("passphrase", "Passphrase of the private key").optional().checked(rules::password, "a passphrase"),
    Field::plain("fingerprint", "Fingerprint")
        .optional()
        .checked(rules::token, "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ")
        .follows(),
    Field::plain("comment", "Comment").optional().checked(rules::line, "alice@example.com").follows(),
    Field::plain("host", "Host that it is for").optional().checked(rules::host, "github.com"),
    Field::plain("user", "User on that host").optional().checked(rules::token, "git"),
    Field::plain("confirm", "Whether the agent asks before each use: yes").optional().checked(yes, "yes"),
];
static KINDS: [Kind; 1] = [Kind::new("ssh_key", "SSH key", "ssh-key", &FIELDS)];
static INPUTS: [Input; 5] = [
    Input::file("private-key", "private_key", "The file of a private key; its public half is taken from it"),
    Input::flag("public-key", "KEY|FILE", "A public key as a line or a file; alone, only the public half is kept"),
    Input::switch("generate", "Make a new Ed25519 key"),
    Input::switch("print-private", "Print the private key once it is stored"),
    Input::switch("confirm", "Have the agent ask before each use of the key"),
];
static MARKS: [Mark; 2] = [
    mark(r"(-----BEGIN OPENSSH PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END OPENSSH PRIVATE KEY-----)"),
    mark(
        r"(-----BEGIN (?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]+?-----END (?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY-----)",
    ),
];

const fn mark(pattern: &'static str) -> Mark {
    Mark { kind: "ssh_key", field: "private_key", service: "", keyword: "PRIVATE KEY-----", pattern }
}

/// SSH keys.
pub struct SshKey;
/// The provider.
pub static PROVIDER: SshKey = SshKey;

impl Provider for SshKey {
    fn name(&self) -> &'static str {
        "ssh-key"
    }

    fn title(&self) -> &'static str {
        "SSH key"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        find::all(&KINDS[0], here)
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        derive::take_inputs(raw, here)?;
        derive::derive(raw);
        if raw.has("private_key") || raw.has("public_key") {
            return Ok(&KINDS[0]);
        }
        Err(ProviderError::NotThere {
            what: "SSH key".into(),
            place: "~/.ssh".into(),
            mend: "give `--private-key FILE`, `--public-key KEY`, or `--generate` for a new one".into(),
        })
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("comment").cloned().unwrap_or_else(|| "ssh-key".into())
    }

    fn shown_once<'f>(&self, fields: &'f Fields, here: &Here<'_>) -> Option<&'f Secret> {
        if here.is_on("print-private") { fields.secrets.get("private_key") } else { None }
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        let with_port = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
            if has_port { host.to_lowercase() } else { format!("{}:22", host.to_lowercase()) }
        };
        metadata.field("host").map(with_port).into_iter().collect()
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let public_key = credential.field("public_key").unwrap_or_default().to_owned();
        let Some(stored) = credential.secret("private_key") else {
            let content = Content::Text(Secret::new(format!("{public_key}\n")));
            return Ok(Issued::lasting(Material::File { name: "id.pub".into(), content }));
        };
        let damaged = |field, problem| ProviderError::Damaged { name: credential.metadata.name.clone(), field, problem };
        let private = key::read(stored.expose()).map_err(|problem| damaged("private_key", problem))?;
        let private_key = match (private, credential.secret("passphrase")) {
            (Private::Own(closed), Some(passphrase)) if closed.is_encrypted() => {
                let problem = |failure: OpenError| damaged("passphrase", failure.problem());
                let open = key::open(&closed, passphrase).map_err(problem)?;
                key::write(&open).ok_or_else(|| damaged("private_key", "it cannot be written"))?
            }
            _ => stored.duplicate(),
        };
        Ok(Issued::lasting(Material::SshKey { private_key, public_key }))
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Verdict {
        let identity = identity(credential);
        let verdict = verdict(credential);
        match verdict.outcome {
            Outcome::Invalid => verdict,
            _ => Verdict { identity: identity.or(verdict.identity), ..verdict },
        }
    }

    fn export(&self, _: &Credential, _: &Issued) -> Vec<Variable> {
        Vec::new()
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("openssh", "private key for `ssh -i`, closed by its passphrase where it has one"),
            ("authorized-keys", "public key as a line of authorized_keys"),
        ]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        match format {
            "openssh" => credential.secret("private_key").map(Secret::duplicate),
            "authorized-keys" => Some(Secret::new(format!("{}\n", credential.field("public_key")?))),
            _ => None,
        }
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&replace::ByHand)
    }
}

/// Fingerprint and comment, as `ssh-keygen -l` tells them.
fn identity(credential: &Credential) -> Option<String> {
    let fingerprint = credential.field("fingerprint")?;
    let comment = credential.field("comment").map_or_else(String::new, |comment| format!(" {comment}"));
    Some(crate::text::clean(&format!("{fingerprint}{comment}")))
}

/// Whether the halves belong together and the passphrase opens the private one. Nobody need be asked for that.
fn verdict(credential: &Credential) -> Verdict {
    let unproved = |reason, next| Verdict::failed(Outcome::CannotBeAsked, reason, next);
    let again = "store the key again: `lanyard credentials store ssh-key --private-key FILE`";
    let Some(public) = credential.field("public_key").and_then(key::public) else {
        return Verdict::invalid("the public key is none", again);
    };
    let Some(stored) = credential.secret("private_key") else {
        return unproved(
            "only the public half is here, which proves nothing",
            "store the private key as well, if lanyard is to use it",
        );
    };
    let private = match key::read(stored.expose()) {
        Ok(private) => private,
        Err(problem) => return Verdict::invalid(format!("the private key is unusable: {problem}"), again),
    };
    match private.public() {
        Some(own) if own.key_data() != public.key_data() => {
            return Verdict::invalid("the public key belongs to another private key", again);
        }
        Some(_) => {}
        None => {
            return unproved(
                "the private key is in a form whose public half cannot be seen without opening it",
                "bring it into OpenSSH's own form: `ssh-keygen -p -f FILE`, then store it again",
            );
        }
    }
    match (private, credential.secret("passphrase")) {
        (Private::Own(closed), Some(passphrase)) if closed.is_encrypted() => match key::open(&closed, passphrase) {
            Ok(_) => Verdict::valid_unnamed(),
            Err(failure @ OpenError::Wrong) => {
                Verdict::invalid(failure.problem(), "give the right one: `--passphrase -`, from stdin")
            }
            Err(failure) => unproved(failure.problem(), "close it anew: `ssh-keygen -p -f FILE`, then store it again"),
        },
        (private, _) if private.is_encrypted() => unproved(
            "the private key is closed by a passphrase, which is not stored; the halves fit together",
            "store the passphrase as well, if lanyard is to use the key",
        ),
        _ => Verdict::valid_unnamed(),
    }
}

fn private_key(text: &str) -> Result<(), &'static str> {
    rules::text(text)?;
    key::read(text).map(|_| ())
}

fn yes(word: &str) -> Result<(), &'static str> {
    if word == "yes" { Ok(()) } else { Err("it is `yes`, or not set") }
}

fn public_key(line: &str) -> Result<(), &'static str> {
    rules::line(line)?;
    key::public(line).map(|_| ()).ok_or("it is no public key, such as `ssh-ed25519 AAAA… comment`")
}

#[cfg(test)]
mod tests;
