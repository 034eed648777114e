//! Registries of packages, crates and modules: which address each token is for, and how it is asked about.

use super::*;
use crate::provider::Here;

fn addresses(service: &str, more: &[(&str, &str)]) -> Vec<String> {
    let metadata = credential(service, "k", more).metadata;
    let hosts = PROVIDER.hosts(&metadata);
    let told = |address: Address| {
        assert!(hosts.contains(&address.place()), "{address:?} is not among {hosts:?}");
        let path = address.path.map_or_else(String::new, |path| format!("/{path}"));
        format!("{}://{}{path}", address.scheme.unwrap(), address.host)
    };
    PROVIDER.addresses(&metadata).into_iter().map(told).collect()
}

#[test]
fn a_key_is_for_the_address_of_its_service() {
    assert_eq!(addresses("npm", &[]), ["https://registry.npmjs.org"]);
    assert_eq!(addresses("pypi", &[]), ["https://upload.pypi.org/legacy", "https://pypi.org/simple"]);
    assert_eq!(addresses("terraform", &[]), ["https://app.terraform.io"]);
    assert_eq!(addresses("openai", &[]), ["https://api.openai.com/v1"]);
    for service in ["npm", "pypi", "terraform", "my-own"] {
        let own = addresses(service, &[("endpoint", "https://Corp.example:8443/a/b/")]);
        assert_eq!(own, ["https://corp.example:8443/a/b"], "{service}");
    }
    assert!(addresses("my-own", &[]).is_empty(), "what nobody knows is for no address");
    assert!(addresses("cargo", &[("index", "sparse+https://corp.example/index/")]).is_empty(), "cargo asks by the index");
}

fn completed(service: &str, values: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
    let mut raw = Raw::new();
    raw.plain("api_key", "cioEXAMPLE");
    for (name, value) in values {
        raw.plain(name, value);
    }
    let given = BTreeMap::from([("service".to_owned(), vec![service.to_owned()])]);
    let kind = PROVIDER.complete(&mut raw, &Here { env: &env(&[]), given: &given }).map_err(|failure| failure.to_string())?;
    Fields::parse(kind, raw).map(|fields| fields.plain).map_err(|failure| failure.to_string())
}

#[test]
fn a_token_of_cargo_is_for_one_index() {
    let io = completed("cargo", &[]).unwrap();
    assert_eq!(io["index"], "sparse+https://index.crates.io/");
    for index in ["sparse+https://corp.example/Index//", "https://corp.example/index.git", "sparse+http://127.0.0.1:1/"] {
        assert_eq!(completed("cargo", &[("index", index)]).unwrap()["index"], index, "byte for byte");
    }
    for index in ["", "corp", "sparse+corp", "sparse+http://corp.example/", "ssh://git@corp.example/index", "https://a b/"] {
        let refused = completed("cargo", &[("index", index)]).unwrap_err();
        assert!(refused.starts_with("index of the API key is malformed: "), "{refused}");
    }
    assert!(completed("cargo", &[("endpoint", "https://corp.example")]).unwrap_err().contains("named by its index"));
    assert!(completed("npm", &[("index", "https://corp.example")]).unwrap_err().contains("only the service cargo"));
}

#[test]
fn a_token_of_cargo_goes_to_its_registry_and_as_it_is() {
    let corp = credential("cargo", "cioEXAMPLE", &[("index", "sparse+https://corp.example:8443/index/")]);
    assert_eq!(PROVIDER.hosts(&corp.metadata), ["corp.example:8443"]);
    let io = credential("cargo", "cioEXAMPLE", &[("index", "sparse+https://index.crates.io/")]);
    assert_eq!(PROVIDER.hosts(&io.metadata), ["index.crates.io", "crates.io"]);
    let http = |_: Request| -> Result<Response, Unreachable> { panic!("nobody is asked") };
    let net = Net { http: &http, env: &env(&[]), now: at() };
    let issued = PROVIDER.material(&corp, None, &net).unwrap();
    let (name, value) = issued.material.header().unwrap();
    assert_eq!((name, value.expose()), ("authorization", "cioEXAMPLE"));
    for quiet in ["sparse+https://index.crates.io/", "https://corp.example/index"] {
        let verdict = PROVIDER.verify(&credential("cargo", "k", &[("index", quiet)]), None, &net);
        assert_eq!(verdict.outcome, Outcome::CannotBeAsked, "{quiet}");
    }
}

