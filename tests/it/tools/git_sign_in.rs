//! git at a terminal, a host of a service that the user knows, and nothing stored: one signs in once, and never again.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::git::{answered, helper, question, store};
use crate::git_http::{Gate, GatedGit, git, git_command, login, own_helper, succeeded};
use crate::idp::{Behaviour, Idp, Poll};
use crate::scene;
use crate::stage::{LANYARD, Stage};
use crate::terminal::Terminal;
use crate::vaulted::list;
use crate::wire;

/// A service `corp` whose tokens open the repositories at a git host.
struct Scene {
    idp: Arc<Idp>,
    host: GatedGit,
    stage: Stage,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Self {
        let idp = Arc::new(Idp::start(behaviour));
        let host = GatedGit::start({
            let idp = Arc::clone(&idp);
            move |seen| match login(seen) {
                Some((user, token)) if user == "oauth2" && idp.accepts(&token) => Gate::Open,
                _ => Gate::Unknown,
            }
        });
        let stage = Stage::new();
        let (issuer, git) = (idp.issuer(), &host.url);
        stage.write_config(&format!(
            "[defaults]\nstorage = \"plain\"\n\n[services.corp]\nissuer = \"{issuer}\"\nclient_id = \"cli\"\n\
             endpoint = \"{issuer}\"\nscopes = [\"openid\", \"email\", \"offline_access\"]\n\n\
             [services.corp.api]\nwhoami = \"/v1/me\"\naccount = \"/email\"\naccount_id = \"/id\"\n\n\
             [services.corp.git]\naddress = \"{git}\"\nusername = \"oauth2\"\nscopes = [\"api:read\"]\n"
        ));
        Self { idp, host, stage }
    }

    /// git at a terminal.
    fn git_at_terminal(&self, arguments: &[&str]) -> Terminal {
        let mut command = git_command(&self.stage, &[&own_helper()]);
        // The helper's own talk is under test, not git's.
        Terminal::of(command.args(arguments))
    }

    /// The helper alone at a terminal, with its stdin and stdout elsewhere, as git starts it.
    fn helper_at_terminal(&self, question: &str, more: &[(&str, &str)]) -> Terminal {
        std::fs::write(self.stage.root().join("question"), question).unwrap();
        let plain = self.stage.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{LANYARD} helper git get <\"$0/question\" >\"$0/answer\"; echo ended $?")]);
        command.arg(self.stage.root()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(more.iter().copied());
        command.current_dir(plain.get_current_dir().unwrap());
        Terminal::of(&command)
    }

    fn answer(&self) -> String {
        std::fs::read_to_string(self.stage.root().join("answer")).unwrap()
    }

    /// What the helper answers where nobody can be asked.
    fn answered(&self) -> Option<(String, String)> {
        answered(&self.stage, &question(&self.host.url))
    }

    fn sign_ins(&self) -> usize {
        self.idp.requests_to("/device_authorization").len() + self.idp.requests_to("/authorize").len()
    }

    /// A first clone, for which one signs in by a code.
    fn first_clone(&self) {
        let mut terminal = self.git_at_terminal(&["clone", &self.host.repository(), "first"]);
        terminal.sees(&format!("{} is asked for. Sign in to corp:", self.host.url));
        assert_eq!(terminal.sees_url(), format!("{}/device", self.idp.issuer()));
        terminal.sees("WDJB-MJHT");
        terminal.sees("Signed in to corp as user@example.com, kept as corp");
        let ending = terminal.ends();
        assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    }
}

