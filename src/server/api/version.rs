//! The version of what has no revision of its own.

use sha2::{Digest, Sha256};

/// A version that is made of all that can be another: it is the same as long as each of these texts is.
pub(crate) fn version<'t>(texts: impl IntoIterator<Item = &'t str>) -> i64 {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(u64::try_from(text.len()).unwrap_or_default().to_be_bytes());
        hash.update(text);
    }
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    // The sign has no place in a tag.
    number & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_of_each_text_by_itself() {
        let one = version(["alice", "owner"]);
        assert_eq!(one, version(["alice", "owner"]));
        for other in [&["alice", "admin"][..], &["alic", "eowner"], &["owner", "alice"], &["aliceowner"], &[]] {
            assert_ne!(one, version(other.iter().copied()), "{other:?}");
        }
        assert!((0..64).all(|number: i32| version([number.to_string().as_str()]) >= 0));
    }
}
