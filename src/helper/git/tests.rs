use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::credential::tests::credential;
use crate::credential::{Fields, Raw};
use crate::error::Failure;
use crate::os::Env;
use crate::provider;

const TOKEN: &str = "LNYCANARY-password";

fn arguments(verb: &str) -> Vec<String> {
    vec![verb.to_owned()]
}

fn asked(verb: &str, text: &str) -> Result<Ask, Reply> {
    HELPER.ask(&Call { arguments: &arguments(verb), text, env: &Env::empty() })
}

fn stored(kind: &str, plain: &[(&str, &str)], secret: &str) -> Metadata {
    let (_, kind) = provider::by_kind(kind).unwrap();
    let mut raw = Raw::new();
    for (name, value) in plain {
        raw.plain(name, value);
    }
    raw.set(secret, Secret::new(TOKEN.into()));
    credential("mine", Fields::parse(kind, raw).unwrap()).metadata
}

fn git_login() -> Metadata {
    stored("git", &[("host", "good.example"), ("username", "alice")], "token")
}

fn sign_in(git_username: Option<&str>) -> Metadata {
    let mut plain = vec![("service", "corp"), ("git_address", "https://good.example")];
    plain.extend(git_username.map(|user| ("git_username", user)));
    stored("oauth", &plain, "session")
}

fn basic(username: &str, password: &str) -> Issued {
    Issued::lasting(Material::Basic { username: username.into(), password: Secret::new(password.into()) })
}

fn bearer(expires: Option<DateTime<Utc>>) -> Issued {
    Issued { material: Material::Bearer(Secret::new(TOKEN.into())), expires }
}

fn replied(text: &str, metadata: &Metadata, issued: &Issued) -> (String, Reply) {
    let reply = HELPER
        .reply(&Call { arguments: &arguments("get"), text, env: &Env::empty() }, &Answer::Found(metadata, issued));
    (String::from_utf8(reply.stdout.to_vec()).unwrap(), reply)
}

/// A question that must be refused: exit code 1, nothing on stdout, a sentence that quotes nothing.
#[track_caller]
fn assert_refused(text: &str, why: &str) {
    for verb in ["get", "store", "erase"] {
        let Err(reply) = asked(verb, text) else { panic!("taken for a question: {text:?}") };
        assert_eq!((reply.code, reply.stdout.len()), (1, 0), "{text:?}");
        let talk = reply.talk.unwrap();
        assert!(talk.contains(why), "{text:?}: {talk}");
        assert!(!talk.contains("evil") && !talk.contains("good") && !talk.chars().any(char::is_control), "{talk}");
    }
}

/// A question that is one, and for which nothing that was stored for good.example may be handed out.
#[track_caller]
fn assert_not_for_us(text: &str) {
    if let Ok(Ask::Get(want)) = asked("get", text) {
        let own = provider::by_name("git").unwrap().addresses(&git_login());
        let at = want.at.unwrap();
        assert!(!own.iter().any(|own| own.covers(&at)), "{text:?} is answered");
    }
}

#[test]
fn a_question_is_read_as_git_writes_it() {
    let text = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=good.example:8443\npath=team/app.git\n\
                username=alice\nwwwauth[]=Basic realm=\"a=b\"\nsome_later_key=1\n";
    let Ok(Ask::Get(want)) = asked("get", text) else { panic!("no question") };
    let at = want.at.unwrap();
    assert_eq!((at.scheme.as_deref(), at.host.as_str()), (Some("https"), "good.example:8443"));
    assert_eq!((at.path.as_deref(), want.user.as_deref()), (Some("team/app.git"), Some("alice")));
    assert_eq!(want.kinds, KINDS);
    let crlf = text.replace('\n', "\r\n");
    assert!(matches!(asked("get", &crlf), Ok(Ask::Get(_))), "a CR before the LF is git's own on Windows");
}

