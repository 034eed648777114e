//! Small changes to a TOML document that keep the user's comments and order.

use toml_edit::{ArrayOfTables, Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, TableLike, Value};

use super::error::{At, ConfigError};
use super::schema;

/// Gives `key` a value, making the tables on the way; the place and the comments of an old value stay.
pub fn set(document: &mut DocumentMut, key: &[String], value: Value) -> Result<(), ConfigError> {
    let not_a_table = || ConfigError::WrongType {
        at: At::Argument,
        key: schema::join(&key[..key.len().saturating_sub(1)]),
        expected: "a table",
        found: "a value",
    };
    let heading = heading_of_empty(document);
    let Some((last, parents)) = key.split_last() else { return Ok(()) };
    let mut item = document.as_item_mut();
    for (depth, name) in parents.iter().enumerate() {
        item = child(item, name, depth + 1 < parents.len()).ok_or_else(not_a_table)?;
    }
    let table = item.as_table_like_mut().ok_or_else(not_a_table)?;
    if let Some(old) = table.get_mut(last).and_then(Item::as_value_mut) {
        let decor = old.decor().clone();
        *old = value;
        *old.decor_mut() = decor;
    } else {
        table.insert(last, Item::Value(value));
    }
    put_heading(document, heading);
    Ok(())
}

/// The table `name` within `item`, made if it is not there in the style of what surrounds it.
fn child<'a>(item: &'a mut Item, name: &str, implicit: bool) -> Option<&'a mut Item> {
    let fresh = match item {
        Item::Table(parent) => {
            let mut table = Table::new();
            table.set_dotted(parent.is_dotted());
            table.set_implicit(implicit && !parent.is_dotted());
            Item::Table(table)
        }
        _ => Item::Value(Value::InlineTable(InlineTable::new())),
    };
    let table = item.as_table_like_mut()?;
    if !table.contains_key(name) {
        table.insert(name, fresh);
    }
    table.get_mut(name)
}

/// Makes the table `key`, empty, if it is not there.
pub fn make_table(document: &mut DocumentMut, key: &[String]) {
    let heading = heading_of_empty(document);
    let mut item = Some(document.as_item_mut());
    for (depth, name) in key.iter().enumerate() {
        item = item.and_then(|item| child(item, name, depth + 1 < key.len()));
    }
    put_heading(document, heading);
}

/// The comments of a file that holds nothing else: they are a heading and stay above what is added.
fn heading_of_empty(document: &mut DocumentMut) -> Option<String> {
    let heading = text_of(Some(document.trailing()));
    (document.is_empty() && heading.contains('#')).then(|| {
        document.set_trailing("");
        heading
    })
}

fn put_heading(document: &mut DocumentMut, heading: Option<String>) {
    let Some(heading) = heading else { return };
    let Some(name) = document.iter().next().map(|(name, _)| name.to_owned()) else {
        return document.set_trailing(heading);
    };
    if document.get(&name).is_some_and(Item::is_value) {
        if let Some(mut key) = document.key_mut(&name) {
            key.leaf_decor_mut().set_prefix(heading);
        }
        return;
    }
    with_tables(document.as_table_mut(), &mut |table| {
        if !table.is_implicit() && table.decor().prefix().is_none() {
            table.decor_mut().set_prefix(format!("{heading}\n"));
        }
    });
}

/// Takes the value of `key` away, and tables that are empty then; `false` where there was none.
///
/// Comment lines above it stay, above whatever follows.
pub fn unset(document: &mut DocumentMut, key: &[String]) -> bool {
    if !remove(document, key) {
        return false;
    }
    for depth in (1..key.len()).rev() {
        let parent = &key[..depth];
        if !is_idle(document, parent) || !remove(document, parent) {
            break;
        }
    }
    true
}

/// Takes away what stands at `key`, a value or a whole table; `false` where there was nothing.
pub fn remove(document: &mut DocumentMut, key: &[String]) -> bool {
    let Some((last, parents)) = key.split_last() else { return false };
    let Some(parent) = find(document, parents) else { return false };
    let Some((old_key, old)) = parent.get_key_value(last) else { return false };
    let (comments, position) = match old {
        Item::Table(table) => {
            let prefix = text_of(table.decor().prefix());
            // Up to the blank line that separates a table from its heading.
            let above = if prefix.ends_with("\n\n") { &prefix[..prefix.len() - 1] } else { &prefix };
            (above.to_owned(), table.position())
        }
        _ => (text_of(old_key.leaf_decor().prefix()), None),
    };
    let next = next_value(parent, last);
    parent.remove(last);
    if !comments.contains('#') {
        return true;
    }
    if let (Some(next), None) = (&next, position) {
        if let Some(mut key) = parent.key_mut(next) {
            prepend_prefix(key.leaf_decor_mut(), &comments);
        }
        return true;
    }
    let position = position.or_else(|| position_of(document, parents)).unwrap_or(-1);
    keep_after(document, position, &comments);
    true
}

