//! The inputs of a form, each with its label and its hint, and what was wrong with one of them: said once above the form,
//! with the way to the input, and once more at the input itself.

use std::fmt::Write as _;

use super::inside::sentence;
use super::page::Text;
use crate::server::problem::Problem;

/// What was wrong with a form, and with which of its inputs.
pub(super) struct Slip {
    field: Option<String>,
    why: String,
}

impl Slip {
    /// What a problem says of a form.
    pub(super) fn of(problem: &Problem) -> Self {
        Self { field: problem.field().map(str::to_owned), why: sentence(problem.detail()) }
    }

    /// What is wrong with no single input.
    pub(super) fn plain(why: &str) -> Self {
        Self { field: None, why: why.to_owned() }
    }

    fn is_of(&self, name: &str) -> bool {
        self.field.as_deref() == Some(name)
    }
}

/// What went wrong, above the form that is shown again. It has the focus when the page is there.
pub(super) fn summary(slip: Option<&Slip>) -> String {
    let Some(Slip { field, why }) = slip else { return String::new() };
    let told = match field {
        Some(field) => format!("<a href=\"#{}\">{}</a>", Text(field), Text(why)),
        None => Text(why).to_string(),
    };
    format!("<p class=\"notice bad\" role=\"alert\" id=\"problem\" tabindex=\"-1\" autofocus>{told}</p>\n")
}

/// What an input has besides its name where something was wrong with it.
pub(super) fn marked(slip: Option<&Slip>, name: &str) -> String {
    if slip.is_some_and(|slip| slip.is_of(name)) {
        format!(" id=\"{}\" aria-invalid=\"true\" aria-describedby=\"problem\"", Text(name))
    } else {
        String::new()
    }
}

/// An input for one line.
#[derive(Default)]
pub(super) struct Input<'i> {
    pub(super) name: &'i str,
    pub(super) title: &'i str,
    pub(super) hint: &'i str,
    pub(super) value: &'i str,
    /// Further attributes.
    pub(super) more: &'i str,
}

/// The attributes of a name that a person makes up for something.
pub(super) const NAME: &str = "required maxlength=\"64\" autocapitalize=\"none\" spellcheck=\"false\"";
/// What a name is made of.
pub(super) const NAME_HINT: &str = "Letters, digits and . _ -";

impl Input<'_> {
    /// The input with its label.
    pub(super) fn html(&self, slip: Option<&Slip>) -> String {
        format!(
            "<label>{}{}<input name=\"{}\" autocomplete=\"off\" value=\"{}\" {}{}></label>\n",
            Text(self.title),
            hint(self.hint),
            Text(self.name),
            Text(self.value),
            self.more,
            marked(slip, self.name),
        )
    }
}

/// A hint below a label.
pub(super) fn hint(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<small>{}</small>", Text(text)) }
}

/// A choice of one of several.
pub(super) fn choice(
    name: &str,
    title: &str,
    text: &str,
    options: &[(&str, String)],
    chosen: &str,
    slip: Option<&Slip>,
) -> String {
    let mut html =
        format!("<label>{}{}<select name=\"{}\"{}>", Text(title), hint(text), Text(name), marked(slip, name));
    for (value, shown) in options {
        let is_chosen = if *value == chosen { " selected" } else { "" };
        let _ = write!(html, "<option value=\"{}\"{is_chosen}>{}</option>", Text(value), Text(shown));
    }
    html.push_str("</select></label>\n");
    html
}

/// A box to tick. `label` is escaped already.
pub(super) fn tick(name: &str, value: &str, label: &str, is_ticked: bool) -> String {
    let ticked = if is_ticked { " checked" } else { "" };
    format!(
        "<label class=\"check\"><input type=\"checkbox\" name=\"{}\" value=\"{}\"{ticked}>{label}</label>\n",
        Text(name),
        Text(value),
    )
}

/// Boxes of one question, which are escaped already.
pub(super) fn ticks(name: &str, title: &str, boxes: &str, slip: Option<&Slip>) -> String {
    // A group cannot be invalid; the way from the summary ends at it all the same.
    let mark = marked(slip, name).replace(" aria-invalid=\"true\"", " tabindex=\"-1\"");
    format!("<fieldset{mark}><legend>{}</legend>\n{boxes}</fieldset>\n", Text(title))
}

/// The buttons at the end of a form: what it does, and the way back.
pub(super) fn buttons(does: &str, back: &str) -> String {
    format!(
        "<p class=\"actions\"><button>{}</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n",
        Text(does),
        Text(back),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::problem::Problem;

    #[test]
    fn what_is_wrong_leads_to_its_input() {
        let slip = Slip::of(&Problem::invalid("a name is <needed>").about("name"));
        let above = summary(Some(&slip));
        assert!(above.contains("<a href=\"#name\">A name is &lt;needed&gt;.</a>") && above.contains("role=\"alert\""));
        let name = Input { name: "name", title: "Name", value: "\"", ..Input::default() };
        let html = name.html(Some(&slip));
        assert!(html.contains(" id=\"name\" aria-invalid=\"true\" aria-describedby=\"problem\""), "{html}");
        assert!(html.contains("value=\"&quot;\""));
        let other = Input { name: "note", title: "Note", ..Input::default() }.html(Some(&slip));
        assert!(!other.contains("aria-invalid") && !name.html(None).contains("aria-invalid"));
        assert!(summary(None).is_empty());
        assert!(!summary(Some(&Slip::plain("x"))).contains("href"));
    }
}
