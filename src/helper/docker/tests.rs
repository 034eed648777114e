use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::credential::tests::credential;
use crate::credential::{Fields, Issued};
use crate::os::Env;
use crate::provider;
use crate::vault::VaultError;

/// What is understood, or what is replied to what is not.
fn asked(words: &[&str], text: &str) -> Result<Ask, (u8, String)> {
    let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), &[]);
    let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    HELPER.ask(&Call { arguments: &arguments, text, env: &env }).map_err(|reply| shown(&reply))
}

fn replied(words: &[&str], text: &str, answer: &Answer<'_>) -> (u8, String) {
    let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), &[]);
    let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    shown(&HELPER.reply(&Call { arguments: &arguments, text, env: &env }, answer))
}

fn shown(reply: &Reply) -> (u8, String) {
    (reply.code, String::from_utf8(reply.stdout.to_vec()).unwrap())
}

fn stored(kind: &str, values: &[(&str, &str)]) -> Metadata {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    credential("reg", Fields::parse(provider::by_kind(kind).unwrap().1, raw).unwrap()).metadata
}

fn basic(username: &str, password: &str) -> Issued {
    Issued::lasting(Material::Basic { username: username.into(), password: Secret::new(password.into()) })
}

/// The place in a question for one.
fn place(words: &[&str], text: &str) -> Option<(Option<String>, String)> {
    match asked(words, text) {
        Ok(Ask::Get(want) | Ask::Forget(want)) => want.at.map(|at| (at.scheme, at.host)),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => {
            assert_eq!(refused, (1, format!("{NOT_FOUND}\n")), "{text:?}");
            None
        }
    }
}

#[test]
fn a_server_is_what_every_client_writes() {
    for verb in ["get", "erase"] {
        for (text, host) in [
            ("ghcr.io", "ghcr.io"),
            ("ghcr.io\n", "ghcr.io"),
            ("  ghcr.io\r\n", "ghcr.io"),
            ("https://ghcr.io", "ghcr.io"),
            ("https://ghcr.io/v2/", "ghcr.io"),
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("registry-1.docker.io", "registry-1.docker.io"),
            ("127.0.0.1:5001", "127.0.0.1:5001"),
            ("ghcr.io:443", "ghcr.io"),
            ("[::1]:5001", "[::1]:5001"),
        ] {
            assert_eq!(place(&[verb], text).unwrap().1, host, "{text}");
        }
        assert_eq!(place(&[verb], "http://r.example"), Some((Some("http".into()), "r.example".into())));
        for text in ["evil/r.example", "ftp://r.example", "https://", "a b", "https://u:p@r.example", "r.example/team", "r\0x"] {
            assert_eq!(place(&[verb], text), None, "{text}");
        }
        for text in ["", " \n"] {
            assert_eq!(asked(&[verb], text).unwrap_err(), (1, "no credentials server URL\n".into()));
        }
    }
}

#[test]
fn words_that_are_no_action_are_refused_on_stdout() {
    for words in [&["unknown"][..], &["GET"], &[""]] {
        assert_eq!(asked(words, "").unwrap_err(), (1, "docker-credential-lanyard: unknown action\n".into()));
    }
    for words in [&[][..], &["get", "ghcr.io"], &["get", "get", "get"]] {
        assert_eq!(asked(words, "ghcr.io").unwrap_err(), (1, format!("{USAGE}\n")));
    }
    for word in ["version", "--version", "-v"] {
        let Ok(Ask::Answered(reply)) = asked(&[word], "") else { panic!("{word}") };
        let version = shown(&reply);
        assert!(version.0 == 0 && version.1.starts_with("docker-credential-lanyard (lanyard) v"), "{version:?}");
    }
    assert!(matches!(asked(&["list"], "unused"), Ok(Ask::List(kinds)) if kinds == KINDS));
}

#[test]
fn what_is_stored_is_checked_as_the_official_package_does() {
    let given = |server: &str, user: &str| {
        format!("{{\"ServerURL\":\"{server}\",\"Username\":\"{user}\",\"Secret\":\"p\\u0061ss\",\"More\":1}}\n")
    };
    let Ok(Ask::Store(keep)) = asked(&["store"], &given("https://r.example/v1/", "al\\u0069ce")) else { panic!("kept") };
    assert_eq!((keep.provider, keep.want.at.unwrap().host.as_str()), ("registry", "r.example"));
    assert_eq!(keep.raw.get("username").unwrap().expose(), "alice");
    assert_eq!(keep.raw.get("password").unwrap().expose(), "pass");
    assert_eq!(asked(&["store"], &given(" ", "alice")).unwrap_err(), (1, "no credentials server URL\n".into()));
    assert_eq!(asked(&["store"], &given("r.example", "")).unwrap_err(), (1, "no credentials username\n".into()));
    for text in ["", "{}", "null", "[]", "{\"ServerURL\":\"LNYCANARY\"", "{\"ServerURL\":1,\"Username\":\"a\",\"Secret\":\"b\"}"] {
        let (code, told) = asked(&["store"], text).unwrap_err();
        assert!(code == 1 && !told.contains("LNYCANARY"), "{text} {told}");
    }
    assert_eq!(replied(&["store"], "", &Answer::Done), (0, String::new()));
}

