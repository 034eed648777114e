//! Texts that are small and would grow: read to an error, quickly, and quoted nowhere.

use std::time::{Duration, Instant};

use super::*;
use crate::provider::k8s::kubeconfig::Kubeconfig;

/// Fails unless the text is refused in the blink of an eye.
#[track_caller]
fn refused(text: String) {
    let started = Instant::now();
    let failure = Kubeconfig::parse(&Secret::new(text)).err().expect("it is refused").to_string();
    // Generous: what is not refused early takes hours, and this machine may be busy.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let reasons = ["no YAML, or none that a kubeconfig is made of", "longer than any kubeconfig"];
    assert!(reasons.iter().any(|reason| failure.contains(reason)), "{failure}");
    assert!(!failure.contains("CANARY"), "{failure}");
}

/// Each line names the one before it ten times.
fn laughs(open: &str, between: &str, close: &str) -> String {
    let mut text = "a0: &a0 LNYCANARY\n".to_owned();
    for line in 1..12 {
        let item = |_| format!("*a{}", line - 1);
        let items = (0..10).map(item).collect::<Vec<_>>().join(between);
        let name = format!("a{line}");
        text += &[&name, ": &", &name, " ", open, &items, close, "\n"].concat();
    }
    text
}

#[test]
fn a_billion_laughs_in_what_nobody_reads() {
    refused(laughs("[", ", ", "]"));
}

#[test]
fn a_billion_laughs_in_the_fields() {
    let text = laughs("[", ", ", "]") + "users: *a11\n";
    refused(text);
    let merge = "a0: &a0 {x: y}\n".to_owned()
        + &(1..200).map(|line| format!("a{line}: &a{line} {{<<: [{}]}}\n", format!("*a{},", line - 1).repeat(9))).collect::<Vec<_>>().concat();
    refused(merge);
}

#[test]
fn nesting_without_end() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        refused(format!("x: {}1{}", open.repeat(100_000), close.repeat(100_000)));
    }
    refused(format!("x:\n{}", (1..2000).map(|depth| format!("{}- \n", " ".repeat(depth))).collect::<Vec<_>>().concat()));
    refused("- ".repeat(100_000));
    refused("? ".repeat(50_000));
}

#[test]
fn what_refers_to_itself() {
    refused("users: &a [*a]\n".into());
    refused("users: &a\n- name: *a\n  user: *a\n".into());
    refused("x: &a {y: *a}\n".into());
    refused("users: *nowhere\n".into());
}

#[test]
fn more_than_a_kubeconfig_has() {
    refused(format!("x: [{}]", "1, ".repeat(200_000)));
    refused(format!("x: \"{}\"", "LNYCANARY".repeat(1 << 20)));
    refused(format!("x: {}", (0..2000).map(|n| format!("\n- &b{n} 1")).collect::<Vec<_>>().concat()));
    refused("---\na: b\n".repeat(3000));
}

#[test]
fn one_key_twice() {
    refused("users: []\nusers: []\n".into());
    refused(kubeconfig("{token: LNYCANARY, token: b}"));
}

#[test]
fn another_shape() {
    refused("users: LNYCANARY\n".into());
    refused("clusters: [{cluster: {server: LNYCANARY}}]\n".into());
    refused("\tLNYCANARY: [\n".into());
    refused("!!binary LNYCANARY\n".into());
}

#[test]
fn what_kubectl_writes_and_reads_is_read() {
    for text in [
        "---\napiVersion: v1\nkind: Config\nclusters: null\ncontexts: null\ncurrent-context: \"\"\npreferences: {}\nusers: null\n",
        "{\"apiVersion\":\"v1\",\"kind\":\"Config\",\"users\":[]}",
        "# only a comment\nkind: Config\n...\n",
        "users:\n- name: 12\n  user: {token: 0123, username: yes, password: 1e3}\n",
        "x-anchor: &u {token: a}\nusers: [{name: a, user: *u}, {name: b, user: *u}]\n",
    ] {
        let read = Kubeconfig::parse(&Secret::new(text.into()));
        assert!(read.is_ok(), "{text}: {}", read.err().unwrap());
    }
}
