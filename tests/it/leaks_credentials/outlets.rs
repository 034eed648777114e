//! The ways out: what a tool or a command is handed is what it asked for, and goes to it alone.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use lanyard::helper::HELPERS;

use super::commands::talkative;
use super::kept::Given;
use crate::agents::{self, Agent};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;

/// A credential and what comes after `credentials store`.
const STORED: [(&str, &str); 8] = [
    ("git", "git good.example --username alice --token -"),
    ("registry", "registry https://registry.example --username alice --password -"),
    ("cluster", "k8s --kubeconfig FILE"),
    ("sts", "aws --access-key-id ASIAIOSFODNN7EXAMPLE --secret-access-key @SECRET --session-token -"),
    ("index", "api-key cargo --index sparse+https://good.example/ --api-key -"),
    ("api", "api-key own --endpoint https://api.example --api-key -"),
    ("web", "password web --endpoint https://web.example --username alice --password -"),
    ("variables", "env DATABASE_URL=-"),
];

/// A question of a tool: its words, what it writes, and the credentials whose secrets are the answer.
struct Way(&'static str, &'static str, &'static [&'static str]);

const CARGO: &str =
    r#"{"v":1,"registry":{"index-url":"sparse+https://good.example/"},"kind":"get","operation":"read"}"#;
const CARGO_ELSEWHERE: &str =
    r#"{"v":1,"registry":{"index-url":"sparse+https://good.example/index"},"kind":"get","operation":"read"}"#;

