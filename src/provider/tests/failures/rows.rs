//! How each system refuses, ends and restricts a credential, in its own words.

use super::{Row, Said};

mod services;

/// Ways of asking in which the end of a credential is told like any other refusal, or has no end at all.
pub(super) const TELLS_NO_END: [&str; 21] = [
    "Google service account",
    "Hetzner Cloud",
    "Verda's token",
    "Kubernetes",
    "EKS",
    "GKE",
    "registry with a password",
    "registry with tokens",
    "Azure's registry",
    "Azure's registry, past its token server",
    "Docker Hub",
    "GitHub's packages",
    "Artifactory",
    "Harbor",
    "Helm repository",
    "Artifact Registry",
    "GitHub",
    "Bitbucket",
    "Gitea",
    "Azure DevOps",
    "git itself",
];
/// Ways of asking that need no permission, or where the question about one comes after the proof.
pub(super) const KNOWS_NO_LIMITS: [&str; 9] = [
    "Google service account",
    "Google sign-in",
    "Google API key",
    "Kubernetes, past its end",
    "registry with tokens",
    "registry with a token of its own",
    "Azure's registry",
    "Azure's registry with a token of its own",
    "Artifactory",
];

/// A token whose claims say that it ended long ago.
const JWT_ENDED: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwiZXhwIjoxMDAwfQ.c2ln";
/// A kubeconfig with such a token.
const ENDED: &str = "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
    clusters: [{name: dev, cluster: {server: 'https://dev.example.com:6443'}}]\n\
    contexts: [{name: dev, context: {cluster: dev, user: dev}}]\n\
    users: [{name: dev, user: {token: eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwiZXhwIjoxMDAwfQ.c2ln}}]\n";

const NO_ROW: Row = Row {
    name: "",
    kind: "",
    fields: &[],
    dated: false,
    ends: false,
    formless: false,
    before: &[],
    invalid: (401, &[], ""),
    expired: None,
    insufficient: None,
    limited: &[],
};

