//! git itself with lanyard as its credential helper: what it gets, for which hosts, and what becomes of it.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::canary::{Canary, Sweep};
use crate::git_http::{Gate, GatedGit, GitServer, git, git_beside, knows_authtype, login, own_helper, succeeded};
use crate::stage::{LANYARD, Outcome, Stage};
use crate::vaulted::{self, list, reveal};

const PASSWORD: &str = "alice-password";

/// Calls the helper as git does.
pub(super) fn helper(stage: &Stage, verb: &str, text: &str) -> Outcome {
    stage.run_with(&["helper", "git", verb], text.as_bytes())
}

/// Stores a login for a host or an address, unverified.
#[track_caller]
pub(super) fn store(stage: &Stage, host: &str, user: &str, password: &str, more: &[&str]) {
    let given = ["credentials", "store", "git", host, "--username", user, "--token", "-", "--no-verify"];
    stage.run_with(&[&given[..], more].concat(), password.as_bytes()).ends(0);
}

/// What the helper hands out for a question: user name and password.
#[track_caller]
pub(super) fn answered(stage: &Stage, question: &str) -> Option<(String, String)> {
    let outcome = helper(stage, "get", question).ends(0).stdout();
    let value = |key: &str| outcome.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    Some((value("username=")?, value("password=")?))
}

/// What git asks for an address without a path.
pub(super) fn question(url: &str) -> String {
    let (protocol, host) = url.split_once("://").unwrap();
    format!("protocol={protocol}\nhost={host}\n\n")
}

