//! `lanyard run`: starts a command with the credentials it needs in its environment, and masks them in its output.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap_complete::ArgValueCandidates;

use crate::cli::credentials::named::{self, typed};
use crate::cli::ui::Ui;
use crate::cli::{Doors, active, completions, given, vault_door};
use crate::credential::{Issued, Material, Variable};
use crate::error::{Failure, Result};
use crate::os::Env;
use crate::provider::{self, env};
use crate::run::child::{self, Program};
use crate::run::dotenv::{self, Line};
use crate::run::endpoint::Endpoint;
use crate::run::folder;
use crate::run::mask::{Masks, forms};
use crate::run::resolve::Resolver;
use crate::run::variables::Changes;
use crate::run::watch::Watch;
use crate::run::{RunError, reference};
use crate::secret::Secret;
use crate::vault::usable;

mod supervise;

use supervise::{Keys, Supervised};

/// Run a command with credentials in its environment
///
/// The command gets the variables that its official tools read, and none of lanyard's own. Files that variables name,
/// such as a kubeconfig, lie in memory and go when the command ends. A value that cannot be had starts nothing.
///
/// A template holds lines NAME=VALUE, in which lanyard://CREDENTIAL/FIELD stands for a value, as in
/// DATABASE_URL=postgres://app:lanyard://db/password@db.example.com/app. Between {{ and }} it can stand before any text.
/// A field is one that `lanyard credentials show` names, or one of the usable form: token, username, password,
/// access_key_id, secret_access_key, session_token, private_key, content. What the template sets wins.
#[derive(clap::Args, Debug)]
#[command(
    group(clap::ArgGroup::new("what").required(true).multiple(true).args(["credential", "env"])),
    after_help = "Examples:\n  lanyard run --credential aws -- aws s3 ls\n  \
                  lanyard run --credential npm --mask -- npm publish\n  \
                  lanyard run --env .env.lanyard -- ./server --port 8080\n\n\
                  The exit status is the command's; 126 if it cannot be run, 127 if it is not found, 128 and the \
                  number of the signal that ended it."
)]
pub(crate) struct Args {
    /// A credential whose variables the command gets; may be repeated
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completions::credentials))]
    credential: Vec<String>,
    /// A file of NAME=VALUE lines with references in them (- for stdin)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    env: Option<PathBuf>,
    /// Mask secrets in the command's output; on by itself in CI
    #[arg(long, overrides_with = "no_mask")]
    mask: bool,
    /// Leave the command's output alone
    #[arg(long)]
    no_mask: bool,
    /// Hand AWS keys over at an address on this machine, fresh whenever the command asks, instead of in variables
    #[arg(long, requires = "credential")]
    aws_endpoint: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Which streams are masked.
#[derive(Clone, Copy)]
struct Masked {
    output: bool,
    errors: bool,
}

