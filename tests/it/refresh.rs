//! Renewing a session under rotation: once for all who ask, stored before it is used, and never lost where the
//! protocol lets it be kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::{self, Blow};
use crate::idp::{Behaviour, Fault, Idp, Reuse};
use crate::keyring::Keyring;
use crate::scene::{self, eventually, sign_in, sign_in_and_expire, token};
use crate::stage::{Running, Stage};

/// How many refresh requests there were.
fn refreshes(idp: &Idp) -> usize {
    idp.grants("refresh_token").len()
}

/// A provider that answers a repeated refresh within half a minute as it did the first time.
fn tolerant() -> Idp {
    let mut behaviour = Behaviour::default();
    behaviour.reuse = Reuse::ToleratedFor(Duration::from_mins(1));
    Idp::start(behaviour)
}

/// The refresh token in the plain file.
fn stored_refresh_token(stage: &Stage) -> String {
    let text = std::fs::read(stage.config_dir().join("sessions.plain.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let item = file["secrets"]["work"].as_str().unwrap();
    serde_json::from_str::<serde_json::Value>(item).unwrap()["refresh_token"].as_str().unwrap().to_owned()
}

fn all_get_one_token(stage: &Stage, idp: &Idp, processes: usize) {
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::Late(Duration::from_millis(300)));
    });
    let running: Vec<Running> = (0..processes).map(|_| stage.start(&["auth", "token"])).collect();
    let tokens: Vec<String> = running.into_iter().map(|process| process.finish().ends(0).stdout()).collect();
    assert_eq!(refreshes(idp), 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert!(idp.accepts(tokens[0].trim_end()));
    assert_eq!(idp.reuses(), 0);
}

#[test]
fn many_processes_with_an_expired_token_cause_one_refresh() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    all_get_one_token(&stage, &idp, 64);
}

#[test]
fn many_processes_on_one_keychain_cause_one_refresh() {
    let (idp, keyring) = (Idp::honest(), Keyring::start());
    let stage = scene::stage_with_keyring(&idp, &keyring);
    sign_in_and_expire(&stage, &idp);
    all_get_one_token(&stage, &idp, 20);
}

/// Kills the process that renews while the service delays its answer; gives how the others ended.
fn kill_the_holder(stage: &Stage, idp: &Idp) -> Vec<Option<i32>> {
    idp.change(|behaviour| {
        behaviour.fault_once("/token", Fault::Late(Duration::from_secs(20)));
    });
    let holder = stage.start(&["auth", "token"]);
    eventually("the refresh has begun", Duration::from_secs(10), || refreshes(idp) == 1);
    let others: Vec<Running> = (0..6).map(|_| stage.start(&["auth", "token"])).collect();
    std::thread::sleep(Duration::from_millis(300));
    holder.signal("KILL");
    let started = Instant::now();
    let codes = others.into_iter().map(|other| other.finish().code).collect();
    assert!(started.elapsed() < Duration::from_secs(35));
    assert_eq!(refreshes(idp), 2);
    codes
}

#[test]
fn killing_the_process_that_renews_harms_the_others_only_where_the_service_forgives_nothing() {
    let idp = tolerant();
    let stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    assert_eq!(kill_the_holder(&stage, &idp), [Some(0); 6]);

    let strict = Idp::honest();
    let stage = scene::stage_for(&strict);
    sign_in_and_expire(&stage, &strict);
    assert_eq!(kill_the_holder(&stage, &strict), [Some(4); 6]);
    let said = stage.run(&["auth", "token"]).ends(4).stderr();
    assert!(said.contains("lanyard auth login"), "{said}");
    assert_eq!((refreshes(&strict), strict.reuses()), (2, 1), "nobody asks again");
}

