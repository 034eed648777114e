//! The forms in which a secret may stand in output: as it is, line by line, in base64, in URLs, in JSON, in a shell.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{GeneralPurpose, general_purpose};
use zeroize::Zeroizing;

use super::SHORTEST;
use super::broken::LENGTHS;
use crate::secret::Secret;

/// The shortest line of a secret of many lines that is masked for itself: shorter ones are words like others.
const SHORTEST_LINE: usize = 8;

/// A secret as it may stand in output.
pub type Form = Zeroizing<Vec<u8>>;

/// Every form of a secret, some more than once. None where it is too short to be masked.
pub fn of(secret: &Secret, plain: &BTreeSet<String>) -> Vec<Form> {
    let mut forms = Vec::new();
    for text in texts(secret, plain) {
        written(text, &mut forms);
    }
    whole_in_base64(secret, &mut forms);
    forms
}

/// Those forms of a secret that programs break into lines: the ones in base64.
pub(super) fn in_base64(secret: &Secret, plain: &BTreeSet<String>) -> Vec<Form> {
    let mut forms = Vec::new();
    for text in texts(secret, plain) {
        base64(text.as_bytes(), &mut forms);
    }
    whole_in_base64(secret, &mut forms);
    forms
}

/// The lines in which programs write a secret in base64 that stands alone there, where it takes more than one: for
/// whoever masks line by line.
pub fn lines_in_base64(secret: &Secret) -> Vec<Form> {
    let mut lines = Vec::new();
    for text in [trimmed(secret), secret.expose()] {
        let encoded = Zeroizing::new(general_purpose::STANDARD.encode(text).into_bytes());
        for length in LENGTHS.into_iter().filter_map(|length| usize::try_from(length).ok()) {
            let telling = encoded.chunks(length).filter(|line| encoded.len() > length && line.len() >= SHORTEST_LINE);
            lines.extend(telling.map(|line| Zeroizing::new(line.to_vec())));
        }
    }
    lines
}

/// A secret without the line break at its end, and those of its lines that say something.
fn texts<'s>(secret: &'s Secret, plain: &BTreeSet<String>) -> Vec<&'s str> {
    let trimmed = trimmed(secret);
    if trimmed.len() < SHORTEST || trimmed.trim().is_empty() {
        return Vec::new();
    }
    let mut texts = vec![trimmed];
    if trimmed.contains('\n') {
        let mut telling = |text: &'s str| {
            if is_telling(text) && !plain.contains(text) {
                texts.push(text);
            }
        };
        for line in trimmed.lines().map(str::trim) {
            let Some(value) = value(line) else {
                telling(line);
                continue;
            };
            telling(value);
            // A key block within a JSON string.
            value.split(r"\n").filter(|part| part.len() < value.len()).for_each(&mut telling);
        }
    }
    texts
}

fn trimmed(secret: &Secret) -> &str {
    secret.expose().trim_end_matches(['\n', '\r'])
}

/// Of a text with its line break, the last letters in base64 are others.
fn whole_in_base64(secret: &Secret, forms: &mut Vec<Form>) {
    let trimmed = trimmed(secret);
    if trimmed.len() < secret.expose().len() && trimmed.len() >= SHORTEST && !trimmed.trim().is_empty() {
        base64(secret.expose().as_bytes(), forms);
    }
}

/// Whether a line says something: the borders of a key block and lone brackets do not.
fn is_telling(line: &str) -> bool {
    let is_border = line.starts_with("-----") && line.ends_with("-----");
    line.len() >= SHORTEST_LINE && !is_border && line.contains(|letter: char| letter.is_alphanumeric())
}

/// The value in a line that gives a name and a value, as YAML, JSON, INI and variables are written.
fn value(line: &str) -> Option<&str> {
    let line = line.strip_prefix("- ").unwrap_or(line);
    let (name, value) = match (line.split_once(": "), line.split_once('=')) {
        (Some(named), Some(other)) if named.0.len() < other.0.len() => named,
        (_, Some(named)) | (Some(named), None) => named,
        (None, None) => return None,
    };
    let name = name.trim().trim_matches(['"', '\'']);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let value = value.trim().trim_end_matches(',');
    let value = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value);
    (is_name && value.contains(|letter: char| letter.is_alphanumeric())).then_some(value)
}

