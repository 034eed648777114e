//! What a provider said of a credential when it was last asked, as the vault remembers it.

/// The part of a verdict that stays true until the provider says otherwise. A time-out changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It was never asked, or cannot be asked.
    Never,
    /// It accepted the credential.
    Valid,
    /// It knows the credential and does not let it see what was asked for.
    Insufficient,
    /// It refused the credential.
    Invalid,
    /// It said that the credential's time is over.
    Expired,
}

impl Check {
    const ALL: [Self; 5] = [Self::Never, Self::Valid, Self::Insufficient, Self::Invalid, Self::Expired];

    /// The word that the vault keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Valid => "valid",
            Self::Insufficient => "insufficient",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
        }
    }

    /// The check of that word; an unknown word is as good as none.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|check| check.word() == word).unwrap_or(Self::Never)
    }
}
