//! Servers that send back what they were sent: an API in every form that a provider answers in, and a mail server.
//!
//! | mood | what it answers |
//! |---|---|
//! | `Says(status, shape)` | a refusal or a success, as the status has it, whose every word is the secret |
//! | `Portal(status)` | a page that quotes the whole request |
//! | `Elsewhere` | a redirect to an address with the secret in it |
//! | `Challenges` | `WWW-Authenticate` with the secret in each parameter |

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::canary::Canary;
use crate::double::{Answer, Double, Seen};

/// What the double is in the mood for.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    Says(u16, &'static str),
    Portal(u16),
    Elsewhere,
    Challenges,
}

/// The forms of refusals, each with `X` where the secret goes. What is a number in one API is a word in another.
pub const REFUSALS: [&str; 6] = [
    r#"{"error":{"code":"X","message":"X","status":"X","type":"X","details":[{"reason":"X"}]},"message":"X","kind":"Status","reason":"X"}"#,
    r#"{"error":"X","error_description":"X","errors":[{"code":"X","message":"X","extensions":{"code":"X"}}],"code":"X","message":"X","errorCode":"X","__type":"X"}"#,
    r#"{"success":false,"errors":[{"code":1000,"message":"X"}],"result":null,"ok":false,"error":"X"}"#,
    r#"{"kind":"Status","reason":"X","message":"User \"X\" cannot do it","error":{"code":"X","invalidToken":true}}"#,
    "<ErrorResponse><Error><Code>X</Code><Message>X</Message></Error></ErrorResponse>",
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no: X</Message></Error></ErrorResponse>",
];

/// The forms of successes.
pub const ANSWERS: [&str; 3] = [
    r#"{"login":"X","email":"X","name":"X","username":"X","id":"X","display_name":"X","user":{"id":"X","email":"X"},"account":{"email":"X"},"token":{"id":"X","name":"X","scopes":[{"type":"X"}]},"success":true,"result":{"id":"X","status":"active"},"scopes":["X"],"scope":"X","data":[],"ok":true,"team":"X"}"#,
    r#"{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"X"}},"credentialId":1,"applicationId":2,"data":{"viewer":{"email":"X"},"organization":{"name":"X"}},"id":"acct_X","email":"X","success":true,"result":{"id":"X","email":"X"},"user":"X","ok":true}"#,
    "<R><Account>X</Account><Arn>arn:aws:sts::X:assumed-role/x</Arn></R>",
];

/// A running double, and its mood.
pub struct Echo {
    pub double: Double,
    mood: Arc<Mutex<Mood>>,
    canaries: Arc<Mutex<Vec<Canary>>>,
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Echo {
    /// One whose token server gives out this token.
    pub fn start(minted: &Canary) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Says(401, REFUSALS[0])));
        let canaries = Arc::<Mutex<Vec<Canary>>>::default();
        let told = Arc::<Mutex<BTreeSet<String>>>::default();
        let double = Double::start({
            let (mood, canaries, minted) = (Arc::clone(&mood), Arc::clone(&canaries), minted.clone());
            let told = Arc::clone(&told);
            move |seen| {
                let mood = *mood.lock().unwrap_or_else(PoisonError::into_inner);
                let canaries = canaries.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let secret = secret_in(seen, &canaries);
                told.lock().unwrap_or_else(PoisonError::into_inner).extend(secret.clone());
                answer(mood, seen, secret.as_deref().unwrap_or("nothing"), minted.text())
            }
        });
        Self { double, mood, canaries, told }
    }

    /// How many of the secrets it was told.
    pub fn told(&self) -> usize {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells it the secrets, so that it finds them in whatever form they come.
    pub fn knows(&self, canaries: &[Canary]) {
        canaries.clone_into(&mut self.canaries.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

fn answer(mood: Mood, seen: &Seen, secret: &str, minted: &str) -> Answer {
    let filled = |shape: &str| shape.replace('X', secret);
    // A token server that works, so that the requests after it are seen as well.
    if seen.method == "POST" && matches!(mood, Mood::Says(200 | 403, _)) {
        if seen.path().ends_with("/token") {
            return Answer::json(200, &format!(r#"{{"access_token":"{minted}","expires_in":600}}"#));
        }
        if seen.message.text().contains("Action=AssumeRole") {
            return Answer::text(200, "text/xml", &assumed(minted));
        }
    }
    match mood {
        Mood::Says(status, shape) if shape.starts_with('<') => Answer::text(status, "text/xml", &filled(shape)),
        Mood::Says(status, shape) => Answer::json(status, &filled(shape))
            .header(&format!("Retry-After: {secret}"))
            .header(&format!("X-OAuth-Scopes: {secret}"))
            .header(&format!("X-GitHub-SSO: required; url={secret}"))
            .header(&format!("OpenAI-Organization: {secret}"))
            .header(&format!("Anthropic-Organization-Id: {secret}")),
        Mood::Portal(status) => {
            let headers = seen.message.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
            let quoted =
                format!("{} {}\n{}\n{}", seen.method, seen.target, headers.collect::<String>(), seen.message.text());
            Answer::text(status, "text/html", &format!("<html><title>{secret}</title>{quoted}{secret}</html>"))
        }
        Mood::Elsewhere => {
            Answer::text(302, "text/html", "").header(&format!("Location: https://portal.test/{secret}?again={secret}"))
        }
        Mood::Challenges => {
            let host = seen.header("host").unwrap_or_default();
            let line = format!(
                r#"WWW-Authenticate: Bearer realm="http://{host}/token/{secret}",service="{secret}",scope="{secret}",error="{secret}""#
            );
            Answer::json(401, &filled(REFUSALS[1])).header(&line)
        }
    }
}

/// What STS answers where a role is given.
fn assumed(secret: &str) -> String {
    format!(
        "<R><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{secret}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         <Arn>arn:aws:sts::123456789012:assumed-role/deploy/lanyard</Arn></R>"
    )
}

/// The secret in a request, whether it stands there as it is, in base64 or behind percent signs.
fn secret_in(seen: &Seen, canaries: &[Canary]) -> Option<String> {
    let mut places = vec![seen.target.clone(), seen.message.text()];
    for (_, value) in &seen.message.headers {
        places.extend(value.split(' ').filter_map(|word| String::from_utf8(STANDARD.decode(word).ok()?).ok()));
        places.push(value.clone());
    }
    let found = canaries.iter().find(|canary| places.iter().any(|place| place.contains(canary.text())));
    found.map(|canary| canary.text().to_owned())
}

/// A mail server that refuses everybody in the words that it was given. Returns its port; it serves until the tests end.
pub fn mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drop(refuse_mail(&stream)));
        }
    });
    port
}

fn refuse_mail(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 mail.test\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let answer = if line.starts_with("EHLO") {
            "250-mail.test\r\n250 AUTH PLAIN\r\n".to_owned()
        } else {
            let bytes = line.rsplit(' ').next().and_then(|word| STANDARD.decode(word).ok()).unwrap_or_default();
            let password = bytes.rsplit(|byte| *byte == 0).next().unwrap_or_default();
            format!("535 5.7.8 {} is wrong, and so is {line}\r\n", String::from_utf8_lossy(password))
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
