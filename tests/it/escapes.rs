//! Terminal escapes in everything that a server, a file or a name may say: the terminal gets none of them.

use serde_json::json;

use crate::idp::{Fault, Idp, Poll};
use crate::scene::{self, attempt};
use crate::stage::{Outcome, Stage};
use crate::wire;

const HOSTILE: &str = "\u{1b}]52;c;Y2F0\u{7}\u{1b}[2J\r\n\u{202e}\u{2066}\u{200b}\u{2028}\u{9b}31m\u{7f}\u{0}";

/// A stage whose commands write as if to a terminal; into a pipe, the colour filter would hide what they let through.
fn coloured(idp: &Idp) -> Stage {
    let mut stage = scene::stage_for(idp);
    stage.set("CLICOLOR_FORCE", "1");
    stage
}

/// The text without the colours that lanyard itself puts there.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m') {
            Some((colour, rest)) if colour.bytes().all(|byte| byte.is_ascii_digit() || byte == b';') => plain += rest,
            _ => plain = plain + "\u{1b}[" + part,
        }
    }
    plain
}

/// Fails if the output could move, hide or answer anything on a terminal.
#[track_caller]
fn assert_clean(outcome: &Outcome) {
    for (stream, text) in [("stdout", outcome.stdout()), ("stderr", outcome.stderr())] {
        let text = without_colours(&text);
        let acts = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}')
        };
        assert!(!text.chars().any(acts), "{stream} of {outcome}: {text:?}");
    }
    assert_ne!(outcome.code, Some(101), "{outcome}");
}

fn everything(stage: &Stage) {
    for command in [
        &["auth", "status"][..],
        &["auth", "status", "--all"],
        &["auth", "whoami"],
        &["auth", "token-info"],
        &["auth", "refresh"],
        &["project", "list"],
        &["project", "use", "nowhere"],
        &["project", "current"],
        &["profile", "list"],
        &["profile", "show"],
        &["config", "list"],
        &["which"],
        &["doctor"],
        &["auth", "revoke"],
        &["auth", "logout"],
    ] {
        for format in [&[][..], &["--json"], &["-vvv"]] {
            assert_clean(&stage.run(&[command, format].concat()));
        }
    }
}

