//! Lists as pages show them: tables that become cards on a narrow screen and stay tables for whoever hears them, and the
//! ways to the pages before and after.

use std::fmt::Write as _;

use super::page::Text;

/// The heading of a column of links, which needs none for whoever sees it.
pub(super) const ACTIONS: &str = "Actions";

/// A table. The first cell of a row is its heading.
pub(super) struct Table {
    caption: &'static str,
    heads: &'static [&'static str],
    rows: String,
}

impl Table {
    /// A table of these columns.
    pub(super) fn new(caption: &'static str, heads: &'static [&'static str]) -> Self {
        Self { caption, heads, rows: String::new() }
    }

    /// Adds a row, whose cells are escaped already.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.rows.push_str("<tr role=\"row\">");
        for (place, (cell, head)) in cells.iter().zip(self.heads).enumerate() {
            let _ = match place {
                0 => write!(self.rows, "<th scope=\"row\" role=\"rowheader\">{cell}</th>"),
                _ => write!(self.rows, "<td role=\"cell\" data-head=\"{}\">{cell}</td>", Text(head)),
            };
        }
        self.rows.push_str("</tr>\n");
    }

    /// The whole.
    pub(super) fn html(&self) -> String {
        let mut heads = String::new();
        for head in self.heads {
            let head = if *head == ACTIONS { format!("<span class=\"apart\">{head}</span>") } else { (*head).into() };
            let _ = write!(heads, "<th scope=\"col\" role=\"columnheader\">{head}</th>");
        }
        format!(
            "<div class=\"table\"><table role=\"table\">\n<caption class=\"apart\">{}</caption>\n\
             <thead role=\"rowgroup\"><tr role=\"row\">{heads}</tr></thead>\n\
             <tbody role=\"rowgroup\">\n{}</tbody></table></div>\n",
            Text(self.caption),
            self.rows,
        )
    }
}

/// A link in a row: what it does, and for whoever hears it alone, to what.
pub(super) fn action(to: &str, does: &str, what: &str) -> String {
    format!("<a href=\"{}\">{}<span class=\"apart\"> {}</span></a>", Text(to), Text(does), Text(what))
}

/// Where there is nothing to list: that it is so, and what comes next, which is escaped already.
pub(super) fn nothing(what: &str, next: &str) -> String {
    let next = if next.is_empty() { String::new() } else { format!("<p>{next}</p>\n") };
    format!("<div class=\"empty\" role=\"status\"><p><strong>{}</strong></p>\n{next}</div>\n", Text(what))
}

/// An address with what is asked of it; what is empty is not asked.
pub(super) fn address<'q>(here: &str, asked: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    format!("{here}?{}", query.finish())
}

/// The ways to the first and the next page of a list, which is narrowed by these.
pub(super) fn pages(here: &str, narrowed: &[(&str, &str)], after: Option<&str>, next: Option<&str>) -> String {
    let to = |after: Option<&str>| address(here, narrowed.iter().copied().chain(after.map(|after| ("after", after))));
    let mut links = String::new();
    if after.is_some() {
        let first = to(None);
        let _ = write!(links, "<a class=\"button quiet\" href=\"{}\">First page</a>", Text(&first));
    }
    if next.is_some() {
        let next = to(next);
        let _ = write!(links, "<a class=\"button quiet\" rel=\"next\" href=\"{}\">Next page</a>", Text(&next));
    }
    if links.is_empty() {
        return links;
    }
    format!("<nav aria-label=\"Pages\"><p class=\"actions\">{links}</p></nav>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_each_cell_is_of() {
        let mut table = Table::new("People", &["Name", "Role", ACTIONS]);
        table.row(&["<b>".replace('<', "&lt;"), "owner".into(), action("/a?b=\"", "Remove", "<eve>")]);
        let html = table.html();
        for part in [
            "<caption class=\"apart\">People</caption>",
            "<th scope=\"row\" role=\"rowheader\">&lt;b></th>",
            "<td role=\"cell\" data-head=\"Role\">owner</td>",
            "<a href=\"/a?b=&quot;\">Remove<span class=\"apart\"> &lt;eve&gt;</span></a>",
            "<span class=\"apart\">Actions</span></th>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn pages_keep_what_a_list_is_narrowed_to() {
        assert_eq!(pages("/a", &[("q", "x")], None, None), "");
        let both = pages("/a", &[("q", "x&y"), ("kind", "")], Some("1"), Some("2"));
        assert!(both.contains("href=\"/a?q=x%26y\">First page") && both.contains("?q=x%26y&amp;after=2\">Next page"));
    }
}
