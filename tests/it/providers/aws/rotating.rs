//! Replacing access keys: ended well, refused, and interrupted at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Moto, exported, store, tested};
use crate::crash::{self, Blow};
use crate::double::{Answer, Double, Seen};
use crate::providers::clouds::assert_unseen;
use crate::vaulted::reveal;
use crate::wire;

#[test]
fn rotating_replaces_the_key_and_the_old_one_is_gone() {
    let moto = Moto::start();
    let stage = moto.stage();
    let (id, secret) = moto.key("dev");
    moto.store(&stage, "dev").ends(0);
    let rotated = stage.run(&["credentials", "rotate", "dev"]).ends(0);
    assert!(rotated.stderr().contains("Rotated dev"), "{rotated}");
    let fresh = reveal(&stage, "dev", "secret_access_key");
    assert_ne!(fresh, secret);
    assert_eq!(moto.count(&stage, "dev"), "1");
    assert_eq!(tested(&stage, "dev"), "dev  PASSED: Account 123456789012\n");
    let old = store(&stage, "old", &id, &secret, &[]).ends(8);
    assert!(old.stderr().contains("AWS does not know these keys"), "{old}");
    assert_unseen(&stage, &[&secret]);
}

#[test]
fn a_user_without_permissions_keeps_a_working_key_and_is_told_why() {
    let moto = Moto::start();
    let stage = moto.stage();
    moto.store(&stage, "bare").ends(0);
    let denied = stage.run(&["credentials", "rotate", "bare"]).ends(5);
    assert!(denied.stderr().contains("iam:CreateAccessKey"), "{denied}");
    assert!(tested(&stage, "bare").contains("PASSED"));

    moto.store(&stage, "stuck").ends(0);
    let half = stage.run(&["credentials", "rotate", "stuck"]).ends(0);
    assert!(half.stderr().contains("the old one is not revoked yet"), "{half}");
    assert!(half.stderr().contains("iam:DeleteAccessKey"), "{half}");
    assert!(tested(&stage, "stuck").contains("PASSED"));
    assert_eq!(moto.count(&stage, "stuck"), "2");
    let again = stage.run(&["credentials", "rotate", "stuck"]);
    assert_ne!(again.code, Some(0), "{again}");
    assert!(tested(&stage, "stuck").contains("PASSED"));
}

#[test]
fn a_third_key_is_refused_with_what_to_do() {
    let moto = Moto::start();
    let stage = moto.stage();
    moto.store(&stage, "dev").ends(0);
    moto.said(&exported(&stage, "dev"), "print(boto3.client('iam').create_access_key()['AccessKey']['Status'])");
    let full = stage.run(&["credentials", "rotate", "dev"]).ends(1);
    assert!(full.stderr().contains("two access keys"), "{full}");
    let line = "print(boto3.client('iam').list_access_keys()['AccessKeyMetadata'][1]['AccessKeyId'])";
    let other = moto.said(&exported(&stage, "dev"), line);
    assert!(full.stderr().contains(&format!("the other one is {other}, made on 2")), "{full}");
    assert!(full.stderr().contains(&format!("delete-access-key --user-name dev --access-key-id {other}`")), "{full}");
    assert_eq!(moto.count(&stage, "dev"), "2", "the other one is somebody's");
    assert!(tested(&stage, "dev").contains("PASSED"));
}

