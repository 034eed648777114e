//! Asking the providers what is alive of what was found.

use std::sync::mpsc::channel;

use super::finding::Finding;
use super::{as_credential, merge};
use crate::credential::Credential;
use crate::provider::{self, Net, Outcome, Provider, Verdict};

/// So many are asked at once; the others wait their turn.
const AT_ONCE: usize = 256;

/// Asks about every finding that is complete, all at the same time, and tells how many have answered, of how many.
/// Puts the worst on top afterwards.
pub fn verify(findings: &mut [Finding], net: &Net<'_>, told: &mut dyn FnMut(usize, usize)) {
    let mut asked: Vec<(usize, &'static dyn Provider, Credential)> = Vec::new();
    for (index, finding) in findings.iter_mut().enumerate() {
        let Some(credential) = as_credential(finding, net.now) else { continue };
        match finding.provider.source(&credential.metadata) {
            Some(source) => finding.verdict = Some(through(source)),
            None => asked.push((index, finding.provider, credential)),
        }
    }
    let of = asked.len();
    let mut done = 0;
    while !asked.is_empty() {
        let batch = asked.split_off(asked.len().saturating_sub(AT_ONCE));
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            for (index, provider, credential) in &batch {
                let sender = sender.clone();
                scope.spawn(move || {
                    // The receiver lives until all have spoken.
                    let _ = sender.send((*index, provider::verify(*provider, credential, None, net)));
                });
            }
            drop(sender);
            for (index, verdict) in receiver {
                done += 1;
                told(done, of);
                if let Some(finding) = findings.get_mut(index) {
                    finding.expires = finding.expires.or(verdict.expires);
                    finding.verdict = Some(verdict);
                }
            }
        });
    }
    merge::sort(findings, net.now);
}

/// It is used through another credential, which only a vault can open.
fn through(source: &str) -> Verdict {
    Verdict::failed(
        Outcome::CannotBeAsked,
        format!("it is used through another credential, {source}"),
        "store both, then `lanyard credentials test`",
    )
}
