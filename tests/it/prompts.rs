//! Questions and answers at a real terminal: what a person sees, types and leaves behind.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::idp::{Behaviour, Idp, Poll};
use crate::keyring::Keyring;
use crate::stage::Stage;
use crate::terminal::{Ending, Terminal};
use crate::wire;

const DOWN: &str = "\x1b[B";
const ENTER: &str = "\r";
const CTRL_C: &str = "\x03";

/// A service `corp` at a fake provider, with sign-in and an API that takes `typed-token`.
struct Scene {
    keyring: Keyring,
    stage: Stage,
    idp: Idp,
}

const TOKEN: &str = "typed-token-0123456789abcdef";

impl Scene {
    fn new() -> Self {
        let keyring = Keyring::start();
        let stage = Stage::with_keyring(&keyring);
        Self::on(keyring, stage)
    }

    fn on(keyring: Keyring, stage: Stage) -> Self {
        let idp = Idp::start(Behaviour { api_tokens: vec![TOKEN.to_owned()], ..Behaviour::default() });
        let issuer = idp.issuer();
        stage.write_config(&format!(
            "[services.corp]\nissuer = \"{issuer}\"\nclient_id = \"cli\"\nendpoint = \"{issuer}\"\n\n\
             [services.corp.api]\nwhoami = \"/v1/me\"\naccount = \"/email\"\naccount_id = \"/id\"\n"
        ));
        Self { keyring, stage, idp }
    }

    /// A browser login at a terminal, up to the address.
    fn login(&self) -> (Terminal, String) {
        let arguments = ["auth", "login", "--service", "corp", "--profile", "work"];
        let mut terminal = Terminal::start(&self.stage, &arguments);
        let url = terminal.sees_url();
        (terminal, url)
    }

    /// Fails unless a command that the person left has changed nothing.
    fn assert_untouched(&self, ending: &Ending, config: &str) {
        assert_eq!((ending.code, ending.echoes), (Some(130), true), "{ending:?}");
        assert_eq!(self.stage.config(), config);
        assert!(!self.keyring.items().contains("label = "), "{}", self.keyring.items());
    }
}

/// Whether anybody listens at the address that a login gave to the service.
fn is_open(authorization_url: &str) -> bool {
    let url = url::Url::parse(authorization_url).expect("a URL");
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").expect("a redirect address").1;
    let redirect = url::Url::parse(&redirect).expect("a URL");
    let address = redirect.socket_addrs(|| None).expect("an address");
    std::net::TcpStream::connect_timeout(&address[0], Duration::from_secs(5)).is_ok()
}

/// Presses the keys that choose the line with `wanted`, where `shown` is the list up to its last line.
fn choose(terminal: &mut Terminal, shown: &str, wanted: &str) {
    let lines: Vec<&str> = shown.lines().filter(|line| !line.trim().is_empty()).collect();
    let question = lines.iter().position(|line| line.contains('?')).expect("the question");
    let place = lines.iter().position(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted}: {shown}"));
    for _ in 1..place - question {
        terminal.presses(DOWN);
    }
    terminal.presses(ENTER);
}

#[test]
fn a_login_without_flags_asks_where_and_how() {
    let scene = Scene::new();
    let mut terminal = Terminal::start(&scene.stage, &["auth", "login"]);
    let before = terminal.sees("Another OpenID Connect");
    choose(&mut terminal, &before, "corp: ");
    terminal.sees("How do you want to sign in?");
    let ways = terminal.sees("Token: paste one");
    assert!(ways.contains("Browser: ") && ways.contains("Device code: "), "{ways}");
    terminal.presses(ENTER);
    terminal.sees("No browser can be opened here");
    let page = wire::browse(&terminal.sees_url()).answer.expect("a page");
    assert_eq!(page.status(), 200);
    terminal.sees("Signed in as user@example.com");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    scene.stage.run(&["auth", "whoami"]).shows(0, "user@example.com\n", "");
}

