//! `lanyard auth token`: the access token alone. The path to a cached token opens nothing but the secret store.

use chrono::Duration;

use crate::auth::renew::{self, Want};
use crate::cli::access::Access;
use crate::cli::{Doors, active};
use crate::error::Result;

/// Print the access token, renewed if it is about to expire
///
/// The token stands alone on stdout, whatever --output says. It is renewed when it has under 60 seconds left, or under a tenth of its life if it lives less than ten minutes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard auth token --header | curl -H @- https://api.example.com/me\n  \
lanyard auth token --min-validity 10m")]
pub(crate) struct Args {
    /// Print `Authorization: Bearer TOKEN` instead of the token alone
    #[arg(long)]
    header: bool,
    /// Renew a token that has less life left than this: seconds, or 90s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    min_validity: Option<Duration>,
    /// Fail instead of waiting when another process renews the session
    #[arg(long)]
    no_wait: bool,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let prefix = if self.header { "Authorization: Bearer " } else { "" };
        if let Some(token) = &profile.token {
            return doors.ui.answer_secret(prefix, &token.value);
        }
        let access = Access::new(doors, &config, &profile)?;
        let wait = if self.no_wait { std::time::Duration::ZERO } else { renew::WAIT };
        let session = access.session(Want::Fresh(self.min_validity), wait)?;
        doors.ui.answer_secret(prefix, &session.access_token)
    }
}

/// A span of time as people write it: `90`, `90s`, `10m`, `2h`, `1d`.
pub(in crate::cli) fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write a number with s, m, h or d behind it, such as 10m".into()),
    };
    let number: i64 =
        number.parse().map_err(|_| "write a number with s, m, h or d behind it, such as 10m".to_owned())?;
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= 366 * 86_400)
        .map(Duration::seconds)
        .ok_or_else(|| "that is longer than a year".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(parse_duration("90"), Ok(Duration::seconds(90)));
        assert_eq!(parse_duration("10m"), Ok(Duration::minutes(10)));
        assert_eq!(parse_duration("2h"), Ok(Duration::hours(2)));
        for bad in ["", "m", "-1", "10x", "99999999999999999999", "9999d", "1.5h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
