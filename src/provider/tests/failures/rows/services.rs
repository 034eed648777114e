//! Services with API keys.

use super::{FORBIDDEN, NO_ROW, UNAUTHORIZED};
use crate::provider::tests::failures::Row;

const OF_A_SERVICE: Row = Row { kind: "api_key", dated: true, ..NO_ROW };

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "OpenAI",
        fields: &[("service", "openai")],
        invalid: (401, &[], r#"{"error":{"code":"invalid_api_key","message":"no"}}"#),
        insufficient: Some((403, &[], r#"{"error":{"code":"x","message":"You have insufficient permissions."}}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "Anthropic",
        fields: &[("service", "anthropic")],
        invalid: (401, &[], r#"{"type":"error","error":{"type":"authentication_error"}}"#),
        insufficient: Some((403, &[], r#"{"type":"error","error":{"type":"permission_error"}}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "Stripe",
        fields: &[("service", "stripe")],
        invalid: (401, &[], r#"{"error":{"type":"invalid_request_error"}}"#),
        expired: Some((401, &[], r#"{"error":{"type":"invalid_request_error","code":"api_key_expired"}}"#)),
        insufficient: Some((403, &[], r#"{"error":{"type":"invalid_request_error"}}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "Linear",
        fields: &[("service", "linear")],
        invalid: (400, &[], r#"{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}"#)),
        limited: &[(400, &[], r#"{"errors":[{"extensions":{"code":"RATELIMITED"}}]}"#)],
        ..OF_A_SERVICE
    },
    Row {
        name: "Slack",
        fields: &[("service", "slack"), ("api_key", "xoxb-LNYCANARY0123456789abcdef")],
        invalid: (200, &[], r#"{"ok":false,"error":"invalid_auth"}"#),
        expired: Some((200, &[], r#"{"ok":false,"error":"token_expired"}"#)),
        insufficient: Some((200, &[], r#"{"ok":false,"error":"missing_scope"}"#)),
        limited: &[(200, &[], r#"{"ok":false,"error":"ratelimited"}"#)],
        ..OF_A_SERVICE
    },
    Row {
        name: "DigitalOcean",
        fields: &[("service", "digitalocean")],
        invalid: (401, &[], r#"{"id":"Unauthorized","message":"no"}"#),
        insufficient: Some((403, &[], r#"{"id":"Forbidden","message":"no"}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "npm",
        fields: &[("service", "npm")],
        invalid: UNAUTHORIZED,
        insufficient: Some(FORBIDDEN),
        ..OF_A_SERVICE
    },
    Row {
        name: "Hugging Face",
        fields: &[("service", "huggingface")],
        invalid: UNAUTHORIZED,
        insufficient: Some(FORBIDDEN),
        ..OF_A_SERVICE
    },
    Row {
        name: "SendGrid",
        fields: &[("service", "sendgrid")],
        invalid: (401, &[], r#"{"errors":[{"message":"authorization required"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"message":"access forbidden"}]}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "Discord",
        fields: &[("service", "discord")],
        invalid: (401, &[], r#"{"message":"401: Unauthorized","code":0}"#),
        insufficient: Some((403, &[], r#"{"message":"Missing Access","code":50001}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "cargo registry",
        fields: &[("service", "cargo"), ("index", "sparse+https://cargo.example.com/index/")],
        before: &[(401, &[("www-authenticate", r#"Cargo login_url="https://cargo.example.com/me""#)], "")],
        invalid: (401, &[], r#"{"errors":[{"detail":"authentication failed"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"detail":"this token may not do that"}]}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "HCP Terraform",
        fields: &[("service", "terraform")],
        invalid: (401, &[], r#"{"errors":[{"status":"401","title":"unauthorized"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"status":"403","title":"forbidden"}]}"#)),
        ..OF_A_SERVICE
    },
    Row {
        name: "a service of one's own",
        fields: &[("service", "corp"), ("endpoint", "https://api.example.com/me")],
        formless: true,
        before: &[UNAUTHORIZED],
        invalid: UNAUTHORIZED,
        insufficient: Some(FORBIDDEN),
        ..OF_A_SERVICE
    },
];
