use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::os::Env;

const SERVER: &str = "https://c.example:6443";

fn env(question: &str) -> Env {
    Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), &[(QUESTION, question)])
}

fn asked(question: &str) -> Result<Want, String> {
    let arguments = ["dev".to_owned()];
    match HELPER.ask(&Call { arguments: &arguments, text: "", env: &env(question) }) {
        Ok(Ask::Get(want)) => Ok(want),
        Ok(other) => panic!("{other:?}"),
        Err(reply) => {
            assert_eq!((reply.code, reply.stdout.len()), (1, 0));
            Err(reply.talk.clone().unwrap())
        }
    }
}

fn of(version: &str, cluster: &serde_json::Value) -> String {
    let spec = json!({ "interactive": false, "cluster": cluster });
    json!({ "kind": "ExecCredential", "apiVersion": version, "spec": spec }).to_string() + "\n"
}

fn told(issued: &Issued) -> Result<serde_json::Value, u8> {
    let env = env(&of(VERSIONS[1], &json!({ "server": SERVER })));
    let reply = HELPER.reply(&Call { arguments: &[], text: "", env: &env }, &found_one(issued));
    if reply.code == 0 { Ok(serde_json::from_slice(&reply.stdout).unwrap()) } else { Err(reply.code) }
}

fn found_one(issued: &Issued) -> Answer<'_> {
    use crate::credential::tests::credential;
    use crate::credential::{Fields, Raw};
    let mut raw = Raw::new();
    raw.plain("NAME", "x");
    let kind = crate::provider::by_kind("generic_env").unwrap().1;
    let credential = Box::leak(Box::new(credential("dev", Fields::parse(kind, raw).unwrap())));
    Answer::Found(&credential.metadata, issued)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

#[test]
fn the_cluster_is_asked_for_by_all_that_the_client_says() {
    for version in VERSIONS {
        let want = asked(&of(version, &json!({ "server": SERVER, "config": { "a": 1 } }))).unwrap();
        assert_eq!(want.name.as_deref(), Some("dev"));
        let of_system = Cluster::new(SERVER, None, None, None).fields().to_vec();
        assert_eq!(want.fields, of_system);
        let cluster = json!({ "server": SERVER, "certificate-authority-data": STANDARD.encode("PEM"),
            "tls-server-name": "kubernetes", "proxy-url": "http://u:p@proxy:1", "insecure-skip-tls-verify": false });
        let want = asked(&of(version, &cluster)).unwrap();
        let own = Cluster::new(SERVER, Some("PEM\n"), Some("kubernetes"), Some("http://proxy:1/")).fields().to_vec();
        assert_eq!(want.fields, own);
    }
}

#[test]
fn a_client_that_does_not_say_where_it_goes_is_refused() {
    let bare = |spec: serde_json::Value| json!({ "kind": KIND, "apiVersion": VERSIONS[0], "spec": spec }).to_string();
    for (question, why) in [
        (bare(json!({ "interactive": false })), "provideClusterInfo"),
        (bare(json!({ "cluster": null })), "provideClusterInfo"),
        (json!({ "kind": KIND, "apiVersion": VERSIONS[0] }).to_string(), "provideClusterInfo"),
        (of(VERSIONS[0], &json!({ "server": SERVER, "insecure-skip-tls-verify": true })), "anybody"),
        (of(VERSIONS[0], &json!({ "server": SERVER, "certificate-authority-data": "%" })), "are none"),
        (of(VERSIONS[0], &json!({ "server": SERVER, "certificate-authority-data": "IA==" })), "are none"),
        (of(VERSIONS[0], &json!({ "certificate-authority-data": "" })), "no question"),
        (of("client.authentication.k8s.io/v1alpha1", &json!({ "server": SERVER })), "a version other than"),
        (of("v1", &json!({ "server": SERVER })), "a version other than"),
        (json!({ "kind": "Pod", "apiVersion": VERSIONS[0] }).to_string(), "no question"),
        ("{".into(), "no question"),
        ("[".repeat(10_000), "no question"),
        (String::new(), "is not set"),
        (format!("{}{}", bare(json!({})), " ".repeat(LONGEST)), "is not set"),
    ] {
        let told = asked(&question).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn an_end_is_always_told() {
    let now = Utc::now();
    let end = |issued: &Issued| -> DateTime<Utc> {
        told(issued).unwrap()["status"]["expirationTimestamp"].as_str().unwrap().parse().unwrap()
    };
    let at = |minutes: i64| Issued { material: Material::Bearer(secret("t")), expires: Some(now + TimeDelta::minutes(minutes)) };
    let minutes = |end: DateTime<Utc>| (end - now + TimeDelta::seconds(20)).num_minutes();
    assert_eq!(minutes(end(&Issued::lasting(Material::Bearer(secret("t"))))), 10);
    assert_eq!(minutes(end(&at(600))), 10);
    assert_eq!(minutes(end(&at(5))), 4);
    assert_eq!(told(&at(1)), Err(1));
    assert_eq!(told(&at(-1)), Err(1));
}

#[test]
fn the_answer_is_of_the_version_that_was_asked_for() {
    let mut token = told(&Issued::lasting(Material::Bearer(secret("t\"")))).unwrap();
    token["status"].as_object_mut().unwrap().remove("expirationTimestamp");
    assert_eq!(token, json!({ "kind": KIND, "apiVersion": VERSIONS[1], "status": { "token": "t\"" } }));
    let certificate = Material::ClientCert { certificate: "C\n".into(), key: secret("K\n"), token: None };
    let mut certificate = told(&Issued::lasting(certificate)).unwrap();
    certificate["status"].as_object_mut().unwrap().remove("expirationTimestamp");
    assert_eq!(certificate["status"], json!({ "clientCertificateData": "C\n", "clientKeyData": "K\n" }));
    let password = Material::Basic { username: "u".into(), password: secret("p") };
    assert_eq!(told(&Issued::lasting(password)), Err(1));
}

#[test]
fn what_is_nested_as_no_client_writes_is_no_question() {
    let nested = |depth: usize| {
        let config = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        of(VERSIONS[0], &json!({ "server": SERVER, "config": 0 })).replace("\"config\":0", &format!("\"config\":{config}"))
    };
    assert!(asked(&nested(29)).is_ok());
    for depth in [30, 100, 1 << 16] {
        let told = asked(&nested(depth)).unwrap_err();
        assert_eq!(told, "lanyard: KUBERNETES_EXEC_INFO is no question of kubectl's");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_question_or_not(
        text in "(\\PC|\"|\\{|\\}|,|\"kind\":\"ExecCredential\"|\"spec\":|\"cluster\":|\"server\":|https://){0,20}",
    ) {
        let _ = asked(&text);
    }
}
