//! Tests of credentials, and one for the tests of others.

use std::collections::BTreeSet;

use super::*;

/// A credential that is stored nowhere, with these values.
pub(crate) fn credential(name: &str, fields: Fields) -> Credential {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let Fields { kind, plain, secrets } = fields;
    let metadata = Metadata {
        id: "cred_test".into(),
        name: name.to_owned(),
        kind,
        scope: Scope::Organization,
        fields: plain,
        secret_names: secrets.keys().cloned().collect(),
        created: at,
        updated: at,
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

const NAMED: &[Field] = &[
    Field::plain("region", "Region").checked(rules::line, "eu-west-1"),
    Field::identifier("key_id", "Key id"),
    Field::secret("api_token", "API token"),
    Field::secret("note", "Note").checked(rules::text, "two\nlines").multiline().optional(),
];
static KIND: Kind = Kind::new("test", "test key", "test", NAMED);
static RENEWED: Kind = Kind::new("test_renewed", "test sign-in", "test", NAMED).renews_itself();
static OPEN: Kind =
    Kind::new("test_open", "test set", "test", &[]).open(|name| if name == "bad" { Err("it is bad") } else { Ok(()) });

fn raw(values: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    raw
}

fn whole() -> Vec<(&'static str, &'static str)> {
    vec![("region", "eu-west-1"), ("key_id", "AKIA1"), ("api_token", "LNYCANARY0123")]
}

#[test]
fn fields_are_taken_apart_by_class() {
    let mut values = whole();
    values.push(("note", "a\nb"));
    let fields = Fields::parse(&KIND, raw(&values)).unwrap();
    assert_eq!(fields.plain.keys().collect::<Vec<_>>(), ["key_id", "region"]);
    assert_eq!(fields.secrets.keys().collect::<Vec<_>>(), ["api_token", "note"]);
    assert_eq!(fields.secrets["note"].expose(), "a\nb");
    let open = Fields::parse(&OPEN, raw(&[("A", ""), ("b", "x")])).unwrap();
    assert!(open.plain.is_empty() && open.secrets.len() == 2, "names of the user's own are secret");
    let shown = format!("{fields:?} {open:?} {:?}", credential("x", Fields::parse(&KIND, raw(&whole())).unwrap()));
    assert!(!shown.contains("LNYCANARY"), "{shown}");
}

#[test]
fn values_that_are_no_credential_are_told_by_name_and_never_quoted() {
    let told = |kind: &'static Kind, values: &[(&str, &str)]| {
        let failure = Fields::parse(kind, raw(values)).unwrap_err();
        let shown = format!("{failure:?}{failure}");
        assert!(!shown.contains("LNYCANARY"), "{shown}");
        assert_eq!(crate::error::Failure::code(&failure), crate::error::Code::Usage);
        (failure.to_string(), crate::error::Failure::mend(&failure).unwrap())
    };
    let with = |extra: (&'static str, &'static str)| {
        let mut values = whole();
        values.retain(|(name, _)| *name != extra.0);
        values.push(extra);
        values
    };
    let (what, mend) = told(&KIND, &[("region", "x"), ("key_id", "LNYCANARY")]);
    assert_eq!(what, "the test key lacks api_token");
    assert_eq!(mend, "give --api-token VALUE, --api-token - (from stdin) or --api-token @FILE");
    let (what, mend) = told(&KIND, &with(("api_tokn", "LNYCANARY")));
    assert_eq!((what.as_str(), mend.as_str()), ("the test key has no field api_tokn", "did you mean api_token?"));
    assert!(told(&KIND, &with(("zebra", "x"))).1.contains("lanyard credentials store --help"));
    for bad in ["LNYCANARY x", "LNYCANARY\n", "LNYCANARYé", ""] {
        let (what, mend) = told(&KIND, &with(("api_token", bad)));
        assert!(what.starts_with("api_token of the test key is malformed: "), "{what}");
        assert_eq!(mend, "copy api_token again, alone and whole");
    }
    assert_eq!(told(&OPEN, &[("bad", "LNYCANARY")]).0, "bad cannot be used as a name: it is bad");
    assert_eq!(told(&OPEN, &[]).0, "the test set has no values");
}

#[test]
fn raw_values_are_filled_where_there_is_none() {
    let mut values = raw(&[("a", "1")]);
    values.fill("a", Secret::new("2".into())).fill("b", Secret::new("3".into()));
    values.fill_from(raw(&[("b", "4"), ("c", "5")]));
    let seen: Vec<_> = ["a", "b", "c"].map(|name| values.get(name).unwrap().expose().to_owned()).into();
    assert_eq!(seen, ["1", "3", "5"]);
    assert_eq!(values.take("a").unwrap().expose(), "1");
    assert!(!values.has("a") && !values.is_empty() && Raw::new().is_empty());
    assert_eq!(raw(&[("region", "x")]).missing(&KIND), ["key_id", "api_token"]);
}

#[test]
fn the_status_follows_from_the_dates_and_what_was_said() {
    use Check::{Expired, Insufficient, Invalid, Never, Valid};
    let at = |days: i64| DateTime::from_timestamp(1_800_000_000, 0).unwrap() + Duration::days(days);
    let status = |kind: &'static Kind, life: Option<(i64, i64)>, check: Check| {
        let mut metadata = credential("x", Fields::parse(kind, raw(&whole())).unwrap()).metadata;
        metadata.updated = at(life.map_or(0, |(since, _)| since));
        metadata.expires = life.map(|(_, until)| at(until));
        metadata.check = check;
        metadata.status(at(0))
    };
    for (life, check, expected) in [
        (None, Never, Status::Unverified),
        (None, Valid, Status::Active),
        (None, Insufficient, Status::Active),
        (None, Invalid, Status::NeedsAttention),
        (None, Expired, Status::Expired),
        (Some((-10, 90)), Valid, Status::Active),
        (Some((-10, 90)), Never, Status::Unverified),
        (Some((-90, 8)), Valid, Status::Active),
        (Some((-90, 7)), Valid, Status::ExpiresSoon),
        (Some((-90, 7)), Never, Status::ExpiresSoon),
        (Some((-90, 7)), Invalid, Status::NeedsAttention),
        (Some((-90, 0)), Valid, Status::Expired),
        (Some((-90, -1)), Invalid, Status::Expired),
        // Stored when it had little time left, and one that is made for a day.
        (Some((-2, 8)), Valid, Status::Active),
        (Some((0, 4)), Valid, Status::ExpiresSoon),
        (Some((0, 1)), Valid, Status::Active),
        // A clock that was set back.
        (Some((10, 5)), Valid, Status::Active),
    ] {
        assert_eq!(status(&KIND, life, check), expected, "{life:?} {check:?}");
    }
    for (life, check, expected) in [
        (Some((-90, -1)), Valid, Status::Active),
        (Some((-90, 1)), Never, Status::Unverified),
        (Some((-90, 1)), Expired, Status::Expired),
        (None, Invalid, Status::NeedsAttention),
    ] {
        assert_eq!(status(&RENEWED, life, check), expected, "{life:?} {check:?}: it renews itself");
    }
}

