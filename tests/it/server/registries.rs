//! Registries on the server: charts of Debian's docker-registry and of a Helm repository under nginx, by the real command
//! line, with a credential that is replaced while they use it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::postgres::Postgres;
use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double};
use crate::peers::free_port;
use crate::providers::foreground::Foreground;
use crate::providers::registry::DockerRegistry;
use crate::stage::{Outcome, Stage};
use crate::wire::{self, Message};

const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const BASIC: &str = "Authorization: Basic YWxpY2U6YWxpY2UtcGFzc3dvcmQ=";

/// What lets one write to a repository of a registry: the password, or a token that its token server gives for it.
fn way_in(host: &str, repository: &str) -> String {
    let asked = wire::send("POST", &format!("http://{host}/v2/{repository}/blobs/uploads/"), &[], "").unwrap();
    let challenge = asked.header("www-authenticate").unwrap();
    let Some(realm) = challenge.strip_prefix("Bearer realm=\"").and_then(|rest| rest.split('"').next()) else {
        return BASIC.to_owned();
    };
    let url = format!("{realm}?service=peer&scope=repository:{repository}:pull,push");
    let given = wire::send("GET", &url, &[BASIC], "").unwrap().json();
    format!("Authorization: Bearer {}", given["token"].as_str().unwrap())
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Pushes what `helm push` pushes, or an image, as the distribution specification has it.
fn push(host: &str, repository: &str, tag: &str, sort: &str) {
    let bearer = way_in(host, repository);
    let config = json!({ "name": repository, "version": tag }).to_string();
    let layer = format!("the archive of {repository} {tag}");
    for blob in [&config, &layer] {
        let begun =
            wire::send("POST", &format!("http://{host}/v2/{repository}/blobs/uploads/"), &[&bearer], "").unwrap();
        assert_eq!(begun.status(), 202, "{}", begun.text());
        let place = begun.header("location").unwrap();
        let place = if place.starts_with('/') { format!("http://{host}{place}") } else { place.to_owned() };
        let mark = if place.contains('?') { '&' } else { '?' };
        let headers = [bearer.as_str(), "Content-Type: application/octet-stream"];
        let put = wire::send("PUT", &format!("{place}{mark}digest={}", digest(blob)), &headers, blob).unwrap();
        assert_eq!(put.status(), 201, "{}", put.text());
    }
    let blob = |media: &str, text: &str| json!({ "mediaType": media, "digest": digest(text), "size": text.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(sort, &config),
        "layers": [blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &layer)],
        "annotations": { "org.opencontainers.image.description": format!("The {repository} of the team") },
    });
    let url = format!("http://{host}/v2/{repository}/manifests/{}", tag.replace('+', "_"));
    let headers = [bearer.as_str(), "Content-Type: application/vnd.oci.image.manifest.v1+json"];
    let put = wire::send("PUT", &url, &headers, &manifest.to_string()).unwrap();
    assert_eq!(put.status(), 201, "{}", put.text());
}

/// A machine of somebody who works with the server.
fn machine(served: &Served) -> Stage {
    served.manager()
}

/// Stores a login for a host.
fn login(stage: &Stage, name: &str, url: &str, password: &str, more: &[&str]) {
    let words = ["credentials", "store", "registry", url, "--username", "alice", "--password", "-", "--no-verify"];
    stage.run_with(&[&words[..], &["--name", name], more].concat(), password.as_bytes()).ends(0);
}

fn rows(stage: &Stage, words: &[&str]) -> Vec<Value> {
    stage.run(&[&["registries"], words, &["--json"]].concat()).ends(0).json().as_array().unwrap().clone()
}

fn names(charts: &[Value]) -> Vec<&str> {
    charts.iter().map(|chart| chart["name"].as_str().unwrap()).collect()
}

fn registries(stage: &Stage, words: &[&str]) -> Outcome {
    stage.run(&[&["registries"], words].concat())
}

#[test]
fn charts_of_a_registry_are_listed_with_a_credential_that_is_replaced() {
    work_with_registries(&Served::new(&["--allow-host", "127.0.0.1"]));
}