/// Hands comment lines to the first table behind `position`, or to the end of the file.
pub(super) fn keep_after(document: &mut DocumentMut, position: isize, comments: &str) {
    let mut next: Option<isize> = None;
    with_tables(document.as_table_mut(), &mut |table| {
        if let Some(at) = table.position().filter(|at| *at > position)
            && !table.is_implicit()
        {
            next = Some(next.map_or(at, |known| known.min(at)));
        }
    });
    if next.is_none() {
        let trailing = text_of(Some(document.trailing()));
        return document.set_trailing(format!("{comments}{trailing}"));
    }
    with_tables(document.as_table_mut(), &mut |table| {
        if table.position() == next && !table.is_implicit() {
            prepend_prefix(table.decor_mut(), comments);
        }
    });
}

fn position_of(document: &mut DocumentMut, key: &[String]) -> Option<isize> {
    let mut item = document.as_item();
    let mut position = None;
    for name in key {
        item = item.get(name)?;
        position = item.as_table().and_then(Table::position).or(position);
    }
    position
}

fn prepend_prefix(decor: &mut Decor, comments: &str) {
    let old = text_of(decor.prefix());
    decor.set_prefix(format!("{comments}{old}"));
}

fn text_of(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

fn find<'a>(document: &'a mut DocumentMut, key: &[String]) -> Option<&'a mut dyn TableLike> {
    let mut item = document.as_item_mut();
    for name in key {
        item = item.as_table_like_mut()?.get_mut(name)?;
    }
    item.as_table_like_mut()
}

/// The value that is written behind `name` in its table.
fn next_value(table: &dyn TableLike, name: &str) -> Option<String> {
    let mut items = table.iter().skip_while(|(known, _)| *known != name).skip(1);
    items.find(|(_, item)| item.is_value()).map(|(next, _)| next.to_owned())
}

/// Whether a table is empty, bears no comment and is named by nobody.
fn is_idle(document: &mut DocumentMut, key: &[String]) -> bool {
    if let [section, name] = key
        && section == "profiles"
        && names_profile(document, name)
    {
        return false;
    }
    // Comments above the only table are the heading of the file, and stay without it.
    let is_only_table = is_only_table(document);
    let Some(parent) = key.split_last().and_then(|(_, parents)| find(document, parents)) else { return false };
    let Some(item) = key.last().and_then(|last| parent.get(last)) else { return false };
    let commented = item.as_table().is_some_and(|table| {
        (text_of(table.decor().prefix()).contains('#') && !is_only_table)
            || text_of(table.decor().suffix()).contains('#')
    });
    item.as_table_like().is_some_and(TableLike::is_empty) && !commented
}

fn is_only_table(document: &mut DocumentMut) -> bool {
    let mut tables = 0;
    with_tables(document.as_table_mut(), &mut |table| tables += usize::from(!table.is_implicit()));
    tables == 1 && !document.iter().any(|(_, item)| item.is_value())
}

/// Whether the default profile or a rule is the profile `name`.
fn names_profile(document: &mut DocumentMut, name: &str) -> bool {
    let mut named = false;
    with_profile_values(document, &mut |value| named |= value.as_str() == Some(name));
    named
}

/// Calls `visit` for each value outside of `[profiles]` that names a profile.
fn with_profile_values(document: &mut DocumentMut, visit: &mut dyn FnMut(&mut Value)) {
    if let Some(value) = document.get_mut("profile").and_then(Item::as_value_mut) {
        visit(value);
    }
    match document.get_mut("rules") {
        Some(Item::ArrayOfTables(rules)) => {
            for rule in rules.iter_mut() {
                if let Some(value) = rule.get_mut("profile").and_then(Item::as_value_mut) {
                    visit(value);
                }
            }
        }
        Some(Item::Value(Value::Array(rules))) => {
            for rule in rules.iter_mut() {
                if let Some(value) = rule.as_inline_table_mut().and_then(|rule| rule.get_mut("profile")) {
                    visit(value);
                }
            }
        }
        _ => {}
    }
}

