//! Replacing keys: what is asked, and what is never deleted.

use super::*;
use crate::provider::Rotation;

const SINCE: &str = "2026-03-01T11:00:00Z";

fn rotation() -> &'static dyn Rotation {
    PROVIDER.rotation().unwrap()
}

fn made() -> Response {
    answer(
        200,
        "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>dev</UserName>\
         <AccessKeyId>AKIANEWNEWNEWNEWNEWN</AccessKeyId><Status>Active</Status><SecretAccessKey>new/secret</SecretAccessKey>\
         </AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>",
    )
}

fn listed(keys: &[(&str, &str)]) -> Response {
    let member = |(id, at): &(&str, &str)| {
        format!(
            "<member><UserName>dev</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status>\
             <CreateDate>{at}</CreateDate></member>"
        )
    };
    let members: String = keys.iter().map(member).collect();
    answer(
        200,
        &format!("<ListAccessKeysResult><AccessKeyMetadata>{members}</AccessKeyMetadata></ListAccessKeysResult>"),
    )
}

fn used(date: &str, service: &str) -> Response {
    let date = if date.is_empty() { String::new() } else { format!("<LastUsedDate>{date}</LastUsedDate>") };
    answer(200, &format!("<AccessKeyLastUsed>{date}<ServiceName>{service}</ServiceName></AccessKeyLastUsed>"))
}

/// The actions of a rotation that goes on after an interruption, when IAM lists these keys with this last use.
fn resumed(keys: &[(&str, &str)], last_used: (&str, &str)) -> Vec<String> {
    let aws = Aws::new(|asked: &Asked, _| match asked.action() {
        "ListAccessKeys" => listed(keys),
        "GetAccessKeyLastUsed" => used(last_used.0, last_used.1),
        "DeleteAccessKey" => answer(200, ""),
        _ => made(),
    });
    let env = nowhere(&[]);
    let net = Net { http: &aws, env: &env, now: now() };
    let since = SINCE.parse().unwrap();
    assert!(rotation().clear(&lasting(&[]), since, &net).unwrap(), "nothing can be left");
    rotation().mint(&lasting(&[]), None, &net).unwrap();
    aws.actions()
}

#[test]
fn a_new_key_is_made_at_iam_with_the_old_one() {
    let aws = Aws::new(|_: &Asked, _| made());
    let env = nowhere(&[("AWS_ENDPOINT_URL_IAM", "https://iam.example/")]);
    let net = Net { http: &aws, env: &env, now: now() };
    let old = lasting(&[("region", "eu-west-1"), ("endpoint", "https://sts.example/")]);
    let raw = rotation().mint(&old, None, &net).unwrap();
    assert_eq!(raw.get("access_key_id").unwrap().expose(), "AKIANEWNEWNEWNEWNEWN");
    assert_eq!(raw.get("secret_access_key").unwrap().expose(), "new/secret");
    let [asked] = &aws.asked()[..] else { panic!("one trip") };
    assert_eq!(asked.url, "https://iam.example/");
    assert_eq!((asked.action(), asked.fields["Version"].as_str()), ("CreateAccessKey", "2010-05-08"));
    assert_eq!(asked.scope, format!("{ID}/20260301/us-east-1/iam/aws4_request"));
    assert_eq!(rotation().handle(&old).as_deref(), Some(ID));
}

#[test]
fn an_interrupted_one_removes_what_it_lost_and_nothing_else() {
    let lost = "AKIALOSTLOSTLOSTLOST";
    let cleaned = ["ListAccessKeys", "GetAccessKeyLastUsed", "DeleteAccessKey", "CreateAccessKey"];
    let asked_only = ["ListAccessKeys", "GetAccessKeyLastUsed", "CreateAccessKey"];
    let at_start = "2026-03-01T11:00:02Z";
    let pair = [(ID, "2020-01-01T00:00:00Z"), (lost, at_start)];
    assert_eq!(resumed(&pair, ("", "N/A")), cleaned, "never used");
    assert_eq!(resumed(&pair, ("2026-03-01T11:00:03Z", "sts")), cleaned, "used by the verification alone");
    assert_eq!(resumed(&pair, ("2026-03-01T11:00:03Z", "s3")), asked_only, "somebody works with it");
    assert_eq!(resumed(&pair, ("2026-03-01T11:30:00Z", "sts")), asked_only, "somebody signs in with it");
    for elsewhere in ["2026-03-01T10:50:00Z", "2026-03-01T11:10:00Z", "soon"] {
        assert_eq!(resumed(&[(lost, elsewhere)], ("", "N/A")), ["ListAccessKeys", "CreateAccessKey"], "{elsewhere}");
    }
    assert_eq!(resumed(&[(ID, at_start)], ("", "N/A")), ["ListAccessKeys", "CreateAccessKey"], "the stored one");
}

#[test]
fn what_may_not_be_listed_or_looked_at_stays() {
    let actions = |listing: &(dyn Fn() -> Response + Sync)| {
        let aws = Aws::new(|asked: &Asked, _| match asked.action() {
            "ListAccessKeys" => listing(),
            "GetAccessKeyLastUsed" => refused(403, "AccessDenied", ""),
            _ => made(),
        });
        let env = nowhere(&[]);
        let net = Net { http: &aws, env: &env, now: now() };
        let since = SINCE.parse().unwrap();
        assert!(!rotation().clear(&lasting(&[]), since, &net).unwrap(), "something may be left");
        rotation().mint(&lasting(&[]), Some(since), &net).unwrap();
        aws.actions()
    };
    assert_eq!(actions(&|| refused(403, "AccessDenied", "")), ["ListAccessKeys", "CreateAccessKey"]);
    let listing = || listed(&[("AKIALOSTLOSTLOSTLOST", SINCE)]);
    assert_eq!(actions(&listing), ["ListAccessKeys", "GetAccessKeyLastUsed", "CreateAccessKey"]);
}

