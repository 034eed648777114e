//! By what tokens of git hosts are recognised in any text. Lengths are those that the hosts have given so far.

use crate::provider::Mark;

const fn mark(service: &'static str, keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "git", field: "token", service, keyword, pattern }
}

/// The marks of all hosts. A host of one's own may have chosen a prefix of its own, which cannot be known.
pub(super) static MARKS: [Mark; 15] = [
    mark("github", "ghp_", r"\b(ghp_[A-Za-z0-9]{36,255})\b"),
    mark("github", "gho_", r"\b(gho_[A-Za-z0-9]{36,255})\b"),
    mark("github", "ghu_", r"\b(ghu_[A-Za-z0-9]{36,255})\b"),
    mark("github", "ghs_", r"\b(ghs_[A-Za-z0-9]{36,255})\b"),
    mark("github", "ghs_", r"\b(ghs_[0-9]+_eyJ[A-Za-z0-9_-]*\.eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+)"),
    mark("github", "github_pat_", r"\b(github_pat_[A-Za-z0-9_]{82,255})\b"),
    mark("gitlab", "glpat-", r"\b(glpat-[A-Za-z0-9_-]{20})(?:[^A-Za-z0-9_.-]|$)"),
    mark("gitlab", "glpat-", r"\b(glpat-[A-Za-z0-9_-]{27,300}(?:\.[0-9a-z]{2})?\.[0-9a-z]{9})\b"),
    mark("gitlab", "gldt-", r"\b(gldt-[A-Za-z0-9_-]{20,})"),
    mark("gitlab", "glcbt-", r"\b(glcbt-[A-Za-z0-9_.-]{20,})"),
    mark("bitbucket", "ATATT", r"\b(ATATT[A-Za-z0-9_=-]{80,300})"),
    mark("bitbucket", "ATCTT", r"\b(ATCTT[A-Za-z0-9_=-]{80,300})"),
    mark("bitbucket", "ATBB", r"\b(ATBB[A-Za-z0-9]{28,40})\b"),
    mark("azure", "AZDO", r"\b([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})\b"),
    mark("gitea", "GITEA_TOKEN", r#"\bGITEA_TOKEN["']?\s*[:=]\s*["']?([a-f0-9]{40})\b"#),
];
