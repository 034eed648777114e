use std::path::Path;

use super::*;
use crate::credential::{Fields, Issued, Raw};
use crate::credential::tests::credential;
use crate::os::Env;
use crate::provider;
use crate::secret::Secret;

fn role() -> Metadata {
    let (_, kind) = provider::by_kind("aws_assume_role").unwrap();
    let mut raw = Raw::new();
    raw.plain("role_arn", "arn:aws:iam::123456789012:role/deploy").plain("source", "keys");
    credential("prod", Fields::parse(kind, raw).unwrap()).metadata
}

fn keys(session_token: Option<&str>) -> Material {
    Material::AwsKeys {
        access_key_id: "ASIAEXAMPLE".into(),
        secret_access_key: Secret::new("secret/+\"".into()),
        session_token: session_token.map(|token| Secret::new(token.into())),
    }
}

fn reply(material: Material, expires: Option<DateTime<Utc>>) -> (u8, String) {
    let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), &[]);
    let arguments = ["prod".to_owned()];
    let call = Call { arguments: &arguments, text: "", env: &env };
    let reply = HELPER.reply(&call, &Answer::Found(&role(), &Issued { material, expires }));
    (reply.code, String::from_utf8(reply.stdout.to_vec()).unwrap())
}

#[test]
fn the_answer_is_of_version_1_and_ends_a_minute_early() {
    let at: DateTime<Utc> = "2099-01-01T00:00:00Z".parse().unwrap();
    let told = "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"secret/+\\\"\",\
                \"SessionToken\":\"t\",\"Expiration\":\"2098-12-31T23:59:00Z\",\"AccountId\":\"123456789012\"}\n";
    assert_eq!(reply(keys(Some("t")), Some(at)), (0, told.into()));
}

#[test]
fn what_stays_and_what_is_over_is_not_handed_out() {
    let now = Utc::now();
    assert_eq!(reply(keys(None), None), (1, String::new()));
    for left in [-60, 0, 59] {
        assert_eq!(reply(keys(Some("t")), Some(now + TimeDelta::seconds(left))), (1, String::new()), "{left}");
    }
    assert_eq!(reply(Material::Bearer(Secret::new("t".into())), None).0, 1);
    // Of an end that nobody knows, one is told all the same.
    let told: serde_json::Value = serde_json::from_str(&reply(keys(Some("t")), None).1).unwrap();
    let end: DateTime<Utc> = told["Expiration"].as_str().unwrap().parse().unwrap();
    assert!(end > now + TimeDelta::minutes(29) && end < now + TimeDelta::minutes(32), "{end}");
}

#[test]
fn a_call_without_one_name_is_none() {
    let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), &[]);
    for arguments in [&[][..], &["a", "b"], &["--help"]] {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let refused = HELPER.ask(&Call { arguments: &arguments, text: "", env: &env }).unwrap_err();
        assert_eq!((refused.code, refused.stdout.len()), (1, 0));
    }
    let name = ["prod".to_owned()];
    let Ok(Ask::Get(want)) = HELPER.ask(&Call { arguments: &name, text: "", env: &env }) else { panic!("no question") };
    assert!(want.short && want.name.as_deref() == Some("prod"));
}
