//! The fields of a new account, and what is wrong with them.

use super::page::Text;
use crate::secret::Secret;
use crate::server::{passphrase, people};

/// A login and a passphrase that can be somebody's.
pub(super) struct Account {
    pub(super) login: String,
    pub(super) passphrase: Secret,
}

impl Account {
    /// What was typed, if it can be an account; else what is wrong with it.
    pub(super) fn check(login: &str, passphrase: Option<Secret>, again: Option<Secret>) -> Result<Self, &'static str> {
        let login = people::login(login)
            .ok_or("A login has letters, digits and . _ @ + - and begins with a letter or a digit.")?;
        let passphrase = passphrase.ok_or("The passphrase is missing.")?;
        if again.is_none_or(|again| again != passphrase) {
            return Err("The two passphrases differ.");
        }
        passphrase::check(&passphrase)?;
        Ok(Self { login, passphrase })
    }
}

/// The fields of a form.
pub(super) fn fields(login: &str) -> String {
    format!(
        "<label>Your login<small>An e-mail address or a name</small>\
         <input name=\"login\" required maxlength=\"128\" autocomplete=\"username\" autocapitalize=\"none\" \
         spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>Passphrase<small>12 characters at least; a few words are good</small>\
         <input name=\"passphrase\" type=\"password\" required minlength=\"12\" maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <label>The same again<input name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n",
        Text(login),
    )
}