#[test]
fn a_first_clone_leads_to_a_sign_in_and_later_ones_ask_nothing() {
    let scene = Scene::new(Behaviour { expires_in: 5, ..Behaviour::default() });
    scene.first_clone();
    assert!(scene.stage.home().join("first/.git").exists());
    let stored = list(&scene.stage).remove(0);
    assert_eq!(
        (&stored["name"], &stored["kind"], &stored["status"]),
        (&"corp".into(), &"oauth".into(), &"active".into())
    );
    let asked = scene.idp.requests_to("/device_authorization")[0].field("scope").unwrap();
    assert_eq!(asked, "openid email offline_access api:read");

    // Renewed in silence.
    scene.idp.change(|behaviour| behaviour.expires_in = 3600);
    std::thread::sleep(Duration::from_secs(6));
    scene.idp.forget();
    let output = git(&scene.stage, &["clone", &scene.host.repository(), "second"], "");
    succeeded(&output);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("lanyard"));
    assert_eq!((scene.idp.grants("refresh_token").len(), scene.sign_ins()), (1, 0));
    succeeded(&git(&scene.stage, &["ls-remote", &scene.host.repository()], ""));
    assert_eq!(scene.idp.grants("refresh_token").len(), 1);
    scene::assert_no_leaks(&scene.stage, &scene.idp, &["stdout or stderr"]);

    let whole = helper(&scene.stage, "get", &question(&scene.host.url)).ends(0).stdout();
    assert!(whole.starts_with("username=oauth2\npassword=") && whole.contains("\npassword_expiry_utc="), "{whole}");
    assert!(!whole.contains("refresh"), "{whole}");
}

#[test]
fn with_a_browser_it_opens() {
    let scene = {
        let mut scene = Scene::new(Behaviour::default());
        let browser = scene.stage.root().join("browser");
        std::fs::write(&browser, "#!/bin/sh\nexec curl --silent --location --output /dev/null \"$1\"\n").unwrap();
        std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        scene.stage.set("BROWSER", browser);
        scene
    };
    let mut terminal = scene.git_at_terminal(&["ls-remote", &scene.host.repository()]);
    terminal.sees("Your browser opens");
    terminal.sees("Signed in to corp as user@example.com, kept as corp");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    assert_eq!(scene.idp.requests_to("/authorize").len(), 1);
    assert!(scene.answered().is_some());
}

#[test]
fn without_browser_and_code_the_address_is_opened_by_hand() {
    let mut behaviour = Behaviour::default();
    behaviour.patch("/.well-known/openid-configuration", |answer| {
        answer.as_object_mut().map(|fields| fields.remove("device_authorization_endpoint"));
    });
    let scene = Scene::new(behaviour);
    let mut terminal = scene.git_at_terminal(&["ls-remote", &scene.host.repository()]);
    terminal.sees("No browser can be opened here");
    wire::browse(&terminal.sees_url());
    terminal.sees("Signed in to corp");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
}

#[test]
fn nobody_is_asked_where_nobody_can_or_wants_to_answer() {
    let mut scene = Scene::new(Behaviour::default());
    let asked = question(&scene.host.url);
    for (variable, value) in [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_TERMINAL_PROMPT", "false"),
        ("GCM_INTERACTIVE", "never"),
        ("CI", "true"),
        ("CI", "1"),
    ] {
        let started = Instant::now();
        let ending = scene.helper_at_terminal(&asked, &[(variable, value)]).ends();
        assert_eq!(ending.screen.trim(), "ended 0", "{variable}={value}");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(scene.answer(), "");
    }
    for value in ["false", "never", "off"] {
        let config =
            [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "credential.interactive"), ("GIT_CONFIG_VALUE_0", value)];
        let ending = scene.helper_at_terminal(&asked, &config).ends();
        assert_eq!((ending.screen.trim(), scene.answer().as_str()), ("ended 0", ""), "credential.interactive={value}");
    }
    scene.stage.wrap(&["setsid", "--wait"]);
    let started = Instant::now();
    helper(&scene.stage, "get", &asked).shows(0, "", "");
    assert!(started.elapsed() < Duration::from_secs(5));
    // Which of several services is meant matters to nobody then.
    let config = scene.stage.config();
    let (_, corp) = config.split_once("[services.corp]").unwrap();
    let other = format!("[services.other]{}", corp.replace("[services.corp.", "[services.other."));
    scene.stage.write_config(&format!("{config}\n{other}"));
    helper(&scene.stage, "get", &asked).shows(0, "", "");
    assert_eq!(scene.sign_ins(), 0);
    assert!(list(&scene.stage).is_empty());
}

