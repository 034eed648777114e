//! By what the keys are recognised in any text. Lengths are those that the services have given so far.

use crate::provider::Mark;

const fn mark(service: &'static str, keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "api_key", field: "api_key", service, keyword, pattern }
}

/// The marks of all services.
pub(super) static MARKS: [Mark; 22] = [
    mark("openai", "T3BlbkFJ", r"\b(sk-(?:[a-z]{3,10}-)?[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,})"),
    mark("anthropic", "sk-ant-", r"\b(sk-ant-(?:api|admin)[0-9]{2}-[A-Za-z0-9_-]{93}AA)\b"),
    mark("anthropic", "sk-ant-oat", r"\b(sk-ant-oat[0-9]{2}-[A-Za-z0-9_-]{80,})"),
    mark("stripe", "sk_live_", r"\b(sk_live_[A-Za-z0-9]{16,247})\b"),
    mark("stripe", "sk_test_", r"\b(sk_test_[A-Za-z0-9]{16,247})\b"),
    mark("stripe", "rk_live_", r"\b(rk_live_[A-Za-z0-9]{16,247})\b"),
    mark("stripe", "rk_test_", r"\b(rk_test_[A-Za-z0-9]{16,247})\b"),
    mark("linear", "lin_api_", r"\b(lin_api_[A-Za-z0-9]{40})\b"),
    mark("linear", "lin_oauth_", r"\b(lin_oauth_[A-Za-z0-9]{40,})\b"),
    mark("slack", "xoxb-", r"\b((?:xoxe\.)?xoxb-[A-Za-z0-9-]{20,})"),
    mark("slack", "xoxp-", r"\b((?:xoxe\.)?xoxp-[A-Za-z0-9-]{20,})"),
    mark("slack", "xapp-", r"\b(xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-f0-9]{20,})\b"),
    mark("slack", "xwfp-", r"\b(xwfp-[A-Za-z0-9-]{20,})"),
    mark("digitalocean", "dop_v1_", r"\b(dop_v1_[a-f0-9]{64})\b"),
    mark("digitalocean", "doo_v1_", r"\b(doo_v1_[a-f0-9]{64})\b"),
    mark("npm", "npm_", r"\b(npm_[A-Za-z0-9]{36})\b"),
    mark("pypi", "pypi-AgE", r"\b(pypi-AgE[A-Za-z0-9_-]{80,})"),
    mark("huggingface", "hf_", r"\b(hf_[A-Za-z0-9]{34})\b"),
    mark("huggingface", "api_org_", r"\b(api_org_[A-Za-z0-9]{34})\b"),
    mark("sendgrid", "SG.", r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"),
    // The form of a Discord token says too little without a name beside it.
    mark("discord", "DISCORD_", DISCORD),
    mark("discord", "discord_", DISCORD_SMALL),
];

const DISCORD: &str =
    r#"\bDISCORD_(?:BOT_)?TOKEN["']?\s*[:=]\s*["']?([A-Za-z0-9_-]{24,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})"#;
const DISCORD_SMALL: &str =
    r#"\bdiscord_(?:bot_)?token["']?\s*[:=]\s*["']?([A-Za-z0-9_-]{24,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})"#;
