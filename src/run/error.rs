//! Why a child process is not started, or a template is not filled.

use std::path::PathBuf;

use crate::error::{Code, Failure};
use crate::run::reference::Reference;
use crate::text::{clean, nearest};

/// Why a child process is not started, or a template is not filled. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A template is none.
    #[error("{place}, line {line}, cannot be used: {problem}")]
    Template {
        /// The file.
        place: String,
        /// The line.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value that a template asks for cannot be had.
    #[error("{} in {place}, line {line}, has no value", clean(&.reference.to_string()))]
    Reference {
        /// What was asked for.
        reference: Reference,
        /// The file.
        place: String,
        /// The line.
        line: usize,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A credential has no such field, neither stored nor in its usable form.
    #[error("credential {} has no field {}", clean(.name), clean(.field))]
    NoField {
        /// The credential.
        name: String,
        /// The field.
        field: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// A field is a file that is no text.
    #[error("{} of credential {} is no text", clean(.field), clean(.name))]
    NoText {
        /// The credential.
        name: String,
        /// The field.
        field: String,
    },
    /// Two credentials want one variable for themselves.
    #[error("{} and {} both set {variable}, and not to the same", clean(.one), clean(.other))]
    Conflict {
        /// The variable.
        variable: String,
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// A credential has no form that variables could carry.
    #[error("there are no variables for credential {}", clean(.name))]
    NoVariables {
        /// The credential.
        name: String,
    },
    /// A value cannot be in an environment.
    #[error("the value of {variable} holds a zero byte, which no variable can")]
    ZeroByte {
        /// The variable.
        variable: String,
    },
    /// There is no such program.
    #[error("{} is not found", clean(.program))]
    NotFound {
        /// The program as it was typed.
        program: String,
    },
    /// The program cannot be run.
    #[error("{} cannot be run", clean(.program))]
    NotRunnable {
        /// The program as it was typed.
        program: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Nothing but a disk is there for a file.
    #[error("{variable} needs a file, and there is no place in memory for it")]
    NoMemory {
        /// The variable.
        variable: String,
    },
    /// The place in memory does not take the file.
    #[error("cannot {action} {path}", path = .path.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// The place.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The command cannot be watched.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The endpoint has nothing to hand out.
    #[error("the endpoint hands out the keys of one AWS credential, and {found} given")]
    NotOne {
        /// How many there are: `none is`, `2 are`.
        found: String,
    },
    /// Keys without a session do not fit the endpoint.
    #[error("{} has lasting keys, and the endpoint hands out temporary ones alone", clean(.name))]
    Lasting {
        /// The credential.
        name: String,
    },
}

/// Another failure, as the reason of one.
#[derive(Debug)]
pub struct Cause(pub Box<dyn Failure>);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Failure for RunError {
    fn code(&self) -> Code {
        match self {
            Self::Template { .. }
            | Self::NoField { .. }
            | Self::NoText { .. }
            | Self::Conflict { .. }
            | Self::NoVariables { .. }
            | Self::NotOne { .. }
            | Self::Lasting { .. } => Code::Usage,
            Self::Reference { cause, .. } => cause.0.code(),
            Self::NotFound { .. } => Code::NotFound,
            Self::NotRunnable { .. } => Code::NotRunnable,
            Self::ZeroByte { .. } | Self::NoMemory { .. } | Self::Folder { .. } | Self::System { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Template { .. } => "correct the line".into(),
            Self::Reference { cause, .. } => return cause.0.mend(),
            Self::NoField { field, known, .. } => match nearest(field, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("it has {}", known.join(", ")),
            },
            Self::NoText { .. } => "hand the file over: `lanyard run --credential NAME -- COMMAND`".into(),
            Self::Conflict { .. } => {
                "give one of them, and name the values of the other in a template: `lanyard run --env FILE`".into()
            }
            Self::NoVariables { name } => format!(
                "name its fields in a template, such as KEY=lanyard://{}/FIELD: `lanyard run --env FILE`",
                clean(name)
            ),
            Self::ZeroByte { variable } => format!("store the value of {variable} again, without it"),
            Self::NotFound { program } if program.contains('/') => "check the path".into(),
            Self::NotFound { .. } => "check the spelling, and that its folder is in PATH".into(),
            Self::NotRunnable { program, .. } => {
                format!("check that {} is a program that you may execute", clean(program))
            }
            Self::NoMemory { .. } => {
                "set XDG_RUNTIME_DIR to a folder in memory that is yours alone; or write the file yourself: `lanyard \
                 credentials export NAME --format FORMAT --to FILE`"
                    .into()
            }
            Self::Folder { .. } => "check that the folder has room and that you may write to it".into(),
            Self::System { .. } => "try again".into(),
            Self::NotOne { .. } => "give one with `--credential NAME`".into(),
            Self::Lasting { name } => format!(
                "store a role that is assumed with them, and give that: `lanyard credentials store aws --role-arn ARN \
                 --source {}`",
                clean(name)
            ),
        })
    }
}