fn with_tables(table: &mut Table, visit: &mut dyn FnMut(&mut Table)) {
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => {
                visit(inner);
                with_tables(inner, visit);
            }
            Item::ArrayOfTables(inner) => inner.iter_mut().for_each(&mut *visit),
            _ => {}
        }
    }
}

/// Renames a profile and everything that names it; `false` where there is no such profile.
pub fn rename_profile(document: &mut DocumentMut, old: &str, new: &str) -> bool {
    let Some(profiles) = document.get_mut("profiles") else { return false };
    let renamed = match profiles {
        Item::Table(profiles) => profiles.remove_entry(old).map(|(key, item)| {
            let key = Key::new(new).with_leaf_decor(key.leaf_decor().clone());
            profiles.insert_formatted(&key, item);
        }),
        other => other
            .as_table_like_mut()
            .and_then(|profiles| profiles.remove(old).map(|item| profiles.insert(new, item)))
            .map(|_| ()),
    };
    with_profile_values(document, &mut |value| {
        if value.as_str() == Some(old) {
            let decor = value.decor().clone();
            *value = new.into();
            *value.decor_mut() = decor;
        }
    });
    renamed.is_some()
}

/// Removes a profile, the default and the rules that name it; `false` where there is no such profile.
pub fn remove_profile(document: &mut DocumentMut, name: &str) -> bool {
    let removed = remove(document, &["profiles".to_owned(), name.to_owned()]);
    if document.get("profile").and_then(Item::as_str) == Some(name) {
        remove(document, &["profile".to_owned()]);
    }
    let is_its = |profile: Option<&str>| profile == Some(name);
    let mut place = 0;
    while let Some(profile) = rule_profile(document, place) {
        if is_its(Some(&profile)) { remove_rule(document, place) } else { place += 1 }
    }
    removed
}

fn rule_profile(document: &DocumentMut, place: usize) -> Option<String> {
    let rule = document.get("rules")?.get(place)?;
    Some(rule.get("profile").and_then(Item::as_str).unwrap_or_default().to_owned())
}

/// Adds a rule at the end.
pub fn add_rule(document: &mut DocumentMut, directory: &str, profile: &str) {
    let heading = heading_of_empty(document);
    if let Some(Item::Value(Value::Array(rules))) = document.get_mut("rules") {
        let mut rule = InlineTable::new();
        rule.insert("directory", directory.into());
        rule.insert("profile", profile.into());
        rules.push(rule);
        return;
    }
    let mut rule = Table::new();
    rule.insert("directory", directory.into());
    rule.insert("profile", profile.into());
    let rules = document.entry("rules").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    if let Some(rules) = rules.as_array_of_tables_mut() {
        rules.push(rule);
    }
    put_heading(document, heading);
}

/// Makes the rule at `place` choose another profile.
pub fn set_rule(document: &mut DocumentMut, place: usize, profile: &str) {
    let mut at = 0;
    let mut wanted = None;
    with_rules(document, &mut |rule| {
        if at == place {
            wanted = rule.get_mut("profile").and_then(Item::as_value_mut).map(|value| {
                let decor = value.decor().clone();
                *value = profile.into();
                *value.decor_mut() = decor;
            });
        }
        at += 1;
    });
}

fn with_rules(document: &mut DocumentMut, visit: &mut dyn FnMut(&mut dyn TableLike)) {
    match document.get_mut("rules") {
        Some(Item::ArrayOfTables(rules)) => rules.iter_mut().for_each(|rule| visit(rule)),
        Some(Item::Value(Value::Array(rules))) => {
            rules.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|rule| visit(rule));
        }
        _ => {}
    }
}

/// Removes the rule at `place`.
pub fn remove_rule(document: &mut DocumentMut, place: usize) {
    match document.get_mut("rules") {
        Some(Item::ArrayOfTables(rules)) => {
            let Some(rule) = rules.get(place) else { return };
            let comments = text_of(rule.decor().prefix());
            let position = rule.position().unwrap_or(-1);
            rules.remove(place);
            if rules.is_empty() {
                document.remove("rules");
            }
            if comments.contains('#') {
                keep_after(document, position, &comments);
            }
        }
        Some(Item::Value(Value::Array(rules))) if place < rules.len() => {
            rules.remove(place);
        }
        _ => {}
    }
}