#[test]
fn registries_work_on_postgresql_as_well() {
    let postgres = Postgres::start();
    work_with_registries(&Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]));
}

pub fn work_with_registries(served: &Served) {
    let peer = DockerRegistry::with_password();
    for (repository, tag, sort) in [
        ("team/web", "1.2.0", CHART),
        ("team/web", "1.10.0", CHART),
        ("team/web", "2.0.0-rc.1", CHART),
        ("team/api", "0.1.0+build.3", CHART),
        ("team/tool", "1.0.0", IMAGE),
        ("other/db", "3.0.0", CHART),
    ] {
        push(&peer.host, repository, tag, sort);
    }
    let stage = machine(served);
    login(&stage, "reg", &peer.host, "alice-password", &[]);
    let (team, all) = (format!("oci://{}/team", peer.host), format!("oci://{}", peer.host));
    let added = registries(&stage, &["add", "team", &team, "--credential", "reg"]).ends(0);
    assert!(added.stderr().contains("lanyard registries sync team"), "{added}");
    registries(&stage, &["add", "all", &all, "--credential", "reg"]).ends(0);
    registries(&stage, &["add", "Team", &team]).ends(1);
    assert!(registries(&stage, &["list"]).ends(0).stdout().contains("not asked yet"));
    assert!(registries(&stage, &["charts", "team"]).ends(0).stdout().is_empty());

    let synced = registries(&stage, &["sync", "team"]).ends(0);
    assert!(synced.stderr().contains("team has 2 charts"), "{synced}");
    let charts = rows(&stage, &["charts", "team"]);
    assert_eq!(names(&charts), ["api", "web"], "images are none, and other/db is elsewhere");
    assert_eq!(charts[0]["newest"], "0.1.0+build.3");
    assert_eq!(
        (&charts[1]["newest"], &charts[1]["versions"]),
        (&json!("1.10.0"), &json!(["2.0.0-rc.1", "1.10.0", "1.2.0"]))
    );
    assert_eq!(charts[1]["description"], "The team/web of the team");
    registries(&stage, &["sync", "all"]).ends(0);
    assert_eq!(names(&rows(&stage, &["charts", "all"])), ["other/db", "team/api", "team/web"]);
    let shown = registries(&stage, &["show", "team"]).ends(0).stdout();
    for part in
        ["Name: team", "Kind: oci", "Credential: reg", "Status: synced", "Charts: 2", &format!("{}/team", peer.host)]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // One credential, replaced once, counts for both at once; what was listed stays.
    let wrong = ["credentials", "update", "reg", "--field", "password=-", "--no-verify"];
    stage.run_with(&wrong, b"LNYCANARYwrong0123456789").ends(0);
    push(&peer.host, "team/new", "1.0.0", CHART);
    for name in ["team", "all"] {
        let refused = registries(&stage, &["sync", name]).ends(8);
        assert!(refused.stderr().contains("does not accept the credential"), "{refused}");
    }
    assert_eq!(names(&rows(&stage, &["charts", "team"])), ["api", "web"]);
    let listed = registries(&stage, &["list"]).ends(0).stdout();
    assert!(listed.contains("refused, list of 20"), "{listed}");
    stage.run_with(&wrong, b"alice-password").ends(0);
    for (name, count) in [("team", 3), ("all", 4)] {
        registries(&stage, &["sync", name]).ends(0);
        assert_eq!(rows(&stage, &["charts", name]).len(), count);
    }

    // It is in use, and says by whom.
    let refused = stage.run(&["credentials", "delete", "reg", "--yes"]).ends(1);
    assert!(refused.stderr().contains("registry all, registry team"), "{refused}");
    registries(&stage, &["update", "all", "--repository", "other/db", "--rename", "db"]).ends(0);
    assert!(rows(&stage, &["charts", "db"]).is_empty(), "what was listed was of other repositories");
    registries(&stage, &["sync", "db"]).ends(0);
    assert_eq!(names(&rows(&stage, &["charts", "db"])), ["other/db"]);
    registries(&stage, &["update", "db", "--repository", "team/tool"]).ends(0);
    assert!(registries(&stage, &["sync", "db"]).ends(1).stderr().contains("holds no chart"));
    registries(&stage, &["update", "db", "--no-credential", "--all-repositories"]).ends(0);
    registries(&stage, &["sync", "db"]).ends(8);
    let unknown = registries(&stage, &["show", "tema"]).ends(2);
    assert!(unknown.stderr().contains("did you mean team?"), "{unknown}");
    registries(&stage, &["delete", "team"]).ends(2);
    registries(&stage, &["delete", "team", "--yes"]).ends(0);
    stage.run(&["credentials", "delete", "reg", "--yes"]).ends(0);
    registries(&stage, &["delete", "db", "--yes"]).ends(0);
    assert!(rows(&stage, &["list"]).is_empty());
    use_those_of_a_project(served, &stage, &peer.host);
    if served.data().join("server.db").exists() {
        let told = |action: &str, outcome: &str| {
            let is = |entry: &&Value| entry["action"] == action && entry["outcome"] == outcome;
            served.entries().iter().filter(is).count()
        };
        assert_eq!((told("registry.sync", "done"), told("registry.sync", "failed")), (7, 4));
        assert!(told("registry.create", "denied") >= 1 && told("registry.delete", "done") >= 2);
        Sweep::for_canaries(&[Canary::of("LNYCANARYwrong0123456789")]).tree(&served.data()).assert_clean();
    }
}

