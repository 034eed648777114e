//! Keys of every form, on a made-up machine. `ssh-keygen` as a witness is asked by the black-box tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::key::{EXAMPLE_PRIVATE, EXAMPLE_PUBLIC};
use super::*;
use crate::credential::{Check, Scope};
use crate::http::{Request, Response, Unreachable};
use crate::os::Env;
use crate::provider::Found;

/// An Ed25519 key, closed by the passphrase `secret`.
const CLOSED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAmCuQbRS
I66sirmPgdVR9kAAAAAgAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIHrlrOM0/QwC4K87
cn5BisJVIRi107dsUslBw9fUHXXAAAAAkIODIGO7QiZvXoktDk/fs3DOWeisit0qJHFO/1
L69HgdbjfFzMuqNI/MGN2nvb/5V1ngHvPOwzS8hDWv/OBhn/qeD8g23m0vzqDqOL3QcEH6
Mg6Iap8jl4abtH0Zi7dAtdYpv1XEMQMOPXsgeYRZUEtZC5fhgzp3iPWWU5+W+6J5NYg2Lv
iumMmu96Mhh7p3Ow==
-----END OPENSSH PRIVATE KEY-----
";
const CLOSED_PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHrlrOM0/QwC4K87cn5BisJVIRi107dsUslBw9fUHXXA closed";
/// A P-256 key in the form of RFC 5915.
const ELLIPTIC: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIOYfkLRCR2GwAhxRVYuuePYIstYPa4VM6/ywa+R86ECloAoGCCqGSM49
AwEHoUQDQgAEVS+QnHsWsOyauUMm3WL7QY5BfChUo8T3FFWkD+mPhxmiZ9YzCZEm
35ws8jm3znMDO8sXKintib7J4KHCpK/b1w==
-----END EC PRIVATE KEY-----
";
const ELLIPTIC_PUBLIC: &str =
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFUvkJx7FrDsmrlDJt1i+0GOQXwoVKPE9xRVpA/pj4cZomfWMwmRJt+cLPI5t85zAzvLFyop7Ym+yeChwqSv29c= ec256";
/// What a key in an old form that is closed looks like from outside.
const OLD_CLOSED: &str = "-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,B4DBCD07228BBD13CB896AE44135270F

lshDcHDvA9EkV4AdOjVEA12iYO3W3y05c1vzwmVG9Echs0VH7wjJSEbXJ2/FRpq3
-----END RSA PRIVATE KEY-----
";

/// A home in a temporary folder, with these files in it.
fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, Env) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
    }
    let env = Env::invented(&folder.path().join("config"), folder.path(), &[]);
    (folder, env)
}

