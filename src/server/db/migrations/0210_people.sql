-- Whom an invitation is for: a login, or an address that an issuer vouches for. Those that were made for whoever has the
-- link are withdrawn; whoever made them makes them anew.
ALTER TABLE member_invitations ADD COLUMN whom TEXT NOT NULL DEFAULT '';
DELETE FROM member_invitations WHERE spent IS NULL;

-- The names of rules, as they are compared. Of those that were the same but for their case, the oldest keeps its name to
-- itself; the others keep theirs as well, and are compared by what no name can be until they get another.
ALTER TABLE trust_rules ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE trust_rules SET folded = lower(trim(name));
UPDATE trust_rules SET folded = folded || '
' || id WHERE EXISTS (
    SELECT 1 FROM trust_rules older
    WHERE older.org = trust_rules.org AND older.folded = trust_rules.folded
    AND (older.created < trust_rules.created OR older.created = trust_rules.created AND older.id < trust_rules.id)
);
CREATE UNIQUE INDEX trust_rules_folded ON trust_rules (org, folded);
