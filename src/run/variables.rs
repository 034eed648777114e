//! The environment of a child process: what each credential's tools read, put together.

use std::collections::BTreeMap;

use crate::credential::{Content, Variable};
use crate::os::Env;
use crate::run::RunError;
use crate::secret::Secret;

/// What becomes of one variable.
#[derive(Debug)]
enum Setting {
    Value(Secret),
    File { file: String, content: Content },
    Unset,
}

impl Setting {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::File { file, content }, Self::File { file: other, content: its }) => {
                file == other && content.bytes() == its.bytes()
            }
            (Self::Unset, Self::Unset) => true,
            _ => false,
        }
    }
}

/// The changes to an environment, each with who wants it.
#[derive(Debug, Default)]
pub struct Changes {
    settings: BTreeMap<String, (Setting, String)>,
    secrets: Vec<Secret>,
}

/// A variable that names a file, and what is to stand in it.
#[derive(Debug)]
pub struct File<'c> {
    /// The variable.
    pub variable: &'c str,
    /// The name of the file.
    pub name: &'c str,
    /// Its content.
    pub content: &'c Content,
}

impl Changes {
    /// Adds what one credential's tools read.
    ///
    /// # Errors
    /// [`RunError::Conflict`] where another one sets the same variable to something else.
    pub fn add(&mut self, credential: &str, variables: Vec<Variable>) -> Result<(), RunError> {
        for variable in variables {
            let (name, setting) = match variable {
                Variable::Value { name, value, is_secret } => {
                    if is_secret {
                        self.secrets.push(value.duplicate());
                    }
                    (name, Setting::Value(value))
                }
                Variable::File { name, file, content } => {
                    if let Content::Text(text) = &content {
                        self.secrets.push(text.duplicate());
                    }
                    (name, Setting::File { file, content })
                }
                Variable::Unset { name } => (name.to_owned(), Setting::Unset),
            };
            if let Some((present, by)) = self.settings.get(&name)
                && !present.is_same(&setting)
                && by != credential
            {
                let (one, other) = (by.clone(), credential.to_owned());
                return Err(RunError::Conflict { variable: name, one, other });
            }
            self.settings.insert(name, (setting, credential.to_owned()));
        }
        Ok(())
    }

    /// Sets a variable, whatever a credential says.
    pub fn set(&mut self, name: &str, value: Secret, by: &str) {
        self.settings.insert(name.to_owned(), (Setting::Value(value), by.to_owned()));
    }

    /// Takes a variable away, whatever a credential says.
    pub fn unset(&mut self, name: &str, by: &str) {
        self.settings.insert(name.to_owned(), (Setting::Unset, by.to_owned()));
    }

    /// The files that variables name.
    pub fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.settings.iter().filter_map(|(variable, (setting, _))| match setting {
            Setting::File { file, content } => Some(File { variable, name: file, content }),
            _ => None,
        })
    }

    /// The values that variables get; of those that name files, none.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.settings.iter().filter_map(|(name, (setting, _))| match setting {
            Setting::Value(value) => Some((name.as_str(), value)),
            _ => None,
        })
    }

    /// The variables that must not be set.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.settings
            .iter()
            .filter(|(_, (setting, _))| matches!(setting, Setting::Unset))
            .map(|(name, _)| name.as_str())
    }

    /// The value of a variable as the child will see it.
    pub fn seen<'c>(&'c self, name: &str, env: &'c Env) -> Option<&'c str> {
        match self.settings.get(name) {
            Some((Setting::Value(value), _)) => Some(value.expose()),
            Some(_) => None,
            None => env.var(name),
        }
    }

    /// What nobody may see of all this.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Refuses what no environment can hold.
    pub fn check(&self) -> Result<(), RunError> {
        match self.values().find(|(_, value)| value.expose().contains('\0')) {
            Some((name, _)) => Err(RunError::ZeroByte { variable: name.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    #[test]
    fn two_credentials_that_differ_are_both_named() {
        let mut changes = Changes::default();
        changes.add("one", vec![Variable::plain("REGION", "eu"), Variable::secret("KEY", &secret("a"))]).unwrap();
        changes.add("two", vec![Variable::plain("REGION", "eu"), Variable::Unset { name: "OTHER" }]).unwrap();
        let told = changes.add("two", vec![Variable::secret("KEY", &secret("LNYCANARY"))]).unwrap_err().to_string();
        assert_eq!(told, "one and two both set KEY, and not to the same");
        let file = |content: &str| Variable::File {
            name: "F".into(),
            file: "f".into(),
            content: Content::Text(secret(content)),
        };
        changes.add("one", vec![file("x")]).unwrap();
        changes.add("two", vec![file("x")]).unwrap();
        assert!(changes.add("two", vec![Variable::plain("OTHER", "x")]).is_ok(), "one's own variables are one's own");
        for other in [file("y"), Variable::plain("F", "x"), Variable::Unset { name: "F" }] {
            assert!(matches!(changes.add("three", vec![other]), Err(RunError::Conflict { .. })));
        }
    }

    #[test]
    fn what_a_template_sets_wins() {
        let env = Env::invented(Path::new("/x"), Path::new("/"), &[("A", "b"), ("PATH", "/bin")]);
        let mut changes = Changes::default();
        changes.add("one", vec![Variable::Unset { name: "AWS_PROFILE" }, Variable::plain("B", "c")]).unwrap();
        assert_eq!(changes.removed().collect::<Vec<_>>(), ["AWS_PROFILE"]);
        assert_eq!((changes.seen("PATH", &env), changes.seen("AWS_PROFILE", &env)), (Some("/bin"), None));
        changes.set("PATH", secret("/opt"), "FILE");
        assert_eq!(changes.seen("PATH", &env), Some("/opt"));
        changes.set("B", secret("\0"), "FILE");
        assert_eq!(changes.check().unwrap_err().to_string(), "the value of B holds a zero byte, which no variable can");
    }
}
