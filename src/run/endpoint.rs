//! The container-credentials endpoint of the AWS SDKs, on this machine, for one command: keys that are fresh whenever a
//! tool asks, and that are in no variable and no file.
//!
//! Facts: the SDKs' reference guide, "Container credential provider". The SDKs send `GET` with the value of
//! `AWS_CONTAINER_AUTHORIZATION_TOKEN` as the `Authorization` header, and read `AccessKeyId`, `SecretAccessKey`, `Token`
//! and `Expiration`.
//!
//! Every user of the machine can connect, and a web page can have a browser connect. So whoever lacks the token of this
//! run, or names another host than the one in the address, is told no, and no more than that. Whoever connects and says
//! nothing keeps nobody else from being answered: where there are too many of them, the first gives way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use zeroize::Zeroizing;

use crate::credential::{Issued, Material, Variable};
use crate::http::segment;
use crate::run::RunError;
use crate::secret::Secret;
use crate::text::hex;

/// The longest head of a request, in bytes.
const LONGEST: usize = 8 << 10;
/// So long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many requests are waited for at once.
const MOST_SILENT: usize = 64;
/// So many are answered at once.
const MOST: usize = 256;
/// The SDKs ask for new keys a quarter of an hour before the end.
const EARLY: TimeDelta = TimeDelta::minutes(16);
/// When they shall ask again where the end is not known.
const UNKNOWN_END: TimeDelta = TimeDelta::hours(1);

/// The variables that would win over the endpoint, or over its token.
const IN_THE_WAY: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_PROFILE",
];

/// The endpoint, before it answers.
pub struct Endpoint {
    listener: TcpListener,
    door: Door,
}

/// What a request must have.
#[derive(Debug)]
struct Door {
    host: String,
    path: String,
    token: Secret,
}

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Keys,
    Forbidden,
    NotThere,
}