#[test]
fn an_index_that_wants_a_token_tells_whether_it_is_good() {
    let corp = credential("cargo", "good", &[("index", "sparse+https://corp.example/index/")]);
    let asked = |without: u16, with: u16, body: &'static str| {
        let http = |request: Request| {
            assert_eq!(request.url.as_str(), "https://corp.example/index/config.json");
            let told = if request.headers.contains_key("authorization") { with } else { without };
            let headers: &[_] = if told == 401 { &[("www-authenticate", "Cargo login_url=\"https://x\"")] } else { &[] };
            Ok(answer(told, headers, body))
        };
        PROVIDER.verify(&corp, None, &Net { http: &http, env: &env(&[]), now: at() }).outcome
    };
    assert_eq!(asked(401, 200, r#"{"dl":"https://x"}"#), Outcome::Valid);
    assert_eq!(asked(401, 401, ""), Outcome::Invalid);
    assert_eq!(asked(200, 200, r#"{"dl":"https://x"}"#), Outcome::CannotBeAsked);
    assert_eq!(asked(401, 200, "<html>"), Outcome::Unexpected);
    assert_eq!(asked(403, 403, "<html>"), Outcome::Unexpected);
    assert_eq!(asked(500, 503, ""), Outcome::Unreachable);
}

#[test]
fn terraform_tells_whose_token_it_is_and_has_a_variable_for_each_host() {
    let told = said("terraform", "k", 200, r#"{"data":{"attributes":{"username":"me","email":"me@corp.example"}}}"#);
    assert_eq!((told.outcome, told.identity.as_deref()), (Outcome::Valid, Some("me@corp.example")));
    let refused = said("terraform", "k", 401, r#"{"errors":[{"status":"401","title":"unauthorized"}]}"#);
    assert_eq!((refused.outcome, refused.error.as_deref()), (Outcome::Invalid, Some("unauthorized")));
    for (more, expected) in [
        (&[][..], "TF_TOKEN_app_terraform_io"),
        (&[("endpoint", "https://tfe.my-corp.example")], "TF_TOKEN_tfe_my__corp_example"),
    ] {
        let one = credential("terraform", "k", more);
        let variables = PROVIDER.export(&one, &Issued::lasting(Material::Bearer(Secret::new("k".into()))));
        assert!(matches!(&variables[..], [Variable::Value { name, .. }] if name == expected), "{variables:?}");
    }
}

fn found(files: &[(&str, &str)]) -> Vec<(String, String, Option<String>)> {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let env = Env::invented(&home.path().join("config"), home.path(), &[]);
    let given = BTreeMap::from([("service".to_owned(), vec!["cargo".to_owned()])]);
    let told = |one: crate::provider::Found| {
        let value = |name: &str| one.raw.get(name).map(|value| value.expose().to_owned());
        (one.name.clone().unwrap_or_default(), value("api_key").unwrap(), value("index"))
    };
    let all = PROVIDER.discover(&Here { env: &env, given: &given });
    assert!(all.broken.is_empty(), "{:?}", all.broken);
    all.found.into_iter().map(told).collect()
}

#[test]
fn tokens_in_cargos_home_are_found_with_their_index() {
    let tokens = "[registry]\ntoken = \"one\"\n[registries.corp]\ntoken = \"two\"\n[registries.gone]\ntoken = \"three\"\n\
                  [registries.empty]\ntoken = \"\"\n";
    let config = "[registries.corp]\nindex = \"sparse+https://corp.example/index/\"\n[build]\njobs = 2\n";
    let io = (String::new(), "one".to_owned(), None);
    let corp = ("cargo-corp".to_owned(), "two".to_owned(), Some("sparse+https://corp.example/index/".to_owned()));
    let both = [(".cargo/credentials.toml", tokens), (".cargo/config.toml", config)];
    assert_eq!(found(&both), [io.clone(), corp]);
    assert_eq!(found(&[(".cargo/credentials", tokens)]), [io]);
    assert!(found(&[(".cargo/config.toml", config)]).is_empty());
    assert!(found(&[(".cargo/credentials.toml", "")]).is_empty());
}
