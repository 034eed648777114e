//! Editing a JSON file of another program in place: what is not touched keeps its bytes, its order and its layout.

use std::ops::Range;

use crate::text::json::{Member, Value, read};

/// The text with the string `value` under `object`.`key` at the top level, both made if need be; `None` where the text
/// is no object, or `object` is something else.
pub(super) fn set(text: &str, object: &str, key: &str, value: &str) -> Option<String> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let whole = read(text)?;
    let top = whole.members()?;
    let quoted = quote(value);
    let indent = indent_of(text, top);
    let Some(outer) = member(top, object) else {
        let inner = format!("{{\n{indent}{indent}{}: {quoted}\n{indent}}}", quote(key));
        return Some(insert(text, &whole, top, &format!("{}: {inner}", quote(object)), &indent));
    };
    let inner = outer.value.members()?;
    if let Some(member) = member(inner, key) {
        return Some(replaced(text, member.value.range.clone(), &quoted));
    }
    Some(insert(text, &outer.value, inner, &format!("{}: {quoted}", quote(key)), &indent.repeat(2)))
}

/// The text without the members of `object` whose value is the string `value`, or with the values that they had in the
/// text `before`; without `object` when that leaves nothing in it and it was not there before. `None` where the text is no
/// object.
pub(super) fn without(text: &str, object: &str, value: &str, before: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some(text.to_owned());
    }
    read(text)?.members()?;
    let quoted = quote(value);
    let was_there = has(before, object);
    let mut rest = text.to_owned();
    loop {
        let step = || {
            let whole = read(&rest)?;
            let top = whole.members()?;
            let outer = top.iter().position(|member| *member.name == object)?;
            let inner = top.get(outer)?.value.members()?;
            let replaced_by_us = |member: &Member| raw(before, object, &member.name);
            let is_ours = |member: &Member| rest.get(member.value.range.clone()) == Some(&quoted);
            let ours = inner.iter().position(|member| is_ours(member) && replaced_by_us(member) != Some(&quoted))?;
            let member = inner.get(ours)?;
            if let Some(old) = replaced_by_us(member) {
                return Some(replaced(&rest, member.value.range.clone(), old));
            }
            if inner.len() == 1 && !was_there {
                return Some(removed(&rest, top, outer));
            }
            Some(removed(&rest, inner, ours))
        };
        match step() {
            Some(less) => rest = less,
            None => return Some(rest),
        }
    }
}

/// The string under `object`.`key`, as it stands in the text without its quotes.
pub(super) fn get<'t>(text: &'t str, object: &str, key: &str) -> Option<&'t str> {
    raw(text, object, key)?.strip_prefix('"')?.strip_suffix('"')
}

/// The value under `object`.`key`, letter by letter.
fn raw<'t>(text: &'t str, object: &str, key: &str) -> Option<&'t str> {
    let whole = read(text)?;
    let found = member(member(whole.members()?, object)?.value.members()?, key)?;
    text.get(found.value.range.clone())
}

/// Whether a text is an object with a member of that key.
pub(super) fn has(text: &str, key: &str) -> bool {
    read(text).is_some_and(|whole| whole.members().is_some_and(|top| member(top, key).is_some()))
}

fn member<'m>(members: &'m [Member], key: &str) -> Option<&'m Member> {
    members.iter().find(|member| *member.name == key)
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The blanks before the first member, two where there is none that tells.
fn indent_of(text: &str, top: &[Member]) -> String {
    let line = top.first().and_then(|first| text.get(..first.range.start)?.rsplit('\n').next());
    let indent = line.filter(|line| !line.is_empty() && line.bytes().all(|byte| byte == b' ' || byte == b'\t'));
    indent.unwrap_or("  ").to_owned()
}

/// The text with one more member, behind the last one of an object.
fn insert(text: &str, object: &Value, present: &[Member], member: &str, indent: &str) -> String {
    if let Some(last) = present.last() {
        return replaced(text, last.range.end..last.range.end, &format!(",\n{indent}{member}"));
    }
    let outer = indent.get(..indent.len() / 2).unwrap_or_default();
    let outer = if indent.len() > 2 || indent == "\t\t" { outer } else { "" };
    // All that is between its brackets is blanks.
    replaced(text, object.range.start + 1..object.range.end - 1, &format!("\n{indent}{member}\n{outer}"))
}

