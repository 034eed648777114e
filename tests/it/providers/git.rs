//! Git hosts: git-http-backend under nginx with git itself as the second client, and the hosts' APIs as doubles.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::clouds::{assert_cases, assert_unseen, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::git_http::GitServer;
use crate::stage::Stage;
use crate::vaulted;
use serde_json::json;

/// git itself, with this home and a helper where one is given.
fn git(home: &Path, helper: Option<&str>, arguments: &[&str], stdin: &str) -> Output {
    use std::io::Write;
    let mut command = Command::new("git");
    command.args(["-c", "credential.helper="]);
    if let Some(helper) = helper {
        command.arg("-c").arg(format!("credential.helper={helper}"));
    }
    let mut child = command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes()).expect("git reads");
    child.wait_with_output().expect("git ends")
}

fn give<'a>(url: &'a str, password: &'a str) -> [&'a str; 5] {
    [url, "--username", "alice", "--token", password]
}

#[test]
fn a_login_is_proven_as_git_itself_proves_it() {
    let server = GitServer::start();
    let stage = vaulted::stage();
    let private = server.private();
    let refused = store(&stage, "git", &give(&private, "secret:wrong")).ends(8);
    assert!(refused.stderr().contains("not stored: the git host does not accept it"), "{refused}");
    let stored =
        store(&stage, "git", &[&give(&private, "secret:alice-password")[..], &["--name", "git"]].concat()).ends(0);
    assert!(stored.stderr().ends_with("Stored git (git host login), active: alice\n"), "{stored}");
    assert_eq!(tested(&stage)["identity"], "alice");

    let open = format!("{}/open/demo.git", server.url);
    let open = store(&stage, "git", &[&give(&open, "secret:any")[..], &["--name", "open"]].concat()).ends(0);
    assert!(
        open.stderr().ends_with("Stored open (git host login), unverified\n"),
        "a public one proves nothing: {open}"
    );
    let missing = format!("{}/private/none.git", server.url);
    let missing = store(&stage, "git", &[&give(&missing, "secret:alice-password")[..], &["--name", "none"]].concat());
    assert!(missing.ends(0).stderr().contains("not verified with Git host: the git host knows no such repository"));
}

#[test]
fn git_reads_what_is_handed_over_and_its_own_files_are_found() {
    let server = GitServer::start();
    let stage = vaulted::stage();
    let private = server.private();
    let host = server.url.strip_prefix("http://").unwrap();
    assert!(!git(&stage.home(), None, &["ls-remote", &private], "").status.success(), "a password is wanted");

    // As git stores it.
    let approved = format!("protocol=http\nhost={host}\nusername=alice\npassword=alice-password\n\n");
    assert!(git(&stage.home(), Some("store"), &["credential", "approve"], &approved).status.success());
    let found = stage.run(&["credentials", "store", "git", &private, "--name", "git"]).ends(0);
    let told = format!("Stored git (git host login, from ~/.git-credentials [{host}]), active: alice\n");
    assert!(found.stderr().contains(&told), "{found}");
    std::fs::remove_file(stage.home().join(".git-credentials")).unwrap();

    let file = stage.home().join("handed-over");
    let to = file.to_str().unwrap();
    stage.run(&["credentials", "export", "git", "--format", "git-credentials", "--to", to]).ends(0);
    let listed = git(&stage.home(), Some(&format!("store --file={to}")), &["ls-remote", &private], "");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));

    let netrc = stage.run(&["credentials", "export", "git", "--format", "netrc"]).ends(0).stdout();
    std::fs::write(stage.home().join(".netrc"), netrc).unwrap();
    let listed = git(&stage.home(), None, &["ls-remote", &private], "");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let other = stage.run(&["credentials", "store", "git", "127.0.0.1", "--name", "again", "--no-verify"]).ends(0);
    assert!(other.stderr().contains("from ~/.netrc [127.0.0.1]"), "{other}");
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let stage = vaulted::stage();
    std::fs::write(stage.home().join(".netrc"), "machine a\nlogin b\nLNYCANARY c\n").unwrap();
    let broken = stage.run(&["credentials", "store", "git", "a"]).ends(1);
    assert!(broken.stderr().contains("~/.netrc is no usable file of logins: line 3"), "{broken}");
    assert!(!broken.stderr().contains("LNYCANARY"), "{broken}");
}

