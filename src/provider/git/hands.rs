//! How a login is handed over: the variables that the hosts' own tools read.

use super::git_user;
use super::host::Flavour;
use crate::credential::{Credential, Variable};

/// The variables, and those that would lead the tool to another host.
pub(super) fn variables(credential: &Credential) -> Vec<Variable> {
    let Some(token) = credential.secret("token") else { return Vec::new() };
    let host = credential.field("host").unwrap_or_default();
    let secrets = |names: &[&str]| names.iter().map(|name| Variable::secret(name, token)).collect::<Vec<_>>();
    let mut variables;
    match Flavour::of(&credential.metadata) {
        Flavour::GitHub if host == "github.com" || host.ends_with(".ghe.com") => {
            variables = secrets(&["GH_TOKEN", "GITHUB_TOKEN"]);
            variables.push(Variable::plain("GH_HOST", host));
        }
        Flavour::GitHub => {
            variables = secrets(&["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"]);
            variables.push(Variable::plain("GH_HOST", host));
        }
        Flavour::GitLab => {
            variables = secrets(&["GITLAB_TOKEN"]);
            variables.push(Variable::plain("GITLAB_HOST", host));
        }
        Flavour::Bitbucket => {
            variables = secrets(&["BITBUCKET_PASSWORD"]);
            variables.push(Variable::plain("BITBUCKET_USERNAME", credential.field("username").unwrap_or_default()));
        }
        Flavour::Gitea => {
            variables = secrets(&["GITEA_TOKEN"]);
            variables.push(Variable::plain("GITEA_BASE_URL", &format!("https://{host}")));
        }
        Flavour::Azure => variables = secrets(&["AZURE_DEVOPS_EXT_PAT"]),
        Flavour::Other => {
            variables = secrets(&["GIT_PASSWORD"]);
            variables.push(Variable::plain("GIT_USERNAME", git_user(credential, token)));
        }
    }
    variables
}
