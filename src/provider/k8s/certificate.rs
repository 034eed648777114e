//! When a certificate ends: a walk through the DER of RFC 5280 section 4.1, as far as the validity.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end (`notAfter`) of the first certificate in a PEM text; `None` where it cannot be read.
pub(super) fn end(pem: &str) -> Option<DateTime<Utc>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
    not_after(&der)
}

/// `Certificate > tbsCertificate > [version], serialNumber, signature, issuer, validity > notBefore, notAfter`.
pub(super) fn not_after(der: &[u8]) -> Option<DateTime<Utc>> {
    let mut certificate = expect(&mut { der }, SEQUENCE)?;
    let mut body = expect(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        element(&mut body)?;
    }
    expect(&mut body, INTEGER)?;
    expect(&mut body, SEQUENCE)?;
    expect(&mut body, SEQUENCE)?;
    let mut validity = expect(&mut body, SEQUENCE)?;
    element(&mut validity)?;
    time(element(&mut validity)?)
}

/// The next element: its tag and its content. `rest` moves behind it.
fn element<'d>(rest: &mut &'d [u8]) -> Option<(u8, &'d [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        // The long form: so many bytes hold the length. No certificate needs more than three.
        let (bytes, after) = after.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 3)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, content))
}

fn expect<'d>(rest: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    element(rest).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

fn time((tag, content): (u8, &[u8])) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?;
    let text = match tag {
        // Two digits of the year: 50 and above are of the last century.
        UTC_TIME => format!("{}{text}", if text.get(..2)? >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok().map(|time| time.and_utc())
}
