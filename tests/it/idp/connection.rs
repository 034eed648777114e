//! One connection: reads a request, lets the faults strike, writes the answer.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::behaviour::{Behaviour, Fault};
use super::{Reply, Seen, Shared, known_path, lock, pause};
use crate::wire::{Message, form};

pub(super) fn serve(stream: &TcpStream, shared: &Shared) {
    // A peer that goes away is the peer's choice; there is nothing to tell anyone.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Ok(message) = Message::read(stream, false) else { return };
    let seen = Seen::of(message);
    lock(&shared.requests).push(seen.clone());
    let known = known_path(&seen.path).to_owned();
    let fault = lock(&shared.behaviour).faults.get_mut(known.as_str()).and_then(super::Plan::next);
    let _ = match fault {
        None => send(stream, shared, &seen, &known, |stream, bytes| stream.write_all(bytes)),
        Some(fault) => strike(stream, shared, &seen, &known, fault),
    };
    let _ = stream.shutdown(Shutdown::Both);
}

fn strike(mut stream: &TcpStream, shared: &Shared, seen: &Seen, known: &str, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Redirect(status, target) => {
            stream.write_all(page(status, &[format!("Location: {target}")], "text/plain", "moved").as_bytes())
        }
        Fault::Drip => send(stream, shared, seen, known, |stream, bytes| {
            for byte in bytes {
                stream.write_all(&[*byte])?;
                pause(shared, Duration::from_secs(1));
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
            }
            Ok(())
        }),
        Fault::Silence => {
            pause(shared, Duration::from_hours(1));
            Ok(())
        }
        Fault::Huge(size) => {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"x\":\"",
            )?;
            let block = [b'x'; 1 << 14];
            for _ in 0..size.div_ceil(block.len() as u64) {
                stream.write_all(&block)?;
            }
            stream.write_all(b"\"}")
        }
        Fault::Garbage => stream.write_all(b"\x16\x03\x01\0\xffthis is no HTTP\x1b[2J\r\n\r\n\0"),
        Fault::HtmlError => {
            stream.write_all(page(500, &[], "text/html", "<!doctype html><h1>Internal error</h1>").as_bytes())
        }
        Fault::Unavailable { retry_after } => {
            stream.write_all(page(503, &[format!("Retry-After: {retry_after}")], "text/plain", "later").as_bytes())
        }
        Fault::Answer(status, kind, body) => stream.write_all(page(status, &[], kind, &body).as_bytes()),
        Fault::Late(delay) => send(stream, shared, seen, known, |stream, bytes| {
            pause(shared, delay);
            stream.write_all(bytes)
        }),
        Fault::LosesAnswer => send(stream, shared, seen, known, |_, _| Ok(())),
        Fault::Closes => Ok(()),
    }
}

/// Carries the request out and hands the bytes of the answer to `write`.
fn send(
    stream: &TcpStream,
    shared: &Shared,
    seen: &Seen,
    known: &str,
    write: impl FnOnce(&mut &TcpStream, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let reply = shared.answer(seen);
    let behaviour = lock(&shared.behaviour).clone();
    match bytes_of(reply, &behaviour, seen, known) {
        Some(answer) => write(&mut &*stream, answer.as_bytes()),
        None => Ok(()),
    }
}

fn bytes_of(reply: Reply, behaviour: &Behaviour, seen: &Seen, known: &str) -> Option<String> {
    let ahead = chrono::TimeDelta::seconds(behaviour.clock_ahead);
    let date = (chrono::Utc::now() + ahead).format("Date: %a, %d %b %Y %H:%M:%S GMT").to_string();
    match reply {
        Reply::Closes => None,
        Reply::Page { status, mut headers, kind, body } => {
            headers.push(date);
            Some(page(status, &headers, kind, &body))
        }
        Reply::Json { status, mut headers, mut value } => {
            headers.push(date);
            headers.push("Cache-Control: no-store".into());
            if let Some(change) = behaviour.patches.get(known) {
                change(&mut value);
            }
            let asks_json = seen.header("accept").is_some_and(|accept| accept.contains("json"));
            if behaviour.form_unless_json && !asks_json && matches!(known, "/token" | "/device_authorization") {
                return Some(page(status, &headers, "application/x-www-form-urlencoded", &as_form(&value)));
            }
            Some(page(status, &headers, "application/json", &value.to_string()))
        }
    }
}

fn as_form(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let fields: Vec<(String, String)> = fields
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    form(&fields)
}

fn page(status: u16, headers: &[String], kind: &str, body: &str) -> String {
    let mut page = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for header in headers {
        page += header;
        page += "\r\n";
    }
    page + "\r\n" + body
}
