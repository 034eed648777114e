//! A real server on a port of its own, the browser of its owner, and the command line of somebody who works with it.

use std::path::PathBuf;

use super::postgres::Postgres;
use crate::stage::{Outcome, Running, Stage};
use crate::wire::{self, Message};

/// The owner of every server here.
pub const LOGIN: &str = "alice@example.com";
pub const PASSPHRASE: &str = "LNYCANARYcorrecthorse battery staple";

/// A running server. Killed when dropped.
pub struct Served {
    pub stage: Stage,
    pub url: String,
    flags: Vec<String>,
    running: Option<Running>,
    /// Whether its master key rests in the secret store of its machine, and not in a file.
    in_store: bool,
    /// Its own PostgreSQL, where the tests are to be of that.
    postgres: Option<Postgres>,
}

/// Its PostgreSQL for a server whose flags name no database, where the tests are to be of that. Its own machine is told.
fn database(stage: &mut Stage, flags: &[&str]) -> Option<Postgres> {
    let wanted = std::env::var_os("LANYARD_TESTS_ON").is_some_and(|database| database == "postgresql");
    let postgres = (wanted && !flags.contains(&"--database")).then(Postgres::start)?;
    stage.set("LANYARD_SERVE_DATABASE", postgres.url());
    Some(postgres)
}

impl Served {
    /// A fresh one, which nobody has set up.
    pub fn fresh(flags: &[&str]) -> Self {
        Self::on(Stage::new(), flags)
    }

    /// One in a home that is there.
    /// Tests ask more often than anybody does: where a flag names no rate, none is kept.
    pub fn on(mut stage: Stage, flags: &[&str]) -> Self {
        for rate in ["ADDRESS", "TOKEN", "CALLER", "ORGANIZATION"] {
            stage.set(&format!("LANYARD_SERVE_RATE_{rate}"), "0");
        }
        let postgres = database(&mut stage, flags);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut served = Self { stage, url: String::new(), flags, running: None, in_store: false, postgres };
        served.start("127.0.0.1:0");
        served
    }

    /// A fresh one whose master key rests in the secret store of its machine.
    pub fn with_a_store(mut stage: Stage) -> Self {
        let postgres = database(&mut stage, &[]);
        let mut served = Self { stage, url: String::new(), flags: vec![], running: None, in_store: true, postgres };
        served.start("127.0.0.1:0");
        served
    }

    /// A fresh one at this port.
    pub fn listening(mut stage: Stage, flags: &[&str], port: u16) -> Self {
        let postgres = database(&mut stage, flags);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut served = Self { stage, url: String::new(), flags, running: None, in_store: false, postgres };
        served.start(&format!("127.0.0.1:{port}"));
        served
    }

    /// One with an owner.
    pub fn new(flags: &[&str]) -> Self {
        let served = Self::fresh(flags);
        let done = served.set_up(PASSPHRASE);
        assert_eq!(done.status(), 303, "{}", done.text());
        served
    }

    /// The same on a PostgreSQL of its own.
    pub fn on_postgresql() -> Self {
        let postgres = Postgres::start();
        let mut served = Self::new(&["--database", &postgres.url()]);
        served.postgres = Some(postgres);
        served
    }

    pub fn data(&self) -> PathBuf {
        self.stage.home().join("server")
    }

    /// The command line of this server, with more words at its end.
    pub fn words<'w>(&'w self, more: &[&'w str]) -> Vec<&'w str> {
        let mut words = vec!["serve", "--data", "server"];
        let elsewhere = ["--master-key-transit", "--master-passphrase-file"];
        if !self.in_store && !self.flags.iter().any(|flag| elsewhere.contains(&flag.as_str())) {
            words.extend(["--master-key-file", "server/master.key"]);
        }
        words.extend(self.flags.iter().map(String::as_str));
        words.extend(more);
        words
    }

    fn start(&mut self, listen: &str) {
        let mut running = self.stage.start(&self.words(&["--listen", listen]));
        self.url = running.wait_for("address", |line| {
            let rest = line.split("Serving ").nth(1)?;
            Some(rest.split(' ').next()?.to_owned())
        });
        self.running = Some(running);
    }

    /// Has it end, and tells how it did.
    pub fn end(&mut self, signal: &str) -> Option<i32> {
        self.ended(signal).code
    }

    /// The same, with all that it wrote.
    pub fn ended(&mut self, signal: &str) -> Outcome {
        let running = self.running.take().expect("it runs");
        running.signal(signal);
        running.finish()
    }

    /// Waits for a line of its log.
    pub fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        self.running.as_mut().expect("it runs").wait_for(what, find)
    }

