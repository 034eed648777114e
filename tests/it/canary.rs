//! The canary sweep: secrets of the tests carry a mark, and the mark is looked for in everything that could have taken
//! it up, in every form in which it could stand there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

const MARK: &str = "LNYCANARY";
/// So much of the beginning of a secret counts as the secret: a mask that shows it gives it away.
const PREFIX: usize = 8;
/// A compressed piece is unpacked up to this size.
const MOST_UNPACKED: u64 = 16 << 20;

/// A secret whose traces can be found: the mark and 20 hexadecimal digits, or chance from its first character on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    text: String,
    /// What is looked for.
    needle: String,
}

impl Canary {
    /// One that was never there before.
    pub fn new() -> Self {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).expect("random bytes");
        Self::of(&format!("{MARK}{}", hex(&bytes)))
    }

    /// A secret that was chosen elsewhere. Of one with the mark, the first characters behind the mark are looked for,
    /// since it may have words before; one without it is looked for as a whole.
    pub fn of(secret: &str) -> Self {
        let needle = match secret.find(MARK) {
            Some(at) if secret.len() >= at + MARK.len() + PREFIX => &secret[at + MARK.len()..][..PREFIX],
            _ => secret,
        };
        Self { text: secret.to_owned(), needle: needle.to_owned() }
    }

    /// This many letters and digits by chance, of which the very first characters are looked for.
    pub fn of_chance(length: usize) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Qz";
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).expect("random bytes");
        Self::from_its_first(&bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect::<String>())
    }

    /// A secret that was chosen elsewhere, of which the very first characters are looked for.
    pub fn from_its_first(secret: &str) -> Self {
        Self { text: secret.to_owned(), needle: secret[..PREFIX].to_owned() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A trace of a canary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trace {
    /// Where it was: `stdout`, a file's path, a process.
    pub place: String,
    /// How it stood there.
    pub form: &'static str,
    /// Which secret it was, by its order in the sweep.
    pub canary: usize,
}

/// Collects places and says where canaries were found.
pub struct Sweep {
    needles: Vec<(usize, &'static str, Vec<u8>)>,
    /// For each pair of bytes, the needles that begin with it: a hundred secrets are looked for as fast as one.
    by_beginning: Vec<Vec<usize>>,
    traces: Vec<Trace>,
}

impl Sweep {
    pub fn for_canaries(canaries: &[Canary]) -> Self {
        let needles = canaries.iter().enumerate();
        let needles = needles.flat_map(|(number, canary)| {
            forms(&canary.needle).into_iter().map(move |(form, bytes)| (number, form, bytes))
        });
        let needles: Vec<_> = needles.collect();
        let mut by_beginning = vec![Vec::new(); 1 << 16];
        for (index, (_, form, bytes)) in needles.iter().enumerate() {
            let [first, second, ..] = bytes[..] else { panic!("{form} is too short to be looked for") };
            by_beginning[usize::from(first) << 8 | usize::from(second)].push(index);
        }
        Self { needles, by_beginning, traces: Vec::new() }
    }

    /// Looks through some bytes, and through what is compressed in them.
    pub fn bytes(&mut self, place: &str, bytes: &[u8]) -> &mut Self {
        self.plain(place, bytes);
        for unpacked in unpack(bytes) {
            self.plain(&format!("{place} (compressed)"), &unpacked);
        }
        self
    }

    fn plain(&mut self, place: &str, bytes: &[u8]) {
        for (at, pair) in bytes.windows(2).enumerate() {
            for index in &self.by_beginning[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                let (canary, form, needle) = &self.needles[*index];
                if bytes[at..].starts_with(needle) {
                    self.traces.push(Trace { place: place.to_owned(), form, canary: *canary });
                }
            }
        }
    }

    /// Looks through every file below a folder, and through the names of files and the targets of links.
    pub fn tree(&mut self, folder: &Path) -> &mut Self {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let place = path.display().to_string();
            self.plain("a file name", place.as_bytes());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.tree(&path);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap_or_default();
                self.plain(&place, target.as_os_str().as_encoded_bytes());
            } else if kind.is_file() {
                self.bytes(&place, &fs::read(&path).unwrap_or_default());
            }
        }
        self
    }

    /// Looks through what a [`Watch`] saw of other processes.
    pub fn processes(&mut self, watch: &BTreeMap<String, Vec<u8>>) -> &mut Self {
        for (place, bytes) in watch {
            self.plain(place, bytes);
        }
        self
    }

    /// What was found, each trace once.
    pub fn traces(mut self) -> Vec<Trace> {
        self.traces.sort();
        self.traces.dedup();
        self.traces
    }

    /// Fails if a canary was found anywhere but in the places that begin with one of the allowed words.
    pub fn assert_only(&self, allowed: &[&str]) {
        let stray: Vec<&Trace> =
            self.traces.iter().filter(|trace| !allowed.iter().any(|word| trace.place.starts_with(word))).collect();
        assert!(stray.is_empty(), "secrets were found where they must not be: {stray:#?}");
    }

    /// Fails if a canary was found at all.
    pub fn assert_clean(&self) {
        self.assert_only(&[]);
    }
}

/// Every form in which a piece of text can stand in bytes.
fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let each = |form: &dyn Fn(u8) -> String| bytes.iter().map(|byte| form(*byte)).collect::<String>().into_bytes();
    let mut forms = vec![
        ("raw", bytes.to_vec()),
        ("JSON escapes", each(&|byte| format!("\\u{byte:04x}"))),
        ("JSON escapes", each(&|byte| format!("\\u{byte:04X}"))),
        ("percent-encoded", each(&|byte| format!("%{byte:02x}"))),
        ("percent-encoded", each(&|byte| format!("%{byte:02X}"))),
        ("hexadecimal", each(&|byte| format!("{byte:02x}"))),
        ("hexadecimal", each(&|byte| format!("{byte:02X}"))),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("reversed", bytes.iter().rev().copied().collect()),
        ("upper case", text.to_uppercase().into_bytes()),
        ("lower case", text.to_lowercase().into_bytes()),
    ];
    for shift in 0..3 {
        forms.push(("base64", base64_core(&STANDARD, bytes, shift)));
        forms.push(("base64url", base64_core(&URL_SAFE, bytes, shift)));
    }
    if let Ok(quoted) = serde_json::to_string(text) {
        forms.push(("JSON string", quoted.as_bytes()[1..quoted.len() - 1].to_vec()));
    }
    forms.push(("URL-encoded", url::form_urlencoded::byte_serialize(bytes).collect::<String>().into_bytes()));
    let mut known = BTreeSet::new();
    forms.retain(|(_, form)| known.insert(form.clone()));
    forms
}