#[test]
fn a_strangers_host_starts_no_sign_in() {
    let scene = Scene::new(Behaviour::default());
    let port = scene.host.host().rsplit_once(':').unwrap().1.to_owned();
    for text in [
        "protocol=https\nhost=evil.example\n\n".to_owned(),
        // Known services without a client of the user's, and hosts that only look like theirs.
        "protocol=https\nhost=github.com\n\n".to_owned(),
        "protocol=https\nhost=github.com.evil.example\n\n".to_owned(),
        format!("protocol=https\nhost={}\n\n", scene.host.host()),
        format!("protocol=http\nhost=127.0.0.1\npath={}\n\n", scene.host.host()),
        format!("protocol=http\nhost=localhost:{port}\n\n"),
        format!("protocol=http\nhost={}\n\n", scene.idp.issuer().strip_prefix("http://").unwrap()),
        format!("protocol=smtp\nhost={}\n\n", scene.host.host()),
    ] {
        let ending = scene.helper_at_terminal(&text, &[]).ends();
        assert_eq!((ending.screen.trim(), scene.answer().as_str()), ("ended 0", ""), "{text}");
    }
    assert!(scene.idp.requests().is_empty());
}

#[test]
fn what_lies_in_a_clone_does_not_choose_where_one_signs_in() {
    let mut scene = Scene::new(Behaviour::default());
    scene.stage.enter("clone");
    let file = scene.stage.home().join("clone/.lanyard.toml");
    std::fs::write(file, "profile = \"evil\"\nproject = \"evil\"\n[services.corp]\nissuer = \"http://127.0.0.1:9\"\n")
        .unwrap();
    // Nor does it run anything: git is asked whether one may be asked, and a browser would be opened.
    for program in ["git", "xdg-open"] {
        let program = scene.stage.home().join("clone").join(program);
        std::fs::write(&program, "#!/bin/sh\ntouch \"$HOME/pwned\"\n").unwrap();
        std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    scene.stage.set("PATH", ".::/usr/bin:/bin").set("DISPLAY", ":77");
    let mut terminal = scene.helper_at_terminal(&question(&scene.host.url), &[]);
    // A browser that is installed beside the tests finds no display; without one, a code is shown.
    wire::browse(&terminal.sees_url());
    terminal.sees("Signed in to corp as user@example.com");
    terminal.sees("ended 0");
    assert!(scene.answer().starts_with("username=oauth2\n"));
    assert!(!scene.stage.home().join("pwned").exists());
}

#[test]
fn many_at_once_sign_in_once() {
    let scene = Scene::new(Behaviour { polls: [Poll::Pending, Poll::Pending].into(), ..Behaviour::default() });
    std::fs::write(scene.stage.root().join("question"), question(&scene.host.url)).unwrap();
    let one = |number: usize| format!("{LANYARD} helper git get <\"$0/question\" >\"$0/answer-{number}\" & ");
    let all: String = (0..6).map(one).collect();
    let plain = scene.stage.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{all} wait")]).arg(scene.stage.root()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ending = Terminal::of(&command).ends();
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert_eq!(scene.sign_ins(), 1, "{}", ending.screen);
    let answers: Vec<String> = (0..6)
        .map(|number| std::fs::read_to_string(scene.stage.root().join(format!("answer-{number}"))).unwrap())
        .collect();
    assert!(
        answers.iter().all(|answer| answer.starts_with("username=oauth2\n") && *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(list(&scene.stage).len(), 1);
}

#[test]
fn a_no_ends_it_and_git_asks_for_no_password_instead() {
    let scene = Scene::new(Behaviour { polls: [Poll::Pending; 60].into(), ..Behaviour::default() });
    let mut terminal = scene.helper_at_terminal(&question(&scene.host.url), &[]);
    terminal.sees("WDJB-MJHT");
    terminal.presses("\x03");
    let ending = terminal.ends();
    assert!(ending.echoes, "{ending:?}");
    assert_eq!(scene.answer(), "quit=1\n");
    assert!(list(&scene.stage).is_empty());
}

#[test]
fn another_users_sign_in_is_kept_and_not_handed_over() {
    let scene = Scene::new(Behaviour::default());
    let text = question(&scene.host.url).replace("\n\n", "\nusername=bob\n\n");
    let mut terminal = scene.helper_at_terminal(&text, &[]);
    terminal.sees("another user is asked for than the one who signed in");
    terminal.sees("ended 0");
    assert_eq!(scene.answer(), "");
    assert!(scene.answered().is_some(), "it is there for whoever asks for nobody");
}

#[test]
fn a_refused_token_is_renewed_once_a_minute_at_most() {
    let mut scene = Scene::new(Behaviour::default());
    scene.first_clone();
    let erase = |scene: &Scene, token: &str| {
        let text = question(&scene.host.url).replace("\n\n", &format!("\nusername=oauth2\npassword={token}\n\n"));
        assert_eq!(helper(&scene.stage, "erase", &text).ends(0).stdout(), "");
    };
    let token = |scene: &Scene| scene.answered().unwrap().1;
    let first = token(&scene);
    erase(&scene, &first);
    assert_eq!(token(&scene), first, "it is not a minute old");
    scene.stage.at("+2m");
    scene.idp.forget();
    erase(&scene, "another token");
    assert_eq!(token(&scene), first);
    for _ in 0..3 {
        erase(&scene, &first);
    }
    let second = token(&scene);
    assert_ne!(second, first);
    for _ in 0..5 {
        let now = token(&scene);
        erase(&scene, &now);
    }
    assert_eq!(token(&scene), second);
    assert_eq!(scene.idp.grants("refresh_token").len(), 1, "a storm of refusals costs one renewal");
    assert_eq!(list(&scene.stage)[0]["status"], "active");
    assert!(scene.idp.would_refresh(&session(&scene, "refresh_token")), "the sign-in is still there");
}

#[test]
fn a_token_that_the_host_forgot_fails_once_and_a_storm_renews_once() {
    let mut scene = Scene::new(Behaviour::default());
    scene.first_clone();
    scene.idp.expire_access_tokens();
    scene.idp.forget();
    scene.stage.at("+2m");
    // 401: git tells the helper, and the next one gets a new token.
    let refused = git(&scene.stage, &["ls-remote", &scene.host.repository()], "");
    assert!(!refused.status.success() && scene.idp.grants("refresh_token").is_empty());
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| scene.answered().unwrap().1)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0] && scene.idp.accepts(token)), "{tokens:?}");
    succeeded(&git(&scene.stage, &["ls-remote", &scene.host.repository()], ""));
    assert_eq!(scene.idp.grants("refresh_token").len(), 1);
    // A host that refuses every token costs no second renewal within a minute.
    scene.idp.expire_access_tokens();
    for _ in 0..3 {
        assert!(!git(&scene.stage, &["ls-remote", &scene.host.repository()], "").status.success());
    }
    assert_eq!(scene.idp.grants("refresh_token").len(), 1);
}

