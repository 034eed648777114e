use super::*;
use crate::auth::grant::AuthMethod;

fn session(now: DateTime<Utc>, life: Option<i64>) -> Session {
    Session {
        service: "corp".into(),
        issuer: Some("https://id.example".into()),
        grant: Grant::Web,
        client: Some(Client { id: "cli".into(), secret: None, method: AuthMethod::None }),
        endpoints: Endpoints { token: Some(Url::parse("https://id.example/token").unwrap()), ..Endpoints::default() },
        access_token: Secret::new("access \"quoted\"".into()),
        refresh_token: Some(Secret::new("refresh".into())),
        id_token: None,
        issued_at: now,
        expires_at: life.map(|life| now + Duration::seconds(life)),
        scopes: vec!["openid".into()],
        identity: Identity { subject: Some("sub".into()), account: Some("user@example.com".into()), account_id: None },
        login_needed: false,
    }
}

#[test]
fn an_item_reads_as_it_was_written() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let read = item::read(&item::write(&session(now, Some(3600)))).unwrap();
    assert_eq!(read.access_token.expose(), "access \"quoted\"");
    assert_eq!(read.refresh_token.unwrap().expose(), "refresh");
    assert_eq!(read.expires_at.unwrap(), now + Duration::hours(1));
    assert_eq!(read.identity.account.as_deref(), Some("user@example.com"));
}

#[test]
fn freshness_follows_the_margin() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let at = |seconds| now + Duration::seconds(seconds);
    let hour = session(now, Some(3600));
    assert!(hour.is_fresh(at(3540), None));
    assert!(!hour.is_fresh(at(3541), None));
    assert!(!hour.is_fresh(at(3001), Some(Duration::minutes(10))));
    let short = session(now, Some(100));
    assert!(short.is_fresh(at(90), None));
    assert!(!short.is_fresh(at(91), None));
    assert!(session(now, None).is_fresh(at(1_000_000_000), Some(Duration::days(1))));
    assert!(!hour.is_fresh(at(-301), None), "the clock stepped back");
}