    /// Sends it a signal that does not end it.
    pub fn signal(&self, name: &str) {
        self.running.as_ref().expect("it runs").signal(name);
    }

    /// Starts it again where it was.
    pub fn again(&mut self) {
        let address = self.url.split("://").nth(1).unwrap().to_owned();
        self.start(&address);
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    /// The link that makes the first owner.
    pub fn link(&self) -> String {
        let file = self.data().join("setup-link");
        let waited = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !file.exists() && std::time::Instant::now() < waited {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::fs::read_to_string(file).expect("a link").trim().to_owned()
    }

    /// Sends the form that makes the owner.
    pub fn set_up(&self, passphrase: &str) -> Message {
        let link = self.link();
        let token = link.split("token=").nth(1).expect("a token").to_owned();
        let fields = [
            ("token", token.as_str()),
            ("organization", "Acme <&> \"Söhne\""),
            ("login", LOGIN),
            ("passphrase", passphrase),
            ("again", passphrase),
        ];
        Browser::new(&self.url).post("/setup", &fields)
    }

    /// The browser of the owner, signed in.
    pub fn browser(&self) -> Browser {
        let mut browser = Browser::new(&self.url);
        let done = browser.sign_in(LOGIN, PASSPHRASE);
        assert_eq!(done.status(), 303, "{}", done.text());
        browser
    }

    /// Asks the API.
    pub fn api(&self, method: &str, path: &str, token: &str, body: &str) -> Message {
        api(&self.url, method, path, token, body)
    }

    pub fn api_with(&self, method: &str, path: &str, token: &str, body: &str, more: &[&str]) -> Message {
        let bearer = format!("Authorization: Bearer {token}");
        let mut headers = vec![bearer.as_str(), "Content-Type: application/json"];
        headers.extend(more);
        wire::send(method, &format!("{}{path}", self.url), &headers, body).expect("an answer")
    }

    /// Where its database is: a file, or the address for whom nothing binds.
    pub fn database(&self) -> String {
        self.postgres.as_ref().map_or_else(|| self.data().join("server.db").display().to_string(), Postgres::as_root)
    }

    /// Has a statement carried out on the database, behind the server's back; what it gives, a line for each row.
    pub fn sql(&self, statement: &str) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.as_superuser(statement);
        }
        let done = std::process::Command::new("sqlite3")
            .arg("-cmd")
            .arg(".timeout 5000")
            .arg(self.data().join("server.db"))
            .arg(statement)
            .output()
            .expect("sqlite3 is installed; tests/run does that");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("text")
    }

