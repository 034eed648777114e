//! From what was given to the values of a key: files are read, keys are made, halves and fingerprints follow.

use std::path::PathBuf;

use super::key;
use crate::credential::Raw;
use crate::os::files;
use crate::provider::{Here, ProviderError};
use crate::secret::Secret;

/// Turns the inputs into values: the private key's file, the public key, a new key.
pub(super) fn take_inputs(raw: &mut Raw, here: &Here<'_>) -> Result<(), ProviderError> {
    let (private, public) = (here.input("private-key"), here.input("public-key"));
    let generates = here.is_on("generate");
    if generates && (private.is_some() || public.is_some()) {
        return Err(ProviderError::Contrary {
            what: "a key is either given or made anew",
            mend: "leave out `--generate`, or `--private-key` and `--public-key`",
        });
    }
    if here.is_on("confirm") {
        raw.plain("confirm", "yes");
    }
    if let Some(public) = public {
        raw.fill("public_key", Secret::new(public_text(public, here)?));
    }
    if let Some(text) = raw.get("private_key") {
        // What came through stdin is refused in the same words as a file, before anything is asked for.
        let foreign = |problem: &str| ProviderError::Foreign {
            place: "stdin".into(),
            what: "SSH private key",
            problem: problem.to_owned(),
        };
        return if private == Some("-") { key::read(text.expose()).map(|_| ()).map_err(foreign) } else { Ok(()) };
    }
    if let Some(file) = private {
        let (path, text) = private_file(file, here)?;
        if let Ok(private) = key::read(text.expose()) {
            raw.fill_from(beside(&path, &private));
        }
        raw.set("private_key", text);
    } else if generates {
        let comment = raw.get("comment").map_or_else(String::new, |comment| comment.expose().to_owned());
        let made = key::generate(&comment, raw.get("passphrase"));
        raw.set("private_key", made.ok_or_else(no_randomness)?);
    }
    Ok(())
}

fn no_randomness() -> ProviderError {
    ProviderError::Program {
        program: "the system's random generator".into(),
        cause: crate::secret::Reason("it gave nothing".into()),
        mend: "try again; if it stays so, the system is in trouble".into(),
    }
}

/// Fills what follows from the keys, and brings them into the form in which they are kept. What is no key is left to
/// the fields' own checks.
pub(super) fn derive(raw: &mut Raw) {
    let private = raw.get("private_key").map(|text| (key::tidy(text.expose()), key::read(text.expose())));
    if let Some((tidy, Ok(private))) = private {
        raw.set("private_key", Secret::new(tidy.to_string()));
        if let Some(public) = private.public() {
            let comment = key::comment(public);
            raw.fill("public_key", Secret::new(key::public_line(public, &comment).unwrap_or_default()));
        }
    }
    let Some(public) = raw.get("public_key").and_then(|line| key::public(line.expose())) else { return };
    let own = key::comment(&public);
    let comment = raw.get("comment").map_or(own, |comment| comment.expose().to_owned());
    if let Some(line) = key::public_line(&public, &comment) {
        raw.plain("public_key", &line);
    }
    raw.plain("fingerprint", &key::fingerprint(&public));
    if !comment.is_empty() {
        raw.plain("comment", &comment);
    }
}

/// The path that a flag names.
fn path(text: &str, here: &Here<'_>) -> PathBuf {
    here.env.working_dir().join(here.env.expand_home(text.strip_prefix('@').unwrap_or(text)))
}

/// The private key in a file that the user named.
pub(super) fn private_file(file: &str, here: &Here<'_>) -> Result<(PathBuf, Secret), ProviderError> {
    let path = path(file, here);
    let place = here.shown(&path);
    let Some(bytes) = files::read(&path)? else {
        return Err(ProviderError::NotThere {
            what: "private key".into(),
            place,
            mend: "give the file's path, such as ~/.ssh/id_ed25519".into(),
        });
    };
    let foreign = |problem: &str| ProviderError::Foreign {
        place: place.clone(),
        what: "SSH private key",
        problem: problem.to_owned(),
    };
    let text = Secret::new(String::from_utf8(bytes).map_err(|_| foreign("it is no text"))?);
    key::read(text.expose()).map_err(foreign)?;
    Ok((path, text))
}

/// The public half that lies beside a private key's file, if it is its own: for the comment, or because a closed key of
/// an older form does not show its public half.
pub(super) fn beside(path: &std::path::Path, private: &key::Private) -> Raw {
    let mut raw = Raw::new();
    let mut path = path.as_os_str().to_owned();
    path.push(".pub");
    // What is beside is a help, and its being damaged is no reason to refuse the key.
    let bytes = files::read(std::path::Path::new(&path)).ok().flatten().unwrap_or_default();
    let is_its_own =
        |public: &ssh_key::PublicKey| private.public().is_none_or(|own| own.key_data() == public.key_data());
    if let Some(public) = std::str::from_utf8(&bytes).ok().and_then(key::public).filter(is_its_own)
        && let Some(line) = key::public_line(&public, &key::comment(&public))
    {
        raw.plain("public_key", &line);
    }
    raw
}

/// A public key: the line itself, or the file that holds it.
fn public_text(text: &str, here: &Here<'_>) -> Result<String, ProviderError> {
    if key::public(text).is_some() || ["ssh-", "ecdsa-", "sk-"].iter().any(|word| text.starts_with(word)) {
        return Ok(text.to_owned());
    }
    let path = path(text, here);
    let Some(bytes) = files::read(&path)? else {
        return Err(ProviderError::NotThere {
            what: "public key".into(),
            place: here.shown(&path),
            mend: "give the line itself, such as 'ssh-ed25519 AAAA…', or the path of a file that holds it".into(),
        });
    };
    let problem = |problem: &str| ProviderError::Foreign {
        place: here.shown(&path),
        what: "SSH public key",
        problem: problem.to_owned(),
    };
    let text = String::from_utf8(bytes).map_err(|_| problem("it is no text"))?;
    if key::is_private(&text) {
        return Err(problem("it holds a private key; give it with `--private-key`"));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.find(|line| key::public(line).is_some()).map(str::to_owned).ok_or_else(|| problem("no line of it is a key"))
}
