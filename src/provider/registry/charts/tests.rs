//! Registries as they are, and as somebody would make them who wants more than to show charts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::http::{HeaderMap, HeaderValue, Http, Request, Response, header};
use crate::os::Env;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Response { status, headers: map, body: body.as_bytes().to_vec().into() }
}

fn listed(
    sort: Sort,
    url: &str,
    repositories: &[&str],
    login: Option<(&str, &Secret)>,
    http: &dyn Http,
) -> Result<Vec<Chart>, NoList> {
    let place = Place::parse(sort, url).unwrap();
    let repositories: Vec<String> = repositories.iter().map(|name| (*name).to_owned()).collect();
    let env = Env::empty();
    let net = Net { http, env: &env, now: env.now() };
    list(&Listing { place: &place, repositories: &repositories, login, token_server: None, net: &net })
}

fn of_index(text: &str) -> Result<Vec<Chart>, NoList> {
    let http = |_: Request| Ok(answer(200, &[], text));
    listed(Sort::Helm, "https://charts.example.com/stable", &[], None, &http)
}

const REAL: &str = r#"apiVersion: v1
entries:
  nginx:
  - annotations:
      category: Infrastructure
    apiVersion: v2
    appVersion: 1.27.1
    created: "2026-08-26T11:31:24.5Z"
    dependencies:
    - name: common
      repository: oci://registry.example.com/charts
      tags:
      - common
      version: 2.x.x
    description: |-
      NGINX Open Source is a web server
      that can be used as a proxy.
    digest: 7a4c2b
    home: https://example.com
    keywords: [nginx, http]
    maintainers:
    - email: a@example.com
      name: A
    name: nginx
    urls:
    - https://charts.example.com/nginx-18.1.10.tgz
    version: 18.1.10
  - apiVersion: v2
    description: A preview
    name: nginx
    version: 19.0.0-rc.1
    urls: [nginx-19.tgz]
  - apiVersion: v1
    name: nginx
    version: 9.3.0
    urls: [nginx-9.tgz]
  old:
  - name: old
    version: not-a-version
    urls: [old.tgz]
  Number.1:
  - {name: Number.1, version: 1.10, urls: [x.tgz]}
  empty: []
generated: "2026-08-26T11:31:25Z"
serverInfo: {}
"#;

#[test]
fn an_index_is_read_as_helm_reads_it() {
    let charts = of_index(REAL).unwrap();
    let names: Vec<&str> = charts.iter().map(|chart| chart.name.as_str()).collect();
    assert_eq!(names, ["Number.1", "nginx"]);
    let nginx = &charts[1];
    assert_eq!(nginx.newest, "18.1.10");
    assert_eq!(nginx.versions, ["19.0.0-rc.1", "18.1.10", "9.3.0"]);
    assert_eq!(nginx.description, "A preview");
    assert_eq!(charts[0].newest, "1.10", "as it is written");
    let first = "nginx:\n  - annotations";
    let alone = REAL.replacen(first, "nginx:\n  - extra", 1).replace("19.0.0-rc.1", "bad version");
    assert_eq!(of_index(&alone).unwrap()[1].description, "NGINX Open Source is a web server that can be used as a proxy.");
    assert!(of_index("apiVersion: v1\nentries: {}\n").unwrap().is_empty());
}

#[test]
fn what_is_no_index_is_none() {
    for text in [
        "",
        "<html>Sign in</html>",
        "apiVersion: v1\n",
        "entries: []",
        "entries: {a: [{version: [1]}]}",
        "entries: {a: [], a: []}",
        "entries: {a: [{version: 1.0.0, version: 2.0.0}]}",
        "entries:\n\t- a",
        "entries: {}\n---\nentries: {}\n",
        "\u{1f}\u{8b}\u{8}",
    ] {
        assert!(matches!(of_index(text), Err(NoList::Unexpected(_))), "{text}");
    }
}