#[test]
fn a_stopped_process_is_waited_for_half_a_minute_and_named() {
    // After the pause the answer may count as lost, so the service is one that answers again.
    let idp = tolerant();
    let stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    idp.change(|behaviour| {
        behaviour.fault_once("/token", Fault::Late(Duration::from_millis(500)));
    });
    let holder = stage.start(&["auth", "token"]);
    eventually("the refresh has begun", Duration::from_secs(10), || refreshes(&idp) == 1);
    holder.signal("STOP");
    let name = format!("process {}", holder.pid());

    let at_once = stage.run(&["auth", "token", "--no-wait"]).ends(1).stderr();
    assert!(at_once.contains(&name), "{at_once}");
    let started = Instant::now();
    let others: Vec<Running> = (0..3).map(|_| stage.start(&["auth", "token"])).collect();
    for other in others {
        let said = other.finish().ends(1).stderr();
        assert!(said.contains(&name), "{said}");
    }
    let waited = started.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(40)).contains(&waited), "{waited:?}");

    assert_eq!(refreshes(&idp), 1, "whoever gave up asked nobody");

    holder.signal("CONT");
    holder.finish().ends(0);
    assert!(idp.accepts(&token(&stage)));
}

#[test]
fn a_lost_answer_is_asked_for_once_more() {
    let idp = tolerant();
    let stage = scene::stage_for(&idp);
    sign_in(&stage);
    for fault in [Fault::LosesAnswer, Fault::Closes, Fault::HtmlError, Fault::Unavailable { retry_after: 1 }] {
        idp.forget();
        idp.change(|behaviour| {
            behaviour.fault_once("/token", fault.clone());
        });
        stage.run(&["auth", "refresh"]).ends(0);
        assert_eq!(refreshes(&idp), 2, "{fault:?}");
        assert!(idp.accepts(&token(&stage)));
    }
    let before = scene::settled(&stage);
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::HtmlError);
    });
    idp.forget();
    stage.run(&["auth", "refresh"]).ends(6);
    assert_eq!(refreshes(&idp), 2);
    assert_eq!(scene::settled(&stage), before);
    // Whoever is to come back later is told when.
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::Unavailable { retry_after: 2 });
    });
    let told = stage.run(&["auth", "refresh"]).ends(6);
    assert!(told.stderr().contains("try again in 2 s"), "{told}");
}

#[test]
fn a_refused_refresh_token_is_tried_once_and_the_person_is_told_to_sign_in() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    let config = stage.config();
    idp.change(|behaviour| behaviour.refuses_refresh = true);
    let said = stage.run(&["auth", "token"]).ends(4);
    assert!(said.stdout.is_empty() && said.stderr().contains("lanyard auth login"), "{said}");
    assert_eq!(refreshes(&idp), 1);
    for command in [&["auth", "token"][..], &["auth", "refresh"], &["auth", "status"]] {
        stage.run(command).ends(4);
    }
    assert_eq!(refreshes(&idp), 1, "a spent token is not sent again");
    assert_eq!(stage.config(), config, "the profile stays");
    idp.change(|behaviour| behaviour.refuses_refresh = false);
    sign_in(&stage);
    assert!(idp.accepts(&token(&stage)));
}

#[test]
fn a_refresh_that_brings_another_account_is_refused() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for (claim, value) in
        [("sub", json!("somebody-else")), ("iss", json!("https://other.example")), ("aud", json!("other"))]
    {
        idp.change(|behaviour| behaviour.id_token = None);
        sign_in_and_expire(&stage, &idp);
        let before = scene::settled(&stage);
        idp.change(|behaviour| {
            behaviour.id_token = Some(Arc::new(move |_, _, claims| claims[claim] = value.clone()));
        });
        let outcome = stage.run(&["auth", "token"]).ends(4);
        assert!(outcome.stdout.is_empty(), "{claim}");
        assert_eq!(scene::settled(&stage), before, "{claim}");
        assert_eq!(refreshes(&idp), 1, "{claim}");
    }
}