    /// Every entry of the audit.
    pub fn entries(&self) -> Vec<serde_json::Value> {
        let lines = self.sql("SELECT entry FROM audit_events ORDER BY org, sequence");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Somebody's machine, signed in to this server.
    pub fn client(&self) -> Stage {
        let stage = Stage::new();
        stage.write_config("[defaults]\nstorage = \"plain\"\n");
        self.sign_in(&stage);
        stage
    }

    /// Signs a machine in, in the browser of the owner.
    pub fn sign_in(&self, stage: &Stage) {
        self.go_through(stage, &["auth", "login", "--service", &self.url, "--no-browser"]);
    }

    /// The same with these scopes.
    pub fn sign_in_with(&self, stage: &Stage, scopes: &str) {
        self.go_through(stage, &["auth", "login", "--service", &self.url, "--no-browser", "--scopes", scopes]);
    }

    /// The machine of the owner who runs the organization with it.
    pub fn manager(&self) -> Stage {
        self.client_of(&self.browser(), None)
    }

    /// The machine of somebody else, signed in with all that they may do, with their browser; in this organization, where
    /// there are several.
    pub fn client_of(&self, browser: &Browser, organization: Option<&str>) -> Stage {
        let stage = Stage::new();
        stage.write_config("[defaults]\nstorage = \"plain\"\n");
        let login = ["auth", "login", "--service", &self.url, "--no-browser", "--scopes", "all"];
        go_through(&stage, &login, browser, organization);
        stage
    }

    fn go_through(&self, stage: &Stage, login: &[&str]) {
        go_through(stage, login, &self.browser(), None);
    }
}

fn go_through(stage: &Stage, login: &[&str], browser: &Browser, organization: Option<&str>) {
    let mut login = stage.start(login);
    let asked = login.url();
    let callback = browser.allow_in(&asked, organization);
    assert_eq!(wire::browse(&callback).answer.expect("a page").status(), 200);
    login.finish().ends(0);
}

/// Asks the API of the server at an address.
pub fn api(url: &str, method: &str, path: &str, token: &str, body: &str) -> Message {
    let headers = [&format!("Authorization: Bearer {token}"), "Content-Type: application/json"];
    wire::send(method, &format!("{url}{path}"), &headers, body).expect("an answer")
}

/// The token in force on a machine.
pub fn token(stage: &Stage) -> String {
    stage.run(&["auth", "token"]).ends(0).stdout().trim().to_owned()
}

/// A browser, as far as this server can tell.
pub struct Browser {
    base: String,
    cookie: Option<String>,
}

impl Browser {
    pub fn new(base: &str) -> Self {
        Self { base: base.to_owned(), cookie: None }
    }

    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Has it hold this session.
    pub fn keep(&mut self, cookie: &str) {
        self.cookie = Some(cookie.to_owned());
    }

    fn headers(&self) -> Vec<String> {
        self.cookie.iter().map(|cookie| format!("Cookie: other=1; {cookie}")).collect()
    }

    pub fn get(&self, path: &str) -> Message {
        let headers = self.headers();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        wire::send("GET", &format!("{}{path}", self.base), &headers, "").expect("a page")
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Message {
        self.post_with(path, fields, &[&format!("Origin: {}", self.base)])
    }

    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], more: &[&str]) -> Message {
        let own = self.headers();
        let mut headers = vec!["Content-Type: application/x-www-form-urlencoded"];
        headers.extend(own.iter().map(String::as_str).chain(more.iter().copied()));
        wire::send("POST", &format!("{}{path}", self.base), &headers, &wire::form(fields)).expect("a page")
    }

    pub fn sign_in(&mut self, login: &str, passphrase: &str) -> Message {
        let done = self.post("/sign-in", &[("login", login), ("passphrase", passphrase)]);
        if let Some(cookie) = done.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        done
    }

    /// Sends the code of a second factor, and is in.
    pub fn enter(&mut self, half: &str, code: &str) {
        let done = self.post("/sign-in/code", &[("half", half), ("code", code)]);
        assert_eq!(done.status(), 303, "{}", done.text());
        self.cookie = done.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
    }

    /// The page of an authorization, as far as the form: its hidden fields.
    pub fn form(&self, path: &str) -> Vec<(String, String)> {
        let page = self.get(path);
        assert_eq!(page.status(), 200, "{}", page.text());
        hidden(&page.text())
    }

    /// Allows what an address of `/authorize` asks for; the address that the browser is sent to.
    pub fn allow(&self, address: &str) -> String {
        self.allow_in(address, None)
    }

    /// The same in one of several organizations.
    pub fn allow_in(&self, address: &str, organization: Option<&str>) -> String {
        let path = address.strip_prefix(&self.base).expect("an address of the server");
        self.decide_in(path, "allow", organization)
    }

    pub fn decide(&self, path: &str, decision: &str) -> String {
        self.decide_in(path, decision, None)
    }

    fn decide_in(&self, path: &str, decision: &str, organization: Option<&str>) -> String {
        let mut fields = self.form(path);
        fields.push(("decision".into(), decision.into()));
        fields.extend(organization.map(|id| ("organization".into(), id.into())));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.post("/authorize", &fields);
        assert_eq!(answer.status(), 303, "{}", answer.text());
        answer.header("location").expect("an address").to_owned()
    }
}

/// The hidden fields of a page.
pub fn hidden(page: &str) -> Vec<(String, String)> {
    let pattern = regex::Regex::new("<input type=\"hidden\" name=\"([^\"]*)\" value=\"([^\"]*)\">").unwrap();
    let plain = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    pattern.captures_iter(page).map(|found| (plain(&found[1]), plain(&found[2]))).collect()
}
