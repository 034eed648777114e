//! A token goes to one host: the one that its owner named. Redirects, look-alikes and cloned repositories get nothing.

use serde_json::json;

use crate::canary::Canary;
use crate::idp::{Fault, Idp};
use crate::scene::{self, attempt, settled};
use crate::second_host::SecondHost;
use crate::stage::Stage;

/// Every command that may talk to the service.
const TALKING: [&[&str]; 9] = [
    &["auth", "status"],
    &["auth", "whoami"],
    &["auth", "token-info"],
    &["auth", "refresh"],
    &["api", "GET", "/v1/me"],
    &["project", "list"],
    &["project", "use", "web-shop"],
    &["which"],
    &["doctor"],
];

#[test]
fn an_api_request_is_redirected_to_no_other_origin() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let port = idp.issuer().rsplit_once(':').unwrap().1.to_owned();
    for status in [301, 302, 303, 307, 308] {
        for target in [
            elsewhere.url("/v1/me"),
            format!("//{}/v1/me", elsewhere.address()),
            format!("HTTP://{}/v1/me", elsewhere.address()),
            format!("http://127.0.0.1:{port}@{}/v1/me", elsewhere.address()),
            format!("\\\\{}\\v1\\me", elsewhere.address()),
        ] {
            for path in ["/v1/me", "/v1/projects", "/introspect", "/userinfo", "/revoke", "/jwks"] {
                idp.change(|behaviour| {
                    behaviour.fault(path, Fault::Redirect(status, target.clone()));
                });
            }
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let outcome = stage.run(&["api", method, "/v1/me", "-H", "X-Api-Key: LNYCANARYkey"]);
                assert!(!matches!(outcome.code, Some(0 | 101) | None), "{status} {target}: {outcome}");
            }
            stage.run(&["auth", "status"]);
        }
        for command in TALKING {
            stage.run(command);
        }
        idp.change(|behaviour| behaviour.faults.clear());
        scene::sign_in(&stage);
    }
    elsewhere.assert_untouched();
}

#[test]
fn an_api_path_never_leaves_its_endpoint() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    stage.write_config(
        &stage
            .config()
            .replace(&format!("endpoint = \"{}\"", idp.issuer()), &format!("endpoint = \"{}/v1\"", idp.issuer())),
    );
    stage.write_config(&stage.config().replace("whoami = \"/v1/me\"", "whoami = \"/me\""));
    scene::sign_in(&stage);
    idp.forget();
    let address = elsewhere.address();
    for path in [
        format!("http://{address}/x"),
        format!("//{address}/x"),
        format!("@{address}/x"),
        format!("/\\{address}/x"),
        format!(".{address}/x"),
        "/../admin".into(),
        "/a/../../admin".into(),
        "/%2e%2e/admin".into(),
        "/.%2E/admin".into(),
        "/a\r\nHost: evil".into(),
        "/a b".into(),
    ] {
        let outcome = stage.run(&["api", "GET", &path]);
        assert_ne!(outcome.code, Some(101), "{outcome}");
    }
    for seen in idp.requests() {
        assert!(seen.path.starts_with("/v1/") && !seen.path.contains(".."), "{seen:?}");
        assert_eq!(seen.headers.iter().filter(|(name, _)| name == "host").count(), 1);
    }
    elsewhere.assert_untouched();
    for header in ["Authorization: Bearer x", "X: a\r\nY: b", "Host: evil.example", "nonsense", ": x"] {
        let outcome = stage.run(&["api", "GET", "/things", "-H", header]);
        assert_ne!(outcome.code, Some(101), "{outcome}");
    }
    assert!(
        idp.requests().iter().all(|seen| seen.header("y").is_none() && seen.header("host") != Some("evil.example"))
    );
}