/// Every form of one text.
fn written(text: &str, forms: &mut Vec<Form>) {
    forms.push(Zeroizing::new(text.as_bytes().to_vec()));
    base64(text.as_bytes(), forms);
    in_urls(text, forms);
    in_json(text, forms);
    in_shells(text, forms);
}

/// In base64 a text is written in three ways, by where it stands in what is encoded. Letters that also hold bits of its
/// neighbours differ, so they are left out, but for the end where nothing follows.
fn base64(bytes: &[u8], forms: &mut Vec<Form>) {
    for alphabet in [STANDARD, URL_SAFE] {
        let engine = GeneralPurpose::new(&alphabet, NO_PAD);
        let padded = GeneralPurpose::new(&alphabet, general_purpose::PAD);
        for shift in 0..3 {
            let mut shifted = Zeroizing::new(vec![0; shift]);
            shifted.reserve_exact(bytes.len());
            shifted.extend_from_slice(bytes);
            let first = [0, 2, 3].get(shift).copied().unwrap_or_default();
            let whole = shifted.len() * 8 / 6;
            let end = Zeroizing::new(padded.encode(&*shifted).into_bytes());
            let inner = Zeroizing::new(engine.encode(&*shifted).into_bytes());
            for form in [inner.get(first..whole), inner.get(first..), end.get(first..)].into_iter().flatten() {
                if form.len() >= SHORTEST {
                    forms.push(Zeroizing::new(form.to_vec()));
                }
            }
        }
    }
}

/// Percent-encoded: what each of the usual functions leaves as it is, with digits of either case.
fn in_urls(text: &str, forms: &mut Vec<Form>) {
    const UPPER: &[u8; 16] = b"0123456789ABCDEF";
    const LOWER: &[u8; 16] = b"0123456789abcdef";
    // RFC 3986, encodeURIComponent, forms, paths, user information.
    for kept in ["-._~", "-._~!'()*", "*-._", "-._~!$&'()*+,;=:@", "-._~!$&'()*+,;=:@/", "-._~!$&'()*+,;="] {
        for digits in [UPPER, LOWER] {
            for blank in [&b"%20"[..], b"+"] {
                let mut form = Zeroizing::new(Vec::with_capacity(3 * text.len()));
                for byte in text.bytes() {
                    if byte == b' ' {
                        form.extend_from_slice(blank);
                    } else if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
                        form.push(byte);
                    } else {
                        let digit = |place: u8| digits.get(usize::from(place)).copied().unwrap_or_default();
                        form.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
                    }
                }
                forms.push(form);
            }
        }
    }
}

/// As the inner part of a JSON string: with as few escapes as can be, with slashes escaped, for HTML, in ASCII alone.
fn in_json(text: &str, forms: &mut Vec<Form>) {
    let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let slashes = Zeroizing::new(inner.replace('/', r"\/"));
    let html = [('<', r"\u003c"), ('>', r"\u003e"), ('&', r"\u0026")];
    let for_html =
        html.iter().fold(Zeroizing::new(inner.to_owned()), |text, (from, to)| Zeroizing::new(text.replace(*from, to)));
    for form in [inner, &slashes, &for_html] {
        let mut ascii = Zeroizing::new(String::with_capacity(6 * form.len()));
        for letter in form.chars() {
            if letter.is_ascii() {
                ascii.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing into a String cannot fail.
                    let _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
        forms.push(Zeroizing::new(form.as_bytes().to_vec()));
        forms.push(Zeroizing::new(ascii.as_bytes().to_vec()));
    }
}

/// Between quotes of a shell, and with a backslash before each letter that means something to it.
fn in_shells(text: &str, forms: &mut Vec<Form>) {
    let plain = |letter: char| letter.is_alphanumeric() || "_-./:=@%+,\n".contains(letter);
    let mut escaped = Zeroizing::new(String::with_capacity(2 * text.len()));
    let mut doubled = Zeroizing::new(String::with_capacity(2 * text.len()));
    for letter in text.chars() {
        if !plain(letter) {
            escaped.push('\\');
        }
        if "\"\\$`".contains(letter) {
            doubled.push('\\');
        }
        escaped.push(letter);
        doubled.push(letter);
    }
    let quoted = [r"'\''", "'\"'\"'"].map(|quote| Zeroizing::new(text.replace('\'', quote)));
    for form in quoted.iter().chain([&escaped, &doubled]) {
        forms.push(Zeroizing::new(form.as_bytes().to_vec()));
    }
}
