//! Documents that give orders, each way that there is to write one, and those that give none.

use super::*;
use crate::provider::PROVIDERS;

const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";

/// A kubeconfig with these in the cluster and in the user.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\npreferences: {{}}\nclusters:\n- name: dev\n  cluster:\n    \
         server: https://dev.example.com\n    certificate-authority-data: {CERTIFICATE}\n{cluster}\ncontexts:\n- name: dev\n  \
         context: {{cluster: dev, user: dev, namespace: web}}\nusers:\n- name: dev\n  user:\n    token: LNYCANARY\n{user}\n"
    )
}

fn told(kind: &str, field: &str, text: &str, more: &[(&str, &str)]) -> Option<String> {
    let kind = by_kind(kind).unwrap().1;
    let plain = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let secrets = [(field.to_owned(), Secret::new(text.to_owned()))].into();
    let order = refuse_orders(kind, &plain, &secrets).err()?;
    let shown = order.to_string();
    assert!(!shown.contains("LNYCANARY"), "{shown}");
    Some(order.key.map_or(shown, str::to_owned))
}

#[test]
fn a_kubeconfig_gives_no_orders() {
    let of = |text: &str| told("kubeconfig", "kubeconfig", text, &[]);
    assert_eq!(of(&config("", "")), None);
    let harmless =
        "    insecure-skip-tls-verify: false\n    proxy-url: \"\"\n    extensions: [{name: m, extension: {a: b}}]";
    assert_eq!(of(&config(harmless, "    as: \"\"\n    username: u\n    password: p")), None);
    for (cluster, user, key) in [
        ("", "    exec: {command: /tmp/evil, apiVersion: x}", "exec"),
        ("", "    exec: {}", "exec"),
        ("", "    EXEC: {command: sh}", "exec"),
        ("", "    \"\\x65xec\": {command: sh}", "exec"),
        ("", "    auth-provider: {name: gcp, config: {cmd-path: sh}}", "auth-provider"),
        ("", "    tokenFile: /etc/shadow", "tokenFile"),
        ("", "    tokenfile: /etc/shadow", "tokenFile"),
        ("", "    client-certificate: /etc/x", "client-certificate"),
        ("", "    client-key: ../x", "client-key"),
        ("", "    as: system:admin", "as"),
        ("", "    as-uid: '0'", "as-uid"),
        ("", "    as-groups: ['system:masters']", "as-groups"),
        ("", "    as-user-extra: {a: [b]}", "as-user-extra"),
        ("    certificate-authority: /etc/passwd", "", "certificate-authority"),
        ("    proxy-url: http://evil.example", "", "proxy-url"),
        ("    insecure-skip-tls-verify: true", "", "insecure-skip-tls-verify"),
        ("    insecure-skip-tls-verify: yes please", "", "insecure-skip-tls-verify"),
    ] {
        assert_eq!(of(&config(cluster, user)).as_deref(), Some(key), "{cluster}{user}");
    }
    // In one that is not the current one, and in JSON.
    let second = format!("{}- name: other\n  user: {{exec: {{command: sh}}}}\n", config("", ""));
    assert_eq!(of(&second).as_deref(), Some("exec"));
    assert_eq!(of(r#"{"users":[{"name":"a","user":{"exec":{"command":"sh"}}}]}"#).as_deref(), Some("exec"));
    let merged = "x: &e {exec: {command: sh}}\nusers: [{name: a, user: {<<: *e}}]";
    assert!(of(merged).is_some());
    let alias = "preferences: &e {exec: {command: sh}}\nusers: [{name: a, user: *e}]";
    assert_eq!(of(alias).as_deref(), Some("exec"));
}

#[test]
fn a_kubeconfig_is_of_a_form_that_is_known() {
    let of = |text: &str| told("kubeconfig", "kubeconfig", text, &[]).unwrap_or_default();
    for text in [
        config("    surprise: x", ""),
        config("", "    impersonate: x"),
        format!("{}\nusers: []", config("", "")),
        config("", "    token: again"),
        "users: {a: b}".into(),
        "- a".into(),
        "a: [".into(),
        "users: [{name: a, user: {token: &t x}}]\n---\nusers: []".into(),
        format!("preferences: {}1{}", "[".repeat(40), "]".repeat(40)),
        format!("preferences: [{}]", "1,".repeat(10_001)),
        format!("preferences: \"{}\"", "x".repeat(256 << 10)),
        format!("preferences: [{}]", (0..30).map(|n| format!("&a{n} 1,")).collect::<String>()),
    ] {
        let told = of(&text);
        assert!(told.starts_with("kubeconfig: it "), "{told}: {}", &text[..40.min(text.len())]);
    }
}

#[test]
fn what_lanyard_writes_itself_gives_no_orders() {
    for kind in PROVIDERS.iter().flat_map(|provider| provider.kinds()) {
        let class = |field: &crate::credential::Field| field.class == crate::credential::Class::Secret;
        let of = |is_secret: bool| kind.fields.iter().filter(move |field| class(field) == is_secret);
        let plain =
            of(false).filter(|field| !field.derived).map(|field| (field.name.to_owned(), field.example.to_owned()));
        let secrets = of(true).map(|field| (field.name.to_owned(), Secret::new(field.example.to_owned())));
        let plain: BTreeMap<_, _> = plain.collect();
        let told = refuse_strange(kind, &plain, &secrets.collect());
        assert_eq!(told, Ok(()), "{}", kind.id);
    }
}

const KEY: &str = r#""private_key_id":"1","private_key":"-----BEGIN PRIVATE KEY-----\nLNYCANARY\n-----END PRIVATE KEY-----\n",
    "client_email":"a@b.iam.gserviceaccount.com""#;

#[test]
fn a_google_key_is_a_key_and_leads_to_google() {
    let of = |text: &str| told("gcp_service_account", "key_file", text, &[]);
    let with = |sort: &str, more: &str| of(&format!("{{\"type\":\"{sort}\",{KEY}{more}}}"));
    for fine in [
        "",
        r#","token_uri":"https://oauth2.googleapis.com/token","universe_domain":"googleapis.com""#,
        r#","auth_uri":"https://accounts.google.com/o/oauth2/auth","client_id":"1","project_id":"p""#,
    ] {
        assert_eq!(with("service_account", fine), None, "{fine}");
    }
    for (sort, more, key) in [
        ("service_account", r#","token_uri":"https://evil.example/token""#, "token_uri"),
        ("service_account", r#","token_uri":"http://127.0.0.1:1/token""#, "token_uri"),
        ("service_account", r#","token_uri":"https://oauth2.googleapis.com.evil.example/""#, "token_uri"),
        ("service_account", r#","universe_domain":"evil.example""#, "universe_domain"),
        ("service_account", r#","credential_source":{"executable":{"command":"sh"}}"#, "credential_source"),
        ("service_account", r#","token_url":"https://evil.example""#, "token_url"),
        ("external_account", r#","credential_source":{"file":"/etc/shadow"}"#, "credential_source"),
        ("external_account", r#","credential_source":{"url":"http://169.254.169.254/"}"#, "credential_source"),
        ("external_account", "", "type"),
        ("impersonated_service_account", r#","source_credentials":{}"#, "source_credentials"),
    ] {
        assert_eq!(with(sort, more).as_deref(), Some(key), "{sort} {more}");
    }
    for strange in [r#","Type":"external_account""#, r#","type":"external_account""#, r#","x":1"#] {
        let told = with("service_account", strange).unwrap();
        assert!(told.starts_with("key_file: it "), "{told}");
    }
    let plain = [("token_uri", "http://127.0.0.1:1/")];
    let by_itself = told("gcp_service_account", "key_file", &format!("{{\"type\":\"service_account\",{KEY}}}"), &plain);
    assert!(by_itself.unwrap().starts_with("token_uri: "));
}

#[test]
fn a_file_is_held_against_what_reads_it() {
    use base64::Engine;
    let of = |text: &str, variable: Option<&str>| {
        let content = base64::engine::general_purpose::STANDARD.encode(text);
        let variable: Vec<_> = variable.map(|variable| ("variable", variable)).into_iter().collect();
        told("file", "content", &content, &variable)
    };
    let exec = config("", "    exec: {command: sh}");
    for (text, variable, key) in [
        (exec.as_str(), None, Some("exec")),
        (&exec, Some("KUBECONFIG"), Some("exec")),
        (&config("", ""), Some("KUBECONFIG"), None),
        ("[default]\ncredential_process = sh -c x\n", None, Some("credential_process")),
        ("[profile a]\n  Credential_Process=sh\n", Some("AWS_CONFIG_FILE"), Some("credential_process")),
        ("[default]\ncli_pager=sh", Some("aws_config_file"), Some("cli_pager")),
        ("[ plugins ]\nx = y", Some("AWS_CONFIG_FILE"), Some("plugins")),
        ("[default]\nweb_identity_token_file=/etc/shadow", Some("AWS_CONFIG_FILE"), Some("web_identity_token_file")),
        ("[default]\naws_access_key_id = a\nregion = b\n", Some("AWS_SHARED_CREDENTIALS_FILE"), None),
        ("[plugins]\nca_bundle = x\n", None, None),
        (r#"{"auths":{},"credHelpers":{"ghcr.io":"evil"}}"#, None, Some("credHelpers")),
        (r#"{"auths":{},"CREDSSTORE":"evil"}"#, None, Some("credsStore")),
        (r#"{"auths":{},"proxies":{"default":{}}}"#, Some("REGISTRY_AUTH_FILE"), Some("proxies")),
        (r#"{"auths":{"ghcr.io":{"auth":"eA=="}}}"#, Some("REGISTRY_AUTH_FILE"), None),
        (r#"{"type":"external_account","credential_source":{"executable":{}}}"#, None, Some("credential_source")),
        (r#"{"type":"authorized_user"}"#, Some("GOOGLE_APPLICATION_CREDENTIALS"), Some("type")),
        ("{\"credsStore\":\"evil\"}\nand more", None, Some("credsStore")),
        ("{\"line\":1}\n{\"line\":2}\n", None, None),
        ("\"credsStore\": evil\n", None, Some("credsStore")),
        ("licence: LNYCANARY\nproxies: [a]\n", None, None),
        ("-----BEGIN KEY-----\nx\n", None, None),
        ("[core]\n\tsshCommand = evil\n", None, Some("core.sshCommand")),
        ("[ CORE ]SSHCOMMAND=evil", None, Some("core.sshCommand")),
        ("# x\n[user] name = a\n[core] \n pager\n", None, Some("core.pager")),
        ("[credential \"https://a]b\\\"c\"] # x\nhelper = !evil", None, Some("credential.helper")),
        ("[credential \"https://a]b\\\"c\"]\nhelper = !evil", None, Some("credential.helper")),
        ("[credential.example] helper=x", None, Some("credential.helper")),
        ("[a][alias] x = \" !evil\"", None, Some("alias")),
        ("[alias]\nst = status\n[core]\nautocrlf = input\n", None, None),
        ("[includeIf \"gitdir:/\"]\npath = x", None, Some("includeIf.path")),
        ("[url \"https://evil.example/\"]\ninsteadOf = https://github.com/", None, Some("url.insteadOf")),
        ("[user]\nname = a\npager = b\nhelper = c\n", None, None),
        ("machine a login b password c\nmacdef init\n!evil\n\n", None, Some("macdef")),
        ("machine a login b macdef init\n", Some("NETRC"), Some("macdef")),
        ("machine a login b password macdefs\n", Some("NETRC"), None),
        ("//registry.example/:_authToken=x\nscript-shell=/tmp/evil\n", None, Some("script-shell")),
    ] {
        assert_eq!(of(text, variable).as_deref(), key, "{text} {variable:?}");
    }
    for variable in ["KUBECONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "REGISTRY_AUTH_FILE"] {
        assert!(of("no such document", Some(variable)).unwrap().starts_with("content: "), "{variable}");
    }
    let strange = told("file", "content", "/////w==", &[("variable", "KUBECONFIG")]);
    assert!(strange.is_some(), "what is no text is no kubeconfig");
    assert_eq!(told("file", "content", "/////w==", &[]), None);
}

/// Tools read more than this does, and take from it what they know.
#[test]
fn a_file_that_nobody_can_judge_is_refused() {
    use base64::Engine;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let items = |count: usize| vec!["0"; count].join(",");
    for (text, is_refused) in [
        (r#"{"a":{"b":1,"b":2}}"#.to_owned(), true),
        (r#"{"a":{"b":1,"c":[{"b":2}]}}"#.to_owned(), false),
        (format!("{{\"a\":{}}}", nested(31)), false),
        (format!("{{\"a\":{}}}", nested(32)), true),
        (format!("{{\"a\":{}}}", nested(100_000)), true),
        (format!("{{\"a\":[{}]}}", items(99_999)), false),
        (format!("{{\"a\":[{}]}}", items(100_000)), true),
        (format!("[{}]", items(1_000_000)), true),
    ] {
        let content = base64::engine::general_purpose::STANDARD.encode(&text);
        let shown = told("file", "content", &content, &[]);
        let is_told = shown.as_deref().is_some_and(|shown| shown.contains("nobody can tell"));
        assert_eq!(is_told, is_refused, "{}: {shown:?}", &text[..text.len().min(40)]);
    }
}

/// kubectl reads longer ones, and ones with a key twice.
#[test]
fn what_looks_like_a_kubeconfig_is_one_also_where_it_is_not_read() {
    use base64::Engine;
    let of = |text: &str| {
        told("file", "content", &base64::engine::general_purpose::STANDARD.encode(text), &[]).unwrap_or_default()
    };
    let exec = config("", "    exec: {command: sh}");
    let long = format!("{exec}# {}\n", "a".repeat(256 << 10));
    let twice = format!("{exec}kind: Config\n");
    let quoted = twice.replace("clusters:", "\"clusters\" :").replace("users:", "'users':");
    for text in [&long, &twice, &quoted] {
        assert!(of(text).contains("no document of this form"), "{}", of(text));
    }
    assert_eq!(of("users: a\nusers: b\n  clusters: c\nclustersx: d\n"), "");
}

#[test]
fn a_variable_that_a_team_shares_has_nothing_run() {
    let refused = |kind: &str, plain: &[(&str, &str)], secrets: &[(&str, &str)]| {
        let plain = plain.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
        refuse_orders(by_kind(kind).unwrap().1, &plain, &secrets.collect()).err()
    };
    let content = ("content", "YQ==");
    for name in [
        "PAGER",
        "pager",
        "Editor",
        "VISUAL",
        "AWS_PAGER",
        "BROWSER",
        "RUSTC_WRAPPER",
        "CURL_CA_BUNDLE",
        "npm_config_userconfig",
        "PIP_CONFIG_FILE",
        "ZDOTDIR",
        "PSQLRC",
        "RubyLib",
        "SHELL",
    ] {
        let order = refused("generic_env", &[], &[("A", "1"), (name, "LNYCANARY")]).expect(name);
        assert!(order.field == name && order.key.is_none() && !order.to_string().contains("LNYCANARY"), "{order}");
        let order = refused("file", &[("file_name", "a"), ("variable", name)], &[content]).expect(name);
        assert_eq!(order.field, "variable", "{name}");
    }
    for name in ["TOKEN", "PAGER_DUTY_TOKEN", "EDITORS", "MY_PAGER", "KUBECONFIG_2"] {
        assert_eq!(refused("generic_env", &[], &[(name, "x")]), None, "{name}");
        assert_eq!(refused("file", &[("file_name", "a"), ("variable", name)], &[content]), None, "{name}");
    }
}

#[test]
fn what_a_server_hands_out_is_of_its_kind() {
    let held = |kind: &str, plain: &[(&str, &str)], secrets: &[(&str, &str)]| {
        let plain = plain.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
        refuse_strange(by_kind(kind).unwrap().1, &plain, &secrets.collect()).is_ok()
    };
    assert!(held("generic_env", &[], &[("A", "x")]));
    for name in ["LD_PRELOAD", "PATH", "GIT_SSH_COMMAND", "a b", "PYTHONSTARTUP", "BASH_ENV"] {
        assert!(!held("generic_env", &[], &[(name, "x")]), "{name}");
    }
    let file = |variable: &str| held("file", &[("file_name", "a"), ("variable", variable)], &[("content", "YQ==")]);
    assert!(file("KEYSTORE") && !file("LD_PRELOAD") && !file("EDITOR"));
    assert!(!held("generic_env", &[], &[("PAGER", "x")]));
    assert!(!held("file", &[("file_name", "../../.ssh/config")], &[("content", "YQ==")]));
    assert!(!held("hetzner_api_token", &[("surprise", "x")], &[("token", "x")]));
    assert!(!held("hetzner_api_token", &[], &[("token", "two words")]));
}
