//! Tokens and clocks: margins, short lives, and clocks that are wrong by an hour, by decades, or step back.

use crate::idp::{Fault, Idp};
use crate::scene::{self, attempt, sign_in, token};
use crate::stage::Stage;

fn refreshes(idp: &Idp) -> usize {
    idp.grants("refresh_token").len()
}

/// A stage whose session has just begun and lives for so many seconds.
fn living(idp: &Idp, seconds: i64) -> Stage {
    idp.change(|behaviour| behaviour.expires_in = seconds);
    let stage = scene::stage_for(idp);
    sign_in(&stage);
    idp.forget();
    stage
}

#[test]
fn a_token_is_renewed_in_its_last_minute() {
    let idp = Idp::honest();
    let mut stage = living(&idp, 3600);
    let first = token(&stage);
    stage.at("+3500s");
    assert_eq!(token(&stage), first);
    assert_eq!(refreshes(&idp), 0);
    stage.at("+3545s");
    assert_ne!(token(&stage), first);
    assert_eq!(refreshes(&idp), 1);
}

#[test]
fn a_short_lived_token_is_renewed_in_the_last_tenth_of_its_life() {
    let idp = Idp::honest();
    let mut stage = living(&idp, 200);
    let first = token(&stage);
    stage.at("+170s");
    assert_eq!(token(&stage), first);
    stage.at("+185s");
    assert_ne!(token(&stage), first);
    assert_eq!(refreshes(&idp), 1);
}

#[test]
fn a_wanted_validity_is_granted() {
    let idp = Idp::honest();
    let mut stage = living(&idp, 3600);
    let first = token(&stage);
    let valid = |stage: &Stage, span: &str| stage.run(&["auth", "token", "--min-validity", span]).ends(0).stdout();
    assert_eq!(valid(&stage, "50m").trim_end(), first);
    stage.at("+20m");
    assert_eq!(valid(&stage, "30m").trim_end(), first);
    assert_eq!(refreshes(&idp), 0);
    assert_ne!(valid(&stage, "50m").trim_end(), first);
    assert_eq!(refreshes(&idp), 1);
}

#[test]
fn a_living_token_still_serves_while_the_service_is_away() {
    let idp = Idp::honest();
    let mut stage = living(&idp, 3600);
    let first = token(&stage);
    for fault in [Fault::Closes, Fault::HtmlError, Fault::Garbage] {
        idp.change(|behaviour| {
            behaviour.fault("/token", fault);
        });
        stage.at("+3550s");
        assert_eq!(token(&stage), first);
        stage.run(&["auth", "token", "--min-validity", "10m"]).ends(6);
        stage.at("+3605s");
        let outcome = stage.run(&["auth", "token"]).ends(6);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
}

#[test]
fn a_clock_that_moves_costs_one_refresh_at_most() {
    let idp = Idp::honest();
    let mut stage = living(&idp, 3600);
    for (time, renewed) in [
        ("+2h", 1),
        ("-1h", 1),
        ("@1970-01-02 00:00:00", 1),
        ("@2039-01-01 00:00:00", 1),
        ("@2106-03-01 00:00:00", 1),
        ("+0", 1),
    ] {
        stage.at(time);
        idp.forget();
        let first = token(&stage);
        assert_eq!(refreshes(&idp), renewed, "{time}");
        assert_eq!(token(&stage), first, "{time}");
        assert_eq!(refreshes(&idp), renewed, "{time}");
        stage.run(&["auth", "status", "--offline"]).ends(0);
    }
}

#[test]
fn a_sign_in_with_a_wrong_clock_says_so_and_checks_as_ever() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    for (time, direction) in [
        ("+1h", "ahead of"),
        ("-1h", "behind"),
        ("@1970-01-02 00:00:00", "behind"),
        ("@2039-01-01 00:00:00", "ahead of"),
    ] {
        stage.at(time);
        let before = scene::settled(&stage);
        let outcome = attempt(&stage, &[]);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{time}: {outcome}");
        let said = outcome.stderr();
        assert!(said.contains("this machine's clock is") && said.contains(direction), "{time}: {said}");
        assert!(said.contains("ID token"), "{time}: {said}");
        assert_eq!(scene::settled(&stage), before, "{time}");
    }
    // Some minutes are forgiven: the service's own word about the time counts.
    for time in ["+4m", "-4m"] {
        stage.at(time);
        attempt(&stage, &[]).ends(0);
    }
}
