//! The credential helper of Bazel, by its bytes: no package brings Bazel itself.

use serde_json::{Value, json};

use super::program::{Bench, Told, finish};

const KEY: &str = "LNYCANARY0123456789abcdefbazel";

fn call(bench: &Bench, program: &str, words: &[&str], question: &str) -> Told {
    let mut command = bench.command(bench.bin().join(program), "");
    command.args(words);
    finish(command, question.as_bytes())
}

#[test]
fn headers_come_for_what_a_key_was_stored_for() {
    let bench = Bench::new(&["lanyard-bazel"]);
    let question = |uri: &str| json!({ "uri": uri }).to_string();
    let nothing = "{\"headers\":{}}\n";
    let told = call(&bench, "lanyard-bazel", &["get"], &question("https://cache.example/x")).succeeds();
    assert_eq!(told.stdout(), nothing, "without a vault");
    let words = [
        "credentials",
        "store",
        "api-key",
        "cache",
        "--endpoint",
        "https://cache.example/",
        "--api-key",
        "-",
        "--no-verify",
    ];
    bench.stage.run_with(&words, KEY.as_bytes()).ends(0);
    for (program, words) in [("lanyard-bazel", &["get"][..]), ("lanyard", &["helper", "bazel", "get"])] {
        let told = call(&bench, program, words, &question("https://cache.example/ac/0123")).succeeds();
        let told: Value = serde_json::from_str(&told.stdout()).unwrap();
        assert_eq!(told, json!({ "headers": { "Authorization": [format!("Bearer {KEY}")] } }));
        for uri in ["https://cache.example:8443/x", "https://cache.example.evil.example/x", "http://cache.example/x"] {
            assert_eq!(call(&bench, program, words, &question(uri)).succeeds().stdout(), nothing, "{uri}");
        }
    }
    for (words, text) in [(&["get"][..], "no question"), (&["put"], "{}"), (&[], "")] {
        let told = call(&bench, "lanyard-bazel", words, text).fails();
        assert!(told.stdout().is_empty() && told.all().len() > 2, "a failure is told: {words:?}");
    }
}