/// A value of the stored session.
fn session(scene: &Scene, name: &str) -> String {
    let session = crate::vaulted::reveal(&scene.stage, "corp", "session");
    serde_json::from_str::<serde_json::Value>(&session).unwrap()[name].as_str().unwrap().to_owned()
}

#[test]
fn a_sign_in_that_is_over_is_asked_for_again_in_its_place() {
    let mut scene = Scene::new(Behaviour { expires_in: 4, ..Behaviour::default() });
    scene.first_clone();
    let id = list(&scene.stage)[0]["id"].clone();
    scene.idp.change(|behaviour| {
        behaviour.refuses_refresh = true;
        behaviour.expires_in = 3600;
    });
    std::thread::sleep(Duration::from_secs(5));
    let alone = helper(&scene.stage, "get", &question(&scene.host.url)).ends(0);
    assert_eq!(alone.stdout(), "");
    assert!(alone.stderr().contains("`lanyard credentials reconnect corp`"), "{alone}");
    let mut terminal = scene.helper_at_terminal(&question(&scene.host.url), &[]);
    terminal.sees("Signed in to corp as user@example.com, kept as corp");
    terminal.sees("ended 0");
    assert!(scene.answer().starts_with("username=oauth2\n"));
    let stored = list(&scene.stage);
    assert_eq!((stored.len(), &stored[0]["id"]), (1, &id));
    // Somebody else does not take its place.
    scene.stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    scene.idp.change(|behaviour| behaviour.account.email = "other@example.com".into());
    scene.idp.change(|behaviour| behaviour.account.sub = "acc_other".into());
    let mut terminal = scene.helper_at_terminal(&question(&scene.host.url), &[]);
    terminal.sees("ended 0");
    let ending = terminal.ends();
    assert!(ending.screen.contains("other@example.com signed in, and corp is for user@example.com"), "{ending:?}");
    assert_eq!(scene.answer(), "");
    scene.stage.wrap(&["setsid", "--wait"]);
    assert!(scene.answered().is_none());
}