const WAYS: [Way; 38] = [
    Way("git get", "protocol=https\nhost=good.example\n\n", &["git"]),
    Way("git get", "capability[]=authtype\nprotocol=https\nhost=good.example\n\n", &["git"]),
    Way("git get", "protocol=https\nhost=other.example\n\n", &[]),
    Way("git get", "protocol=https\nhost=good.example\rhost=x\n\n", &[]),
    Way("git store", "protocol=https\nhost=good.example\nusername=alice\npassword=x\n\n", &[]),
    Way("git erase", "protocol=https\nhost=good.example\nusername=alice\npassword=x\n\n", &[]),
    Way("git capability", "", &[]),
    Way("git nothing", "", &[]),
    Way("docker get", "registry.example", &["registry"]),
    Way("docker get", "good.example", &[]),
    Way("docker list", "", &[]),
    Way("docker erase", "other.example", &[]),
    Way("docker nothing", "registry.example", &[]),
    Way("kubectl cluster", "", &["cluster"]),
    Way("kubectl sts", "", &[]),
    Way("kubectl", "", &[]),
    Way("aws sts", "", &["sts"]),
    Way("aws git", "", &[]),
    Way("cargo --cargo-plugin", CARGO, &["index"]),
    Way("cargo --cargo-plugin", CARGO_ELSEWHERE, &[]),
    Way("cargo --cargo-plugin", "no JSON", &[]),
    Way("keyring get https://web.example/ alice", "", &["web"]),
    Way("keyring get https://web.example/ bob", "", &[]),
    Way("keyring del https://web.example/ alice", "", &[]),
    Way("terraform get api.example", "", &["api"]),
    Way("terraform get other.example", "", &[]),
    Way("terraform forget other.example", "", &[]),
    Way("bazel get", r#"{"uri":"https://api.example/x"}"#, &["api"]),
    Way("bazel get", r#"{"uri":"https://other.example/x"}"#, &[]),
    Way("go https://web.example/m", "", &["web"]),
    Way("go https://other.example/m", "", &[]),
    // Of a sign-in alone.
    Way("google web", "", &[]),
    Way("google nobody", "", &[]),
    Way("netrc web.example", "", &["web"]),
    Way("netrc other.example", "", &[]),
    Way("netrc", "", &[]),
    Way("askpass Password for 'https://good.example': ", "", &["git"]),
    Way("askpass Password for 'https://other.example': ", "", &[]),
];

/// The commands besides helpers.
const OTHERS: [&str; 9] = [
    "run --credential variables -- true",
    "inject TEMPLATE",
    "agent start",
    "agent status",
    "agent lock",
    "agent stop",
    "agent env",
    "helper git get",
    "setup git --dry-run",
];

/// Whatever this and its neighbour for set-ups look at.
pub fn commands() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter()
}

/// A home with all of these.
struct Scene {
    stage: Stage,
    given: Given,
    /// One for each of those stored, by their order, and one more for the second secret of the keys.
    canaries: Vec<Canary>,
    sweep: Sweep,
}

impl Scene {
    fn new() -> Self {
        let (given, mut stage) = (Given::new(), agents::stage());
        talkative(&mut stage);
        let canaries: Vec<Canary> = (0..=STORED.len()).map(|_| Canary::of_chance(60)).collect();
        let second = given.file(canaries[STORED.len()].text()).display().to_string();
        for ((name, words), canary) in STORED.iter().zip(&canaries) {
            let file = given.file(&format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
                 clusters: [{{name: c, cluster: {{server: \"https://cluster.example\"}}}}]\n\
                 contexts: [{{name: dev, context: {{cluster: c, user: u}}}}]\n\
                 users: [{{name: u, user: {{token: {}}}}}]\n",
                canary.text()
            ));
            let words = words.replace("FILE", &file.display().to_string()).replace("SECRET", &second);
            let words: Vec<&str> = ["credentials", "store"].into_iter().chain(words.split(' ')).collect();
            let words = [&words[..], &["--name", name, "--no-verify"]].concat();
            stage.run_with(&words, canary.text().as_bytes()).ends(0);
        }
        let cluster = r#"{"server":"https://cluster.example","config":null}"#;
        let version = "client.authentication.k8s.io/v1";
        let asked = format!(
            r#"{{"kind":"ExecCredential","apiVersion":"{version}","spec":{{"interactive":false,"cluster":{cluster}}}}}"#
        );
        stage.set("KUBERNETES_EXEC_INFO", asked);
        let sweep = Sweep::for_canaries(&canaries);
        Self { stage, given, canaries, sweep }
    }

    /// Runs a command past the record of outputs. Its stderr is looked through, its stdout is given.
    #[track_caller]
    fn hand_out(&mut self, words: &[&str], text: &str) -> Output {
        let mut command = self.stage.command(words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // It may end without having read this.
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(text.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!matches!(output.status.code(), Some(101) | None), "{words:?}: {told}");
        self.sweep.bytes(&format!("stderr of {}", words.join(" ")), &output.stderr);
        output
    }

    /// Runs a command that prints no secret at all.
    #[track_caller]
    fn tell(&mut self, words: &[&str]) -> Output {
        let output = self.hand_out(words, "");
        self.sweep.bytes(&format!("stdout of {}", words.join(" ")), &output.stdout);
        output
    }

    /// The credentials whose secrets are in these bytes.
    fn in_it(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let mut sweep = Sweep::for_canaries(&self.canaries);
        sweep.bytes("", bytes);
        // The key and the token of the same keys.
        let name = |canary: usize| STORED.get(canary).map_or("sts", |(name, _)| *name);
        sweep.traces().into_iter().map(|trace| name(trace.canary)).collect()
    }

    fn ask_all(&mut self) {
        for Way(words, text, expected) in &WAYS {
            let words: Vec<&str> = match words.split_once(' ') {
                Some(("askpass", prompt)) => vec!["askpass", prompt],
                _ => words.split(' ').collect(),
            };
            let output = self.hand_out(&[&["-vvv", "helper"], &words[..]].concat(), text);
            let found = self.in_it(&output.stdout);
            assert_eq!(found, expected.iter().copied().collect(), "{words:?}: {text:?}");
        }
    }

    fn ends_clean(mut self) {
        self.stage.sweep(&mut self.sweep);
        let owner = |canary: usize| STORED.get(canary).map_or("sts", |(name, _)| *name);
        let told: Vec<String> =
            self.sweep.traces().into_iter().map(|trace| format!("{} {trace:?}", owner(trace.canary))).collect();
        assert!(told.is_empty(), "secrets were found where they must not be: {told:#?}");
    }
}

#[test]
fn every_helper_is_asked() {
    for helper in HELPERS {
        let name = helper.name();
        let asked: Vec<&Way> = WAYS.iter().filter(|way| way.0.split(' ').next() == Some(name)).collect();
        assert!(asked.iter().any(|way| way.2.is_empty()), "{name} is asked for nothing that it does not have");
        assert!(asked.iter().any(|way| !way.2.is_empty()) || name == "google", "{name} hands nothing out");
    }
}

#[test]
fn a_helper_says_the_secret_that_was_asked_for_on_stdout_and_nothing_of_it_elsewhere() {
    let mut scene = Scene::new();
    scene.ask_all();
    // The same, and the life of the agent that answers then.
    let started = scene.tell(&["-vvv", "agent", "start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let agent = Agent::running(&scene.stage).expect("it runs");
    scene.ask_all();
    for command in [&["agent", "status"][..], &["agent", "status", "--json"], &["agent", "env"], &["agent", "lock"]] {
        scene.tell(&[&["-vvv"], command].concat());
    }
    scene.tell(&["-vvv", "agent", "status"]);
    scene.ask_all();
    scene.tell(&["-vvv", "agent", "start"]);
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", agent.pid())).expect("it runs");
        scene.sweep.bytes(&format!("{file} of the agent"), &bytes);
    }
    scene.tell(&["-vvv", "agent", "stop"]);
    scene.tell(&["-vvv", "agent", "stop"]);
    scene.ends_clean();
}

/// Has every later command write each start of a program, with its arguments, to a file.
fn traced(stage: &mut Stage, log: &Path) {
    let log = log.display().to_string();
    stage.wrap(&["strace", "-f", "-qq", "-s", "100000", "-e", "trace=execve", "-o", &log, "--"]);
}

#[test]
fn a_command_gets_its_secret_in_its_environment_and_nobody_else_sees_it() {
    let mut scene = Scene::new();
    let log = scene.given.path().join("starts");
    traced(&mut scene.stage, &log);
    let look = |scene: &mut Scene, what: &str| {
        let starts = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(starts.contains("execve("), "{what}: {starts}");
        scene.sweep.bytes(&format!("a program started by {what}"), starts.as_bytes());
    };
    let template = "TOKEN=lanyard://git/token\nURL=https://{{ lanyard://web/password }}@web.example\n";
    let (good, bad) = (scene.given.file(template), scene.given.file(&format!("{template}X=lanyard://web/nothing\n")));
    let (good, bad) = (good.display().to_string(), bad.display().to_string());
    for (name, _) in STORED {
        // Handed over in variables and in files, masked where it comes back.
        let script = "env; cat \"$KUBECONFIG\" 2>/dev/null; env >&2; echo done";
        let run = ["-vvv", "run", "--credential", name, "--mask", "--", "sh", "-c", script];
        let output = scene.tell(&run);
        let is_run = String::from_utf8_lossy(&output.stdout).ends_with("done\n");
        assert!(is_run, "{name}: {}", String::from_utf8_lossy(&output.stderr));
        look(&mut scene, &format!("run --credential {name}"));
        scene.tell(&["-vvv", "run", "--credential", name, "--", "true"]);
        look(&mut scene, &format!("run --credential {name} -- true"));
        for words in [&["no-such-program"][..], &["sh", "-c", "exit 7"], &["sh", "-c", "kill -9 $$"]] {
            scene.stage.run(&[&["-vvv", "run", "--credential", name, "--mask", "--"], words].concat());
        }
    }
    let plain = scene.hand_out(&["-vvv", "run", "--env", &good, "--", "env"], "");
    assert_eq!(scene.in_it(&plain.stdout), BTreeSet::from(["git", "web"]));
    look(&mut scene, "run --env");
    for words in [
        &["run", "--env", &good, "--mask", "--", "env"][..],
        &["run", "--env", &bad, "--", "env"],
        &["run", "--env", &good, "--credential", "nobody", "--", "env"],
        &["run", "--aws-endpoint", "--credential", "sts", "--mask", "--", "env"],
        &["inject", &bad],
        &["inject", "missing"],
    ] {
        scene.tell(&[&["-vvv"], words].concat());
        look(&mut scene, &words.join(" "));
    }
    let injected = scene.hand_out(&["-vvv", "inject", &good], "");
    assert_eq!(scene.in_it(&injected.stdout), BTreeSet::from(["git", "web"]));
    look(&mut scene, "inject");
    let out = scene.stage.root().join("out");
    scene.tell(&["-vvv", "inject", &good, "--out", out.to_str().unwrap()]);
    look(&mut scene, "inject --out");
    assert_eq!(scene.in_it(&std::fs::read(&out).unwrap()), BTreeSet::from(["git", "web"]));
    // The user asked for this one, and takes it away again.
    std::fs::remove_file(out).unwrap();
    scene.ends_clean();
}