#[test]
fn interrupted_again_and_again_long_after_another_it_heals_by_itself() {
    let moto = Moto::with_a_clock();
    let mut stage = moto.stage();
    moto.store(&stage, "dev").ends(0);
    let loses = Arc::new(AtomicBool::new(true));
    let (iam, losing) = (moto.url.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&loses));
    // What is asked is carried out; what comes of it is lost where a key was made.
    let front = Double::start(move |seen: &Seen| {
        let answer = forwarded(seen, &iam);
        let made = wire::fields(&seen.message.body).contains(&("Action".into(), "CreateAccessKey".into()));
        let loses = made && losing.load(Ordering::SeqCst) && matches!(answer, Answer::Page(200, ..));
        if loses { Answer::Close } else { answer }
    });
    stage.set("AWS_ENDPOINT_URL_IAM", front.url());
    for ahead in ["+0m", "+10m", "+20m", "+3d"] {
        moto.at(&mut stage, ahead);
        let lost = stage.run(&["credentials", "rotate", "dev"]).ends(6);
        assert!(!lost.stderr().contains("two access keys"), "{ahead}: {lost}");
        assert_eq!(moto.count(&stage, "dev"), "2", "{ahead}: one that works, and one that is lost");
    }
    // A key that somebody made meanwhile is not ours to delete, even if nobody used it yet.
    moto.at(&mut stage, "+4d");
    let keys = exported(&stage, "dev");
    let ids = "[key['AccessKeyId'] for key in boto3.client('iam').list_access_keys()['AccessKeyMetadata']]";
    let lost = format!("[id for id in {ids} if id != '{}'][0]", keys["AWS_ACCESS_KEY_ID"]);
    let replaced = format!(
        "i = boto3.client('iam'); i.delete_access_key(AccessKeyId={lost}); print(i.create_access_key()['AccessKey']['AccessKeyId'])"
    );
    let somebodys = moto.said(&keys, &replaced);
    let full = stage.run(&["credentials", "rotate", "dev"]).ends(1);
    assert!(full.stderr().contains(&format!("the other one is {somebodys}, made on ")), "{full}");
    moto.said(&keys, &format!("print(boto3.client('iam').delete_access_key(AccessKeyId='{somebodys}'))"));

    let lost = stage.run(&["credentials", "rotate", "dev"]);
    assert_eq!(lost.code, Some(6), "{lost}");
    loses.store(false, Ordering::SeqCst);
    moto.at(&mut stage, "+5d");
    let rotated = stage.run(&["credentials", "rotate", "dev"]).ends(0);
    assert!(rotated.stderr().contains("an earlier rotation was interrupted; ending it"), "{rotated}");
    assert_eq!(moto.count(&stage, "dev"), "1");
    assert_eq!(tested(&stage, "dev"), "dev  PASSED: Account 123456789012\n");
}

/// What moto answers to a request that came to a double.
fn forwarded(seen: &Seen, address: &str) -> Answer {
    let mut request = format!("{} {} HTTP/1.1\r\n", seen.method, seen.target);
    for (name, value) in seen.message.headers.iter().filter(|(name, _)| name != "connection") {
        for part in [name, ": ", value, "\r\n"] {
            request += part;
        }
    }
    let body = seen.message.text();
    let Some(answer) = wire::send_raw(address, format!("{request}connection: close\r\n\r\n{body}").as_bytes()) else {
        return Answer::Close;
    };
    let date = answer.header("date").unwrap_or_default();
    Answer::text(answer.status(), "text/xml", &answer.text()).header(&format!("Date: {date}"))
}

#[test]
fn killed_at_any_moment_the_stored_key_works() {
    let moto = Moto::start();
    let stage = moto.stage();
    moto.store(&stage, "dev").ends(0);
    let mut struck = 0;
    // Before each request, before each answer, and around each change of the vault.
    for call in ["connect", "recvfrom", "pwrite64", "fdatasync", "unlink"] {
        struck += crash::at_every(
            call,
            Blow::Kill,
            || stage.command(&["credentials", "rotate", "dev"]),
            |time| {
                let told = tested(&stage, "dev");
                assert!(told.contains("PASSED"), "killed at {call} {time}: {told}");
            },
        );
    }
    assert!(struck > 30, "{struck} kills are no test");
    stage.run(&["credentials", "rotate", "dev"]).ends(0);
    assert_eq!(moto.count(&stage, "dev"), "1", "what was lost is gone");
}
