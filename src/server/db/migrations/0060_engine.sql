-- Where the sealed secrets of a credential rest that are kept outside of the database: a place that is written once. A
-- credential has a row here or rows in `secrets`, never both.
CREATE TABLE kept_secrets (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    version BIGINT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (org, credential),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);

-- Places that are not in use: about to be, or not any more. Each is destroyed, and goes from here when it was.
CREATE TABLE kept_leftovers (
    address TEXT PRIMARY KEY,
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    -- From when on it is destroyed: whoever is about to use it has taken it from here before.
    due BIGINT NOT NULL,
    -- Whether somebody has begun to destroy it: from then on, nobody uses it.
    claimed BIGINT NOT NULL
);
CREATE INDEX kept_leftovers_due ON kept_leftovers (due);
CREATE INDEX kept_leftovers_credential ON kept_leftovers (org, credential);