#[test]
fn operations_that_need_no_credential_are_answered_at_once() {
    let answered = |verb: &str, text: &str| match asked(verb, text) {
        Ok(Ask::Answered(reply)) => (String::from_utf8(reply.stdout.to_vec()).unwrap(), reply.code),
        _ => panic!("{verb} needs a credential"),
    };
    let question = "protocol=https\nhost=good.example\nusername=alice\npassword=LNYCANARY\n";
    assert_eq!(answered("store", question), (String::new(), 0));
    assert_eq!(answered("capability", ""), ("version 0\ncapability authtype\n".into(), 0));
    for unknown in ["", "approve", "GET", "--help", "get2"] {
        assert_eq!(answered(unknown, question), (String::new(), 0), "{unknown}");
        assert_eq!(HELPER.framing(&arguments(unknown)), Framing::Nothing, "stdin is left alone");
    }
    // smtp is for `git send-email`, cert for a client certificate: no credential of a git host is for them.
    for protocol in ["smtp", "cert", "ftp", "HTTPS", "https ", "file"] {
        assert_eq!(answered("get", &format!("protocol={protocol}\nhost=good.example\n")), (String::new(), 0));
    }
}

#[test]
fn questions_that_say_two_things_are_refused() {
    // CVE-2020-5260: a URL with an encoded line feed made git write a second host.
    assert_refused("protocol=https\nhost=evil.example\nhost=good.example\n", "twice");
    assert_refused("protocol=https\nhost=good.example\nprotocol=http\n", "twice");
    assert_refused("protocol=https\nhost=good.example\nsome_key=1\nsome_key=2\n", "twice");
    // CVE-2020-11008: a question without a host, or without a protocol, was answered with just any credential.
    assert_refused("protocol=https\n", "no host");
    assert_refused("protocol=https\nhost=\n", "no host");
    assert_refused("host=good.example\n", "no protocol");
    assert_refused("protocol=\nhost=good.example\n", "no protocol");
    assert_refused("url=https:///x\n", "no protocol");
    assert_refused("", "no protocol");
    // CVE-2024-50338: a helper that ends lines at a bare CR saw two hosts where git had written one.
    assert_refused("protocol=https\nhost=good.example\rhost=evil.example\n", "carriage return");
    // CVE-2024-52006: git itself lets a CR through into any value.
    assert_refused("protocol=https\rhost=good.example\nhost=evil.example\n", "carriage return");
    assert_refused("protocol=https\nhost=evil.example\npath=x\rhost=good.example\n", "carriage return");
    assert_refused("protocol=https\nhost=evil.example\nusername=a\r\rb\n", "carriage return");
    assert_refused("protocol=https\nho\rst=good.example\n", "carriage return");
    assert_refused("protocol=https\nhost=good.example\r", "carriage return");
    // CVE-2025-23040: a pattern that matches up to CR or LF, whichever comes first.
    assert_refused("protocol=https\nhost=evil.example\nwwwauth[]=Basic\rhost=good.example\n", "carriage return");
    // CVE-2024-53263: git-lfs wrote a line feed from a URL into the middle of a value.
    assert_refused("protocol=https\nhost=evil.example\npath=x\nhost=good.example\n", "twice");
    assert_refused("protocol=https\nhost=evil.example\n good.example\n", "equals sign");
    assert_refused("protocol=https\nhost=good.example\n=evil\n", "no key");
    assert_refused("protocol\nhost=good.example\n", "equals sign");
}

#[test]
fn what_looks_like_a_line_end_to_others_stays_in_the_value() {
    for sign in ["\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}", "\t", " ", "\u{1b}[0m", "%0a", "%0d", "%00"] {
        assert_not_for_us(&format!("protocol=https\nhost=good.example{sign}host=evil.example\n"));
        assert_not_for_us(&format!("protocol=https\nhost=evil.example{sign}host=good.example\n"));
        assert_not_for_us(&format!("protocol=https\nhost=good.example{sign}\n"));
        assert_not_for_us(&format!("protocol=https\nhost={sign}good.example\n"));
    }
}

#[test]
fn only_the_exact_host_is_one_that_a_credential_is_for() {
    // CVE-2024-53858: a token was handed out for the host of any submodule.
    for host in [
        "evil.example",
        "good.example.evil",
        "evilgood.example",
        "evil.good.example",
        "good.example:8443",
        "good.example:80",
        "good.example.",
        ".good.example",
        "good.example@evil.example",
        "evil.example/good.example",
        "good.example/",
        "good.example\\evil",
        "good.example%00.evil",
        "good.example#evil",
        "good.example?evil",
        "xn--good-.example",
        "good.exаmple",
        "ｇood.example",
        "*",
        // CVE-2024-50349: a host that would show another one in a prompt.
        "good.example%20evil",
        "\u{1b}]8;;good.example",
        "evil.example\u{8}\u{8}good.example",
    ] {
        assert_not_for_us(&format!("protocol=https\nhost={host}\n"));
    }
    assert_not_for_us("protocol=http\nhost=good.example\n");
    assert_not_for_us("protocol=http\nhost=good.example:443\n");
    for host in ["good.example", "GOOD.example", "good.example:443"] {
        let Ok(Ask::Get(want)) = asked("get", &format!("protocol=https\nhost={host}\n")) else { panic!("{host}") };
        let own = provider::by_name("git").unwrap().addresses(&git_login());
        assert!(own[0].covers(&want.at.unwrap()), "{host}");
    }
}

