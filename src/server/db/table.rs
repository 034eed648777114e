//! What a table is made of, for a copy of all of them.

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Its columns, in their order.
    pub(crate) columns: Vec<String>,
    /// The tables that it refers to.
    pub(crate) refers: Vec<String>,
}

impl Table {
    /// Whether it says which version the tables are of.
    pub(crate) fn is_schema(&self) -> bool {
        self.name == "schema_versions"
    }

    /// The statement that gives all of it.
    pub(crate) fn all(&self) -> String {
        format!("SELECT {} FROM \"{}\"", self.names(), self.name)
    }

    /// The statement that adds a row.
    pub(crate) fn insert(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|number| format!("${number}")).collect();
        format!("INSERT INTO \"{}\" ({}) VALUES ({})", self.name, self.names(), places.join(", "))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
    }
}

/// The tables, those that others refer to first.
pub(crate) fn in_order(mut left: Vec<Table>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let is_free = |table: &Table| {
            let has_come = |name: &String| *name == table.name || ordered.iter().any(|before| before.name == *name);
            table.refers.iter().all(has_come)
        };
        // Tables that refer to one another in a circle come as they are, and the database then refuses.
        let next = left.iter().position(is_free).unwrap_or_default();
        ordered.push(left.remove(next));
    }
    ordered
}