#[test]
fn a_full_user_and_a_missing_permission_are_explained() {
    let mint = |response: &(dyn Fn() -> Response + Sync)| {
        let aws = Aws::new(|_: &Asked, _| response());
        let env = nowhere(&[]);
        rotation().mint(&lasting(&[]), None, &Net { http: &aws, env: &env, now: now() }).unwrap_err()
    };
    let full = mint(&|| refused(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"));
    assert!(matches!(&full, ProviderError::CannotRotate { .. }));
    assert!(full.to_string().contains("two access keys") && full.mend().unwrap().contains("IAM console"));
    let full = |last_used: (&'static str, &'static str), since: Option<&str>| {
        let aws = Aws::new(|asked: &Asked, _| match asked.action() {
            "ListAccessKeys" => listed(&[(ID, "2020-01-01T00:00:00Z"), ("AKIAOTHEROTHEROTHERO", "2026-02-01T10:20:30Z")]),
            "GetAccessKeyLastUsed" => used(last_used.0, last_used.1),
            _ => refused(409, "LimitExceeded", ""),
        });
        let since = since.map(|since| since.parse().unwrap());
        let env = nowhere(&[]);
        let net = Net { http: &aws, env: &env, now: now() };
        let failure = rotation().mint(&lasting(&[]), since, &net).unwrap_err();
        (failure.to_string(), failure.mend().unwrap())
    };
    let other = "the other one is AKIAOTHEROTHEROTHERO, made on 2026-02-01 at 10:20 UTC";
    let (what, mend) = full(("", "N/A"), None);
    assert!(what.ends_with(&format!("{other}, never used")), "{what}");
    assert!(mend.contains("`aws iam delete-access-key --user-name dev --access-key-id AKIAOTHEROTHEROTHERO`"), "{mend}");
    let (what, _) = full(("2026-02-28T09:08:07Z", "s3"), None);
    assert!(what.ends_with(&format!("{other}, last used on 2026-02-28 at 09:08 UTC for s3")), "{what}");
    let (what, _) = full(("", "N/A"), Some("2026-02-01T10:20:00Z"));
    assert!(what.ends_with("never used; an interrupted rotation may have made it"), "{what}");
    let denied = mint(&|| refused(403, "AccessDenied", ""));
    assert!(denied.to_string().contains("iam:CreateAccessKey"), "{denied}");
    let unclear = mint(&|| answer(200, "<html>"));
    assert!(matches!(unclear, ProviderError::Refused(verdict) if verdict.outcome == Outcome::Unexpected));
}

#[test]
fn the_old_key_is_switched_off_and_deleted_with_the_new_one() {
    let new = of(STATIC, "aws", &[("access_key_id", "AKIANEWNEWNEWNEWNEWN"), ("secret_access_key", SECRET)]);
    let retire = |handle: &str, answers: &(dyn Fn(&Asked, usize) -> Response + Sync)| {
        let aws = Aws::new(answers);
        let env = nowhere(&[]);
        let done = rotation().retire(handle, &new, &Net { http: &aws, env: &env, now: now() });
        (done, aws.asked())
    };
    let (done, asked) = retire(ID, &|_, _| answer(200, ""));
    done.unwrap();
    assert_eq!(asked[0].fields["Status"], "Inactive");
    for asked in &asked {
        assert_eq!(asked.fields["AccessKeyId"], ID);
        assert!(asked.scope.starts_with("AKIANEWNEWNEWNEWNEWN/"));
    }
    assert_eq!((asked[0].action(), asked[1].action(), asked.len()), ("UpdateAccessKey", "DeleteAccessKey", 2));

    assert!(retire(ID, &|_, _| refused(404, "NoSuchEntity", "")).0.is_ok(), "gone already");
    let unknown_at_first = |_: &Asked, before: usize| {
        if before < 2 { refused(403, "InvalidClientTokenId", "") } else { answer(200, "") }
    };
    assert!(retire(ID, &unknown_at_first).0.is_ok(), "a new key is not known everywhere at once");
    let no_switch = |asked: &Asked, _: usize| {
        if asked.action() == "UpdateAccessKey" { refused(403, "AccessDenied", "") } else { answer(200, "") }
    };
    assert!(retire(ID, &no_switch).0.is_ok(), "switching off is not needed");
    let failure = retire(ID, &|_, _| refused(403, "AccessDenied", "")).0.unwrap_err();
    assert!(failure.to_string().contains("iam:DeleteAccessKey"));
    let (done, asked) = retire("AKIANEWNEWNEWNEWNEWN", &|_, _| answer(200, ""));
    assert!(done.is_err() && asked.is_empty(), "the new key never deletes itself");
}

#[test]
fn what_cannot_be_replaced_says_what_to_do_instead() {
    let mend = |credential: Credential| rotation().can(&credential.metadata).unwrap_err().mend().unwrap();
    assert!(mend(role(&[])).contains("lanyard credentials rotate base"));
    assert!(mend(lasting(&[("session_token", "t")])).contains("--replace"));
    let temporary = of(STATIC, "aws", &[("access_key_id", "ASIAIOSFODNN7EXAMPLE"), ("secret_access_key", SECRET)]);
    assert!(mend(temporary).contains("--replace"));
    assert!(rotation().can(&lasting(&[]).metadata).is_ok());
}