#[test]
fn each_form_is_what_the_git_that_asks_understands() {
    let plain = "protocol=https\nhost=good.example\n";
    let (old, _) = replied(plain, &git_login(), &basic("alice", TOKEN));
    assert_eq!(old, format!("username=alice\npassword={TOKEN}\n"));
    let new = format!("capability[]=authtype\n{plain}");
    let (new, _) = replied(&new, &git_login(), &basic("alice", TOKEN));
    let pair = STANDARD.encode(format!("alice:{TOKEN}"));
    assert_eq!(new, format!("capability[]=authtype\nauthtype=Basic\nephemeral=1\ncredential={pair}\n"));
    let (other, _) = replied(&format!("capability[]=state\n{plain}"), &git_login(), &basic("alice", TOKEN));
    assert_eq!(other, old, "one that knows no authtype would get no secret at all");

    let later = DateTime::from_timestamp(4_000_000_000, 0);
    let (token, _) = replied(plain, &sign_in(Some("x-access-token")), &bearer(later));
    assert_eq!(token, format!("username=x-access-token\npassword={TOKEN}\npassword_expiry_utc=4000000000\n"));
    let named = format!("{plain}username=org\n");
    assert!(replied(&named, &sign_in(None), &bearer(None)).0.starts_with("username=org\n"));
    assert!(replied(&format!("{plain}username=\n"), &sign_in(None), &bearer(None)).0.starts_with("username=oauth2\n"));
    assert!(!token.contains("oauth_refresh_token"));
}

#[test]
fn what_has_expired_is_told_and_not_handed_over() {
    let question = "protocol=https\nhost=good.example\n";
    let (stdout, reply) = replied(question, &git_login(), &Issued { expires: Some(DateTime::UNIX_EPOCH), ..bearer(None) });
    assert_eq!((stdout.as_str(), reply.code), ("", 0));
    assert!(reply.talk.unwrap().contains("`lanyard credentials update mine`"));
}

#[test]
fn a_value_that_would_steer_the_next_helper_is_never_written() {
    let question = "protocol=https\nhost=good.example\n";
    for issued in [
        basic("alice\nhost=evil.example", TOKEN),
        basic("alice\rhost=evil.example", TOKEN),
        basic("alice\0", TOKEN),
        basic("alice", "LNYCANARY\nquit=1"),
        basic("alice", "LNYCANARY\r"),
        Issued::lasting(Material::Bearer(Secret::new("LNYCANARY\n".into()))),
        Issued::lasting(Material::Variables(Vec::new())),
    ] {
        for question in [question.to_owned(), format!("capability[]=authtype\n{question}")] {
            let (stdout, reply) = replied(&question, &git_login(), &issued);
            assert_eq!((stdout.as_str(), reply.code), ("", 1), "{issued:?}");
            let talk = reply.talk.unwrap();
            assert!(talk.contains("cannot be written") && !talk.contains("LNYCANARY") && !talk.contains("evil"));
        }
    }
}

#[test]
fn a_no_keeps_git_from_asking_instead_and_a_failure_does_not() {
    use crate::secret::StoreError;
    use crate::vault::VaultError;
    let text = "protocol=https\nhost=good.example\n";
    let arguments = arguments("get");
    let env = Env::empty();
    let call = Call { arguments: &arguments, text, env: &env };
    let interrupted = VaultError::Root { cause: StoreError::Interrupted, making: false };
    assert_eq!(interrupted.code(), Code::Interrupted);
    assert_eq!(&**HELPER.reply(&call, &Answer::Failed(&interrupted)).stdout, b"quit=1\n");
    let several = VaultError::Several { names: vec!["one".into(), "two".into()] };
    for answer in [Answer::Failed(&several), Answer::Missing, Answer::Done] {
        let reply = HELPER.reply(&call, &answer);
        assert_eq!((reply.stdout.len(), reply.code), (0, 0));
    }
    assert!(HELPER.reply(&call, &Answer::Failed(&several)).talk.unwrap().contains("https://USER@HOST/"));
}

