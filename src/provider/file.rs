//! Files: a keystore, a key, a licence, anything of up to 1 MiB, handed out as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::env::variable_name;
use super::orders::{self, Values};
use super::{Discovered, Found, Here, Input, Net, Order, Origin, Provider, ProviderError, api};
use crate::credential::{Content, Credential, Field, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::os::files;
use crate::secret::Secret;

/// The largest file, in bytes.
const LARGEST: usize = 1 << 20;

static FIELDS: [Field; 4] = [
    Field::plain("file_name", "Name of the file").checked(file_name, "keystore.p12"),
    Field::plain("size", "Size in bytes").optional().checked(size, "2048").follows(),
    Field::secret("content", "Content in base64").checked(content, "aGVsbG8gd29ybGQK").multiline().binary(),
    Field::plain("variable", "Variable that is to hold the file's path").optional().checked(variable_name, "KEYSTORE_FILE"),
];
static KINDS: [Kind; 1] = [Kind::new("file", "file", "file", &FIELDS)];
static INPUTS: [Input; 1] = [Input::argument("path", "PATH", "The file, of at most 1 MiB")];

/// Files.
pub struct File;
/// The provider.
pub static PROVIDER: File = File;

/// What names a file in any folder, and nothing but that.
fn file_name(value: &str) -> Result<(), &'static str> {
    rules::line(value)?;
    let fits = value.len() <= 255 && !value.contains(['/', '\\', ':']) && !value.starts_with(['.', '-', ' ']);
    if fits { Ok(()) } else { Err("it is no plain name of a file") }
}

fn size(value: &str) -> Result<(), &'static str> {
    let fits = value.parse::<usize>().is_ok_and(|size| size <= LARGEST);
    if fits { Ok(()) } else { Err("it is no number of bytes up to 1 MiB") }
}

fn content(value: &str) -> Result<(), &'static str> {
    if value.len() > LARGEST.div_ceil(3) * 4 {
        return Err("it is larger than 1 MiB");
    }
    match STANDARD.decode(value).map(Zeroizing::new) {
        Ok(bytes) if bytes.is_empty() => Err("it is empty"),
        Ok(bytes) if bytes.len() > LARGEST => Err("it is larger than 1 MiB"),
        Ok(_) => Ok(()),
        Err(_) => Err("it is no base64; give the file itself: `lanyard credentials store file PATH`"),
    }
}

/// The bytes as they are, as text where they are text.
fn unpacked(credential: &Credential) -> Result<Content, ProviderError> {
    let secret = credential.secret("content").ok_or_else(|| api::missing(credential, "content"))?;
    let damaged = |_| ProviderError::Damaged {
        name: credential.metadata.name.clone(),
        field: "content",
        problem: "it is no base64",
    };
    let bytes = Zeroizing::new(STANDARD.decode(secret.expose()).map_err(damaged)?);
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => Content::Text(Secret::new(text.to_owned())),
        Err(_) => Content::Base64(secret.duplicate()),
    })
}

/// The variable for the path: the one that the user chose, else one made of the credential's name.
fn variable(metadata: &Metadata) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let made = || format!("CREDENTIAL_FILE_{}", metadata.name.chars().map(word).collect::<String>());
    metadata.field("variable").map_or_else(made, str::to_owned)
}

impl Provider for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn title(&self) -> &'static str {
        "File"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        Discovered::only(named(here))
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        let given = here.input("path").map(|path| here.env.expand_home(path));
        if let Some(name) = given.as_deref().and_then(|path| path.file_name()?.to_str()) {
            // A hidden file is handed out as one that is seen.
            raw.fill("file_name", Secret::new(name.trim_start_matches(['.', '-', ' ']).to_owned()));
        }
        let decoded = raw.get("content").and_then(|content| STANDARD.decode(content.expose()).ok());
        if let Some(bytes) = decoded.map(Zeroizing::new) {
            raw.plain("size", &bytes.len().to_string());
        }
        Ok(&KINDS[0])
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("file_name").cloned().unwrap_or_else(|| "file".into())
    }

    fn hosts(&self, _: &Metadata) -> Vec<String> {
        Vec::new()
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let name = credential.field("file_name").unwrap_or("file").to_owned();
        Ok(Issued::lasting(Material::File { name, content: unpacked(credential)? }))
    }

    /// A file is handed out as it is, and its path in a variable: tools take some of those for their configuration.
    fn refuse_orders(&self, values: &Values<'_>) -> Result<(), Order> {
        values.held("variable", |variable| super::env::refuse_order(variable).map_err(|why| (None, why)))?;
        let official = super::gcp::address::is_official;
        let form = values.text("variable").and_then(|variable| orders::named_by(variable, official));
        values.held("content", |content| {
            // What is no base64 is refused by the field's own rule.
            let Ok(bytes) = STANDARD.decode(content).map(Zeroizing::new) else { return Ok(()) };
            form.map_or_else(|| orders::any(&bytes), |form| form.hold(&bytes))
        })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let Ok(content) = unpacked(credential) else { return Vec::new() };
        let file = credential.field("file_name").unwrap_or("file").to_owned();
        vec![Variable::File { name: variable(&credential.metadata), file, content }]
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("file", "the file as it is"), ("base64", "the file in base64")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        match (format, unpacked(credential).ok()?) {
            ("file", Content::Text(text)) => Some(text),
            ("base64", _) => credential.secret("content").map(Secret::duplicate),
            _ => None,
        }
    }

    fn content(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Content> {
        match format {
            "file" => unpacked(credential).ok(),
            _ => self.file(format, credential, issued).map(Content::Text),
        }
    }
}