#[test]
fn a_name_that_no_chart_has_spoils_the_index() {
    for name in ["../../etc/passwd", "a/b", "a b", "-x", "<script>", "a\\u202eb", "", "a\\nb", "é", &"x".repeat(256)] {
        let text = format!("entries: {{\"{name}\": [{{version: 1.0.0}}], good: [{{version: 1.0.0}}]}}");
        assert!(matches!(of_index(&text), Err(NoList::Unexpected(_))), "{name}");
    }
}

#[test]
fn what_is_small_and_grows_is_refused_at_once() {
    let started = Instant::now();
    let laughs = |open: &str, close: &str| {
        let line = |number: usize| {
            let items = vec![format!("*a{}", number - 1); 10].join(", ");
            format!("a{number}: &a{number} {open}{items}{close}\n")
        };
        format!("a0: &a0 lol\n{}entries: *a9\n", (1..10).map(line).collect::<String>())
    };
    for text in [
        laughs("[", "]"),
        format!("entries: {}", "[".repeat(100_000)),
        format!("entries: {}", "{a: ".repeat(100_000)),
        "- ".repeat(100_000),
        "entries: &a {b: *a}".to_owned(),
        format!("entries: {{a: [{}]}}", (0..200).map(|n| format!("&b{n} {{version: 1.0.0}}, ")).collect::<String>()),
        "entries: {a: [!include /etc/passwd]}".to_owned(),
        "entries: !!python/object:os.system {a: []}\nx: !<tag:a> y".to_owned(),
    ] {
        let told = of_index(&text);
        let is_harmless = matches!(&told, Ok(charts) if charts.is_empty());
        assert!(matches!(told, Err(NoList::Unexpected(_))) || is_harmless, "{told:?} {}", &text[..60.min(text.len())]);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn there_are_no_more_charts_than_a_list_may_have() {
    let many = |count: usize| {
        let one = |number: usize| format!("  c{number}: [{{version: 1.0.0}}]\n");
        format!("entries:\n{}", (0..count).map(one).collect::<String>())
    };
    assert_eq!(of_index(&many(300)).unwrap().len(), 300);
    assert!(matches!(of_index(&many(MOST_CHARTS + 1)), Err(NoList::TooLarge(_))));
}

#[test]
fn a_status_says_what_is_wrong_and_packed_answers_are_not_unpacked() {
    let outcome = |status: u16, headers: &[(&'static str, &str)]| {
        let http = |_: Request| Ok(answer(status, headers, "entries: {}"));
        listed(Sort::Helm, "https://h.example", &[], None, &http).err().map_or("synced", |failure| failure.word())
    };
    assert_eq!((outcome(200, &[]), outcome(401, &[]), outcome(403, &[])), ("synced", "refused", "insufficient"));
    assert_eq!((outcome(404, &[]), outcome(500, &[]), outcome(302, &[])), ("unexpected", "unexpected", "unexpected"));
    assert_eq!(outcome(200, &[("content-encoding", "gzip")]), "unexpected");
    assert_eq!(outcome(206, &[]), "unexpected", "a part is not the whole");
    let large = |request: Request| {
        assert_eq!(request.max_answer, 16 << 20);
        Err(Unreachable::TooLarge { origin: "o".into(), limit: request.max_answer })
    };
    assert_eq!(listed(Sort::Helm, "https://h.example", &[], None, &large).unwrap_err().word(), "too_large");
}

#[test]
fn an_index_is_asked_for_below_the_address_with_the_password() {
    let password = Secret::new("LNYCANARY".into());
    let seen = Mutex::new(Vec::new());
    let http = |request: Request| {
        let given = request.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((request.url.to_string(), given));
        Ok(answer(200, &[], "entries: {}"))
    };
    listed(Sort::Helm, "https://h.example/stable/?a=b", &[], Some(("alice", &password)), &http).unwrap();
    listed(Sort::Helm, "https://h.example", &[], None, &http).unwrap();
    let basic = Some("Basic YWxpY2U6TE5ZQ0FOQVJZ".to_owned());
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen, [("https://h.example/stable/index.yaml?a=b".into(), basic), ("https://h.example/index.yaml".into(), None)]);
}

#[test]
fn an_address_is_one_of_its_sort() {
    for (sort, text, stored) in [
        (Sort::Helm, "https://charts.example.com/stable", "https://charts.example.com/stable"),
        (Sort::Oci, "oci://registry.example.com/team/charts/", "https://registry.example.com/team/charts"),
        (Sort::Oci, "ghcr.io", "https://ghcr.io"),
        (Sort::Oci, "https://registry.example.com/v2/", "https://registry.example.com"),
        (Sort::Oci, "oci://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ] {
        let place = Place::parse(sort, text).unwrap();
        assert_eq!(place.text(), stored);
        assert_eq!(Place::parse(sort, stored).unwrap(), place, "what is stored is read again");
    }
    for (sort, text) in [
        (Sort::Helm, "oci://h.example/a"),
        (Sort::Helm, "http://h.example"),
        (Sort::Helm, "https://u:p@h.example"),
        (Sort::Helm, "file:///etc/passwd"),
        (Sort::Oci, "oci://h.example/../a"),
        (Sort::Oci, "oci://h.example/a//b"),
        (Sort::Oci, "oci://h.example/A"),
        (Sort::Oci, "oci://h.example/a?x=y"),
        (Sort::Oci, ""),
    ] {
        assert!(Place::parse(sort, text).is_err(), "{text}");
    }
    assert_eq!(Place::parse(Sort::Oci, "docker.io").unwrap().host(), "registry-1.docker.io");
    assert_eq!(Place::parse(Sort::Oci, "oci://h.example:5000/a").unwrap().host(), "h.example:5000");
}

const BEARER: &str = "Bearer realm=\"https://auth.example.com/token\",service=\"s\",scope=\"";
const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},
    "annotations":{"org.opencontainers.image.description":"A  chart\nof ours"}}"#;
const IMAGE: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}"#;