#[test]
fn without_a_new_refresh_token_the_old_one_stays_in_force() {
    let idp = Idp::honest();
    idp.change(|behaviour| behaviour.rotation = false);
    let stage = scene::stage_for(&idp);
    sign_in(&stage);
    let first = stored_refresh_token(&stage);
    let mut access = token(&stage);
    for _ in 0..3 {
        stage.run(&["auth", "refresh"]).ends(0);
        assert_eq!(stored_refresh_token(&stage), first);
        let next = token(&stage);
        assert_ne!(next, access);
        access = next;
    }
    // No refresh token at all: nothing to renew with, and nothing is asked.
    idp.change(|behaviour| behaviour.with_refresh_token = false);
    sign_in_and_expire(&stage, &idp);
    stage.run(&["auth", "token"]).ends(4);
    assert!(idp.requests_to("/token").is_empty());
}

#[test]
fn a_refresh_is_redirected_nowhere() {
    let elsewhere = crate::second_host::SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    let before = scene::settled(&stage);
    for status in [301, 302, 303, 307, 308] {
        idp.change(|behaviour| {
            behaviour.fault("/token", Fault::Redirect(status, elsewhere.url("/token")));
        });
        let said = stage.run(&["auth", "token"]).ends(6).stderr();
        assert!(said.contains("unexpected redirect"), "{said}");
    }
    // Metadata that move later move no stored token.
    let moved = elsewhere.url("/token");
    idp.change(|behaviour| {
        behaviour.faults.clear();
        behaviour.patch("/.well-known/openid-configuration", move |metadata| metadata["token_endpoint"] = json!(moved));
    });
    assert_eq!(scene::settled(&stage), before);
    assert!(idp.accepts(&token(&stage)));
    elsewhere.assert_untouched();
}

#[test]
fn a_token_that_cannot_be_stored_is_not_handed_out() {
    let idp = tolerant();
    let mut stage = scene::stage_for(&idp);
    sign_in_and_expire(&stage, &idp);
    let before = scene::settled(&stage);
    for (call, error) in [("fsync", "EIO"), ("/^rename", "EIO"), ("fsync", "ENOSPC"), ("/^rename", "EROFS")] {
        let inject = format!("inject={call}:error={error}");
        let trace = format!("trace={call}");
        stage.wrap(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "--"]);
        let outcome = stage.run(&["auth", "token"]);
        assert!(outcome.stdout.is_empty() && outcome.code != Some(0), "{call} {error}: {outcome}");
        assert!(outcome.stderr().contains("next: "), "{outcome}");
        assert_eq!(scene::settled(&stage), before, "{call} {error}");
    }
    stage.wrap(&[]);
    assert!(idp.accepts(&token(&stage)), "the service forgave, so the session was kept");
}

#[test]
fn a_kill_at_any_instant_of_a_refresh_leaves_the_old_session_or_the_new_one() {
    let forgiving = tolerant();
    let strict = Idp::honest();
    std::thread::scope(|scope| {
        for (idp, forgives) in [(&forgiving, true), (&strict, false)] {
            scope.spawn(move || {
                let stage = scene::stage_for(idp);
                sign_in(&stage);
                for call in ["write", "fsync", "/^rename", "/^(send|writev|recv)", "connect"] {
                    let struck = crash::at_every(
                        call,
                        Blow::Kill,
                        || stage.command(&["auth", "refresh"]),
                        |time| {
                            let spent_before = idp.reuses();
                            let has_fresh_one = idp.would_refresh(&stored_refresh_token(&stage));
                            let outcome = stage.run(&["auth", "refresh"]);
                            if forgives || has_fresh_one {
                                outcome.ends(0);
                            } else {
                                assert_eq!(
                                    idp.reuses(),
                                    spent_before + 1,
                                    "{call} {time}: the killed process asked once"
                                );
                                let said = outcome.ends(4).stderr();
                                assert!(said.contains("lanyard auth login"), "{call} {time}: {said}");
                                sign_in(&stage);
                            }
                            let left: Vec<_> = scene::settled(&stage)
                                .into_keys()
                                .filter(|path| path.extension().is_some_and(|end| end == "tmp"))
                                .collect();
                            assert!(left.is_empty(), "{call} {time} left {left:?}");
                        },
                    );
                    assert!(struck > 0, "no call of {call}");
                }
            });
        }
    });
}
