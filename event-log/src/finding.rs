//! What a check found, for people and for programs.

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// It works, and may not for long.
    Warning,
    /// It does not work, or commits are in danger.
    Failed,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was checked, in a word or two: `brokers`, `topic`.
    pub check: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What there is, or what is wrong.
    pub detail: String,
    /// How to mend it; absent where there is nothing to mend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, detail: detail.into(), mend: None }
    }

    /// Well for now.
    pub fn warning(
        check: impl Into<String>,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { check: check.into(), verdict: Verdict::Warning, detail: detail.into(), mend }
    }

    /// Not well.
    pub fn failed(
        check: impl Into<String>,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let mend = Some(mend.into());
        Self { check: check.into(), verdict: Verdict::Failed, detail: detail.into(), mend }
    }
}