#[test]
fn names_and_errors_of_a_server_are_shown_clean() {
    let idp = Idp::honest();
    idp.change(|behaviour| {
        behaviour.hostile_text = HOSTILE.into();
        behaviour.granted_scope = Some(format!("openid email offline_access x{HOSTILE}y"));
    });
    let stage = coloured(&idp);
    let signed_in = attempt(&stage, &[]);
    assert_clean(&signed_in);
    assert!(signed_in.stderr().contains("\u{1b}["), "it writes as to a terminal");
    signed_in.ends(0);
    everything(&stage);
    assert!(!stage.config().contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{:?}", stage.config());

    // Every endpoint refuses in hostile words.
    let error = json!({ "error": format!("odd{HOSTILE}"), "error_description": HOSTILE, "error_uri": HOSTILE, "message": HOSTILE });
    attempt(&stage, &["--switch-account"]).ends(0);
    for status in [400, 401, 403, 404, 500] {
        for path in ["/token", "/v1/me", "/v1/projects", "/introspect", "/revoke", "/userinfo"] {
            idp.change(|behaviour| {
                behaviour.fault(path, Fault::Answer(status, "application/json", error.to_string()));
            });
        }
        for command in [
            &["auth", "status"][..],
            &["auth", "token-info"],
            &["auth", "refresh"],
            &["project", "list"],
            &["auth", "revoke"],
        ] {
            assert_clean(&stage.run(command));
            assert_clean(&stage.run(&[command, &["-vvv"]].concat()));
        }
        assert_clean(&attempt(&stage, &["--switch-account"]));
    }
}

#[test]
fn a_hostile_refusal_is_shown_clean() {
    let idp = Idp::honest();
    let stage = coloured(&idp);
    for error in ["access_denied", "server_error", "odd\u{1b}[31m\u{202e}", HOSTILE] {
        idp.change(|behaviour| {
            behaviour.refusal = Some((error.into(), format!("go to {HOSTILE} now {}", "x".repeat(5000))));
        });
        let outcome = attempt(&stage, &[]);
        assert_clean(&outcome);
        assert!(!outcome.stderr().contains(&"x".repeat(300)), "the words are cut: {outcome}");
        assert_ne!(outcome.code, Some(0));
    }
}

#[test]
fn a_hostile_device_answer_and_callback_are_shown_clean() {
    let idp = Idp::honest();
    let stage = coloured(&idp);
    idp.change(|behaviour| {
        behaviour.hostile_text = HOSTILE.into();
        behaviour.patch("/device_authorization", |answer| {
            answer["user_code"] = json!(format!("WDJB{HOSTILE}"));
            answer["verification_uri_complete"] = json!(format!("https://id.example/{HOSTILE}"));
        });
    });
    for format in [&[][..], &["--json"]] {
        idp.change(|behaviour| behaviour.polls = [Poll::Denied].into());
        let outcome = stage.run(&[&["auth", "login", "--device"], format].concat());
        assert_clean(&outcome);
        outcome.ends(5);
    }
    let mut running = scene::begin(&stage, &[]);
    let callback = wire::callback_of(&running.url());
    let base = callback.split_once('?').unwrap().0;
    for query in ["state=%1b[2J&code=x", "%1b]0;x%07=1", "code=%00%1b[31m"] {
        assert_eq!(wire::get(&format!("{base}?{query}")).unwrap().status(), 400);
    }
    wire::browse(&callback);
    let outcome = running.finish();
    assert_clean(&outcome);
    outcome.ends(0);
}

#[test]
fn hostile_names_in_files_variables_and_arguments_are_shown_clean() {
    let idp = Idp::honest();
    let mut stage = coloured(&idp);
    let config = stage.config();
    for text in [
        format!("{config}\n\"odd\\u001b[2J\\u202e\" = 1\n"),
        format!("{config}\n[profiles.\"x\\u001b]0;t\\u0007\"]\nservice = \"corp\"\n"),
        config.replace("service = \"corp\"", "service = \"c\\u001b[2Jrp\""),
        config.replace("[profiles.work]", "[profiles.work]\nproject = \"p\\u009b31m\\u202e\""),
        format!("{config}\n\u{1b}[2J = {{\n"),
    ] {
        stage.write_config(&text);
        for command in [&["auth", "status"][..], &["which"], &["config", "list"], &["profile", "list"], &["doctor"]] {
            for format in [&[][..], &["--json"]] {
                assert_clean(&stage.run(&[command, format].concat()));
            }
        }
    }
    stage.write_config(&config);
    for argument in ["\u{1b}[2J", "x\u{202e}y", "\u{9b}31m"] {
        for command in [
            &["auth", "login", "--service", argument][..],
            &["auth", "status", "--profile", argument],
            &["config", "get", argument],
            &["auth", argument],
            &["project", "use", argument],
            &["api", "GET", argument],
        ] {
            assert_clean(&stage.run(command));
        }
        stage.set("LANYARD_PROFILE", argument);
        assert_clean(&stage.run(&["auth", "status"]));
        stage.unset("LANYARD_PROFILE").set("LANYARD_PROJECT", argument);
        assert_clean(&stage.run(&["which"]));
        stage.unset("LANYARD_PROJECT").set("LANYARD_ENDPOINT", argument);
        assert_clean(&stage.run(&["which"]));
        stage.unset("LANYARD_ENDPOINT");
    }
    stage.enter("clone\u{1b}[2J\u{202e}");
    std::fs::write(
        stage.home().join("clone\u{1b}[2J\u{202e}/.lanyard.toml"),
        "\"k\\u001b[2J\\u202e\" = 1\nprofile = \"w\\u001b[2J\"\n",
    )
    .unwrap();
    for command in [&["auth", "status"][..], &["which"], &["config", "list"], &["doctor"]] {
        assert_clean(&stage.run(command));
    }
}
