//! Asking the providers: one credential, or all of them in the time of the slowest.

use std::sync::mpsc::channel;

use crate::auth::renew::RenewError;
use crate::credential::Metadata;
use crate::error::{Code, Failure, with_causes};
use crate::provider::{Net, Outcome, Verdict};
use crate::vault::usable::{Ready, ready};
use crate::vault::{Vault, VaultError};

/// So many are asked at once; the others wait their turn.
const AT_ONCE: usize = 256;

/// Asks about one credential and notes the answer.
pub fn one(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<Verdict, VaultError> {
    let verdict = opened(vault, metadata, net)?.map_or_else(|verdict| verdict, |ready| ready.verify(net));
    vault.note_verdict(metadata, &verdict, net.now)?;
    Ok(verdict)
}

/// Asks about each credential, all at the same time, and tells each verdict with its index as it comes in. The verdicts
/// are noted. A credential that cannot be opened or whose source is missing gets a verdict that says so.
pub fn all(
    vault: &dyn Vault,
    credentials: &[Metadata],
    net: &Net<'_>,
    told: &mut dyn FnMut(usize, &Verdict),
) -> Result<Vec<Verdict>, VaultError> {
    // Opening is quick and belongs to this thread; asking is slow and is done by one thread each.
    let mut ready = Vec::new();
    let mut verdicts: Vec<Option<Verdict>> = Vec::new();
    for (index, metadata) in credentials.iter().enumerate() {
        match opened(vault, metadata, net)? {
            Ok(found) => {
                ready.push((index, found));
                verdicts.push(None);
            }
            Err(verdict) => {
                told(index, &verdict);
                verdicts.push(Some(verdict));
            }
        }
    }
    while !ready.is_empty() {
        let batch = ready.split_off(ready.len().saturating_sub(AT_ONCE));
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let mut askers = Vec::new();
            for (index, ready) in &batch {
                let sender = sender.clone();
                askers.push(scope.spawn(move || {
                    // The receiver lives until all have spoken.
                    let _ = sender.send((*index, ready.verify(net)));
                }));
            }
            drop(sender);
            for (index, verdict) in receiver {
                told(index, &verdict);
                if let Some(slot) = verdicts.get_mut(index) {
                    *slot = Some(verdict);
                }
            }
            // One that broke off has said nothing, and is no reason to lose what the others said.
            for asker in askers {
                drop(asker.join());
            }
        });
    }
    let verdicts: Vec<Verdict> = verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(nothing)).collect();
    for (metadata, verdict) in credentials.iter().zip(&verdicts) {
        vault.note_verdict(metadata, verdict, net.now)?;
    }
    Ok(verdicts)
}

/// The credential, opened; or a verdict where what is wrong concerns it alone. A vault that stays closed is a failure.
fn opened(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<Result<Ready, Verdict>, VaultError> {
    match ready(vault, metadata, net) {
        Ok(ready) => Ok(Ok(ready)),
        Err(VaultError::Session { name, cause }) => Ok(Err(of_session(&name, *cause))),
        Err(VaultError::Provider(failure)) => Ok(Err(failure.into_verdict(metadata.kind.title))),
        Err(
            failure @ (VaultError::DoesNotOpen { .. }
            | VaultError::Unknown { .. }
            | VaultError::Circle { .. }
            | VaultError::Foreign { .. }
            | VaultError::Changed { .. }),
        ) => {
            let mend = failure.mend().unwrap_or_default();
            Ok(Err(Verdict::failed(Outcome::Unexpected, failure.to_string(), mend)))
        }
        Err(failure) => Err(failure),
    }
}

/// What a session that cannot be renewed says of its credential.
pub fn of_session(name: &str, cause: RenewError) -> Verdict {
    let failure = VaultError::Session { name: name.to_owned(), cause: Box::new(cause) };
    let (code, mend) = (failure.code(), failure.mend().unwrap_or_default());
    let outcome = match code {
        Code::SignedOut => Outcome::Expired,
        Code::Unreachable => Outcome::Unreachable,
        _ => Outcome::Unexpected,
    };
    Verdict::failed(outcome, with_causes(&failure), mend)
}

/// A thread that ended without a word.
fn nothing() -> Verdict {
    Verdict::failed(Outcome::Unexpected, "the test broke off", "run the command again")
}