#[test]
fn the_secret_that_did_not_work_is_read_in_each_form() {
    let secret = |more: &str| match asked("erase", &format!("protocol=https\nhost=good.example\n{more}")) {
        Ok(Ask::Refused { secret, .. }) => secret.map(|secret| secret.expose().to_owned()),
        _ => panic!("nothing is refused"),
    };
    let pair = STANDARD.encode("alice:pass:word");
    assert_eq!(secret("username=alice\npassword=pass:word\n").as_deref(), Some("pass:word"));
    assert_eq!(secret(&format!("authtype=Basic\ncredential={pair}\n")).as_deref(), Some("pass:word"));
    assert_eq!(secret("authtype=Bearer\ncredential=abc\n").as_deref(), Some("abc"));
    assert_eq!(secret("authtype=basic\ncredential=no base64\n"), None);
    assert_eq!(secret(""), None);
}

/// Keys and values that git can write, each key once.
fn lines() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z_]{1,12}", "[^\r\n\0]{0,40}", 0..8)
}

proptest! {
    #[test]
    fn any_text_is_a_question_or_refused(text in "(?s).{0,200}") {
        if let Ok(question) = Question::parse(&text) {
            let held = [question.host, question.protocol, question.path, question.username, question.password];
            for value in held.into_iter().flatten() {
                prop_assert!(!value.contains(['\n', '\r']));
            }
            prop_assert!(question.host.is_some_and(|host| !host.is_empty()));
        }
    }

    #[test]
    fn lines_with_the_usual_signs_are_a_question_or_refused(text in "((protocol|host|username|path|x\\[\\])?=?(https|a\\.b|\r|\n|\r\n|=)){0,12}") {
        if let Ok(question) = Question::parse(&text) {
            prop_assert_eq!(text.matches("host=").count() >= 1, question.host.is_some());
            prop_assert!(!text.replace("\r\n", "\n").contains('\r'));
        }
    }

    #[test]
    fn what_git_writes_comes_back_as_it_was(mut lines in lines(), host in "[a-z.]{1,20}(:[0-9]{1,5})?") {
        lines.insert("protocol".into(), "https".into());
        lines.insert("host".into(), host);
        let text = lines.iter().map(|(key, value)| [key, "=", value, "\n"].concat()).collect::<Vec<_>>().concat();
        let question = Question::parse(&text).unwrap();
        prop_assert_eq!(question.host, lines.get("host").map(String::as_str));
        prop_assert_eq!(question.path, lines.get("path").map(String::as_str));
        prop_assert_eq!(question.username, lines.get("username").map(String::as_str));
        prop_assert_eq!(question.password, lines.get("password").map(String::as_str));
        // Wherever another host is put in, with whatever line end, it does not take this one's place.
        let keys: BTreeSet<&String> = lines.keys().collect();
        for (at, _) in text.match_indices('\n') {
            for end in ["\n", "\r", "\r\n"] {
                let injected = format!("{}{end}host=other.example{}", &text[..at], &text[at..]);
                prop_assert!(Question::parse(&injected).is_err(), "{:?} {:?}", injected, keys);
            }
        }
    }

    #[test]
    fn every_answer_is_lines_with_one_key_each(user in "\\PC{0,20}", password in "(?s).{0,40}", knows: bool) {
        let question = if knows { "capability[]=authtype\n" } else { "" };
        let question = format!("{question}protocol=https\nhost=good.example\n");
        let (stdout, reply) = replied(&question, &git_login(), &basic(&user, &password));
        if reply.code == 0 {
            let keys: Vec<&str> = stdout.lines().map(|line| line.split_once('=').unwrap().0).collect();
            let expected: &[&str] = if knows && !user.contains(':') {
                &["capability[]", "authtype", "ephemeral", "credential"]
            } else {
                &["username", "password"]
            };
            prop_assert_eq!(keys, expected);
            prop_assert!(stdout.ends_with('\n') && !stdout.contains('\r'));
        } else {
            prop_assert_eq!(stdout, "");
        }
    }
}