/// The characters of base64 that depend on `bytes` alone when `shift` other bytes come before them.
fn base64_core(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let padded = [&vec![0; shift], bytes].concat();
    let encoded = engine.encode(&padded).into_bytes();
    let start = (shift * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded[start..end].to_vec()
}

/// What gzip, zlib and deflate streams in the bytes unpack to.
fn unpack(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut keep = |reader: &mut dyn Read| {
        let mut plain = Vec::new();
        // A stream that breaks off still gave what came before.
        let _ = reader.take(MOST_UNPACKED).read_to_end(&mut plain);
        if plain.len() > PREFIX {
            unpacked.push(plain);
        }
    };
    for at in 0..bytes.len().saturating_sub(2) {
        match bytes[at..] {
            [0x1f, 0x8b, 8, ..] => keep(&mut GzDecoder::new(&bytes[at..])),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => keep(&mut ZlibDecoder::new(&bytes[at..])),
            _ => {}
        }
    }
    keep(&mut DeflateDecoder::new(bytes));
    unpacked
}

pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let ends = bytes.len().saturating_sub(needle.len() - 1);
    (0..ends).any(|at| bytes[at] == *first && bytes[at..].starts_with(needle))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// Looks at the arguments and the environment of every other process, again and again, until it is stopped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<BTreeMap<String, Vec<u8>>>>,
}

impl Watch {
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || watch(&stop)
        });
        Self { stop, watcher: Some(watcher) }
    }

    /// Everything seen: `cmdline of NAME` and `environ of NAME`, with all the values that were there.
    pub fn stop(mut self) -> BTreeMap<String, Vec<u8>> {
        self.stop.store(true, Ordering::SeqCst);
        self.watcher.take().map(|watcher| watcher.join().expect("the watcher")).unwrap_or_default()
    }
}

