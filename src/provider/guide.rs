//! How a person is led to the values that are missing.

/// What somebody who is asked for values should know, and how they are asked for.
#[derive(Debug, Default)]
pub struct Guide {
    /// What is said before the first question: what the system wants, and where that is made.
    pub hint: Option<String>,
    /// A field that lies in a file as a rule, with the question for that file. It is asked for before the others, which
    /// may follow from it.
    pub file: Option<(&'static str, &'static str)>,
    /// The kinds of the credentials that it can be made through: those that are stored are offered for the field
    /// `source`.
    pub sources: &'static [&'static str],
}
