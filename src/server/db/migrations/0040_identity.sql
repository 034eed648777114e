-- The keys that ID tokens are signed with, sealed under the master key. The youngest signs; a retired one stays published
-- for as long as a token of its making may live.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    x TEXT NOT NULL,
    y TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created BIGINT NOT NULL,
    retired BIGINT
);

-- What an ID token says of a sign-in: that one was asked for, for which attempt, and when the person signed in.
ALTER TABLE codes ADD COLUMN openid BIGINT NOT NULL DEFAULT 0;
ALTER TABLE codes ADD COLUMN nonce TEXT;
ALTER TABLE codes ADD COLUMN signed_in BIGINT;
ALTER TABLE devices ADD COLUMN openid BIGINT NOT NULL DEFAULT 0;

-- Which jobs of which outside issuer are let into an organization, and as what.
CREATE TABLE trust_rules (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    -- A pattern, and a map of patterns.
    subject TEXT NOT NULL,
    claims TEXT NOT NULL,
    permissions TEXT NOT NULL,
    -- Seconds.
    life BIGINT NOT NULL,
    -- enforce, audit
    mode TEXT NOT NULL,
    -- Whoever stands for it: a job has no more than this person has.
    person TEXT NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    -- How often it was changed; what an ETag is made of.
    revision BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX trust_rules_name ON trust_rules (org, name);

-- The second factor of a person. One that was never confirmed asks nothing of anybody.
CREATE TABLE second_factors (
    person TEXT PRIMARY KEY REFERENCES people (id),
    sealed BYTEA NOT NULL,
    created BIGINT NOT NULL,
    confirmed BIGINT,
    -- The last step of time whose code was used.
    step BIGINT NOT NULL
);

-- Codes for the day on which the second factor is lost; each is good once.
CREATE TABLE recovery_codes (
    person TEXT NOT NULL REFERENCES people (id),
    hash BYTEA NOT NULL,
    spent BIGINT,
    PRIMARY KEY (person, hash)
);

-- Whoever gave the right passphrase, and not the second factor yet.
CREATE TABLE half_sessions (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    expires BIGINT NOT NULL
);