/// The file that the user named.
fn named(here: &Here<'_>) -> Result<Vec<Found>, ProviderError> {
    let Some(given) = here.input("path") else { return Ok(Vec::new()) };
    let path = here.env.working_dir().join(here.env.expand_home(given));
    let not_there = |mend: &str| ProviderError::NotThere {
        what: "file".into(),
        place: here.shown(&path),
        mend: mend.to_owned(),
    };
    if path.is_dir() {
        return Err(not_there("it is a folder; store one file of it, or an archive of it"));
    }
    let bytes = files::read(&path)?.map(Zeroizing::new).ok_or_else(|| not_there("check the path"))?;
    let unusable = |problem: &str| ProviderError::Foreign {
        place: here.shown(&path),
        what: "file for a credential",
        problem: problem.to_owned(),
    };
    if bytes.len() > LARGEST {
        return Err(unusable("it is larger than 1 MiB"));
    }
    if bytes.is_empty() {
        return Err(unusable("it is empty"));
    }
    let mut raw = Raw::new();
    raw.set("content", Secret::new(STANDARD.encode(&*bytes)));
    let origin = Origin::file(here, &path, "").whole();
    Ok(vec![Found { kind: &KINDS[0], raw, name: None, origin, expires: None }])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::os::Env;

    /// A credential of a file with this name and content, stored as the command stores it.
    fn stored(name: &str, bytes: &[u8]) -> Result<Credential, ProviderError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        from(folder.path(), name)
    }

    fn from(folder: &Path, name: &str) -> Result<Credential, ProviderError> {
        let env = Env::invented(&folder.join("config"), folder, &[]);
        let given = BTreeMap::from([("path".to_owned(), vec![name.to_owned()])]);
        let here = Here { env: &env, given: &given };
        let mut found = PROVIDER.discover(&here).choice()?.remove(0);
        assert!(found.origin.whole_file && found.origin.plain_text);
        let kind = PROVIDER.complete(&mut found.raw, &here)?;
        let fields = Fields::parse(kind, found.raw)?;
        assert_eq!(PROVIDER.default_name(&fields), name.trim_start_matches('.'));
        Ok(crate::credential::tests::credential("my-key.x", fields))
    }

    fn handed_out(credential: &Credential) -> (String, String, Vec<u8>) {
        let issued = Issued::lasting(Material::Variables(Vec::new()));
        let mut variables = PROVIDER.export(credential, &issued);
        let Some(Variable::File { name, file, content }) = variables.pop() else { panic!("a file") };
        (name, file, content.bytes().unwrap().to_vec())
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [b"text\n".as_slice(), &all, &vec![0xff; LARGEST]] {
            let credential = stored("key.p12", bytes).unwrap();
            assert_eq!(credential.field("size"), Some(bytes.len().to_string().as_str()));
            assert_eq!(handed_out(&credential), ("CREDENTIAL_FILE_MY_KEY_X".into(), "key.p12".into(), bytes.to_vec()));
        }
    }

    #[test]
    fn a_file_of_text_is_printed_and_another_only_in_base64() {
        let issued = Issued::lasting(Material::Variables(Vec::new()));
        let print = |credential: &Credential, format: &str| {
            PROVIDER.file(format, credential, &issued).map(|text| text.expose().to_owned())
        };
        let text = stored(".npmrc", b"a = b\n").unwrap();
        assert_eq!(text.field("file_name"), Some("npmrc"));
        assert_eq!(print(&text, "file").as_deref(), Some("a = b\n"));
        let bytes = stored("x", &[0xff, 0xfe]).unwrap();
        assert_eq!((print(&bytes, "file"), print(&bytes, "base64").as_deref()), (None, Some("//4=")));
        assert_eq!(print(&bytes, "other"), None);
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let told = |failure: ProviderError| failure.to_string();
        assert!(told(stored("large", &vec![0; LARGEST + 1]).unwrap_err()).contains("larger than 1 MiB"));
        assert!(told(stored("empty", b"").unwrap_err()).contains("it is empty"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for (name, words) in [("folder", "there is no file in"), ("missing", "there is no file in")] {
            assert!(told(from(folder.path(), name).unwrap_err()).contains(words), "{name}");
        }
        #[cfg(unix)]
        {
            let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
            assert!(made.success());
            assert!(told(from(folder.path(), "pipe").unwrap_err()).contains("not a regular file"));
        }
    }

    #[test]
    fn the_user_chooses_the_variable_but_no_trap() {
        let mut credential = stored("key.p12", b"x").unwrap();
        credential.metadata.fields.insert("variable".into(), "KEYSTORE".into());
        assert_eq!(handed_out(&credential).0, "KEYSTORE");
        assert!((FIELDS[3].check)("LD_PRELOAD").is_err() && (FIELDS[3].check)("SSL_CERT_FILE").is_err());
    }

    #[test]
    fn values_are_checked() {
        for field in &FIELDS {
            assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
        }
        for bad in ["", "a/b", "..", ".hidden", "-rf", "a\nb", "C:x", "a\\b"] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
        assert!(content("").is_err() && content("not base64!").is_err() && size("-1").is_err());
        assert!(content(&STANDARD.encode(vec![1; LARGEST])).is_ok());
        assert!(content(&STANDARD.encode(vec![1; LARGEST + 1])).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
            prop_assert_eq!(handed_out(&stored("x", &bytes).unwrap()).2, bytes);
        }
    }
}