#[test]
fn a_token_variable_is_sent_to_the_named_host_only() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let canary = Canary::new();
    idp.change(|behaviour| behaviour.api_tokens = vec![canary.text().to_owned()]);
    let mut stage = scene::stage_for(&idp);
    let before = settled(&stage);
    for variable in ["LANYARD_TOKEN", "CORP_TOKEN"] {
        stage.set(variable, canary.text());
        idp.forget();
        stage.run(&["auth", "status"]).ends(0);
        stage.run(&["api", "GET", "/v1/me"]).ends(0);
        assert!(idp.requests().iter().all(|seen| seen.bearer() == Some(canary.text())));
        for command in TALKING {
            stage.run(command);
        }
        // Nothing is written while it is in force, and the commands that would write say so.
        for command in
            [&["auth", "login", "--no-browser"][..], &["auth", "refresh"], &["auth", "logout"], &["auth", "revoke"]]
        {
            let outcome = stage.run(command);
            assert!(!matches!(outcome.code, Some(0 | 101) | None), "{outcome}");
            assert!(outcome.stderr().contains(variable), "{outcome}");
        }
        let written: Vec<_> =
            settled(&stage).into_iter().filter(|(path, bytes)| before.get(path) != Some(bytes)).collect();
        assert!(written.iter().all(|(path, _)| path.ends_with("config.toml")), "{written:?}");

        // Addresses that are none, or that two readers could read in two ways, get nothing.
        let host = elsewhere.address();
        let own = idp.issuer().strip_prefix("http://").unwrap().to_owned();
        for endpoint in [
            "http://id.example".to_owned(),
            format!("http://{own}@{host}"),
            format!("http://{host}\\@{own}"),
            format!("http:\\\\{host}"),
            format!("http:///{host}"),
            format!("http://{}", host.replace('.', "%2e")),
            format!("http://{}", host.replace('1', "\u{ff11}")),
            format!("ftp://{host}"),
            format!("http://{host}#@{own}"),
        ] {
            stage.set("LANYARD_ENDPOINT", &endpoint);
            for command in TALKING {
                let outcome = stage.run(command);
                assert!(!matches!(outcome.code, Some(101) | None), "{endpoint}: {outcome}");
            }
            stage.unset("LANYARD_ENDPOINT");
        }
        stage.unset(variable);
    }
    elsewhere.assert_untouched();
}

#[test]
fn a_variable_cannot_send_the_stored_session_to_another_host() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    stage.set("LANYARD_ENDPOINT", elsewhere.url(""));
    for command in TALKING {
        let outcome = stage.run(command);
        assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
    }
    stage.run(&["api", "GET", "/v1/me"]);
    for arrived in elsewhere.arrived() {
        let text = String::from_utf8_lossy(&arrived).into_owned();
        assert!(!text.contains("LNYCANARY") && !text.to_lowercase().contains("authorization"), "{text}");
    }
}

#[test]
fn a_cloned_repository_redirects_no_token_and_runs_nothing() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let canary = Canary::new();
    let mut stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    stage.enter("clone/deep/down");
    let trap = stage.root().join("pwned");
    let there = elsewhere.url("");
    let hostile = format!(
        "endpoint = \"{there}\"\nissuer = \"{there}\"\nhelper = \"!touch {0}\"\nca_file = \"/tmp/x\"\nproxy = \"{there}\"\n\
         storage = \"plain\"\nbrowser = \"touch {0}\"\n[profiles.work]\nendpoint = \"{there}\"\n[services.corp]\n\
         token_endpoint = \"{there}/token\"\ntoken_env = [\"CORP_TOKEN\"]\n[defaults]\nstorage = \"plain\"\n",
        trap.display()
    );
    std::fs::write(stage.home().join("clone/.lanyard.toml"), hostile).unwrap();
    for with_variable in [false, true] {
        if with_variable {
            stage.set("LANYARD_TOKEN", canary.text());
            idp.change(|behaviour| behaviour.api_tokens = vec![canary.text().to_owned()]);
        }
        for command in TALKING {
            let outcome = stage.run(command);
            assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
        }
        let said = stage.run(&["auth", "status"]).ends(0).stderr();
        for key in ["endpoint", "issuer", "helper", "proxy", "profiles", "services"] {
            assert!(said.contains(key), "{key} is not named as ignored: {said}");
        }
    }
    stage.unset("LANYARD_TOKEN");
    attempt(&stage, &[]).ends(0);
    assert!(idp.accepts(&scene::token(&stage)));
    elsewhere.assert_untouched();
    assert!(!trap.exists());
}

