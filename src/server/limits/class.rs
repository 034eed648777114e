//! What is asked, by what it costs.

use axum::http::Method;

/// What is asked, by what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whether the server lives.
    Free,
    /// Looking.
    Read,
    /// Changing something.
    Write,
    /// Whatever a guess can be made at.
    SignIn,
    /// The same where a passphrase is stretched.
    Passphrase,
    /// What asks others, or goes through a great deal.
    Costly,
}

impl Class {
    /// The class of a route.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let last = path.rsplit('/').next().unwrap_or_default();
        match path {
            "/healthz" => Self::Free,
            _ if ["verify", "export", "sync", "try", "disconnect", "refresh"].contains(&last) => Self::Costly,
            "/connect/callback" => Self::SignIn,
            _ if path.starts_with("/sign-in/back/") => Self::SignIn,
            _ if *method == Method::GET || *method == Method::HEAD => Self::Read,
            "/sign-in" | "/setup" | "/invite" | "/reset" | "/account/passphrase" | "/account/prove" => Self::Passphrase,
            // They ask an issuer, or the service that is to be connected.
            _ if path.starts_with("/account/prove/with/") || ["link", "connect"].contains(&last) => Self::Costly,
            "/token"
            | "/leaked-tokens"
            | "/authorize"
            | "/device"
            | "/device-authorization"
            | "/revoke"
            | "/introspect"
            | "/sign-in/code"
            | "/second-factor" => Self::SignIn,
            // By a passkey, or by an issuer.
            _ if path.starts_with("/sign-in/") => Self::SignIn,
            _ => Self::Write,
        }
    }

    /// Whether only so many do it at a time.
    pub(crate) fn has_turns(self) -> bool {
        matches!(self, Self::SignIn | Self::Passphrase | Self::Costly)
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Read => "read",
            Self::Write => "write",
            Self::SignIn => "sign-in",
            Self::Passphrase => "passphrase",
            Self::Costly => "costly",
        }
    }

    /// It has one part of the rate in so many.
    pub(super) fn share(self) -> u64 {
        match self {
            Self::Free | Self::Read => 1,
            Self::Write => 2,
            Self::Costly => 4,
            Self::SignIn | Self::Passphrase => 40,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_its_class() {
        for (method, path, class) in [
            ("GET", "/healthz", Class::Free),
            ("GET", "/readyz", Class::Read),
            ("GET", "/sign-in", Class::Read),
            ("POST", "/sign-in", Class::Passphrase),
            ("POST", "/token", Class::SignIn),
            ("DELETE", "/credential-configs/{id}", Class::Write),
            ("POST", "/credential-configs/{id}/verify", Class::Costly),
            ("GET", "/audit/export", Class::Costly),
            ("POST", "/credential-configs/{id}/refresh", Class::Costly),
            ("GET", "/connect/callback", Class::SignIn),
            ("GET", "/sign-in/back/{id}", Class::SignIn),
            ("POST", "/sign-in/with/{id}", Class::SignIn),
            ("POST", "/sign-in/passkey/answer", Class::SignIn),
            ("POST", "/account/prove", Class::Passphrase),
            ("POST", "/account/prove/with/{id}", Class::Costly),
            ("POST", "/account/upstreams/{id}/link", Class::Costly),
            ("POST", "/portal/{org}/credentials/{id}/connect", Class::Costly),
            ("PUT", "", Class::Write),
        ] {
            assert_eq!(Class::of(&method.parse().unwrap(), path), class, "{method} {path}");
        }
    }
}