#[test]
fn git_clones_fetches_and_pushes_with_what_is_stored() {
    let server = GitServer::start();
    let stage = vaulted::stage();
    store(&stage, &server.private(), "alice", PASSWORD, &["--name", "mine"]);
    assert_eq!(list(&stage)[0]["last_used_at"], serde_json::Value::Null);
    succeeded(&git(&stage, &["clone", &server.private(), "one"], ""));
    assert!(list(&stage)[0]["last_used_at"].is_string(), "the use is noted");
    let one = stage.home().join("one");
    std::fs::write(one.join("file"), "text").unwrap();
    for step in [&["add", "file"][..], &["commit", "-m", "One"], &["push", "origin", "HEAD:main"], &["fetch"]] {
        succeeded(&git(&stage, &[&["-C", one.to_str().unwrap()], step].concat(), ""));
    }
    succeeded(&git(&stage, &["clone", "-b", "main", &server.private(), "two"], ""));
    assert!(stage.home().join("two/file").exists());
    // Nothing that git wrote holds the password.
    let mut sweep = Sweep::for_canaries(&[Canary::of(PASSWORD)]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn the_program_is_found_under_the_name_that_git_looks_for() {
    let server = GitServer::start();
    let mut stage = vaulted::stage();
    store(&stage, &server.private(), "alice", PASSWORD, &[]);
    let bin = stage.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(LANYARD, bin.join("git-credential-lanyard")).unwrap();
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    succeeded(&git_beside(&stage, &["lanyard"], &["ls-remote", &server.private()], ""));
}

#[test]
fn another_helper_has_nothing_to_keep() {
    let server = GitServer::start();
    let stage = vaulted::stage();
    store(&stage, &server.private(), "alice", PASSWORD, &[]);
    succeeded(&git_beside(&stage, &[&own_helper(), "store"], &["ls-remote", &server.private()], ""));
    // An older git cannot be told; `lanyard setup` leaves no other helper for the hosts that it sets up.
    if knows_authtype() {
        assert!(!stage.home().join(".git-credentials").exists(), "the second helper wrote it down");
    }
}

#[test]
fn a_wrong_password_is_noted_and_nothing_is_thrown_away() {
    let server = GitServer::start();
    let stage = vaulted::stage();
    store(&stage, &server.private(), "alice", "wrong-password", &["--name", "mine"]);
    let refused = git(&stage, &["ls-remote", &server.private()], "");
    assert!(!refused.status.success());
    assert_eq!(list(&stage)[0]["status"], "needs attention");
    assert_eq!(reveal(&stage, "mine", "token"), "wrong-password");
    stage.run_with(&["credentials", "update", "mine", "--field", "token=-"], PASSWORD.as_bytes()).ends(0);
    succeeded(&git(&stage, &["ls-remote", &server.private()], ""));
    assert_eq!(list(&stage)[0]["status"], "active");
}

#[test]
fn only_the_very_secret_that_was_handed_out_is_doubted() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", PASSWORD, &["--name", "mine"]);
    let question = "protocol=https\nhost=good.example\n";
    for more in ["", "username=alice\n", "password=another\n", "username=bob\npassword=alice-password\n"] {
        let outcome = helper(&stage, "erase", &format!("{question}{more}\n")).ends(0);
        assert_eq!(outcome.stdout(), "");
        assert_eq!(list(&stage)[0]["status"], "unverified", "{more:?}");
    }
    // What git stores is not ours to keep: neither a new login nor another secret for this one.
    for (host, password) in [("good.example", "another"), ("new.example", "new")] {
        let text = format!("protocol=https\nhost={host}\nusername=alice\npassword={password}\n\n");
        assert_eq!(helper(&stage, "store", &text).ends(0).stdout(), "");
    }
    assert_eq!(list(&stage).len(), 1);
    assert_eq!(reveal(&stage, "mine", "token"), PASSWORD);
    helper(&stage, "erase", &format!("{question}username=alice\npassword={PASSWORD}\n\n")).ends(0);
    assert_eq!(list(&stage)[0]["status"], "needs attention");
    assert_eq!(answered(&stage, &format!("{question}\n")), Some(("alice".into(), PASSWORD.into())));
}

#[test]
fn only_the_exact_host_is_answered() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", PASSWORD, &[]);
    for host in [
        "good.example.evil",
        "evilgood.example",
        "sub.good.example",
        "good.example:8443",
        "good.example.",
        "good.example@evil",
        "evil/good.example",
        "good.example%00.evil",
        "xn--good-.example",
        "good.exаmple",
        "example",
    ] {
        let outcome = helper(&stage, "get", &format!("protocol=https\nhost={host}\n\n")).ends(0);
        assert_eq!((outcome.stdout().as_str(), outcome.stderr().as_str()), ("", ""), "{host}");
    }
    for text in [
        "protocol=http\nhost=good.example\n\n",
        "protocol=https\nhost=good.example\nusername=bob\n\n",
        "protocol=https\nhost=evil.example\npath=good.example\nwwwauth[]=Basic realm=\"good.example\"\n\n",
    ] {
        assert_eq!(helper(&stage, "get", text).ends(0).stdout(), "", "{text:?}");
    }
    let mine = Some(("alice".to_owned(), PASSWORD.to_owned()));
    for host in ["good.example", "GOOD.example", "good.example:443"] {
        assert_eq!(answered(&stage, &format!("protocol=https\nhost={host}\n\n")), mine, "{host}");
    }
}

#[test]
fn a_credential_for_a_path_is_for_that_path_alone() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", "for everything", &["--name", "all"]);
    store(&stage, "good.example", "bot", "for the team", &["--name", "team", "--path", "team"]);
    let asked = |path: &str| {
        let text = format!("protocol=https\nhost=good.example\npath={path}\n\n");
        answered(&stage, &text).map(|(user, _)| user)
    };
    for (path, user) in [
        ("team/app.git", "bot"),
        ("team", "bot"),
        ("teams/app.git", "alice"),
        ("other/team/app.git", "alice"),
        ("", "alice"),
    ] {
        assert_eq!(asked(path).as_deref(), Some(user), "{path:?}");
    }
    assert_eq!(answered(&stage, "protocol=https\nhost=good.example\n\n").unwrap().0, "alice", "no path, no team");
    // git tells the path where it is asked to.
    let fill = |more: &[&str]| {
        let text = "url=https://good.example/team/app.git\n\n";
        succeeded(&git(&stage, &[more, &["credential", "fill"]].concat(), text))
    };
    assert!(fill(&[]).contains("username=alice\n"));
    assert!(fill(&["-c", "credential.https://good.example.useHttpPath=true"]).contains("username=bot\n"));
    stage.run(&["setup", "git", "--yes"]).ends(0);
    assert!(fill(&[]).contains("username=bot\n"), "the set-up has git tell the path");
}

