//! How much a person is asked before a program is let in (OpenID Connect Core section 3.1.2.1).
//!
//! Whether a program is let in is always asked, so that nothing is given to one that wants nobody asked. When the person
//! last showed who they are stands in the ID token, where the program sees whether it is as late as it wanted.

use chrono::{DateTime, Utc};

use crate::server::portal::SignedIn;

/// What a program may say of it.
pub(super) const KNOWN: [&str; 3] = ["none", "login", "consent"];

/// What a program wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Prompt {
    /// Nobody is asked anything.
    none: bool,
    /// Whoever is signed in shows once more who they are.
    login: bool,
    /// They have done so within so many seconds.
    max_age: Option<u32>,
}

impl Prompt {
    /// What is said; `None` where it is not of the form, or contradicts itself. Words that mean nothing here are passed
    /// over.
    pub(super) fn read(prompt: Option<&str>, max_age: Option<&str>) -> Option<Self> {
        let words: Vec<&str> = prompt.unwrap_or_default().split_ascii_whitespace().collect();
        let [none, login] = ["none", "login"].map(|word| words.contains(&word));
        if none && words.len() > 1 {
            return None;
        }
        let max_age = match max_age.filter(|text| !text.is_empty()) {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(text.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        Some(Self { none, login, max_age })
    }

    /// The error that a program gets that wants nobody asked.
    pub(super) fn refuses(&self, signed_in: Option<&SignedIn>, now: DateTime<Utc>) -> Option<&'static str> {
        match signed_in {
            _ if !self.none => None,
            Some(signed_in) if !self.is_too_long_ago(signed_in.proved, now) => Some("consent_required"),
            _ => Some("login_required"),
        }
    }

    /// Whether somebody who is signed in shows once more who they are.
    pub(super) fn asks_again(&self, signed_in: &SignedIn, now: DateTime<Utc>) -> bool {
        self.login || self.is_too_long_ago(signed_in.proved, now)
    }

    fn is_too_long_ago(&self, proved: i64, now: DateTime<Utc>) -> bool {
        let age = now.timestamp_millis() - proved;
        self.max_age.is_some_and(|most| age > i64::from(most) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_a_program_wants_is_read_or_refused() {
        let read = |prompt, max_age| Prompt::read(Some(prompt), Some(max_age));
        let nothing = Prompt::default();
        assert_eq!(
            (Prompt::read(None, None), read("", ""), read("consent", "")),
            (Some(nothing), Some(nothing), Some(nothing))
        );
        assert_eq!(read("login select_account", "60"), Some(Prompt { none: false, login: true, max_age: Some(60) }));
        assert_eq!(read("none", "0"), Some(Prompt { none: true, login: false, max_age: Some(0) }));
        for (prompt, max_age) in
            [("none login", ""), ("", "-1"), ("", "+1"), ("", "1.5"), ("", "x"), ("", "4294967296")]
        {
            assert_eq!(read(prompt, max_age), None, "{prompt} {max_age}");
        }
    }

    #[test]
    fn how_long_ago_is_too_long_is_said_in_seconds() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let ago = |seconds: i64| (now - TimeDelta::seconds(seconds)).timestamp_millis();
        let within = |max_age| Prompt { max_age, ..Prompt::default() };
        assert!(!within(Some(60)).is_too_long_ago(ago(60), now) && within(Some(60)).is_too_long_ago(ago(61), now));
        assert!(!within(None).is_too_long_ago(ago(86_400), now) && within(Some(0)).is_too_long_ago(ago(1), now));
    }
}
