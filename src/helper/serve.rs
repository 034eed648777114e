//! From a question to its reply: find what is bound, make it usable, hand it over.

use crate::credential::{Check, Credential, Fields, Issued, Material, Metadata, Want};
use crate::error::{Code, Failure, Result};
use crate::helper::{Answer, Ask, Call, Helper, Keep, Reply};
use crate::os::Env;
use crate::provider::{self, Here, Net, ProviderError, Verdict};
use crate::secret::Secret;
use crate::vault::bound::{STORED_BY, bound, listed};
use crate::vault::session::{self, Doubt};
use crate::vault::{New, Vault, VaultError, free_name, usable};

/// What helpers are served with.
pub struct Desk<'d> {
    /// Where the credentials are.
    pub vault: &'d dyn Vault,
    /// The network and the clock, for what has to be made fresh.
    pub net: Net<'d>,
    /// The surroundings.
    pub env: &'d Env,
    /// Has a person sign in, where the tool's protocol and the surroundings allow it.
    pub sign_in: Option<&'d SignIn<'d>>,
}

/// Has a person sign in for what a tool asks for, where nothing is bound to it or where that sign-in is over. `None`
/// where no service is known for it, or nobody is there.
pub type SignIn<'d> = dyn Fn(&Want, Option<&Metadata>) -> Result<Option<Handed>> + 'd;

/// What is handed over.
pub struct Handed {
    /// The credential.
    pub metadata: Metadata,
    /// Its usable form.
    pub issued: Issued,
}

/// A reply, and the credential that was handed over, whose use is still to be noted.
pub struct Served {
    /// The reply.
    pub reply: Reply,
    /// What was handed over.
    pub used: Option<Metadata>,
}

/// Answers one question, which the helper has understood as `ask`.
pub fn serve(helper: &dyn Helper, call: &Call<'_>, ask: std::result::Result<Ask, Reply>, desk: &Desk<'_>) -> Served {
    let ask = match ask {
        Ok(ask) => ask,
        Err(reply) => return Served { reply, used: None },
    };
    let said = |answer: &Answer<'_>| Served { reply: helper.reply(call, answer), used: None };
    let outcome = match ask {
        Ask::Answered(reply) => return Served { reply, used: None },
        Ask::Get(want) => match get(&want, desk) {
            Ok(None) => return said(&Answer::Missing),
            Ok(Some(Handed { metadata, issued })) => {
                let reply = helper.reply(call, &Answer::Found(&metadata, &issued));
                return Served { reply, used: Some(metadata) };
            }
            Err(failure) => Err(failure),
        },
        Ask::Secret { want, field } => match secret(&want, field, desk) {
            Ok(found) => return handed(helper, call, found),
            Err(failure) => Err(failure.into()),
        },
        Ask::IdToken(want) => match id_token(&want, desk) {
            Ok(found) => return handed(helper, call, found),
            Err(failure) => Err(failure.into()),
        },
        Ask::List(kinds) => match listed(desk.vault, kinds) {
            Ok(all) => return said(&Answer::Listed(&all)),
            Err(failure) => Err(failure.into()),
        },
        Ask::Store(keep) => store(helper, keep, desk),
        Ask::Forget(want) => forget(helper, &want, desk),
        Ask::Refused { want, secret } => refused(&want, secret.as_ref(), desk),
    };
    match outcome {
        Ok(true) => said(&Answer::Done),
        Ok(false) => said(&Answer::Missing),
        Err(failure) => said(&Answer::Failed(&*failure)),
    }
}

/// The reply to what was found, or was not.
fn handed(helper: &dyn Helper, call: &Call<'_>, found: Option<(Metadata, Issued)>) -> Served {
    let Some((metadata, issued)) = found else {
        return Served { reply: helper.reply(call, &Answer::Missing), used: None };
    };
    let reply = helper.reply(call, &Answer::Found(&metadata, &issued));
    Served { reply, used: Some(metadata) }
}

/// A secret of the credential that is bound to what a tool asks for.
fn secret(want: &Want, field: &str, desk: &Desk<'_>) -> Result<Option<(Metadata, Issued)>, VaultError> {
    let Some(metadata) = bound(desk.vault, want)? else { return Ok(None) };
    let mut credential = desk.vault.open(&metadata)?;
    let secret = credential.secrets.remove(field);
    Ok(secret.map(|secret| (metadata, Issued::lasting(Material::Bearer(secret)))))
}

/// The ID token of the sign-in that is bound to what a tool asks for.
fn id_token(want: &Want, desk: &Desk<'_>) -> Result<Option<(Metadata, Issued)>, VaultError> {
    let Some(metadata) = bound(desk.vault, want)? else { return Ok(None) };
    let issued = session::id_token(desk.vault, &metadata, &desk.net)?;
    Ok(Some((metadata, issued)))
}

