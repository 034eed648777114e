//! The arguments of `credentials store`: one subcommand for each provider, made from what the provider says of itself.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use super::Args;
use crate::cli::given::{self, Given};
use crate::cli::ui;
use crate::credential::Field;
use crate::provider::{self, Input, PROVIDERS, Place, Provider};

/// Every field of a provider's kinds that has a flag of its own.
pub(super) fn fields(provider: &dyn Provider) -> Vec<&'static Field> {
    if provider.signs_in() {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let taken = |field: &&Field| provider.inputs().iter().any(|input| input.name == field.flag());
    let fields = provider.kinds().iter().flat_map(|kind| kind.fields);
    fields.filter(|field| !field.derived && !taken(field) && seen.insert(field.name)).collect()
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        command
            .about("Store a credential: what an official tool has on this machine, or what you give")
            .long_about(
                "Store a credential\n\nWithout flags, what the official tool has on this machine is taken; what is \
                 missing is asked for. The provider is asked whether the credential works before it is stored. A \
                 secret need not stand on the command line: each takes - (stdin) or @FILE instead of the value.",
            )
            .after_help(
                "Examples:\n  lanyard credentials store aws\n  lanyard credentials store cloudflare --api-token @token.txt\n  \
                 lanyard credentials store env DATABASE_URL=- < url.txt",
            )
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand_value_name("PROVIDER")
            .subcommand_help_heading("Providers")
            .subcommands(PROVIDERS.iter().map(|provider| form(*provider)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The subcommand of a provider.
fn form(provider: &'static dyn Provider) -> Command {
    let titles: Vec<&str> = provider.kinds().iter().map(|kind| kind.title).collect();
    let words = provider.inputs().iter().filter(|input| matches!(input.place, Place::Argument | Place::Arguments));
    let words: Vec<&str> = std::iter::once(provider.name()).chain(words.map(|input| input.value)).collect();
    let mut command = Command::new(provider.name())
        .about(format!("{}: {}", provider.title(), titles.join(", ")))
        .after_help(format!("Example:\n  lanyard credentials store {}", words.join(" ")));
    for input in provider.inputs() {
        command = command.arg(argument(input));
        if input.name == SHARED {
            command = command.arg(placeholder());
        }
    }
    for field in fields(provider) {
        command = command.arg(
            Arg::new(field.name)
                .long(field.flag())
                .value_name("VALUE|-|@FILE")
                .help(field.title)
                .value_parser(given::parser())
                .allow_hyphen_values(true),
        );
    }
    command
        .arg(Arg::new("name").long("name").value_name("NAME").value_parser(ui::name).help("Name the credential"))
        .arg(
            Arg::new("replace")
                .long("replace")
                .action(ArgAction::SetTrue)
                .help("Replace the one of that name without asking"),
        )
        .arg(
            Arg::new("no-verify")
                .long("no-verify")
                .action(ArgAction::SetTrue)
                .help("Store it without asking the provider"),
        )
        .arg(
            Arg::new("tag")
                .long("tag")
                .value_name("TAG")
                .action(ArgAction::Append)
                .help("A word to find it by; may be repeated"),
        )
        .arg(Arg::new("note").long("note").value_name("TEXT").help("A line for people"))
        .arg(
            Arg::new("for-project")
                .long("for-project")
                .value_name("PROJECT")
                .help("Keep it as this project's; elsewhere it is not seen by its bare name"),
        )
}

/// A flag that every command takes and that Google's tools take as well: before the provider it is lanyard's, after it
/// Google's.
const SHARED: &str = "project";

/// Stands for lanyard's flag in a form that has the provider's: the parser, which hands a flag of every command down and
/// up by this word, notes lanyard's value here, so that neither reaches the other.
fn placeholder() -> Arg {
    Arg::new(SHARED).long("lanyard-project").hide(true).value_parser(ui::name)
}

/// The word by which the parser knows an input.
fn id(input: &Input) -> &'static str {
    if input.name == SHARED { "project-of-provider" } else { input.name }
}

fn argument(input: &'static Input) -> Arg {
    let argument = Arg::new(id(input)).help(input.help);
    match input.place {
        Place::Flag => argument.long(input.name).value_name(input.value),
        Place::File(_) => argument.long(input.name).value_name(format!("{0}|-|@{0}", input.value)),
        Place::Switch => argument.long(input.name).action(ArgAction::SetTrue),
        Place::Argument => argument.value_name(input.value).required(true),
        Place::Arguments => argument.value_name(input.value).required(true).num_args(1..).value_parser(given::parser()),
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let provider = provider::by_name(name).ok_or_else(missing)?;
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut words, mut piped) = (Vec::new(), Vec::new());
        for input in provider.inputs() {
            let id = id(input);
            match input.place {
                Place::Flag | Place::Argument => {
                    inputs.extend(text(id).map(|value| (input.name.to_owned(), vec![value])));
                }
                Place::File(field) => {
                    let Some(given) = text(id) else { continue };
                    if given == "-" {
                        piped.extend(
                            provider.kinds().iter().find_map(|kind| kind.field(field)).map(|field| (input, field)),
                        );
                    }
                    let path = given.strip_prefix('@').unwrap_or(&given).to_owned();
                    inputs.insert(input.name.to_owned(), vec![path]);
                }
                Place::Switch if matches.get_flag(id) => {
                    inputs.insert(input.name.to_owned(), vec![String::new()]);
                }
                Place::Switch => {}
                Place::Arguments => words.extend(matches.get_many::<Given>(id).into_iter().flatten().cloned()),
            }
        }
        let given = |field: &'static Field| Some((field, matches.get_one::<Given>(field.name)?.clone()));
        Ok(Self {
            provider,
            inputs,
            words,
            piped,
            fields: fields(provider).into_iter().filter_map(given).collect(),
            name: text("name"),
            replace: matches.get_flag("replace"),
            no_verify: matches.get_flag("no-verify"),
            tags: matches.get_many::<String>("tag").into_iter().flatten().cloned().collect(),
            note: text("note"),
            project: text("for-project"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use crate::cli::{Cli, Command, Credentials};

    /// Lanyard's project and the provider's, of a command line.
    fn projects(words: &str) -> (Option<String>, Option<String>) {
        let words = format!("lanyard {words}");
        let matches = Cli::command().try_get_matches_from(words.split(' ')).unwrap();
        let Cli { global, command } = Cli::from_arg_matches(&matches).unwrap();
        let Command::Credentials(Credentials::Store(args)) = command else { panic!("another command") };
        (global.project, args.inputs.get("project").map(|given| given[0].clone()))
    }

    #[test]
    fn where_the_project_stands_tells_whose_it_is() {
        let told =
            |lanyards: Option<&str>, googles: Option<&str>| (lanyards.map(str::to_owned), googles.map(str::to_owned));
        assert_eq!(projects("credentials store gcp"), told(None, None));
        assert_eq!(projects("credentials store gcp --project g"), told(None, Some("g")));
        for before in
            ["--project l credentials store", "credentials --project=l store", "credentials store --project l"]
        {
            assert_eq!(projects(&format!("{before} gcp")), told(Some("l"), None), "{before}");
            assert_eq!(projects(&format!("{before} gcp --project=g")), told(Some("l"), Some("g")), "{before}");
        }
        assert_eq!(projects("credentials store aws --project l"), told(Some("l"), None), "other providers have none");
    }
}