/// A registry that asks for a token for each repository, and lists its repositories and tags on two pages each.
fn registry(request: &Request) -> Response {
    let (host, path) = (request.url.host_str().unwrap(), request.url.path());
    let query: std::collections::BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
    let given = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if host == "auth.example.com" {
        assert_eq!(query["service"], "s");
        return match given {
            Some("Basic YWxpY2U6cGFzcw==") => answer(200, &[], &format!(r#"{{"token":"of {}"}}"#, query["scope"])),
            _ => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], "{}"),
        };
    }
    let scope = match path {
        "/v2/_catalog" => "registry:catalog:*".to_owned(),
        _ => format!("repository:{}:pull", path.trim_start_matches("/v2/").rsplitn(3, '/').nth(2).unwrap()),
    };
    if given != Some(&format!("Bearer of {scope}")) {
        return answer(401, &[("www-authenticate", &format!("{BEARER}{scope}\""))], "{}");
    }
    let has_last = query.contains_key("last");
    match path {
        "/v2/_catalog" if !has_last => answer(
            200,
            &[("link", "</v2/_catalog?last=team%2Fb&n=2>; rel=\"next\"")],
            r#"{"repositories":["other","team/a"]}"#,
        ),
        "/v2/_catalog" => answer(200, &[], r#"{"repositories":["team/gone","team/image","team/none"]}"#),
        "/v2/team/a/tags/list" if !has_last => answer(
            200,
            &[("link", "<?last=x>; rel=\"next\"")],
            r#"{"name":"team/a","tags":["1.0.0","latest","1.1.0_b.1","2.0.0-rc.1"]}"#,
        ),
        "/v2/team/a/tags/list" => answer(200, &[], r#"{"name":"team/a","tags":["1.0.1"]}"#),
        "/v2/team/a/manifests/1.1.0_b.1" => answer(200, &[], MANIFEST),
        "/v2/team/image/tags/list" | "/v2/other/tags/list" => answer(200, &[], r#"{"tags":["1.0.0"]}"#),
        "/v2/team/image/manifests/1.0.0" => answer(200, &[], IMAGE),
        "/v2/team/none/tags/list" => answer(200, &[], r#"{"tags":null}"#),
        _ => answer(404, &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
    }
}

#[test]
fn charts_are_told_from_images_below_the_address() {
    let password = Secret::new("pass".into());
    let http = |request: Request| Ok(registry(&request));
    let login = Some(("alice", &password));
    let charts = listed(Sort::Oci, "oci://registry.example.com/team", &[], login, &http).unwrap();
    let expected = Chart {
        name: "a".into(),
        description: "A chart of ours".into(),
        newest: "1.1.0+b.1".into(),
        versions: ["2.0.0-rc.1", "1.1.0+b.1", "1.0.1", "1.0.0"].map(str::to_owned).to_vec(),
    };
    assert_eq!(charts, std::slice::from_ref(&expected));
    let named = listed(Sort::Oci, "registry.example.com", &["team/a"], login, &http).unwrap();
    assert_eq!(named, [Chart { name: "team/a".into(), ..expected }]);
    for missing in ["team/gone", "team/image", "team/none"] {
        let told = listed(Sort::Oci, "registry.example.com", &[missing], login, &http);
        assert_eq!(told.unwrap_err().word(), "unexpected", "{missing}");
    }
    let wrong = Secret::new("wrong".into());
    let told = listed(Sort::Oci, "registry.example.com", &[], Some(("alice", &wrong)), &http);
    assert_eq!(told.unwrap_err().word(), "refused");
    assert_eq!(listed(Sort::Oci, "registry.example.com", &[], None, &http).unwrap_err().word(), "refused");
}

#[test]
fn a_password_goes_to_no_other_domain() {
    let password = Secret::new("pass".into());
    let asked = AtomicUsize::new(0);
    let http = |request: Request| {
        assert!(request.headers.get(header::AUTHORIZATION).is_none());
        asked.fetch_add(1, Ordering::SeqCst);
        let challenge = "Bearer realm=\"https://auth.evil.example/token\",service=\"s\"";
        Ok(answer(401, &[("www-authenticate", challenge)], "{}"))
    };
    let told = listed(Sort::Oci, "registry.example.com", &["a"], Some(("alice", &password)), &http);
    assert_eq!((told.unwrap_err().word(), asked.load(Ordering::SeqCst)), ("elsewhere", 1));
    let next = |request: Request| {
        assert_eq!(request.url.host_str(), Some("registry.example.com"));
        Ok(answer(200, &[("link", "<https://evil.example/v2/_catalog>; rel=\"next\"")], r#"{"repositories":[]}"#))
    };
    assert_eq!(listed(Sort::Oci, "registry.example.com", &[], None, &next).unwrap_err().word(), "unexpected");
}

#[test]
fn what_comes_half_is_not_had_at_all() {
    let password = Secret::new("pass".into());
    for broken in ["/v2/team/none/tags/list", "/v2/team/image/manifests/1.0.0", "/v2/_catalog?last"] {
        let http = |request: Request| {
            let given = registry(&request);
            let is_it = request.url.as_str().contains(broken) && given.status == 200;
            Ok(if is_it { answer(500, &[], "") } else { given })
        };
        let told = listed(Sort::Oci, "oci://registry.example.com/team", &[], Some(("alice", &password)), &http);
        assert_eq!(told.unwrap_err().word(), "unexpected", "{broken}");
    }
}

#[test]
fn a_list_has_an_end() {
    let endless = |_: Request| {
        Ok(answer(200, &[("link", "</v2/_catalog?n=1>; rel=\"next\"")], r#"{"repositories":["a"]}"#))
    };
    assert_eq!(listed(Sort::Oci, "registry.example.com", &[], None, &endless).unwrap_err().word(), "too_large");
    let many: Vec<String> = (0..501).map(|number| format!("r{number}")).collect();
    let body = format!("{{\"repositories\":{many:?}}}");
    let http = |_: Request| Ok(answer(200, &[], &body));
    assert_eq!(listed(Sort::Oci, "registry.example.com", &[], None, &http).unwrap_err().word(), "too_large");
    for name in ["../x", "A", "a b", "/a", "a/", "a..b", ""] {
        let body = format!("{{\"repositories\":[\"{name}\"]}}");
        let http = |_: Request| Ok(answer(200, &[], &body));
        let told = listed(Sort::Oci, "registry.example.com", &[], None, &http);
        assert_eq!(told.unwrap_err().word(), "unexpected", "{name}");
    }
}