#[test]
fn a_submodule_and_a_redirect_to_another_host_get_nothing() {
    let stranger = GatedGit::start(|_| Gate::Unknown);
    let there = stranger.url.clone();
    let bound = GatedGit::start(move |seen| match (seen.target.strip_prefix("/moved"), login(seen)) {
        (Some(rest), _) => Gate::Elsewhere(format!("{there}{rest}")),
        (None, Some((user, password))) if user == "alice" && password == PASSWORD => Gate::Open,
        _ => Gate::Unknown,
    });
    let stage = vaulted::stage();
    store(&stage, &bound.url, "alice", PASSWORD, &[]);

    // A repository with a submodule on the stranger's host.
    succeeded(&git(&stage, &["clone", &bound.repository(), "work"], ""));
    let work = stage.home().join("work");
    let modules = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = {}\n", stranger.repository());
    std::fs::write(work.join(".gitmodules"), modules).unwrap();
    let link = "160000,1111111111111111111111111111111111111111,sub";
    for step in [
        &["update-index", "--add", "--cacheinfo", link][..],
        &["add", ".gitmodules"],
        &["commit", "-m", "Sub"],
        &["push", "origin", "HEAD:main"],
    ] {
        succeeded(&git(&stage, &[&["-C", work.to_str().unwrap()], step].concat(), ""));
    }
    let cloned = git(&stage, &["clone", "-b", "main", "--recurse-submodules", &bound.repository(), "again"], "");
    assert!(!cloned.status.success() && stage.home().join("again/.gitmodules").exists());
    assert!(stranger.requests().iter().any(|seen| seen.path() == "/demo.git/info/refs"), "the submodule was asked for");
    assert!(!stranger.saw_a_secret());

    // The bound host sends git elsewhere, with a user in the address and without.
    for url in [format!("{}/moved/demo.git", bound.url), format!("http://alice@{}/moved/demo.git", bound.host())] {
        let before = stranger.requests().len();
        assert!(!git(&stage, &["ls-remote", &url], "").status.success());
        assert!(stranger.requests().len() > before, "git followed");
    }
    assert!(!stranger.saw_a_secret());
    // The helper is asked for the host that git really goes to.
    let rewritten = |url: &str| format!("url.{url}/.insteadOf=work:");
    assert!(!git(&stage, &["-c", &rewritten(&stranger.url), "ls-remote", "work:demo.git"], "").status.success());
    assert!(!stranger.saw_a_secret());
    succeeded(&git(&stage, &["-c", &rewritten(&bound.url), "ls-remote", "work:demo.git"], ""));
}