#[test]
fn a_token_that_nothing_renews_is_asked_for_again_once_it_was_refused() {
    let mut scene = Scene::new(Behaviour { with_refresh_token: false, ..Behaviour::default() });
    scene.first_clone();
    let (_, token) = scene.answered().unwrap();
    scene.idp.expire_access_tokens();
    scene.stage.at("+2m");
    assert!(!git(&scene.stage, &["ls-remote", &scene.host.repository()], "").status.success());
    assert_eq!(list(&scene.stage)[0]["status"], "needs attention");
    // Whoever runs the tests may do so at a terminal.
    scene.stage.wrap(&["setsid", "--wait"]);
    assert_eq!(scene.answered().unwrap().1, token, "what is there is handed out where nobody can be asked");
    scene.stage.wrap(&[]);
    let mut terminal = scene.git_at_terminal(&["ls-remote", &scene.host.repository()]);
    terminal.sees("Signed in to corp as user@example.com, kept as corp");
    assert_eq!(terminal.ends().code, Some(0));
    assert_eq!(list(&scene.stage)[0]["status"], "active");
}

#[test]
fn a_sign_in_stored_by_hand_serves_git_where_its_scopes_do() {
    let mut scene = Scene::new(Behaviour::default());
    let connect = |scene: &Scene, more: &[&str]| {
        let mut running =
            scene.stage.start(&[&["credentials", "store", "oauth", "corp", "--no-browser"], more].concat());
        if let Some(url) = running.url_unless_it_ends() {
            wire::browse(&url);
        }
        running.finish().ends(0);
    };
    connect(&scene, &["--name", "api-only"]);
    // Whoever runs the tests may do so at a terminal.
    scene.stage.wrap(&["setsid", "--wait"]);
    assert!(scene.answered().is_none(), "its scopes open no repository");
    scene.stage.wrap(&[]);
    connect(&scene, &["--name", "with-git", "--scopes", "openid email offline_access api:read"]);
    assert_eq!(scene.answered().unwrap().0, "oauth2");
    succeeded(&git(&scene.stage, &["ls-remote", &scene.host.repository()], ""));
    // What is stored for git itself comes before a sign-in that can do more.
    store(&scene.stage, &scene.host.url, "bot", "a-token", &["--name", "for-git"]);
    assert_eq!(scene.answered(), Some(("bot".into(), "a-token".into())));
}