#[test]
fn a_found_one_is_one_json_object() {
    let metadata = stored("registry", &[("url", "https://r.example"), ("username", "alice"), ("password", "x")]);
    let get = |issued: &Issued| replied(&["get"], " r.example\n", &Answer::Found(&metadata, issued));
    let told = "{\"ServerURL\":\"r.example\",\"Username\":\"alice\",\"Secret\":\"p\\\"w\"}\n";
    assert_eq!(get(&basic("alice", "p\"w")), (0, told.into()));
    let token = "{\"ServerURL\":\"r.example\",\"Username\":\"<token>\",\"Secret\":\"t\"}\n";
    assert_eq!(get(&Issued::lasting(Material::Bearer(Secret::new("t".into())))), (0, token.into()));
    assert_eq!(get(&Issued::lasting(Material::Variables(Vec::new()))), (1, format!("{NOT_FOUND}\n")));
}

#[test]
fn a_list_is_an_object_of_servers_and_users() {
    let all: Vec<_> = [
        stored("registry", &[("url", "https://docker.io"), ("username", "bob"), ("password", "x"), ("flavour", "dockerhub")]),
        stored("registry", &[("url", "http://127.0.0.1:5001"), ("username", "alice"), ("password", "x")]),
        stored("registry_gar", &[("url", "https://europe-docker.pkg.dev"), ("source", "gcp"), ("flavour", "gar")]),
        stored(
            "registry_ecr",
            &[("url", "https://1.example"), ("source", "aws"), ("region", "eu-west-1"), ("flavour", "ecr")],
        ),
    ]
    .into_iter()
    .map(|metadata| (metadata.clone(), provider::of(&metadata).unwrap().addresses(&metadata)))
    .collect();
    let told = "{\"1.example\":\"AWS\",\"127.0.0.1:5001\":\"alice\",\
                \"europe-docker.pkg.dev\":\"oauth2accesstoken\",\"https://index.docker.io/v1/\":\"bob\"}\n";
    assert_eq!(replied(&["list"], "unused", &Answer::Listed(&all)), (0, told.into()));
    assert_eq!(replied(&["list"], "", &Answer::Listed(&[])), (0, "{}\n".into()));
}

#[test]
fn nothing_found_is_told_in_the_one_sentence_that_clients_know() {
    assert_eq!(replied(&["get"], "x", &Answer::Missing), (1, format!("{NOT_FOUND}\n")));
    assert_eq!(replied(&["get"], "x", &Answer::Failed(&VaultError::NoVault)), (1, format!("{NOT_FOUND}\n")));
    assert_eq!(replied(&["erase"], "x", &Answer::Missing), (0, String::new()));
    let managed = VaultError::Managed { name: "reg".into() };
    let (code, told) = replied(&["erase"], "x", &Answer::Failed(&managed));
    assert!(code == 1 && told.contains("`lanyard credentials delete reg`"), "{told}");
}

#[test]
fn what_is_nested_as_no_client_writes_is_no_credential() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"ServerURL":"r.example","Username":"alice","Secret":"s","more":{open}{close}}}"#)
    };
    assert!(matches!(asked(&["store"], &nested(31)), Ok(Ask::Store(_))));
    for depth in [32, 100, 1 << 16] {
        assert_eq!(asked(&["store"], &nested(depth)).unwrap_err(), (1, "the input is no credential\n".into()));
    }
}

proptest! {
    #[test]
    fn any_text_is_a_server_or_not(text in "(\\PC|https?://|/v1|/v2|:[0-9]|docker\\.io|\n){0,20}") {
        for verb in ["get", "erase"] {
            let _ = asked(&[verb], &text);
        }
    }

    #[test]
    fn any_text_is_a_credential_or_not(text in "(\\PC|\"|\\{|\\}|,|\"ServerURL\":|\"Username\":|\"Secret\":){0,20}") {
        let _ = asked(&["store"], &text);
    }
}
