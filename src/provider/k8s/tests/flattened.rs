//! One context out of many, with everything taken in; and those that cannot stand alone.

use std::path::Path;

use super::*;
use crate::error::Failure;
use crate::provider::k8s::flat::Refusal;
use crate::provider::k8s::kubeconfig::{Kubeconfig, Merged};

fn flat(text: &str, files: &[(&str, &str)]) -> Result<Flat, Refusal> {
    let mut merged = Merged::default();
    merged.add(Kubeconfig::parse(&Secret::new(text.to_owned())).unwrap(), Path::new("/folder/config"));
    let files: Vec<(String, String)> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let read = move |path: &Path| {
        Ok(files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.clone().into_bytes()))
    };
    Flat::of(&merged, "dev", &read)
}

#[test]
fn files_are_taken_in_and_paths_are_relative_to_the_file_that_names_them() {
    let text = kubeconfig("{tokenFile: token, client-certificate: pki/c.pem, client-key: /abs/k.pem}")
        .replace(SERVER, &format!("{SERVER}\", certificate-authority: \"ca.pem\", tls-server-name: \"api"));
    let files = [
        ("/folder/ca.pem", UNTIL_2030), ("/folder/token", "the-token\n"), ("/folder/pki/c.pem", UNTIL_2057),
        ("/abs/k.pem", KEY),
    ];
    let flat = flat(&text, &files).unwrap();
    assert_eq!(flat.authorities.as_deref(), Some(UNTIL_2030));
    assert_eq!(flat.server_name.as_deref(), Some("api"));
    assert_eq!(flat.token.as_ref().unwrap().expose(), "the-token");
    let identity = flat.identity.as_ref().unwrap();
    assert_eq!((identity.certificate.as_str(), identity.key.expose()), (UNTIL_2057, KEY));
    let again = Flat::of_text(&flat.written(), None).unwrap();
    assert_eq!(again.written(), flat.written(), "what was written names no other file");
    assert!(!flat.written().expose().contains("/abs"));
}

#[test]
fn data_wins_over_a_file_and_a_token_file_over_a_token() {
    let data = STANDARD.encode(UNTIL_2057);
    let key = STANDARD.encode(KEY);
    let user = format!(
        "{{token: old, tokenFile: t, client-certificate: none, client-certificate-data: {data}, client-key-data: {key}}}"
    );
    let flat = flat(&kubeconfig(&user), &[("/folder/t", "new")]).unwrap();
    assert_eq!(flat.token.unwrap().expose(), "new");
    assert_eq!(flat.identity.unwrap().certificate, UNTIL_2057);
}

#[test]
fn a_context_that_cannot_stand_alone_is_refused_with_the_reason() {
    let server = |with: &str| kubeconfig("{token: abc}").replace(&format!("\"{SERVER}\""), with);
    let cases = [
        (kubeconfig("{exec: {command: /opt/bin/aws, args: [LNYCANARY]}}"), "running a program (aws); nothing to store"),
        (kubeconfig("{auth-provider: {name: oidc, config: {id-token: LNYCANARY}}}"), "auth-provider"),
        (kubeconfig("{}"), "neither a token"),
        (kubeconfig("null"), "neither a token"),
        (kubeconfig("{username: alice}"), "neither a token"),
        (kubeconfig("{token: \"two LNYCANARY words\"}"), "no single word"),
        (kubeconfig("{tokenFile: nowhere}"), "/folder/nowhere, which is not there"),
        (kubeconfig("{client-key-data: TE5ZQ0FOQVJZ}"), "no PEM"),
        (kubeconfig("{client-certificate-data: \"**LNYCANARY\"}"), "no base64"),
        (kubeconfig(&format!("{{client-key-data: {}}}", STANDARD.encode(KEY))), "without its key"),
        (server(&format!("\"{SERVER}\", insecure-skip-tls-verify: true")), "does not check"),
        (server("http://dev.example.com"), "no https:// address"),
        (server("https://user:LNYCANARY@dev.example.com"), "no https:// address"),
        (server("dev.example.com:6443"), "no https:// address"),
        (server("null"), "no https:// address"),
        (server(&format!("\"{SERVER}\", proxy-url: \"ftp://LNYCANARY\"")), "proxy-url"),
        (kubeconfig("{token: a}").replace("user: u,", "user: other,"), "no user that there is"),
        (kubeconfig("{token: a}").replace("cluster: c,", "cluster: other,"), "no cluster that there is"),
        (kubeconfig("{token: a}").replace("namespace: shop", "namespace: \"a\\nb\""), "namespace"),
        (kubeconfig("{token: a}").replace("name: dev,", "name: other,"), "no context that there is"),
    ];
    for (text, reason) in cases {
        let Err(refusal) = flat(&text, &[]) else { panic!("{text}") };
        let failure = refusal.of("context dev");
        let said = format!("{failure}; {}; {failure:?}", failure.mend().unwrap());
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(!said.contains("CANARY"), "{said}");
    }
}

#[test]
fn a_program_beside_a_secret_is_left_out() {
    let flat = flat(&kubeconfig("{token: abc, exec: {command: evil}}"), &[]).unwrap();
    assert!(!flat.written().expose().contains("evil"));
}

#[test]
fn a_text_that_is_given_leaves_no_choice_and_names_no_file() {
    let of = |text: &str, context: Option<&str>| Flat::of_text(&Secret::new(text.to_owned()), context);
    let two = kubeconfig("{token: abc}").replace("contexts: [", "contexts: [{name: b, context: {cluster: c, user: u}}, ");
    assert_eq!(of(&two, None).unwrap().context, "dev");
    assert_eq!(of(&two, Some("b")).unwrap().context, "b");
    assert!(of(&two.replace("current-context: dev", ""), None).is_err());
    assert_eq!(of(&kubeconfig("{token: a}").replace("current-context: dev", ""), None).unwrap().context, "dev");
    assert!(of(&kubeconfig("{tokenFile: /etc/hostname}"), None).is_err());
    for (text, fits) in [(EXAMPLE, true), (two.as_str(), true), ("", false), ("a: b", false), ("kind: Pod", false)] {
        assert_eq!(stands_alone(text).is_ok(), fits, "{text}");
    }
}

#[test]
fn a_value_that_contradicts_the_kubeconfig_is_refused_and_a_namespace_can_be_chosen() {
    let env = no_env();
    let given = [("namespace".to_owned(), vec!["other".to_owned()])].into();
    let mut raw = Raw::new();
    raw.plain("kubeconfig", &kubeconfig("{token: abc}")).plain("namespace", "shop");
    PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).unwrap();
    assert_eq!(raw.get("namespace").unwrap().expose(), "other");
    assert!(raw.get("kubeconfig").unwrap().expose().contains("namespace: \"other\""));
    raw.plain("server", "https://evil.example.com");
    let failure = PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).unwrap_err();
    assert!(failure.to_string().starts_with("server of the kubeconfig is malformed"), "{failure}");
}