#[test]
fn a_broken_file_of_one_tool_does_not_keep_a_login_of_another_from_being_stored() {
    let stage = vaulted::stage();
    let files = [".config/tea/config.yml", ".netrc", ".git-credentials"].map(|path| stage.home().join(path));
    std::fs::create_dir_all(files[0].parent().unwrap()).unwrap();
    std::fs::write(&files[0], "logins: [\n").unwrap();
    std::fs::write(&files[1], "machine\n").unwrap();
    std::fs::write(&files[2], "https://ann:a-login-of-Ann@git.example.com\n").unwrap();
    let stored = stage.run(&["credentials", "store", "git", "git.example.com", "--no-verify"]).ends(0);
    for place in ["~/.config/tea/config.yml", "~/.netrc"] {
        let stderr = stored.stderr();
        assert!(stderr.contains(&format!("warning: passed over: {place} is no usable ")), "{stored}");
        assert!(stderr.contains(&format!("  next: look at {place}\n")), "{stored}");
    }
    assert_eq!(vaulted::reveal(&stage, "git.example.com", "token"), "a-login-of-Ann");
    // Nothing lies here for this one, and it may stand in the file that is broken.
    let other = stage.run(&["credentials", "store", "git", "other.example.com", "--no-verify"]).ends(1);
    assert!(other.stderr().contains("error: ~/.config/tea/config.yml is no usable "), "{other}");
    assert!(other.stderr().contains("warning: passed over: ~/.netrc"), "{other}");
}

fn stored_at(double: &Double, flavour: &str, token: &str) -> Stage {
    let stage = vaulted::stage();
    let url = double.url();
    let more = ["--username", "a@b.example", "--service", flavour, "--endpoint", &url];
    let token = format!("secret:{token}");
    let flags = [&["git.corp.example", "--token", &token][..], &more].concat();
    store(&stage, "git", &flags).ends(0);
    stage
}

#[test]
fn each_host_tells_whose_a_token_is_and_until_when() {
    let body = |path: &str| match path {
        "/user" => Some(json!({ "login": "octocat", "username": "alice", "display_name": "Alice" })),
        "/personal_access_tokens/self" => Some(json!({
            "name": "ci", "active": true, "revoked": false, "scopes": ["api"], "expires_at": "2030-01-02"
        })),
        _ => None,
    };
    for (flavour, prefix, identity, variable) in [
        ("github", "ghp_", "octocat", "GH_ENTERPRISE_TOKEN"),
        ("gitlab", "glpat-", "alice", "GITLAB_TOKEN"),
        ("gitea", "", "octocat", "GITEA_TOKEN"),
    ] {
        let double = Double::start(move |seen: &Seen| {
            let answer = body(seen.path()).filter(|_| seen.header("authorization").is_some());
            let answer = answer.map_or_else(|| Answer::json(404, "{}"), |body| Answer::json(200, &body));
            answer.header("github-authentication-token-expiration: 2030-01-02 00:00:00 UTC")
        });
        let token = secret(prefix, 60);
        let stage = stored_at(&double, flavour, &token);
        let told = tested(&stage);
        assert_eq!((&told["outcome"], &told["identity"]), (&json!("valid"), &json!(identity)), "{flavour}: {told}");
        if flavour != "gitea" {
            assert_eq!(vaulted::list(&stage)[0]["expires_at"], "2030-01-02T00:00:00Z", "{flavour}");
        }
        let refused = stage.run(&["credentials", "rotate", "git.corp.example"]).ends(1);
        assert!(refused.stderr().contains("lanyard credentials update git.corp.example"), "{refused}");
        assert_unseen(&stage, &[&token]);
        let exported = stage.run(&["credentials", "export", "git.corp.example", "--format", "json"]).ends(0).json();
        assert_eq!(exported[variable], token, "{flavour}");
    }
}

#[test]
fn each_answer_is_told_for_what_it_is() {
    let case = |status, body: serde_json::Value, outcome| (status, body.to_string(), outcome, None);
    let answering = |status, body: String| move |_: &Seen| Answer::json(status, &body);
    let common = ["git.corp.example", "--token", "secret:not-a-real-token", "--username", "a@b.example", "--service"];
    for (flavour, cases) in [
        (
            "github",
            vec![
                case(200, json!({ "login": "octocat" }), "valid"),
                case(401, json!({ "message": "Bad credentials" }), "invalid"),
                case(403, json!({ "message": "Resource not accessible by integration" }), "insufficient"),
                case(403, json!({ "message": "API rate limit exceeded" }), "rate_limited"),
                case(401, json!("a proxy"), "unexpected"),
                case(502, json!({}), "unreachable"),
            ],
        ),
        (
            "gitlab",
            vec![
                case(403, json!({ "error": "insufficient_scope" }), "insufficient"),
                case(401, json!({ "message": "401 Unauthorized" }), "unexpected"),
                case(429, json!("Retry later"), "rate_limited"),
            ],
        ),
        (
            "bitbucket",
            vec![
                case(200, json!({ "display_name": "Alice" }), "valid"),
                case(401, json!({ "type": "error" }), "invalid"),
                case(403, json!({ "type": "error" }), "insufficient"),
            ],
        ),
        (
            "gitea",
            vec![
                case(401, json!({ "message": "invalid username, password or token" }), "invalid"),
                case(403, json!({ "message": "token does not have scope" }), "insufficient"),
                case(404, json!({}), "unexpected"),
            ],
        ),
    ] {
        assert_cases("git", &[&common[..], &[flavour]].concat(), cases, answering);
    }
}
