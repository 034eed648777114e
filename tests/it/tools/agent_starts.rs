//! The agent among others: several that start it, one of another version, callers with other surroundings, a slow network.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::agent::{by_agent, gives, store};
use crate::agents::{self, Agent, status};
use crate::double::{Answer, Double};
use crate::stage::{Outcome, Stage};

#[test]
fn of_several_that_start_it_at_once_one_does_and_the_others_say_that_it_runs() {
    let stage = agents::stage();
    store(&stage, "token");
    let told: Vec<Outcome> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| stage.run(&["agent", "start"]))).collect();
        all.into_iter().map(|one| one.join().unwrap().ends(0)).collect()
    });
    let agent = Agent::running(&stage).expect("one runs");
    let started = told.iter().filter(|one| one.stderr().contains("Started the agent")).count();
    assert_eq!(started, 1, "{told:?}");
    let already = format!("✓ The agent runs already (process {})\n", agent.pid());
    assert_eq!(told.iter().filter(|one| one.stderr() == already).count(), 5, "{told:?}");
}

#[test]
fn one_that_does_not_answer_is_given_up() {
    let mut stage = agents::stage();
    store(&stage, "token");
    // Whoever starts it reaches no socket; the agent itself is not traced.
    let blind =
        ["strace", "-qq", "-o", "/dev/null", "-e", "trace=connect", "-e", "inject=connect:error=ECONNREFUSED", "--"];
    stage.wrap(&blind);
    let started = Instant::now();
    let told = stage.run(&["agent", "start"]).ends(1);
    assert!(told.stderr().contains("error: the agent did not start\n"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    stage.wrap(&[]);
    assert_eq!(status(&stage)["running"], false);
}

/// Says that it is an agent of another version, until it is told to end. Tells whether it was.
fn of_another_version(socket: &std::path::Path) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).expect("a place to listen");
    let path = socket.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).unwrap();
            let status = r#"{"pid":1,"version":"0.0.9","locked":false,"memory_locked":true,"answered":0,
                "added_ssh_keys":0,"ends_in":99,"idle_ends_in":null,"ssh_socket":"/x"}"#;
            let text = [&u32::try_from(status.len()).unwrap().to_be_bytes(), status.as_bytes()].concat();
            let body = match frame[1] {
                2 => [&[1, 4], text.as_slice()].concat(),
                5 => vec![1, 5],
                _ => vec![1, 2],
            };
            let is_end = frame[1] == 5;
            if is_end {
                std::fs::remove_file(&path).unwrap();
            }
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, body.as_slice()].concat()).unwrap();
            if is_end {
                return;
            }
        }
    })
}

#[test]
fn one_of_another_version_is_replaced() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    let socket = agent.socket();
    drop(agent);
    std::fs::remove_file(&socket).unwrap();
    let old = of_another_version(&socket);
    let told = stage.run(&["agent", "status"]).ends(0).stdout();
    assert!(told.contains("of version 0.0.9, which `lanyard agent start` replaces"), "{told}");
    let started = stage.run(&["agent", "start"]).ends(0);
    assert!(started.stderr().contains("ended the agent of version 0.0.9"), "{started}");
    old.join().unwrap();
    let _agent = Agent::running(&stage).expect("it runs");
    assert_eq!(status(&stage)["version"], env!("CARGO_PKG_VERSION"));
    assert!(by_agent(&stage, || gives(&stage, "token")));
}

#[test]
fn it_has_no_file_of_whoever_started_it() {
    let mut stage = agents::stage();
    store(&stage, "token");
    stage.wrap(&["sh", "-c", "exec 9</dev/null 8</dev/null; exec \"$@\"", "sh"]);
    let agent = Agent::start(&stage, &[]);
    let mut foreground = None;
    for pid in [agent.pid(), 0] {
        let pid = if pid == 0 {
            drop(Agent::running(&stage));
            let mut running = stage.start(&["agent", "start", "--foreground"]);
            running.wait_for("word that it answers", |line| line.contains("the agent answers").then_some(()));
            let pid = status(&stage)["pid"].as_i64().unwrap();
            foreground = Some(running);
            pid
        } else {
            pid.into()
        };
        for number in [8, 9] {
            let place = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
            assert!(place.as_ref().map_or(true, |place| place != std::path::Path::new("/dev/null")), "{place:?}");
        }
    }
    let running = foreground.unwrap();
    running.signal("TERM");
    running.finish().ends(0);
}

/// What is asked of the network takes as long as the double says.
fn slow_token(pause: Duration) -> Double {
    Double::start(move |_| {
        std::thread::sleep(pause);
        let ends = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
        let keys = format!(
            "<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        );
        Answer::text(200, "text/xml", &format!("<GetSessionTokenResponse>{keys}</GetSessionTokenResponse>"))
    })
}

#[test]
fn a_slow_network_keeps_nobody_from_locking_it() {
    let double = slow_token(Duration::from_secs(8));
    let mut stage = agents::stage();
    stage.set("AWS_ENDPOINT_URL", double.url());
    for number in 0..16 {
        let name = format!("keys-{number}");
        let keys =
            ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
        stage.run_with(&[&keys[..], &["--no-verify", "--name", &name]].concat(), b"LONGLIVEDSECRETACCESSKEY").ends(0);
    }
    let _agent = Agent::start(&stage, &[]);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let stage = &stage;
            scope.spawn(move || stage.run(&["helper", "aws", &format!("keys-{number}")]));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while double.requests().len() < 12 {
            assert!(Instant::now() < deadline, "they ask");
            std::thread::sleep(Duration::from_millis(20));
        }
        let started = Instant::now();
        assert_eq!(status(&stage)["locked"], false);
        stage.run(&["agent", "lock"]).ends(0);
        assert_eq!(status(&stage)["locked"], true);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}

#[test]
fn who_goes_another_way_to_the_network_does_it_itself() {
    let double = slow_token(Duration::ZERO);
    let mut stage = agents::stage();
    stage.set("AWS_ENDPOINT_URL", double.url());
    for name in ["one", "two"] {
        let keys =
            ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
        stage.run_with(&[&keys[..], &["--no-verify", "--name", name]].concat(), b"LONGLIVEDSECRETACCESSKEY").ends(0);
    }
    store(&stage, "token");
    let _agent = Agent::start(&stage, &[]);
    let asked = |stage: &Stage, name: &str| {
        let told = stage.run(&["helper", "aws", name]).ends(0).json();
        assert_eq!(told["AccessKeyId"], "ASIA");
    };
    assert!(by_agent(&stage, || asked(&stage, "one")));
    stage.set("all_proxy", "http://proxy.example:3128");
    // What needs no network is answered all the same.
    assert!(by_agent(&stage, || gives(&stage, "token")));
    assert!(!by_agent(&stage, || asked(&stage, "two")));
    assert_eq!(double.requests().len(), 2, "nobody has asked in vain");
}

#[test]
fn a_tool_does_not_wait_for_one_that_stands_still_and_a_person_does() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    agent.signal(Signal::STOP);
    gives(&stage, "token");
    std::thread::scope(|scope| {
        let told = scope.spawn(|| status(&stage));
        // Longer than a tool's question waits.
        std::thread::sleep(Duration::from_secs(3));
        agent.signal(Signal::CONT);
        assert_eq!(told.join().unwrap()["pid"], agent.pid());
    });
    agent.signal(Signal::STOP);
    let silent = stage.run(&["agent", "status"]).ends(1);
    assert!(silent.stderr().contains("the agent does not answer"), "{silent}");
    agent.signal(Signal::CONT);
    assert!(by_agent(&stage, || gives(&stage, "token")));
}
