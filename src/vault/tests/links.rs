//! Finding by host and by user, beside what somebody else has done to the rows.

use super::*;
use crate::vault::contract::through;

#[test]
fn hosts_are_named_anew_where_another_program_named_them_and_the_fields_decide() {
    let world = World::new();
    let vault = world.vault();
    vault.put(New::named("ecr", through("keys"))).unwrap();
    put(&vault, "db", "1");
    put(&vault, "broken", "2");
    let names = |host: &str| -> Vec<String> { vault.for_host(host).unwrap().into_iter().map(|one| one.name).collect() };
    let unnamed = || -> u32 {
        let rows = Connection::open(world.file()).unwrap();
        let count = format!("SELECT COUNT(*) FROM credentials WHERE hosts_by <> '{}'", env!("CARGO_PKG_VERSION"));
        rows.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((unnamed(), names("public.ecr.aws")), (0, vec!["ecr".into()]));
    world.tamper("UPDATE credentials SET hosts_by = ''; DELETE FROM hosts; UPDATE credentials SET fields = '[' WHERE name = 'broken'");
    assert_eq!(names("public.ecr.aws"), ["ecr"], "found before it is noted");
    assert_eq!(unnamed(), 1, "what cannot be read keeps nobody from the others");
    assert_eq!(names("public.ecr.aws"), ["ecr"]);
    world.tamper("INSERT INTO hosts SELECT id, 'evil.example' FROM credentials WHERE name IN ('ecr', 'db')");
    assert!(names("evil.example").is_empty());
    // While another process writes for long, finding goes on.
    world.tamper("UPDATE credentials SET hosts_by = 'z'");
    let other = Connection::open(world.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!((names("public.ecr.aws"), unnamed()), (vec!["ecr".into()], 3));
}

#[test]
fn users_of_a_name_that_json_writes_in_another_way_are_found() {
    let world = World::new();
    let vault = world.vault();
    put(&vault, "keys", "1");
    vault.put(New::named("ecr", through("keys"))).unwrap();
    for (name, json) in [("a\"b", "a\\\"b"), ("%", "%"), ("a\\b", "a\\\\b"), ("\u{1}", "\\u0001"), ("é", "é"), ("", "")]
    {
        let text = name.replace('\'', "''");
        world.tamper(&format!(
            "UPDATE credentials SET name = '{text}' WHERE name <> 'ecr'; \
             UPDATE credentials SET fields = '{{\"region\":\"r\",\"source\":\"{json}\",\"url\":\"u\"}}' WHERE name = 'ecr'"
        ));
        assert_eq!(vault.users(&found(&vault, name)).unwrap(), ["credential ecr"], "{name}");
    }
}
