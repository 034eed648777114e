//! What was made from a credential for a while and is kept until it nears its end: the session of a role, an access
//! token, the password of a registry. Tools ask for each of their commands; their providers need not be asked as often.

use chrono::{DateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

use crate::credential::{Issued, Material};
use crate::secret::Secret;

/// What has less life left than this is made anew. The SDKs of AWS ask again for what ends within 15 minutes, and
/// what they are told ends somewhat earlier than it does.
const MARGIN: TimeDelta = TimeDelta::minutes(17);
/// What was made later than now, by a clock that was set back since, is believed within this.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// What was made, when, and for what.
#[derive(Debug)]
pub struct Kept {
    /// What was made.
    pub material: Material,
    /// When.
    pub made: DateTime<Utc>,
    /// Its end.
    pub expires: DateTime<Utc>,
}

/// In which form a credential is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As requests carry it.
    Usual,
    /// As one that ends by itself, for tools that keep what they are given.
    Short,
}

impl Form {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Short => "short",
        }
    }
}

impl Kept {
    /// What is worth keeping: what says when it ends, and can be written down.
    pub(super) fn of(issued: &Issued, made: DateTime<Utc>) -> Option<(Zeroizing<Vec<u8>>, DateTime<Utc>)> {
        let expires = issued.expires?;
        let kept = is_good(made, expires, made).then(|| write(&issued.material)).flatten()?;
        Some((kept, expires))
    }

    /// The same as something to hand out, if enough of its life is left.
    pub(super) fn good(self, now: DateTime<Utc>) -> Option<Issued> {
        let Self { material, made, expires } = self;
        is_good(made, expires, now).then_some(Issued { material, expires: Some(expires) })
    }
}

/// Whether enough of its life is left: more than the margin; of what lives shortly, more than half.
fn is_good(made: DateTime<Utc>, expires: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now + SKEW >= made && expires - now > MARGIN.min((expires - made) / 2)
}

/// The material as words in JSON; `None` for a form that is never made for a while.
fn write(material: &Material) -> Option<Zeroizing<Vec<u8>>> {
    let words: Vec<&str> = match material {
        Material::Bearer(token) => vec!["bearer", token.expose()],
        Material::Basic { username, password } => vec!["basic", username, password.expose()],
        Material::AwsKeys { access_key_id, secret_access_key, session_token } => {
            let token = session_token.as_ref().map_or("", Secret::expose);
            vec!["aws", access_key_id, secret_access_key.expose(), token]
        }
        _ => return None,
    };
    // Room for escapes, so that growing leaves no copy behind.
    let room = words.iter().map(|word| 6 * word.len() + 4).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *text, &words).ok()?;
    Some(text)
}

/// The material in such words.
pub(super) fn read(text: &[u8]) -> Option<Material> {
    let words: Vec<Secret> = serde_json::from_slice(text).ok()?;
    let plain = |word: &Secret| word.expose().to_owned();
    match words.as_slice() {
        [form, token] if form.expose() == "bearer" => Some(Material::Bearer(token.duplicate())),
        [form, username, password] if form.expose() == "basic" => {
            Some(Material::Basic { username: plain(username), password: password.duplicate() })
        }
        [form, id, key, token] if form.expose() == "aws" => Some(Material::AwsKeys {
            access_key_id: plain(id),
            secret_access_key: key.duplicate(),
            session_token: Some(token.duplicate()).filter(|token| !token.expose().is_empty()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    #[test]
    fn the_last_quarter_of_an_hour_is_not_handed_out() {
        for (life, age, good) in [
            (60, 0, true),
            (60, 42, true),
            (60, 43, false),
            (60, 61, false),
            // Half of what lives shortly.
            (15, 7, true),
            (15, 8, false),
            (720, 700, true),
            // Made by a clock that was set back since.
            (60, -1, true),
            (60, -2, false),
            (0, 0, false),
        ] {
            assert_eq!(is_good(at(100), at(100 + life), at(100 + age)), good, "{life} {age}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let secret = |text: &str| Secret::new(text.into());
        let all = [
            Material::Bearer(secret("to\"ken\\")),
            Material::Basic { username: "ALICE".into(), password: secret("p w") },
            Material::AwsKeys {
                access_key_id: "ASIA".into(),
                secret_access_key: secret("s/+="),
                session_token: Some(secret("t")),
            },
            Material::AwsKeys { access_key_id: "A".into(), secret_access_key: secret("s"), session_token: None },
        ];
        for material in all {
            let text = write(&material).unwrap();
            assert_eq!(write(&read(&text).unwrap()).unwrap(), text);
        }
        assert!(write(&Material::Variables(Vec::new())).is_none());
        for text in ["", "[]", "[\"bearer\"]", "[\"aws\",\"a\",\"b\"]", "{}", "[\"other\",\"a\"]"] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        let issued = Issued::lasting(Material::Bearer(Secret::new("t".into())));
        assert!(Kept::of(&issued, at(0)).is_none());
        assert!(Kept::of(&Issued { expires: Some(at(60)), ..issued }, at(0)).is_some());
    }
}
