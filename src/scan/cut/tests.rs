//! Every format: what goes, what stays, what is refused; and that nothing but pieces of the text ever goes.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "s3cr3t-VALUE-0123";
const HALF: &str = "KEYID0123";

fn unwanted(secret: &str) -> Unwanted {
    Unwanted { secrets: vec![Zeroizing::new(secret.to_owned())], identifiers: vec![HALF.to_owned()] }
}

fn cut(format: Format, text: &str) -> Result<Option<String>, &'static str> {
    without(format, text, &unwanted(SECRET)).map(|rest| rest.map(|rest| rest.to_string()))
}

fn cuts(format: Format, text: &str, rest: &str) {
    assert_eq!(cut(format, text), Ok(Some(rest.to_owned())), "{text}");
}

#[test]
fn a_line_of_an_env_file_goes_and_the_others_stay() {
    let text = "# app\nA=1\r\nexport KEY_ID=KEYID0123\nTOKEN='s3cr3t-VALUE-0123' # mine\n\nB=2";
    cuts(Format::Dotenv, text, "# app\nA=1\r\n\nB=2");
    cuts(Format::Dotenv, "A=s3cr3t-VALUE-0123\nB=\"s3cr3t-VALUE-0123\"\n", "");
    assert_eq!(cut(Format::Dotenv, "A=1\nKEY_ID=KEYID0123\n"), Ok(None), "a public half alone is no secret");
    for woven in ["URL=https://s3cr3t-VALUE-0123@host\n", "# TOKEN=s3cr3t-VALUE-0123\n", "A='s3cr3t-VALUE-0123' cmd\n"]
    {
        assert!(cut(Format::Dotenv, woven).is_err(), "{woven}");
    }
}

#[test]
fn of_a_shell_file_the_value_alone_goes() {
    let text = "if true; then\n  export TOKEN=\"s3cr3t-VALUE-0123\"\nfi\nPATH=/x:$PATH\n";
    cuts(Format::Shell, text, "if true; then\n  export TOKEN=\nfi\nPATH=/x:$PATH\n");
    assert!(cut(Format::Shell, "TOKEN=s3cr3t-VALUE-0123 cmd\n").is_err());
    assert!(cut(Format::Shell, "curl -H s3cr3t-VALUE-0123\n").is_err());
}

#[test]
fn an_entry_of_a_section_goes_and_an_empty_section_with_it() {
    let text = "[default]\naws_access_key_id = KEYID0123\naws_secret_access_key = s3cr3t-VALUE-0123\n\n\
                [other]\nregion=eu\naws_secret_access_key=s3cr3t-VALUE-0123\n; note\n[third]\naws_access_key_id = KEYID0123\n";
    cuts(Format::Ini, text, "\n[other]\nregion=eu\n; note\n[third]\naws_access_key_id = KEYID0123\n");
    cuts(Format::Ini, "//registry.example/:_authToken=s3cr3t-VALUE-0123\nsave=true\n", "save=true\n");
    cuts(Format::Ini, "[pypi]\nusername: u\npassword: s3cr3t-VALUE-0123\n", "[pypi]\nusername: u\n");
    cuts(Format::Ini, "[x]\n\ta = \"s3cr3t-VALUE-0123\"\n\tb = 1\n", "[x]\n\tb = 1\n");
    // user:s3cr3t-VALUE-0123
    cuts(Format::Ini, "_auth=dXNlcjpzM2NyM3QtVkFMVUUtMDEyMw==\na=b\n", "a=b\n");
    for woven in ["[x]\na = s3cr3t-VALUE-0123\n  more\n", "[x]\na = b s3cr3t-VALUE-0123\n", "# s3cr3t-VALUE-0123\n"] {
        assert!(cut(Format::Ini, woven).is_err(), "{woven}");
    }
}

