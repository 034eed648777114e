//! Into the vault: stored, read back, and only then taken out of the place it lay in. Whenever the program is ended, the
//! credential is in its old place, in the vault, or in both.

use chrono::{DateTime, Utc};

use crate::cli::credentials::named::typed;
use crate::credential::{Class, Fields, Metadata};
use crate::scan::cut::{self, Left, Removed};
use crate::scan::{Finding, Life};
use crate::vault::{New, Vault, VaultError, free_name};

/// The way into the vault.
pub(super) struct Import<'v> {
    /// The vault.
    pub(super) vault: &'v dyn Vault,
    /// Whether the originals go.
    pub(super) removes: bool,
    /// Now.
    pub(super) now: DateTime<Utc>,
}

/// What became of a finding.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// The name of the one in the vault with the same values, where there is one.
    pub(super) held_as: Option<String>,
    /// Whether it was put there just now.
    pub(super) is_imported: bool,
    /// Why it was not, where it was to be.
    pub(super) why_not: Option<String>,
    /// What became of each place, in their order. Empty where nothing was to be removed.
    pub(super) originals: Vec<Result<Removed, Left>>,
}

impl Fate {
    /// An earlier failure ended the import.
    pub(super) fn not_tried() -> Self {
        Self { why_not: Some("the import ended before it".into()), ..Self::default() }
    }

    /// Whether it is gone from that place.
    pub(super) fn is_removed(&self, spot: usize) -> bool {
        self.originals.get(spot).is_some_and(Result::is_ok)
    }
}

impl Import<'_> {
    /// Imports one, unless the vault holds it already.
    pub(super) fn one(&self, finding: &Finding) -> Result<Fate, VaultError> {
        let Some(fields) = finding.copy().filter(|_| is_wanted(finding, self.now)) else {
            return Ok(Fate { why_not: Some(why_not(finding, self.now)), ..Fate::default() });
        };
        let (held, is_imported) = match self.held(&fields)? {
            Some(held) => (held, false),
            None => (self.store(finding, fields)?, true),
        };
        let mut fate = Fate { held_as: Some(typed(&held)), is_imported, ..Fate::default() };
        if self.removes {
            // What was stored is read back before the original goes.
            let kept = self.vault.open(&held)?;
            let is_kept = finding
                .fields
                .as_ref()
                .is_ok_and(|fields| fields.secrets.iter().all(|(name, value)| kept.secret(name) == Some(value)));
            fate.originals = if is_kept {
                let own = finding.fields.as_ref().ok();
                let remove = |spot| own.map(|fields| cut::remove(spot, fields));
                finding.spots.iter().filter_map(remove).collect()
            } else {
                return Err(VaultError::DoesNotOpen { name: held.name });
            };
        }
        Ok(fate)
    }

    fn store(&self, finding: &Finding, fields: Fields) -> Result<Metadata, VaultError> {
        let name = free_name(self.vault, &finding.name, None)?;
        self.vault.put(New { expires: finding.expires, verdict: finding.verdict.clone(), ..New::named(&name, fields) })
    }

    /// The credential in the vault with the same secrets. The vault is opened for an import in any case.
    fn held(&self, fields: &Fields) -> Result<Option<Metadata>, VaultError> {
        let mut alike = Vec::new();
        self.vault.each(&mut |metadata| {
            let may_be = metadata.kind.id == fields.kind.id
                && metadata.secret_names.len() >= fields.secrets.len()
                && fields.plain.iter().all(|(name, value)| metadata.field(name).is_none_or(|held| held == value));
            if may_be {
                alike.push(metadata);
            }
        })?;
        for metadata in alike {
            let held = self.vault.open(&metadata)?;
            if fields.secrets.iter().all(|(name, value)| held.secret(name) == Some(value)) {
                return Ok(Some(metadata));
            }
        }
        Ok(None)
    }
}

/// Whether a finding is one to be imported: complete, and neither refused nor over.
pub(super) fn is_wanted(finding: &Finding, now: DateTime<Utc>) -> bool {
    finding.is_importable() && !matches!(finding.life(now), Life::Invalid | Life::Expired)
}

/// Why a finding is not imported.
fn why_not(finding: &Finding, now: DateTime<Utc>) -> String {
    match (&finding.fields, finding.life(now)) {
        (Err(problem), _) if finding.missing.is_empty() => problem.clone(),
        (Err(_), _) => format!("lacks {}", finding.missing.join(", ")),
        (Ok(_), Life::Expired) => "its time is over".into(),
        (Ok(_), _) => {
            let reason = finding.verdict.as_ref().and_then(|verdict| verdict.reason.clone());
            reason.unwrap_or_else(|| "its provider refuses it".into())
        }
    }
}

/// What the vault holds of it, as far as public halves tell.
pub(super) fn known(finding: &Finding, held: &[Metadata]) -> Fate {
    let fields = finding.fields.as_ref().ok();
    let is_same = |metadata: &&Metadata| {
        let Some(fields) = fields.filter(|fields| fields.kind.id == metadata.kind.id) else { return false };
        let mut halves =
            fields.plain.iter().filter(|(name, _)| fields.kind.class(name) == Class::Identifier).peekable();
        halves.peek().is_some() && halves.all(|(name, value)| metadata.field(name) == Some(value.as_str()))
    };
    Fate { held_as: held.iter().find(is_same).map(typed), ..Fate::default() }
}