/// The text without a member, and without the comma that parted it from the others.
fn removed(text: &str, members: &[Member], at: usize) -> String {
    let range = match (at.checked_sub(1).and_then(|before| members.get(before)), members.get(at), members.get(at + 1)) {
        (Some(before), Some(member), _) => before.range.end..member.range.end,
        (None, Some(member), Some(after)) => member.range.start..after.range.start,
        // The only one: what is left is an empty object.
        (None, Some(member), None) => {
            let open = text.get(..member.range.start).map_or(0, |before| before.trim_end().len());
            open..end_of_blanks(text, member.range.end)
        }
        _ => return text.to_owned(),
    };
    replaced(text, range, "")
}

fn end_of_blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.len() - rest.trim_start().len()
}

fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    [before, by, after].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCKER: &str = "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {}\n\t},\n\t\"detachKeys\": \"a,}b\\\"\"\n}";

    #[test]
    fn a_member_is_put_in_and_the_rest_keeps_its_bytes() {
        let once = set(DOCKER, "credHelpers", "ghcr.io", "lanyard").unwrap();
        let expected = DOCKER.strip_suffix("\n}").unwrap().to_owned()
            + ",\n\t\"credHelpers\": {\n\t\t\"ghcr.io\": \"lanyard\"\n\t}\n}";
        assert_eq!(once, expected);
        let twice = set(&once, "credHelpers", "r.example:5000", "lanyard").unwrap();
        assert!(twice.contains("\t\t\"ghcr.io\": \"lanyard\",\n\t\t\"r.example:5000\": \"lanyard\"\n\t}"), "{twice}");
        assert_eq!(set(&twice, "credHelpers", "ghcr.io", "lanyard").unwrap(), twice);
        assert_eq!(without(&twice, "credHelpers", "lanyard", DOCKER).unwrap(), DOCKER);
        assert_eq!(get(&twice, "credHelpers", "ghcr.io"), Some("lanyard"));
    }

    #[test]
    fn what_belongs_to_others_stays() {
        let text = r#"{"credHelpers": {"a": "osxkeychain", "b": "lanyard", "c": "ecr-login"}, "x": [1, {"y": "}"}]}"#;
        let rest = without(text, "credHelpers", "lanyard", "").unwrap();
        assert_eq!(rest, r#"{"credHelpers": {"a": "osxkeychain", "c": "ecr-login"}, "x": [1, {"y": "}"}]}"#);
        assert_eq!(without("[1]", "credHelpers", "lanyard", ""), None);
        assert_eq!(without(" \n", "credHelpers", "lanyard", "").unwrap(), " \n");
        assert_eq!(set(text, "x", "k", "v"), None);
        assert_eq!(set("[1]", "x", "k", "v"), None);
        assert_eq!(set("{\"a\": 1} trailing", "x", "k", "v"), None);
        assert_eq!(set("", "o", "k", "v").unwrap(), "{\n  \"o\": {\n    \"k\": \"v\"\n  }\n}\n");
    }

    #[test]
    fn what_was_replaced_comes_back() {
        for theirs in [
            r#"{"credHelpers": {"a": "ecr-login", "b": "gcr"}}"#,
            r#"{"credHelpers": {"a": "lanyard"}}"#,
            r#"{"credHelpers": {}, "x": 1}"#,
            r#"{"credHelpers": {"a": null}}"#,
        ] {
            let ours = set(theirs, "credHelpers", "a", "lanyard").unwrap();
            let rest = without(&ours, "credHelpers", "lanyard", theirs).unwrap();
            let [rest, theirs] = [&rest, theirs].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
            assert_eq!(rest, theirs);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            "[a-z\\\\\"{}\\[\\],: ]{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-z\"}]{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_keeps_its_meaning(
            map in prop::collection::btree_map("[a-z\"}]{0,4}", json(), 0..4),
            pretty in any::<bool>(),
        ) {
            let value = serde_json::Value::Object(map.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let put = set(&text, "credHelpers", "h", "lanyard").unwrap();
            let read: serde_json::Value = serde_json::from_str(&put).unwrap();
            prop_assert_eq!(&read["credHelpers"]["h"], "lanyard");
            let back: serde_json::Value = serde_json::from_str(&without(&put, "credHelpers", "lanyard", &text).unwrap()).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
