//! Google's own library for Python, which gets the ID token of a sign-in from lanyard and exchanges it.

use serde_json::{Value, json};

use super::program::{Bench, Told, peer};
use crate::double::{Answer, Double};
use crate::idp::Idp;
use crate::scene::config;
use crate::wire;

const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/corp";
const GOOGLES: &str = "LNYCANARY0123456789abcdefgoogle";

/// Loads the file that the variable names, and gets a token with it.
const SCRIPT: &str = "
import google.auth, google.auth.transport.requests
import os
# With scopes at once, it would ask Google for the project's name.
found, _ = google.auth.load_credentials_from_file(os.environ['GOOGLE_APPLICATION_CREDENTIALS'])
found = found.with_scopes(['https://www.googleapis.com/auth/cloud-platform'])
found.refresh(google.auth.transport.requests.Request())
print(found.token)";

/// A home that is signed in to the service `corp`.
fn signed_in(idp: &Idp) -> Bench {
    let bench = Bench::new(&[]);
    bench.stage.write_config(&config(idp, "plain"));
    let mut running = bench.stage.start(&["credentials", "store", "oauth", "corp", "--no-browser"]);
    if let Some(url) = running.url_unless_it_ends() {
        wire::browse(&url);
    }
    running.finish().ends(0);
    bench
}

fn exchange() -> Double {
    Double::start(|seen| {
        assert_eq!(seen.method, "POST");
        Answer::json(
            200,
            &json!({ "access_token": GOOGLES, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                     "token_type": "Bearer", "expires_in": 3600 }),
        )
    })
}

/// Runs the library with a file that names this audience and this exchange.
fn library(bench: &mut Bench, audience: &str, exchange: &Double, output: Option<&str>) -> Told {
    let mut executable = json!({ "command": "lanyard helper google corp", "timeout_millis": 30000 });
    if let Some(output) = output {
        executable["output_file"] = output.into();
    }
    let file = bench.stage.home().join("google.json");
    let text = json!({
        "type": "external_account", "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", exchange.url()), "universe_domain": "googleapis.com",
        "credential_source": { "executable": executable },
    });
    std::fs::write(&file, text.to_string()).unwrap();
    bench.set("GOOGLE_APPLICATION_CREDENTIALS", &file).set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    bench.set("NO_GCE_CHECK", "true");
    bench.run(peer("google-auth/bin/python"), &["-c", SCRIPT])
}

fn form(double: &Double) -> Vec<(String, String)> {
    let seen = double.requests().pop().expect("there was an exchange");
    url::form_urlencoded::parse(&seen.message.body).into_owned().collect()
}

#[test]
fn the_library_exchanges_the_id_token_of_a_sign_in() {
    let idp = Idp::honest();
    let mut bench = signed_in(&idp);
    let exchange = exchange();
    let refused = library(&mut bench, AUDIENCE, &exchange, None).fails();
    assert!(refused.all().contains("code: not_found") && exchange.requests().is_empty(), "{}", refused.all());

    bench.stage.run(&["credentials", "update", "corp", "--field", &format!("google_audience={AUDIENCE}")]).ends(0);
    let output = bench.stage.home().join("cached.json").display().to_string();
    let told = library(&mut bench, AUDIENCE, &exchange, Some(&output)).succeeds();
    assert_eq!(told.stdout(), format!("{GOOGLES}\n"));
    let form = form(&exchange);
    let field =
        |name: &str| form.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap_or_default();
    assert_eq!(
        (&*field("audience"), &*field("subject_token_type")),
        (AUDIENCE, "urn:ietf:params:oauth:token-type:jwt")
    );
    let token = field("subject_token");
    let claims = {
        use base64::Engine;
        let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&part).unwrap()
    };
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(idp.issuer()), &json!("cli")));
    assert!(!std::path::Path::new(&output).exists(), "nothing on disk");

    // A file from a stranger that names another pool.
    let count = exchange.requests().len();
    library(&mut bench, &AUDIENCE.replace("projects/1/", "projects/666/"), &exchange, None).fails();
    assert_eq!(exchange.requests().len(), count);
}

#[test]
fn an_id_token_that_is_over_is_renewed_once_a_minute_at_most() {
    let idp = Idp::honest();
    let mut bench = signed_in(&idp);
    bench.stage.run(&["credentials", "update", "corp", "--field", &format!("google_audience={AUDIENCE}")]).ends(0);
    bench.stage.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", AUDIENCE);
    let ask = |bench: &Bench| bench.stage.run(&["helper", "google", "corp"]).ends(0).json();
    let first = ask(&bench);
    assert_eq!((&first["success"], idp.grants("refresh_token").len()), (&json!(true), 0));

    bench.stage.at("+3h");
    idp.change(|behaviour| {
        behaviour.forge(|_, claims| claims["exp"] = json!(claims["exp"].as_i64().unwrap() + 86_400));
    });
    let renewed = ask(&bench);
    assert_eq!((&renewed["success"], idp.grants("refresh_token").len()), (&json!(true), 1), "{renewed}");
    assert_ne!(renewed["id_token"], first["id_token"]);
    assert_eq!(ask(&bench), renewed);
    assert_eq!(idp.grants("refresh_token").len(), 1, "what is good is handed out as it is");

    // A service that gives tokens which are over at once is not asked again and again.
    bench.stage.at("+40h");
    idp.change(|behaviour| {
        behaviour.forge(|_, claims| claims["exp"] = json!(claims["iat"]));
    });
    for _ in 0..3 {
        let over = ask(&bench);
        assert_eq!((&over["success"], &over["code"]), (&json!(false), &json!("failed")), "{over}");
    }
    assert_eq!(idp.grants("refresh_token").len(), 2);
}