#[test]
fn nobody_is_contacted_but_the_configured_host() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let log = stage.root().join("calls").display().to_string();
    let own = format!("htons({})", idp.issuer().rsplit_once(':').unwrap().1);
    stage.wrap(&["strace", "-f", "-qq", "-A", "-o", &log, "-e", "trace=connect,sendto,sendmsg"]);
    for command in TALKING.iter().chain([&["auth", "revoke"][..], &["auth", "logout"], &["--version"]].iter()) {
        stage.run(command);
    }
    let calls = std::fs::read_to_string(&log).unwrap();
    let addressed: Vec<&str> =
        calls.lines().filter(|call| call.contains("sin_port") || call.contains("sin6_port")).collect();
    assert!(!addressed.is_empty());
    for call in addressed {
        assert!(call.contains(&own) && call.contains("127.0.0.1"), "{call}");
    }
}

#[test]
fn a_pasted_token_is_cleaned_or_refused_and_never_repeated() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let canary = Canary::new();
    let token = canary.text();
    idp.change(|behaviour| behaviour.api_tokens = vec![token.to_owned()]);
    let before = settled(&stage);
    for (pasted, code) in [
        (String::new(), 2),
        ("\n".into(), 2),
        (" \t\r\n".into(), 2),
        (format!("{token}\n{token}\n"), 2),
        (format!("{token}\r\nX-Evil: 1"), 2),
        (format!("a {token}"), 2),
        (format!("{token}\u{0}"), 2),
        (format!("{token}\u{1b}[2J"), 2),
        (format!("{token}\u{e9}"), 2),
        (token.repeat((64 << 10) / token.len() + 1), 2),
        (format!("{token}x"), 8),
    ] {
        let outcome = stage.run_with(&["auth", "login", "--with-token"], pasted.as_bytes());
        assert_eq!(outcome.code, Some(code), "{pasted:.60?}: {outcome}");
        assert_eq!(settled(&stage), before, "{pasted:.60?}");
    }
    assert_ne!(stage.run_with(&["auth", "login", "--with-token"], b"LNYCANARY\xff\xfe").code, Some(101));
    assert_eq!(settled(&stage), before);
    for pasted in [token.to_owned(), format!("{token}\n"), format!("  {token}\r\n\n")] {
        stage.run_with(&["auth", "login", "--with-token"], pasted.as_bytes()).ends(0);
        let printed = stage.command(&["auth", "token"]).output().unwrap().stdout;
        assert_eq!(printed, format!("{token}\n").as_bytes());
    }
    let warned = stage.run(&["auth", "login", "--token", token]).ends(0).stderr();
    assert_eq!(warned.matches("other users of this machine").count(), 1, "{warned}");
    // A token in the wrong place of the command line is not repeated either.
    for words in [vec!["auth", token], vec!["auth", "login", token], vec!["auth", "token", "--min-validity", token]] {
        let outcome = stage.run(&words);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{outcome}");
    }
    let mut sweep = crate::canary::Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_only(&[&stage.config_dir().join("sessions.plain.json").display().to_string()]);
}

#[test]
fn an_ended_sign_in_leaves_nothing_behind_at_whatever_moment() {
    let idp = Idp::honest();
    let stage: Stage = scene::stage_for(&idp);
    let before = settled(&stage);
    let config = json!(stage.config());
    for (number, signal) in ["INT", "TERM", "HUP", "KILL"].iter().cycle().take(20).enumerate() {
        let mut running = scene::begin(&stage, &[]);
        std::thread::sleep(std::time::Duration::from_millis(number as u64 * 7));
        if running.is_alive() {
            running.signal(signal);
        }
        let pid = running.pid();
        let outcome = running.finish();
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert_ne!(outcome.code, Some(101), "{outcome}");
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        assert_eq!(json!(stage.config()), config, "{signal} after {number}");
    }
    // What a killed probe of the store left is gone after the next run.
    scene::sign_in(&stage);
    stage.run(&["auth", "logout"]).ends(0);
    let left: Vec<_> = settled(&stage).into_keys().filter(|path| !before.contains_key(path)).collect();
    assert!(left.is_empty(), "{left:?}");
}
