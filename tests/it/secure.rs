//! A provider behind TLS: a certificate authority of the test's own, certificates good and bad, and `tests/peers/tls`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::idp::{Behaviour, Idp};
use crate::stage::{Outcome, Stage};
use crate::wire;

/// The names that a good certificate is for.
pub const NAMES: &str = "DNS:localhost,DNS:id.lanyard.test,IP:127.0.0.1";

/// A certificate authority that nobody trusts unless told to.
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key.
pub struct Certificate {
    pub pem: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut make = openssl();
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign"]);
        run(make.arg("-keyout").arg(authority.at("ca.key")).arg("-out").arg(authority.pem()));
        authority
    }

    /// The authority's own certificate: the value for `SSL_CERT_FILE`.
    pub fn pem(&self) -> PathBuf {
        self.at("ca.pem")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for these names, valid from this time on for two days; `None` for now.
    pub fn issue(&self, name: &str, names: &str, since: Option<&str>) -> Certificate {
        let certificate = Certificate { pem: self.at(&format!("{name}.pem")), key: self.at(&format!("{name}.key")) };
        let (request, extensions) = (self.at(&format!("{name}.csr")), self.at(&format!("{name}.ext")));
        std::fs::write(&extensions, format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n")).expect("a file");
        run(new_key(&mut openssl(), &certificate.key).args(["-subj", "/CN=Test server", "-out"]).arg(&request));
        self.sign(&request, &extensions, &certificate, since);
        certificate
    }

    fn sign(&self, request: &Path, extensions: &Path, certificate: &Certificate, since: Option<&str>) {
        let mut sign = match since {
            None => openssl(),
            Some(time) => {
                let mut sign = Command::new("faketime");
                sign.args([time, "openssl"]);
                sign
            }
        };
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(request);
        sign.arg("-CA").arg(self.pem()).arg("-CAkey").arg(self.at("ca.key"));
        run(sign.arg("-extfile").arg(extensions).arg("-out").arg(&certificate.pem));
    }

    /// A certificate by which a client shows that it is this user, valid from this time on for two days.
    pub fn issue_client(&self, user: &str, since: Option<&str>) -> Certificate {
        let name = format!("client-{user}");
        let certificate = Certificate { pem: self.at(&format!("{name}.pem")), key: self.at(&format!("{name}.key")) };
        let (request, extensions) = (self.at(&format!("{name}.csr")), self.at(&format!("{name}.ext")));
        std::fs::write(&extensions, "extendedKeyUsage=clientAuth\n").expect("a file");
        let subject = format!("/CN={user}");
        run(new_key(&mut openssl(), &certificate.key).args(["-subj", &subject, "-out"]).arg(&request));
        self.sign(&request, &extensions, &certificate, since);
        certificate
    }

    /// A certificate that vouches for itself, with the right names.
    pub fn self_signed(&self) -> Certificate {
        let certificate = Certificate { pem: self.at("self.pem"), key: self.at("self.key") };
        let mut make = openssl();
        let names = format!("subjectAltName={NAMES}");
        new_key(&mut make, &certificate.key)
            .args(["-x509", "-days", "2", "-subj", "/CN=Self", "-addext", &names])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(make.arg("-out").arg(&certificate.pem));
        certificate
    }
}

impl Certificate {
    pub fn pem(&self) -> &Path {
        &self.pem
    }

    pub fn key(&self) -> &Path {
        &self.key
    }
}

fn openssl() -> Command {
    Command::new("openssl")
}

fn new_key<'a>(command: &'a mut Command, key: &Path) -> &'a mut Command {
    command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]).arg(key)
}