fn watch(stop: &AtomicBool) -> BTreeMap<String, Vec<u8>> {
    let mut seen: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let own = std::process::id().to_string();
    while !stop.load(Ordering::SeqCst) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let name = || fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim().to_owned();
            let was = name();
            let values =
                ["cmdline", "environ"].map(|what| (what, fs::read(entry.path().join(what)).unwrap_or_default()));
            let is = name();
            // It has become another program meanwhile, and is looked at again as that. What has ended was what it was.
            if !is.is_empty() && is != was {
                continue;
            }
            for (what, value) in values {
                let known = seen.entry((format!("{what} of {was}"), id.clone())).or_default();
                if !contains(known, &value) {
                    known.extend(value);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut by_place: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for ((place, _), bytes) in seen {
        by_place.entry(place).or_default().extend(bytes);
    }
    by_place
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn found(canary: &Canary, bytes: &[u8]) -> Vec<&'static str> {
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(canary));
        sweep.bytes("here", bytes);
        sweep.traces().into_iter().map(|trace| trace.form).collect()
    }

    #[test]
    fn every_encoding_is_found() {
        let canary = Canary::new();
        let secret = format!("prefix-{}-suffix", canary.text());
        let bytes = secret.as_bytes();
        let each = |form: &dyn Fn(u8) -> String| bytes.iter().map(|byte| form(*byte)).collect::<String>().into_bytes();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("raw", bytes.to_vec()),
            ("JSON escapes", each(&|byte| format!("\\u{byte:04x}"))),
            ("percent-encoded", each(&|byte| format!("%{byte:02X}"))),
            ("hexadecimal", each(&|byte| format!("{byte:02x}"))),
            ("hexadecimal", each(&|byte| format!("{byte:02X}"))),
            ("UTF-16", secret.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("reversed", secret.bytes().rev().collect()),
        ];
        for (form, text) in cases {
            let around = [b"noise \0 ".as_slice(), &text, b" noise"].concat();
            assert!(found(&canary, &around).contains(&form), "{form} was not found");
        }
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        let canary = Canary::new();
        for before in 0..6 {
            let plain = format!("{}{}?>~", "ÿ".repeat(before), &canary.text()).into_bytes();
            for shift in 0..3 {
                // Without characters that the two differ in, they are one form.
                for encoded in
                    [STANDARD.encode(&plain[shift.min(before)..]), URL_SAFE.encode(&plain[shift.min(before)..])]
                {
                    assert!(found(&canary, encoded.as_bytes()).iter().any(|form| form.starts_with("base64")));
                }
            }
        }
    }

    #[test]
    fn compressed_pieces_are_found() {
        let canary = Canary::new();
        let text = format!("{{\"token\":\"{}\"}}", canary.text());
        let mut gzip = GzEncoder::new(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Compression::best());
        let mut zlib = ZlibEncoder::new(b"junk".to_vec(), Compression::fast());
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        zlib.write_all(text.as_bytes()).unwrap();
        deflate.write_all(text.as_bytes()).unwrap();
        for packed in [gzip.finish().unwrap(), zlib.finish().unwrap(), deflate.finish().unwrap()] {
            assert!(found(&canary, &packed).contains(&"raw"));
        }
    }

    #[test]
    fn a_shown_beginning_counts_and_a_short_one_does_not() {
        let canary = Canary::new();
        let masked = |shown: usize| format!("{}****", &canary.text()[..MARK.len() + shown]);
        assert!(!found(&canary, masked(8).as_bytes()).is_empty());
        assert!(found(&canary, masked(7).as_bytes()).is_empty());
        assert!(found(&canary, Canary::new().text().as_bytes()).is_empty(), "another canary is not this one");
        let by_chance = Canary::of_chance(24);
        assert!(found(&by_chance, &by_chance.text().as_bytes()[..7]).is_empty());
        assert!(!found(&by_chance, format!("{}…", &by_chance.text()[..8]).as_bytes()).is_empty());
        assert!(!found(&by_chance, by_chance.text().to_lowercase().as_bytes()).is_empty());
        assert!(!found(&Canary::of("p@ss word"), b"\"p@ss word\"").is_empty());
        assert!(!found(&Canary::of("p@ss word"), b"password=p%40ss+word").is_empty());
    }

    #[test]
    fn trees_names_links_and_processes_are_swept() {
        let canary = Canary::new();
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), canary.text()).unwrap();
        fs::write(inner.join(canary.text()), "").unwrap();
        std::os::unix::fs::symlink(canary.text(), inner.join("link")).unwrap();
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        sweep.tree(folder.path());
        let places: Vec<String> = sweep.traces().into_iter().map(|trace| trace.place).collect();
        for place in ["a file name", "b/file", "b/link"] {
            assert!(places.iter().any(|found| found.ends_with(place)), "{place} is missing in {places:?}");
        }

        let watch = Watch::start();
        let mut child =
            std::process::Command::new("sleep").args(["1", "--"]).env("TOKEN", canary.text()).spawn().unwrap();
        drop(child.wait());
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        sweep.processes(&watch.stop());
        sweep.assert_only(&["environ of sleep"]);
        assert!(!sweep.traces().is_empty());
    }

    #[test]
    #[should_panic(expected = "secrets were found where they must not be")]
    fn a_stray_trace_fails() {
        let canary = Canary::new();
        Sweep::for_canaries(std::slice::from_ref(&canary))
            .bytes("stdout", canary.text().as_bytes())
            .bytes("stderr", canary.text().as_bytes())
            .assert_only(&["stdout"]);
    }
}
