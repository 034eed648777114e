//! What a change was of, as its entry tells it.

/// The names of the fields that are others now than they were, and none of their values; what a change left all as it was
/// says so.
pub(crate) fn changed(fields: &[(&str, bool)]) -> String {
    let names: Vec<&str> = fields.iter().filter(|(_, is_other)| *is_other).map(|(name, _)| *name).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_the_names_of_what_is_another() {
        assert_eq!(changed(&[("name", true), ("url", false), ("tags", true)]), "name, tags");
        assert_eq!(changed(&[("name", false)]), "nothing");
    }
}
