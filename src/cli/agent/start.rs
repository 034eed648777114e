//! `lanyard agent start`: a person unlocks the vault here, and a process of its own goes on with the key.
//!
//! That process is this program started anew, so that nothing of the person's terminal, of the surroundings or of what
//! the unlocking has left in memory stays with it. The key goes over a pipe.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::agent::{self, Agent, AgentError, Life, Status};
use crate::cli::auth::token::parse_duration;
use crate::cli::{Doors, active, vault_door};
use crate::error::Result;
use crate::os::{CONFIG_DIR, DATA_DIR, Env, descriptors};
use crate::secret::Secret;
use crate::vault::Unlocked;

/// The variables that the agent, or a server, is started with, besides those that say how it goes to the network; any other may hold a
/// secret, and it runs for hours.
const VARIABLES: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_ASKPASS",
];
/// More than any key.
const MOST: u64 = 16 << 10;

/// How long an agent that is ending may take.
const ENDING: Duration = Duration::from_millis(200);
/// How long one that has just been started may take until it answers.
const BEGINNING: Duration = Duration::from_secs(5);

/// How to start it.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// End it after this: seconds, or 30m, 8h, 1d
    #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = life)]
    timeout: Duration,
    /// End it when it was not asked anything for so long [default: not before the timeout]
    #[arg(long, value_name = "DURATION", value_parser = life)]
    idle: Option<Duration>,
    /// Stay in the foreground, for a service manager
    #[arg(long)]
    foreground: bool,
}

fn life(text: &str) -> std::result::Result<Duration, String> {
    let span = parse_duration(text)?.to_std().map_err(|_| "that is no span of time".to_owned())?;
    if span.is_zero() { Err("that is no time at all".into()) } else { Ok(span) }
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        // One that is just ending takes a question with it into its grave; then there is none when it is asked again.
        let present = agent::status(doors.env).or_else(|_| {
            std::thread::sleep(ENDING);
            agent::status(doors.env)
        });
        match present? {
            Some(status) if self.foreground => return Err(AgentError::Runs { pid: Some(status.pid) }.into()),
            Some(status) if status.version != env!("CARGO_PKG_VERSION") => return self.replace(doors, &status),
            Some(status) if status.locked => {
                agent::unlock(doors.env, &unlocked(doors)?)?;
                doors.ui.done(&format!("Unlocked the agent (process {})", status.pid));
                return Ok(());
            }
            Some(status) => {
                runs_already(doors, &status);
                return Ok(());
            }
            None => {}
        }
        self.begin(doors, &unlocked(doors)?.to_secret())
    }

    /// Ends an agent of another version, which answers no helper of this one, and starts one in its place.
    fn replace(&self, doors: &Doors<'_>, old: &Status) -> Result<()> {
        // Nobody is left without an agent because the vault does not open.
        let key = unlocked(doors)?.to_secret();
        super::stopped(doors)?;
        let (version, pid) = (crate::text::clean(&old.version), old.pid);
        doors.ui.note(&format!("ended the agent of version {version} (process {pid})"));
        self.begin(doors, &key)
    }

    fn begin(&self, doors: &Doors<'_>, key: &Secret) -> Result<()> {
        let mut command = self.command(doors.env)?;
        // Files and sockets of whoever started this command are not for a process that runs for hours.
        descriptors::keep_from_children();
        if self.foreground {
            return Err(replaced(command, key).into());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(died)?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(key.expose().as_bytes()).map_err(died)?;
        }
        let mut said = String::new();
        if let Some(pipe) = child.stdout.take() {
            BufReader::new(pipe.take(64)).read_line(&mut said).map_err(died)?;
        }
        let present = if [READY, RUNS].contains(&said.as_str()) { beginning(doors.env) } else { None };
        if said != READY {
            // It has ended, or is about to.
            let _ = child.wait();
        }
        match present {
            // Somebody else was faster.
            Some(status) if said == RUNS => {
                runs_already(doors, &status);
                return Ok(());
            }
            None if said == RUNS => return Err(AgentError::Silent.into()),
            Some(status) if status.pid == child.id() => {
                started(doors, &status);
                return Ok(());
            }
            _ => {}
        }
        // One that says that it is ready and does not answer is of no use to anybody.
        let _ = child.kill();
        let _ = child.wait();
        Err(AgentError::Died { cause: None }.into())
    }

    /// The agent's own command.
    fn command(&self, env: &Env) -> Result<Command, AgentError> {
        let mut command = Command::new(std::env::current_exe().map_err(died)?);
        command.args(["agent", "serve", "--timeout", &self.timeout.as_secs().to_string()]);
        if let Some(idle) = self.idle {
            command.args(["--idle", &idle.as_secs().to_string()]);
        }
        if self.foreground {
            command.arg("--foreground");
        }
        command.env_clear().envs(surroundings(env)).current_dir("/");
        Ok(command)
    }
}

