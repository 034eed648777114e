//! Editing one line of an INI file of another program; everything else keeps its bytes.

/// The text with `key = value` in a section, which is made if need be.
pub(super) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value}\n");
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(start) = lines.iter().position(|line| head(line) == Some(section)) else {
        let lacks_break = !text.is_empty() && !text.ends_with('\n');
        return [text, if lacks_break { "\n" } else { "" }, &format!("[{section}]\n"), &line].concat();
    };
    let length = lines.iter().skip(start + 1).take_while(|line| head(line).is_none()).count();
    let own = (start + 1..=start + length).find(|at| lines.get(*at).is_some_and(|line| is_key(line, key)));
    match own {
        Some(at) => lines.splice(at..=at, [line.as_str()]).for_each(drop),
        None if lines.get(start).is_some_and(|head| head.ends_with('\n')) => lines.insert(start + 1, &line),
        None => lines.extend(["\n", &line]),
    }
    lines.concat()
}

/// The text without `key = value` in a section, or with the line that stood for it in the text `before`; without the
/// section where that leaves nothing in it and it was not there before.
pub(super) fn without(text: &str, section: &str, key: &str, value: &str, before: &str) -> String {
    let old = line_of(before, section, key);
    let mut is_inside = false;
    let kept: String = text
        .split_inclusive('\n')
        .map(|line| {
            if let Some(name) = head(line) {
                is_inside = name == section;
            }
            let is_ours = is_inside && is_key(line, key) && value_of(line) == Some(value);
            if is_ours { old.unwrap_or_default() } else { line }
        })
        .collect();
    let was_there = before.lines().any(|line| head(line) == Some(section));
    let empty = format!("[{section}]\n");
    match kept.strip_suffix(&empty) {
        Some(rest) if kept != text && !was_there => rest.to_owned(),
        _ => kept,
    }
}

/// The line with a key in a section.
fn line_of<'t>(text: &'t str, section: &str, key: &str) -> Option<&'t str> {
    let mut lines = text.split_inclusive('\n').skip_while(|line| head(line) != Some(section)).skip(1);
    lines.by_ref().take_while(|line| head(line).is_none()).find(|line| is_key(line, key))
}

fn value_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(_, value)| value.trim())
}

/// The name in a section's head.
fn head(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.split(']').next().map(str::trim)
}

fn is_key(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(own, _)| own.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_put_into_its_section_and_taken_out_again() {
        for theirs in
            ["", "[global]\nindex-url = https://h/simple\n", "[install]\nuser = true\n", "# c\n[global]\n[x]\na = 1\n"]
        {
            let once = set(theirs, "global", "keyring-provider", "subprocess");
            assert_eq!(set(&once, "global", "keyring-provider", "subprocess"), once);
            let back = without(&once, "global", "keyring-provider", "subprocess", theirs);
            assert_eq!(back, theirs, "{once}");
        }
        let other = "[global]\na = 1\nkeyring-provider = import\n[x]\nkeyring-provider = mine\n";
        let once = set(other, "global", "keyring-provider", "subprocess");
        assert_eq!(once, "[global]\na = 1\nkeyring-provider = subprocess\n[x]\nkeyring-provider = mine\n");
        assert_eq!(without(&once, "global", "keyring-provider", "subprocess", other), other);
        let theirs = "[global]\nkeyring-provider=subprocess\n";
        assert_eq!(without(theirs, "global", "keyring-provider", "subprocess", theirs), theirs);
    }
}
