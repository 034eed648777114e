//! Tests of foreign files: broken ones are told by line, none makes the reader fall over.

use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::os::Env;

type Wrong = fn(&Foreign) -> ProviderError;

fn read(content: &[u8]) -> Result<Foreign, ProviderError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::File::create(&path).unwrap().write_all(content).unwrap();
    let env = Env::invented(&folder.path().join("config"), folder.path(), &[]);
    let here = Here { env: &env, given: &BTreeMap::new() };
    assert!(Foreign::read(&here, &folder.path().join("missing"), "test file").unwrap().is_none());
    Foreign::read(&here, &path, "test file").map(Option::unwrap)
}

fn ini(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let values = |section: Section| section.iter().map(|(name, value)| (name.clone(), value.expose().into())).collect();
    Ini::parse(text).unwrap().into_sections().into_iter().map(|(name, section)| (name, values(section))).collect()
}

fn one(value: &str) -> String {
    ini(&format!("a = {value}"))[0].1[0].1.clone()
}

#[test]
fn a_broken_file_is_told_by_name_and_line_and_never_quoted() {
    let text = |content: &[u8], wrong: Wrong| match read(content) {
        Ok(file) => wrong(&file).to_string(),
        Err(failure) => failure.to_string(),
    };
    let cases: [(&[u8], Wrong, &str); 5] = [
        (
            b"a = 1\nb = SECRET\n",
            |file| file.toml::<toml::Table>().unwrap_err(),
            "line 2 is no TOML of the expected form",
        ),
        (b"{\"a\":\n\"SECRET}", |file| file.json::<Vec<u8>>().unwrap_err(), "the JSON"),
        (b"a: b\n\tc: SECRET\n", |file| file.yaml::<Vec<u8>>().unwrap_err(), "is no YAML of the expected form"),
        (b"[a]\nb = c\nSECRET\n", |file| file.ini().unwrap_err(), "line 3 is neither [section] nor name = value"),
        (b"a = b\nSECRET \xff\n", |_| unreachable!(), "line 2 is no UTF-8 text"),
    ];
    for (content, wrong, expected) in cases {
        let said = text(content, wrong);
        assert!(said.starts_with("~/file is no usable test file: ") && said.contains(expected), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
    }
}

#[test]
fn a_byte_order_mark_does_not_count() {
    assert_eq!(read(b"\xef\xbb\xbf{}").unwrap().json::<BTreeMap<String, u8>>().unwrap(), BTreeMap::new());
    assert!(read(b"\xef\xbb\xbf \n").unwrap().is_blank());
}

#[test]
fn ini_is_read_as_its_tools_read_it() {
    let text = "\u{20}; a comment\nBefore = x\n[ovh-eu] # more\n  Application_Key: AK\nconsumer_key=C=K;x # end\n\n\
                [other]\n[ovh-eu]\nconsumer_key = 'later'\n";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        ini(text),
        [
            (String::new(), vec![pair("before", "x")]),
            ("ovh-eu".into(), vec![pair("application_key", "AK"), pair("consumer_key", "later")]),
            ("other".into(), vec![]),
        ]
    );
    let values = [
        ("plain", "plain"),
        ("a;b#c", "a;b#c"),
        ("a ;b", "a"),
        ("\"q # s\" ; c", "q # s"),
        ("`b`", "b"),
        ("", ""),
        ("# nothing", ""),
        ("'open", "'open"),
        ("\"a\" b", "\"a\" b"),
        ("é", "é"),
    ];
    for (written, read) in values {
        assert_eq!(one(written), read, "{written}");
    }
    for (text, line) in [("[a\n", 1), ("\n[a] b\n", 2), ("= x", 1), ("word", 1)] {
        assert_eq!(Ini::parse(text).unwrap_err().0, line, "{text}");
    }
}

#[test]
fn a_value_that_could_be_read_as_another_is_not_written() {
    for value in ["", "a b", "a;b", "a#b", "\"a\"", "`a`", "a\\", "a\nb", "é"] {
        assert!(Ini::write("s", &[("name", value)]).is_none(), "{value}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_fall_over(text in "(?s).{0,200}") {
        let _ = Ini::parse(&text);
        let file = read(text.as_bytes()).unwrap();
        let _ = (file.toml::<toml::Table>(), file.json::<u8>(), file.yaml::<BTreeMap<String, String>>(), file.ini());
    }

    #[test]
    fn nor_do_lines_that_look_right(lines in proptest::collection::vec("[\\[\\]=:#;\"'` a-c]{0,12}", 0..12)) {
        let _ = Ini::parse(&lines.join("\n"));
    }

    #[test]
    fn what_is_written_is_read_back(section in "[a-z][a-z0-9-]{0,12}", value in "[!-~]{1,40}") {
        if let Some(text) = Ini::write(&section, &[("name", &value), ("other", "x")]) {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            prop_assert_eq!(ini(text.expose()), [(section, vec![pair("name", &value), pair("other", "x")])]);
        }
    }
}
