//! `lanyard run`: what a command gets, and what it does not; npm and kubectl as commands.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::canary::Canary;
use crate::double::{Answer, Double};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, store_env};

/// A home with a set of variables, `app`, that has one: `API_KEY`.
pub fn stage(value: &str) -> Stage {
    let stage = vaulted::stage();
    store_env(&stage, "app", "API_KEY", value);
    stage
}

/// Stores a file as a credential, whose variable is `CREDENTIAL_FILE_THEFILE`.
pub fn store_file(stage: &Stage, content: &str) {
    let path = stage.root().join("key.txt");
    std::fs::write(&path, content).unwrap();
    stage.run(&["credentials", "store", "file", path.to_str().unwrap(), "--name", "thefile"]).ends(0);
    std::fs::remove_file(path).unwrap();
}

/// `lanyard run` with these words.
fn run(stage: &Stage, words: &[&str]) -> Outcome {
    stage.run(&[&["run"], words].concat())
}

/// The environment that `env -0` told.
fn environment(outcome: &Outcome) -> BTreeMap<String, String> {
    let all = outcome.stdout();
    let pairs = all.split_terminator('\0').map(|pair| pair.split_once('=').expect("a pair"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The folders that runs have made in this test's own place in memory.
fn folders(memory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(memory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A place in memory of this test's own, as a session has one.
pub fn memory(stage: &mut Stage) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("lanyard-test-").tempdir_in("/dev/shm").expect("a folder in memory");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).expect("its mode");
    stage.set("XDG_RUNTIME_DIR", folder.path());
    folder
}

#[test]
fn the_command_gets_its_variables_and_none_of_lanyards() {
    let mut stage = stage("s3cr3t-value");
    let config = stage.config_dir();
    let data = vaulted::data_dir(&stage);
    stage.set("LANYARD_CONFIG_DIR", &config).set("LANYARD_DATA_DIR", data);
    stage.set("LANYARD_PASSPHRASE", "LNYCANARY").set("LANYARD_ANYTHING", "").set("GH_TOKEN", "own").set("EMPTY", "");
    let expected = |more: &[(&str, &str)]| {
        let home = stage.home().display().to_string();
        let temp = stage.root().join("tmp").display().to_string();
        let own = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];
        let own = own.into_iter().chain([("HOME", home.as_str()), ("TMPDIR", temp.as_str()), ("GH_TOKEN", "own")]);
        let all = own.chain([("EMPTY", "")]).chain(more.iter().copied());
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let given = run(&stage, &["--credential", "app", "--", "env", "-0"]).ends(0);
    assert_eq!(environment(&given), expected(&[("API_KEY", "s3cr3t-value")]));
    // The same where lanyard stays beside the command.
    let masked = run(&stage, &["--credential", "app", "--mask", "--", "env", "-0"]).ends(0);
    assert_eq!(environment(&masked), expected(&[("API_KEY", "***")]));
    assert_eq!((given.stderr(), masked.stderr()), (String::new(), String::new()));
}

#[test]
fn variables_in_the_way_are_taken_out() {
    let mut stage = vaulted::stage();
    stage.set("AWS_PROFILE", "other").set("AWS_SESSION_TOKEN", "old");
    let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let flags = ["credentials", "store", "aws", "--no-verify", "--access-key-id", id, "--secret-access-key", "-"];
    stage.run_with(&flags, secret.as_bytes()).ends(0);
    let seen = environment(&run(&stage, &["--credential", "aws", "--", "env", "-0"]).ends(0));
    assert_eq!(seen.get("AWS_SECRET_ACCESS_KEY").map(String::as_str), Some(secret));
    assert!(!seen.contains_key("AWS_PROFILE") && !seen.contains_key("AWS_SESSION_TOKEN"), "{seen:?}");
}

#[test]
fn the_exit_status_is_the_commands() {
    let stage = stage("s3cr3t-value");
    for mode in [&["--no-mask"][..], &["--mask"]] {
        let ended = |script: &str| {
            let words = [&["run", "--credential", "app"], mode, &["--", "sh", "-c", script]].concat();
            stage.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
        };
        for code in [0, 1, 7, 126, 130, 255] {
            assert_eq!(ended(&format!("exit {code}")).code(), Some(code), "{mode:?}");
        }
        for (name, number) in [("TERM", 15), ("KILL", 9), ("INT", 2), ("HUP", 1), ("SEGV", 11), ("USR1", 10)] {
            assert_eq!(ended(&format!("kill -{name} $$")).signal(), Some(number), "{mode:?} {name}");
        }
    }
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_shells_tell_it() {
    let mut stage = stage("s3cr3t-value");
    std::fs::write(stage.home().join("data"), "").unwrap();
    run(&stage, &["--credential", "app", "--", "no-such-program"]).shows(
        127,
        "",
        "error: no-such-program is not found\n  next: check the spelling, and that its folder is in PATH\n",
    );
    run(&stage, &["--credential", "app", "--", "./no-such-program"]).ends(127);
    run(&stage, &["--credential", "app", "--", "./data"]).shows(
        126,
        "",
        "error: ./data cannot be run\n  because: Permission denied (os error 13)\n  next: check that ./data is a program that \
         you may execute\n",
    );
    // The PATH that the command gets is the one that counts, and scripts without a first line are run as shells do.
    let tools = stage.home().join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("mine"), "echo \"mine $1 $0\"\n").unwrap();
    std::fs::set_permissions(tools.join("mine"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(stage.home().join("template"), format!("PATH='{}:/usr/bin:/bin'\n", tools.display())).unwrap();
    for mode in ["--mask", "--no-mask"] {
        let found = run(&stage, &["--credential", "app", "--env", "template", mode, "--", "mine", "x"]).ends(0);
        assert!(found.stdout().starts_with("mine x "), "{found}");
    }
    stage.unset("PATH");
    assert_eq!(run(&stage, &["--credential", "app", "--", "echo", "x"]).ends(0).stdout(), "x\n");
}

#[test]
fn what_cannot_be_looked_up_starts_nothing() {
    let stage = stage("LNYCANARYvalue");
    store_env(&stage, "other", "API_KEY", "LNYCANARYother");
    let template = |text: &str| std::fs::write(stage.home().join("template"), text).unwrap();
    let fails = |words: &[&str], code: i32, said: &[&str]| {
        let outcome = run(&stage, &[words, &["--", "touch", "started"]].concat()).ends(code);
        for words in said {
            assert!(outcome.stderr().contains(words), "{words}: {outcome}");
        }
        assert!(!stage.home().join("started").exists() && outcome.stdout.is_empty(), "{outcome}");
        assert!(!outcome.stderr().contains("CANARY"), "{outcome}");
    };
    fails(&["--credential", "ap"], 2, &["there is no credential ap", "did you mean app?"]);
    fails(
        &["--credential", "app", "--credential", "other"],
        2,
        &["app and other both set API_KEY, and not to the same"],
    );
    fails(&["--env", "nothing"], 2, &["cannot read nothing", "No such file"]);
    template("A=1\nB=x\\\n\nC='lanyard://app/API_KY LNYCANARY'\n");
    fails(
        &["--env", "template"],
        2,
        &["lanyard://app/API_KY in template, line 4, has no value", "no field API_KY", "did you mean API_KEY?"],
    );
    template("A=lanyard://nobody/x\n");
    fails(&["--env", "template"], 2, &["lanyard://nobody/x in template, line 1", "there is no credential nobody"]);
    template("\nA=lanyard://app\n");
    fails(
        &["--env", "template"],
        2,
        &["template, line 2, cannot be used: what begins with lanyard:// is no reference"],
    );
    template("A='LNYCANARY\n");
    fails(&["--env", "template"], 2, &["template, line 1", "its quote is not closed"]);
    for name in ["LANYARD_TOKEN", "LD_PRELOAD", "GIT_SSH_COMMAND"] {
        template(&format!("{name}=lanyard://app/API_KEY\n"));
        fails(&["--env", "template"], 2, &["template, line 1, cannot be used"]);
    }
    fails(&[], 2, &["--credential <NAME>"]);
    // A store that stays closed has its own code.
    std::fs::remove_file(stage.config_dir().join("sessions.plain.json")).unwrap();
    fails(&["--credential", "app"], 7, &["the root key of the vault is not in the plain file"]);
}

#[test]
fn a_template_fills_the_environment() {
    let stage = stage("s3cr3t/value");
    store_file(&stage, "line one\nline two\n");
    let template = "# what the server reads\n\
        export URL = postgres://app:lanyard://app/API_KEY@db.example.com/app  # a comment\n\
        ORG_GRADLE_PROJECT_corpPassword='{{ lanyard://app/API_KEY }}x'\n\
        BOTH=\"lanyard://thefile/file_name\\n${HOME} \\\\lanyard://app/API_KEY\"\n\
        FILE=lanyard://thefile/content\n\
        NODE_OPTIONS=--max-old-space-size=100\n";
    std::fs::write(stage.home().join("template"), template).unwrap();
    let from_stdin = stage.run_with(&["run", "--env", "-", "--", "env", "-0"], template.as_bytes()).ends(0);
    let from_file = run(&stage, &["--env", "template", "--", "env", "-0"]).ends(0);
    assert_eq!(environment(&from_stdin), environment(&from_file));
    let seen = environment(&from_file);
    for (name, value) in [
        ("URL", "postgres://app:s3cr3t/value@db.example.com/app"),
        ("ORG_GRADLE_PROJECT_corpPassword", "s3cr3t/valuex"),
        ("BOTH", "key.txt\n${HOME} lanyard://app/API_KEY"),
        ("FILE", "line one\nline two\n"),
        ("NODE_OPTIONS", "--max-old-space-size=100"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    // What the template says wins over the credential, and the use is noted.
    std::fs::write(stage.home().join("template"), "API_KEY=other\n").unwrap();
    let seen = environment(&run(&stage, &["--credential", "app", "--env", "template", "--", "env", "-0"]).ends(0));
    assert_eq!(seen.get("API_KEY").map(String::as_str), Some("other"));
    assert!(vaulted::list(&stage).iter().all(|one| one["last_used_at"].is_string()));
}

#[test]
fn a_secret_is_on_no_command_line() {
    let canary = Canary::new();
    let mut stage = stage(canary.text());
    let memory = memory(&mut stage);
    store_file(&stage, &format!("{}\nx\n", canary.text()));
    let words = [
        "run",
        "--credential",
        "app",
        "--credential",
        "thefile",
        "--mask",
        "--",
        "sh",
        "-c",
        // One process all the while: a child that is about to become another program still shows its parent's line.
        "echo up; read -r line; exit 0",
    ];
    let mut running = stage.start(&words);
    assert_eq!(running.answer_line(), "up");
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains(canary.text()), "{line}");
        seen += usize::from(line.contains("echo up; read") || line.contains(memory.path().to_str().unwrap()));
    }
    assert_eq!(seen, 3, "lanyard, its guard and the command");
    running.finish().ends(0);
    assert!(folders(memory.path()).is_empty());
}

#[test]
fn a_file_lies_in_memory_and_goes_with_the_command() {
    let mut stage = vaulted::stage();
    let memory = memory(&mut stage);
    store_file(&stage, "s3cr3t content\n");
    let script =
        "f=$CREDENTIAL_FILE_THEFILE; cat $f; stat -c '%a %U' $f $(dirname $f); stat -f -c %T $f; echo $f; exit 3";
    let shown = run(&stage, &["--credential", "thefile", "--", "sh", "-c", script]).ends(3).stdout();
    let lines: Vec<&str> = shown.lines().collect();
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let user = user.trim();
    assert_eq!(lines[..4], ["s3cr3t content", &format!("600 {user}"), &format!("700 {user}"), "tmpfs"]);
    assert!(lines[4].starts_with(memory.path().to_str().unwrap()) && lines[4].ends_with("/key.txt"), "{shown}");
    assert!(folders(memory.path()).is_empty(), "nothing is left");
    // A folder that others can look into is not used.
    std::fs::set_permissions(memory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let shown = run(&stage, &["--credential", "thefile", "--", "sh", "-c", script]).ends(3).stdout();
    assert!(shown.contains("\n/dev/shm/lanyard-run-"), "{shown}");
}

#[test]
fn a_killed_lanyard_leaves_no_file() {
    let mut stage = vaulted::stage();
    let memory = memory(&mut stage);
    store_file(&stage, "s3cr3t content\n");
    let script =
        "echo $$; echo $CREDENTIAL_FILE_THEFILE; read go; cat $CREDENTIAL_FILE_THEFILE > copied; exec sleep 60";
    let words = ["run", "--credential", "thefile", "--", "sh", "-c", script];
    // Killed alone: the command goes on and keeps its file, which goes with it.
    let mut running = stage.start(&words);
    let command = running.answer_line();
    let file = PathBuf::from(running.answer_line());
    running.signal("KILL");
    let mut stdin = running.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    eventually("the command reads its file", || {
        std::fs::read_to_string(stage.home().join("copied")).is_ok_and(|text| text == "s3cr3t content\n")
    });
    assert!(file.exists(), "the command may need it again");
    kill(&command);
    eventually("the guard takes the file away", || folders(memory.path()).is_empty());
    drop(running);

    // Killed together.
    let mut running = stage.start(&words);
    let command = running.answer_line();
    assert!(PathBuf::from(running.answer_line()).exists());
    running.signal("KILL");
    kill(&command);
    eventually("the guard takes the file away", || folders(memory.path()).is_empty());

    // Killed with the guard: the next run takes it away, and not what another run still uses.
    let mut other = stage.start(&words);
    let (_, others) = (other.answer_line(), PathBuf::from(other.answer_line()));
    let mut running = stage.start(&words);
    let (command, file) = (running.answer_line(), PathBuf::from(running.answer_line()));
    kill(&guard_of(&file));
    running.signal("KILL");
    kill(&command);
    eventually("the command is gone", || !Path::new(&format!("/proc/{command}")).exists() || is_zombie(&command));
    assert!(file.exists(), "nobody is there to take it away");
    run(&stage, &["--credential", "thefile", "--", "true"]).ends(0);
    assert!(!file.exists() && others.exists());
}

/// Ends a process of this test by its id.
fn kill(id: &str) {
    let pid = id.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there");
}

fn is_zombie(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// The guard over the folder of a file.
fn guard_of(file: &Path) -> String {
    let folder = file.parent().and_then(Path::parent).unwrap().to_str().unwrap().to_owned();
    let of = |entry: std::fs::DirEntry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (line == format!("lanyard-guard\0{folder}\0")).then(|| entry.file_name().into_string().ok())?
    };
    std::fs::read_dir("/proc").unwrap().flatten().find_map(of).expect("a guard")
}

#[test]
fn npm_reads_its_token_out_of_a_variable() {
    let token = format!("npm_{}", Canary::new().text());
    let registry = Double::start({
        let token = token.clone();
        move |seen| {
            if seen.bears(&token) {
                Answer::json(200, &serde_json::json!({"username": "alice"}))
            } else {
                Answer::json(401, "{}")
            }
        }
    });
    let stage = vaulted::stage();
    let flags = ["credentials", "store", "api-key", "npm", "--endpoint", &registry.url(), "--api-key", "-"];
    stage.run_with(&flags, token.as_bytes()).ends(0);
    let url = registry.url();
    let place = url.strip_prefix("http:").unwrap();
    std::fs::write(stage.home().join(".npmrc"), format!("{place}/:_authToken=${{NPM_TOKEN}}\n")).unwrap();
    let who = run(&stage, &["--credential", "npm", "--", "npm", "whoami"]).ends(0);
    assert_eq!(who.stdout(), "alice\n", "{who}");
    let own = std::fs::read_to_string(stage.home().join(".npmrc")).unwrap();
    assert!(own.contains("${NPM_TOKEN}"), "npm's own file holds no token");
}

#[test]
fn kubectl_finds_a_kubeconfig_that_is_gone_afterwards() {
    let token = Canary::new().text().to_owned();
    let mut stage = vaulted::stage();
    let memory = memory(&mut stage);
    let brought = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/k8s");
    stage.set("PATH", format!("/usr/local/bin:/usr/bin:/bin:{}", brought.display()));
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         clusters: [{{name: c, cluster: {{server: \"https://k8s.example.com\"}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n"
    );
    std::fs::create_dir(stage.home().join(".kube")).unwrap();
    std::fs::write(stage.home().join(".kube/config"), config).unwrap();
    stage.run(&["credentials", "store", "k8s", "--no-verify"]).ends(0);
    std::fs::remove_file(stage.home().join(".kube/config")).unwrap();
    let view = ["kubectl", "config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}"];
    let said = run(&stage, &[&["--credential", "dev", "--"], &view[..]].concat()).ends(0);
    assert_eq!(said.stdout(), token);
    let said = run(&stage, &[&["--credential", "dev", "--mask", "--"], &view[..]].concat()).ends(0);
    assert_eq!(said.stdout(), "***");
    let place = run(&stage, &["--credential", "dev", "--", "sh", "-c", "ls $KUBECONFIG"]).ends(0).stdout();
    assert!(place.starts_with(memory.path().to_str().unwrap()) && !Path::new(place.trim()).exists(), "{place}");
}

#[test]
fn a_credential_without_variables_is_told_so() {
    let stage = vaulted::stage();
    stage.run(&["credentials", "store", "ssh-key", "--generate", "--name", "deploy"]);
    assert!(!vaulted::list(&stage).is_empty(), "no key was made");
    let refused = run(&stage, &["--credential", "deploy", "--", "true"]).ends(2);
    assert!(refused.stderr().contains("there are no variables for credential deploy"), "{refused}");
}

#[test]
fn the_guard_of_files_has_no_file_of_whoever_started_it_and_the_command_has() {
    let mut stage = vaulted::stage();
    store_file(&stage, "content");
    let place = memory(&mut stage);
    stage.wrap(&["sh", "-c", "exec 9</dev/null; exec \"$@\"", "sh"]);
    let script = "[ -e /proc/self/fd/9 ] && echo it has; cat >/dev/null";
    let mut running = stage.start(&["run", "--credential", "thefile", "--", "sh", "-c", script]);
    assert_eq!(running.answer_line(), "it has");
    let file = folders(place.path()).remove(0).join("0/file");
    let guard = Path::new("/proc").join(guard_of(&file));
    eventually("the guard lets go of it", || !guard.join("fd/9").exists());
    running.finish().ends(0);
}