/// Does what this process was started for by another lanyard.
pub(super) fn answer_myself() -> Option<ExitCode> {
    #[cfg(unix)]
    if let Some(outcome) = crate::run::inner::answer() {
        let Err(failure) = outcome else { return Some(ExitCode::SUCCESS) };
        let env = Env::of_process(None);
        Ui::of_process(&env, &super::Global::default()).failure(&failure);
        return Some(ExitCode::from(failure.code() as u8));
    }
    None
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        // Before the keychain or the network starts a thread.
        let watch = Watch::start(Ui::leave)?;
        folder::sweep_all(doors.env);
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let find = |name: &str| named::find(vault, &profile, name);
        let mut resolver = Resolver::new(vault, vault_door::net(doors), &find);
        let template = self.env.as_deref().map(|path| template(doors, path)).transpose()?;
        let lines = template.as_ref().map(|(_, lines)| lines.as_slice()).unwrap_or_default();
        // What cannot be run is told before anybody is asked for anything.
        let early = (!lines.iter().any(|line| line.name == "PATH"))
            .then(|| Program::locate(&self.command, doors.env.var("PATH")))
            .transpose()?;
        let mut changes = Changes::default();
        let session = |name: &str| -> Result<Issued> {
            let metadata = named::find(vault, &profile, name)?;
            Ok(usable::short(vault, &metadata, &vault_door::net(doors))?.1)
        };
        let keys = self.credentials(&mut resolver, &mut changes, doors.env.now(), &session)?;
        if let Some((place, lines)) = &template {
            for (name, value) in resolver.fill_all(lines, place)? {
                changes.set(&name, value, place);
            }
        }
        changes.check()?;
        let program = match early {
            Some(program) => program,
            None => Program::locate(&self.command, changes.seen("PATH", doors.env))?,
        };
        for metadata in resolver.used() {
            // When it was last used is worth no failure.
            if let Err(failure) = vault.note_use(metadata, doors.env.now()) {
                tracing::debug!(%failure, "the use is not noted");
            }
        }
        let (mut secrets, plain) = resolver.handed_out();
        secrets.extend(changes.secrets().iter().map(Secret::duplicate));
        announce(doors.ui, &secrets)?;
        let masked = self.masked(doors.env);
        let masks = if masked.output || masked.errors { Some(Masks::of(&secrets, &plain)) } else { None };
        let masks = masks.filter(|masks| !masks.is_empty());
        let run = Supervised { program: &program, changes: &changes, masked, masks, secrets, plain };
        if run.masks.is_none() && keys.is_none() && changes.files().next().is_none() {
            return Err(child::leave_to(&program, &changes).into());
        }
        if run.masks.is_some() && masked.output && doors.env.stdout_is_terminal {
            doors.ui.note("the output is masked on its way, so the command sees no terminal");
        }
        run.start(doors, &watch, keys, &session)
    }

    /// What the credentials' tools read. The one whose keys are to be handed over at an address is given back.
    fn credentials(
        &self,
        resolver: &mut Resolver<'_>,
        changes: &mut Changes,
        now: DateTime<Utc>,
        session: &dyn Fn(&str) -> Result<Issued>,
    ) -> Result<Option<Keys>> {
        let mut keys = Vec::new();
        for name in &self.credential {
            let open = resolver.usable(name)?;
            let (metadata, issued) = (&open.credential.metadata, &open.issued);
            let shown = typed(metadata);
            let provider = provider::of(metadata);
            let variables = provider.map(|provider| provider.export(open.credential, issued)).unwrap_or_default();
            if variables.iter().all(|one| matches!(one, Variable::Unset { .. })) {
                return Err(RunError::NoVariables { name: shown }.into());
            }
            changes.add(&shown, variables)?;
            if self.aws_endpoint && matches!(issued.material, Material::AwsKeys { .. }) {
                let endpoint = Endpoint::open(&shown)?;
                changes.add(&shown, endpoint.variables())?;
                // Who asks at an address expects keys that end: of those that stay, a session is made.
                keys.push(Keys::at(endpoint, &shown, &session(name)?, now)?);
            }
        }
        match (self.aws_endpoint, keys.len()) {
            (false, _) | (true, 1) => Ok(keys.pop()),
            (true, 0) => Err(RunError::NotOne { found: "none is".into() }.into()),
            (true, many) => Err(RunError::NotOne { found: format!("{many} are") }.into()),
        }
    }

    /// Which streams are masked: all if one asks for it; in CI those that no person looks at while they flow.
    fn masked(&self, env: &Env) -> Masked {
        let by_itself = is_ci(env) && !self.no_mask;
        Masked {
            output: self.mask || (by_itself && !env.stdout_is_terminal),
            errors: self.mask || (by_itself && !env.stderr_is_terminal),
        }
    }
}

/// Whether this is a job of a CI system.
fn is_ci(env: &Env) -> bool {
    let says_so = |name| env.var(name).is_some_and(|value| !["false", "0"].contains(&value));
    ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE", "TF_BUILD", "TEAMCITY_VERSION"]
        .into_iter()
        .any(says_so)
        || (env.var("BUILD_ID").is_some() && env.var("JENKINS_HOME").is_some())
}

/// Tells the runner of GitHub Actions what it is to mask from here on, in every form.
fn announce(ui: &Ui, secrets: &[Secret]) -> Result<()> {
    if !ui.announces_masks() {
        return Ok(());
    }
    let mut forms: Vec<_> = secrets.iter().flat_map(|secret| forms::of(secret, &BTreeSet::new())).collect();
    forms.sort_by(|one, other| one.as_slice().cmp(other));
    forms.dedup_by(|one, other| one.as_slice() == other.as_slice());
    for form in forms {
        // The runner masks line by line, and the lines of a secret are forms themselves.
        if let Some(text) = std::str::from_utf8(&form).ok().filter(|text| !text.contains('\n')) {
            ui.mask(&Secret::new(text.to_owned()))?;
        }
    }
    Ok(())
}

/// Reads a template of an environment; with it, the name of its place.
fn template(doors: &Doors<'_>, path: &Path) -> Result<(String, Vec<Line>)> {
    let (place, text) = given::file(doors.env, path)?;
    let bad = |line, problem| RunError::Template { place: place.clone(), line, problem };
    let lines = dotenv::read(text.expose()).map_err(|found| bad(found.line, found.problem))?;
    for line in &lines {
        // What a server holds must not decide which programs are run.
        if line.name.starts_with("LANYARD_") {
            return Err(bad(line.number, "a variable of lanyard's own is not for the command").into());
        }
        if reference::has_any(&line.value)
            && let Err(problem) = env::variable_name(&line.name)
        {
            return Err(bad(line.number, problem).into());
        }
    }
    Ok((place, lines))
}