/// What a process that runs for hours is given of the surroundings.
pub(in crate::cli) fn surroundings(env: &Env) -> Vec<(&'static str, OsString)> {
    let known = VARIABLES.into_iter().chain(agent::WAY_OUT).filter_map(|name| Some((name, env.var(name)?.into())));
    // Both as they are in force here, whatever flags and folders that comes from.
    let folders = [(DATA_DIR, absolute(&env.data_dir()).into()), (CONFIG_DIR, absolute(env.config_dir()).into())];
    known.chain(folders).collect()
}

/// How an agent stands that has just been started, as soon as it answers.
fn beginning(env: &Env) -> Option<Status> {
    let deadline = Instant::now() + BEGINNING;
    loop {
        let status = agent::status(env).ok().flatten();
        if status.is_some() || Instant::now() >= deadline {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runs_already(doors: &Doors<'_>, status: &Status) {
    doors.ui.done(&format!("The agent runs already (process {})", status.pid));
}

fn started(doors: &Doors<'_>, status: &Status) {
    if !status.memory_locked {
        doors.ui.warn("the system locks no memory for the key (`ulimit -l`), so it may be written to swap");
    }
    let span = super::span(status.ends_in);
    doors.ui.done(&format!("Started the agent (process {}), which ends in {span}", status.pid));
    doors.ui.note("ssh asks it after `eval \"$(lanyard agent env)\"`");
}

/// A path that means the same everywhere.
fn absolute(path: &std::path::Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The vault's key, for which its store is asked.
fn unlocked(doors: &Doors<'_>) -> Result<Unlocked> {
    let (_, profile) = active::active(doors)?;
    let clock = || doors.env.now();
    Ok(vault_door::local(doors, &profile, &clock).unlocked()?)
}

fn died(cause: std::io::Error) -> AgentError {
    AgentError::Died { cause: Some(cause) }
}

/// Replaces this process by the agent. Returns where that failed.
fn replaced(mut command: Command, key: &Secret) -> AgentError {
    let piped = std::io::pipe().and_then(|(reader, mut writer)| {
        // A pipe takes this much without a reader.
        writer.write_all(key.expose().as_bytes())?;
        Ok(reader)
    });
    match piped {
        Ok(reader) => died(command.stdin(reader).exec()),
        Err(cause) => died(cause),
    }
}

/// What the agent says to the process that has started it: that it answers.
const READY: &str = "ready\n";
/// And this, where another one runs already.
const RUNS: &str = "runs\n";

/// The agent itself; the key stands on stdin.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Serve {
    #[arg(long, value_parser = life)]
    timeout: Duration,
    #[arg(long, value_parser = life)]
    idle: Option<Duration>,
    #[arg(long)]
    foreground: bool,
}

impl Serve {
    /// Runs the agent to its end.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let mut key = Zeroizing::new(String::with_capacity(4 << 10));
        std::io::stdin().take(MOST).read_to_string(&mut key).map_err(died)?;
        let key = Unlocked::from_secret(&Secret::new(std::mem::take(&mut *key))).ok_or(AgentError::NoKey)?;
        let agent = match Agent::listen(doors.env) {
            // Whoever has started this one tells it.
            Err(AgentError::Runs { .. }) if !self.foreground => return doors.ui.answer(RUNS.trim_end()),
            agent => agent?.start(key, Life { timeout: self.timeout, idle: self.idle }),
        };
        if self.foreground {
            doors.ui.note("the agent answers; Ctrl-C ends it");
        } else {
            // Without a terminal, and in no group that is told of one. It leads no group yet, so this does not fail.
            let _ = rustix::process::setsid();
            doors.ui.answer(READY.trim_end())?;
            quiet().map_err(died)?;
        }
        agent.wait();
        Ok(())
    }
}

/// Lets go of the terminal and of the pipes of the process that has started this one.
fn quiet() -> std::io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
