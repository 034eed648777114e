//! HTTP as bytes on a loopback socket: what the fakes read and write, and what the tests send by hand.
//!
//! Nothing here is shared with the client under test, so that both cannot have the same misunderstanding.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

/// A request or the answer to one.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The first line.
    pub first_line: String,
    /// Names in lower case, values as they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// Reads one message to its end: by `Content-Length`, by chunks, or (answers only) until the peer closes.
    pub fn read(stream: &TcpStream, is_answer: bool) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut message = Self { first_line: line(&mut reader)?, ..Self::default() };
        loop {
            let header = line(&mut reader)?;
            let Some((name, value)) = header.split_once(':') else { break };
            message.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if message.header("transfer-encoding") == Some("chunked") {
            message.body = chunks(&mut reader)?;
        } else if let Some(length) = message.header("content-length").and_then(|length| length.parse().ok()) {
            message.body = vec![0; length];
            reader.read_exact(&mut message.body)?;
        } else if is_answer {
            reader.read_to_end(&mut message.body)?;
        }
        Ok(message)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn chunks(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&line(reader)?, 16).map_err(std::io::Error::other)?;
        let mut chunk = vec![0; length];
        reader.read_exact(&mut chunk)?;
        line(reader)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend(chunk);
    }
}

/// Sends bytes to a loopback port and reads the answer; `None` when the peer closes without one.
pub fn send_raw(address: &str, request: &[u8]) -> Option<Message> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(request).ok()?;
    Message::read(&stream, true).ok()
}

/// One request with a body, and headers as whole lines.
pub fn send(method: &str, url: &str, headers: &[&str], body: &str) -> Option<Message> {
    let url = Url::parse(url).expect("a URL");
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for header in headers {
        request += header;
        request += "\r\n";
    }
    if !body.is_empty() {
        request += "Content-Length: ";
        request += &body.len().to_string();
        request += "\r\n";
    }
    let port = url.port_or_known_default().expect("a port");
    let address = format!("{}:{port}", url.host_str().expect("a host"));
    send_raw(&address, format!("{request}\r\n{body}").as_bytes())
}

/// A GET as a browser would send it.
pub fn get(url: &str) -> Option<Message> {
    send("GET", url, &["Accept: text/html"], "")
}

/// A POST of form fields that asks for JSON.
pub fn post_form(url: &str, fields: &[(&str, &str)]) -> Option<Message> {
    let headers = ["Accept: application/json", "Content-Type: application/x-www-form-urlencoded"];
    send("POST", url, &headers, &form(fields))
}

/// Form fields as they travel.
pub fn form<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The fields of a form or of a query, in order.
pub fn fields(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// The value of a field, where it is there.
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// What a browser does with a URL: follows redirects, also to a loopback callback, and shows the last answer.
pub fn browse(url: &str) -> Visit {
    let mut visited = vec![url.to_owned()];
    for _ in 0..10 {
        let here = visited.last().expect("a page").clone();
        let Some(answer) = get(&here) else { return Visit { visited, answer: None } };
        match answer.header("location") {
            Some(target) if (300..400).contains(&answer.status()) => {
                visited.push(Url::parse(&here).expect("a URL").join(target).expect("a target").into());
            }
            _ => return Visit { visited, answer: Some(answer) },
        }
    }
    panic!("the redirects go on and on: {visited:?}");
}

/// The addresses that a browser went through, and what it showed in the end.
#[derive(Debug)]
pub struct Visit {
    pub visited: Vec<String>,
    pub answer: Option<Message>,
}

impl Visit {
    /// The address of the callback that the authorization server redirected to.
    pub fn callback(&self) -> &str {
        self.visited.get(1).expect("the authorization endpoint redirected nowhere")
    }
}

/// Where the authorization URL redirects to, without going there.
pub fn callback_of(authorization_url: &str) -> String {
    let answer = get(authorization_url).expect("the authorization endpoint answers");
    answer.header("location").unwrap_or_else(|| panic!("no redirect: {}", answer.text())).to_owned()
}
