//! A machine that knows no service: the first sign-in starts the server of this machine, and signs in to it.

use std::net::TcpListener;

use super::served::{Browser, LOGIN, PASSPHRASE, hidden};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::vaulted::{list, store_env};
use crate::wire;

/// A home whose server listens on a port of its own. That server is ended when dropped.
struct Home {
    stage: Stage,
    url: String,
}

impl Home {
    fn new() -> Self {
        let mut stage = Stage::new();
        let address = format!("127.0.0.1:{}", free_port());
        stage.set("LANYARD_SERVE_LISTEN", &address);
        Self { stage, url: format!("http://{address}") }
    }

    /// Makes the owner by a link, which goes on to the sign-in, and lets the program in; the browser.
    fn set_up(&self, link: &str) -> Browser {
        let path = link.strip_prefix(&self.url).expect("an address of the server");
        assert!(path.starts_with("/setup?token="), "{link}");
        let mut browser = Browser::new(&self.url);
        let mut fields = hidden(&browser.get(path).text());
        for (name, value) in
            [("organization", "Acme"), ("login", LOGIN), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)]
        {
            fields.push((name.into(), value.into()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let made = browser.post("/setup", &fields);
        assert_eq!(made.status(), 303, "{}", made.text());
        let then = made.header("location").unwrap().to_owned();
        assert!(then.starts_with("/authorize?"), "the page goes on to the sign-in: {then}");
        browser.sign_in(LOGIN, PASSPHRASE);
        let callback = browser.allow(&format!("{}{then}", self.url));
        assert_eq!(wire::browse(&callback).answer.expect("a page").status(), 200);
        browser
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stage.run(&["server", "stop"]);
    }
}

#[test]
fn whoever_knows_no_service_signs_in_to_a_server_that_is_started_for_them() {
    let home = Home::new();
    let mut login = Terminal::start(&home.stage, &["auth", "login", "--storage", "plain", "--no-browser"]);
    login.sees("Another OpenID Connect");
    login.presses("\r");
    login.sees("Started the server of this machine");
    let link = login.sees_url();
    let browser = home.set_up(&link);
    let ending = login.ends();
    assert_eq!(ending.code, Some(0), "{}", ending.screen);
    assert!(ending.screen.contains("profile this-machine"), "{}", ending.screen);
    store_env(&home.stage, "db", "A", "LNYCANARYvalue0123456789");
    assert_eq!(list(&home.stage).len(), 1);

    // It was started for longer than the command, is found again, and nobody makes an owner twice.
    let mut again = home.stage.start(&["auth", "login", "--service", "this-machine", "--no-browser"]);
    let address = again.url();
    assert!(address.starts_with(&format!("{}/authorize?", home.url)), "{address}");
    assert_eq!(wire::browse(&browser.allow(&address)).answer.expect("a page").status(), 200);
    again.finish().ends(0);

    // It ends when it is told to, and the next sign-in starts it with all that it had.
    let ended = home.stage.run(&["server", "stop", "--json"]).ends(0).json();
    assert_eq!(ended["stopped"], true);
    assert_eq!(home.stage.run(&["server", "stop", "--json"]).ends(0).json()["stopped"], false);
    let absent = home.stage.run(&["credentials", "list"]).ends(6);
    assert!(absent.stderr().contains("lanyard auth login"), "{absent}");
    let mut third = home.stage.start(&["auth", "login", "--service", "this-machine", "--no-browser"]);
    let address = third.url();
    assert!(address.starts_with(&format!("{}/authorize?", home.url)), "{address}");
    assert_eq!(wire::browse(&browser.allow(&address)).answer.expect("a page").status(), 200);
    third.finish().ends(0);
    assert_eq!(list(&home.stage).len(), 1);
}

#[test]
fn what_else_answers_there_is_not_signed_in_to() {
    let home = Home::new();
    let listener = TcpListener::bind(home.url.trim_start_matches("http://")).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let login = ["auth", "login", "--service", "this-machine", "--no-browser", "--storage", "plain"];
    let refused = home.stage.run(&login).ends(1);
    assert!(refused.stderr().contains("something else than the server of this machine"), "{refused}");
    answering.join().unwrap();
}

#[test]
fn a_slip_in_its_name_is_told() {
    let home = Home::new();
    let refused = home.stage.run(&["auth", "login", "--service", "this-machin", "--no-browser"]).ends(3);
    assert!(refused.stderr().contains("did you mean `this-machine`?"), "{refused}");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let home = Home::new();
    std::fs::create_dir_all(home.stage.config_dir()).unwrap();
    std::fs::write(home.stage.config_dir().join("server.toml"), "database = \"postgres://nobody@127.0.0.1:1/none\"\n")
        .unwrap();
    let login = ["auth", "login", "--service", "this-machine", "--no-browser", "--storage", "plain"];
    let refused = home.stage.run(&login).ends(1);
    assert!(refused.stderr().contains("did not start: "), "{refused}");
    assert!(refused.stderr().contains("lanyard serve"), "{refused}");
}