fn run(command: &mut Command) {
    let output =
        command.stdin(Stdio::null()).output().expect("openssl and faketime are installed; tests/run does that");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A TLS server before a plain one. Ends when dropped.
pub struct Tls {
    child: Child,
    pub port: u16,
    handshakes: Arc<Mutex<Vec<String>>>,
}

impl Tls {
    /// Puts TLS before the server on this port; `newest` is the newest version that it speaks.
    pub fn before(port: u16, certificate: &Certificate, newest: Option<&str>) -> Self {
        Self::start(None, port, certificate, newest)
    }

    /// The same at an address of its own.
    pub fn at(address: &str, port: u16, certificate: &Certificate) -> Self {
        Self::start(Some(address), port, certificate, None)
    }

    fn start(address: Option<&str>, port: u16, certificate: &Certificate, newest: Option<&str>) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/tls/serve.py");
        let mut child = Command::new("python3")
            .arg(program)
            .args([&certificate.pem, &certificate.key])
            .arg(port.to_string())
            .args(newest)
            .envs(address.map(|address| ("AT", address)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed; tests/run does that");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
        let port = lines.next().and_then(|line| line.strip_prefix("ready ")?.parse().ok()).expect("the server starts");
        let handshakes = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&handshakes);
        std::thread::spawn(move || {
            lines.for_each(|line| seen.lock().unwrap_or_else(PoisonError::into_inner).push(line));
        });
        Self { child, port, handshakes }
    }

    /// How each handshake so far ended: the version, or `refused: …`.
    pub fn handshakes(&self) -> Vec<String> {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A provider that calls itself by an https address, and the TLS before it.
pub struct SecureIdp {
    pub idp: Idp,
    pub tls: Tls,
    pub issuer: String,
}

impl SecureIdp {
    /// A provider at `https://127.0.0.1:PORT`.
    pub fn start(certificate: &Certificate) -> Self {
        Self::named(None, certificate, None)
    }

    /// A provider at this address, or at the TLS port of 127.0.0.1.
    pub fn named(issuer: Option<&str>, certificate: &Certificate, newest: Option<&str>) -> Self {
        let idp = Idp::start(Behaviour::default());
        let plain = idp.issuer().to_owned();
        let port = url::Url::parse(&plain).ok().and_then(|url| url.port()).expect("a port");
        let tls = Tls::before(port, certificate, newest);
        let issuer = issuer.map_or_else(|| format!("https://127.0.0.1:{}", tls.port), str::to_owned);
        idp.change(|behaviour| {
            let (from, to) = (plain.clone(), issuer.clone());
            behaviour.patch("/.well-known/openid-configuration", move |metadata| {
                let renamed = metadata.to_string().replace(&from, &to);
                *metadata = serde_json::from_str(&renamed).expect("JSON");
            });
            let name = issuer.clone();
            behaviour.forge(move |_, claims| claims["iss"] = name.clone().into());
            let name = issuer.clone();
            behaviour.bend(move |parameters| {
                for (_, value) in parameters.iter_mut().filter(|(key, _)| key == "iss") {
                    value.clone_from(&name);
                }
            });
        });
        Self { idp, tls, issuer }
    }

    /// A stage whose profile `work` signs in here and keeps its session in a plain file.
    pub fn stage(&self) -> Stage {
        let stage = Stage::new();
        let plain = crate::scene::config(&self.idp, "plain");
        stage.write_config(&plain.replace(self.idp.issuer(), &self.issuer));
        stage
    }

    /// A whole sign-in, as far as it goes. The browser takes the short way round TLS and proxies.
    pub fn attempt(&self, stage: &Stage) -> Outcome {
        let mut running = crate::scene::begin(stage, &[]);
        if let Some(url) = running.url_unless_it_ends() {
            assert!(url.starts_with(&self.issuer), "{url}");
            wire::browse(&url.replacen(&self.issuer, self.idp.issuer(), 1));
        }
        running.finish()
    }

    /// Fails if a request came through.
    #[track_caller]
    pub fn assert_unasked(&self) {
        assert!(self.idp.requests().is_empty(), "{:?}", self.idp.requests());
    }
}
