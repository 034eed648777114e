//! Variables of no known provider: whether a name says that its value is secret, and whether a value is one.

/// Words that make a name one of a secret, each of them whole: `TOKEN` in `DEPLOY_TOKEN`, not in `TOKENIZER`.
const SECRET_WORDS: [&str; 19] = [
    "TOKEN",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "PAT",
    "APIKEY",
    "APITOKEN",
    "AUTHTOKEN",
    "ACCESSKEY",
    "SECRETKEY",
    "PRIVATEKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "DSN",
    "AUTH",
];
/// What stands before `KEY` where it is a secret one.
const SECRET_KEYS: [&str; 12] = [
    "API",
    "ACCESS",
    "SECRET",
    "PRIVATE",
    "ENCRYPTION",
    "SIGNING",
    "MASTER",
    "SERVICE",
    "AUTH",
    "APP",
    "HMAC",
    "DEPLOY",
];
/// Words that say that the value is something about a secret, or none.
const HARMLESS_WORDS: [&str; 38] = [
    "PUBLIC",
    "PUBLISHABLE",
    "ID",
    "NAME",
    "FILE",
    "PATH",
    "DIR",
    "TYPE",
    "METHOD",
    "HEADER",
    "PREFIX",
    "TTL",
    "EXPIRES",
    "EXPIRY",
    "EXPIRATION",
    "LENGTH",
    "SIZE",
    "COUNT",
    "LIMIT",
    "TIMEOUT",
    "ENABLED",
    "DISABLED",
    "REGION",
    "HOST",
    "PORT",
    "USER",
    "USERNAME",
    "EMAIL",
    "ALGORITHM",
    "ALG",
    "SOCK",
    "ENDPOINT",
    "ISSUER",
    "AUDIENCE",
    "SCOPE",
    "SCOPES",
    "PROVIDER",
    "VERSION",
];
/// What stands in for a value that is still to come.
const PLACEHOLDERS: [&str; 27] = [
    "changeme",
    "change-me",
    "change_me",
    "changethis",
    "change-this",
    "example",
    "placeholder",
    "your-",
    "your_",
    "yourtoken",
    "yoursecret",
    "yourpassword",
    "replaceme",
    "replace-",
    "replace_",
    "insert",
    "dummy",
    "sample",
    "redacted",
    "xxxx",
    "todo",
    "fixme",
    "not-a-",
    "notasecret",
    "****",
    "none",
    "undefined",
];
/// The shortest value that is taken for a secret, in bytes.
const SHORTEST: usize = 8;
/// A value of less information than this, in bits, is a word and no secret.
const LEAST_BITS: f64 = 22.0;

/// Whether a value under this name and of this form is a secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    if is_placeholder(value) || looks_like_a_path(value) {
        return false;
    }
    if let Some(password) = password_in_url(value) {
        return !is_placeholder(password) && password.len() >= 4 && !is_usual_word(password);
    }
    !value.contains("://") && names_a_secret(name) && is_rich(value)
}

/// Whether the name says that the value is a secret.
fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if ["PWD", "OLDPWD"].contains(&name.as_str()) {
        return false;
    }
    let words: Vec<&str> = name.split(['_', '-', '.']).filter(|word| !word.is_empty()).collect();
    let is_harmless = words.last().is_some_and(|last| HARMLESS_WORDS.contains(last))
        || words.iter().any(|word| ["PUBLIC", "PUBLISHABLE"].contains(word));
    if is_harmless {
        return false;
    }
    words.iter().any(|word| SECRET_WORDS.contains(word))
        || words.windows(2).any(|pair| matches!(pair, [first, "KEY"] if SECRET_KEYS.contains(first)))
}

/// Whether a value says that it is still to be put in, or is taken from elsewhere.
pub(super) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let is_reference = ["${", "$(", "{{", "<", "[", "op://", "vault:", "ref+", "ssm:", "arn:aws:secretsmanager:"]
        .iter()
        .any(|start| lower.starts_with(start))
        || (value.starts_with('$') && value.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let is_named = PLACEHOLDERS.iter().any(|word| lower.starts_with(word) || (word.len() > 5 && lower.contains(word)));
    let is_run = value.bytes().collect::<std::collections::BTreeSet<_>>().len() < 4;
    let has_gap = lower.contains("xxxxx") || lower.contains("*****") || lower.contains(".....");
    is_reference || is_named || is_run || has_gap
}

