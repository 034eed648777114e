//! Tools that are set up ask lanyard, and do not any more once it is undone. The tools are the real ones.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::stage::{LANYARD, Stage};
use crate::vaulted;

const TOKEN: &str = "glpat-Zb3kQ9vXw2LrN7yTd5cH";

/// A home with a git credential, and the binary as `lanyard` in a folder of its own on `PATH`.
fn stage() -> Stage {
    let mut stage = vaulted::stage();
    let bin = stage.home().join(".local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(LANYARD, bin.join("lanyard")).unwrap();
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
    stage.set("PATH", path);
    stage
}

fn store_git(stage: &Stage, host: &str) {
    let words = ["credentials", "store", "git", host, "--username", "alice", "--token", "-", "--no-verify"];
    stage.run_with(&words, TOKEN.as_bytes()).ends(0);
}

/// What git itself comes up with for a host.
fn fill(stage: &Stage, host: &str) -> String {
    use std::io::Write;
    let like = stage.command(&[]);
    let mut git = Command::new("git");
    git.args(["credential", "fill"]).env_clear().env("GIT_TERMINAL_PROMPT", "0").current_dir(stage.home());
    for (name, value) in like.get_envs() {
        git.env(name, value.unwrap_or_default());
    }
    let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("git starts");
    let mut question = git.stdin.take().expect("stdin is a pipe");
    write!(question, "protocol=https\nhost={host}\n\n").unwrap();
    drop(question);
    String::from_utf8(git.wait_with_output().unwrap().stdout).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn git_asks_once_it_is_set_up_and_no_longer_when_undone() {
    let stage = stage();
    store_git(&stage, "git.example.com");
    let config = stage.home().join(".gitconfig");
    let theirs = "[user]\n\tname = A\n[credential]\n\thelper = store";
    std::fs::write(&config, theirs).unwrap();
    assert!(!fill(&stage, "git.example.com").contains(TOKEN));
    let outcome = stage.run(&["setup", "git", "--yes"]).ends(0);
    assert!(outcome.stderr().contains("git asks lanyard for https://git.example.com"), "{outcome}");
    assert!(fill(&stage, "git.example.com").contains(TOKEN));
    assert!(!fill(&stage, "git.example.com.evil.example").contains(TOKEN));
    // The other helper is neither asked nor told for this host.
    let listed = Command::new("git")
        .args(["config", "--global", "--get-urlmatch", "credential.helper", "https://git.example.com"])
        .env("HOME", stage.home())
        .output()
        .unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("helper git"));
    let once = text(&config);
    let again = stage.run(&["setup", "git", "--yes"]).ends(0);
    assert!(again.stderr().contains("set up already"), "{again}");
    assert_eq!(text(&config), once);
    stage.run(&["setup", "git", "--undo"]).ends(0);
    assert_eq!(text(&config), theirs);
    assert!(!fill(&stage, "git.example.com").contains(TOKEN));
    assert!(stage.run(&["setup", "git", "--undo"]).ends(0).stderr().contains("not set up"));
}

#[test]
fn a_host_that_was_named_stays_when_another_is_added() {
    let stage = stage();
    stage.run(&["setup", "git", "--yes", "--host", "github.com"]).ends(0);
    store_git(&stage, "git.example.com");
    stage.run(&["setup", "git", "--yes"]).ends(0);
    let config = text(&stage.home().join(".gitconfig"));
    assert!(config.contains("https://github.com\"") && config.contains("https://git.example.com\""), "{config}");
}

#[test]
fn what_was_changed_since_is_kept_when_it_is_undone() {
    let stage = stage();
    store_git(&stage, "git.example.com");
    stage.run(&["setup", "git", "--yes"]).ends(0);
    let config = stage.home().join(".gitconfig");
    let changed = format!("[user]\n\tname = B\n{}[alias]\n\tst = status\n", text(&config));
    std::fs::write(&config, changed).unwrap();
    let outcome = stage.run(&["setup", "git", "--undo"]).ends(0);
    assert!(outcome.stderr().contains("keeps what was changed since"), "{outcome}");
    assert_eq!(text(&config), "[user]\n\tname = B\n[alias]\n\tst = status\n");
}

#[test]
fn a_dry_run_and_a_no_change_nothing() {
    let stage = stage();
    store_git(&stage, "git.example.com");
    let outcome = stage.run(&["setup", "git", "--dry-run"]).ends(0);
    assert!(outcome.stderr().contains("+ [credential \"https://git.example.com\"]"), "{outcome}");
    // Nobody is there to say yes.
    stage.run(&["setup", "git"]).ends(2);
    assert!(!stage.home().join(".gitconfig").exists());
}

#[test]
fn a_dotfile_that_is_a_link_stays_one_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage();
    store_git(&stage, "git.example.com");
    let real = stage.home().join("dotfiles/gitconfig");
    std::fs::create_dir_all(real.parent().unwrap()).unwrap();
    std::fs::write(&real, "[user]\n\tname = A\n").unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o644)).unwrap();
    let link = stage.home().join(".gitconfig");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    stage.run(&["setup", "git", "--yes"]).ends(0);
    assert!(link.is_symlink() && text(&real).contains("helper git"));
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o644);
    stage.run(&["setup", "git", "--undo"]).ends(0);
    assert_eq!(text(&real), "[user]\n\tname = A\n");
}