fn given(inputs: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    inputs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

/// Values completed as `credentials store` does, twice.
fn completed(env: &Env, values: &[(&str, &str)], inputs: &[(&str, &str)]) -> Result<Fields, ProviderError> {
    let given = given(inputs);
    let here = Here { env, given: &given };
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    PROVIDER.complete(&mut raw, &here)?;
    let kind = PROVIDER.complete(&mut raw, &here)?;
    Ok(Fields::parse(kind, raw)?)
}

fn credential(values: &[(&str, &str)]) -> Credential {
    let (_folder, env) = home(&[]);
    let Fields { kind, plain, secrets } = completed(&env, values, &[]).unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    let metadata = Metadata {
        id: "cred_1".into(),
        name: "deploy".into(),
        kind,
        scope: Scope::Organization,
        fields: plain,
        secret_names: BTreeSet::new(),
        created: now,
        updated: now,
        used: None,
        verified: None,
        expires: None,
        check: Check::Never,
        tags: BTreeSet::new(),
        note: String::new(),
        version: 1,
    };
    Credential { metadata, secrets }
}

fn with_net<T>(act: impl FnOnce(&Net<'_>) -> T) -> T {
    let env = Env::invented(Path::new("/none"), Path::new("/"), &[]);
    let http = |_: Request| -> Result<Response, Unreachable> { panic!("nobody is asked") };
    act(&Net { http: &http, env: &env, now: chrono::DateTime::UNIX_EPOCH })
}

fn verify(values: &[(&str, &str)]) -> Verdict {
    with_net(|net| PROVIDER.verify(&credential(values), None, net))
}

#[test]
fn the_examples_of_the_fields_pass_their_checks() {
    for field in &FIELDS {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
}

#[test]
fn marks_match_whole_blocks() {
    for text in [EXAMPLE_PRIVATE, ELLIPTIC, OLD_CLOSED] {
        let around = format!("before\n{text}after -----END RSA PRIVATE KEY-----");
        let found = MARKS.iter().filter(|mark| around.contains(mark.keyword)).find_map(|mark| {
            let expression = regex::Regex::new(mark.pattern).unwrap();
            Some(expression.captures(&around)?.get(1)?.as_str().to_owned())
        });
        assert_eq!(found.as_deref(), Some(text.trim_end()));
    }
}

#[test]
fn the_public_half_and_the_fingerprint_follow_from_a_private_key() {
    let (_folder, env) = home(&[]);
    let windows = EXAMPLE_PRIVATE.replace('\n', "\r\n");
    for text in [EXAMPLE_PRIVATE, EXAMPLE_PRIVATE.trim_end(), &windows] {
        let Fields { plain, secrets, .. } = completed(&env, &[("private_key", text)], &[]).unwrap();
        assert_eq!(secrets["private_key"].expose(), EXAMPLE_PRIVATE);
        assert_eq!(plain["public_key"], EXAMPLE_PUBLIC);
        assert_eq!(plain["fingerprint"], "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
        assert_eq!(plain["comment"], "user@example.com");
    }
    let fields = completed(&env, &[("private_key", EXAMPLE_PRIVATE), ("comment", "deploy key")], &[]).unwrap();
    assert!(fields.plain["public_key"].ends_with(" deploy key"));
    let old = completed(&env, &[("private_key", ELLIPTIC)], &[]).unwrap();
    assert_eq!(format!("{} ec256", old.plain["public_key"]), ELLIPTIC_PUBLIC);
    let closed = completed(&env, &[("private_key", CLOSED)], &[]).unwrap();
    assert_eq!(format!("{} closed", closed.plain["public_key"]), CLOSED_PUBLIC);
}

#[test]
fn an_old_form_of_ed25519_is_read_too() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    let pair = Ed25519KeyPair::generate().unwrap();
    let der = base64::engine::general_purpose::STANDARD.encode(pair.to_pkcs8v1().unwrap().as_ref());
    let text = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let private = key::read(&text).unwrap();
    let public = private.public().unwrap().key_data().ed25519().unwrap();
    assert_eq!(public.as_ref(), pair.public_key().as_ref());
}

#[test]
fn what_is_no_private_key_is_refused_with_what_it_is() {
    let cut = EXAMPLE_PRIVATE.replace("-----END OPENSSH PRIVATE KEY-----\n", "");
    let damaged = EXAMPLE_PRIVATE.replace("b3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1rZXktdjEB");
    for (text, problem) in [
        (EXAMPLE_PUBLIC, "it is a public key"),
        ("secret", "it does not begin as a private key"),
        (&cut, "it does not end as it begins; copy the whole file"),
        (&damaged, "it is damaged; copy the whole file"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "it is no private key of ssh"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAA\n-----END RSA PRIVATE KEY-----", "it is damaged; copy the whole file"),
        (
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
            "it is a key of PuTTY; `puttygen KEY -O private-openssh -o NEW` converts it",
        ),
    ] {
        assert_eq!(key::read(text).map(|_| ()), Err(problem), "{text}");
        assert_eq!(private_key(text), Err(problem));
    }
    assert!(public_key("ssh-ed25519 AAAA x").is_err());
    assert!(public_key(&EXAMPLE_PUBLIC.replace("ssh-ed25519", "ssh-rsa")).is_err());
}

#[test]
fn halves_that_fit_are_valid_and_others_are_not() {
    let valid = verify(&[("private_key", EXAMPLE_PRIVATE)]);
    assert_eq!(valid.outcome, Outcome::Valid);
    let identity = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ user@example.com";
    assert_eq!(valid.identity.as_deref(), Some(identity));
    assert_eq!(verify(&[("private_key", ELLIPTIC)]).outcome, Outcome::Valid);
    for private in [EXAMPLE_PRIVATE, CLOSED] {
        let verdict = verify(&[("private_key", private), ("public_key", ELLIPTIC_PUBLIC)]);
        assert_eq!((verdict.outcome, verdict.identity), (Outcome::Invalid, None));
        assert_eq!(verdict.reason.as_deref(), Some("the public key belongs to another private key"));
    }
}

#[test]
fn a_closed_key_is_proved_by_its_passphrase() {
    let with = |passphrase: &str| verify(&[("private_key", CLOSED), ("passphrase", passphrase)]);
    assert_eq!(with("secret").outcome, Outcome::Valid);
    assert_eq!(with("wrong").outcome, Outcome::Invalid);
    let without = verify(&[("private_key", CLOSED)]);
    assert_eq!(without.outcome, Outcome::CannotBeAsked);
    assert!(without.reason.unwrap().contains("passphrase"));
    let old = verify(&[("private_key", OLD_CLOSED), ("public_key", EXAMPLE_PUBLIC)]);
    assert_eq!(old.outcome, Outcome::CannotBeAsked);
    let half = verify(&[("public_key", EXAMPLE_PUBLIC)]);
    assert_eq!(half.outcome, Outcome::CannotBeAsked);
    assert!(half.reason.unwrap().contains("only the public half"));
}

#[test]
fn a_closed_key_is_opened_for_use_and_handed_over_as_it_is() {
    let credential = credential(&[("private_key", CLOSED), ("passphrase", "secret")]);
    let issued = with_net(|net| PROVIDER.material(&credential, None, net)).unwrap();
    let Material::SshKey { private_key, public_key } = &issued.material else { panic!("{issued:?}") };
    assert!(matches!(key::read(private_key.expose()), Ok(Private::Own(key)) if !key.is_encrypted()));
    assert_eq!(format!("{public_key} closed"), CLOSED_PUBLIC);
    assert_eq!(PROVIDER.file("openssh", &credential, &issued).unwrap().expose(), CLOSED);
    let line = PROVIDER.file("authorized-keys", &credential, &issued).unwrap();
    assert_eq!(line.expose(), format!("{public_key}\n"));
    assert!(PROVIDER.file("ppk", &credential, &issued).is_none());
    let wrong = self::credential(&[("private_key", CLOSED), ("passphrase", "wrong")]);
    let failure = with_net(|net| PROVIDER.material(&wrong, None, net)).unwrap_err().to_string();
    assert_eq!(failure, "passphrase of deploy is damaged: the passphrase does not open the private key");
}

#[test]
fn a_key_is_made_once_with_its_comment_and_its_passphrase() {
    let (_folder, env) = home(&[(".ssh/id_ed25519", EXAMPLE_PRIVATE)]);
    let generate = [("generate", ""), ("print-private", "")];
    let first = completed(&env, &[("comment", "ci")], &generate).unwrap();
    let second = completed(&env, &[("comment", "ci")], &generate).unwrap();
    assert!(first.plain["public_key"].starts_with("ssh-ed25519 ") && first.plain["public_key"].ends_with(" ci"));
    assert_ne!(first.plain["public_key"], second.plain["public_key"]);
    assert_eq!(PROVIDER.default_name(&first), "ci");
    let on = given(&generate);
    let shown = PROVIDER.shown_once(&first, &Here { env: &env, given: &on }).unwrap();
    assert_eq!(shown, &first.secrets["private_key"]);
    let off = given(&generate[..1]);
    assert!(PROVIDER.shown_once(&first, &Here { env: &env, given: &off }).is_none());
    assert!(PROVIDER.discover(&Here { env: &env, given: &off }).choice().unwrap().is_empty(), "what lies around is not taken");

    let closed = completed(&env, &[("passphrase", "two words")], &generate[..1]).unwrap();
    let Ok(Private::Own(key)) = key::read(closed.secrets["private_key"].expose()) else { panic!("no key") };
    assert!(key.is_encrypted());
    assert!(key::open(&key, &Secret::new("two words".into())).is_ok());
    let both = completed(&env, &[], &[("generate", ""), ("private-key", "x")]).unwrap_err();
    assert_eq!(both.to_string(), "a key is either given or made anew");
}

#[test]
fn keys_are_read_from_files_and_public_ones_from_the_command_line() {
    let (_folder, env) = home(&[("a", EXAMPLE_PRIVATE), ("a.pub", ELLIPTIC_PUBLIC), ("b.pub", &format!("# mine\n\n{EXAMPLE_PUBLIC}\n")), ("c", OLD_CLOSED), ("c.pub", EXAMPLE_PUBLIC)]);
    let public = |inputs: &[(&str, &str)]| completed(&env, &[], inputs).map(|fields| fields.plain["public_key"].clone());
    assert_eq!(public(&[("private-key", "a")]).unwrap(), EXAMPLE_PUBLIC, "a foreign public half beside is none");
    assert_eq!(public(&[("private-key", "~/c")]).unwrap(), EXAMPLE_PUBLIC);
    assert_eq!(public(&[("public-key", "b.pub")]).unwrap(), EXAMPLE_PUBLIC);
    assert_eq!(public(&[("public-key", EXAMPLE_PUBLIC)]).unwrap(), EXAMPLE_PUBLIC);
    for (inputs, told) in [
        (("private-key", "none"), "there is no private key in ~/none"),
        (("public-key", "none"), "there is no public key in ~/none"),
        (("private-key", "b.pub"), "~/b.pub is no usable SSH private key: it does not begin as a private key"),
        (("public-key", "a"), "~/a is no usable SSH public key: it holds a private key; give it with `--private-key`"),
        (("public-key", "ssh-ed25519 AAAA"), "public_key of the SSH key is malformed: it is no public key, such as `ssh-ed25519 AAAA… comment`"),
    ] {
        assert_eq!(public(&[inputs]).unwrap_err().to_string(), told);
    }
    assert_eq!(public(&[]).unwrap_err().to_string(), "there is no SSH key in ~/.ssh");
}

fn found(files: &[(&str, &str)], inputs: &[(&str, &str)]) -> Result<Vec<String>, ProviderError> {
    let (_folder, env) = home(files);
    let given = given(inputs);
    let shown = |found: Found| {
        let comment = found.raw.get("comment").map_or("-", Secret::expose);
        let flags = (found.origin.plain_text, found.origin.whole_file);
        format!("{} {comment} {} {flags:?}", found.name.unwrap_or_default(), found.origin.place)
    };
    Ok(PROVIDER.discover(&Here { env: &env, given: &given }).choice()?.into_iter().map(shown).collect())
}

#[test]
fn keys_are_found_in_the_order_of_ssh() {
    let config = "Host *\nIdentityFile ~/keys/deploy\nIdentityFile ~/.ssh/id_ed25519\nIdentityFile ~/.ssh/%h\n\
        IdentityFile none\nIdentityFile missing\nInclude conf.d/*.conf\n";
    let files = [
        (".ssh/id_ed25519", EXAMPLE_PRIVATE),
        (".ssh/id_ed25519.pub", EXAMPLE_PUBLIC),
        (".ssh/id_ecdsa", ELLIPTIC),
        (".ssh/id_ecdsa.pub", ELLIPTIC_PUBLIC),
        (".ssh/id_work", CLOSED),
        (".ssh/id_notes", "nothing"),
        (".ssh/known_hosts", "x"),
        (".ssh/config", config),
        (".ssh/conf.d/a.conf", "IdentityFile = \"~/keys/a b\"\nInclude a.conf\n"),
        (".ssh/conf.d/b.txt", "IdentityFile ~/keys/not\n"),
        ("keys/deploy", EXAMPLE_PRIVATE),
        ("keys/a b", EXAMPLE_PRIVATE),
        ("keys/not", EXAMPLE_PRIVATE),
    ];
    assert_eq!(
        found(&files, &[]).unwrap(),
        [
            "id_ecdsa ec256 ~/.ssh/id_ecdsa (true, true)",
            "id_ed25519 user@example.com ~/.ssh/id_ed25519 (true, true)",
            "id_work - ~/.ssh/id_work (closed by a passphrase) (false, true)",
            "deploy user@example.com ~/keys/deploy (true, true)",
            "a b user@example.com ~/keys/a b (true, true)",
        ]
    );
    assert_eq!(found(&files, &[("private-key", "keys/not")]).unwrap().len(), 1);
    assert!(found(&[], &[]).unwrap().is_empty());
}

#[test]
fn a_broken_key_is_told_with_its_place() {
    let cut = &EXAMPLE_PRIVATE[..200];
    let failure = found(&[(".ssh/id_rsa", cut)], &[]).unwrap_err().to_string();
    assert_eq!(failure, "~/.ssh/id_rsa is no usable SSH private key: it does not end as it begins; copy the whole file");
}

#[test]
fn hosts_have_the_port_of_ssh() {
    for (host, meant) in [("GitHub.com", "github.com:22"), ("h.example:2222", "h.example:2222"), ("h:x", "h:x:22")] {
        let credential = credential(&[("public_key", EXAMPLE_PUBLIC), ("host", host)]);
        assert_eq!(PROVIDER.hosts(&credential.metadata), [meant]);
    }
    assert!(PROVIDER.hosts(&credential(&[("public_key", EXAMPLE_PUBLIC)]).metadata).is_empty());
}

#[test]
fn a_key_that_wants_to_be_stretched_for_minutes_is_not() {
    let Ok(Private::Own(closed)) = key::read(CLOSED) else { panic!("no key") };
    let mut bytes = closed.to_bytes().unwrap().to_vec();
    let rounds = bytes.windows(4).position(|four| four == [0, 0, 0, 2]).unwrap();
    bytes[rounds..rounds + 4].copy_from_slice(&[0xff; 4]);
    let slow = ssh_key::PrivateKey::from_bytes(&bytes).unwrap();
    assert_eq!(key::open(&slow, &Secret::new("secret".into())).unwrap_err(), OpenError::Slow);
}

#[test]
fn replacing_says_what_to_do_instead() {
    use crate::error::Failure;
    let refused = PROVIDER.rotation().unwrap().can(&credential(&[("public_key", EXAMPLE_PUBLIC)]).metadata).unwrap_err();
    assert!(refused.mend().unwrap().contains("`lanyard credentials store ssh-key --generate --name deploy-new`"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), label in "(OPENSSH |RSA |EC |ENCRYPTED |)PRIVATE KEY") {
        let _ = (key::read(&text), key::public(&text));
        let _ = key::read(&format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"));
    }

}

proptest! {
    // Curves are slow without optimisation.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), label in "(OPENSSH |RSA |EC |)PRIVATE KEY", at in 0_usize..300, with in any::<u8>()) {
        use base64::Engine;
        let read = |label: &str, bytes: &[u8]| {
            let body = base64::engine::general_purpose::STANDARD.encode(bytes);
            let lines: Vec<&str> = body.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
            key::read(&format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
        };
        let _ = read(&label, &bytes);
        // A good key with one wrong byte.
        for good in [EXAMPLE_PRIVATE, CLOSED] {
            let Ok(Private::Own(good)) = key::read(good) else { panic!("no key") };
            let mut bytes = good.to_bytes().unwrap().to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            let _ = read("OPENSSH PRIVATE KEY", &bytes);
        }
    }

    #[test]
    fn a_key_that_was_made_is_read_back(comment in "[^\\p{C}\\s]{0,20}( [^\\p{C}\\s]{1,20})?") {
        let made = key::generate(&comment, None).unwrap();
        let Ok(Private::Own(read)) = key::read(made.expose()) else { panic!("no key") };
        prop_assert_eq!(key::comment(read.public_key()), crate::text::clean(&comment));
        let line = key::public_line(read.public_key(), &key::comment(read.public_key())).unwrap();
        let public = key::public(&line).unwrap();
        prop_assert_eq!(public.key_data(), read.public_key().key_data());
        prop_assert_eq!(key::write(&read).unwrap(), made);
    }
}