fn looks_like_a_path(value: &str) -> bool {
    let is_rooted = ["/", "./", "../", "~/", "file://", "C:\\"].iter().any(|start| value.starts_with(start));
    // A slash in front alone may begin a secret in base64.
    is_rooted
        && (value.matches('/').count() > 1 || value.contains(['.', '~']) || value.len() < 16)
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-: \\".contains(&byte))
}

/// The password in an address such as `postgres://user:password@host/db`.
fn password_in_url(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, _) = authority.rsplit_once('@')?;
    let (_, password) = user_info.split_once(':')?;
    (!password.is_empty()).then_some(password)
}

/// Passwords that everybody's own database on their own machine has.
fn is_usual_word(password: &str) -> bool {
    ["password", "postgres", "root", "admin", "mysql", "redis", "guest", "secret", "test", "user", "rabbitmq", "minio"]
        .contains(&password.to_ascii_lowercase().as_str())
}

/// Whether a value holds enough to be a secret rather than a word or a number.
fn is_rich(value: &str) -> bool {
    if value.len() < SHORTEST || value.contains(char::is_whitespace) && value.split_whitespace().count() > 6 {
        return false;
    }
    let has_only = |allowed: fn(&u8) -> bool| value.bytes().all(|byte| allowed(&byte));
    let is_number = has_only(|byte| byte.is_ascii_digit() || b".,:-+ ".contains(byte));
    let is_word = has_only(|byte| byte.is_ascii_lowercase() || *byte == b'_') && value.len() < 16;
    !is_number && !is_word && !is_usual_word(value) && bits(value) >= LEAST_BITS
}

/// The information in a value, in bits, as far as the frequencies of its bytes tell (Shannon).
fn bits(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| -f64::from(*count) * (f64::from(*count) / length).log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_told_from_settings_and_placeholders() {
        for (name, value) in [
            ("DEPLOY_TOKEN", "a8f5f167f44f4964e6c998dee827110c"),
            ("db_password", "hunter2-Horse"),
            ("SMTP_PASS", "Tr0ub4dor&3"),
            ("STRIPE_API_KEY", "rk_9aKd83jfHs72"),
            ("JWT_SECRET", "wJalrXUtnFEMIK7MDENGbPxRfiCY"),
            ("DATABASE_URL", "postgres://app:s3cr3tpw@db.internal:5432/app"),
            ("CELERY_BROKER", "amqp://svc:Zx81-99@mq/vhost"),
            ("SECRET_KEY", "/aB3dEfGh1JkLmN0pQrStUvWxYz012345678901"),
            ("X_CLIENT_SECRET", "correct horse battery staple"),
        ] {
            assert!(is_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("DEPLOY_TOKEN", "changeme"),
            ("DEPLOY_TOKEN", "<your token here>"),
            ("DEPLOY_TOKEN", "${OTHER_TOKEN}"),
            ("DEPLOY_TOKEN", "$OTHER_TOKEN"),
            ("DEPLOY_TOKEN", "xxxxxxxxxxxxxxxx"),
            ("DEPLOY_TOKEN", "your-token-goes-here"),
            ("DEPLOY_TOKEN", "ghp_xxxxxxxxxxxxxxxxxxxxxxxx"),
            ("DEPLOY_TOKEN", "op://vault/item/field"),
            ("DEPLOY_TOKEN", "short"),
            ("TOKEN_TTL", "3600000000000000"),
            ("TOKEN", "12345678901234"),
            ("AUTH_METHOD", "a8f5f167f44f4964e6c998dee827110c"),
            ("PASSWORD_FILE", "/run/secrets/db"),
            ("PASSWORD", "/run/secrets/db_password"),
            ("NEXT_PUBLIC_API_KEY", "a8f5f167f44f4964e6c998dee827110c"),
            ("AWS_ACCESS_KEY_ID", "a8f5f167f44f4964e6c998dee827110c"),
            ("PWD", "/home/user/a8f5f167"),
            ("TOKENIZER", "a8f5f167f44f4964e6c998dee827110c"),
            ("COMMIT", "a8f5f167f44f4964e6c998dee827110c"),
            ("DATABASE_URL", "postgres://postgres:postgres@localhost/app"),
            ("DATABASE_URL", "postgres://localhost/app"),
            ("SSH_AUTH_SOCK", "/tmp/ssh-XXXX/agent.1"),
            ("AUTH_URL", "https://id.example.com/authorize"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(name in any::<String>(), value in any::<String>()) {
            is_secret(&name, &value);
        }

        #[test]
        fn a_random_token_is_a_secret(value in "[A-Za-z0-9]{32}") {
            prop_assume!(!is_placeholder(&value));
            prop_assert!(is_secret("MY_TOKEN", &value) || bits(&value) < LEAST_BITS || value.bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
