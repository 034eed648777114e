-- The thumbprint of the key that a token is bound to, or that the tokens of a code have to be bound to.
ALTER TABLE tokens ADD COLUMN bound TEXT;
ALTER TABLE codes ADD COLUMN bound TEXT;

-- Proofs of keys that were seen, for as long as they would be good.
CREATE TABLE proofs (
    hash BYTEA PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX proofs_expires ON proofs (expires);
