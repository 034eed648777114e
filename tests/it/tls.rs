//! TLS: only a certificate that is valid now, for this host, by an authority that is trusted; and no key log.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::scene::eventually;
use crate::stage::Stage;

/// A server with a certificate of its own, by the `openssl` command. Ends when dropped.
struct Server {
    child: Child,
    issuer: String,
    certificate: PathBuf,
}

impl Server {
    fn start(folder: &Path, name: &str, certificate: &[&str], server: &[&str]) -> Self {
        let (key, path) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pem")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", "/CN=lanyard test"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&path)
            .args(certificate)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = crate::peers::free_port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}"), "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&path)
            .args(server)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        eventually("the server listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, issuer: format!("https://127.0.0.1:{port}"), certificate: path }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

#[test]
fn a_server_that_cannot_prove_its_name_is_not_talked_to() {
    let mut stage = Stage::new();
    let root = stage.root().to_owned();
    let with = |more: &[&'static str]| [&EC[..], more].concat();
    let right = "subjectAltName=IP:127.0.0.1";
    let good = Server::start(&root, "good", &with(&["-days", "30", "-addext", right]), &[]);
    let servers = [
        (
            "a wrong name",
            "not valid for name",
            Server::start(&root, "name", &with(&["-days", "30", "-addext", "subjectAltName=DNS:id.example"]), &[]),
        ),
        ("no name", "certificate", Server::start(&root, "none", &with(&["-days", "30"]), &[])),
        (
            "an old protocol",
            "ProtocolVersion",
            Server::start(
                &root,
                "old",
                &with(&["-days", "30", "-addext", right]),
                &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            ),
        ),
    ];
    stage.set("SSLKEYLOGFILE", root.join("tls-keys"));
    let login = |stage: &Stage, issuer: &str| {
        stage.run(&[
            "auth",
            "login",
            "--issuer",
            issuer,
            "--client-id",
            "cli",
            "--no-browser",
            "--storage",
            "plain",
            "-vvv",
        ])
    };

    let unknown = login(&stage, &good.issuer).ends(6);
    assert!(unknown.stderr().contains("cannot reach"), "{unknown}");
    for (what, because, server) in &servers {
        stage.set("SSL_CERT_FILE", &server.certificate);
        let outcome = login(&stage, &server.issuer).ends(6);
        assert!(outcome.stderr().contains("cannot reach"), "{what}: {outcome}");
        assert!(outcome.stderr().contains(because), "{what}: {outcome}");
    }
    // Trusted, the same server is heard: it has a page to show, which is no metadata.
    stage.set("SSL_CERT_FILE", &good.certificate);
    let known = login(&stage, &good.issuer).ends(6).stderr();
    assert!(known.contains("metadata") && !known.contains("cannot reach"), "{known}");
    stage.at("+60d");
    let expired = login(&stage, &good.issuer).ends(6);
    assert!(expired.stderr().contains("cannot reach"), "{expired}");
    assert!(!root.join("tls-keys").exists());
}