#[test]
fn docker_finds_its_helper_and_gets_the_login() {
    let stage = stage();
    let login = br#"{"ServerURL":"registry.example.com","Username":"alice","Secret":"correct-horse-battery"}"#;
    stage.run_with(&["helper", "docker", "store"], login).ends(0);
    let config = stage.home().join(".docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let theirs = "{\n\t\"auths\": {\n\t\t\"other.example\": {\"auth\": \"YTpwdzEyMzQ1Ng==\"}\n\t}\n}";
    std::fs::write(&config, theirs).unwrap();
    let outcome = stage.run(&["setup", "docker", "--yes"]).ends(0);
    assert!(!outcome.stderr().contains("YTpwdzEyMzQ1Ng"), "{outcome}");
    let read: serde_json::Value = serde_json::from_str(&text(&config)).unwrap();
    assert_eq!(read["credHelpers"]["registry.example.com"], "lanyard");
    assert_eq!(read["auths"]["other.example"]["auth"], "YTpwdzEyMzQ1Ng==");
    let mut helper = stage.command(&[]);
    let program = stage.home().join(".local/bin/docker-credential-lanyard");
    helper = {
        let mut named = Command::new(program);
        named.arg("list").env_clear().envs(helper.get_envs().filter_map(|(name, value)| Some((name, value?))));
        named
    };
    let listed = helper.stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().trim(), r#"{"registry.example.com":"alice"}"#);
    stage.run(&["setup", "docker", "--undo"]).ends(0);
    assert_eq!(text(&config), theirs);
    assert!(!stage.home().join(".local/bin/docker-credential-lanyard").exists());
}

#[test]
fn copies_that_hold_a_secret_are_named() {
    let stage = stage();
    let config = stage.home().join(".docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    // alice:correct-horse-battery
    std::fs::write(&config, r#"{"auths": {"r.example": {"auth": "YWxpY2U6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"}}}"#).unwrap();
    let outcome = stage.run(&["setup", "docker", "--host", "https://r.example/", "--yes"]).ends(0);
    assert!(!outcome.stderr().contains("YWxpY2U6"), "{outcome}");
    let scan = ["credentials", "scan", "--kind", "registry", "--import", "--remove-original", "--no-verify", "--yes"];
    let outcome = stage.run(&scan).ends(0);
    let copy = vaulted::data_dir(&stage).join("setup/docker.0.before");
    let named = copy.file_name().unwrap().to_str().unwrap();
    assert!(outcome.stderr().contains(named) && outcome.stderr().contains("remove it as well"), "{outcome}");
    // The file is another one since, so the copy does not go back, and stays.
    let outcome = stage.run(&["setup", "docker", "--undo"]).ends(0);
    assert!(outcome.stderr().contains(named) && outcome.stderr().contains("with any secret in it"), "{outcome}");
    assert!(copy.exists() && !text(&config).contains("lanyard"), "{}", text(&config));
}

#[test]
fn a_set_up_is_undone_while_the_vault_cannot_be_read() {
    let stage = stage();
    let config = stage.home().join(".gitconfig");
    std::fs::write(&config, "[user]\n\tname = A\n").unwrap();
    stage.run(&["setup", "git", "--yes", "--host", "https://github.com"]).ends(0);
    assert!(text(&config).contains("[credential \"https://github.com\"]"), "{}", text(&config));
    std::fs::write(vaulted::data_dir(&stage).join("vault.db"), "no database").unwrap();
    stage.write_config("not toml [");
    stage.run(&["setup", "git", "--undo"]).ends(0);
    assert_eq!(text(&config), "[user]\n\tname = A\n");
}

#[test]
fn a_host_that_is_none_is_refused() {
    let stage = stage();
    for host in ["https://github.com/team", "ssh://github.com", "git hub", "https://me@github.com"] {
        let outcome = stage.run(&["setup", "git", "--yes", "--host", host]).ends(2);
        assert!(outcome.stderr().contains("it is no host"), "{outcome}");
    }
    assert!(!stage.home().join(".gitconfig").exists());
}

#[test]
fn each_tool_that_needs_nothing_in_the_vault_is_set_up_and_undone_to_the_byte() {
    let stage = stage();
    for (tool, file, theirs) in [
        ("cargo", ".cargo/config.toml", "# mine\n[build]\njobs = 2\n"),
        ("uv", ".config/uv/uv.toml", "[pip]\nindex-url = \"https://h/simple\"\n"),
        ("pip", ".config/pip/pip.conf", "[install]\nuser = true\n"),
        ("terraform", ".terraformrc", "plugin_cache_dir = \"/tmp/x\"\n"),
        ("go", ".config/go/env", "GOFLAGS=-mod=mod\nGOAUTH=netrc\n"),
    ] {
        let path = stage.home().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, theirs).unwrap();
        let outcome = stage.run(&["setup", tool, "--yes"]);
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let changed = text(&path);
        assert!(changed != theirs, "{tool}");
        stage.run(&["setup", tool, "--yes"]).ends(0);
        assert_eq!(text(&path), changed, "{tool}: a second time changes nothing");
        stage.run(&["setup", tool, "--undo"]).ends(0);
        assert_eq!(text(&path), theirs, "{tool}");
    }
}

#[test]
fn the_list_names_what_need_not_lie_around() {
    let stage = stage();
    let file = stage.home().join(".git-credentials");
    std::fs::write(&file, format!("https://alice:{TOKEN}@git.example.com\n")).unwrap();
    let listed = stage.run(&["setup", "--json"]).ends(0);
    assert!(!listed.stdout().contains(TOKEN) && !listed.stderr().contains(TOKEN), "{listed}");
    let tools = listed.json();
    let git = tools.as_array().unwrap().iter().find(|tool| tool["tool"] == "git").unwrap();
    assert_eq!(git["found"], true);
    assert_eq!(git["set_up"], false);
    assert!(git["plain_text"][0].as_str().unwrap().contains(".git-credentials"), "{git}");
    let table = stage.run(&["setup"]).ends(0);
    assert!(table.stderr().contains("lanyard setup git, then lanyard credentials scan"), "{table}");
    // What it says to type does what it says.
    let told = table.stderr().lines().find_map(|line| line.split_once("then lanyard ")).unwrap().1.to_owned();
    let words: Vec<&str> = told.split_whitespace().chain(["--no-verify", "--yes"]).collect();
    stage.run(&words).ends(0);
    assert_eq!((text(&file).as_str(), vaulted::list(&stage).len()), ("", 1));
}

#[test]
fn a_file_that_cannot_be_written_is_left_alone() {
    let stage = stage();
    store_git(&stage, "git.example.com");
    let config = stage.home().join(".gitconfig");
    std::fs::create_dir(&config).unwrap();
    let outcome = stage.run(&["setup", "git", "--yes"]).ends(3);
    assert!(outcome.stderr().contains(".gitconfig") && outcome.stderr().contains("next:"), "{outcome}");
    std::fs::remove_dir(&config).unwrap();
    std::fs::write(&config, b"\xff\xfe").unwrap();
    stage.run(&["setup", "git", "--yes"]).ends(3);
    assert_eq!(std::fs::read(&config).unwrap(), b"\xff\xfe");
}

/// A stage that has kubectl, which comes with the peers where the system has none.
fn stage_with_kubectl() -> Stage {
    let mut stage = stage();
    let path = stage.command(&[]).get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/k8s");
    stage.set("PATH", format!("{}:{}", path.to_str().unwrap(), peers.display()));
    stage
}

#[test]
fn kubectl_gets_a_context_and_what_was_in_its_file_is_not_shown() {
    let stage = stage_with_kubectl();
    let text_of = |user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: mine\nusers:\n- name: me\n  user:\n    token: {user}\n\
             contexts:\n- name: mine\n  context:\n    cluster: mine\n    user: me\n\
             clusters:\n- name: mine\n  cluster:\n    server: https://mine.example\n"
        )
    };
    let stored = stage.home().join("stored.yaml");
    std::fs::write(&stored, text_of("s3cr3t-value-of-the-stored")).unwrap();
    let words = ["credentials", "store", "k8s", "--kubeconfig", "stored.yaml", "--name", "dev", "--no-verify"];
    stage.run(&words).ends(0);
    let config = stage.home().join(".kube/config");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let theirs = text_of("s3cr3t-value-of-another");
    std::fs::write(&config, &theirs).unwrap();
    let outcome = stage.run(&["setup", "kubectl", "--yes"]).ends(0);
    assert!(outcome.stderr().contains("kubectl asks lanyard in context lanyard-dev"), "{outcome}");
    assert!(!outcome.stderr().contains("s3cr3t-value"), "{outcome}");
    let changed = text(&config);
    for part in ["provideClusterInfo: true", "interactiveMode: IfAvailable", "current-context: mine", "- helper"] {
        assert!(changed.contains(part), "{part}: {changed}");
    }
    assert!(!changed.contains("s3cr3t-value-of-the-stored"), "{changed}");
    // Edited since: only our entries go.
    std::fs::write(&config, changed.replace("https://mine.example", "https://moved.example")).unwrap();
    stage.run(&["setup", "kubectl", "--undo"]).ends(0);
    let rest = text(&config);
    assert!(!rest.contains("lanyard") && rest.contains("https://moved.example"), "{rest}");
    assert!(rest.contains("s3cr3t-value-of-another"), "{rest}");
}

/// What another program says in this home.
fn said(stage: &Stage, mut command: Command) -> String {
    let like = stage.command(&[]);
    command.env_clear().current_dir(stage.home()).stdin(Stdio::null());
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_in_a_folder_with_blanks_is_called_all_the_same() {
    let mut stage = stage();
    let bin = stage.home().join("my own 'programs'");
    std::fs::create_dir(&bin).unwrap();
    std::fs::rename(stage.home().join(".local/bin/lanyard"), bin.join("lanyard")).unwrap();
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    store_git(&stage, "git.example.com");
    let keys = ["credentials", "store", "aws", "--access-key-id", "ASIAIOSFODNN7EXAMPLE", "--name", "keys"];
    let secrets = ["--secret-access-key", "@secret", "--session-token", "-", "--no-verify"];
    std::fs::write(stage.home().join("secret"), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap();
    stage.run_with(&[&keys[..], &secrets].concat(), b"token").ends(0);
    std::fs::remove_file(stage.home().join("secret")).unwrap();
    for tool in ["git", "aws"] {
        stage.run(&["setup", tool, "--yes"]).ends(0);
    }
    assert!(fill(&stage, "git.example.com").contains(TOKEN));
    let config = text(&stage.home().join(".aws/config"));
    let expected = format!("credential_process = \"{}/lanyard\" helper aws keys\n", bin.display());
    assert!(config.contains(&expected) && !config.contains("wJalr") && !config.contains("token"), "{config}");
    let mut boto = Command::new(crate::providers::aws::venv().join("bin/python"));
    boto.args(["-c", "import boto3; print(boto3.Session(profile_name='keys').get_credentials().access_key)"]);
    assert_eq!(said(&stage, boto), "ASIAIOSFODNN7EXAMPLE\n");
}

#[test]
fn no_helper_beside_lanyards_is_told_what_git_was_given() {
    let stage = stage();
    store_git(&stage, "git.example.com");
    std::fs::write(stage.home().join(".gitconfig"), "[credential]\n\thelper = store\n").unwrap();
    stage.run(&["setup", "git", "--yes"]).ends(0);
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(words);
        said(&stage, git)
    };
    let helpers = git(&["config", "--get-all", "credential.https://git.example.com.helper"]);
    assert!(helpers.starts_with('\n') && helpers.lines().count() == 2, "the list begins anew: {helpers:?}");
    let filled = fill(&stage, "git.example.com");
    assert!(filled.contains(TOKEN));
    // What git says after a success.
    std::fs::write(stage.home().join("filled"), &filled).unwrap();
    git(&["-c", "alias.approve=!git credential approve < filled", "approve"]);
    assert!(!stage.home().join(".git-credentials").exists(), "the other helper wrote it down");
}

#[test]
fn no_secret_of_a_kubeconfig_is_shown_told_to_kubectl_or_taken_away() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage_with_kubectl();
    // A kubectl that notes its words, before the real one.
    let (wrapper, words) = (stage.home().join(".local/bin/kubectl"), stage.home().join("words"));
    let real = "for dir in $(echo \"$PATH\" | tr : '\\n'); do case $dir in *.local/bin) ;; *) \
                [ -x \"$dir/kubectl\" ] && exec \"$dir/kubectl\" \"$@\" ;; esac; done";
    std::fs::write(&wrapper, format!("#!/bin/sh\necho \"$@\" >> '{}'\n{real}\n", words.display())).unwrap();
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
    let stored = "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers:\n- name: u\n  user:\n    token: s3cr3t-stored\n\
                  contexts:\n- name: c\n  context:\n    cluster: c\n    user: u\nclusters:\n- name: c\n  cluster:\n    \
                  server: https://c.example\n    proxy-url: http://me:s3cr3t-proxy@127.0.0.1:3128\n";
    std::fs::write(stage.home().join("stored.yaml"), stored).unwrap();
    let store = ["credentials", "store", "k8s", "--kubeconfig", "stored.yaml", "--name", "dev", "--no-verify"];
    stage.run(&store).ends(0);
    let config = stage.home().join(".kube/config");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let theirs = "apiVersion: v1\nkind: Config\nusers: [{name: me, user: {token: s3cr3t-flow, \"password\": \"s3cr3t-quoted\"}}, \
                  {name: lanyard-mine, user: {token: \"s3cr3t-\\x65scaped\"}}]\n";
    std::fs::write(&config, theirs).unwrap();
    let outcome = stage.run(&["setup", "kubectl", "--yes"]).ends(0);
    assert!(!outcome.stderr().contains("s3cr3t") && outcome.stderr().contains("left out"), "{outcome}");
    assert!(outcome.stderr().contains("server: https://c.example"), "{outcome}");
    let said = text(&words);
    assert!(said.contains("--proxy-url=http://127.0.0.1:3128") && !said.contains("s3cr3t"), "{said}");
    assert!(stage.run(&["setup", "kubectl", "--yes"]).ends(0).stderr().contains("set up already"));
    // Edited since: what is theirs stays, even under a name like ours.
    std::fs::write(&config, text(&config) + "# mine\n").unwrap();
    stage.run(&["setup", "kubectl", "--undo"]).ends(0);
    let rest = text(&config);
    assert!(rest.contains("name: lanyard-mine") && rest.contains("s3cr3t-escaped"), "{rest}");
    assert!(!rest.contains("lanyard-dev") && !rest.contains("c.example"), "{rest}");

    std::fs::write(&config, theirs.replace("lanyard-mine", "lanyard-dev")).unwrap();
    let outcome = stage.run(&["setup", "kubectl", "--yes"]).ends(3);
    assert!(outcome.stderr().contains("lanyard did not put there"), "{outcome}");
    assert_eq!(text(&config), theirs.replace("lanyard-mine", "lanyard-dev"));
}

/// The page and the program name the same tools.
#[test]
fn every_tool_has_a_row_on_the_page() {
    let page = text(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/docs/tools.md"));
    for tool in lanyard::setup::TOOLS {
        assert!(page.contains(&format!("| `lanyard setup {}`", tool.name())), "{} has no row", tool.name());
    }
    let rows = page.lines().filter(|line| line.starts_with("| `lanyard setup ")).count();
    assert_eq!(rows, lanyard::setup::TOOLS.len());
    for helper in lanyard::helper::HELPERS {
        assert!(page.contains(&format!("`lanyard helper {}", helper.name())), "{} is not named", helper.name());
    }
}