const UNAUTHORIZED: Said = (401, &[], r#"{"message":"Bad credentials","error":"unauthorized"}"#);
const FORBIDDEN: Said = (403, &[], r#"{"message":"no","error":"forbidden"}"#);
const BASIC: Said = (401, &[("www-authenticate", "Basic realm=r")], "");
const BEARER: Said = (401, &[("www-authenticate", r#"Bearer realm="https://r.example/token",service="r""#)], "");

const AZURE: Said = (
    401,
    &[("www-authenticate", r#"Bearer realm="https://corp.azurecr.io/oauth2/token",service="corp.azurecr.io""#)],
    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
);

/// Every row.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(services::ROWS)
}

const ROWS: &[Row] = &[
    Row {
        name: "AWS keys",
        kind: "aws_static",
        invalid: (403, &[], "<E><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></E>"),
        expired: Some((403, &[], "<E><Error><Code>ExpiredToken</Code><Message>no</Message></Error></E>")),
        insufficient: Some((403, &[], "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>")),
        limited: &[(400, &[], "<E><Error><Code>Throttling</Code><Message>no</Message></Error></E>")],
        ..NO_ROW
    },
    Row {
        name: "AWS role",
        kind: "aws_assume_role",
        invalid: (403, &[], "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>"),
        expired: Some((403, &[], "<E><Error><Code>ExpiredToken</Code><Message>no</Message></Error></E>")),
        insufficient: Some((403, &[], "<E><Error><Code>OptInRequired</Code><Message>no</Message></Error></E>")),
        limited: &[(400, &[], "<E><Error><Code>RequestLimitExceeded</Code><Message>no</Message></Error></E>")],
        ..NO_ROW
    },
    Row {
        name: "Google service account",
        kind: "gcp_service_account",
        invalid: (400, &[], r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#),
        limited: &[(403, &[], r#"{"error":"rate_limit_exceeded"}"#)],
        ..NO_ROW
    },
    Row {
        name: "Google sign-in",
        kind: "gcp_authorized_user",
        invalid: (400, &[], r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#),
        expired: Some((400, &[], r#"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#)),
        limited: &[(403, &[], r#"{"error":"slow_down"}"#)],
        ..NO_ROW
    },
    Row {
        name: "Google API key",
        kind: "gcp_api_key",
        invalid: (
            400,
            &[],
            r#"{"error":{"status":"INVALID_ARGUMENT","message":"no","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        ),
        expired: Some((
            400,
            &[],
            r#"{"error":{"status":"INVALID_ARGUMENT","message":"API key expired.","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        )),
        ..NO_ROW
    },
    Row {
        name: "Cloudflare",
        kind: "cloudflare_api_token",
        dated: true,
        invalid: (401, &[], r#"{"success":false,"errors":[{"code":1000,"message":"no"}],"result":null}"#),
        expired: Some((200, &[], r#"{"success":true,"errors":[],"result":{"id":"a","status":"expired"}}"#)),
        insufficient: Some((403, &[], r#"{"success":false,"errors":[{"code":9109,"message":"no"}],"result":null}"#)),
        limited: &[(403, &[], r#"{"success":false,"errors":[{"code":971,"message":"no"}],"result":null}"#)],
        ..NO_ROW
    },
    Row {
        name: "Hetzner Cloud",
        kind: "hetzner_api_token",
        invalid: (401, &[], r#"{"error":{"code":"unauthorized","message":"no"}}"#),
        insufficient: Some((403, &[], r#"{"error":{"code":"forbidden","message":"no"}}"#)),
        ..NO_ROW
    },
    Row {
        name: "Vercel",
        kind: "vercel_api_token",
        dated: true,
        invalid: (403, &[], r#"{"error":{"code":"forbidden","invalidToken":true}}"#),
        insufficient: Some((403, &[], r#"{"error":{"code":"forbidden"}}"#)),
        ..NO_ROW
    },
    Row {
        name: "Verda's token",
        kind: "verda_oauth_client",
        invalid: (401, &[], r#"{"code":"unauthorized_request","message":"no"}"#),
        insufficient: Some((403, &[], r#"{"code":"forbidden","message":"no"}"#)),
        ..NO_ROW
    },
    Row {
        name: "OVHcloud's clock",
        kind: "ovh_api",
        dated: true,
        invalid: (403, &[], r#"{"errorCode":"INVALID_KEY"}"#),
        insufficient: Some((403, &[], r#"{"errorCode":"FORBIDDEN"}"#)),
        ..NO_ROW
    },
    Row {
        name: "OVHcloud",
        kind: "ovh_api",
        dated: true,
        before: &[(200, &[], "1800000000")],
        invalid: (403, &[], r#"{"errorCode":"INVALID_CREDENTIAL"}"#),
        expired: Some((200, &[], r#"{"credentialId":1,"applicationId":2,"status":"expired"}"#)),
        insufficient: Some((403, &[], r#"{"errorCode":"NOT_GRANTED_CALL"}"#)),
        ..NO_ROW
    },
    Row {
        name: "Kubernetes",
        kind: "kubeconfig",
        invalid: (401, &[], r#"{"kind":"Status","reason":"Unauthorized"}"#),
        insufficient: Some((
            403,
            &[],
            r#"{"kind":"Status","reason":"Forbidden","message":"User \"bob\" cannot do it"}"#,
        )),
        ..NO_ROW
    },
    Row {
        name: "Kubernetes, past its end",
        kind: "kubeconfig",
        fields: &[("kubeconfig", ENDED)],
        invalid: (
            403,
            &[],
            r#"{"kind":"Status","reason":"Forbidden","message":"User \"system:anonymous\" cannot do it"}"#,
        ),
        ends: true,
        ..NO_ROW
    },
    Row {
        name: "EKS",
        kind: "kubeconfig_eks",
        invalid: (401, &[], r#"{"kind":"Status","reason":"Unauthorized"}"#),
        insufficient: Some((
            403,
            &[],
            r#"{"kind":"Status","reason":"Forbidden","message":"User \"bob\" cannot do it"}"#,
        )),
        ..NO_ROW
    },
    Row {
        name: "GKE",
        kind: "kubeconfig_gke",
        invalid: (401, &[], r#"{"kind":"Status","reason":"Unauthorized"}"#),
        insufficient: Some((
            403,
            &[],
            r#"{"kind":"Status","reason":"Forbidden","message":"User \"bob\" cannot do it"}"#,
        )),
        ..NO_ROW
    },
    Row {
        name: "registry with a password",
        kind: "registry",
        fields: &[("url", "https://r.example"), ("flavour", "oci")],
        before: &[BASIC],
        invalid: (401, &[("www-authenticate", "Basic realm=r")], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"code":"DENIED"}]}"#)),
        ..NO_ROW
    },
    Row {
        name: "registry with tokens",
        kind: "registry",
        fields: &[("url", "https://r.example"), ("flavour", "oci")],
        before: &[BEARER],
        invalid: (401, &[], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        ..NO_ROW
    },
    Row {
        name: "registry with a token of its own",
        kind: "registry",
        fields: &[("url", "https://r.example"), ("flavour", "oci"), ("username", "<token>"), ("password", JWT_ENDED)],
        before: &[BEARER],
        invalid: (400, &[], r#"{"error":"invalid_grant"}"#),
        ends: true,
        ..NO_ROW
    },
    Row {
        name: "Azure's registry",
        kind: "registry",
        fields: &[("url", "https://corp.azurecr.io"), ("flavour", "acr")],
        before: &[AZURE],
        invalid: (401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#),
        ..NO_ROW
    },
    Row {
        name: "Azure's registry, past its token server",
        kind: "registry",
        fields: &[("url", "https://corp.azurecr.io"), ("flavour", "acr")],
        before: &[AZURE, (200, &[], r#"{"access_token":"x"}"#)],
        invalid: (0, &[], ""),
        insufficient: Some((403, &[], r#"{"errors":[{"code":"DENIED","message":"no"}]}"#)),
        ..NO_ROW
    },
    Row {
        name: "Azure's registry with a token of its own",
        kind: "registry",
        fields: &[
            ("url", "https://corp.azurecr.io"),
            ("flavour", "acr"),
            ("username", "00000000-0000-0000-0000-000000000000"),
            ("password", JWT_ENDED),
        ],
        before: &[AZURE],
        invalid: (401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#),
        ends: true,
        ..NO_ROW
    },
    Row {
        name: "Docker Hub",
        kind: "registry",
        fields: &[("url", "https://docker.io"), ("flavour", "dockerhub")],
        invalid: (401, &[], r#"{"detail":"Incorrect authentication credentials"}"#),
        insufficient: Some((401, &[], r#"{"detail":"Require secondary authentication","login_2fa_token":"x"}"#)),
        ..NO_ROW
    },
    Row {
        name: "GitHub's packages",
        kind: "registry",
        fields: &[("url", "https://ghcr.io"), ("flavour", "ghcr")],
        invalid: UNAUTHORIZED,
        insufficient: Some((200, &[("x-oauth-scopes", "repo")], r#"{"login":"octocat"}"#)),
        limited: &[(403, &[("x-ratelimit-remaining", "0")], r#"{"message":"no"}"#)],
        ..NO_ROW
    },
    Row {
        name: "Artifactory",
        kind: "registry",
        fields: &[("url", "https://corp.jfrog.io"), ("flavour", "jfrog")],
        before: &[BASIC],
        invalid: (
            401,
            &[("www-authenticate", "Basic realm=a")],
            r#"{"errors":[{"status":401,"message":"Bad credentials"}]}"#,
        ),
        ..NO_ROW
    },
    Row {
        name: "Harbor",
        kind: "registry",
        fields: &[("url", "https://h.example"), ("flavour", "harbor")],
        before: &[(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#), BASIC],
        invalid: (401, &[("www-authenticate", "Basic realm=h")], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"code":"DENIED"}]}"#)),
        ..NO_ROW
    },
    Row {
        name: "Helm repository",
        kind: "registry",
        fields: &[("url", "https://charts.example/stable"), ("flavour", "helm")],
        before: &[BASIC],
        invalid: BASIC,
        insufficient: Some((403, &[], "")),
        ..NO_ROW
    },
    Row {
        name: "ECR's password",
        kind: "registry_ecr",
        invalid: (400, &[], r#"{"__type":"UnrecognizedClientException","message":"no"}"#),
        expired: Some((400, &[], r#"{"__type":"ExpiredTokenException","message":"no"}"#)),
        insufficient: Some((400, &[], r#"{"__type":"AccessDeniedException","message":"no"}"#)),
        limited: &[(400, &[], r#"{"__type":"ThrottlingException","message":"no"}"#)],
        ..NO_ROW
    },
    Row {
        name: "Artifact Registry",
        kind: "registry_gar",
        before: &[BASIC],
        invalid: (401, &[("www-authenticate", "Basic realm=r")], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        insufficient: Some((403, &[], r#"{"errors":[{"code":"DENIED"}]}"#)),
        ..NO_ROW
    },
    Row {
        name: "GitHub",
        kind: "git",
        fields: &[("host", "github.com"), ("service", "github")],
        invalid: UNAUTHORIZED,
        insufficient: Some(FORBIDDEN),
        limited: &[(403, &[("x-ratelimit-remaining", "0")], r#"{"message":"no"}"#)],
        ..NO_ROW
    },
    Row {
        name: "GitLab",
        kind: "git",
        fields: &[("host", "gitlab.com"), ("service", "gitlab"), ("token", "glpat-LNYCANARY0123456789abcdef")],
        invalid: (401, &[], r#"{"message":"401 Unauthorized"}"#),
        expired: Some((401, &[], r#"{"error":"invalid_token","error_description":"Token is expired."}"#)),
        insufficient: Some((403, &[], r#"{"error":"insufficient_scope"}"#)),
        ..NO_ROW
    },
    Row {
        name: "Bitbucket",
        kind: "git",
        fields: &[("host", "bitbucket.org"), ("service", "bitbucket"), ("username", "alice@example.com")],
        invalid: (401, &[("www-authenticate", "Basic realm=b")], ""),
        insufficient: Some((403, &[], r#"{"type":"error","error":{"message":"no"}}"#)),
        ..NO_ROW
    },
    Row {
        name: "Gitea",
        kind: "git",
        fields: &[("host", "codeberg.org"), ("service", "gitea")],
        invalid: UNAUTHORIZED,
        insufficient: Some(FORBIDDEN),
        ..NO_ROW
    },
    Row {
        name: "Azure DevOps",
        kind: "git",
        fields: &[("host", "dev.azure.com"), ("service", "azure"), ("repository", "team/shop/_git/app")],
        before: &[(401, &[("www-authenticate", r#"Basic realm="https://tfsproduks1.visualstudio.com/""#)], "")],
        invalid: (401, &[("www-authenticate", r#"Basic realm="https://tfsproduks1.visualstudio.com/""#)], ""),
        insufficient: Some((403, &[], "")),
        ..NO_ROW
    },
    Row {
        name: "git itself",
        kind: "git",
        fields: &[("host", "git.example"), ("service", "other"), ("repository", "team/private.git")],
        before: &[BASIC],
        invalid: BASIC,
        insufficient: Some((403, &[], "")),
        ..NO_ROW
    },
    Row {
        name: "a service that one signs in to",
        kind: "oauth",
        fields: &[
            ("service", "corp"),
            ("whoami", "https://api.example.com/me"),
            ("endpoint", "https://api.example.com"),
        ],
        invalid: (0, &[], ""),
        expired: Some(UNAUTHORIZED),
        insufficient: Some(FORBIDDEN),
        ..NO_ROW
    },
];