/// A credential in the form that a tool is given.
fn made(metadata: &Metadata, short: bool, desk: &Desk<'_>) -> std::result::Result<(Credential, Issued), VaultError> {
    let make = if short { usable::short } else { usable::usable };
    make(desk.vault, metadata, &desk.net)
}

/// What is bound to the question, in its usable form. Without it, or where its sign-in is over, a person may sign in.
fn get(want: &Want, desk: &Desk<'_>) -> Result<Option<Handed>> {
    let Some(found) = bound(desk.vault, want)? else {
        return desk.sign_in.map_or(Ok(None), |sign_in| sign_in(want, None));
    };
    let usable = made(&found, want.short, desk);
    let is_renewable = usable.as_ref().map_or_else(|failure| failure.code() != Code::SignedOut, |_| true);
    if let (true, Some(sign_in)) = (is_a_sign_in(&found) && (!is_renewable || is_over(&found)), desk.sign_in)
        && let Some(handed) = sign_in(want, Some(&found))?
    {
        return Ok(Some(handed));
    }
    let (credential, issued) = usable?;
    Ok(Some(Handed { metadata: credential.metadata, issued }))
}

fn is_a_sign_in(metadata: &Metadata) -> bool {
    metadata.kind.field(Credential::SESSION).is_some()
}

/// Whether a sign-in was ended, or its token refused while nothing renews it.
fn is_over(metadata: &Metadata) -> bool {
    metadata.check == Check::Invalid || !metadata.secret_names.contains(Credential::SESSION)
}

/// Keeps what a tool's user gave the tool. What lanyard's user stored is not touched.
fn store(helper: &dyn Helper, keep: Keep, desk: &Desk<'_>) -> Result<bool> {
    let Keep { provider, inputs, want, mut raw } = keep;
    let tag = format!("{STORED_BY}{}", helper.name());
    let provider = provider::by_name(provider).ok_or(VaultError::Foreign { name: provider.to_owned() })?;
    let kind = provider.complete(&mut raw, &Here { env: desk.env, given: &inputs })?;
    let fields = Fields::parse(kind, raw).map_err(ProviderError::from)?;
    let present = bound(desk.vault, &want)?;
    if let Some(present) = present.as_ref().filter(|present| !present.tags.contains(&tag)) {
        // The same secret again is no change; another one is not ours to put in its place.
        let (credential, _) = usable::usable(desk.vault, present, &desk.net)?;
        if fields.secrets.iter().all(|(name, secret)| credential.secret(name) == Some(secret)) {
            return Ok(true);
        }
        return Err(VaultError::Taken { name: present.name.clone() }.into());
    }
    // The usual name may belong to something else, such as the same host's credential for another tool.
    let name = free_name(desk.vault, &provider.default_name(&fields), Some(helper.name()))?;
    let mut new = New::named(&name, fields);
    if let Some(present) = &present {
        // The user's own words for it stay.
        new.tags.clone_from(&present.tags);
        new.note.clone_from(&present.note);
    }
    new.tags.insert(tag);
    new.replaces = present;
    Ok(desk.vault.put(new).map(|_| true)?)
}

/// Forgets what this tool stored here before. What lanyard's user stored stays.
fn forget(helper: &dyn Helper, want: &Want, desk: &Desk<'_>) -> Result<bool> {
    let Some(metadata) = bound(desk.vault, want)? else { return Ok(false) };
    if !metadata.tags.contains(&format!("{STORED_BY}{}", helper.name())) {
        return Err(VaultError::Managed { name: metadata.name }.into());
    }
    Ok(desk.vault.remove(&metadata)?)
}

/// Notes that a credential did not work, when it is the very one that was handed out.
fn refused(want: &Want, secret: Option<&Secret>, desk: &Desk<'_>) -> Result<bool> {
    let (Some(secret), Some(metadata)) = (secret, bound(desk.vault, want)?) else { return Ok(false) };
    if is_a_sign_in(&metadata) {
        match session::doubt(desk.vault, &metadata, secret, &desk.net)? {
            Doubt::Another | Doubt::New => return Ok(false),
            Doubt::Renews => return Ok(true),
            Doubt::Over => {}
        }
    } else if !usable::open_newest(desk.vault, &metadata)?.secrets.values().any(|own| own == secret) {
        return Ok(false);
    }
    let verdict = Verdict::invalid("the tool that used it was refused", "check it: `lanyard credentials test`");
    desk.vault.note_verdict(&metadata, &verdict, desk.net.now)?;
    Ok(true)
}
