use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY, OTHERS};

fn git() -> Bench {
    Bench::with("git", &[("host", "good.example"), ("username", "al/ice@corp"), ("token", CANARY)])
}

#[test]
fn git_is_told_the_user_and_then_the_password() {
    let bench = git();
    bench.answers("askpass", &["Username for 'https://good.example': "], "", 0, "al/ice@corp\n");
    let password = format!("{CANARY}\n");
    for url in [
        "https://good.example",
        "https://al%2Fice%40corp@good.example",
        "https://al%2fice%40corp@good.example/org/app.git",
        "https://good.example:443",
    ] {
        bench.answers("askpass", &[&format!("Password for '{url}': ")], "", 0, &password);
    }
    for user in ["bob", "al%2Fice", "", "al/ice@corp", "al%2"] {
        bench.answers("askpass", &[&format!("Password for 'https://{user}@good.example': ")], "", 1, "");
    }
}

#[test]
fn a_sign_in_has_the_user_that_its_host_wants() {
    for (own, user) in [(Some("x-token"), "x-token"), (None, "oauth2")] {
        let mut values = vec![("service", "corp"), ("git_address", "https://good.example"), ("account", "alice")];
        values.extend(own.map(|own| ("git_username", own)));
        let metadata = stored("oauth", &values);
        let issued = crate::credential::Issued::lasting(Material::Bearer(crate::secret::Secret::new("t".into())));
        let told = |prompt: &str| {
            let arguments = [prompt.to_owned()];
            let env = crate::os::Env::empty();
            let call = Call { arguments: &arguments, text: "", env: &env };
            String::from_utf8(HELPER.reply(&call, &Answer::Found(&metadata, &issued)).stdout.to_vec()).unwrap()
        };
        assert_eq!(told("Username for 'https://good.example': "), format!("{user}\n"));
        assert_eq!(told(&format!("Password for 'https://{user}@good.example': ")), "t\n");
    }
}

fn stored(kind: &str, values: &[(&str, &str)]) -> crate::credential::Metadata {
    let mut raw = crate::credential::Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    let kind = crate::provider::by_kind(kind).unwrap().1;
    crate::credential::tests::credential("mine", crate::credential::Fields::parse(kind, raw).unwrap()).metadata
}

#[test]
fn only_the_very_host_and_the_very_sentence_are_answered() {
    let bench = git();
    for host in OTHERS {
        for sentence in ["Username", "Password"] {
            bench.answers("askpass", &[&format!("{sentence} for '{host}': ")], "", 1, "");
        }
    }
    for prompt in [
        "",
        "Password for 'https://good.example'",
        "Password for 'https://good.example':",
        "password for 'https://good.example': ",
        "Password for \"https://good.example\": ",
        " Password for 'https://good.example': ",
        "(alice@evil.example) Password for 'https://good.example': ",
        "Password for 'https://evil.example': Password for 'https://good.example': ",
        "Password for 'https://evil.example'\nPassword for 'https://good.example': ",
        "Password for 'https://good.example\r': ",
        "Password for 'cert://good.example': ",
        "Password for 'good.example': ",
        "alice@good.example's password: ",
        "[sudo] password for alice: ",
    ] {
        bench.answers("askpass", &[prompt], "", 1, "");
    }
    bench.answers("askpass", &[], "", 1, "");
    bench.answers("askpass", &["Password for 'https://good.example': ", "more"], "", 1, "");
}

/// A key that is closed by a passphrase, as ssh-keygen writes it, with its public line and its fingerprint.
fn closed(seed: u8, passphrase: &str) -> (String, String, String) {
    use ssh_key::private::{Ed25519Keypair, KeypairData};
    use ssh_key::{Cipher, HashAlg, Kdf, LineEnding, PrivateKey};
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "me").unwrap();
    let kdf = Kdf::Bcrypt { salt: vec![seed; 16], rounds: 1 };
    let closed = key.encrypt_with(Cipher::Aes256Ctr, kdf, 7, passphrase).unwrap();
    let public = closed.public_key();
    let fingerprint = public.fingerprint(HashAlg::Sha256).to_string();
    (closed.to_openssh(LineEnding::LF).unwrap().to_string(), public.to_openssh().unwrap(), fingerprint)
}

fn key(passphrase: Option<&str>) -> Bench {
    let (private, public, fingerprint) = closed(1, CANARY);
    let mut values = vec![("public_key", &*public), ("fingerprint", &*fingerprint)];
    values.extend(passphrase.map(|passphrase| ("passphrase", passphrase)));
    let bench = Bench::with("ssh_key", &values);
    std::fs::write(bench.folder().join("id"), private).unwrap();
    bench
}

#[test]
fn the_passphrase_is_that_of_the_key_in_the_file() {
    let bench = key(Some(CANARY));
    let path = bench.folder().join("id").display().to_string();
    let told = format!("{CANARY}\n");
    for prompt in [
        format!("Enter passphrase for key '{path}': "),
        format!("Enter passphrase for {path}: "),
        format!("Enter passphrase for {path} (will confirm each use): "),
        "Enter passphrase for id: ".to_owned(),
    ] {
        bench.answers("askpass", &[&prompt], "", 0, &told);
    }
    for prompt in [
        format!("Bad passphrase, try again for {path}: "),
        format!("(me@evil.example) Enter passphrase for key '{path}': "),
        format!("Enter passphrase for key '{path}.pub': "),
        "Enter passphrase for key '/nowhere/id': ".to_owned(),
        "Enter passphrase for : ".to_owned(),
    ] {
        bench.answers("askpass", &[&prompt], "", 1, "");
    }
    // A file of the same name with another key in it, and a file that is no key.
    std::fs::write(bench.folder().join("id"), closed(2, "other").0).unwrap();
    bench.answers("askpass", &["Enter passphrase for id: "], "", 1, "");
    std::fs::write(bench.folder().join("id"), "no key").unwrap();
    bench.answers("askpass", &["Enter passphrase for id: "], "", 1, "");
    key(None).answers("askpass", &["Enter passphrase for id: "], "", 1, "");
}

#[test]
fn a_yes_is_nobodys_to_give() {
    let mut bench = key(Some(CANARY));
    bench.set("SSH_ASKPASS_PROMPT", "confirm");
    bench.answers("askpass", &["Allow use of key id?\nKey fingerprint SHA256:x."], "", 1, "");
    bench.answers("askpass", &["Enter passphrase for id: "], "", 1, "");
    let mut bench = key(Some(CANARY));
    bench.set("SSH_ASKPASS_PROMPT", "none");
    bench.answers("askpass", &["Confirm user presence for key ED25519-SK SHA256:x"], "", 0, "");
}

proptest! {
    #[test]
    fn any_sentence_is_a_question_or_not(text in "(Username for '|Password for '|Enter passphrase for |key '|https://|@|%|': |\\PC|\n){0,12}") {
        let _ = Prompt::parse(&text);
    }

    #[test]
    fn a_user_comes_back_as_git_wrote_it(user in "[ -~\u{e9}]{1,20}") {
        let encoded: String = user.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let prompt = format!("Password for 'https://{encoded}@good.example': ");
        let at = Address::of_text("https://good.example").unwrap();
        prop_assert_eq!(Prompt::parse(&prompt), Some(Prompt::Password(at, Some(user))));
    }
}