#[test]
fn leaving_a_question_changes_nothing() {
    let scene = Scene::new();
    let config = scene.stage.config();
    for key in [CTRL_C, "\x1b"] {
        let mut terminal = Terminal::start(&scene.stage, &["auth", "login"]);
        terminal.sees("Another OpenID Connect");
        terminal.presses(key);
        scene.assert_untouched(&terminal.ends(), &config);
    }
    assert!(scene.idp.requests().is_empty());
}

#[test]
fn a_typed_token_is_not_shown() {
    let scene = Scene::new();
    let login = ["auth", "login", "--service", "corp", "--profile", "work", "--with-token"];
    let mut terminal = Terminal::start(&scene.stage, &login);
    terminal.sees("Token: ");
    terminal.types(TOKEN).sees("Signed in as user@example.com");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    assert!(!ending.screen.contains(&TOKEN[..8]), "{ending:?}");
    scene.stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");

    // Nothing typed is no token.
    let mut terminal = Terminal::start(&scene.stage, &login);
    terminal.sees("Token: ");
    terminal.types("");
    let ending = terminal.ends();
    assert!(ending.code.is_some_and(|code| code != 0) && ending.echoes, "{ending:?}");
    scene.stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
}

#[test]
fn ctrl_c_at_the_hidden_prompt_brings_the_echo_back() {
    let scene = Scene::new();
    let config = scene.stage.config();
    let login = ["auth", "login", "--service", "corp", "--profile", "work", "--with-token"];
    let mut terminal = Terminal::start(&scene.stage, &login);
    terminal.sees("Token: ");
    terminal.presses("half-a-token").presses(CTRL_C);
    let ending = terminal.ends();
    assert!(!ending.screen.contains("half-a-token"), "{ending:?}");
    scene.assert_untouched(&ending, &config);
}

#[test]
fn ctrl_c_while_waiting_closes_the_port() {
    let scene = Scene::new();
    let config = scene.stage.config();
    let (mut terminal, url) = scene.login();
    assert!(is_open(&url));
    terminal.presses(CTRL_C);
    let ending = terminal.ends();
    assert!(!is_open(&url));
    scene.assert_untouched(&ending, &config);

    let mut terminal = Terminal::start(&scene.stage, &["auth", "login", "--service", "corp", "--no-browser"]);
    let url = terminal.sees_url();
    // The wait is counted down where nothing can be pasted.
    terminal.sees(" left)");
    terminal.presses(CTRL_C);
    let ending = terminal.ends();
    assert!(!is_open(&url));
    scene.assert_untouched(&ending, &config);
}

#[test]
fn ctrl_c_during_a_device_login_changes_nothing() {
    let scene = Scene::new();
    let config = scene.stage.config();
    scene.idp.change(|behaviour| behaviour.polls = VecDeque::from([Poll::Pending; 100]));
    let mut terminal = Terminal::start(&scene.stage, &["auth", "login", "--service", "corp", "--device"]);
    terminal.sees("enter the code ");
    terminal.sees("WDJB-MJHT");
    // The terminal's bytes come one by one: three of them make one block of the picture for the phone.
    let picture = terminal.sees("The picture holds the code");
    assert!(picture.matches("\u{e2}\u{96}").count() > 400, "{picture}");
    terminal.presses(CTRL_C);
    scene.assert_untouched(&terminal.ends(), &config);
}

#[test]
fn the_callback_can_be_pasted_and_must_be_of_this_sign_in() {
    let scene = Scene::new();
    let (mut terminal, url) = scene.login();
    terminal.sees("paste that address here");
    let callback = wire::callback_of(&url);
    let (address, query) = callback.split_once('?').expect("a query");
    let forged: Vec<(String, String)> = wire::fields(query.as_bytes())
        .into_iter()
        .map(|(name, value)| if name == "state" { (name, "x".repeat(value.len())) } else { (name, value) })
        .collect();
    terminal.types(&format!("{address}?{}", wire::form(&forged)));
    terminal.sees("warning:");
    assert!(scene.idp.requests_to("/token").is_empty(), "a code with a foreign state is not used");

    terminal.types("no address at all").sees("warning:");
    terminal.types(&callback).sees("Signed in as user@example.com");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    let code = wire::field(&wire::fields(query.as_bytes()), "code").expect("a code").to_owned();
    assert!(!ending.screen.contains(&code), "what is pasted holds a code and is not shown: {ending:?}");
    assert_eq!(scene.idp.grants("authorization_code").len(), 1);
}