impl Endpoint {
    /// Opens it for the credential of that name.
    pub fn open(name: &str) -> Result<Self, RunError> {
        let failed = |cause| RunError::System { action: "open the endpoint on this machine", cause };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let host = listener.local_addr().map_err(failed)?.to_string();
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *random).map_err(|_| failed(io::ErrorKind::Other.into()))?;
        let token = Secret::new(hex(&*random));
        Ok(Self { listener, door: Door { host, path: format!("/creds/{}", segment(name)), token } })
    }

    /// What a command is given instead of keys.
    pub fn variables(&self) -> Vec<Variable> {
        let uri = format!("http://{}{}", self.door.host, self.door.path);
        let mut variables = vec![
            Variable::plain("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
            Variable::secret("AWS_CONTAINER_AUTHORIZATION_TOKEN", &self.door.token),
            // Keys of the user's own default profile would win.
            Variable::plain("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            Variable::plain("AWS_CONFIG_FILE", "/dev/null"),
        ];
        variables.extend(IN_THE_WAY.map(|name| Variable::Unset { name }));
        variables
    }

    /// Answers on threads of its own, for as long as the process lives. `keys` gives the answer, `None` where there are
    /// no keys to be had.
    pub fn serve(self, keys: impl Fn() -> Option<Secret> + Send + Sync + 'static) -> Result<(), RunError> {
        let Self { listener, door } = self;
        let (door, keys, busy) = (Arc::new(door), Arc::new(keys), Arc::new(AtomicUsize::new(0)));
        let silent = Silent::default();
        let accept = move || {
            for stream in listener.incoming() {
                let Some((stream, place)) = stream.ok().and_then(|stream| silent.admit(stream)) else {
                    // Too many open files, say: waiting helps, and asking at once again does not.
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                };
                if busy.fetch_add(1, Ordering::SeqCst) >= MOST {
                    busy.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                let (door, keys, one) = (Arc::clone(&door), Arc::clone(&keys), Arc::clone(&busy));
                let answer = move || {
                    // Whoever does not wait for the answer gets none.
                    let _ = converse(stream, place, &door, &*keys);
                    one.fetch_sub(1, Ordering::SeqCst);
                };
                if std::thread::Builder::new().spawn(answer).is_err() {
                    busy.fetch_sub(1, Ordering::SeqCst);
                }
            }
        };
        let started = std::thread::Builder::new().name("endpoint".into()).spawn(accept);
        started.map(|_| ()).map_err(|cause| RunError::System { action: "answer at the endpoint", cause })
    }
}

/// The connections whose request has not come yet, the first one first.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<Waiting>>);

/// Connections, each with a number of its own.
#[derive(Default)]
struct Waiting {
    admitted: u64,
    all: VecDeque<(u64, TcpStream)>,
}

/// The place of one connection among the silent ones, given up when it is dropped.
struct Place {
    silent: Silent,
    number: u64,
}

impl Silent {
    /// Takes one in; where there are too many, the one that has been silent for longest is closed. `None` where the
    /// system gives no more descriptors.
    fn admit(&self, stream: TcpStream) -> Option<(TcpStream, Place)> {
        let watched = stream.try_clone().ok()?;
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.all.len() >= MOST_SILENT
            && let Some((_, first)) = waiting.all.pop_front()
        {
            // Its thread reads the end, and ends. One that is gone needs no closing.
            let _ = first.shutdown(Shutdown::Both);
        }
        waiting.admitted += 1;
        let number = waiting.admitted;
        waiting.all.push_back((number, watched));
        Some((stream, Place { silent: self.clone(), number }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.silent.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all.retain(|(number, _)| *number != self.number);
    }
}

fn converse(mut stream: TcpStream, place: Place, door: &Door, keys: &dyn Fn() -> Option<Secret>) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = read_head(&mut stream)?;
    drop(place);
    let (status, body) = match head.as_deref().map_or(Answer::Forbidden, |head| door.answer(head)) {
        Answer::Forbidden => ("403 Forbidden", None),
        Answer::NotThere => ("404 Not Found", None),
        Answer::Keys => match keys() {
            Some(body) => ("200 OK", Some(body)),
            None => ("503 Service Unavailable", None),
        },
    };
    let body = body.unwrap_or_else(|| Secret::new("{}".into()));
    let length = body.expose().len().to_string();
    let page = Zeroizing::new(
        [
            "HTTP/1.1 ",
            status,
            "\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: ",
            &length,
            "\r\n\r\n",
            body.expose(),
        ]
        .concat(),
    );
    stream.write_all(page.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// The head of a request; `None` where it is too long or no text.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<Zeroizing<String>>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Zeroizing::new(vec![0; LONGEST]);
    let mut length = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let read = stream.read(head.get_mut(length..).unwrap_or_default())?;
        length += read;
        let come = head.get(..length).unwrap_or_default();
        if let Some(end) = come.windows(4).position(|part| part == b"\r\n\r\n") {
            let text = come.get(..end).and_then(|head| std::str::from_utf8(head).ok());
            return Ok(text.map(|text| Zeroizing::new(text.to_owned())));
        }
        if read == 0 || left.is_zero() || length == LONGEST {
            return Ok(None);
        }
    }
}

impl Door {
    /// What a request gets. Without the token, nobody learns what there is.
    fn answer(&self, head: &str) -> Answer {
        let mut lines = head.split("\r\n");
        let request = lines.next().unwrap_or_default();
        let (mut hosts, mut tokens) = (Vec::new(), Vec::new());
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { return Answer::Forbidden };
            let value = value.trim_matches([' ', '\t']);
            if name.eq_ignore_ascii_case("host") {
                hosts.push(value);
            } else if name.eq_ignore_ascii_case("authorization") {
                tokens.push(Secret::new(value.to_owned()));
            }
        }
        if hosts != [self.host.as_str()] || tokens.len() != 1 || tokens.first() != Some(&self.token) {
            return Answer::Forbidden;
        }
        let mut words = request.split(' ');
        let asked = (words.next(), words.next(), words.next());
        let is_version = asked.2.is_some_and(|version| version.starts_with("HTTP/1."));
        if asked.0 == Some("GET") && asked.1 == Some(&self.path) && is_version && words.next().is_none() {
            Answer::Keys
        } else {
            Answer::NotThere
        }
    }
}

/// Whether new keys are to be made: shortly before the SDKs would ask for them, for short-lived ones after half their
/// life.
pub fn is_due(made: DateTime<Utc>, expires: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let Some(expires) = expires else { return now - made >= UNKNOWN_END / 2 };
    expires - now <= EARLY.min((expires - made) / 2)
}

/// The answer with these keys.
///
/// # Errors
/// [`RunError::Lasting`] for keys without a session: the SDKs do not take them from here.
pub fn body(name: &str, issued: &Issued, now: DateTime<Utc>) -> Result<Secret, RunError> {
    let Material::AwsKeys { access_key_id, secret_access_key, session_token: Some(token) } = &issued.material else {
        return Err(RunError::Lasting { name: name.to_owned() });
    };
    let expires = issued.expires.unwrap_or(now + UNKNOWN_END).to_rfc3339_opts(SecondsFormat::Secs, true);
    let quoted = [access_key_id, secret_access_key.expose(), token.expose(), &expires]
        .map(|value| Zeroizing::new(serde_json::Value::from(value).to_string()));
    let [id, secret, token, expires] = &quoted;
    Ok(Secret::new(
        [
            "{\"AccessKeyId\":",
            id,
            ",\"SecretAccessKey\":",
            secret,
            ",\"Token\":",
            token,
            ",\"Expiration\":",
            expires,
            "}",
        ]
        .concat(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    #[test]
    fn only_the_very_request_is_answered() {
        let door = Door { host: "127.0.0.1:7".into(), path: "/creds/a".into(), token: secret("t0ken") };
        let answer = |line: &str, headers: &[&str]| door.answer(&[&[line], headers].concat().join("\r\n"));
        let good = ["host: 127.0.0.1:7", "AUTHORIZATION:\tt0ken "];
        assert_eq!(answer("GET /creds/a HTTP/1.1", &good), Answer::Keys);
        for line in [
            "POST /creds/a HTTP/1.1",
            "GET /creds/b HTTP/1.1",
            "GET /creds/a/ HTTP/1.1",
            "GET /creds/a?x HTTP/1.1",
            "GET  /creds/a HTTP/1.1",
            "GET /creds/a",
            "",
        ] {
            assert_eq!(answer(line, &good), Answer::NotThere, "{line}");
        }
        for headers in [
            &["Host: 127.0.0.1:7"][..],
            &["Host: 127.0.0.1:7", "Authorization: t0ke"],
            &["Host: 127.0.0.1:7", "Authorization: Bearer t0ken"],
            &["Host: 127.0.0.1:7", "Authorization: t0ken", "Authorization: t0ken"],
            &["Host: evil.example:7", "Authorization: t0ken"],
            &["Host: localhost:7", "Authorization: t0ken"],
            &["Host: 127.0.0.1:7", "Host: 127.0.0.1:7", "Authorization: t0ken"],
            &["Authorization: t0ken"],
            &["Host: 127.0.0.1:7", "Authorization: t0ken", "no header"],
        ] {
            assert_eq!(answer("GET /creds/a HTTP/1.1", headers), Answer::Forbidden, "{headers:?}");
            assert_eq!(answer("GET /other HTTP/1.1", headers), Answer::Forbidden, "{headers:?}");
        }
    }

    #[test]
    fn who_says_nothing_keeps_nobody_from_being_answered() {
        let endpoint = Endpoint::open("a").unwrap();
        let (address, token) = (endpoint.door.host.clone(), endpoint.door.token.duplicate());
        endpoint.serve(|| Some(secret("keys"))).unwrap();
        let silent: Vec<TcpStream> = (0..3 * MOST_SILENT).map(|_| TcpStream::connect(&address).unwrap()).collect();
        let started = Instant::now();
        let mut asked = TcpStream::connect(&address).unwrap();
        let head = format!("GET /creds/a HTTP/1.1\r\nHost: {address}\r\nAuthorization: {}\r\n\r\n", token.expose());
        asked.write_all(head.as_bytes()).unwrap();
        let mut told = String::new();
        asked.read_to_string(&mut told).unwrap();
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.ends_with("\r\n\r\nkeys"), "{told}");
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
        drop(silent);
    }

    #[test]
    fn keys_are_renewed_in_time_and_not_at_each_question() {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        for (life, age, due) in
            [(60, 0, false), (60, 43, false), (60, 44, true), (60, 70, true), (15, 7, false), (15, 8, true)]
        {
            assert_eq!(is_due(at(0), Some(at(life)), at(age)), due, "{life} {age}");
        }
        assert!(!is_due(at(0), None, at(29)) && is_due(at(0), None, at(30)));
    }

    #[test]
    fn lasting_keys_are_refused() {
        let keys = |token: Option<&str>| Issued {
            material: Material::AwsKeys {
                access_key_id: "ASIA".into(),
                secret_access_key: secret("s\"k"),
                session_token: token.map(secret),
            },
            expires: None,
        };
        let now = DateTime::UNIX_EPOCH;
        let told: serde_json::Value = serde_json::from_str(body("a", &keys(Some("t")), now).unwrap().expose()).unwrap();
        let expected = serde_json::json!({
            "AccessKeyId": "ASIA", "SecretAccessKey": "s\"k", "Token": "t", "Expiration": "1970-01-01T01:00:00Z"
        });
        assert_eq!(told, expected);
        assert!(matches!(body("a", &keys(None), now), Err(RunError::Lasting { .. })));
    }
}
