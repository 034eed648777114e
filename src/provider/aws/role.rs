//! Roles: keys for a while, from STS, signed for with the keys of another credential.

use super::api::{self, Door, Refusal, element, text};
use super::endpoint::Service;
use super::session;
use crate::credential::{Credential, Issued, Material};
use crate::http::Response;
use crate::os::Env;
use crate::provider::echo::holds;
use crate::provider::{Net, Outcome, ProviderError, Verdict};

/// What the session is called in the account's logs, where the credential does not say: this, and whose it is.
const SESSION: &str = "lanyard";
/// The longest name of a session that STS takes.
const LONGEST_NAME: usize = 64;

/// A role that was assumed.
pub(super) struct Assumed {
    /// The keys, and until when they are good.
    pub(super) issued: Issued,
    /// Who one is with them: `arn:aws:sts::123456789012:assumed-role/deploy/lanyard`.
    pub(super) arn: String,
}

/// Assumes the role of a credential with the keys of its source.
pub(super) fn assume(
    credential: &Credential,
    source: Option<&Issued>,
    net: &Net<'_>,
) -> Result<Assumed, ProviderError> {
    let name = || credential.metadata.name.clone();
    let source_name = credential.field("source").unwrap_or_default();
    let keys = source.map(|issued| &issued.material).filter(|material| matches!(material, Material::AwsKeys { .. }));
    let keys = keys.ok_or_else(|| ProviderError::NoSource { name: name(), source_name: source_name.to_owned() })?;
    let role = credential.field("role_arn").ok_or_else(|| ProviderError::Damaged {
        name: name(),
        field: "role_arn",
        problem: "it is not there",
    })?;
    let session = credential.field("session_name").map_or_else(|| session_name(net.env), str::to_owned);
    let mut parameters = vec![("RoleArn", role), ("RoleSessionName", session.as_str())];
    parameters.extend(credential.field("duration").map(|seconds| ("DurationSeconds", seconds)));
    parameters.extend(credential.field("external_id").map(|id| ("ExternalId", id)));
    let door = Door {
        keys,
        service: Service::Sts,
        region: credential.field("region"),
        endpoint: credential.field("endpoint"),
    };
    let answer = api::ask(door, "AssumeRole", &parameters, net)?;
    if !answer.is_success() {
        return Err(refusal(&answer, keys, source_name, &credential.metadata.name).into());
    }
    read(&answer).ok_or_else(|| Verdict::unexpected(api::TITLE, answer.status).into())
}

/// A name that tells the account's logs who it was, as far as the surroundings tell.
fn session_name(env: &Env) -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| env.var(name)).unwrap_or_default();
    let known = user.chars().filter(|letter| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(*letter));
    let known: String = known.take(LONGEST_NAME - SESSION.len() - 1).collect();
    if known.is_empty() { SESSION.to_owned() } else { format!("{SESSION}-{known}") }
}

fn read(answer: &Response) -> Option<Assumed> {
    let arn = element(text(answer)?, "Arn")?.to_owned();
    Some(Assumed { issued: session::read(answer)?, arn })
}

/// Why the role was not given. A role that cannot be assumed does not work, whoever is to blame.
fn refusal(answer: &Response, keys: &Material, source: &str, name: &str) -> Verdict {
    let general = api::refusal(answer, "sts:AssumeRole");
    let Some(Refusal { code, message }) = Refusal::of(answer) else { return general };
    // The sentence of AWS, unless it repeats what was sent.
    let because = if message.is_empty() || holds(&message, keys) { String::new() } else { format!(": {message}") };
    match code.as_str() {
        "AccessDenied" => Verdict::invalid(
            format!("{source} may not assume the role{because}"),
            format!("name {source}'s user in the role's trust policy and allow it sts:AssumeRole; check `external_id`"),
        )
        .code(code),
        "ValidationError" | "MalformedPolicyDocument" => Verdict::invalid(
            format!("AWS cannot use what is stored{because}"),
            format!("correct it: `lanyard credentials update {name} --field NAME=VALUE`"),
        )
        .code(code),
        _ if general.outcome.is_refusal() || general.outcome == Outcome::Insufficient => {
            let reason = general.reason.as_deref().unwrap_or_default();
            Verdict {
                reason: Some(format!("through {source}: {reason}")),
                next: Some(format!("mend {source}: `lanyard credentials test {source}` tells more")),
                ..general
            }
        }
        _ => general,
    }
}

/// The account in an ARN: its fifth part.
pub(super) fn account(arn: &str) -> Option<&str> {
    let account = arn.split(':').nth(4)?;
    let is_account = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then_some(account)
}