fn use_those_of_a_project(served: &Served, stage: &Stage, host: &str) {
    for project in ["shop", "api"] {
        stage.run(&["projects", "create", project]).ends(0);
    }
    login(stage, "reg", host, "alice-password", &["--for-project", "shop"]);
    let url = format!("oci://{host}/team");
    let add = ["add", "charts", &url, "--credential", "shop/reg", "--for-project"];
    let refused = registries(stage, &[&add[..], &["api"]].concat()).ends(1);
    assert!(refused.stderr().contains("another project"), "{refused}");
    registries(stage, &[&add[..], &["shop"]].concat()).ends(0);
    registries(stage, &["sync", "shop/charts"]).ends(0);
    assert_eq!(rows(stage, &["charts", "charts", "--project", "shop"]).len(), 3);
    let refused = stage.run(&["projects", "delete", "shop", "--yes"]).ends(1);
    assert!(refused.stderr().contains("registry charts"), "{refused}");
    // A project under another name keeps what is in it.
    stage.run(&["projects", "rename", "shop", "store"]).ends(0);
    assert_eq!(rows(stage, &["list"])[0]["project"], "store");
    let path = format!("/registries/{}", rows(stage, &["list"])[0]["id"].as_str().unwrap());
    let bearer = token(stage);
    let seen = served.api("GET", &path, &bearer, "").header("etag").unwrap().to_owned();
    assert_eq!(served.api("POST", &format!("{path}/sync"), &bearer, "").status(), 200);
    let tag = format!("If-Match: {seen}");
    assert_eq!(served.api_with("PATCH", &path, &bearer, r#"{"name":"x"}"#, &[&tag]).status(), 200);
    assert_eq!(served.api_with("DELETE", &path, &bearer, "", &[&tag]).status(), 412);
    assert_eq!(served.api("DELETE", &path, &bearer, "").status(), 204);
    assert_eq!(served.api("GET", &path, &bearer, "").status(), 404);
}

#[test]
fn tokens_are_fetched_where_a_registry_says() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let peer = DockerRegistry::with_tokens("");
    for repository in ["web", "api"] {
        push(&peer.host, repository, "1.0.0", CHART);
    }
    let stage = machine(&served);
    login(&stage, "reg", &peer.host, "alice-password", &[]);
    let url = format!("oci://{}", peer.host);
    let named = ["--repository", "web", "--repository", "api"];
    registries(&stage, &[&["add", "named", &url, "--credential", "reg"][..], &named].concat()).ends(0);
    registries(&stage, &["sync", "named"]).ends(0);
    assert_eq!(names(&rows(&stage, &["charts", "named"])), ["api", "web"]);
    registries(&stage, &["add", "all", &url, "--credential", "reg"]).ends(0);
    registries(&stage, &["sync", "all"]).ends(0);
    assert_eq!(names(&rows(&stage, &["charts", "all"])), ["api", "web"]);
    registries(&stage, &["add", "open", &url]).ends(0);
    registries(&stage, &["sync", "open"]).ends(8);
}

/// An index as `helm repo index` and the large repositories write it.
fn index(charts: &[(&str, &[&str])]) -> String {
    let mut text = String::from("apiVersion: v1\nentries:\n");
    for (name, versions) in charts {
        let _ = writeln!(text, "  {name}:");
        for version in *versions {
            let _ = write!(
                text,
                "  - annotations:\n      category: Web\n    apiVersion: v2\n    appVersion: 1.27.1\n    created: \
                 \"2026-08-26T11:31:24.589726517Z\"\n    dependencies:\n    - name: common\n      repository: \
                 oci://registry.example.com/charts\n      tags:\n      - common\n      version: 2.x.x\n    description: \
                 The {name} of <b>everybody</b>\n    digest: 7a4c2b0e\n    home: https://example.com\n    icon: \
                 https://example.com/{name}.svg\n    keywords:\n    - {name}\n    maintainers:\n    - name: A\n      \
                 url: https://example.com\n    name: {name}\n    sources:\n    - https://example.com/{name}\n    urls:\n    \
                 - https://charts.example.com/{name}-{version}.tgz\n    version: {version}\n"
            );
        }
    }
    text + "generated: \"2026-08-26T11:31:25Z\"\n"
}

/// Helm repositories under nginx: `/charts` asks for a password, `/open` does not.
struct Nginx {
    folder: tempfile::TempDir,
    url: String,
    _server: Foreground,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let server = Foreground::start("helm/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
        Self { folder, url: format!("http://127.0.0.1:{port}"), _server: server }
    }

    fn write(&self, place: &str, text: &str) {
        let file = self.folder.path().join("www").join(place).join("index.yaml");
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn a_helm_repository_is_listed_whole_or_stays_as_it_was() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let nginx = Nginx::start();
    nginx.write("charts", &index(&[("nginx", &["18.1.10", "9.3.0", "19.0.0-beta.1"]), ("common", &["2.2.0"])]));
    let stage = machine(&served);
    let url = format!("{}/charts", nginx.url);
    login(&stage, "charts", &url, "alice-password", &["--flavour", "helm"]);
    registries(&stage, &["add", "stable", &url, "--credential", "charts"]).ends(0);
    let synced = registries(&stage, &["sync", "stable", "--json"]).ends(0).json();
    assert_eq!(
        (&synced["outcome"], &synced["charts"], &synced["kind"]),
        (&json!("synced"), &json!(2), &json!("helm-http"))
    );
    let charts = rows(&stage, &["charts", "stable"]);
    assert_eq!((&charts[1]["newest"], names(&charts)), (&json!("18.1.10"), vec!["common", "nginx"]));
    assert_eq!(charts[1]["description"], "The nginx of <b>everybody</b>");
    assert!(registries(&stage, &["charts", "stable"]).ends(0).stdout().contains("18.1.10"));

    let whole = index(&[("nginx", &["20.0.0"]), ("common", &["3.0.0"])]);
    let bomb = (1..12).fold("a0: &a0 lol\n".to_owned(), |text, line| {
        text + &format!("a{line}: &a{line} [{}]\n", vec![format!("*a{}", line - 1); 10].join(", "))
    });
    let broken = [
        (whole[..whole.len() / 2].replace("20.0.0", "20.0.0: ["), "half of one"),
        (bomb + "entries: *a11\n", "one that grows"),
        ("entries: ".to_owned() + &"[".repeat(50_000), "one that is deep"),
        (index(&[("../../etc/passwd", &["1.0.0"])]), "a name that is a path"),
        (index(&[("\"a\\u202eb\"", &["1.0.0"])]), "a name that turns around"),
        ("<html>Sign in</html>".to_owned(), "a page"),
        (String::new(), "nothing"),
        (
            "entries:\n".to_owned() + &(0..5001).map(|n| format!("  c{n}: [{{version: 1.0.0}}]\n")).collect::<String>(),
            "many",
        ),
        (whole + "# " + &"x".repeat(17 << 20), "a long one"),
    ];
    for (text, what) in broken {
        nginx.write("charts", &text);
        let failed = registries(&stage, &["sync", "stable", "--json"]);
        assert_eq!(failed.code, Some(1), "{what}: {failed}");
        assert_eq!(failed.json()["charts"], 2, "{what}");
        assert_eq!(rows(&stage, &["charts", "stable"]), charts, "{what}");
    }
    std::fs::remove_file(nginx.folder.path().join("www/charts/index.yaml")).unwrap();
    assert!(registries(&stage, &["sync", "stable"]).ends(1).stderr().contains("no index.yaml"));
    registries(&stage, &["add", "bare", &url]).ends(0);
    registries(&stage, &["sync", "bare"]).ends(8);
    registries(&stage, &["add", "open", &format!("{}/open", nginx.url)]).ends(0);
    assert!(registries(&stage, &["sync", "open"]).ends(0).stderr().contains("open has 0 charts"));
    // A credential for another place is not taken, at whichever host the registry is.
    let elsewhere =
        registries(&stage, &["add", "evil", "https://evil.example/charts", "--credential", "charts"]).ends(1);
    assert!(elsewhere.stderr().contains("is not for evil.example"), "{elsewhere}");
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    let peak = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().split(' ').next().unwrap();
    assert!(peak.parse::<usize>().unwrap() < 400_000, "{peak} kB at most");
}

#[test]
fn a_registry_comes_back_from_a_backup_with_its_charts() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let nginx = Nginx::start();
    nginx.write("charts", &index(&[("nginx", &["18.1.10"])]));
    let stage = machine(&served);
    let url = format!("{}/charts", nginx.url);
    login(&stage, "charts", &url, "alice-password", &["--flavour", "helm"]);
    registries(&stage, &["add", "stable", &url, "--credential", "charts"]).ends(0);
    registries(&stage, &["sync", "stable"]).ends(0);
    let charts = rows(&stage, &["charts", "stable"]);
    let at = |words: &[&'static str]| {
        let words = [&["server"], words, &["--data", "server", "--master-key-file", "server/master.key"]].concat();
        served.stage.run(&words).ends(0)
    };
    at(&["backup", "copy"]);
    registries(&stage, &["delete", "stable", "--yes"]).ends(0);
    stage.run(&["credentials", "delete", "charts", "--yes"]).ends(0);
    at(&["restore", "copy", "--replace"]);
    let stage = machine(&served);
    assert_eq!(rows(&stage, &["charts", "stable"]), charts);
    nginx.write("charts", &index(&[("nginx", &["18.1.10"]), ("new", &["1.0.0"])]));
    registries(&stage, &["sync", "stable"]).ends(0);
    assert_eq!(rows(&stage, &["charts", "stable"]).len(), 2);
}

#[test]
fn the_same_credential_is_not_sent_to_where_a_registry_points() {
    let evil = Double::always(
        Answer::json(401, "{}").header("WWW-Authenticate: Bearer realm=\"http://localhost:9/token\",service=\"x\""),
    );
    let served = Served::new(&["--allow-host", "127.0.0.1", "--allow-host", "localhost"]);
    let stage = machine(&served);
    let url = evil.url();
    login(&stage, "reg", &url, "LNYCANARYpassword0123456789", &["--flavour", "oci"]);
    let host = url.strip_prefix("http://").unwrap();
    registries(&stage, &["add", "r", &format!("oci://{host}"), "--credential", "reg"]).ends(0);
    let told = registries(&stage, &["sync", "r"]).ends(1);
    assert!(told.stderr().contains("token server of another domain"), "{told}");
    assert!(evil.requests().iter().all(|seen| seen.header("authorization").is_none()), "nothing was sent");
    let moved = registries(&stage, &["update", "r", "--url", "oci://evil.example"]).ends(1);
    assert!(moved.stderr().contains("is not for evil.example"), "{moved}");
    let answered: Message = served.api("GET", "/registries", &token(&stage), "");
    assert!(!answered.text().contains("LNYCANARY"));
    assert!(Path::new(&served.data()).is_dir());
}
