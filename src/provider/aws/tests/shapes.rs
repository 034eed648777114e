//! Fields, names, hosts, and the forms in which keys are handed over.

use super::*;
use crate::credential::Kind;

fn here_with<T>(variables: &[(&str, &str)], look: impl FnOnce(&Here<'_>) -> T) -> T {
    let (env, given) = (nowhere(variables), BTreeMap::new());
    look(&Here { env: &env, given: &given })
}

fn raw(values: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    raw
}

#[test]
fn every_example_passes_its_own_check() {
    for field in PROVIDER.kinds().iter().flat_map(|kind: &Kind| kind.fields) {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
}

#[test]
fn what_is_plainly_something_else_is_refused() {
    let field = |kind_id, name| kind(kind_id).field(name).unwrap();
    for (kind_id, name, value) in [
        (STATIC, "access_key_id", SECRET),
        (STATIC, "access_key_id", "AKIA"),
        (STATIC, "secret_access_key", ID),
        (STATIC, "secret_access_key", "two words"),
        (STATIC, "expires_at", "tomorrow"),
        (STATIC, "region", "evil.example/"),
        (STATIC, "endpoint", "http://sts.example"),
        (ROLE, "role_arn", "deploy"),
        (ROLE, "role_arn", "arn:aws:iam::123456789012:user/alice"),
        (ROLE, "duration", "60"),
        (ROLE, "duration", "an hour"),
        (ROLE, "session_name", "a b"),
    ] {
        assert!((field(kind_id, name).check)(value).is_err(), "{name}: {value}");
    }
}

#[test]
fn the_values_choose_the_kind_and_the_surroundings_the_region() {
    here_with(&[("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "us-east-2")], |here| {
        let mut keys = raw(&[("access_key_id", ID), ("secret_access_key", SECRET)]);
        assert_eq!(PROVIDER.complete(&mut keys, here).unwrap().id, STATIC);
        assert_eq!(keys.get("region").unwrap().expose(), "eu-west-1");
        let mut role = raw(&[("role_arn", "arn:aws:iam::1:role/x"), ("region", "ap-south-1")]);
        assert!(PROVIDER.is_told(&role), "the keys on this machine are none of the role's");
        assert_eq!(PROVIDER.complete(&mut role, here).unwrap().id, ROLE);
        assert_eq!(role.get("region").unwrap().expose(), "ap-south-1");
    });
    here_with(&[], |here| {
        let mut nothing = Raw::new();
        assert_eq!(PROVIDER.complete(&mut nothing, here).unwrap().id, STATIC);
        assert!(nothing.is_empty() && !PROVIDER.is_told(&nothing));
        let mut half = raw(&[("access_key_id", "ASIAIOSFODNN7EXAMPLE"), ("secret_access_key", SECRET)]);
        let failure = PROVIDER.complete(&mut half, here).unwrap_err();
        assert!(failure.mend().unwrap().contains("--session-token"), "{failure}");
    });
}

#[test]
fn a_credential_is_named_after_the_role_or_the_provider() {
    let name = |credential: Credential| {
        let fields =
            Fields { kind: credential.metadata.kind, plain: credential.metadata.fields, secrets: credential.secrets };
        (PROVIDER.default_name(&fields), PROVIDER.expires(&fields).map(|at| at.timestamp()))
    };
    assert_eq!(name(lasting(&[])), ("aws".into(), None));
    assert_eq!(name(lasting(&[("expires_at", "2026-03-01T13:00:00+01:00")])), ("aws".into(), Some(1_772_366_400)));
    assert_eq!(name(role(&[])), ("deploy".into(), None));
    let deep = of(ROLE, "x", &[("role_arn", "arn:aws:iam::1:role/team/build"), ("source", "base")]);
    assert_eq!(name(deep), ("build".into(), None));
}

#[test]
fn the_hosts_are_those_of_the_region_or_the_credentials_own() {
    let hosts = |credential: Credential| PROVIDER.hosts(&credential.metadata).join(" ");
    assert_eq!(hosts(lasting(&[])), "sts.amazonaws.com iam.amazonaws.com");
    assert_eq!(
        hosts(lasting(&[("region", "cn-north-1")])),
        "sts.cn-north-1.amazonaws.com.cn iam.cn-north-1.amazonaws.com.cn"
    );
    assert_eq!(hosts(role(&[("endpoint", "http://127.0.0.1:5000")])), "127.0.0.1:5000");
}

fn variables(credential: &Credential, issued: &Issued) -> Vec<String> {
    let told = |variable: Variable| match variable {
        Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
        Variable::Unset { name } => format!("-{name}"),
        Variable::File { name, .. } => format!("{name} is a file"),
    };
    PROVIDER.export(credential, issued).into_iter().map(told).collect()
}

#[test]
fn variables_are_those_of_the_official_tools_and_none_is_left_in_the_way() {
    let plain = lasting(&[]);
    assert_eq!(
        variables(&plain, &keys(&plain).unwrap()),
        [
            &format!("AWS_ACCESS_KEY_ID={ID}"),
            &format!("AWS_SECRET_ACCESS_KEY={SECRET}"),
            "-AWS_SESSION_TOKEN",
            "-AWS_CREDENTIAL_EXPIRATION",
            "-AWS_PROFILE",
            "-AWS_DEFAULT_PROFILE",
            "-AWS_SECURITY_TOKEN",
            "-AWS_ACCOUNT_ID",
        ]
    );
    let full = lasting(&[
        ("session_token", "token"),
        ("expires_at", "2026-03-01T13:00:00Z"),
        ("region", "eu-west-1"),
        ("endpoint", "https://sts.example/"),
    ]);
    assert_eq!(
        variables(&full, &keys(&full).unwrap())[2..7],
        [
            "AWS_SESSION_TOKEN=token",
            "AWS_CREDENTIAL_EXPIRATION=2026-03-01T13:00:00Z",
            "AWS_REGION=eu-west-1",
            "AWS_DEFAULT_REGION=eu-west-1",
            "AWS_ENDPOINT_URL_STS=https://sts.example/",
        ]
    );
    let foreign = Issued::lasting(Material::Bearer(Secret::new("x".into())));
    assert!(variables(&plain, &foreign).is_empty());
}

#[test]
fn the_file_is_one_that_is_read_back() {
    let credential = lasting(&[("session_token", "a-token=="), ("region", "eu-west-1")]);
    let issued = keys(&credential).unwrap();
    let file = PROVIDER.file("aws-credentials", &credential, &issued).unwrap();
    let sections = ini::parse(file.expose()).unwrap();
    let value = |key| sections[0].get(key).map(|value| value.expose().to_owned());
    assert_eq!(sections[0].name, "default");
    assert_eq!(value("aws_access_key_id").as_deref(), Some(ID));
    assert_eq!(value("aws_secret_access_key").as_deref(), Some(SECRET));
    assert_eq!(value("aws_session_token").as_deref(), Some("a-token=="));
    assert_eq!(value("region").as_deref(), Some("eu-west-1"));
    assert!(PROVIDER.file("kubeconfig", &credential, &issued).is_none());
}

#[test]
fn the_secret_beside_an_id_is_recognised() {
    let temporary = ID.replacen("AKIA", "ASIA", 1);
    let texts = [
        format!("[default]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n"),
        format!("export AWS_ACCESS_KEY_ID={ID}\nexport AWS_SECRET_ACCESS_KEY=\"{SECRET}\"\n"),
        format!("{{\"AccessKeyId\": \"{ID}\", \"SecretAccessKey\": \"{SECRET}\", \"x\": 1}}"),
        format!("Access key ID,Secret access key\n{ID},{SECRET}"),
        format!("AWS_ACCESS_KEY_ID={temporary}\nAWS_SECRET_ACCESS_KEY={SECRET}"),
    ];
    for text in &texts {
        let matches: Vec<&str> = PROVIDER
            .marks()
            .iter()
            .filter(|mark| text.contains(mark.keyword))
            .filter_map(|mark| Some(regex::Regex::new(mark.pattern).unwrap().captures(text)?.get(1)?.as_str()))
            .collect();
        assert_eq!(matches, [SECRET], "{text}");
    }
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for text in [format!("{ID} was seen in commit {sha}"), format!("secret = {SECRET}"), format!("{ID} secret")] {
        for mark in PROVIDER.marks() {
            assert!(!regex::Regex::new(mark.pattern).unwrap().is_match(&text), "{text}");
        }
    }
}