#[test]
fn the_browser_wins_over_the_prompt_when_it_is_first() {
    let scene = Scene::new();
    let (mut terminal, url) = scene.login();
    terminal.sees("paste that address here");
    assert_eq!(wire::browse(&url).answer.expect("a page").status(), 200);
    terminal.sees("Signed in as user@example.com");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
}

#[test]
fn without_a_keychain_a_person_is_asked_for_another_place() {
    let keyring = Keyring::without_service();
    let scene = Scene::on(keyring, Stage::new());
    let login = ["auth", "login", "--service", "corp", "--profile", "work", "--with-token"];
    let mut terminal = Terminal::start(&scene.stage, &login);
    // The place is settled before the token is asked for.
    terminal.sees("no keychain can be reached");
    terminal.sees("Where shall the session rest?");
    let choices = terminal.sees("Plain file:");
    assert!(choices.contains("Encrypted file") && choices.contains("Kernel keyring"), "{choices}");
    terminal.presses(ENTER).sees("New passphrase");
    terminal.types("correct horse").sees("The same again");
    terminal.types("battery staple").sees("differ");
    terminal.sees("New passphrase");
    terminal.types("correct horse").sees("The same again");
    terminal.types("correct horse").sees("Token: ");
    terminal.types(TOKEN).sees("Signed in as user@example.com");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    assert!(!ending.screen.contains(TOKEN));
    assert!(!ending.screen.contains("horse") && !ending.screen.contains("staple"), "{ending:?}");
    assert!(scene.stage.config().contains("storage = \"file\""), "{}", scene.stage.config());

    let mut terminal = Terminal::start(&scene.stage, &["auth", "token"]);
    terminal.sees("Passphrase");
    terminal.types("correct horse").sees(TOKEN);
    assert_eq!(terminal.ends().code, Some(0));
}

/// An editor that puts the next of `texts` into the file each time it is called.
fn editor(stage: &Stage, texts: &[&str]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = stage.root().join("editor");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("{}", number + 1)), text).expect("a text");
    }
    let program = folder.join("edit");
    let script = "#!/bin/sh\nd=$(dirname \"$0\"); n=$(ls \"$d\" | grep -c '^[0-9]'); for i in 1 2 3; do \
                  [ -e \"$d/$i\" ] && { mv \"$d/$i\" \"$1\"; exit; }; done; exit 1\n";
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("its mode");
    program
}

#[test]
fn an_edit_is_checked_and_can_be_mended() {
    let mut stage = Stage::new();
    let before = "# mine\n[defaults]\noutput = \"table\"\n";
    let after = "# mine\n[defaults]\noutput = \"json\"\n";
    stage.write_config(before);
    let program = editor(&stage, &["[defaults]\noutput = \"yaml\"\n", after]);
    stage.set("EDITOR", program);
    let mut terminal = Terminal::start(&stage, &["config", "edit"]);
    terminal.sees("warning:");
    terminal.sees("Edit again?");
    assert_eq!(stage.config(), before);
    terminal.presses("y");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert_eq!(stage.config(), after);

    let program = editor(&stage, &["[nonsense\n"]);
    stage.set("EDITOR", program);
    let mut terminal = Terminal::start(&stage, &["config", "edit"]);
    terminal.sees("Edit again?");
    terminal.presses("n");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(3), "{ending:?}");
    assert_eq!(stage.config(), after);
    let left: Vec<PathBuf> = stage.files().into_keys().collect();
    assert_eq!(left.iter().filter(|path| !path.to_string_lossy().ends_with(".lock")).count(), 1, "{left:?}");
}
