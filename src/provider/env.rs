//! Variables of the user's own: names and values, handed to a child process as they are.

use crate::credential::{Credential, Fields, Issued, Kind, Material, Metadata, Raw, Variable};
use crate::provider::orders::{Order, Values};
use crate::provider::{Here, Input, Net, Provider, ProviderError};
use crate::secret::Secret;

static KINDS: [Kind; 1] = [Kind::new("generic_env", "set of variables", "env", &[]).open(variable_name)];
static INPUTS: [Input; 1] =
    [Input::arguments("variables", "NAME=VALUE", "A variable; as the value, - reads stdin and @FILE a file")];

/// Variables of the user's own.
pub struct Env;
/// The provider.
pub static PROVIDER: Env = Env;

impl Provider for Env {
    fn name(&self) -> &'static str {
        "env"
    }

    fn title(&self) -> &'static str {
        "Environment variables"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn complete(&self, _: &mut Raw, _: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        Ok(&KINDS[0])
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.secrets.keys().next().map_or_else(|| "env".into(), |name| name.to_lowercase().replace('_', "-"))
    }

    fn hosts(&self, _: &Metadata) -> Vec<String> {
        Vec::new()
    }

    fn refuse_orders(&self, values: &Values<'_>) -> Result<(), Order> {
        values.named(refuse_order)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let variables = credential.secrets.iter().map(|(name, value)| (name.clone(), value.duplicate()));
        Ok(Issued::lasting(Material::Variables(variables.collect())))
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let secret = |(name, value): (&String, &Secret)| Variable::secret(name, value);
        credential.secrets.iter().map(secret).collect()
    }
}

/// Names that have a program run, or a foreign authority trusted. A person may set them for themselves; what a team
/// shares does not set them on everybody's machine.
const ORDERS: &[&str] = &[
    "PAGER", "MANPAGER", "AWS_PAGER", "EDITOR", "VISUAL", "KUBE_EDITOR", "KUBECTL_EXTERNAL_DIFF", "BROWSER", "SSH_ASKPASS",
    "SUDO_ASKPASS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS",
    "LESSOPEN", "LESSCLOSE", "OPENSSL_CONF", "TF_CLI_CONFIG_FILE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CURL_HOME", "WGETRC", "ZDOTDIR", "FPATH", "INPUTRC", "GNUPGHOME", "HGRCPATH",
    "NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG", "NPM_CONFIG_SCRIPT_SHELL", "NPM_CONFIG_SHELL", "NPM_CONFIG_GIT",
    "NPM_CONFIG_EDITOR", "NPM_CONFIG_VIEWER", "NPM_CONFIG_NODE_OPTIONS", "NPM_CONFIG_PREFIX", "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE", "YARN_RC_FILENAME", "PIP_CONFIG_FILE", "PERL5LIB", "PERL5DB", "PERLLIB", "RUBYLIB",
    "GEM_PATH", "BUNDLE_CONFIG", "BUNDLE_GEMFILE", "CLASSPATH", "LUA_INIT", "LUA_PATH", "LUA_CPATH", "PSQLRC", "PSQL_PAGER",
    "PSQL_EDITOR", "MYSQL_HOME", "VIMINIT", "EXINIT", "MYVIMRC", "SCREENRC", "ANSIBLE_CONFIG", "HELM_PLUGINS", "CARGO_HOME",
    "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC", "SHELL", "SUDO_EDITOR", "CC", "CXX",
];

/// Refuses a name that gives an order to whoever uses what a team shares.
pub(super) fn refuse_order(name: &str) -> Result<(), &'static str> {
    if ORDERS.contains(&name.to_ascii_uppercase().as_str()) {
        return Err("it would run a program, or trust an authority, on every machine that uses it");
    }
    Ok(())
}

/// Names that change which program or library is run, or where traffic goes. Whoever needs one of them sets it by hand.
const DANGEROUS: &[&str] = &[
    "PATH", "BASH_ENV", "ENV", "PROMPT_COMMAND", "IFS", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SHELLOPTS",
];
const DANGEROUS_PREFIXES: &[&str] = &["LD_", "DYLD_", "LANYARD_", "GIT_", "PYTHON", "BASH_FUNC_"];

/// Accepts a variable's name: letters, digits and `_`, no digit in front, and none that changes how programs are run.
pub fn variable_name(name: &str) -> Result<(), &'static str> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !starts || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("it is no name of a variable");
    }
    let upper = name.to_ascii_uppercase();
    if DANGEROUS.contains(&upper.as_str()) || DANGEROUS_PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) {
        return Err("it would change how programs are run or where they connect");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_no_trap() {
        for good in ["A", "_x", "DATABASE_URL", "lower9"] {
            assert!(variable_name(good).is_ok(), "{good}");
        }
        for bad in ["", "9A", "A-B", "A=B", "A B", "É", "LD_PRELOAD", "path", "http_proxy", "GIT_SSH_COMMAND", "A;B"] {
            assert!(variable_name(bad).is_err(), "{bad}");
        }
    }
}