#[test]
fn words_are_read_back() {
    for check in [Check::Never, Check::Valid, Check::Insufficient, Check::Invalid, Check::Expired] {
        assert_eq!(Check::from_word(check.word()), check);
    }
    assert_eq!(Check::from_word("of a newer lanyard"), Check::Never);
    let flags: BTreeSet<String> = Status::ALL.into_iter().map(Status::flag).collect();
    assert_eq!(flags.len(), Status::ALL.len());
    assert!(flags.iter().all(|flag| !flag.contains(' ')));
}

#[test]
fn a_search_looks_at_what_a_list_shows_and_at_no_secret() {
    let mut metadata = credential("Deploy-Key", Fields::parse(&KIND, raw(&whole())).unwrap()).metadata;
    metadata.tags.insert("prod".into());
    metadata.note = "Für Ärzte".into();
    for word in ["deploy", "KEY", "test", "PROD", "ärzte", "eu-west", "akia1", ""] {
        assert!(metadata.mentions(word), "{word}");
    }
    for word in ["LNYCANARY", "api_token", "nothing"] {
        assert!(!metadata.mentions(word), "{word}");
    }
    assert_eq!(metadata.service(), "test");
    metadata.fields.insert("service".into(), "github".into());
    assert_eq!(metadata.service(), "github");
    assert_eq!(
        (Scope::Organization.to_string(), Scope::Project("p".into()).to_string()),
        ("organization".into(), "project p".into())
    );
}

#[test]
fn rules_refuse_what_would_break_a_header_a_file_or_a_shell() {
    let long = "x".repeat(rules::LONGEST + 1);
    let table: [(&str, Rule, &[&str], &[&str]); 6] = [
        ("token", rules::token, &["a", "a-b_c.d~", "!\"#$%&'"], &["", " ", "a b", "a\n", "é", "\u{7f}", &long]),
        ("line", rules::line, &["a b", "é", " a "], &["", " ", "a\nb", "\t", "\u{1b}[2J", "\u{85}", &long]),
        ("password", rules::password, &[" ", "a b", "é"], &["", "a\nb", "\0", &long]),
        ("text", rules::text, &["a\nb\t", &long], &["", " \n", "a\0b"]),
        (
            "url",
            rules::url,
            &["https://h.example/x", "http://127.0.0.1:1"],
            &["", "h.example", "http://h.example", "file:///x", "https://"],
        ),
        ("host", rules::host, &["h.example", "h:8080", "[::1]:5"], &["", "h/x", "a b", "h\n", "user@h"]),
    ];
    for (name, rule, good, bad) in table {
        for value in good {
            assert!(rule(value).is_ok(), "{name} takes {value:?}");
        }
        for value in bad {
            let problem = rule(value).expect_err(name);
            assert!(problem.starts_with("it "), "{name} {value:?}: {problem}");
        }
    }
}

#[test]
fn material_becomes_a_header_or_none() {
    let secret = |text: &str| Secret::new(text.into());
    let header = |material: &Material| material.header().map(|(name, value)| format!("{name}: {}", value.expose()));
    assert_eq!(header(&Material::Bearer(secret("t"))).unwrap(), "authorization: Bearer t");
    let basic = Material::Basic { username: "Aladdin".into(), password: secret("open sesame") };
    assert_eq!(header(&basic).unwrap(), "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(header(&Material::Header { name: "x-key", value: secret("v") }).unwrap(), "x-key: v");
    let keys =
        Material::AwsKeys { access_key_id: "A".into(), secret_access_key: secret("LNYCANARY"), session_token: None };
    let file = Material::File { name: "f".into(), content: Content::Base64(secret("TE5ZQ0FOQVJZ")) };
    let variables = Material::Variables(vec![("A".into(), secret("LNYCANARY"))]);
    for material in [keys, file, variables] {
        assert!(material.header().is_none());
        let shown = format!("{material:?}");
        assert!(!shown.contains("LNYCANARY") && !shown.contains("TE5ZQ0FOQVJZ"), "{shown}");
    }
    assert_eq!(&*Content::Base64(secret("TE5Z")).bytes().unwrap(), b"LNY");
    assert!(Content::Base64(secret("?")).bytes().is_none());
    assert_eq!(&*Content::Text(secret("é")).bytes().unwrap(), "é".as_bytes());
}