#[test]
fn a_member_of_an_object_goes_with_its_comma() {
    for (text, rest) in [
        (r#"{"a": 1, "t": "s3cr3t-VALUE-0123", "b": 2}"#, r#"{"a": 1, "b": 2}"#),
        (r#"{"a": 1, "t": "s3cr3t-VALUE-0123"}"#, r#"{"a": 1}"#),
        (r#"{"t": "s3cr3t-VALUE-0123", "b": [1.5e3, null]}"#, r#"{"b": [1.5e3, null]}"#),
        (r#"{"t": "s3cr3t-VALUE-0123"}"#, "{}"),
        ("{\n  \"t\": \"s3cr3t\\u002dVALUE-0123\"\n}\n", "{\n  \n}\n"),
        (
            // user:s3cr3t-VALUE-0123
            r#"{"auths": {"x": {"auth": "dXNlcjpzM2NyM3QtVkFMVUUtMDEyMw=="}, "y": {}}, "z": true}"#,
            r#"{"auths": {"y": {}}, "z": true}"#,
        ),
        (r#"{"l": [{"t": "s3cr3t-VALUE-0123", "u": 1}]}"#, r#"{"l": [{"u": 1}]}"#),
    ] {
        cuts(Format::Json, text, rest);
    }
    for woven in [
        r#"["s3cr3t-VALUE-0123"]"#,
        r#"{"a": "x s3cr3t-VALUE-0123"}"#,
        r#"{"s3cr3t-VALUE-0123": 1}"#,
        "{\"t\": \"s3cr3t-VALUE-0123\",}",
        "// c\n{\"t\": \"s3cr3t-VALUE-0123\"}",
    ] {
        assert!(cut(Format::Json, woven).is_err(), "{woven}");
    }
}

#[test]
fn an_entry_of_toml_goes_where_it_has_its_lines_to_itself() {
    cuts(
        Format::Toml,
        "a = 1 # one\n[[contexts]]\nname = \"x\"\ntoken = \"s3cr3t-VALUE-0123\" # mine\n[b]\nc = 2\n",
        "a = 1 # one\n[[contexts]]\nname = \"x\"\n[b]\nc = 2\n",
    );
    cuts(Format::Toml, "[a]\nt = '''\ns3cr3t-VALUE-0123'''\nb = 1\n", "[a]\nb = 1\n");
    for woven in ["a = { t = \"s3cr3t-VALUE-0123\" }\n", "a = [\"s3cr3t-VALUE-0123\"]\n", "a = s3cr3t\n", "[a\n"] {
        assert!(cut(Format::Toml, woven).is_err(), "{woven}");
    }
}

#[test]
fn an_entry_of_yaml_goes_where_nothing_hangs_on_it() {
    let text = "# gh\ngithub.com:\n    users:\n        ann:\n            oauth_token: s3cr3t-VALUE-0123\n    user: ann\n    \
                oauth_token: \"s3cr3t-VALUE-0123\"\n";
    cuts(Format::Yaml, text, "# gh\ngithub.com:\n    users:\n        ann:\n    user: ann\n");
    cuts(Format::Yaml, "a: 1\ntoken: 's3cr3t-VALUE-0123'\n", "a: 1\n");
    for woven in [
        "a: {t: s3cr3t-VALUE-0123}\n",
        "- s3cr3t-VALUE-0123\n",
        "- t: s3cr3t-VALUE-0123\n  u: 1\n",
        "t: &x s3cr3t-VALUE-0123\nu: *x\n",
        "a: |\n  t: s3cr3t-VALUE-0123\n",
        "t: s3cr3t-VALUE-0123\n---\na: 1\n",
        "t: s3cr3t-VALUE-0123\n  more\n",
        "t: s3cr3t-VALUE-0123\na: [\n",
    ] {
        assert!(cut(Format::Yaml, woven).is_err(), "{woven}");
    }
}

#[test]
fn an_entry_of_netrc_goes_up_to_the_next_one() {
    let text = "# mine\nmachine a.example\n  login u\n  password s3cr3t-VALUE-0123\n\n\
                machine b.example login u password other\ndefault login x password y\n";
    cuts(Format::Netrc, text, "# mine\n\nmachine b.example login u password other\ndefault login x password y\n");
    cuts(
        Format::Netrc,
        "machine a login u password s3cr3t-VALUE-0123 machine b login u password p\n",
        "machine b login u password p\n",
    );
    cuts(
        Format::Netrc,
        "machine b login password password \"p q\" machine a password \"s3cr3t-VALUE-0123\"\n",
        "machine b login password password \"p q\" \n",
    );
    let macros = "machine a login u password s3cr3t-VALUE-0123\nmacdef init\ncd /\n\n";
    assert!(cut(Format::Netrc, macros).is_err());
    assert!(cut(Format::Netrc, "machine a passwort s3cr3t-VALUE-0123\n").is_err());
}

#[test]
fn a_line_of_gits_store_goes() {
    let text = "https://u:other@a.example\nhttps://u:s3cr3t%2DVALUE-0123@b.example\n";
    cuts_decoded(text, "https://u:other@a.example\n");
}

fn cuts_decoded(text: &str, rest: &str) {
    assert_eq!(cut(Format::GitCredentials, text), Ok(Some(rest.to_owned())));
}

#[test]
fn the_name_of_a_file_tells_its_format() {
    let of = |path: &str, text: &str| Format::of(Path::new(path), text);
    for (path, text, format) in [
        ("/h/.netrc", "", Some(Format::Netrc)),
        ("/h/.git-credentials", "", Some(Format::GitCredentials)),
        ("/h/.config/git/credentials", "", Some(Format::GitCredentials)),
        ("/h/.aws/credentials", "[default]\n", Some(Format::Ini)),
        ("/h/.cargo/credentials", "", Some(Format::Toml)),
        ("/h/.docker/config.json", "{}", Some(Format::Json)),
        ("/h/.dockercfg", "{}", Some(Format::Json)),
        ("/h/.config/hcloud/cli.toml", "", Some(Format::Toml)),
        ("/h/app/.env.local", "", Some(Format::Dotenv)),
        ("/h/.zshrc", "", Some(Format::Shell)),
        ("/h/.npmrc", "", Some(Format::Ini)),
        ("/h/notes.txt", "", None),
        ("/h/.aws/config", "# mine\n\n[default]\n", Some(Format::Ini)),
        ("/h/.kube/config", "apiVersion: v1\n", None),
        ("/h/.config/gh/hosts.yml", "", Some(Format::Yaml)),
        ("/h/main.rs", "fn main() {}", None),
    ] {
        assert_eq!(of(path, text), format, "{path}");
    }
}

const ALL: [Format; 8] = [
    Format::Yaml,
    Format::Dotenv,
    Format::Shell,
    Format::Ini,
    Format::Json,
    Format::Toml,
    Format::Netrc,
    Format::GitCredentials,
];

/// Whether `rest` is `text` with some of its bytes left out.
fn is_what_is_left(rest: &str, text: &str) -> bool {
    let mut all = text.bytes();
    rest.bytes().all(|byte| all.any(|other| other == byte))
}

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_nothing_is_added(format in any_format(), text in any::<String>(), secret in "[a-c]{1,2}") {
        if let Ok(Some(rest)) = without(format, &text, &unwanted(&secret)) {
            prop_assert!(is_what_is_left(&rest, &text) && !rest.contains(secret.as_str()));
        }
    }

    #[test]
    fn texts_of_the_formats_own_characters_are_cut_or_refused(
        format in any_format(),
        text in "([{}\\[\\]\",:= \n'#a-b\\\\]|machine |password |login |https://|@){0,60}",
        secret in "[a-b]{1,3}",
    ) {
        if let Ok(Some(rest)) = without(format, &text, &unwanted(&secret)) {
            prop_assert!(is_what_is_left(&rest, &text) && !rest.contains(secret.as_str()));
        }
    }

    #[test]
    fn every_other_line_of_an_env_file_stays(
        before in "([A-Z]{1,5}=[a-z0-9 ]{0,9}\r?\n|#[ -~&&[^\"'`]]{0,20}\n|\n){0,6}",
        after in "([A-Z]{1,5}=[a-z0-9 ]{0,9}\r?\n|#[ -~&&[^\"'`]]{0,20}\n|\n){0,6}",
        secret in "[A-Za-z0-9/+]{12,40}",
        quote in prop::sample::select(vec!["", "'", "\""]),
    ) {
        let text = format!("{before}SECRET={quote}{secret}{quote}\n{after}");
        prop_assume!(!before.contains(&secret) && !after.contains(&secret));
        let rest = without(Format::Dotenv, &text, &unwanted(&secret)).unwrap().unwrap();
        prop_assert_eq!(rest.as_str(), format!("{before}{after}"));
    }

    #[test]
    fn every_other_member_of_json_stays(
        secret in "[ -~]{12,40}",
        others in prop::collection::btree_map("[a-m]{1,5}", "[^\u{0}]{0,8}", 0..5),
        at in "[a-m]{1,5}n",
    ) {
        prop_assume!(!secret.trim().is_empty() && secret.trim() == secret && basic_pair(&secret).is_none());
        prop_assume!(others.values().all(|other| other.trim() != secret));
        let mut all: std::collections::BTreeMap<String, String> = others.clone();
        all.insert(at, secret.clone());
        let text = serde_json::to_string_pretty(&serde_json::json!({ "outer": all, "last": [1, {}] })).unwrap();
        let rest = without(Format::Json, &text, &unwanted(&secret)).unwrap().unwrap();
        let read: serde_json::Value = serde_json::from_str(&rest).unwrap();
        let expected = if others.is_empty() {
            serde_json::json!({ "last": [1, {}] })
        } else {
            serde_json::json!({ "outer": others, "last": [1, {}] })
        };
        prop_assert_eq!(read, expected);
    }
}