#[test]
fn a_host_that_redirects_once_it_has_the_password_does_not_pass_it_on() {
    let stranger = GatedGit::start(|_| Gate::Open);
    let there = stranger.url.clone();
    let bound = GatedGit::start(move |seen| match login(seen) {
        Some(_) => Gate::Elsewhere(format!("{there}{}", seen.target)),
        None => Gate::Unknown,
    });
    let stage = vaulted::stage();
    store(&stage, &bound.url, "alice", PASSWORD, &[]);
    let output = git(&stage, &["ls-remote", &bound.repository()], "");
    assert!(bound.saw_a_secret(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!stranger.saw_a_secret());
}

#[test]
fn what_lies_in_a_clone_has_no_say() {
    let server = GitServer::start();
    let mut stage = vaulted::stage();
    store(&stage, &server.private(), "alice", PASSWORD, &[]);
    stage.enter("clone");
    let asked = question(&server.url);
    let before = helper(&stage, "get", &asked).ends(0);
    let clone = stage.home().join("clone");
    let stranger = GatedGit::start(|_| Gate::Unknown);
    for text in [
        format!("profile = \"x\"\nproject = \"y\"\nurl = \"{}\"\n", stranger.url),
        format!(
            "[services.x]\nissuer = \"{0}\"\nclient_id = \"y\"\n[services.x.git]\naddress = \"{0}\"\n",
            stranger.url
        ),
        "helper = \"!touch pwned\"\nstorage = \"plain\"\n".to_owned(),
        "no TOML at all [".to_owned(),
    ] {
        std::fs::write(clone.join(".lanyard.toml"), &text).unwrap();
        let after = helper(&stage, "get", &asked).ends(0);
        assert_eq!((after.stdout, after.stderr), (before.stdout.clone(), before.stderr.clone()), "{text}");
        helper(&stage, "get", &question(&stranger.url)).shows(0, "", "");
    }
    // Programs beside the clone's files are not run, wherever PATH would have them looked for.
    for program in ["git", "xdg-open", "lanyard", "secret-tool"] {
        std::fs::write(clone.join(program), "#!/bin/sh\ntouch \"$HOME/pwned\"\n").unwrap();
        std::fs::set_permissions(clone.join(program), PermissionsExt::from_mode(0o755)).unwrap();
    }
    stage.set("PATH", ".::/usr/bin:/bin");
    assert_eq!(helper(&stage, "get", &asked).ends(0).stdout, before.stdout);
    helper(&stage, "get", &question(&stranger.url)).shows(0, "", "");
    assert!(!stage.home().join("pwned").exists() && !clone.join("pwned").exists());
    assert!(stranger.requests().is_empty());
}

#[test]
fn two_hundred_calls_at_once_are_answered_while_the_vault_changes() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", "first", &["--name", "mine"]);
    for name in ["first", "second"] {
        std::fs::write(stage.root().join(name), name).unwrap();
    }
    let (done, question) = (AtomicBool::new(false), "protocol=https\nhost=good.example\n\n");
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut changes = 0;
            while !done.load(Ordering::SeqCst) || changes < 2 {
                let value = if changes % 2 == 0 { "second" } else { "first" };
                let value = format!("token=@{}", stage.root().join(value).display());
                stage.run(&["credentials", "update", "mine", "--no-verify", "--field", &value]).ends(0);
                stage.run(&["vault", "rekey"]).ends(0);
                stage.run(&["credentials", "list"]).ends(0);
                changes += 1;
            }
        });
        let ask = || {
            for _ in 0..20 {
                let (user, password) = answered(&stage, question).expect("an answer");
                assert!(user == "alice" && ["first", "second"].contains(&password.as_str()), "{password}");
            }
        };
        let asking: Vec<_> = (0..10).map(|_| scope.spawn(ask)).collect();
        let outcomes: Vec<_> = asking.into_iter().map(|one| one.join().is_ok()).collect();
        done.store(true, Ordering::SeqCst);
        others.join().unwrap();
        assert!(outcomes.iter().all(|well| *well));
    });
    assert!(list(&stage)[0]["last_used_at"].is_string());
}

#[test]
fn a_helper_that_is_killed_leaves_no_half_answer() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", PASSWORD, &[]);
    let whole = helper(&stage, "get", "protocol=https\nhost=good.example\n\n").ends(0).stdout;
    for pause in 0..12 {
        let mut running = stage.start(&["helper", "git", "get"]);
        let mut pipe = running.stdin.take().unwrap();
        std::io::Write::write_all(&mut pipe, b"protocol=https\nhost=good.example\n\n").unwrap();
        std::thread::sleep(Duration::from_millis(pause * 2));
        running.signal("KILL");
        let said = running.finish().stdout;
        assert!(said.is_empty() || said == whole, "{}", String::from_utf8_lossy(&said));
    }
}
